#include "app/dns_records.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "auth/signing_key.hpp"
#include "auth/spf_macro.hpp"
#include "forwarder/mta_sts.hpp"

namespace app {
namespace {

using nlohmann::json;

constexpr unsigned kPriority = 10;

class Records {
 public:
  // Nobody is told the same twice.
  void add(DnsRecord record) {
    const bool there = std::any_of(list_.begin(), list_.end(), [&](const DnsRecord& other) {
      return other.name == record.name && other.type == record.type && other.value == record.value;
    });
    if (!there) list_.push_back(std::move(record));
  }
  void txt(std::string name, std::string text, std::string_view why) {
    add({std::move(name), "TXT", std::move(text), 0, why, false});
  }
  std::vector<DnsRecord> take() { return std::move(list_); }

 private:
  std::vector<DnsRecord> list_;
};

void add_address(Records& out, const std::string& name, const core::IpAddress& ip) {
  out.add({name, ip.is_v6() ? "AAAA" : "A", ip.to_string(), 0, "the host itself; never behind a proxy", false});
}

void add_host(const DnsFacts& facts, Records& out) {
  for (const auto& ip : facts.inbound) add_address(out, facts.hostname, ip);
  for (const auto& own : facts.egress) add_address(out, own.helo, own.address);
  std::vector<std::string> names{facts.hostname};
  for (const auto& own : facts.egress) {
    if (std::find(names.begin(), names.end(), own.helo) == names.end()) names.push_back(own.helo);
  }
  for (const auto& name : names) {
    std::vector<OwnAddress> those;
    std::copy_if(facts.egress.begin(), facts.egress.end(), std::back_inserter(those),
                 [&](const OwnAddress& own) { return own.helo == name; });
    if (those.empty() && !facts.egress.empty()) continue;  // never said in EHLO
    out.txt(name, spf_text(those, name), "SPF of the name in our EHLO: counts for bounces, which have no sender");
  }
  for (const auto& own : facts.egress) {
    out.add({auth::reverse_name(own.address), "PTR", own.helo, 0,
             "set by whoever gave you the address; must lead back to the name in our EHLO", false});
  }
  for (const auto& certificate : facts.certificates) {
    if (!certificate.covers(facts.hostname)) continue;
    out.add({"_25._tcp." + facts.hostname, "TLSA", certificate.tlsa().to_string(), 0,
             "DANE: only in a zone with DNSSEC, and to be changed before the certificate's key is", true});
  }
}

void add_keys(const std::vector<PublishedKey>& keys, Records& out) {
  for (const auto& key : keys) out.txt(key.name(), key.record, "DKIM: the key our signatures are checked with");
}

void add_srs(const DnsFacts& facts, Records& out) {
  if (facts.srs_domain.empty()) return;
  out.add({facts.srs_domain, "MX", facts.hostname, kPriority, "bounces to rewritten senders come back here", false});
  out.txt(facts.srs_domain, spf_text(facts.egress, facts.hostname), "SPF of the senders that we rewrite to");
  out.txt("_dmarc." + facts.srs_domain, dmarc_text(facts, facts.srs_domain), "DMARC");
}

}  // namespace

std::string without_wildcard(const std::string& domain) {
  return domain.starts_with("*.") ? domain.substr(2) : domain;
}

std::string spf_text(const std::vector<OwnAddress>& egress, std::string_view hostname) {
  if (egress.empty()) return fmt::format("v=spf1 a:{} -all", hostname);
  std::vector<core::IpAddress> addresses;
  for (const auto& own : egress) addresses.push_back(own.address);
  return spf_with("v=spf1 -all", addresses);
}

std::string spf_with(std::string_view record, const std::vector<core::IpAddress>& addresses) {
  constexpr std::string_view kVersion = "v=spf1";
  std::string out(kVersion);
  for (const auto& ip : addresses) out += fmt::format(" {}:{}", ip.is_v6() ? "ip6" : "ip4", ip.to_string());
  return out + std::string(record.substr(kVersion.size()));
}

std::string dmarc_text(const DnsFacts& facts, const std::string& domain) {
  // postmaster@ a domain of ours is always taken; of a domain that has only its subdomains here it is not.
  const bool taken = facts.has_domain(domain) || domain == facts.srs_domain || domain == facts.hostname;
  return "v=DMARC1; p=quarantine" + (taken ? "; rua=mailto:postmaster@" + domain : std::string());
}

std::string mta_sts_id(const DnsFacts& facts) {
  return forwarder::own_sts_id(forwarder::own_sts_policy(facts.hostname));
}

std::vector<DnsRecord> own_records(const DnsFacts& facts) {
  Records out;
  add_host(facts, out);
  add_srs(facts, out);
  add_keys(facts.keys, out);
  if (const auto domain = facts.signing_domain(); !domain.empty()) {
    out.txt("_dmarc." + domain, dmarc_text(facts, domain), "DMARC");
  }
  return out.take();
}

std::vector<DnsRecord> domain_records(const DnsFacts& facts, const std::string& domain) {
  Records out;
  const auto base = without_wildcard(domain);
  out.add(
      {domain, "MX", facts.hostname, kPriority, "mail to this domain comes to us; remove all other MX records", false});
  out.txt(domain, spf_text(facts.egress, facts.hostname),
          "SPF: only one such record a name; put other hosts that send as this domain before \"-all\"");
  if (const auto own = facts.domain_keys.find(domain); own != facts.domain_keys.end()) add_keys(own->second, out);
  out.txt("_dmarc." + base, dmarc_text(facts, base), "DMARC: begin with p=none when others send as this domain too");
  if (domain != base) return out.take();
  out.txt("_smtp._tls." + domain, forwarder::own_tlsrpt_record("postmaster@" + domain),
          "TLS-RPT: reports of failed TLS");
  const bool later = !facts.serves_mta_sts;
  const std::string_view why = later ? "MTA-STS: needs [https], which serves the policy" : "MTA-STS";
  out.add({"_mta-sts." + domain, "TXT", forwarder::own_sts_record(mta_sts_id(facts)), 0, why, later});
  out.add({"mta-sts." + domain, "CNAME", facts.hostname, 0, why, later});
  return out.take();
}

std::string zone_line(const DnsRecord& record) {
  const auto owner = fmt::format("{}. {} IN {}", record.name, kAdvisedTtl, record.type);
  if (record.type == "TXT") {
    const auto line = auth::zone_txt(record.name, record.value);  // NAME. IN TXT (...)
    return owner + line.substr(record.name.size() + std::string_view(". IN TXT").size());
  }
  if (record.type == "MX") return fmt::format("{} {} {}.", owner, record.priority, record.value);
  const bool names_host = record.type == "PTR" || record.type == "CNAME";
  return fmt::format("{} {}{}", owner, record.value, names_host ? "." : "");
}

std::string as_zone(const std::vector<DnsRecord>& records) {
  std::string out;
  for (const auto& record : records) {
    out += fmt::format("; {}{}\n{}{}\n", record.optional ? "optional: " : "", record.why, record.optional ? ";" : "",
                       zone_line(record));
  }
  return out;
}

json as_json(const std::vector<DnsRecord>& records) {
  json out = json::array();
  for (const auto& record : records) {
    json one{{"name", record.name},   {"type", std::string(record.type)}, {"ttl", kAdvisedTtl},
             {"value", record.value}, {"why", std::string(record.why)},   {"optional", record.optional}};
    if (record.type == "MX") one["priority"] = record.priority;
    out.push_back(std::move(one));
  }
  return out;
}

json as_cloudflare(const std::vector<DnsRecord>& records) {
  json posts = json::array();
  for (const auto& record : records) {
    if (record.optional || record.type == "PTR") continue;
    auto content = record.value;
    if (record.type == "TXT") {
      const auto line = auth::zone_txt(record.name, record.value);
      const auto open = line.find('('), close = line.rfind(')');
      content = line.substr(open + 2, close - open - 3);  // the quoted strings alone
    }
    json one{{"type", std::string(record.type)},
             {"name", record.name},
             {"content", content},
             {"ttl", kAdvisedTtl},
             {"proxied", false}};
    if (record.type == "MX") one["priority"] = record.priority;
    posts.push_back(std::move(one));
  }
  return {{"posts", posts}};
}

}  // namespace app
