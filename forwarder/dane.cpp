#include "forwarder/dane.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/text.hpp"

namespace forwarder {
namespace {

using State = Dane::State;

std::string query_name(const std::string& base, std::uint16_t port) {
  return fmt::format("_{}._tcp.{}", port, base);
}

// What the TLSA answer for one candidate base domain means; state none: look at the next candidate.
Dane judge_answer(const dns::Answer& answer, const net::TlsClient& client, const std::string& base,
                  const std::string& name) {
  Dane dane;
  dane.base = base;
  if (answer.status == dns::Status::failure) {
    dane.state = State::failed;
    dane.why = fmt::format("the TLSA records of {} cannot be had: {}", name, answer.error);
    return dane;
  }
  if (!answer.authenticated) {
    dane.why = fmt::format("no DANE: the answer for {} is not signed", name);
    return dane;
  }
  if (answer.status != dns::Status::ok || answer.raw.empty()) {
    dane.why = fmt::format("no DANE: no TLSA records at {}", name);
    return dane;
  }
  std::vector<net::Tlsa> parsed;
  for (const auto& rdata : answer.raw) {
    if (auto record = net::parse_tlsa(rdata)) parsed.push_back(std::move(*record));
  }
  dane.records = client.usable(parsed);
  dane.state = dane.records.empty() ? State::unusable : State::usable;
  dane.why = dane.records.empty()
                 ? fmt::format("DANE: none of the {} TLSA records at {} is usable: encryption without verification",
                               answer.raw.size(), name)
                 : fmt::format("DANE: {} usable TLSA records at {}", dane.records.size(), name);
  return dane;
}

}  // namespace

net::Awaitable<Dane> find_dane(dns::Resolver& resolver, const net::TlsClient& client, Host host, Addresses addresses,
                               std::string domain, core::Deadline deadline) {
  Dane dane;
  if (!host.secure) {
    dane.why = "no DANE: the MX answer is not signed (or the resolver is not trusted to say so)";
    co_return dane;
  }
  // RFC 7672 §2.2.3: the name that CNAMEs lead to, when all of them are signed, then the name as the MX gives it.
  std::vector<std::string> bases;
  const auto initial = core::lower(host.name);
  if (addresses.secure) {
    if (!addresses.canonical.empty()) bases.push_back(addresses.canonical);
    bases.push_back(initial);
  } else if (!addresses.canonical.empty()) {
    // A signed alias that leads to an unsigned place: the name itself may have records.
    dns::Question question{initial, dns::Type::cname};
    const auto alias = co_await resolver.resolve(std::move(question), deadline);
    if (alias.status == dns::Status::failure) {
      dane.state = State::failed;
      dane.why = fmt::format("the alias {} cannot be looked up: {}", initial, alias.error);
      co_return dane;
    }
    if (alias.status == dns::Status::ok && alias.authenticated) bases.push_back(initial);
  }
  if (bases.empty()) {
    dane.why = fmt::format("no DANE: the address of {} is not signed", initial);
    co_return dane;
  }
  for (const auto& base : bases) {
    const auto name = query_name(base, host.port);
    dns::Question question{name, dns::Type::tlsa};
    const auto answer = co_await resolver.resolve(std::move(question), deadline);
    dane = judge_answer(answer, client, base, name);
    if (dane.state != State::none) break;
  }
  for (const auto& other : {initial, domain}) {
    if (other != dane.base && !other.empty()) dane.names.push_back(other);
  }
  co_return dane;
}

}  // namespace forwarder
