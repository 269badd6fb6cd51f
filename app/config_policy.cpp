// onward.toml: whom we trust. [arc], [access], [[dnsbl]], [policy], [queue]. Most of it belongs to features of later
// versions: the values are checked here, and app/not_yet.cpp decides which of them may be written.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "app/config_text.hpp"
#include "app/values.hpp"
#include "core/text.hpp"
#include "core/units.hpp"

namespace app {
namespace {

using namespace std::chrono_literals;

constexpr core::Milliseconds kMonth = 31 * 24h;

void read_arc(Section section, MainText& out) {
  out.arc_seal = section.flag("seal", true);
  out.arc_line = section.line("seal");
  out.arc_written = section.has("seal");
  for (const auto& domain : section.texts("trusted_sealers")) {
    if (!mail::is_domain(domain.value)) {
      section.error_at(domain.line, "trusted_sealers",
                       fmt::format("\"{}\" is no domain; write the d= of the seal", core::printable(domain.value)));
      continue;
    }
    out.config.forwarding.auth.trusted_sealers.push_back(core::lower(domain.value));
  }
  section.finish();
}

void read_access(Section section) {
  for (auto& rule : section.tables("rules")) {
    const auto match = rule.required("match", "192.0.2.0/24");
    if (match && !is_access_match(match->value)) {
      rule.error(
          "match",
          fmt::format("\"{}\" matches nothing; write a network \"192.0.2.0/24\" (host bits zero), \"AS64500\" or "
                      "\"country:XX\"",
                      core::printable(match->value)));
    }
    if (rule.required("action", "block")) static_cast<void>(rule.choice("action", 0, {{"allow", 0}, {"block", 1}}));
    rule.finish();
  }
  auto geoip = section.table("geoip");
  static_cast<void>(geoip.text("country", ""));
  static_cast<void>(geoip.text("asn", ""));
  geoip.finish();
  section.finish();
}

void read_dnsbls(Section& root) {
  std::set<std::string> names;
  for (auto& list : root.tables("dnsbl")) {
    const auto name = list.required("name", "zen");
    if (name && !names.insert(name->value).second) {
      list.error("name",
                 fmt::format("\"{}\" is there twice; each list has a name of its own", core::printable(name->value)));
    }
    const auto zone = list.required("zone", "zen.spamhaus.org");
    if (zone && !mail::is_domain(zone->value))
      list.error("zone", "is no domain; write for example \"zen.spamhaus.org\"");
    for (const auto& range : list.texts("listed")) {
      if (!is_answer_range(range.value)) {
        list.error_at(range.line, "listed",
                      fmt::format("\"{}\" is no range; write \"127.0.0.2\" or \"127.0.0.2-127.0.0.11\"",
                                  core::printable(range.value)));
      }
    }
    static_cast<void>(list.number("weight", 1, {-100, 100}));
    static_cast<void>(list.choice("kind", 0, {{"ip", 0}, {"domain", 1}}));
    list.finish();
  }
}

void read_rates(Section section, MainText& out) {
  static constexpr std::array kKeys{"messages_per_ip", "recipients_per_ip", "unknown_recipients",
                                    "messages_per_sender_domain", "recipients_per_rule"};
  for (const std::string_view key : kKeys) {
    const bool session = key == "unknown_recipients";
    const auto text = section.maybe_text(key);
    if (!text) continue;
    const auto rate = parse_rate(text->value);
    const bool right = rate && (rate->amount == 0 || (rate->per == Rate::Per::session) == session);
    if (!right) {
      section.error(key, fmt::format("\"{}\" is no rate; write for example \"{}\", or \"off\"",
                                     core::printable(text->value), session ? "20/session" : "300/min"));
    } else if (session) {
      out.config.smtp.unknown_recipients = rate->amount == 0 ? std::numeric_limits<unsigned>::max() : rate->amount;
    }
  }
  section.finish();
}

void read_exceptions(Section& policy, MainText& out) {
  for (auto& table : policy.tables("exceptions")) {
    policy::Exception exception;
    const auto match = table.required("match", "192.0.2.0/24");
    auto parsed = match ? policy::parse_exception_match(match->value) : std::nullopt;
    if (match && !parsed) {
      table.error("match", fmt::format("\"{}\" is neither a network nor a domain nor a mail address",
                                       core::printable(match->value)));
    }
    if (!table.has("skip")) table.error("skip", "is missing; write for example skip = [\"dmarc\"]");
    for (const auto& name : table.texts("skip")) {
      if (const auto check = policy::parse_check(name.value)) {
        exception.skip.add(*check);
        continue;
      }
      table.error_at(name.line, "skip",
                     fmt::format("\"{}\" is no check; it must be one of: {}", core::printable(name.value),
                                 fmt::join(policy::check_names(), ", ")));
    }
    exception.why = table.text("why", "");
    table.finish();
    if (!parsed) continue;
    exception.match = std::move(*parsed);
    out.config.forwarding.auth.exceptions.push_back(std::move(exception));
  }
}

void read_authentication(Section& section, MainText& out) {
  using Auth = policy::AuthSettings;
  auto& checks = out.config.forwarding.auth;
  checks.spf = section.choice("spf", checks.spf,
                              {{"off", Auth::Spf::off}, {"dmarc", Auth::Spf::dmarc}, {"reject", Auth::Spf::reject}});
  checks.dmarc =
      section.choice("dmarc", checks.dmarc,
                     {{"off", Auth::Dmarc::off}, {"monitor", Auth::Dmarc::monitor}, {"enforce", Auth::Dmarc::enforce}});
  checks.quarantine = section.choice("dmarc_quarantine", checks.quarantine,
                                     {{"tag", Auth::Quarantine::tag}, {"reject", Auth::Quarantine::reject}});
  checks.require = section.choice("require_auth", checks.require,
                                  {{"none", Auth::Require::none}, {"spf-or-dkim", Auth::Require::spf_or_dkim}});
  checks.forecast = section.choice(
      "forecast", checks.forecast,
      {{"off", Auth::Forecast::off}, {"warn", Auth::Forecast::warn}, {"reject", Auth::Forecast::reject}});
  out.config.forwarding.dmarc_discovery =
      section.choice("dmarc_discovery", out.config.forwarding.dmarc_discovery,
                     {{"tree-walk", auth::Discovery::tree_walk}, {"psl", auth::Discovery::psl}});
  out.dmarc_discovery_line = section.line("dmarc_discovery");
  if (checks.spf == Auth::Spf::off && checks.dmarc == Auth::Dmarc::enforce) {
    section.warn("spf", "with \"off\" DMARC can pass by DKIM only; write \"dmarc\" to let SPF count");
  }
}

void read_checks(Section section, MainText& out) {
  static_cast<void>(section.number("dnsbl_threshold", 1, {1, 1000}));
  read_authentication(section, out);
  static_cast<void>(section.choice("rdns", 0, {{"off", 0}, {"warn", 1}, {"defer", 2}, {"reject", 3}}));
  static_cast<void>(section.choice("helo", 0, {{"off", 0}, {"warn", 1}, {"reject", 2}}));
  for (const auto& cause : section.texts("rdns_causes")) {
    if (cause.value == "missing" || cause.value == "unconfirmed" || cause.value == "helo-mismatch") continue;
    section.error_at(cause.line, "rdns_causes",
                     fmt::format("\"{}\" is unknown; it must be one of: missing, unconfirmed, helo-mismatch",
                                 core::printable(cause.value)));
  }
  static_cast<void>(section.choice("sender_domain", 0, {{"off", 0}, {"reject", 1}}));
  auto& smtp = out.config.smtp;
  smtp.reject_early_talkers = section.choice("early_talker", true, {{"off", false}, {"reject", true}});
  smtp.early_talker_delay =
      section.duration("early_talker_delay", smtp.early_talker_delay, {1ms, 60s}, Section::Zero::off);
  read_rates(section.table("rate"), out);
  auto greylist = section.table("greylist");
  static_cast<void>(greylist.choice("mode", 0, {{"off", 0}, {"on", 1}}));
  static_cast<void>(greylist.duration("delay", 5min, {1s, 24h}));
  static_cast<void>(greylist.duration("keep", kMonth, {1s, 12 * kMonth}));
  greylist.finish();
  read_exceptions(section, out);
  section.finish();
}

void read_queue(Section section, MainText& out) {
  auto& schedule = out.config.forwarding.queue.schedule;
  std::vector<core::Milliseconds> steps;
  for (const auto& step : section.texts("retry")) {
    const auto parsed = core::parse_duration(step.value);
    if (!parsed || *parsed < 1s || *parsed > kMonth) {
      section.error_at(
          step.line, "retry",
          fmt::format("\"{}\" is no time from 1s to 31d; write for example \"5m\"", core::printable(step.value)));
    } else {
      steps.push_back(*parsed);
    }
  }
  if (section.has("retry") && steps.empty()) {
    section.error("retry", "names no time; write for example [\"1m\", \"5m\", \"15m\", \"1h\"]");
  }
  if (!steps.empty()) schedule.retry = std::move(steps);
  schedule.lifetime = section.duration("lifetime", schedule.lifetime, {1s, kMonth});
  schedule.fallback_after = section.duration("fallback_after", schedule.fallback_after, {1s, kMonth});
  schedule.delay_notice = section.duration("delay_notice", schedule.delay_notice, {1s, kMonth}, Section::Zero::off);
  section.finish();
}

}  // namespace

void read_policy(Section& root, MainText& out) {
  read_arc(root.table("arc"), out);
  read_access(root.table("access"));
  read_dnsbls(root);
  read_checks(root.table("policy"), out);
  read_queue(root.table("queue"), out);
}

}  // namespace app
