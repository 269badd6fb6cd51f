// Where mail for a domain goes: MX records and their targets.
#include <algorithm>
#include <tuple>

#include "app/dns_checks.hpp"
#include "app/dns_records.hpp"
#include "app/known_services.hpp"

namespace app::checks {
namespace {

constexpr std::uint32_t kShortTtl = 60;  // seconds; below, every sender asks anew for each message

std::string mx_fix(const Subject& subject) {
  return zone_line({subject.domain, "MX", subject.facts.hostname, 10, {}, false});
}

struct Target {
  dns::Mx mx;
  std::string_view forwarder;  // another service's, by name
  bool ours = false;           // our host name, or an address of ours
};

struct Targets {
  std::vector<Target> list;  // most preferred first
  const dns::Answer* answer = nullptr;
};

// Nothing: not known yet.
std::optional<Targets> targets_of(const Subject& subject, dns::Lookup& lookup) {
  Targets out;
  out.answer = ask(lookup, subject.domain, dns::Type::mx);
  if (out.answer == nullptr) return std::nullopt;
  bool complete = true;
  for (const auto& mx : out.answer->mx) {
    if (mx.host.empty()) continue;  // the null MX
    Target target{mx, forwarder_by_mx(mx.host), mx.host == subject.facts.hostname};
    if (!target.ours && target.forwarder.empty()) {
      const auto addresses = addresses_of(lookup, mx.host);
      complete = complete && addresses.has_value();
      target.ours = addresses && std::any_of(addresses->list.begin(), addresses->list.end(),
                                             [&](const auto& ip) { return is_ours(subject.facts, ip) == Ours::yes; });
    }
    out.list.push_back(std::move(target));
  }
  if (!complete) return std::nullopt;
  std::sort(out.list.begin(), out.list.end(), [](const Target& a, const Target& b) {
    return std::tie(a.mx.preference, a.mx.host) < std::tie(b.mx.preference, b.mx.host);
  });
  return out;
}

std::string shown(const Target& target) {
  return fmt::format("{} ({}{}{})", target.mx.host, target.mx.preference, target.forwarder.empty() ? "" : ", ",
                     target.forwarder);
}

void judge_order(const Subject& subject, const Targets& targets, Finding& finding) {
  const auto& list = targets.list;
  if (std::none_of(list.begin(), list.end(), [](const Target& t) { return t.ours; })) {
    std::string all;
    for (const auto& target : list) all += (all.empty() ? "" : ", ") + shown(target);
    finding.fail(fmt::format("mail goes to {}, and not to {}", all, subject.facts.hostname), mx_fix(subject));
    return;
  }
  const auto best = list.front().mx.preference;
  for (const auto& target : list) {
    if (target.ours) {
      finding.note(shown(target) + " is this host");
    } else if (target.mx.preference == best) {
      finding.fail(fmt::format("mail goes to {} first", shown(target)),
                   fmt::format("remove it: {} MX {} {}", subject.domain, target.mx.preference, target.mx.host));
    } else {
      finding.warn(fmt::format("{} also takes mail, which is not us", shown(target)),
                   fmt::format("remove it unless it passes mail on to us: {} MX {} {}", subject.domain,
                               target.mx.preference, target.mx.host));
    }
  }
}

}  // namespace

Result mx(const Subject& subject, dns::Lookup& lookup) {
  Finding finding(subject.name("mx"));
  const auto* alias = ask(lookup, subject.domain, dns::Type::cname);
  const auto targets = targets_of(subject, lookup);
  if (alias == nullptr || !targets) return std::nullopt;
  const auto& answer = *targets->answer;
  if (answer.status == dns::Status::failure) {
    report_failure(finding, subject.domain + " MX", answer);
    return finding.take();
  }
  if (alias->status == dns::Status::ok && !alias->names.empty()) {
    finding.warn(
        fmt::format("{} is an alias (CNAME) of {}: its records are that name's", subject.domain, alias->names.front()),
        "replace the CNAME by records of the domain's own");
  }
  if (answer.status == dns::Status::nx_domain) {
    finding.fail(subject.domain + " does not exist in DNS", mx_fix(subject));
  } else if (answer.mx.empty()) {
    finding.fail(subject.domain + " has no MX record: mail goes to its A or AAAA record, if to anywhere",
                 mx_fix(subject));
  } else if (targets->list.empty()) {
    finding.fail(subject.domain + " has a null MX: it says that it takes no mail", mx_fix(subject));
  } else {
    if (targets->list.size() != answer.mx.size()) {
      finding.fail("a null MX stands beside other MX records (RFC 7505 §3)", "remove the record MX 0 .");
    }
    judge_order(subject, *targets, finding);
  }
  return finding.take();
}

Result mx_foreign(const Subject& subject, dns::Lookup& lookup) {
  Finding finding(subject.name("mx-foreign"));
  const auto targets = targets_of(subject, lookup);
  if (!targets) return std::nullopt;
  if (targets->list.empty()) return Check();
  for (const auto& target : targets->list) {
    if (target.forwarder.empty()) continue;
    finding.fail(
        fmt::format("{} belongs to {}", target.mx.host, target.forwarder),
        fmt::format("remove it there and here: {} MX {} {}", subject.domain, target.mx.preference, target.mx.host));
  }
  finding.note(fmt::format("no other forwarding service takes mail (of those known in {})", kKnownServicesDate));
  return finding.take();
}

namespace {

// One target that is, or says it is, us.
bool judge_target(const Subject& subject, const Target& target, dns::Lookup& lookup, Finding& finding) {
  const auto& host = target.mx.host;
  if (core::IpAddress::parse(host)) {
    finding.fail(fmt::format("{} is an address; an MX record needs a name (RFC 5321 §5.1)", host), mx_fix(subject));
    return true;
  }
  const auto* alias = ask(lookup, host, dns::Type::cname);
  const auto addresses = addresses_of(lookup, host);
  if (alias == nullptr || !addresses) return false;
  if (alias->status == dns::Status::ok && !alias->names.empty()) {
    finding.fail(fmt::format("{} is an alias (CNAME) of {}; an MX record may not name one (RFC 2181 §10.3)", host,
                             alias->names.front()),
                 mx_fix(subject));
  }
  if (addresses->list.empty()) {
    if (addresses->failed != nullptr) {
      report_failure(finding, host + " A", *addresses->failed);
    } else {
      finding.fail(host + " has no address", "give it A and AAAA records, or use " + subject.facts.hostname);
    }
    return true;
  }
  if (!target.ours) return true;  // the check "mx" says that it is somebody else
  for (const auto& ip : addresses->list) {
    if (is_ours(subject.facts, ip) != Ours::no || is_proxy_address(ip)) continue;
    finding.fail(fmt::format("{} has the address {}, which is not this machine's", host, ip.to_string()),
                 fmt::format("remove it: {} {} {}", host, ip.is_v6() ? "AAAA" : "A", ip.to_string()));
  }
  return true;
}

}  // namespace

namespace {

// Each target that is not another forwarder's; a judge says whether it had all answers it needed.
template <class Judge>
Result over_targets(const Subject& subject, dns::Lookup& lookup, Finding finding, std::string note, Judge judge) {
  const auto targets = targets_of(subject, lookup);
  if (!targets) return std::nullopt;
  if (targets->list.empty()) return Check();
  bool complete = true;
  for (const auto& target : targets->list) {
    if (target.forwarder.empty()) complete = judge(target, finding) && complete;
  }
  if (!complete) return std::nullopt;
  finding.note(std::move(note));
  return finding.take();
}

}  // namespace

Result mx_address(const Subject& subject, dns::Lookup& lookup) {
  return over_targets(
      subject, lookup, Finding(subject.name("mx-address")), "the targets are hosts with addresses",
      [&](const Target& target, Finding& finding) { return judge_target(subject, target, lookup, finding); });
}

Result mx_proxy(const Subject& subject, dns::Lookup& lookup) {
  const auto judge = [&](const Target& target, Finding& finding) {
    const auto addresses = addresses_of(lookup, target.mx.host);
    if (!addresses) return false;
    for (const auto& ip : addresses->list) {
      if (!is_proxy_address(ip)) continue;
      finding.fail(fmt::format("{} has the address {} of Cloudflare's proxy, which takes no mail", target.mx.host,
                               ip.to_string()),
                   fmt::format("set the record of {} to \"DNS only\"", target.mx.host));
    }
    return true;
  };
  return over_targets(subject, lookup, Finding(subject.name("mx-proxy")), "no target is a proxy", judge);
}

// A cache between us and the zone shows what is left of a TTL; our own names are seldom in one.
Result ttl(const Subject& subject, dns::Lookup& lookup) {
  Finding finding(subject.name("ttl"));
  const auto* mx = ask(lookup, subject.domain, dns::Type::mx);
  const auto* txt = ask(lookup, subject.domain, dns::Type::txt);
  const auto host = addresses_of(lookup, subject.facts.hostname);
  if (mx == nullptr || txt == nullptr || !host) return std::nullopt;
  const auto judge = [&](std::string_view what, std::uint32_t seconds, bool there) {
    if (!there) return;
    if (seconds < kShortTtl) {
      finding.warn(fmt::format("{} may be kept for {} s only", what, seconds),
                   fmt::format("give {} a TTL of {}", what, kAdvisedTtl));
    } else {
      finding.note(fmt::format("{} {} s", what, seconds));
    }
  };
  const bool any = mx->status == dns::Status::ok || txt->status == dns::Status::ok || !host->list.empty();
  if (!any) return Check();
  judge(subject.domain + " MX", mx->ttl, mx->status == dns::Status::ok);
  judge(subject.domain + " TXT", txt->ttl, txt->status == dns::Status::ok);
  judge(subject.facts.hostname + " A/AAAA", host->ttl, !host->list.empty());
  return finding.take();
}

Result dnssec(const Subject& subject, dns::Lookup& lookup) {
  Finding finding(subject.name("dnssec"));
  const bool host = subject.domain == subject.facts.hostname;
  const auto* answer = ask(lookup, subject.domain, host ? dns::Type::a : dns::Type::mx);
  if (answer == nullptr) return std::nullopt;
  if (answer->status == dns::Status::failure) {
    report_failure(finding, subject.domain, *answer);
  } else {
    finding.note(answer->authenticated ? "signed, and the resolver has validated it"
                                       : "not signed, or the resolver does not validate");
  }
  return finding.take();
}

}  // namespace app::checks
