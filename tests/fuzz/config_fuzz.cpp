// links: app
// onward.toml and domain files out of any bytes: no crash, every mistake has a message of one printable line, and what
// is accepted holds no control octet (threats OP-02). The first octet chooses the kind of file.
#include <cstdint>
#include <string>
#include <string_view>

#include "app/config_text.hpp"
#include "policy/routes.hpp"

namespace {

void require(bool condition) {
  if (!condition) __builtin_trap();
}

bool clean(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  }
  return true;
}

void check(const app::Report& report) {
  for (const auto* list : {&report.errors, &report.warnings}) {
    for (const auto& problem : *list) {
      require(!problem.message.empty());
      require(clean(problem.to_string()));
    }
  }
}

void fuzz_main(std::string_view text) {
  app::Report report;
  const auto parsed = app::parse_main(text, "onward.toml", report);
  check(report);
  const auto& c = parsed.config;
  for (const auto& value : {c.smtp.hostname, c.smtp.help_url, c.state_dir, c.admin_socket, c.user, c.metrics_listen,
                            parsed.srs.domain.value, parsed.srs.secrets_file.value, parsed.dkim.domain}) {
    require(clean(value));
  }
  for (const auto& hop : c.forwarding.next_hops) {
    for (const auto& via : hop.via) require(clean(via.host) && (via.port != 0));
  }
  if (report.errors.empty()) require(!c.smtp.hostname.empty() && !c.listeners.empty());
}

void fuzz_domain(std::string_view text) {
  app::Report report;
  auto parsed = app::parse_domain(text, "domain.toml", report);
  check(report);
  if (!report.errors.empty()) return;
  const auto name = parsed.spec.name;
  policy::Routes::Builder builder;
  builder.add_domain(std::move(parsed.spec));
  std::vector<policy::Routes::Builder::Error> errors;
  const auto routes = builder.build(errors);
  require((routes != nullptr) == errors.empty());
  for (const auto& error : errors) require(clean(error.what) && !error.what.empty());
  if (!routes) return;
  require(routes->is_ours(name.starts_with("*.") ? "x" + name.substr(1) : name));
  // What the rules make of an address is an address.
  for (const auto& expectation : parsed.expectations) {
    const auto rcpt = mail::parse_mailbox(expectation.rcpt.value, mail::Utf8::yes);
    require(rcpt.has_value());
    const auto route = routes->resolve(mail::ForwardPath{*rcpt}, {});
    require(route.destinations.size() <= 100);
    for (const auto& to : route.destinations) require(mail::parse_mailbox(to.to_string(), mail::Utf8::yes).has_value());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 'd') {
    fuzz_domain(text);
  } else {
    fuzz_main(text);
  }
  return 0;
}
