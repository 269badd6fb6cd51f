// onward.toml: whom we trust. [arc], [access], [[dnsbl]], [policy], [queue].
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
constexpr std::size_t kMaxListName = 64;  // octets of a reply's line

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

void read_access(Section section, MainText& out) {
  using policy::AccessAction;
  for (auto& table : section.tables("rules")) {
    policy::AccessRule rule;
    const auto match = table.required("match", "192.0.2.0/24");
    auto parsed = match ? policy::parse_access_match(match->value) : std::nullopt;
    if (match && !parsed) {
      table.error(
          "match",
          fmt::format("\"{}\" matches nothing; write a network \"192.0.2.0/24\" (host bits zero), \"AS64500\" or "
                      "\"country:XX\"",
                      core::printable(match->value)));
    }
    const bool has_action = table.required("action", "block").has_value();
    if (has_action) {
      rule.action =
          table.choice("action", rule.action, {{"allow", AccessAction::allow}, {"block", AccessAction::block}});
    }
    table.finish();
    if (!parsed || !has_action) continue;
    rule.match = std::move(*parsed);
    out.access.rules.push_back(std::move(rule));
    out.access.lines.push_back(table.line());
  }
  auto geoip = section.table("geoip");
  if (auto file = geoip.maybe_text("country")) out.access.country = std::move(*file);
  if (auto file = geoip.maybe_text("asn")) out.access.asn = std::move(*file);
  geoip.finish();
  section.finish();
}

// A zone may hold a customer's key: no message names it.
void read_dnsbls(Section& root, MainText& out) {
  using policy::DnsblZone;
  std::set<std::string> names;
  for (auto& list : root.tables("dnsbl")) {
    DnsblZone entry;
    const auto name = list.required("name", "zen");
    if (name && !names.insert(name->value).second) {
      list.error("name",
                 fmt::format("\"{}\" is there twice; each list has a name of its own", core::printable(name->value)));
    }
    const bool printable = name && std::ranges::all_of(name->value, [](char c) { return c > ' ' && c < '\x7f'; });
    if (name && (!printable || name->value.size() > kMaxListName)) {
      list.error("name", "is printed in replies; write a short word without blanks, for example \"zen\"");
    }
    const auto zone = list.required("zone", "zen.spamhaus.org");
    if (zone && !mail::is_domain(zone->value))
      list.error("zone", "is no domain; write for example \"zen.spamhaus.org\"");
    for (const auto& text : list.texts("listed")) {
      if (const auto range = policy::parse_answer_range(text.value)) {
        entry.listed.push_back(*range);
        continue;
      }
      list.error_at(text.line, "listed",
                    fmt::format("\"{}\" is no range; write \"127.0.0.2\" or \"127.0.0.2-127.0.0.11\"",
                                core::printable(text.value)));
    }
    entry.weight = static_cast<int>(list.number("weight", 1, {-100, 100}));
    entry.kind =
        list.choice("kind", DnsblZone::Kind::ip, {{"ip", DnsblZone::Kind::ip}, {"domain", DnsblZone::Kind::domain}});
    list.finish();
    if (!name || !zone) continue;
    entry.name = name->value;
    entry.zone = core::lower(zone->value);
    out.config.forwarding.admission.lists.push_back(std::move(entry));
  }
}

void read_rates(Section section, MainText& out) {
  auto& admission = out.config.forwarding.admission;
  admission.messages_per_client = {300, 60s};
  admission.recipients_per_client = {600, 60s};
  const auto read = [&](std::string_view key, policy::RateLimit* limit) {
    const bool session = limit == nullptr;
    const auto text = section.maybe_text(key);
    if (!text) return;
    const auto rate = parse_rate(text->value);
    const bool right = rate && (rate->amount == 0 || (rate->per == Rate::Per::session) == session);
    if (!right) {
      section.error(key, fmt::format("\"{}\" is no rate; write for example \"{}\", or \"off\"",
                                     core::printable(text->value), session ? "20/session" : "300/min"));
    } else if (session) {
      out.config.smtp.unknown_recipients = rate->amount == 0 ? std::numeric_limits<unsigned>::max() : rate->amount;
    } else {
      *limit = limit_of(*rate);
    }
  };
  read("messages_per_ip", &admission.messages_per_client);
  read("recipients_per_ip", &admission.recipients_per_client);
  read("unknown_recipients", nullptr);
  read("messages_per_sender_domain", &admission.messages_per_sender_domain);
  read("recipients_per_rule", &admission.recipients_per_rule);
  read("recipients_per_destination", &admission.recipients_per_destination);
  section.finish();
}

// [policy] rdns, rdns_causes, helo, sender_domain, greylist.
void read_admission(Section& section, MainText& out) {
  using Admission = policy::AdmissionSettings;
  auto& admission = out.config.forwarding.admission;
  admission.dnsbl_threshold = static_cast<int>(section.number("dnsbl_threshold", 1, {1, 1000}));
  admission.rdns = section.choice("rdns", Admission::Rdns::warn,
                                  {{"off", Admission::Rdns::off},
                                   {"warn", Admission::Rdns::warn},
                                   {"defer", Admission::Rdns::defer},
                                   {"reject", Admission::Rdns::reject}});
  const std::pair<std::string_view, bool*> causes[] = {{"missing", &admission.rdns_causes.missing},
                                                       {"unconfirmed", &admission.rdns_causes.unconfirmed},
                                                       {"helo-mismatch", &admission.rdns_causes.helo_mismatch}};
  if (section.has("rdns_causes")) admission.rdns_causes = {false, false, false};
  for (const auto& cause : section.texts("rdns_causes")) {
    const auto* known =
        std::ranges::find(causes, std::string_view(cause.value), &std::pair<std::string_view, bool*>::first);
    if (known != std::end(causes)) {
      *known->second = true;
      continue;
    }
    section.error_at(cause.line, "rdns_causes",
                     fmt::format("\"{}\" is unknown; it must be one of: missing, unconfirmed, helo-mismatch",
                                 core::printable(cause.value)));
  }
  admission.helo = section.choice(
      "helo", Admission::Helo::warn,
      {{"off", Admission::Helo::off}, {"warn", Admission::Helo::warn}, {"reject", Admission::Helo::reject}});
  admission.sender_domain = section.choice("sender_domain", Admission::Sender::reject,
                                           {{"off", Admission::Sender::off}, {"reject", Admission::Sender::reject}});
  auto greylist = section.table("greylist");
  admission.greylist.on = greylist.choice("mode", false, {{"off", false}, {"on", true}});
  admission.greylist.delay = greylist.duration("delay", admission.greylist.delay, {1s, 24h});
  admission.greylist.keep = greylist.duration("keep", admission.greylist.keep, {1s, 12 * kMonth});
  greylist.finish();
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
  read_authentication(section, out);
  read_admission(section, out);
  auto& smtp = out.config.smtp;
  smtp.reject_early_talkers = section.choice("early_talker", true, {{"off", false}, {"reject", true}});
  smtp.early_talker_delay =
      section.duration("early_talker_delay", smtp.early_talker_delay, {1ms, 60s}, Section::Zero::off);
  read_rates(section.table("rate"), out);
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
  read_access(root.table("access"), out);
  read_dnsbls(root, out);
  read_checks(root.table("policy"), out);
  read_queue(root.table("queue"), out);
}

}  // namespace app
