// Our host: its addresses, its reverse names, its certificate, and what block lists say of it.
#include <algorithm>

#include "app/dns_checks.hpp"
#include "app/dns_records.hpp"
#include "app/known_services.hpp"
#include "auth/spf_macro.hpp"

namespace app::checks {
namespace {

constexpr auto kSoon = std::chrono::hours(24 * 7);
constexpr std::string_view kWhere = "at whoever gave you the address: ";

std::string ptr_line(const OwnAddress& own) {
  return std::string(kWhere) + zone_line({auth::reverse_name(own.address), "PTR", own.helo, 0, {}, false});
}

std::string address_line(const std::string& name, const core::IpAddress& ip) {
  return zone_line({name, ip.is_v6() ? "AAAA" : "A", ip.to_string(), 0, {}, false});
}

void judge_missing(const Subject& subject, const std::vector<core::IpAddress>& published, Finding& finding) {
  const auto& host = subject.domain;
  for (const bool six : {false, true}) {
    const auto family = [six](const core::IpAddress& ip) { return ip.is_v6() == six; };
    const auto& inbound = subject.facts.inbound;
    const auto own = std::find_if(inbound.begin(), inbound.end(), family);
    const bool there = std::any_of(published.begin(), published.end(), family);
    if (own == inbound.end() || there) continue;
    const auto line = address_line(host, *own);
    finding.warn(
        fmt::format("{} has no {} record, though we take mail on {}", host, six ? "AAAA" : "A", own->to_string()),
        line);
  }
}

}  // namespace

Result host_address(const Subject& subject, dns::Lookup& lookup) {
  Finding finding(subject.name("address"));
  const auto& host = subject.domain;
  const auto* alias = ask(lookup, host, dns::Type::cname);
  const auto found = addresses_of(lookup, host);
  if (alias == nullptr || !found) return std::nullopt;
  if (found->failed != nullptr) {
    report_failure(finding, host + " A", *found->failed);
    return finding.take();
  }
  if (alias->status == dns::Status::ok && !alias->names.empty()) {
    finding.fail(fmt::format("{} is an alias (CNAME) of {}; a mail host may not be one (RFC 2181 §10.3)", host,
                             alias->names.front()),
                 "give it A and AAAA records of its own");
  }
  if (found->list.empty()) {
    const auto& inbound = subject.facts.inbound;
    finding.fail(host + " has no address",
                 inbound.empty() ? "give it A and AAAA records" : address_line(host, inbound.front()));
    return finding.take();
  }
  bool unknown = false;
  for (const auto& ip : found->list) {
    const auto ours = is_ours(subject.facts, ip);
    unknown = unknown || ours == Ours::unknown;
    if (ours == Ours::no && !is_proxy_address(ip)) {
      finding.fail(fmt::format("{} has the address {}, which is not this machine's", host, ip.to_string()),
                   fmt::format("remove it: {}", address_line(host, ip)));
    } else {
      finding.note(ip.to_string());
    }
  }
  judge_missing(subject, found->list, finding);
  if (unknown && finding.fine()) {
    finding.note("whether these are this machine's is not known here: name its public addresses with --address");
  }
  return finding.take();
}

Result host_proxy(const Subject& subject, dns::Lookup& lookup) {
  Finding finding(subject.name("proxy"));
  const auto found = addresses_of(lookup, subject.domain);
  if (!found) return std::nullopt;
  for (const auto& ip : found->list) {
    if (!is_proxy_address(ip)) continue;
    finding.fail(
        fmt::format("{} has the address {} of Cloudflare's proxy, which takes no mail", subject.domain, ip.to_string()),
        fmt::format("set the record of {} to \"DNS only\"", subject.domain));
  }
  finding.note("no address is a proxy's");
  return finding.take();
}

Result ptr(const Subject& subject, dns::Lookup& lookup) {
  Finding finding("ptr");
  const auto own = senders(subject.facts, lookup);
  if (!own) return std::nullopt;
  bool complete = true;
  for (const auto& one : *own) {
    const auto* answer = ask(lookup, auth::reverse_name(one.address), dns::Type::ptr);
    complete = complete && answer != nullptr;
    if (answer == nullptr) continue;
    const auto address = one.address.to_string();
    const auto& names = answer->names;
    if (answer->status == dns::Status::failure) {
      report_failure(finding, address + " PTR", *answer);
    } else if (names.empty()) {
      finding.fail(fmt::format("{} has no PTR record: large providers refuse mail from it", address), ptr_line(one));
    } else if (std::find(names.begin(), names.end(), one.helo) == names.end()) {
      finding.fail(fmt::format("{} is called {}, but we say {} in EHLO", address, fmt::join(names, ", "), one.helo),
                   ptr_line(one));
    } else if (names.size() > 1) {
      finding.warn(fmt::format("{} has {} names ({}); one is what others look at", address, names.size(),
                               fmt::join(names, ", ")),
                   ptr_line(one));
    } else {
      finding.note(fmt::format("{} is {}", address, one.helo));
    }
  }
  if (!complete) return std::nullopt;
  if (own->empty()) finding.warn("nobody here knows what addresses mail leaves from", "name them with --address");
  return finding.take();
}

Result ptr_forward(const Subject& subject, dns::Lookup& lookup) {
  Finding finding("ptr-forward");
  const auto own = senders(subject.facts, lookup);
  if (!own) return std::nullopt;
  bool complete = true;
  for (const auto& one : *own) {
    const auto found = addresses_of(lookup, one.helo);
    complete = complete && found.has_value();
    if (!found) continue;
    if (std::find(found->list.begin(), found->list.end(), one.address) != found->list.end()) {
      finding.note(fmt::format("{} leads back to {}", one.helo, one.address.to_string()));
    } else {
      finding.fail(fmt::format("{} does not lead back to {}", one.helo, one.address.to_string()),
                   address_line(one.helo, one.address));
    }
  }
  if (!complete) return std::nullopt;
  if (own->empty()) return Check();
  return finding.take();
}

Result certificate(const Subject& subject, dns::Lookup&) {
  Finding finding("certificate");
  const auto& all = subject.facts.certificates;
  if (all.empty()) {
    finding.warn("no [tls]: mail to us travels in clear text", "write [tls] with certificate and key");
    return finding.take();
  }
  const bool covered =
      std::any_of(all.begin(), all.end(), [&](const auto& one) { return one.covers(subject.facts.hostname); });
  if (!covered) {
    finding.fail(
        fmt::format("no certificate is for {}, but for {}", subject.facts.hostname, fmt::join(all.front().names, ", ")),
        "get one with that name in it");
  }
  for (const auto& one : all) {
    const auto left = std::chrono::duration_cast<std::chrono::hours>(one.expires - subject.now).count() / 24;
    if (one.expires < subject.now) {
      finding.fail("a certificate has expired", "renew it");
    } else if (one.expires < subject.now + kSoon) {
      finding.warn(fmt::format("a certificate ends in {} days", left), "renew it");
    } else {
      finding.note(fmt::format("{}, for {} more days", fmt::join(one.names, ", "), left));
    }
  }
  return finding.take();
}

// RFC 7672: a TLSA record that does not fit stops mail from every sender that does DANE.
Result tlsa(const Subject& subject, dns::Lookup& lookup) {
  Finding finding("tlsa");
  const auto name = "_25._tcp." + subject.domain;
  const auto* answer = ask(lookup, name, dns::Type::tlsa);
  if (answer == nullptr) return std::nullopt;
  if (answer->status == dns::Status::failure) {
    report_failure(finding, name + " TLSA", *answer);
    return finding.take();
  }
  if (answer->raw.empty()) {
    finding.note("not published");
    return finding.take();
  }
  std::string fix = "remove it: " + name;
  bool fits = false, judged = true;
  for (const auto& certificate : subject.facts.certificates) {
    if (certificate.covers(subject.domain))
      fix = zone_line({name, "TLSA", certificate.tlsa().to_string(), 0, {}, false});
    fits = fits || std::find(answer->raw.begin(), answer->raw.end(),
                             std::string("\3\1\1", 3) + certificate.key_digest) != answer->raw.end();
  }
  // Other forms (3 0 1, 2 1 1, ...) may fit too; that needs the whole chain.
  for (const auto& raw : answer->raw) judged = judged && raw.starts_with(std::string("\3\1\1", 3));
  if (fits) {
    finding.note("3 1 1 of our certificate's key");
  } else if (judged) {
    finding.fail("no TLSA record is that of our certificate's key: senders that do DANE will not deliver", fix);
  } else {
    finding.warn("the TLSA records have forms that are not compared here; 3 1 1 is", fix);
  }
  if (!answer->authenticated) {
    finding.warn("a TLSA record without DNSSEC counts for nothing (or the resolver does not validate)",
                 "sign the zone, or remove the record");
  }
  return finding.take();
}

namespace {

std::string list_name(const core::IpAddress& ip, const BlockList& list) {
  const auto reverse = auth::reverse_name(ip);
  const std::string_view arpa = ip.is_v6() ? ".ip6.arpa" : ".in-addr.arpa";
  return reverse.substr(0, reverse.size() - arpa.size()) + "." + list.zone;
}

enum class Listed { no, yes, trouble };
// RFC 5782 §2.1; 127.255.255.0/24 is how large lists refuse a resolver.
Listed judge_listing(const BlockList& list, const dns::Answer& answer) {
  static const auto kLists = core::Prefix::parse("127.0.0.0/8").value();
  static const auto kRefusal = core::Prefix::parse("127.255.255.0/24").value();
  if (answer.status == dns::Status::failure) return Listed::trouble;
  bool yes = false;
  for (const auto& ip : answer.addresses) {
    if (!kLists.contains(ip) || kRefusal.contains(ip)) return Listed::trouble;
    yes = yes || list.listed.empty() || std::any_of(list.listed.begin(), list.listed.end(), [&ip](const auto& range) {
            return range.first <= ip && ip <= range.second;
          });
  }
  return yes ? Listed::yes : Listed::no;
}

}  // namespace

// RFC 5782 §5: 127.0.0.2 is on every list, 127.0.0.1 on none.
Result dnsbl_usable(const Subject& subject, dns::Lookup& lookup) {
  Finding finding("dnsbl-usable");
  static const auto kOn = core::IpAddress::parse("127.0.0.2").value();
  static const auto kOff = core::IpAddress::parse("127.0.0.1").value();
  bool complete = true;
  for (const auto& list : subject.facts.block_lists) {
    const auto* on = ask(lookup, list_name(kOn, list), dns::Type::a);
    const auto* off = ask(lookup, list_name(kOff, list), dns::Type::a);
    complete = complete && on != nullptr && off != nullptr;
    if (on == nullptr || off == nullptr) continue;
    const std::string fix = "use a resolver of your own, or the list's key";
    if (judge_listing(list, *on) == Listed::trouble || judge_listing(list, *off) == Listed::trouble) {
      finding.fail(list.name + " does not answer this resolver", fix);
    } else if (on->addresses.empty()) {
      finding.fail(list.name + " does not list its test address: there is no such list, or it is empty", fix);
    } else if (!off->addresses.empty()) {
      finding.fail(list.name + " lists everything", "take it out of [[dnsbl]]");
    } else {
      finding.note(list.name);
    }
  }
  if (!complete) return std::nullopt;
  return finding.take();
}

Result dnsbl(const Subject& subject, dns::Lookup& lookup) {
  Finding finding("dnsbl");
  const auto own = senders(subject.facts, lookup);
  if (!own) return std::nullopt;
  bool complete = true;
  for (const auto& list : subject.facts.block_lists) {
    for (const auto& one : *own) {
      const auto* answer = ask(lookup, list_name(one.address, list), dns::Type::a);
      complete = complete && answer != nullptr;
      if (answer == nullptr || judge_listing(list, *answer) != Listed::yes) continue;
      finding.fail(fmt::format("{} is on {}", one.address.to_string(), list.name),
                   "find out why on the list's page, and ask for removal");
    }
  }
  if (!complete) return std::nullopt;
  finding.note("not listed");
  return finding.take();
}

}  // namespace app::checks
