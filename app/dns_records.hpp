// What has to be published so that mail finds us and destinations believe us: one record each, made from DnsFacts, and
// the three ways to print them. Pure.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "app/dns_facts.hpp"

namespace app {

struct DnsRecord {
  std::string name;       // without trailing dot
  std::string_view type;  // "MX"
  std::string value;      // host names without trailing dot; the text of a TXT record in one piece
  unsigned priority = 0;  // MX
  std::string_view why;   // one line for people
  bool optional = false;  // good to have; or of use only with something else, as `why` says
  friend bool operator==(const DnsRecord&, const DnsRecord&) = default;
};

inline constexpr unsigned kAdvisedTtl = 3600;  // seconds

// Our own: host name, PTR, SRS domain, DKIM keys.
std::vector<DnsRecord> own_records(const DnsFacts& facts);
// A forwarded domain's, "*.example.org" included. Of a domain that is ours as well: both.
std::vector<DnsRecord> domain_records(const DnsFacts& facts, const std::string& domain);

// The single values, for those who compare.
std::string spf_text(const std::vector<OwnAddress>& egress, std::string_view hostname);
// `record`, a valid SPF record, with `addresses` added in front of what it has.
std::string spf_with(std::string_view record, const std::vector<core::IpAddress>& addresses);
std::string dmarc_text(const DnsFacts& facts, const std::string& domain);
// The id= of the MTA-STS record (RFC 8461 §3.1): changes when our policy does.
std::string mta_sts_id(const DnsFacts& facts);
// "example.org" of "*.example.org"; any other name as it is.
std::string without_wildcard(const std::string& domain);

// "example.org. 3600 IN MX 10 mx.example.org."; strings of at most 255 octets (RFC 1035 §3.3.14).
std::string zone_line(const DnsRecord& record);
// Lines with what they are for; optional ones are commented out.
std::string as_zone(const std::vector<DnsRecord>& records);
// [{name, type, ttl, value, priority?, why, optional}]
nlohmann::json as_json(const std::vector<DnsRecord>& records);
// As Cloudflare's API takes them (POST zones/ZONE/dns_records/batch): {"posts": [{type, name, content, ttl, priority?,
// proxied: false}]}. Without PTR records, which belong to whoever gave us the address, and without optional
// ones.
nlohmann::json as_cloudflare(const std::vector<DnsRecord>& records);

}  // namespace app
