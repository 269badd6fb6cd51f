// libspf2, kept to the one thing it is right about: does an address lie in a network? It is handed records that we
// write, of addresses and lengths only and of at most 400 octets; no octet from the network reaches its compiler, it
// asks no DNS, and its short cut for 127.0.0.0/8 lies on a path that is never taken (docs: libraries.md, decision 2;
// CVE-2023-42118). Owns the library's objects. One per evaluation, one thread at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>

#include "core/ip.hpp"

namespace auth {

class AddressMatcher {
 public:
  explicit AddressMatcher(const core::IpAddress& client);  // not an IPv4-mapped one
  ~AddressMatcher();
  AddressMatcher(const AddressMatcher&) = delete;
  AddressMatcher& operator=(const AddressMatcher&) = delete;

  // The index of the first network the client lies in. Networks of the other family never match, and one of length 0
  // matches every client of its family.
  std::optional<std::size_t> first(std::span<const core::Prefix> networks);
  // The library failed (no memory): from then on nothing it says is worth anything.
  bool failed() const { return failed_; }

 private:
  struct Library;
  bool any(std::span<const core::Prefix* const> networks);

  core::IpAddress client_;
  std::unique_ptr<Library> library_;  // made at the first question
  bool failed_ = false;
};

}  // namespace auth
