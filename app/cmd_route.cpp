// onward route ADDRESS: explains what would become of a recipient, asking DNS but no mail host. Needs no daemon.
#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/config.hpp"
#include "app/explain.hpp"
#include "core/text.hpp"

namespace app {
namespace {

using nlohmann::json;

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

void print_sts(const json& sts) {
  std::string text = sts.contains("mode") ? sts["mode"].get<std::string>() : "none";
  if (sts.contains("id")) text += ", policy " + sts["id"].get<std::string>();
  if (sts.contains("note")) text += "; " + sts["note"].get<std::string>();
  fmt::print("{:<12} {}\n", "MTA-STS", core::printable(text));
}

void print_client(const json& client) {
  std::string place;
  if (client.contains("as_number")) place += fmt::format("  AS{}", client["as_number"].get<std::uint32_t>());
  if (client.contains("country")) place += "  " + client["country"].get<std::string>();
  fmt::print("{:<12} {}{}\n", "access", client["access"].get<std::string>(), place);
  for (const auto& list : client["dnsbl"]) {
    const bool good = list["state"] == "good";
    fmt::print("{:<12} {:<24} {}, weight {}\n", "block list", list["name"].get<std::string>(),
               !good                        ? list["state"].get<std::string>() + ": " + list.value("problem", "")
               : list["listed"].get<bool>() ? "listed"
                                            : "not listed",
               list["weight"].get<int>());
  }
  fmt::print("{:<12} {} {}\n", "reverse DNS", client["rdns"].get<std::string>(), client["ptr"].get<std::string>());
  for (const auto& [stage, reply] : client["replies"].items()) {
    fmt::print("{:<12} {}: {}\n", "answered", stage, reply.get<std::string>());
  }
}

void print_text(const json& out) {
  fmt::print("{:<12} {}\n", "address", out["address"].get<std::string>());
  if (out.contains("client")) print_client(out["client"]);
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
      if (host.contains("tls")) {
        fmt::print("{:<18} TLS {}: {}\n", "", host["tls"].get<std::string>(), host["tls_why"].get<std::string>());
      }
      if (host.contains("error")) fmt::print("{:<18} {}\n", "", host["error"].get<std::string>());
    }
    if (destination.contains("mta_sts")) print_sts(destination["mta_sts"]);
    for (const auto& spf : destination["our_spf"]) {
      fmt::print("{:<12} {} from {}\n", "our SPF", spf["result"].get<std::string>(), spf["source"].get<std::string>());
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
  }
  boost::asio::io_context context(1);
  core::SystemRandom random;
  core::Metrics metrics;
  const core::SystemClock clock;
  dns::LdnsResolver resolver(context.get_executor(), config->dns, random, metrics, clock);
  ClientExplainer explainer(context.get_executor(), resolver);
  if (!options.ip.empty()) {
    std::optional<mail::ReversePath> sender;
    if (!options.from.empty()) sender = *from;
    auto work =
        explainer.explain({config, &config->forwarding}, *core::IpAddress::parse(options.ip), std::move(sender));
    boost::asio::co_spawn(context, std::move(work), [&](const std::exception_ptr& error, json told) {
      if (!error) out["client"] = std::move(told);
    });
    context.run();
    context.restart();
    out["access"] = out["client"].value("access", std::string());
  }
  const auto route = decide(*config, *to, *from, out);
  out["action"] = std::string(action_name(route.kind));
  if (!route.rule.empty()) out["rule"] = route.rule;
  if (!route.where.empty()) out["where"] = route.where;
  if (route.reply) out["reply"] = route.reply->to_log();
  out["destinations"] = json::array();

  forwarder::Transport transport;
  // What the daemon keeps, where we may read it; otherwise the policy is fetched.
  static_cast<void>(
      transport.policies.open(config->policy_folder(), forwarder::StsStore::Access::read_only, clock.wall()));
  forwarder::StsFinder finder({context.get_executor(), resolver, metrics, clock, transport.policies});
  const forwarder::TlsPlanner::Means tls{resolver, transport, finder};
  const std::shared_ptr<const forwarder::Config> forwarding(config, &config->forwarding);
  for (const auto& destination : route.destinations) {
    const auto sender = config->forwarding.srs->forward(*from, core::Wall::now());
    std::optional<mail::ReversePath> srs_sender;
    if (sender) srs_sender = *sender;
    auto work = explain_destination(forwarding, {random, tls}, destination, std::move(srs_sender));
    boost::asio::co_spawn(context, std::move(work), [&](const std::exception_ptr& error, json told) {
      if (error) return;
      out["destinations"].push_back(std::move(told));
    });
    context.run();
    context.restart();
  }
  if (route.kind == policy::Route::Kind::forward)
    out["signatures"] = explain_signatures(config->forwarding, route.domain);

  if (global.json) {
    fmt::print("{}\n", out.dump(2, ' ', false, json::error_handler_t::replace));
  } else {
    print_text(out);
  }
  const bool goes = route.kind == policy::Route::Kind::forward || route.kind == policy::Route::Kind::drop;
  return goes ? kExitOk : kExitProblem;
}

}  // namespace app
