#include "forwarder/dressing.hpp"

#include <algorithm>

#include "auth/authentication_results.hpp"

namespace forwarder {
namespace {

using Signers = std::vector<std::shared_ptr<const auth::Signer>>;

// The fields that stay, from the top.
std::vector<mail::HeaderField> kept_fields(const Dressing& dressing, const std::vector<mail::Message::Cut>& cuts) {
  std::vector<mail::HeaderField> fields;
  for (const auto& field : dressing.headers.fields()) {
    const auto offset = static_cast<std::uint64_t>(field.raw.data() - dressing.header_section.data());
    const bool cut = std::ranges::any_of(cuts, [offset](const auto& c) { return c.offset == offset; });
    if (!cut) fields.push_back(field);
  }
  return fields;
}

std::vector<const Signers*> signers_for(const Config& config, const std::set<std::string>& forwarded) {
  std::vector<const Signers*> all{&config.signers};
  for (const auto& domain : forwarded) {
    if (const auto own = config.domain_signers.find(domain); own != config.domain_signers.end()) {
      all.push_back(&own->second);
    }
  }
  return all;
}

// RFC 8617 §5.1: a chain whose keys DNS did not give is neither continued nor called broken.
bool may_seal(const auth::ArcResult& arc) {
  return arc.result != auth::Verdict::fail || arc.reason.find("DNS:") == std::string::npos;
}

core::Result<void> add_arc_set(const Dressing& dressing, std::span<const mail::HeaderField> fields,
                               core::Wall::time_point now, std::string& prefix) {
  const auto& sealer = dressing.config.sealer;
  if (!sealer || dressing.results == nullptr || !may_seal(dressing.results->arc)) return {};
  const auth::SignedFields covered(fields, auth::Cover::arc);
  const auto results = auth::authentication_results_text(dressing.config.hostname, *dressing.results);
  const auth::ArcMessage message{dressing.headers, covered.names(), covered.canonical(), dressing.body_hash};
  auto set = sealer->seal(dressing.results->arc, results, message, now);
  if (!set) return set.error();
  prefix += *set;
  return {};
}

}  // namespace

std::vector<std::string> signing_domains(const Config& config, const std::set<std::string>& forwarded) {
  std::vector<std::string> domains;
  for (const auto* signers : signers_for(config, forwarded)) {
    for (const auto& signer : *signers) {
      if (std::ranges::find(domains, signer->domain()) == domains.end()) domains.push_back(signer->domain());
    }
  }
  return domains;
}

core::Result<mail::Message> dress(const Dressing& dressing, core::Wall::time_point now) {
  const auto& config = dressing.config;
  mail::Message message;
  message.cuts = forged_results(dressing.headers, dressing.header_section, config.hostname);
  const auto fields = kept_fields(dressing, message.cuts);
  auto& prefix = message.prefix;
  if (const auto sealed = add_arc_set(dressing, fields, now, prefix); !sealed) return sealed.error();

  const auth::SignedFields covered(fields);
  for (const auto* signers : signers_for(config, dressing.domains)) {
    for (const auto& signer : *signers) {
      const auto field = signer->sign(covered, dressing.body_hash, now);
      if (!field) return field.error();
      prefix += *field;
    }
  }
  if (dressing.results != nullptr) {
    prefix += auth::make_authentication_results(config.hostname, *dressing.results);
    if (dressing.quarantine) prefix += mail::make_field("X-Onward-Disposition", "quarantine (dmarc)");
    if (config.auth.spf != policy::AuthSettings::Spf::off) {
      prefix += auth::received_spf_field(dressing.results->spf, *dressing.envelope, config.hostname);
    }
  }
  for (const auto* recipient : dressing.recipients) {
    prefix += mail::make_field("Delivered-To", config.loop_token->make(recipient->mailbox));
  }
  prefix += received_field(dressing.received);
  return message;
}

}  // namespace forwarder
