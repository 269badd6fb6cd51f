// The single checks behind app/dns_check.hpp; nobody else includes this. Each returns nothing while it lacks answers,
// and asks for all that it may need before it does, so that few rounds of questions are enough.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/dns_check.hpp"

namespace app::checks {

// Collects what is wrong into one Check: the worst status wins, all texts are kept.
class Finding {
 public:
  explicit Finding(std::string name) { check_.name = std::move(name); }
  void note(std::string_view text) { add(notes_, text); }  // shown when nothing is wrong
  void warn(std::string_view text, std::string fix = {}) { worsen(CheckStatus::warn, text, std::move(fix)); }
  void fail(std::string_view text, std::string fix = {}) { worsen(CheckStatus::fail, text, std::move(fix)); }
  void worsen(CheckStatus status, std::string_view text, std::string fix);
  bool fine() const { return check_.status == CheckStatus::pass; }
  Check take();

 private:
  static void add(std::string& to, std::string_view text, std::string_view separator = "; ");
  Check check_;
  std::string notes_;
};

// What is checked, and how much it matters.
struct Subject {
  const DnsFacts& facts;
  std::string domain;  // may be "*.example.org"
  std::string prefix;  // of the checks' names: "", "srs-", "host-", "signer-"
  bool sends = false;  // mail leaves with senders of this domain: its SPF decides
  core::Wall::time_point now = {};

  std::string name(std::string_view check) const { return prefix + std::string(check); }
};

// Nothing: answers are wanted. A Check without a name: there is nothing to look at, another check says why.
using Result = std::optional<Check>;

// "DNS failure (SERVFAIL)" and what to do.
void report_failure(Finding& finding, std::string_view what, const dns::Answer& answer);
// An answer; null: not known yet. The name may be in any case.
const dns::Answer* ask(dns::Lookup& lookup, std::string_view name, dns::Type type);
// Both families of a name at once; nothing: not known yet.
struct HostAddresses {
  std::vector<core::IpAddress> list;
  const dns::Answer* failed = nullptr;
  std::uint32_t ttl = 0;  // the smaller one
};
std::optional<HostAddresses> addresses_of(dns::Lookup& lookup, std::string_view host);
// facts.egress, or the addresses of our host name when it is empty; nothing: not known yet.
std::optional<std::vector<OwnAddress>> senders(const DnsFacts& facts, dns::Lookup& lookup);
// Is it one that we take mail on? Unknown: nobody here knows our addresses of that family.
enum class Ours { yes, no, unknown };
Ours is_ours(const DnsFacts& facts, const core::IpAddress& ip);

// app/dns_checks_mx.cpp
Result mx(const Subject& subject, dns::Lookup& lookup);          // somebody takes mail, and that is us
Result mx_foreign(const Subject& subject, dns::Lookup& lookup);  // other forwarders
Result mx_address(const Subject& subject, dns::Lookup& lookup);  // the targets are hosts, and ours
Result mx_proxy(const Subject& subject, dns::Lookup& lookup);
Result ttl(const Subject& subject, dns::Lookup& lookup);
Result dnssec(const Subject& subject, dns::Lookup& lookup);

// app/dns_checks_spf.cpp
Result spf(const Subject& subject, dns::Lookup& lookup);          // one record, by the grammar
Result spf_lookups(const Subject& subject, dns::Lookup& lookup);  // RFC 7208 §4.6.4
Result spf_egress(const Subject& subject, dns::Lookup& lookup);   // every address we send from passes
Result spf_all(const Subject& subject, dns::Lookup& lookup);
Result spf_foreign(const Subject& subject, dns::Lookup& lookup);

// app/dns_checks_keys.cpp
Result dkim(const Subject& subject, const std::vector<PublishedKey>& keys, dns::Lookup& lookup);
Result dmarc(const Subject& subject, dns::Lookup& lookup);
Result dmarc_reports(const Subject& subject, dns::Lookup& lookup);
Result mta_sts(const Subject& subject, dns::Lookup& lookup);
Result tls_rpt(const Subject& subject, dns::Lookup& lookup);

// app/dns_checks_host.cpp
Result host_address(const Subject& subject, dns::Lookup& lookup);
Result host_proxy(const Subject& subject, dns::Lookup& lookup);
Result ptr(const Subject& subject, dns::Lookup& lookup);          // exists, and is the name in our EHLO
Result ptr_forward(const Subject& subject, dns::Lookup& lookup);  // the name leads back
Result certificate(const Subject& subject, dns::Lookup& lookup);
Result tlsa(const Subject& subject, dns::Lookup& lookup);
Result dnsbl(const Subject& subject, dns::Lookup& lookup);
Result dnsbl_usable(const Subject& subject, dns::Lookup& lookup);

}  // namespace app::checks
