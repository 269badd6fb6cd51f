// Who may talk to us, and how much, as far as configuration and findings decide it (interface.md [policy], §4, §6.7,
// §6.13, §6.14): pure functions from what was found to a refusal, or none. forwarder/admission gathers the findings.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "policy/client_names.hpp"
#include "policy/dnsbl.hpp"
#include "policy/greylist.hpp"
#include "policy/rates.hpp"
#include "policy/verdict.hpp"

namespace policy {

// Everything is off here; the defaults of the keys are configuration's (app/config_policy.cpp).
struct AdmissionSettings {
  std::vector<DnsblZone> lists;  // [[dnsbl]], in file order
  int dnsbl_threshold = 1;
  enum class Rdns { off, warn, defer, reject } rdns = Rdns::off;
  struct RdnsCauses {
    bool missing = true, unconfirmed = true, helo_mismatch = false;
  } rdns_causes;
  enum class Helo { off, warn, reject } helo = Helo::off;
  enum class Sender { off, reject } sender_domain = Sender::off;
  RateLimit messages_per_client, recipients_per_client, messages_per_sender_domain;
  RateLimit recipients_per_rule, recipients_per_destination;
  GreylistSettings greylist;
};

// What one list said of a client, or of one of its domains.
struct DnsblFinding {
  std::string name;  // of the list
  std::string subject;
  int weight = 0;
  DnsblZone::Kind kind = DnsblZone::Kind::ip;
};
// The score: the weights of all lists that list the client, each list once.
int dnsbl_score(const std::vector<DnsblFinding>& findings);
// "zen, dbl": block lists in the order of the findings, each once.
std::string dnsbl_names(const std::vector<DnsblFinding>& findings);
Verdict decide_dnsbl(const AdmissionSettings& settings, const core::IpAddress& client,
                     const std::vector<DnsblFinding>& findings);

// The client's name, by the causes that count. "" : nothing to find fault with (or DNS did not answer).
struct RdnsFinding {
  std::string_view cause;  // "missing", "unconfirmed", "helo-mismatch", "unknown"; "" none
  std::string text;
};
RdnsFinding find_rdns_fault(const AdmissionSettings& settings, const ReverseResult& reverse,
                            const core::IpAddress& client, std::string_view helo);
Verdict decide_rdns(const AdmissionSettings& settings, const RdnsFinding& finding);

Verdict decide_helo(const AdmissionSettings& settings, HeloResult result, std::string_view helo);
Verdict decide_sender_domain(SenderDomain result, std::string_view domain);

Verdict refuse_access(const core::IpAddress& client);
Verdict refuse_messages_rate(const core::IpAddress& client);
Verdict refuse_recipients_rate(const core::IpAddress& client);
Verdict refuse_sender_rate(std::string_view domain);
Verdict refuse_rule_rate();
Verdict refuse_destination_rate();
Verdict refuse_greylisted(core::Milliseconds left);

}  // namespace policy
