// Short ways to write rules down and to ask where an address leads.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "policy/routes.hpp"

namespace policy::test {

inline RuleSpec rule(std::string local, std::vector<std::string> to) {
  RuleSpec spec;
  spec.match = std::move(local);
  spec.to = std::move(to);
  spec.where = "t.toml:" + spec.match;
  return spec;
}

inline RuleSpec pattern(std::string re, std::vector<std::string> to) {
  auto spec = rule(std::move(re), std::move(to));
  spec.kind = RuleSpec::Kind::pattern;
  return spec;
}

inline RuleSpec catch_all(std::vector<std::string> to) {
  auto spec = rule("", std::move(to));
  spec.kind = RuleSpec::Kind::catch_all;
  spec.where = "t.toml:catch_all";
  return spec;
}

inline RuleSpec reject(std::string local, std::string reply = "") {
  auto spec = rule(std::move(local), {});
  spec.action = Action::reject;
  spec.reply = std::move(reply);
  return spec;
}

inline RuleSpec drop(std::string local) {
  auto spec = rule(std::move(local), {});
  spec.action = Action::drop;
  return spec;
}

inline DomainSpec domain(std::string name, std::vector<RuleSpec> rules) {
  DomainSpec spec;
  spec.where = name + ".toml";
  spec.name = std::move(name);
  spec.rules = std::move(rules);
  return spec;
}

struct Built {
  std::shared_ptr<const Routes> routes;
  std::vector<Routes::Builder::Error> errors;

  // "where: key: what" lines, for expectations.
  std::string text() const {
    std::string out;
    for (const auto& e : errors) out += e.where + ": " + e.key + ": " + e.what + "\n";
    return out;
  }
};

inline Built build(std::vector<DomainSpec> domains, const std::string& aliases = "",
                   const std::string& postmaster = "") {
  Routes::Builder builder;
  if (!postmaster.empty()) builder.set_postmaster(*mail::parse_mailbox(postmaster));
  builder.add_own_name("mx.fwd.example");
  builder.add_own_name("SRS.example");
  std::size_t first = 0;
  for (std::size_t i = 0; i < domains.size(); ++i) {
    const auto index = builder.add_domain(std::move(domains[i]));
    if (i == 0) first = index;
  }
  if (!aliases.empty()) builder.add_aliases(first, aliases, "t.aliases");
  Built built;
  built.routes = builder.build(built.errors);
  return built;
}

inline Route ask(const Built& built, const std::string& recipient, const std::string& sender = "someone@else.example") {
  const auto to = mail::parse_forward_path("<" + recipient + ">", mail::Utf8::yes);
  const auto from = mail::parse_reverse_path("<" + sender + ">", mail::Utf8::yes);
  return built.routes->resolve(to.value(), from.value());
}

// "a@x b@y", or the kind in brackets.
inline std::string leads_to(const Built& built, const std::string& recipient,
                            const std::string& sender = "someone@else.example") {
  if (!built.routes) return "(no routes) " + built.text();
  const auto route = ask(built, recipient, sender);
  switch (route.kind) {
    case Route::Kind::drop:
      return "[drop]";
    case Route::Kind::reject:
      return "[" + route.reply.value().to_log() + "]";
    case Route::Kind::unknown:
      return "[unknown]";
    case Route::Kind::not_ours:
      return "[not ours]";
    case Route::Kind::sender_denied:
      return "[denied]";
    case Route::Kind::forward:
      break;
  }
  std::string out;
  for (const auto& d : route.destinations) out += (out.empty() ? "" : " ") + d.to_string();
  return out;
}

}  // namespace policy::test
