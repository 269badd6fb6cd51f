// onward.toml as a whole, and its parts about the service itself.
#include <fmt/format.h>

#include <algorithm>

#include "app/config_text.hpp"
#include "app/values.hpp"
#include "core/text.hpp"
#include "core/units.hpp"

namespace app {
namespace {

using namespace std::chrono_literals;

constexpr unsigned kMaxThreads = 256;
constexpr unsigned kMaxConnections = 1'000'000;
constexpr unsigned kMaxListeners = 100;
constexpr std::uint64_t kKiB = 1024, kMiB = 1024 * kKiB, kGiB = 1024 * kMiB, kTiB = 1024 * kGiB;
constexpr Range<core::Milliseconds> kTimeout{1s, 24h};

void read_listener(Section section, MainText& out) {
  ListenerConfig listener;
  listener.where = fmt::format("{}:{}", section.file(), section.line());
  const auto address = section.required("address", "[::]:25");
  listener.tls = section.choice(
      "tls", smtpd::TlsMode::starttls,
      {{"none", smtpd::TlsMode::none}, {"starttls", smtpd::TlsMode::starttls}, {"implicit", smtpd::TlsMode::implicit}});
  using net::ProxyMode;
  listener.proxy = section.choice(
      "proxy_protocol", ProxyMode::off,
      {{"off", ProxyMode::off}, {"v1", ProxyMode::v1}, {"v2", ProxyMode::v2}, {"auto", ProxyMode::either}});
  const auto trusted = section.texts("trusted_proxies");
  for (const auto& cidr : trusted) {
    if (const auto network = core::Prefix::parse(cidr.value)) {
      listener.proxies.push_back(*network);
    } else {
      section.error_at(cidr.line, "trusted_proxies",
                       fmt::format("\"{}\" is no network; write for example \"192.0.2.0/24\", host bits zero",
                                   core::printable(cidr.value)));
    }
  }
  if (listener.proxy != ProxyMode::off && trusted.empty()) {
    section.error("proxy_protocol", "needs trusted_proxies; name the networks of the proxies there");
  } else if (listener.proxy == ProxyMode::off && !trusted.empty()) {
    section.warn("trusted_proxies", "is of no use with proxy_protocol = \"off\"; write v1, v2 or auto");
  }
  section.finish();
  if (!address) return;
  listener.address = address->value;
  const bool inherited = listener.address == "systemd" || listener.address.starts_with("systemd:") ||
                         (listener.address.starts_with("fd:") && core::parse_number(listener.address.substr(3)));
  const auto endpoint = parse_own_endpoint(listener.address);
  if (!inherited && !endpoint) {
    section.error("address",
                  fmt::format("\"{}\" is no address; write \"[::]:25\", \"192.0.2.1:25\", \"fd:3\" or \"systemd\"",
                              core::printable(listener.address)));
    return;
  }
  if (endpoint) listener.address = endpoint->to_string();
  out.config.listeners.push_back(std::move(listener));
}

// Would the second bind() fail because of the first?
bool collide(const ListenerConfig& a, const ListenerConfig& b) {
  if (a.address == b.address) return !a.address.ends_with(":0");
  const auto first = core::HostPort::parse(a.address), second = core::HostPort::parse(b.address);
  if (!first || !second || first->port != second->port || first->port == 0) return false;
  const auto ip1 = core::IpAddress::parse(first->host), ip2 = core::IpAddress::parse(second->host);
  if (!ip1 || !ip2) return false;
  // [::] is dual stack and takes IPv4 too.
  const auto covers = [](const core::IpAddress& x, const core::IpAddress& y) {
    return x.is_unspecified() && (x.is_v6() || y.is_v4());
  };
  return *ip1 == *ip2 || covers(*ip1, *ip2) || covers(*ip2, *ip1);
}

void read_listeners(Section& root, MainText& out) {
  auto sections = root.tables("listener");
  if (sections.empty() && !root.has("listener")) {
    root.error("listener", "is missing; write [[listener]] and below it for example address = \"[::]:25\"");
  }
  if (sections.size() > kMaxListeners) {
    root.error("listener", fmt::format("there are more than {}", kMaxListeners));
    return;
  }
  auto& all = out.config.listeners;
  for (auto& section : sections) {
    const auto before = all.size();
    read_listener(section, out);
    if (all.size() == before) continue;
    const auto other = std::find_if(all.begin(), all.end() - 1, [&](const auto& l) { return collide(l, all.back()); });
    if (other == all.end() - 1) continue;
    section.error("address", fmt::format("{} is already taken by {} ({}); remove one of them", all.back().address,
                                         other->address, other->where));
    all.pop_back();
  }
}

void read_limits(Section section, MainText& out) {
  auto& config = out.config;
  config.smtp.message_size = section.size("message_size", config.smtp.message_size, {kKiB, 64 * kGiB});
  config.smtp.recipients = section.count("recipients", config.smtp.recipients, {1, 100'000});
  config.smtp.connections = section.count("connections", config.smtp.connections, {1, kMaxConnections});
  config.smtp.connections_per_ip =
      section.count("connections_per_ip", config.smtp.connections_per_ip, {1, kMaxConnections});
  auto& limits = config.limits;
  limits.memory = section.size("memory", limits.memory, {kMiB, kTiB});
  limits.spill_above = section.size("spill_above", limits.spill_above, {kKiB, kGiB});
  config.smtp.command_timeout = section.duration("command_timeout", config.smtp.command_timeout, kTimeout);
  config.smtp.data_timeout = section.duration("data_timeout", config.smtp.data_timeout, kTimeout);
  config.forwarding.received_headers = section.count("received_headers", config.forwarding.received_headers, {1, 1000});
  limits.spill = section.size("spill", limits.spill, {0, 1024 * kTiB});
  limits.ledger = section.count("ledger", limits.ledger, {1000, 1'000'000'000});
  if (limits.spill_above > limits.memory) {
    section.error("spill_above", fmt::format("is more than memory ({}); it must be less, it is the part of one message",
                                             core::format_size(limits.memory)));
  }
  if (config.smtp.message_size > limits.memory && config.smtp.message_size > limits.spill) {
    section.warn("message_size", "is more than memory and more than spill: so large a message will never be taken");
  }
  section.finish();
  limits.connections = config.smtp.connections;
  config.forwarding.message_size = config.smtp.message_size;
  config.forwarding.recipients = config.smtp.recipients;
  config.forwarding.spill_above = limits.spill_above;
}

void read_dns(Section section, MainText& out) {
  auto& dns = out.config.dns;
  for (const auto& server : section.texts("servers")) {
    const auto parsed = core::HostPort::parse(server.value);
    const auto ip = parsed ? core::IpAddress::parse(parsed->host) : std::nullopt;
    if (!ip || parsed->port == 0) {
      section.error_at(server.line, "servers",
                       fmt::format("\"{}\" is no server; write address and port, for example \"127.0.0.1:53\"",
                                   core::printable(server.value)));
      continue;
    }
    if (std::find(dns.servers.begin(), dns.servers.end(), *parsed) == dns.servers.end()) dns.servers.push_back(*parsed);
  }
  dns.timeout = section.duration("timeout", dns.timeout, {1s, 60s});
  dns.attempts = section.count("attempts", dns.attempts, {1, 10});
  dns.trust_ad = section.choice(
      "trust_ad", dns.trust_ad,
      {{"loopback", dns::TrustAd::loopback}, {"always", dns::TrustAd::always}, {"never", dns::TrustAd::never}});
  section.finish();
}

void read_log(Section section, MainText& out) {
  auto& log = out.config.log;
  log.format = section.choice("format", log.format, {{"json", core::LogFormat::json}, {"text", core::LogFormat::text}});
  log.level = section.choice("level", log.level,
                             {{"debug", core::LogLevel::debug},
                              {"info", core::LogLevel::info},
                              {"warn", core::LogLevel::warn},
                              {"error", core::LogLevel::error}});
  log.activity = std::chrono::hours(24 * section.number("activity_days", 30, {0, 3650}));
  section.finish();
}

// "" or an endpoint of our own.
std::string read_listen(Section section, std::string fallback, std::string_view example) {
  auto listen = section.text("listen", std::move(fallback));
  section.finish();
  if (listen.empty()) return listen;
  const auto endpoint = parse_own_endpoint(listen);
  if (!endpoint) {
    section.error("listen", fmt::format("\"{}\" is no address; write for example \"{}\", or \"\" for off",
                                        core::printable(listen), example));
    return {};
  }
  return endpoint->to_string();
}

std::string read_path(Section& root, std::string_view key, const std::string& fallback) {
  auto path = root.text(key, fallback);
  if (path.empty()) root.error(key, "is empty; leave it out for the default");
  return path;
}

void read_top_level(Section& root, MainText& out) {
  auto& config = out.config;
  if (const auto name = root.required("hostname", "mx.forward.example")) {
    config.smtp.hostname = core::lower(name->value);
    if (!mail::is_domain(name->value)) {
      root.error("hostname",
                 "is no host name; write the name that the machine's PTR record has, for example "
                 "\"mx.forward.example\"");
    } else if (name->value.find('.') == std::string::npos) {
      root.warn("hostname", "has no domain; other servers expect a full name such as \"mx.forward.example\"");
    }
  }
  config.state_dir = read_path(root, "state_dir", config.state_dir);
  config.admin_socket = read_path(root, "admin_socket", config.admin_socket);
  config.user = root.text("user", config.user);
  if (!is_user_name(config.user))
    root.error("user", "is no user name; write the name of an account, for example \"onward\"");
  if (config.user == "root")
    root.warn("user", "the daemon would stay root; use an account of its own, for example \"onward\"");
  config.threads = root.count("threads", config.threads, {0, kMaxThreads});
  out.domain_globs = root.texts("domains");
  if (!root.has("domains"))
    root.warn("domains", "is missing: no domain is forwarded; write for example domains = [\"domains/*.toml\"]");
  if (const auto text = root.maybe_text("postmaster")) {
    const auto mailbox = mail::parse_mailbox(text->value, mail::Utf8::yes);
    if (mailbox && !core::has_8bit(mailbox->domain)) {
      out.postmaster = *mailbox;
    } else {
      root.error("postmaster", "is no mail address; write for example \"ops@example.org\"");
    }
  } else if (!root.has("postmaster")) {
    root.warn("postmaster", "is missing: mail for postmaster is refused, which RFC 5321 forbids; name an address");
  }
  config.smtp.help_url = root.text("help_url", "");
  if (!config.smtp.help_url.empty()) {
    if (auto wrong = url_problem(config.smtp.help_url)) root.error("help_url", *wrong);
  }
  config.forwarding.hostname = config.smtp.hostname;
  config.forwarding.help_url = config.smtp.help_url;
}

}  // namespace

void read_service(Section& root, MainText& out) {
  read_top_level(root, out);
  read_listeners(root, out);
  read_limits(root.table("limits"), out);
  read_dns(root.table("dns"), out);
  auto https = root.table("https");
  out.https_listen.line = https.line();
  out.https_listen.value = read_listen(std::move(https), "", "[::]:443");
  out.config.metrics_listen = read_listen(root.table("metrics"), "127.0.0.1:9254", "127.0.0.1:9254");
  read_log(root.table("log"), out);
}

MainText parse_main(std::string_view text, const std::string& file, Report& report) {
  MainText out;
  out.config.file = file;
  const auto table = parse_toml(text, file, report);
  if (!table) return out;
  Section root(&*table, file, "", 0, report);
  read_service(root, out);
  read_identity(root, out);
  read_delivery(root, out);
  read_policy(root, out);
  root.finish();
  for (const auto& listener : out.config.listeners) {
    if (listener.tls == smtpd::TlsMode::implicit && !out.tls.present) {
      report.errors.push_back(
          {file, static_cast<unsigned>(core::parse_number(listener.where.substr(file.size() + 1)).value_or(0)),
           "listener.tls", "is \"implicit\", but there is no [tls] section; write one, or use \"none\""});
    }
  }
  if (!out.https_listen.value.empty() && !out.tls.present) {
    report.errors.push_back(
        {file, out.https_listen.line, "https.listen",
         "needs certificates, but there is no [tls] section; write one, or leave https.listen out"});
  }
  return out;
}

}  // namespace app
