// onward route ADDRESS: explains what would become of a recipient, asking DNS but no mail host. Needs no daemon.
#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/config.hpp"
#include "core/text.hpp"
#include "forwarder/next_hop.hpp"

namespace app {
namespace {

using nlohmann::json;

constexpr core::Seconds kPatience{20};

std::string_view action_name(policy::Route::Kind kind) {
  switch (kind) {
    case policy::Route::Kind::forward:
      return "forward";
    case policy::Route::Kind::drop:
      return "drop";
    case policy::Route::Kind::reject:
      return "reject";
    case policy::Route::Kind::unknown:
      return "unknown-recipient";
    case policy::Route::Kind::not_ours:
      return "relay-denied";
    case policy::Route::Kind::sender_denied:
      return "sender-denied";
  }
  return "reject";
}

std::string_view tls_name(forwarder::UpstreamTls tls) {
  return tls == forwarder::UpstreamTls::none ? "none" : "opportunistic";
}

// Where one destination's mail would go, as JSON: hosts and addresses in the order they would be tried.
net::Awaitable<json> explain_destination(const Config& config, dns::Resolver& resolver, core::Random& random,
                                         mail::Mailbox destination) {
  const auto& forwarding = config.forwarding;
  const auto deadline = core::Deadline::after(kPatience);
  const auto target = forwarder::target_for(forwarding, destination.domain);
  json out;
  out["address"] = destination.to_string();
  out["tls"] = tls_name(target.tls);
  out["protocol"] = target.protocol == forwarder::Protocol::lmtp ? "lmtp" : "smtp";
  if (target.route != nullptr) out["route"] = target.route->domain;
  json hosts = json::array();
  auto found = co_await forwarder::find_hosts(resolver, random, forwarding, target, deadline);
  if (const auto* unroutable = std::get_if<forwarder::Unroutable>(&found)) {
    out["error"] = unroutable->reply.to_log();
  } else {
    for (const auto& host : std::get<std::vector<forwarder::Host>>(found)) {
      const auto addresses = co_await forwarder::find_addresses(resolver, random, forwarding, host, deadline);
      json one;
      one["host"] = host.name;
      one["preference"] = host.preference;
      one["addresses"] = json::array();
      const bool six_first = forwarding.delivery.prefer == forwarder::Family::ipv6;
      for (const auto* list :
           {six_first ? &addresses.ipv6 : &addresses.ipv4, six_first ? &addresses.ipv4 : &addresses.ipv6}) {
        for (const auto& endpoint : *list) one["addresses"].push_back(endpoint.to_string());
      }
      if (addresses.empty()) one["error"] = forwarder::no_address(addresses, target.domain).reply.to_log();
      hosts.push_back(std::move(one));
    }
  }
  out["mx"] = std::move(hosts);
  co_return out;
}

json signatures(const forwarder::Config& forwarding, const std::string& domain) {
  json out = json::array();
  const auto add = [&](const auto& signers) {
    for (const auto& signer : signers) {
      out.push_back({{"domain", signer->domain()},
                     {"selector", signer->selector()},
                     {"algorithm", std::string(signer->key().algorithm())}});
    }
  };
  add(forwarding.signers);
  if (const auto own = forwarding.domain_signers.find(domain); own != forwarding.domain_signers.end()) add(own->second);
  return out;
}

void print_text(const json& out) {
  fmt::print("{:<12} {}\n", "address", out["address"].get<std::string>());
  fmt::print("{:<12} {}\n", "action", out["action"].get<std::string>());
  if (out.contains("rule")) {
    fmt::print("{:<12} {}  ({})\n", "rule", out["rule"].get<std::string>(), out.value("where", std::string()));
  }
  if (out.contains("reply")) fmt::print("{:<12} {}\n", "reply", out["reply"].get<std::string>());
  for (const auto& destination : out.value("destinations", json::array())) {
    fmt::print("\n{:<12} {}\n", "destination", destination["address"].get<std::string>());
    fmt::print("{:<12} <{}>\n", "srs sender", destination["srs_sender"].get<std::string>());
    if (destination.contains("route")) fmt::print("{:<12} {}\n", "route", destination["route"].get<std::string>());
    if (destination.contains("error")) fmt::print("{:<12} {}\n", "error", destination["error"].get<std::string>());
    for (const auto& host : destination["mx"]) {
      fmt::print("{:<12} {:>5} {}\n", "host", host["preference"].get<unsigned>(), host["host"].get<std::string>());
      for (const auto& address : host["addresses"]) fmt::print("{:<18} {}\n", "", address.get<std::string>());
      if (host.contains("error")) fmt::print("{:<18} {}\n", "", host["error"].get<std::string>());
    }
    fmt::print("{:<12} {}, {}\n", "transport", destination["protocol"].get<std::string>(),
               "TLS " + destination["tls"].get<std::string>());
  }
  for (const auto& signature : out.value("signatures", json::array())) {
    fmt::print("{:<12} d={} s={} {}\n", "signature", signature["domain"].get<std::string>(),
               signature["selector"].get<std::string>(), signature["algorithm"].get<std::string>());
  }
}

// What the recipient resolves to; the SRS addresses of bounces come before every rule (interface.md §6.25).
policy::Route decide(const Config& config, const mail::ForwardPath& to, const mail::ReversePath& from, json& out) {
  const auto& forwarding = config.forwarding;
  if (to.is_bare_postmaster() || !forwarding.srs->owns(to.mailbox)) return forwarding.routes->resolve(to, from);
  policy::Route route;
  route.rule = "srs";
  route.kind = policy::Route::Kind::reject;
  const auto original = forwarding.srs->reverse(to.mailbox.local, core::Wall::now());
  if (!original) {
    out["error"] = std::string(srs::to_string(original.error()));
  } else if (!from.null()) {
    out["error"] = "bounces only: MAIL FROM must be <>";
  } else {
    route.kind = policy::Route::Kind::forward;
    route.destinations.push_back(*original);
  }
  return route;
}

}  // namespace

int cmd_route(const GlobalOptions& global, const RouteOptions& options) {
  auto loaded = load_config(global.config, LoadOptions());
  if (const auto* errors = std::get_if<std::vector<ConfigError>>(&loaded)) {
    for (const auto& error : *errors) fmt::print(stderr, "{}\n", error.to_string());
    return kExitProblem;
  }
  const auto config = std::get<std::shared_ptr<const Config>>(std::move(loaded));

  const auto to = mail::parse_forward_path("<" + options.address + ">", mail::Utf8::yes);
  if (!to) {
    fmt::print(stderr, "onward: \"{}\" is no mail address\n", options.address);
    return kExitProblem;
  }
  // Without --from, a sender that exists nowhere stands for "somebody"; SRS addresses are asked with the null sender.
  const bool srs_address = !to->is_bare_postmaster() && config->forwarding.srs->owns(to->mailbox);
  const std::string from_text = !options.from.empty() ? options.from : srs_address ? "<>" : "sender@example.com";
  const auto from =
      mail::parse_reverse_path(from_text.starts_with('<') ? from_text : "<" + from_text + ">", mail::Utf8::yes);
  if (!from) {
    fmt::print(stderr, "onward: \"{}\" is no mail address\n", from_text);
    return kExitProblem;
  }

  json out;
  out["address"] = to->to_string();
  out["from"] = from->to_string();
  if (!options.ip.empty()) {
    const auto ip = core::IpAddress::parse(options.ip);
    if (!ip) {
      fmt::print(stderr, "onward: \"{}\" is no IP address\n", options.ip);
      return kExitProblem;
    }
    out["ip"] = ip->to_string();
    out["access"] = "allowed: no access rules in this version";
  }
  const auto route = decide(*config, *to, *from, out);
  out["action"] = std::string(action_name(route.kind));
  if (!route.rule.empty()) out["rule"] = route.rule;
  if (!route.where.empty()) out["where"] = route.where;
  if (route.reply) out["reply"] = route.reply->to_log();
  out["destinations"] = json::array();

  boost::asio::io_context context(1);
  core::SystemRandom random;
  core::Metrics metrics;
  const core::SystemClock clock;
  dns::LdnsResolver resolver(context.get_executor(), config->dns, random, metrics, clock);
  for (const auto& destination : route.destinations) {
    const auto sender = config->forwarding.srs->forward(*from, core::Wall::now());
    auto work = explain_destination(*config, resolver, random, destination);
    boost::asio::co_spawn(context, std::move(work), [&](const std::exception_ptr& error, json told) {
      if (error) return;
      // A long sender becomes a token that only the daemon hands out.
      told["srs_sender"] = sender ? sender->to_string() : "(a token, made by the daemon)";
      out["destinations"].push_back(std::move(told));
    });
    context.run();
    context.restart();
  }
  if (route.kind == policy::Route::Kind::forward) out["signatures"] = signatures(config->forwarding, route.domain);

  if (global.json) {
    fmt::print("{}\n", out.dump(2, ' ', false, json::error_handler_t::replace));
  } else {
    print_text(out);
  }
  const bool goes = route.kind == policy::Route::Kind::forward || route.kind == policy::Route::Kind::drop;
  return goes ? kExitOk : kExitProblem;
}

}  // namespace app
