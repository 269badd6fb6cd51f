#include "auth/dmarc_policy.hpp"

#include <opendmarc/dmarc.h>

#include <memory>
#include <string>

namespace auth {
namespace {

struct Shutdown {
  void operator()(DMARC_POLICY_T* context) const noexcept { opendmarc_policy_connect_shutdown(context); }
};

u_char* octets(std::string& text) {
  return reinterpret_cast<u_char*>(text.data());
}

// The rule in one line (RFC 9989 §5.3.5, §5.3.6): what libopendmarc is held to by a test, and what stands in when it
// has no memory.
DmarcPolicy by_rule(DmarcPolicy policy, bool aligned) {
  return aligned ? DmarcPolicy::none : policy;
}

}  // namespace

DmarcPolicy enforce_dmarc(DmarcPolicy policy, bool spf_aligned, bool dkim_aligned) {
  const auto fallback = by_rule(policy, spf_aligned || dkim_aligned);
  std::string address = "192.0.2.1", author = "author.example", other = "other.example", selector = "s";
  std::string record = "v=DMARC1; p=" + std::string(to_string(policy)) + "; adkim=s; aspf=s";
  const std::unique_ptr<DMARC_POLICY_T, Shutdown> context(
      opendmarc_policy_connect_init(octets(address), DMARC_POLICY_IP_TYPE_IPV4));
  if (!context) return fallback;
  // The record first: results stored before it are judged as relaxed (libraries.md §3a).
  const bool stored =
      opendmarc_policy_store_from_domain(context.get(), octets(author)) == DMARC_PARSE_OKAY &&
      opendmarc_policy_store_dmarc(context.get(), octets(record), octets(author), nullptr) == DMARC_PARSE_OKAY &&
      opendmarc_policy_store_dkim(context.get(), octets(dkim_aligned ? author : other), octets(selector),
                                  DMARC_POLICY_DKIM_OUTCOME_PASS, nullptr) == DMARC_PARSE_OKAY &&
      opendmarc_policy_store_spf(context.get(), octets(spf_aligned ? author : other), DMARC_POLICY_SPF_OUTCOME_PASS,
                                 DMARC_POLICY_SPF_ORIGIN_MAILFROM, nullptr) == DMARC_PARSE_OKAY;
  if (!stored) return fallback;
  switch (opendmarc_get_policy_to_enforce(context.get())) {
    case DMARC_POLICY_PASS:
    case DMARC_POLICY_NONE:
      return DmarcPolicy::none;
    case DMARC_POLICY_QUARANTINE:
      return DmarcPolicy::quarantine;
    case DMARC_POLICY_REJECT:
      return DmarcPolicy::reject;
    default:
      return fallback;
  }
}

}  // namespace auth
