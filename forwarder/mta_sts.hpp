// MTA-STS (RFC 8461) as text: the TXT record, the policy file, and which mail hosts a policy allows. Pure: where they
// come from and how long they are kept is the matter of forwarder/sts_finder and forwarder/sts_store.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.hpp"
#include "core/secret_file.hpp"

namespace forwarder {

inline constexpr std::size_t kMaxStsPolicy = 64 * 1024;  // octets of a policy file
inline constexpr std::size_t kMaxStsHosts = 1000;        // mx patterns kept of one
inline constexpr core::Seconds kMaxStsAge{31'557'600};   // RFC 8461 §3.2: one year

enum class StsMode { none, testing, enforce };
std::string_view to_string(StsMode mode);

struct StsPolicy {
  StsMode mode = StsMode::none;
  std::vector<std::string> mx;  // "mx.example.org", "*.example.org"; lower case
  core::Seconds max_age{0};
  std::string text;  // as it was fetched, for reports
};

// "v=STSv1; id=20160831085700Z;" -> the id. Nothing: no such record, or one that breaks the grammar (§3.1).
std::optional<std::string> parse_sts_record(std::string_view txt);
// Of all TXT records at _mta-sts.DOMAIN: exactly one may claim to be ours, and it must be good (§3.1).
std::optional<std::string> choose_sts_record(const std::vector<std::string>& texts);

// The policy file (§3.2). Of keys that are there twice the first one counts. The error says what is wrong.
core::Explained<StsPolicy> parse_sts_policy(std::string_view text);

// Does the policy allow mail to this MX host (§4.1)? "*." stands for exactly one label.
bool sts_allows(const StsPolicy& policy, std::string_view host);

// ---- our own side

inline constexpr std::string_view kStsPath = "/.well-known/mta-sts.txt";

// The policy of a domain whose only mail host is `mx_host`: enforce, one week.
std::string own_sts_policy(std::string_view mx_host);
// The id= of its record (§3.1): changes with the policy and only with it.
std::string own_sts_id(std::string_view policy);
// The TXT record for _mta-sts.DOMAIN.
std::string own_sts_record(std::string_view id);
// The TXT record for _smtp._tls.DOMAIN (RFC 8460 §3).
std::string own_tlsrpt_record(std::string_view mail_address);

}  // namespace forwarder
