#include "policy/exceptions.hpp"

#include <algorithm>
#include <array>

#include "core/text.hpp"

namespace policy {
namespace {

constexpr std::array<std::pair<std::string_view, Check>, 12> kNames{{
    {"access", Check::access},
    {"dnsbl", Check::dnsbl},
    {"spf", Check::spf},
    {"dmarc", Check::dmarc},
    {"require-auth", Check::require_auth},
    {"forecast", Check::forecast},
    {"rdns", Check::rdns},
    {"helo", Check::helo},
    {"sender-domain", Check::sender_domain},
    {"early-talker", Check::early_talker},
    {"rate", Check::rate},
    {"greylist", Check::greylist},
}};

struct Matches {
  const Party& party;

  bool operator()(const core::Prefix& network) const { return network.contains(party.client); }
  bool operator()(const std::string& domain) const {
    if (party.sender != nullptr && !party.sender->null() && core::iequals(party.sender->mailbox.domain, domain)) {
      return true;
    }
    return std::ranges::find(party.author_domains, domain) != party.author_domains.end();
  }
  bool operator()(const mail::Mailbox& address) const {
    if (party.sender == nullptr || party.sender->null()) return false;
    const auto& sender = party.sender->mailbox;
    return core::iequals(sender.local, address.local) && core::iequals(sender.domain, address.domain);
  }
};

}  // namespace

std::string_view to_string(Check check) {
  return kNames[static_cast<std::size_t>(check)].first;
}

std::optional<Check> parse_check(std::string_view name) {
  for (const auto& [known, check] : kNames) {
    if (known == name) return check;
  }
  return std::nullopt;
}

std::vector<std::string_view> check_names() {
  std::vector<std::string_view> names;
  for (const auto& [name, check] : kNames) names.push_back(name);
  return names;
}

std::optional<decltype(Exception::match)> parse_exception_match(std::string_view text) {
  if (const auto network = core::Prefix::parse(text)) return *network;
  if (text.find('@') == std::string_view::npos) {
    if (!mail::is_domain(text)) return std::nullopt;
    return core::lower(text);
  }
  auto mailbox = mail::parse_mailbox(text, mail::Utf8::yes);
  if (!mailbox) return std::nullopt;
  return std::move(*mailbox);
}

Checks skipped_checks(std::span<const Exception> exceptions, const Party& party) {
  Checks skipped;
  for (const auto& exception : exceptions) {
    if (std::visit(Matches{party}, exception.match)) skipped.add(exception.skip);
  }
  return skipped;
}

}  // namespace policy
