// onward.toml: whom we speak as. [tls], [srs], [dkim].
#include <fmt/format.h>

#include <algorithm>

#include "app/config_text.hpp"
#include "app/values.hpp"
#include "core/text.hpp"

namespace app {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMaxKeys = 20;
constexpr std::size_t kMaxPairs = 1000;

void read_pair(Section& section, MainText& out) {
  const auto certificate = section.required("certificate", "tls/fullchain.pem");
  const auto key = section.required("key", "tls/key.pem");
  if (certificate && key) out.tls.settings.pairs.push_back({certificate->value, key->value});
}

void read_tls(Section section, MainText& out) {
  out.tls.present = section.present();
  out.tls.line = section.line();
  if (!section.present()) return;
  auto& settings = out.tls.settings;
  read_pair(section, out);
  auto more = section.tables("more");
  if (more.size() > kMaxPairs) section.error("more", fmt::format("has more than {} pairs", kMaxPairs));
  for (auto& pair : more) {
    read_pair(pair, out);
    pair.finish();
  }
  settings.min_version =
      section.choice<std::string>("min_version", "1.2", {{"1.1", "1.1"}, {"1.2", "1.2"}, {"1.3", "1.3"}});
  if (settings.min_version == "1.1") {
    section.warn("min_version", "1.1 is for old partners only: it needs SHA-1 and lowers the security of all sessions");
  }
  settings.ciphers = section.text("ciphers", "");
  settings.ciphersuites = section.text("ciphersuites", "");
  section.finish();
}

void read_srs(Section section, MainText& out) {
  auto& srs = out.srs;
  if (!section.present()) {
    section.error(
        "", "is missing; write [srs] with domain and secrets_file: without SRS, destinations refuse what is forwarded");
    return;
  }
  if (auto domain = section.required("domain", "forward.example")) {
    if (!mail::is_domain(domain->value)) {
      section.error("domain",
                    "is no domain; write a domain whose MX points to this machine, for example \"forward.example\"");
    } else {
      domain->value = core::lower(domain->value);
      srs.domain = std::move(*domain);
    }
  }
  if (auto file = section.required("secrets_file", "keys/srs.secrets")) srs.secrets_file = std::move(*file);
  srs.max_age = section.duration("max_age", srs.max_age, {24h, 365 * 24h});
  if (srs.max_age % 24h != 0ms) section.error("max_age", "must be whole days; write for example \"21d\"");
  srs.hash = section.choice("hash", srs.hash, {{"sha256", srs::Hash::sha256}, {"sha1", srs::Hash::sha1}});
  if (auto file = section.maybe_text("accept_sha1_secrets")) srs.accept_sha1_secrets = std::move(*file);
  section.finish();
}

void read_dkim(Section section, MainText& out) {
  if (!section.present()) return;
  if (const auto domain = section.required("domain", "forward.example")) {
    if (!mail::is_domain(domain->value)) section.error("domain", "is no domain; write for example \"forward.example\"");
    out.dkim.domain = core::lower(domain->value);
  }
  if (!section.has("keys")) {
    section.error("keys",
                  "is missing; write keys = [ {selector = \"ow1\", file = \"keys/ow1.pem\"} ], or leave [dkim] out");
  }
  out.dkim.keys = read_keys(section, "keys");
  section.finish();
}

}  // namespace

std::vector<KeyText> read_keys(Section& section, std::string_view key) {
  std::vector<KeyText> keys;
  auto tables = section.tables(key);
  if (tables.size() > kMaxKeys) {
    section.error(key, fmt::format("has more than {} keys; each makes a signature", kMaxKeys));
    return keys;
  }
  for (auto& table : tables) {
    const auto selector = table.required("selector", "ow1");
    auto file = table.required("file", "keys/ow1.pem");
    table.finish();
    if (!selector || !file) continue;
    if (!is_selector(selector->value)) {
      table.error("selector", "is no selector; use letters, digits, hyphens and dots, for example \"ow1\"");
      continue;
    }
    auto name = core::lower(selector->value);
    if (std::any_of(keys.begin(), keys.end(), [&](const KeyText& k) { return k.selector == name; })) {
      table.error("selector", fmt::format("\"{}\" is there twice; each key has a selector of its own", name));
      continue;
    }
    keys.push_back({std::move(name), std::move(*file)});
  }
  return keys;
}

void read_identity(Section& root, MainText& out) {
  read_tls(root.table("tls"), out);
  read_srs(root.table("srs"), out);
  read_dkim(root.table("dkim"), out);
}

}  // namespace app
