#include "app/explain.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <nlohmann/json.hpp>

#include "core/log.hpp"
#include "forwarder/authentication.hpp"
#include "forwarder/next_hop.hpp"

namespace app {

using nlohmann::json;

namespace {

constexpr core::Seconds kPatience{20};

std::string_view tls_name(forwarder::UpstreamTls tls) {
  switch (tls) {
    case forwarder::UpstreamTls::none:
      return "none";
    case forwarder::UpstreamTls::opportunistic:
      return "opportunistic";
    case forwarder::UpstreamTls::encrypt:
      return "encrypt";
    case forwarder::UpstreamTls::verify:
      return "verify";
  }
  return "opportunistic";
}

json explain_sts(const forwarder::StsFound& found) {
  json out;
  if (found.entry) {
    out["id"] = found.entry->id;
    out["mode"] = std::string(forwarder::to_string(found.entry->policy.mode));
    out["mx"] = found.entry->policy.mx;
    out["max_age_s"] = found.entry->policy.max_age.count();
  }
  if (!found.why.empty()) out["note"] = found.why;
  return out;
}

// The address the kernel would send from to reach `peer`; no packet is sent for it.
std::optional<core::IpAddress> local_address_towards(const core::IpAddress& peer) {
  using boost::asio::ip::udp;
  boost::asio::io_context context;
  boost::system::error_code error;
  udp::socket socket(context);
  const auto address = boost::asio::ip::make_address(peer.to_string(), error);
  if (!error) socket.connect(udp::endpoint(address, 25), error);
  const auto local = error ? udp::endpoint() : socket.local_endpoint(error);
  return error ? std::nullopt : core::IpAddress::parse(local.address().to_string());
}

// The addresses we may send from: the configured pools, or what the kernel takes, one of each family.
std::vector<core::IpAddress> sources(const forwarder::DeliverySettings& delivery,
                                     const std::vector<core::IpAddress>& peers) {
  std::vector<core::IpAddress> out;
  for (const bool six : {true, false}) {
    const auto& pool = six ? delivery.source_ipv6 : delivery.source_ipv4;
    for (const auto& source : pool) out.push_back(source.address);
    if (!pool.empty()) continue;
    const auto peer = std::ranges::find_if(peers, [six](const auto& ip) { return ip.is_v6() == six; });
    if (peer == peers.end()) continue;
    if (const auto local = local_address_towards(*peer)) out.push_back(*local);
  }
  return out;
}

}  // namespace

net::Awaitable<json> explain_destination(std::shared_ptr<const forwarder::Config> config, ExplainMeans means,
                                         mail::Mailbox destination, std::optional<mail::ReversePath> sender) {
  const forwarder::Config& forwarding = *config;
  dns::Resolver& resolver = means.tls.resolver;
  const auto deadline = core::Deadline::after(kPatience);
  const auto target = forwarder::target_for(forwarding, destination.domain);
  core::NullSink sink;
  const core::Log silent(sink, core::LogFormat::text, core::LogLevel::error);
  json out;
  out["address"] = destination.to_string();
  out["srs_sender"] = sender ? sender->to_string() : "(a token, made by the daemon)";
  out["tls"] = tls_name(target.tls);
  out["protocol"] = target.protocol == forwarder::Protocol::lmtp ? "lmtp" : "smtp";
  if (target.route != nullptr) out["route"] = target.route->domain;
  json hosts = json::array();
  std::vector<core::IpAddress> reached;
  forwarder::TlsPlanner planner(means.tls, config, target, forwarder::TlsWish::ordinary);
  auto found = co_await forwarder::find_hosts(resolver, means.random, forwarding, target, deadline);
  if (const auto* unroutable = std::get_if<forwarder::Unroutable>(&found)) {
    out["error"] = unroutable->reply.to_log();
  } else {
    co_await planner.find_policy(silent, deadline);
    if (const auto sts = explain_sts(planner.sts()); !sts.is_null()) out["mta_sts"] = sts;
    for (const auto& host : std::get<std::vector<forwarder::Host>>(found)) {
      const auto addresses = co_await forwarder::find_addresses(resolver, means.random, forwarding, host, deadline);
      json one;
      one["host"] = host.name;
      one["preference"] = host.preference;
      one["addresses"] = json::array();
      const bool six_first = forwarding.delivery.prefer == forwarder::Family::ipv6;
      for (const auto* list :
           {six_first ? &addresses.ipv6 : &addresses.ipv4, six_first ? &addresses.ipv4 : &addresses.ipv6}) {
        for (const auto& endpoint : *list) {
          one["addresses"].push_back(endpoint.to_string());
          reached.push_back(endpoint.address);
        }
      }
      if (addresses.empty()) {
        one["error"] = forwarder::no_address(addresses, target.domain).reply.to_log();
      } else {
        auto all = addresses;
        const auto plan = co_await planner.plan(host, std::move(all), deadline);
        one["tls"] = plan.to_string();
        one["tls_why"] = plan.why;
      }
      hosts.push_back(std::move(one));
    }
  }
  out["mx"] = std::move(hosts);
  out["our_spf"] = json::array();
  for (const auto& source : sources(forwarding.delivery, reached)) {
    auth::SpfInput input;
    input.client = source;
    input.helo = input.receiver = forwarding.hostname;
    input.mail_from = sender.value_or(mail::ReversePath());
    const auto spf = co_await forwarder::spf_of_us(resolver, std::move(input), deadline);
    out["our_spf"].push_back({{"source", source.to_string()}, {"result", std::string(auth::to_string(spf.result))}});
  }
  co_return out;
}

ClientExplainer::ClientExplainer(boost::asio::any_io_executor executor, dns::Resolver& resolver)
    : log_(nowhere_, core::LogFormat::json, core::LogLevel::error),
      admission_({std::move(executor), &resolver, &metrics_, &clock_, &state_}, log_) {}

net::Awaitable<json> ClientExplainer::explain(std::shared_ptr<const forwarder::Config> forwarding,
                                              core::IpAddress address, std::optional<mail::ReversePath> sender) {
  forwarder::Client client;
  client.address = address.unmapped();
  client.helo = client.address.to_literal();
  client.session_id = "route";
  json out;
  out["access"] = "no rule";
  if (forwarding->access) {
    const auto decision = forwarding->access->find(client.address);
    if (decision.rule != nullptr) {
      out["access"] = (decision.allowed() ? "allow: " : "block: ") + decision.rule->to_string();
    }
    if (decision.as_number) out["as_number"] = *decision.as_number;
    if (decision.country) out["country"] = *decision.country;
  }
  const auto welcome = admission_.welcome(forwarding, client);
  client.visit = welcome.visit.get();
  out["replies"] = json::object();
  if (welcome.refusal) out["replies"]["connect"] = welcome.refusal->to_log();
  mail::MailCommand command;
  command.from = sender.value_or(mail::ReversePath());
  const auto answer = [&](const char* stage, const policy::Verdict& verdict) {
    if (verdict.kind == policy::Verdict::Kind::accept) return;
    out["replies"][stage] = fmt::format("{} {} {}", verdict.code, verdict.enhanced.to_string(), verdict.text);
  };
  if (sender) {
    const auto at_mail = co_await admission_.mail(forwarding, client, command);
    answer("mail", at_mail);
  }
  const auto skipped = policy::skipped_checks(forwarding->auth.exceptions, {client.address, &command.from, {}});
  forwarder::Inspection inspection(admission_, {forwarding, client, command.from, skipped}, log_);
  const auto at_rcpt = co_await inspection.recipient();
  if (!welcome.refusal) answer("rcpt", at_rcpt);
  auto reverse = inspection.reverse();
  static_cast<void>(co_await reverse.wait(core::Deadline::after(kPatience)));
  out["rdns"] = std::string(policy::to_string(reverse.result().state));
  out["ptr"] = reverse.name();
  out["dnsbl"] = json::array();
  const auto& lists = forwarding->admission.lists;
  const auto told = state_.lists.tell(lists, clock_.steady());
  for (std::size_t i = 0; i < told.size(); ++i) {
    json one{{"name", told[i].name},
             {"weight", lists[i].weight},
             {"state", std::string(policy::to_string(told[i].state))},
             {"listed", told[i].listings > 0}};
    if (!told[i].problem.empty()) one["problem"] = told[i].problem;
    out["dnsbl"].push_back(std::move(one));
  }
  out["dnsbl_score"] = inspection.score();
  co_return out;
}

json explain_signatures(const forwarder::Config& forwarding, const std::string& domain) {
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

}  // namespace app
