// The Sender Rewriting Scheme: SRS0 for a sender, SRS1 for the SRS0 or SRS1 address of another forwarder, and the way
// back for bounces (interface.md [srs], §6.18, §6.25, §6.29; threats RL-03, RL-07..RL-12).
//
//   SRS0=hash=TT=domain=local@ours      TT: day modulo 1024 in base32; hash: HMAC over TT, domain, local in lower case
//   SRS1=hash=first-forwarder==rest@ours   `rest` is what followed SRS0 at the first forwarder, with its separator
//   SRS0=hash=TT=_=token@ours           what does not fit, or is not ASCII: the original is in the TokenStore
//
// Hash: 8 base32 characters of HMAC-SHA256 (40 bits, any case), or in sha1 mode 4 base64 characters as postsrsd,
// libsrs2 and Mail::SRS write them. Immutable after construction; safe from several threads when the TokenStore is. No
// I/O of its own.
#pragma once

#include <boost/system/result.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.hpp"
#include "core/error.hpp"
#include "core/secret_file.hpp"
#include "mail/address.hpp"
#include "srs/token_store.hpp"

namespace srs {

enum class Hash { sha256, sha1 };

// Why an address cannot be turned back, and the reply it deserves.
enum class ReverseError {
  not_srs,      // no SRS0 or SRS1 address at all
  malformed,    // looks like one, has not the parts: 550 5.1.1
  bad_hash,     // made by somebody else, or forged: 550 5.1.1 (RL-08)
  expired,      // older than max_age: 550 5.7.1 (RL-09)
  from_future,  // more than one day ahead: 550 5.7.1 (RL-09)
  forgotten,    // a valid token whose original is no longer kept: 550 5.1.1
};
std::string_view to_string(ReverseError error);
// Found by ADL: Reversed::value() throws std::runtime_error.
[[noreturn]] void throw_exception_from_error(ReverseError error, const boost::source_location& where);

using Reversed = boost::system::result<mail::Mailbox, ReverseError>;

// One secret a line; empty lines are skipped.
std::vector<core::Secret> parse_secrets(std::string_view content);

// "SRS0" or "SRS1" and a separator (= - +), in any case, quoted or not.
bool looks_like_srs(std::string_view local);

class Rewriter {
 public:
  struct Settings {
    std::string domain;                 // what follows the @ of our SRS addresses
    std::vector<core::Secret> secrets;  // at least one; the first signs, all verify
    Hash hash = Hash::sha256;
    core::Milliseconds max_age = std::chrono::hours(24 * 21);  // in whole days, at most 365
    std::vector<core::Secret> accept_sha1_secrets;             // of a former postsrsd: only verify
    char separator = '=';                                      // after SRS0/SRS1: = - +
  };

  // `tokens` may be null: then what does not fit is an error. It must outlive the Rewriter.
  Rewriter(Settings settings, TokenStore* tokens);
  Rewriter(Rewriter&&) noexcept;
  Rewriter& operator=(Rewriter&&) noexcept;
  ~Rewriter();

  // The envelope sender to use upstream: ASCII, at most 64 and 254 octets. The null path and ASCII addresses at our own
  // SRS domain stay as they are. Errors: Errc::io (the token could not be kept: try later), Errc::exhausted (does not
  // fit, no store).
  core::Result<mail::ReversePath> forward(const mail::ReversePath& sender, core::Wall::time_point now) const;

  // The address a bounce to `local`@our domain goes to; `local` as in the mailbox, quoted or not, in any case.
  Reversed reverse(std::string_view local, core::Wall::time_point now) const;

  // At our SRS domain, and looks like SRS: to be matched before every rule (interface.md §6.25).
  bool owns(const mail::Mailbox& address) const;
  const std::string& domain() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace srs
