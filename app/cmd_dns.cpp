// onward dns records / check: what DNS must say about us, and whether it does. Needs no daemon.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/config.hpp"
#include "app/dns_check.hpp"
#include "app/dns_records.hpp"
#include "app/terminal.hpp"
#include "core/random.hpp"
#include "core/text.hpp"

namespace app {
namespace {

using nlohmann::json;

constexpr core::Seconds kPatience{60};
constexpr core::Seconds kPatienceForAll{1800};

std::shared_ptr<const Config> load(const GlobalOptions& global) {
  auto loaded = load_config(global.config, LoadOptions());
  if (const auto* errors = std::get_if<std::vector<ConfigError>>(&loaded)) {
    for (const auto& error : *errors) fmt::print(stderr, "{}\n", error.to_string());
    return nullptr;
  }
  return std::get<std::shared_ptr<const Config>>(std::move(loaded));
}

struct Asked {
  DnsFacts facts;
  std::string domain;  // "" : our own names
};

// The facts, and the domain in the form they have it. Nothing: it has been said what is wrong.
std::optional<Asked> prepare(const Config& config, const DnsOptions& options) {
  std::vector<core::IpAddress> addresses;
  for (const auto& text : options.addresses) {  // the command line has checked them
    if (const auto ip = core::IpAddress::parse(text)) addresses.push_back(*ip);
  }
  Asked out{dns_facts(config, addresses), core::lower(options.domain)};
  if (out.domain.ends_with('.')) out.domain.pop_back();
  const auto& facts = out.facts;
  if (out.domain.empty() || facts.has_domain(out.domain)) return out;
  if (out.domain == facts.hostname || out.domain == facts.srs_domain || out.domain == facts.signing_domain())
    return out;
  fmt::print(stderr, "onward: {} is neither forwarded here nor one of our own names\n", core::printable(out.domain));
  return std::nullopt;
}

void print_zone(const Asked& asked) {
  if (asked.facts.egress.empty() || asked.facts.inbound.empty()) {
    fmt::print("; This machine does not know its public addresses (NAT?): name them with --address.\n\n");
  }
  const auto part = [](std::string_view title, const std::vector<DnsRecord>& records) {
    fmt::print("; ---- {}\n{}\n", title, as_zone(records));
  };
  for (const auto& domain : asked.facts.domains) {
    if (asked.domain.empty() || asked.domain == domain) part(domain, domain_records(asked.facts, domain));
  }
  part("this host, its senders and signatures", own_records(asked.facts));
  fmt::print("; postmaster@ and abuse@ {} and {} are taken; mail to them goes to `postmaster`.\n", asked.facts.hostname,
             asked.facts.srs_domain);
}

std::string_view colour_of(CheckStatus status) {
  return status == CheckStatus::pass ? "32" : status == CheckStatus::warn ? "33" : "1;31";
}

void print_report(const DnsReport& report) {
  std::size_t width = 0;
  for (const auto& check : report.checks) width = std::max(width, check.name.size());
  fmt::print("{}  score {}\n", painted(STDOUT_FILENO, report.domain, "1"), report.score());
  for (const auto& check : report.checks) {
    fmt::print("  {}  {:<{}}  {}\n", painted(STDOUT_FILENO, to_string(check.status), colour_of(check.status)),
               check.name, width, check.detail);
    if (check.fix.empty()) continue;
    for (const auto line : core::split(check.fix, '\n')) fmt::print("  {:4}  {:<{}}  -> {}\n", "", "", width, line);
  }
  fmt::print("  {} checks: {} pass, {} warn, {} fail\n", report.checks.size(), report.count(CheckStatus::pass),
             report.count(CheckStatus::warn), report.count(CheckStatus::fail));
}

int print_reports(const GlobalOptions& global, bool all, const std::vector<DnsReport>& reports) {
  if (global.json) {
    json out = json::array();
    for (const auto& report : reports) out.push_back(as_json(report));
    fmt::print("{}\n", (all ? out : out.at(0)).dump(2, ' ', false, json::error_handler_t::replace));
  } else {
    for (std::size_t i = 0; i < reports.size(); ++i) {
      if (i > 0) fmt::print("\n");
      print_report(reports[i]);
    }
    if (all) {
      const auto bad = std::count_if(reports.begin(), reports.end(),
                                     [](const DnsReport& r) { return r.worst() == CheckStatus::fail; });
      fmt::print("\n{} names, {} with failures\n", reports.size(), bad);
    }
  }
  const bool failed = std::any_of(reports.begin(), reports.end(),
                                  [](const DnsReport& report) { return report.worst() == CheckStatus::fail; });
  return failed ? kExitProblem : kExitOk;
}

}  // namespace

int cmd_dns_records(const GlobalOptions& global, const DnsOptions& options) {
  const auto config = load(global);
  const auto asked = config ? prepare(*config, options) : std::nullopt;
  if (!asked) return kExitProblem;
  const auto format = global.json && options.format == "zone" ? std::string("json") : options.format;
  if (format == "zone") {
    print_zone(*asked);
    return kExitOk;
  }
  std::vector<DnsRecord> records;
  const bool cloudflare = format == "cloudflare";
  const auto zone = without_wildcard(asked->domain);
  const auto add = [&](const std::vector<DnsRecord>& more) {
    for (const auto& record : more) {
      // A batch goes to one zone.
      const bool inside = zone.empty() || record.name == zone || record.name.ends_with("." + zone);
      if (cloudflare && !inside) continue;
      if (std::find(records.begin(), records.end(), record) == records.end()) records.push_back(record);
    }
  };
  for (const auto& domain : asked->facts.domains) {
    if (asked->domain.empty() || asked->domain == domain) add(domain_records(asked->facts, domain));
  }
  add(own_records(asked->facts));
  fmt::print("{}\n", (cloudflare ? as_cloudflare(records) : as_json(records)).dump(2));
  return kExitOk;
}

int cmd_dns_check(const GlobalOptions& global, const DnsOptions& options) {
  const auto config = load(global);
  const auto asked = config ? prepare(*config, options) : std::nullopt;
  if (!asked) return kExitProblem;
  boost::asio::io_context context(1);
  core::SystemRandom random;
  core::Metrics metrics;
  const core::SystemClock clock;
  dns::LdnsResolver resolver(context.get_executor(), config->dns, random, metrics, clock);
  std::vector<DnsReport> reports;
  std::exception_ptr failed;
  if (options.all) {
    auto work = check_all_dns(resolver, asked->facts, core::Deadline::after(kPatienceForAll));
    boost::asio::co_spawn(context, std::move(work), [&](const std::exception_ptr& error, std::vector<DnsReport> done) {
      failed = error;
      reports = std::move(done);
    });
  } else {
    const bool own = asked->domain.empty() || asked->domain == asked->facts.hostname;
    std::string domain = own ? asked->facts.hostname : asked->domain;
    const auto scope = own ? CheckScope::own : CheckScope::whole;
    auto work = check_dns(resolver, asked->facts, std::move(domain), scope, core::Deadline::after(kPatience));
    boost::asio::co_spawn(context, std::move(work), [&](const std::exception_ptr& error, DnsReport done) {
      failed = error;
      reports.push_back(std::move(done));
    });
  }
  context.run();
  if (failed) std::rethrow_exception(failed);
  return print_reports(global, options.all, reports);
}

}  // namespace app
