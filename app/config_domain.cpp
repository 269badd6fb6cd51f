// domains/*.toml: the rules of one forwarded domain.
#include <fmt/format.h>

#include "app/config_text.hpp"
#include "app/values.hpp"
#include "core/text.hpp"
#include "policy/pattern.hpp"
#include "policy/rule_syntax.hpp"

namespace app {
namespace {

using policy::Action;
using policy::RuleSpec;

// `address` or `pattern`; false: neither is right, and the rule is of no use.
bool read_match(Section& section, RuleSpec& spec, int& captures) {
  const auto address = section.maybe_text("address");
  const auto pattern = section.maybe_text("pattern");
  if (section.has("address") && section.has("pattern")) {
    section.error("pattern", "stands beside address; a rule has one of them");
    return false;
  }
  if (pattern) {
    spec.kind = RuleSpec::Kind::pattern;
    spec.match = pattern->value;
    const auto compiled = policy::Pattern::compile(spec.match);
    if (!compiled) {
      section.error("pattern", compiled.error().text);
      return false;
    }
    captures = compiled->captures();
    return true;
  }
  if (address) {
    spec.match = address->value;
    if (!policy::plain_local(spec.match).empty() && spec.match.find('@') == std::string::npos) return true;
    section.error("address",
                  fmt::format("\"{}\" is no local part; write what stands left of the @, for example \"sales\"",
                              core::printable(spec.match)));
    return false;
  }
  if (!section.has("address") && !section.has("pattern")) {
    section.error("", "has neither address nor pattern; write for example address = \"sales\"");
  }
  return false;
}

void read_action(Section& section, RuleSpec& spec) {
  const bool catch_all = spec.kind == RuleSpec::Kind::catch_all;
  const bool has_to = section.has("to");
  const auto preset = has_to || !catch_all ? Action::forward : Action::reject;
  spec.action = section.choice("action", preset,
                               {{"forward", Action::forward}, {"drop", Action::drop}, {"reject", Action::reject}});
  if (spec.action == Action::forward && !has_to) {
    section.error("to", "is missing; name at least one address, or set action = \"drop\" or \"reject\"");
  }
  if (spec.action != Action::forward && has_to) {
    section.error("to", "is of no use beside this action; remove it, or set action = \"forward\"");
  }
  if (const auto reply = section.maybe_text("reply")) {
    const auto parsed = policy::parse_reject_reply(reply->value);
    if (!parsed) {
      section.error("reply", parsed.error().text);
    } else if (spec.action != Action::reject) {
      section.error("reply", "is of use with action = \"reject\" only");
    } else {
      spec.reply = reply->value;
    }
  }
}

void read_globs(Section& section, std::string_view key, std::vector<std::string>& globs) {
  for (auto& glob : section.texts(key)) {
    if (auto wrong = policy::sender_glob_problem(glob.value)) {
      section.error_at(glob.line, key, *wrong);
    } else {
      globs.push_back(std::move(glob.value));
    }
  }
}

// Keys that a [[rule]] and [catch_all] share (interface.md §6.16).
bool read_rule_body(Section& section, RuleSpec& spec, int captures, std::size_t errors_before, const Report& report) {
  const auto told = report.errors.size();
  auto to = section.texts("to");
  if (section.has("to") && to.empty() && report.errors.size() == told) {
    section.error("to", "is empty; name at least one address");
  }
  if (to.size() > policy::kMaxDestinations) {
    section.error("to", fmt::format("has more than {} addresses", policy::kMaxDestinations));
    to.clear();
  }
  for (auto& text : to) {
    const auto destination = policy::parse_destination(text.value, captures);
    if (!destination) section.error_at(text.line, "to", destination.error().text);
    spec.to.push_back(std::move(text.value));
  }
  read_action(section, spec);
  spec.enabled = section.flag("enabled", true);
  spec.raw = section.flag("raw", false);
  read_globs(section, "allow_from", spec.allow_from);
  read_globs(section, "deny_from", spec.deny_from);
  if (section.has("custody")) {
    spec.custody = section.choice("custody", policy::Custody::sender,
                                  {{"inline", policy::Custody::sender}, {"queue", policy::Custody::queue}});
  }
  if (const auto rate = section.maybe_text("rate")) {
    const auto parsed = parse_rate(rate->value);
    if (!parsed || (parsed->amount != 0 && parsed->per == Rate::Per::session)) {
      section.error("rate", fmt::format("\"{}\" is no rate; write for example \"100/h\", or \"off\"",
                                        core::printable(rate->value)));
    } else {
      spec.rate = limit_of(*parsed);
    }
  }
  for (auto& fallback : section.texts("fallback")) {
    const auto destination = policy::parse_destination(fallback.value, captures);
    if (!destination) section.error_at(fallback.line, "fallback", destination.error().text);
    spec.fallback.push_back(std::move(fallback.value));
  }
  spec.where = fmt::format("{}:{}", section.file(), section.line());
  section.finish();
  return report.errors.size() == errors_before;
}

void read_rules(Section& root, DomainText& out, const Report& report) {
  for (auto& section : root.tables("rule")) {
    const auto before = report.errors.size();
    RuleSpec spec;
    int captures = policy::Pattern::kMaxCaptures;  // when the pattern is wrong, its destinations may still be right
    if (read_match(section, spec, captures) && spec.kind == RuleSpec::Kind::exact) captures = 0;
    if (read_rule_body(section, spec, captures, before, report)) out.spec.rules.push_back(std::move(spec));
  }
}

void read_catch_all(Section section, DomainText& out, const Report& report) {
  if (!section.present()) return;
  const auto before = report.errors.size();
  RuleSpec spec;
  spec.kind = RuleSpec::Kind::catch_all;
  if (read_rule_body(section, spec, 0, before, report)) out.spec.rules.push_back(std::move(spec));
}

void read_expectations(Section& root, DomainText& out) {
  for (auto& section : root.tables("expect")) {
    DomainText::Expectation expectation;
    auto rcpt = section.required("rcpt", "sales@example.org");
    if (rcpt && !mail::parse_mailbox(rcpt->value, mail::Utf8::yes)) {
      section.error("rcpt", "is no mail address; write for example \"sales@example.org\"");
      rcpt.reset();
    }
    if (!section.has("to")) section.error("to", "is missing; write the addresses it must lead to, [] for none");
    bool right = rcpt && section.has("to");
    for (auto& text : section.texts("to")) {
      if (mail::parse_mailbox(text.value, mail::Utf8::yes)) {
        expectation.to.push_back(std::move(text.value));
      } else {
        section.error_at(text.line, "to", fmt::format("\"{}\" is no mail address", core::printable(text.value)));
        right = false;
      }
    }
    section.finish();
    if (!right) continue;
    expectation.rcpt = {rcpt->value, section.line()};
    out.expectations.push_back(std::move(expectation));
  }
}

}  // namespace

DomainText parse_domain(std::string_view text, const std::string& file, Report& report) {
  DomainText out;
  out.spec.where = file;
  const auto table = parse_toml(text, file, report);
  if (!table) return out;
  Section root(&*table, file, "", 0, report);
  if (const auto name = root.required("name", "example.org")) {
    if (policy::is_forwarded_name(name->value)) {
      out.spec.name = core::lower(name->value);
      out.spec.where = fmt::format("{}:{}", file, name->line);
    } else {
      root.error(
          "name",
          fmt::format("\"{}\" is no domain; write \"example.org\" or \"*.example.org\", other scripts as xn--...",
                      core::printable(name->value)));
    }
  }
  if (const auto separators = root.maybe_text("subaddressing")) {
    out.spec.subaddressing = separators->value;
    if (auto wrong = policy::separators_problem(separators->value)) root.error("subaddressing", *wrong);
  }
  out.spec.keep_tag = root.flag("keep_tag", false);
  out.dkim = read_keys(root, "dkim");
  if (auto aliases = root.maybe_text("aliases")) out.aliases = std::move(*aliases);
  read_rules(root, out, report);
  read_catch_all(root.table("catch_all"), out, report);
  read_expectations(root, out);
  root.finish();
  return out;
}

}  // namespace app
