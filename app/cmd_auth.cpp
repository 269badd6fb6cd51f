// onward auth: the SPF, DKIM, ARC and DMARC verdicts on a message file, or SPF alone. Needs no configuration and no
// daemon.
#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/message_file.hpp"
#include "auth/verify.hpp"
#include "core/text.hpp"
#include "dns/settle.hpp"

namespace app {
namespace {

using nlohmann::json;

constexpr core::Seconds kPatience{20};
constexpr unsigned kRounds = 60;  // a hostile SPF record may need 44, one after another

int fail(int code, const std::string& text) {
  fmt::print(stderr, "onward: {}\n", text);
  return code;
}

// Runs `evaluate` with real DNS until it has its result.
template <class Value, class Evaluate>
std::optional<Value> with_dns(const AuthOptions& options, Evaluate evaluate) {
  boost::asio::io_context context(1);
  core::SystemRandom random;
  core::Metrics metrics;
  const core::SystemClock clock;
  dns::ResolverSettings settings;
  if (!options.dns_server.empty()) settings.servers.push_back(*core::HostPort::parse(options.dns_server));
  dns::LdnsResolver resolver(context.get_executor(), settings, random, metrics, clock);
  dns::Lookup lookup;
  std::optional<Value> result;
  auto work = dns::settle(resolver, lookup, evaluate, core::Deadline::after(kPatience), kRounds);
  boost::asio::co_spawn(context, std::move(work), [&](const std::exception_ptr& error, Value value) {
    if (!error) result = std::move(value);
  });
  context.run();
  return result;
}

json spf_json(const auth::SpfResult& spf) {
  return {{"result", std::string(auth::to_string(spf.result))},
          {"explanation", spf.explanation},
          {"domain", spf.domain},
          {"reason", spf.reason}};
}

json results_json(const auth::Results& results) {
  json out;
  out["spf"] = spf_json(results.spf);
  out["helo_spf"] = spf_json(results.helo_spf);
  out["dkim"] = json::array();
  for (const auto& dkim : results.dkim) {
    if (dkim.result == auth::Verdict::none) continue;
    out["dkim"].push_back({{"domain", dkim.domain},
                           {"selector", dkim.selector},
                           {"result", std::string(auth::to_string(dkim.result))},
                           {"reason", dkim.reason}});
  }
  out["dmarc"] = {{"result", std::string(auth::to_string(results.dmarc.result))},
                  {"policy", std::string(auth::to_string(results.dmarc.policy))},
                  {"disposition", std::string(auth::to_string(results.dmarc.disposition))},
                  {"domain", results.dmarc.domain},
                  {"reason", results.dmarc.reason}};
  out["arc"] = {{"result", std::string(auth::to_string(results.arc.result))}, {"reason", results.arc.reason}};
  return out;
}

void row(std::string_view method, const json& verdict, std::string_view what) {
  const auto reason = verdict.value("reason", std::string());
  fmt::print("{:<6} {:<10} {}{}\n", method, verdict.value("result", std::string()), what,
             reason.empty() ? "" : fmt::format("  ({})", core::printable(reason)));
}

void print_text(const json& out) {
  row("spf", out["spf"], out["spf"].value("domain", std::string()));
  if (!out.contains("dkim")) return;
  for (const auto& dkim : out["dkim"]) {
    row("dkim", dkim, fmt::format("d={} s={}", dkim.value("domain", ""), dkim.value("selector", "")));
  }
  if (out["dkim"].empty()) fmt::print("{:<6} none\n", "dkim");
  const auto& dmarc = out["dmarc"];
  row("dmarc", dmarc,
      fmt::format("{} policy={} disposition={}", dmarc.value("domain", ""), dmarc.value("policy", ""),
                  dmarc.value("disposition", "")));
  row("arc", out["arc"], "");
}

}  // namespace

int cmd_auth(const GlobalOptions& global, const AuthOptions& options) {
  const auto ip = core::IpAddress::parse(options.ip);
  if (!ip) return fail(kExitProblem, "\"" + options.ip + "\" is no IP address");
  if (!options.dns_server.empty() && !core::HostPort::parse(options.dns_server)) {
    return fail(kExitProblem, "\"" + options.dns_server + "\" is no server; write HOST:PORT, as in 127.0.0.1:53");
  }
  auth::SpfInput envelope;
  envelope.client = ip->unmapped();
  envelope.helo = options.helo;
  const auto now = options.time ? core::Wall::from_time_t(*options.time) : core::Wall::now();
  envelope.time = core::Wall::to_time_t(now);
  if (!options.mail_from.empty() && options.mail_from != "<>") {
    // Taken as it is: what cannot be a sender has no SPF, and that is a verdict too (RFC 7208 §4.3).
    const auto at = options.mail_from.rfind('@');
    envelope.mail_from.mailbox.local =
        at == std::string::npos || at == 0 ? "postmaster" : options.mail_from.substr(0, at);
    envelope.mail_from.mailbox.domain = options.mail_from.substr(at == std::string::npos ? 0 : at + 1);
  }

  json out;
  if (options.spf_only) {
    const auto evaluate = [&](dns::Lookup& lookup) { return auth::evaluate_spf(envelope, lookup); };
    const auto spf = with_dns<auth::SpfResult>(options, evaluate);
    if (!spf) return fail(kExitProblem, "SPF could not be evaluated");
    out["spf"] = spf_json(*spf);
  } else {
    const auto read = read_message(options.file);
    if (!read) return fail(kExitProblem, read.error().text);
    const auto& message = *read;
    mail::HeaderScanner scanner;
    const auto end = scanner.feed(message);
    const auto header_size = end ? *end - 2 : message.size();
    const auto headers = mail::Headers::parse(std::string_view(message).substr(0, header_size));
    if (!headers) return fail(kExitProblem, options.file + ": the header is malformed");
    auth::DkimLibrary library(now);
    const auto suffixes = auth::PublicSuffixList::load();  // a fence only: DMARC walks the tree without it too
    auth::VerifySettings settings;
    settings.now = now;
    settings.suffixes = suffixes ? &*suffixes : nullptr;
    auth::Verifier verifier(library, settings, envelope);
    verifier.headers(*headers);
    if (end) verifier.body(std::string_view(message).substr(*end));
    const auto evaluate = [&](dns::Lookup& lookup) {
      for (const auto& question : verifier.early_questions()) static_cast<void>(lookup.ask(question));
      return verifier.finish(lookup);
    };
    const auto results = with_dns<auth::Results>(options, evaluate);
    if (!results) return fail(kExitProblem, "the message could not be evaluated");
    out = results_json(*results);
  }
  if (global.json) {
    fmt::print("{}\n", out.dump(2, ' ', false, json::error_handler_t::replace));
  } else {
    print_text(out);
  }
  return kExitOk;
}

}  // namespace app
