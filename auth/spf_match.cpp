#include "auth/spf_match.hpp"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netinet/in.h>
#include <sys/types.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

extern "C" {
#define HAVE_NS_TYPE 1
#include <spf2/spf.h>
#include <spf2/spf_log.h>
}

namespace auth {
namespace {

// A record is cut silently at 511 compiled octets (libspf2 issue 48).
constexpr std::size_t kMaxChunk = 400;
constexpr std::size_t kVersionSize = 6;
// " ip4:", the longest address, "/32"; the same of ip6.
constexpr std::size_t kMaxTerm4 = 5 + 15 + 3, kMaxTerm6 = 5 + 39 + 4;

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Server = std::unique_ptr<SPF_server_t, Deleter<SPF_server_free>>;
using Request = std::unique_ptr<SPF_request_t, Deleter<SPF_request_free>>;
using Response = std::unique_ptr<SPF_response_t, Deleter<SPF_response_free>>;
using Record = std::unique_ptr<SPF_record_t, Deleter<SPF_record_free>>;

void ignore(const char*, int, const char*) {}
__attribute__((noreturn)) void stop(const char*, int, const char*) {
  std::abort();  // a null argument: a defect of this file
}

// The library's handlers are global and print by default.
void set_handlers() {
  static const bool done = [] {
    SPF_error_handler = stop;
    SPF_warning_handler = ignore;
    SPF_info_handler = ignore;
    SPF_debug_handler = ignore;
    return true;
  }();
  static_cast<void>(done);
}

void append_term(std::string& text, const core::Prefix& network) {
  text += network.address.is_v4() ? " ip4:" : " ip6:";
  text += network.address.to_string();
  text += '/';
  text += std::to_string(network.length);
}

}  // namespace

struct AddressMatcher::Library {
  // Never called: the records hold addresses only. Without one the library would make a resolver of its own.
  SPF_dns_server_t dns{};
  Server server;
  Request request;

  explicit Library(const core::IpAddress& client) {
    set_handlers();
    dns.name = "none";
    server.reset(SPF_server_new_dns(&dns, 0));
    if (!server) return;
    request.reset(SPF_request_new(server.get()));
    if (!request) return;
    request->cur_dom = "client.invalid";  // must not be null; a string of ours that outlives the request
    if (client.is_v4()) {
      in_addr address{};
      std::memcpy(&address, client.bytes().data(), sizeof address);
      SPF_request_set_ipv4(request.get(), address);
    } else {
      in6_addr address{};
      std::memcpy(&address, client.bytes().data(), sizeof address);
      SPF_request_set_ipv6(request.get(), address);
    }
  }
};

AddressMatcher::AddressMatcher(const core::IpAddress& client) : client_(client) {}
AddressMatcher::~AddressMatcher() = default;

bool AddressMatcher::any(std::span<const core::Prefix* const> networks) {
  if (!library_) library_ = std::make_unique<Library>(client_);
  if (!library_->request) failed_ = true;
  if (failed_) return false;
  std::string text = "v=spf1";
  for (const auto* network : networks) append_term(text, *network);
  const Response response(SPF_response_new(library_->request.get()));
  SPF_record_t* compiled = nullptr;
  const bool good =
      response && SPF_record_compile(library_->server.get(), response.get(), &compiled, text.c_str()) == SPF_E_SUCCESS;
  const Record record(compiled);
  if (!good || !record || SPF_response_errors(response.get()) > 0) {
    failed_ = true;
    return false;
  }
  // Not SPF_request_query_mailfrom: it passes 127.0.0.0/8 unseen and would fetch an explanation.
  response->spf_record_exp = record.get();  // asserted not to be null; not owned
  SPF_record_interpret(record.get(), library_->request.get(), response.get(), 0);
  response->spf_record_exp = nullptr;
  const auto result = SPF_response_result(response.get());
  // Everything else, INVALID above all, is the library's trouble.
  failed_ = result != SPF_RESULT_PASS && result != SPF_RESULT_NEUTRAL;
  return result == SPF_RESULT_PASS;
}

std::optional<std::size_t> AddressMatcher::first(std::span<const core::Prefix> networks) {
  std::vector<const core::Prefix*> chunk;
  const std::size_t term_size = client_.is_v4() ? kMaxTerm4 : kMaxTerm6;
  std::size_t size = kVersionSize;
  const auto index = [&](const core::Prefix* network) { return static_cast<std::size_t>(network - networks.data()); };
  const auto found = [&]() -> std::optional<std::size_t> {
    if (chunk.empty() || !any(chunk)) return std::nullopt;
    // It is in this chunk: halve it until one is left.
    std::span<const core::Prefix* const> part(chunk);
    while (part.size() > 1) {
      const auto left = part.first(part.size() / 2);
      part = any(left) ? left : part.subspan(left.size());
    }
    return index(part.front());
  };
  for (const auto& network : networks) {
    if (network.address.is_v4() != client_.is_v4()) continue;
    if (network.length > 0) {
      chunk.push_back(&network);
      size += term_size;
    }
    if (network.length > 0 && size + term_size <= kMaxChunk) continue;
    if (const auto hit = found()) return hit;
    if (failed_) return std::nullopt;
    if (network.length == 0) return index(&network);  // the library takes /0 for an error
    chunk.clear();
    size = kVersionSize;
  }
  return found();
}

}  // namespace auth
