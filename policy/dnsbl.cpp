#include "policy/dnsbl.hpp"

#include <algorithm>

#include "core/text.hpp"
#include "mail/address.hpp"

namespace policy {
namespace {

constexpr std::size_t kMaxName = 253;

unsigned char octet(const core::IpAddress& ip, std::size_t i) {
  return static_cast<unsigned char>(ip.bytes()[i]);
}

bool in(const DnsblZone::Range& range, const core::IpAddress& ip) {
  return range.first <= ip && ip <= range.last;
}

// 127.255.255.0/24: the resolver is refused (no RFC says so, every large list does); 127.0.0.0 and .1 are no listings
// (RFC 5782 §2.1); and what is outside of 127.0.0.0/8 comes from a parked domain or a captive portal.
bool is_trouble(const core::IpAddress& ip) {
  if (ip.is_v6() || octet(ip, 0) != 127) return true;
  if (octet(ip, 1) == 255 && octet(ip, 2) == 255) return true;
  return octet(ip, 1) == 0 && octet(ip, 2) == 0 && octet(ip, 3) <= 1;
}

std::string shown(const dns::Answer& answer) {
  std::string out;
  for (const auto& ip : answer.addresses) out += (out.empty() ? "" : " ") + ip.to_string();
  return out;
}

// Of a self-test: any answer that is no trouble is a listing, whatever `listed` says.
Listing judge_test(const dns::Answer& answer) {
  return judge_listing(DnsblZone(), answer);
}

std::string trouble_text(const dns::Answer& answer) {
  return "it answers " + shown(answer) + ", which no list means: it refuses our resolver, or its domain is gone";
}

}  // namespace

std::optional<DnsblZone::Range> parse_answer_range(std::string_view text) {
  const auto dash = text.find('-');
  const auto first = core::IpAddress::parse(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : core::IpAddress::parse(text.substr(dash + 1));
  if (!first || !last || first->is_v6() || last->is_v6() || *last < *first) return std::nullopt;
  return DnsblZone::Range{*first, *last};
}

dns::Question question_about(const DnsblZone& zone, const core::IpAddress& client) {
  return {client.unmapped().to_reversed_labels() + "." + zone.zone, dns::Type::a};
}

std::optional<dns::Question> question_about(const DnsblZone& zone, std::string_view domain) {
  if (domain.ends_with('.')) domain.remove_suffix(1);
  if (!mail::is_domain(domain) || domain.find('.') == std::string_view::npos) return std::nullopt;
  if (core::IpAddress::parse(domain)) return std::nullopt;  // lists of names refuse to be asked about addresses
  if (domain.size() + 1 + zone.zone.size() > kMaxName) return std::nullopt;
  return dns::Question{core::lower(domain) + "." + zone.zone, dns::Type::a};
}

Listing judge_listing(const DnsblZone& zone, const dns::Answer& answer) {
  if (answer.status == dns::Status::failure) return Listing::silent;
  if (answer.status != dns::Status::ok) return Listing::no;
  const auto asked_for = [&](const core::IpAddress& ip) {
    return std::ranges::any_of(zone.listed, [&](const auto& range) { return in(range, ip); });
  };
  bool listed = false;
  for (const auto& ip : answer.addresses) {
    const bool refused = octet(ip, 0) == 127 && ip.is_v4() && octet(ip, 1) == 255 && octet(ip, 2) == 255;
    if (refused || (is_trouble(ip) && !asked_for(ip))) return Listing::wrong;
    listed = listed || zone.listed.empty() || asked_for(ip);
  }
  return listed ? Listing::yes : Listing::no;
}

std::vector<dns::Question> self_test_questions(const DnsblZone& zone) {
  const auto question = [&](std::string_view label) {
    return dns::Question{std::string(label) + "." + zone.zone, dns::Type::a};
  };
  if (zone.kind == DnsblZone::Kind::domain) return {question("test"), question("invalid")};
  std::vector<dns::Question> out;
  for (const auto* address : {"127.0.0.2", "127.0.0.1", "::ffff:7f00:2", "::ffff:7f00:1"}) {
    // As written: the IPv6 ones are asked for by their nibbles, although they are mapped IPv4.
    out.push_back(question(core::IpAddress::parse(address).value_or(core::IpAddress()).to_reversed_labels()));
  }
  return out;
}

std::string self_test_problem(const DnsblZone& zone, std::span<const dns::Answer> answers) {
  const bool names = zone.kind == DnsblZone::Kind::domain;
  bool listed = false, clean_known = false;
  std::string silent;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const bool must_be_listed = i % 2 == 0;
    switch (judge_test(answers[i])) {
      case Listing::wrong:
        return trouble_text(answers[i]);
      case Listing::silent:
        silent = "it does not answer: " + core::printable(answers[i].error);
        break;
      case Listing::yes:
        if (!must_be_listed) {
          return names ? "it lists the name INVALID, and so probably everybody"
                       : "it lists 127.0.0.1, and so probably everybody";
        }
        listed = true;
        break;
      case Listing::no:
        clean_known = clean_known || !must_be_listed;
        break;
    }
  }
  if (listed && clean_known) return "";
  if (!silent.empty()) return silent;
  return names ? "it does not list its test entry TEST: it is dead or empty"
               : "it does not list its test entry 127.0.0.2: it is dead or empty";
}

}  // namespace policy
