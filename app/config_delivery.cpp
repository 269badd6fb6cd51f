// onward.toml: how mail leaves. [delivery], [[route]].
#include <fmt/format.h>

#include <algorithm>

#include "app/config_text.hpp"
#include "core/text.hpp"

namespace app {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMaxSources = 256;
constexpr std::size_t kMaxRoutes = 10'000;
constexpr std::size_t kMaxVia = 20;

forwarder::UpstreamTls read_upstream_tls(Section& section) {
  using Tls = forwarder::UpstreamTls;
  return section.choice(
      "tls", Tls::opportunistic,
      {{"none", Tls::none}, {"opportunistic", Tls::opportunistic}, {"encrypt", Tls::encrypt}, {"verify", Tls::verify}});
}

std::vector<forwarder::Source> read_sources(Section& section, std::string_view key, bool v6) {
  std::vector<forwarder::Source> sources;
  auto elements = section.elements(key);
  if (elements.size() > kMaxSources) section.error(key, fmt::format("has more than {} addresses", kMaxSources));
  for (auto& element : elements) {
    std::optional<Text> address;
    std::string helo;
    if (element.text) {
      address = std::move(element.text);
    } else {
      address = element.table->required("address", v6 ? "2001:db8::25" : "192.0.2.25");
      helo = element.table->text("helo", "");
      if (!helo.empty() && !mail::is_domain(helo)) {
        element.table->error("helo", "is no host name; write the name that the address's PTR record has");
      }
      element.table->finish();
    }
    if (!address) continue;
    const auto ip = core::IpAddress::parse(address->value);
    if (!ip || ip->is_v6() != v6) {
      section.error_at(address->line, key,
                       fmt::format("\"{}\" is no {} address; write for example \"{}\"", core::printable(address->value),
                                   v6 ? "IPv6" : "IPv4", v6 ? "2001:db8::25" : "192.0.2.25"));
      continue;
    }
    sources.push_back({*ip, core::lower(helo)});
  }
  return sources;
}

std::optional<forwarder::NextHopRoute::Via> parse_via(std::string_view text, std::uint16_t mx_port) {
  forwarder::NextHopRoute::Via via;
  if (text.starts_with("mx:")) {
    text.remove_prefix(3);
    via.mx = true;
    via.port = mx_port;
    if (mail::is_domain(text)) {
      via.host = core::lower(text);
      return via;
    }
  }
  const auto parsed = core::HostPort::parse(text);
  if (!parsed || parsed->port == 0) return std::nullopt;
  const auto ip = core::IpAddress::parse(parsed->host);
  if (!ip && !mail::is_domain(parsed->host)) return std::nullopt;
  if (ip && via.mx) return std::nullopt;
  // "192.0.2.256" is a legal name to the letter, and a slip of the pen in truth.
  const bool numeric = core::is_digit(parsed->host.back());
  if (!ip && numeric) return std::nullopt;
  via.host = core::lower(parsed->host);
  via.port = parsed->port;
  return via;
}

void read_route(Section section, MainText& out) {
  forwarder::NextHopRoute route;
  const auto domain = section.required("domain", "inbox.example");
  if (domain && domain->value != "*" && !mail::is_domain(domain->value)) {
    section.error("domain", "is no domain; write the destination's domain, or \"*\" for all others");
  }
  if (domain) route.domain = core::lower(domain->value);
  if (!section.has("via")) section.error("via", "is missing; write for example via = [\"192.0.2.25:25\"]");
  const auto hops = section.texts("via");
  if (section.has("via") && hops.empty()) section.error("via", "is empty; name at least one \"host:port\"");
  if (hops.size() > kMaxVia) section.error("via", fmt::format("has more than {} hosts", kMaxVia));
  for (const auto& hop : hops) {
    auto via = parse_via(hop.value, out.config.forwarding.delivery.port);
    if (via) {
      route.via.push_back(std::move(*via));
    } else {
      section.error_at(hop.line, "via",
                       fmt::format("\"{}\" is no host; write \"host:port\", \"[IPv6]:port\" or \"mx:domain\"",
                                   core::printable(hop.value)));
    }
  }
  route.protocol = section.choice("protocol", forwarder::Protocol::smtp,
                                  {{"smtp", forwarder::Protocol::smtp}, {"lmtp", forwarder::Protocol::lmtp}});
  route.tls = read_upstream_tls(section);
  section.finish();
  auto& all = out.config.forwarding.next_hops;
  if (std::any_of(all.begin(), all.end(), [&](const auto& other) { return other.domain == route.domain; })) {
    section.error("domain", fmt::format("{} has a route already; a domain has one, with all its hosts in via",
                                        core::printable(route.domain)));
    return;
  }
  all.push_back(std::move(route));
}

}  // namespace

void read_delivery(Section& root, MainText& out) {
  auto section = root.table("delivery");
  auto& d = out.config.forwarding.delivery;
  const Range<core::Milliseconds> timeout{1s, 1h};
  d.prefer = section.choice("prefer", d.prefer, {{"ipv6", forwarder::Family::ipv6}, {"ipv4", forwarder::Family::ipv4}});
  d.port = static_cast<std::uint16_t>(section.number("port", d.port, {1, 65535}));
  d.connect_timeout = section.duration("connect_timeout", d.connect_timeout, timeout);
  d.command_timeout = section.duration("command_timeout", d.command_timeout, timeout);
  d.rcpt_patience = section.duration("rcpt_patience", d.rcpt_patience, timeout);
  d.handoff = section.duration("handoff", d.handoff, timeout, Section::Zero::off);
  d.deadline = section.duration("deadline", d.deadline, timeout);
  d.tls = read_upstream_tls(section);
  d.tls_fallback = section.choice("tls_fallback", d.tls_fallback,
                                  {{"remembered", forwarder::TlsFallback::remembered},
                                   {"always", forwarder::TlsFallback::always},
                                   {"never", forwarder::TlsFallback::never}});
  if (auto file = section.maybe_text("tls_ca_file")) out.tls_ca_file = std::move(*file);
  d.dane = section.flag("dane", d.dane);
  d.mta_sts = section.flag("mta_sts", d.mta_sts);
  d.source_ipv4 = read_sources(section, "source_ipv4", false);
  d.source_ipv6 = read_sources(section, "source_ipv6", true);
  d.connections_per_destination =
      section.count("connections_per_destination", d.connections_per_destination, {1, 10'000});
  d.private_destinations = section.flag("private_destinations", d.private_destinations);
  d.errors = section.choice("errors", d.errors,
                            {{"full", forwarder::ErrorDetail::full},
                             {"masked", forwarder::ErrorDetail::masked},
                             {"code-only", forwarder::ErrorDetail::code_only}});
  d.custody =
      section.choice("custody", d.custody, {{"inline", policy::Custody::sender}, {"queue", policy::Custody::queue}});
  if (d.rcpt_patience > d.deadline) {
    section.error("rcpt_patience", "is more than deadline; it is one part of it and must be less");
  }
  section.finish();

  auto routes = root.tables("route");
  if (routes.size() > kMaxRoutes) {
    root.error("route", fmt::format("there are more than {}", kMaxRoutes));
    return;
  }
  for (auto& route : routes) read_route(std::move(route), out);
}

}  // namespace app
