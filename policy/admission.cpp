#include "policy/admission.hpp"

#include <algorithm>
#include <chrono>

namespace policy {

int dnsbl_score(const std::vector<DnsblFinding>& findings) {
  int score = 0;
  for (std::size_t i = 0; i < findings.size(); ++i) {
    const auto same = [&](const DnsblFinding& other) { return other.name == findings[i].name; };
    const auto end = findings.begin() + static_cast<std::ptrdiff_t>(i);
    if (std::find_if(findings.begin(), end, same) == end) score += findings[i].weight;
  }
  return score;
}

std::string dnsbl_names(const std::vector<DnsblFinding>& findings) {
  std::string out;
  std::vector<std::string_view> seen;
  for (const auto& finding : findings) {
    if (finding.weight <= 0 || std::ranges::find(seen, finding.name) != seen.end()) continue;
    seen.push_back(finding.name);
    out += (out.empty() ? "" : ", ") + finding.name;
  }
  return out;
}

// interface.md §4, §6.14: the text is fixed. When only names are listed, they are what is named.
Verdict decide_dnsbl(const AdmissionSettings& settings, const core::IpAddress& client,
                     const std::vector<DnsblFinding>& findings) {
  if (findings.empty() || dnsbl_score(findings) < settings.dnsbl_threshold) return {};
  const auto names = dnsbl_names(findings);
  if (names.empty()) return {};  // allow-lists alone refuse nobody
  std::string subject = client.to_string();
  const auto blocks = [](const DnsblFinding& f) { return f.weight > 0; };
  const bool by_address =
      std::ranges::any_of(findings, [&](const DnsblFinding& f) { return blocks(f) && f.kind == DnsblZone::Kind::ip; });
  if (!by_address) subject = std::ranges::find_if(findings, blocks)->subject;
  return refuse(554, {5, 7, 1}, subject + " found on one or more DNSBLs (" + names + ")", "dnsbl");
}

RdnsFinding find_rdns_fault(const AdmissionSettings& settings, const ReverseResult& reverse,
                            const core::IpAddress& client, std::string_view helo) {
  const auto& causes = settings.rdns_causes;
  const auto ip = client.to_string();
  switch (reverse.state) {
    case ReverseResult::State::missing:
      if (causes.missing) return {"missing", "Your address " + ip + " has no PTR record"};
      break;
    case ReverseResult::State::unconfirmed:
      if (causes.unconfirmed) {
        return {"unconfirmed",
                "The PTR name of your address, " + reverse.names.front() + ", does not lead back to " + ip};
      }
      break;
    case ReverseResult::State::unknown:
      return {"unknown", "The PTR record of your address " + ip + " could not be looked up"};
    case ReverseResult::State::confirmed:
      break;
  }
  if (causes.helo_mismatch && !is_own_name(helo, reverse, client)) {
    const auto name = reverse.names.empty() ? std::string("none") : reverse.names.front();
    return {"helo-mismatch",
            "Your HELO name " + std::string(helo) + " is not the PTR name of your address (" + name + ")"};
  }
  return {};
}

Verdict decide_rdns(const AdmissionSettings& settings, const RdnsFinding& finding) {
  using Rdns = AdmissionSettings::Rdns;
  const bool decides = settings.rdns == Rdns::defer || settings.rdns == Rdns::reject;
  if (finding.cause.empty() || !decides) return {};
  // What DNS does not tell is never a reason to refuse for good (threats DN-05).
  if (finding.cause == "unknown") return refuse(450, {4, 7, 25}, finding.text, "rdns-temperror");
  if (settings.rdns == Rdns::defer) return refuse(450, {4, 7, 25}, finding.text, "rdns");
  return refuse(550, {5, 7, 25}, finding.text, "rdns");
}

Verdict decide_helo(const AdmissionSettings& settings, HeloResult result, std::string_view helo) {
  if (settings.helo != AdmissionSettings::Helo::reject) return {};
  const std::string name(helo);
  switch (result) {
    case HeloResult::fine:
    case HeloResult::literal:
      break;
    case HeloResult::malformed:
      return refuse(550, {5, 7, 1}, "Your HELO name " + name + " is neither a full host name nor an address literal",
                    "helo");
    case HeloResult::unresolvable:
      return refuse(550, {5, 7, 1}, "Your HELO name " + name + " does not exist in DNS", "helo");
    case HeloResult::unknown:
      return refuse(451, {4, 4, 3}, "Your HELO name " + name + " could not be looked up", "helo-temperror");
  }
  return {};
}

Verdict decide_sender_domain(SenderDomain result, std::string_view domain) {
  const std::string name(domain);
  switch (result) {
    case SenderDomain::fine:
      break;
    case SenderDomain::nowhere:
      return refuse(550, {5, 1, 8},
                    "The sender's domain " + name + " does not exist, or takes no mail: no MX, A or AAAA",
                    "sender-domain");
    case SenderDomain::null_mx:
      return refuse(550, {5, 7, 27}, "The sender's domain " + name + " takes no mail: null MX", "sender-domain");
    case SenderDomain::bad_literal:
      return refuse(550, {5, 1, 7}, "The sender's address literal " + name + " is no public mail host",
                    "sender-domain");
    case SenderDomain::unknown:
      return refuse(451, {4, 1, 8}, "The sender's domain " + name + " could not be looked up",
                    "sender-domain-temperror");
  }
  return {};
}

Verdict refuse_access(const core::IpAddress& client) {
  return refuse(554, {5, 7, 1}, "Mail from " + client.to_string() + " is not taken here", "access");
}

Verdict refuse_messages_rate(const core::IpAddress& client) {
  return refuse(450, {4, 7, 1}, "Too many messages from " + client.to_string() + ", try again later", "rate");
}

Verdict refuse_recipients_rate(const core::IpAddress& client) {
  return refuse(450, {4, 7, 1}, "Too many recipients from " + client.to_string() + ", try again later", "rate");
}

Verdict refuse_sender_rate(std::string_view domain) {
  return refuse(450, {4, 7, 1}, "Too many messages from " + std::string(domain) + ", try again later", "rate");
}

Verdict refuse_rule_rate() {
  return refuse(450, {4, 7, 1}, "Too many messages for this recipient, try again later", "rate");
}

// Names nothing: where mail goes on to is the recipient's secret.
Verdict refuse_destination_rate() {
  return refuse(450, {4, 7, 1}, "Too many messages for this recipient's destination, try again later", "rate");
}

Verdict refuse_greylisted(core::Milliseconds left) {
  const auto seconds = std::chrono::ceil<core::Seconds>(left).count();
  return refuse(450, {4, 7, 1}, "We do not know you yet, try again in " + std::to_string(seconds) + " s", "greylist");
}

}  // namespace policy
