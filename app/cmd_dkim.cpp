// onward dkim keygen: a new key in a file of its own, never over an old one, and the record to publish.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "auth/signing_key.hpp"
#include "core/secret_file.hpp"
#include "mail/address.hpp"

namespace app {

int cmd_dkim_keygen(const GlobalOptions& global, const KeygenOptions& options) {
  const std::string owner = options.selector + "._domainkey." + options.domain;
  if (!mail::is_domain(options.domain) || !mail::is_domain(options.selector)) {
    fmt::print(stderr, "onward: \"{}\" and \"{}\" must be a domain and a selector, as in example.org ow1\n",
               options.domain, options.selector);
    return kExitUsage;
  }
  const auto type = options.type == "ed25519" ? auth::NewKey::ed25519 : auth::NewKey::rsa2048;
  const auto pem = auth::generate_key(type);
  if (!pem) {
    fmt::print(stderr, "onward: {}\n", pem.error().text);
    return kExitProblem;
  }
  const auto key = auth::SigningKey::parse(pem->view());
  if (!key) {
    fmt::print(stderr, "onward: {}\n", key.error().text);
    return kExitProblem;
  }
  const std::string file = options.out.empty() ? options.selector + "." + options.domain + ".pem" : options.out;
  if (const auto error = core::create_secret_file(file, pem->view())) {
    fmt::print(stderr, "onward: {}: {}\n", file, error.message());
    return kExitProblem;
  }
  if (global.json) {
    const nlohmann::json out{{"file", file}, {"name", owner}, {"type", "TXT"}, {"record", key->dns_record()}};
    fmt::print("{}\n", out.dump(2));
    return kExitOk;
  }
  fmt::print(stderr, "The private key is in {} (mode 0600). Publish:\n", file);
  fmt::print("{}\n", auth::zone_txt(owner, key->dns_record()));
  return kExitOk;
}

}  // namespace app
