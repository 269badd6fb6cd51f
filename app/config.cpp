// load_config: reads the files, then whatever they name, in an order in which each mistake is told once.
#include "app/config.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "app/config_files.hpp"
#include "app/config_text.hpp"
#include "core/digest.hpp"
#include "core/text.hpp"
#include "policy/alias_table.hpp"
#include "policy/rule_syntax.hpp"

namespace app {
namespace {

constexpr std::size_t kShortSecret = 16;  // octets; shorter ones can be guessed

class Loader {
 public:
  Loader(std::string path, const LoadOptions& options) : path_(std::move(path)), options_(options) {}
  LoadResult run();

 private:
  void load_main();
  void load_domains();
  void load_domain(const std::string& file);
  void load_routes();
  void load_aliases(policy::Routes::Builder& builder, std::size_t index, const DomainText& domain);
  void run_expectations();
  void load_srs();
  std::vector<core::Secret> load_secrets(const Text& file, std::string_view key);
  void load_signers();
  std::vector<std::shared_ptr<const auth::Signer>> make_signers(const std::string& file, const std::string& key,
                                                                const std::string& domain,
                                                                const std::vector<KeyText>& keys);
  void load_sealer();
  void load_suffixes();
  void load_roots();
  bool load_https(net::TlsServerSettings settings);
  void load_access();
  std::shared_ptr<const policy::GeoDatabase> load_geo(const Text& file, std::string_view key);
  void load_tls();
  void check_user();
  std::vector<ConfigError> sorted_errors();

  void error(const std::string& file, unsigned line, std::string key, std::string message) {
    report_.errors.push_back({file, line, std::move(key), std::move(message)});
  }
  void error_at(const std::string& where, std::string key, std::string message);
  const std::string& note(std::string path) { return read_again_.emplace_back(std::move(path)); }
  void remember(const std::string& path, std::string_view content) {
    config_->sources.push_back({ConfigSource::Kind::opaque, path, std::string(core::as_text(core::sha256(content)))});
  }

  std::string path_;
  LoadOptions options_;
  Report report_;
  std::shared_ptr<Config> config_;
  MainText main_;
  std::vector<DomainText> domains_;
  std::vector<std::string> domain_files_;
  core::SecretUser user_;
  std::vector<std::string> read_again_;  // by a reload
  bool domains_broken_ = false;          // mistakes in domain files: what follows from rules is not looked at
};

// "file:line" as policy writes it.
void Loader::error_at(const std::string& where, std::string key, std::string message) {
  const auto colon = where.rfind(':');
  const auto line = colon == std::string::npos ? std::nullopt : core::parse_number(where.substr(colon + 1));
  if (where.empty()) {
    error(path_, 0, std::move(key), std::move(message));
  } else if (line) {
    error(where.substr(0, colon), static_cast<unsigned>(*line), std::move(key), std::move(message));
  } else {
    error(where, 0, std::move(key), std::move(message));
  }
}

void Loader::load_main() {
  auto text = read_file(note(path_), kMaxConfigFile);
  if (!text) {
    error(path_, 0, "", text.error().text + "; name another file with -c");
    return;
  }
  main_ = parse_main(*text, path_, report_);
  config_ = std::make_shared<Config>(std::move(main_.config));
  config_->sources.push_back({ConfigSource::Kind::settings, path_, *text});
  config_->state_dir = path_beside(path_, config_->state_dir);
  config_->admin_socket = path_beside(path_, config_->admin_socket);
  const auto account = find_account(config_->user);
  user_ = account.ids;
  if (options_.check_user && ::geteuid() == 0 && !account.exists) {
    error(path_, 0, "user",
          fmt::format("there is no account \"{}\"; create it, or name another one", core::printable(config_->user)));
  }
}

// ---- domains

void Loader::load_domains() {
  std::vector<std::string> files;
  for (const auto& glob : main_.domain_globs) {
    auto found = find_files(path_beside(path_, glob.value));
    if (!found) {
      error(path_, glob.line, "domains", fmt::format("\"{}\": {}", core::printable(glob.value), found.error().text));
      continue;
    }
    if (found->empty()) {
      report_.warnings.push_back(
          {path_, glob.line, "domains",
           fmt::format("\"{}\" matches no file: no domain is forwarded by it", core::printable(glob.value))});
    }
    files.insert(files.end(), found->begin(), found->end());
  }
  for (const auto& file : files) {
    if (std::find(domain_files_.begin(), domain_files_.end(), file) != domain_files_.end()) continue;
    load_domain(file);
  }
}

void Loader::load_domain(const std::string& file) {
  domain_files_.push_back(file);
  const auto before = report_.errors.size();
  auto text = read_file(note(file), kMaxConfigFile);
  if (text) {
    domains_.push_back(parse_domain(*text, file, report_));
    config_->sources.push_back({ConfigSource::Kind::domain, file, std::move(*text)});
  } else {
    error(file, 0, "", text.error().text);
    domains_.emplace_back();
  }
  domains_broken_ = domains_broken_ || report_.errors.size() != before;
}

void Loader::load_aliases(policy::Routes::Builder& builder, std::size_t index, const DomainText& domain) {
  const auto& file = domain_files_[index];
  const auto path = path_beside(file, domain.aliases.value);
  auto text = read_file(note(path), policy::AliasTable::kMaxText);
  if (!text) {
    error(file, domain.aliases.line, "aliases", fmt::format("{}: {}", core::printable(path), text.error().text));
    domains_broken_ = true;
    return;
  }
  remember(path, *text);
  builder.add_aliases(index, std::move(*text), path);
}

void Loader::load_routes() {
  policy::Routes::Builder builder;
  if (main_.postmaster) builder.set_postmaster(*main_.postmaster);
  builder.add_own_name(config_->smtp.hostname);
  if (!main_.srs.domain.value.empty()) builder.add_own_name(main_.srs.domain.value);
  for (std::size_t i = 0; i < domains_.size(); ++i) {
    auto& domain = domains_[i];
    // A file that could not be read stands for a domain that nobody can write to.
    if (domain.spec.name.empty()) domain.spec.name = fmt::format("unreadable-{}.invalid", i);
    const auto index = builder.add_domain(std::move(domain.spec));
    if (!domain.aliases.value.empty()) load_aliases(builder, index, domain);
  }
  std::vector<policy::Routes::Builder::Error> errors;
  config_->forwarding.routes = builder.build(errors);
  for (auto& e : errors) {
    if (e.dangling && domains_broken_) continue;
    error_at(e.where, std::move(e.key), std::move(e.what));
  }
  if (!config_->forwarding.routes) return;
  config_->domains = domains_.size();
  config_->addresses = config_->forwarding.routes->addresses();
  if (!domains_broken_) run_expectations();
}

// The same for destinations that §6.16 would merge.
std::vector<std::string> comparable(const std::vector<mail::Mailbox>& mailboxes) {
  std::vector<std::string> out;
  for (const auto& mailbox : mailboxes) out.push_back(mailbox.local + "@" + core::lower(mailbox.domain));
  std::sort(out.begin(), out.end());
  return out;
}

std::string outcome(const policy::Route& route) {
  using Kind = policy::Route::Kind;
  switch (route.kind) {
    case Kind::forward:
      break;
    case Kind::drop:
      return "dropped by rule " + route.rule;
    case Kind::reject:
      return fmt::format("refused by rule {}: {}", route.rule, route.reply ? route.reply->to_log() : "");
    case Kind::unknown:
      return route.rule.empty() ? "refused: no rule takes it" : "refused by rule " + route.rule;
    case Kind::not_ours:
      return "refused: its domain is not forwarded";
    case Kind::sender_denied:
      return "refused: the rule does not take mail from everybody";
  }
  std::string out;
  for (const auto& d : route.destinations) out += (out.empty() ? "" : ", ") + d.to_string();
  return fmt::format("led to {} by rule {}", out, route.rule);
}

void Loader::run_expectations() {
  for (std::size_t i = 0; i < domains_.size(); ++i) {
    for (const auto& expectation : domains_[i].expectations) {
      const mail::ForwardPath rcpt{mail::parse_mailbox(expectation.rcpt.value, mail::Utf8::yes).value()};
      const auto route = config_->forwarding.routes->resolve(rcpt, mail::ReversePath{{"sender", "example.com"}});
      std::vector<mail::Mailbox> wanted;
      for (const auto& to : expectation.to) wanted.push_back(mail::parse_mailbox(to, mail::Utf8::yes).value());
      if (comparable(route.destinations) == comparable(wanted)) continue;
      error(
          domain_files_[i], expectation.rcpt.line, "expect",
          fmt::format("{} is {}; expected {}", expectation.rcpt.value, outcome(route),
                      expectation.to.empty() ? "no destination" : fmt::format("{}", fmt::join(expectation.to, ", "))));
    }
  }
}

// ---- keys, secrets, certificates

std::vector<core::Secret> Loader::load_secrets(const Text& file, std::string_view key) {
  if (file.value.empty()) return {};
  const auto& path = note(path_beside(path_, file.value));
  const auto content = core::read_secret_file(path, user_);
  if (!content) {
    error(path_, file.line, std::string(key), content.error().text);
    return {};
  }
  remember(path, content->view());
  auto secrets = srs::parse_secrets(content->view());
  if (secrets.empty())
    error(path_, file.line, std::string(key), path + ": is empty; write one secret a line, the newest first");
  for (const auto& secret : secrets) {
    if (secret.view().size() >= kShortSecret || key != "srs.secrets_file") continue;
    report_.warnings.push_back(
        {path_, file.line, std::string(key),
         fmt::format("{}: a secret has less than {} characters; make one with: openssl rand -hex 32", path,
                     kShortSecret)});
    break;
  }
  return secrets;
}

void Loader::load_srs() {
  const auto& text = main_.srs;
  srs::Rewriter::Settings settings;
  settings.domain = text.domain.value;
  settings.hash = text.hash;
  settings.max_age = text.max_age;
  settings.secrets = load_secrets(text.secrets_file, "srs.secrets_file");
  settings.accept_sha1_secrets = load_secrets(text.accept_sha1_secrets, "srs.accept_sha1_secrets");
  if (settings.domain.empty() || settings.secrets.empty()) return;  // told already
  config_->forwarding.loop_token = std::make_shared<const srs::LoopToken>(settings.secrets, config_->smtp.hostname);
  config_->forwarding.srs = std::make_shared<const srs::Rewriter>(std::move(settings), options_.tokens);
}

std::vector<std::shared_ptr<const auth::Signer>> Loader::make_signers(const std::string& file, const std::string& key,
                                                                      const std::string& domain,
                                                                      const std::vector<KeyText>& keys) {
  constexpr int kGoodRsa = 2048;
  std::vector<std::shared_ptr<const auth::Signer>> signers;
  for (const auto& text : keys) {
    const auto& path = note(path_beside(file, text.file.value));
    const auto pem = core::read_secret_file(path, user_);
    if (!pem) {
      error(file, text.file.line, key + ".file", pem.error().text);
      continue;
    }
    remember(path, pem->view());
    auto parsed = auth::SigningKey::parse(pem->view());
    if (!parsed) {
      error(file, text.file.line, key + ".file", fmt::format("{}: {}", path, parsed.error().text));
      continue;
    }
    if (parsed->type() == auth::KeyType::rsa && parsed->bits() < kGoodRsa) {
      report_.warnings.push_back(
          {file, text.file.line, key + ".file",
           fmt::format("{}: an RSA key of {} bits; use {} or more", path, parsed->bits(), kGoodRsa)});
    }
    signers.push_back(std::make_shared<const auth::Signer>(
        domain, text.selector, std::make_shared<const auth::SigningKey>(std::move(*parsed))));
  }
  return signers;
}

void Loader::load_signers() {
  auto& forwarding = config_->forwarding;
  forwarding.signers = make_signers(path_, "dkim.keys", main_.dkim.domain, main_.dkim.keys);
  for (std::size_t i = 0; i < domains_.size(); ++i) {
    const auto& domain = domains_[i];
    if (domain.dkim.empty()) continue;
    const auto names = domain.spec.name;
    const std::string d = names.starts_with("*.") ? names.substr(2) : names;
    forwarding.domain_signers[names] = make_signers(domain_files_[i], "dkim", d, domain.dkim);
  }
}

// interface.md [arc]: with [dkim]'s first RSA key.
void Loader::load_sealer() {
  auto& forwarding = config_->forwarding;
  if (!main_.arc_seal) return;
  for (const auto& signer : forwarding.signers) {
    if (signer->key().type() != auth::KeyType::rsa) continue;
    forwarding.sealer =
        std::make_shared<const auth::ArcSealer>(signer->domain(), signer->selector(), signer->shared_key());
    return;
  }
  // Nothing to seal with: a wish that cannot be granted is an error, a default that cannot is not.
  if (main_.arc_written && main_.dkim.keys.empty()) {
    error(path_, main_.arc_line, "arc.seal", "needs an RSA key in [dkim]; add one, or write false");
  } else if (main_.arc_written && !forwarding.signers.empty()) {
    error(path_, main_.arc_line, "arc.seal", "needs an RSA key in [dkim], which has none; add one, or write false");
  }
}

// The list of public suffixes: what policy.dmarc_discovery = "psl" goes by, and a fence in the tree walk.
void Loader::load_suffixes() {
  auto& forwarding = config_->forwarding;
  auto loaded = auth::PublicSuffixList::load();
  if (loaded) {
    forwarding.suffixes = std::make_shared<const auth::PublicSuffixList>(std::move(*loaded));
  } else if (forwarding.dmarc_discovery == auth::Discovery::psl) {
    error(path_, main_.dmarc_discovery_line, "policy.dmarc_discovery",
          loaded.error().text + "; install the package publicsuffix, or write \"tree-walk\"");
  }
}

// What servers are verified by, where anybody asks for it.
void Loader::load_roots() {
  const auto& forwarding = config_->forwarding;
  const auto& delivery = forwarding.delivery;
  const bool needed = delivery.mta_sts || delivery.tls == forwarder::UpstreamTls::verify ||
                      std::ranges::any_of(forwarding.next_hops, [](const auto& route) {
                        return route.tls == forwarder::UpstreamTls::verify;
                      });
  const auto& file = main_.tls_ca_file;
  const auto path = file.value.empty() ? std::string() : note(path_beside(path_, file.value));
  std::string wrong;
  config_->forwarding.tls_client = net::TlsClient::make(
      needed || !path.empty() ? net::TlsClient::Roots::load : net::TlsClient::Roots::none, path, wrong);
  if (!config_->forwarding.tls_client) error(path_, file.line, "delivery.tls_ca_file", wrong);
}

// The names that policies are fetched under (RFC 8461 §3.3) need certificates of their own. False: an error was told.
bool Loader::load_https(net::TlsServerSettings settings) {
  constexpr std::size_t kNamed = 5;
  auto& https = config_->https;
  if (main_.https_listen.value.empty()) return true;
  https.listen = main_.https_listen.value;
  https.where = fmt::format("{}:{}", path_, main_.https_listen.line);
  settings.listener_name = "https " + https.listen;
  settings.min_version = std::max<std::string>(settings.min_version, "1.2");
  std::string wrong;
  https.server = net::TlsServer::make(settings, wrong);
  if (!https.server) {
    error(path_, main_.tls.line, "tls", wrong);
    return false;
  }
  std::vector<std::string> lacking;
  for (const auto& domain : domains_) {
    const auto name = "mta-sts." + domain.spec.name;
    if (!domain.spec.name.starts_with("*.") && !https.server->has_certificate_for(name)) lacking.push_back(name);
  }
  if (lacking.empty()) return true;
  const auto more = lacking.size() > kNamed ? fmt::format(" and {} more", lacking.size() - kNamed) : std::string();
  if (lacking.size() > kNamed) lacking.resize(kNamed);
  report_.warnings.push_back({path_, main_.https_listen.line, "https.listen",
                              fmt::format("no certificate of [tls] is for {}{}: nobody can fetch the policy there",
                                          fmt::join(lacking, ", "), more)});
  return true;
}

std::shared_ptr<const policy::GeoDatabase> Loader::load_geo(const Text& file, std::string_view key) {
  if (file.value.empty()) return nullptr;
  auto opened = policy::GeoDatabase::open(note(path_beside(path_, file.value)));
  if (opened) return std::move(*opened);
  error(path_, file.line, std::string(key), opened.error().text + "; name a file in MMDB format");
  return nullptr;
}

void Loader::load_access() {
  auto& access = main_.access;
  auto countries = load_geo(access.country, "access.geoip.country");
  auto networks = load_geo(access.asn, "access.geoip.asn");
  for (std::size_t i = 0; i < access.rules.size(); ++i) {
    const auto& match = access.rules[i].match;
    const bool by_country = std::holds_alternative<policy::AccessRule::Country>(match);
    const bool by_number = std::holds_alternative<policy::AccessRule::AsNumber>(match);
    if ((by_country && access.country.value.empty()) || (by_number && access.asn.value.empty())) {
      error(path_, access.lines[i], "access.rules",
            fmt::format("{} needs a database; name one in access.geoip.{}", access.rules[i].to_string(),
                        by_country ? "country" : "asn"));
    }
  }
  if (access.rules.empty()) return;
  config_->forwarding.access =
      std::make_shared<const policy::AccessRules>(std::move(access.rules), std::move(countries), std::move(networks));
}

void Loader::load_tls() {
  std::string wrong;
  load_roots();
  if (!main_.tls.present || main_.tls.settings.pairs.empty()) return;
  auto settings = main_.tls.settings;
  for (auto& pair : settings.pairs) {
    pair.certificate = note(path_beside(path_, pair.certificate));
    pair.key = note(path_beside(path_, pair.key));
    config_->tls_files.push_back(pair.certificate);
    config_->tls_files.push_back(pair.key);
    for (const auto& path : {pair.certificate, pair.key}) {
      if (const auto pem = read_file(path, kMaxConfigFile)) remember(path, *pem);
    }
    struct stat st{};
    if (::stat(pair.key.c_str(), &st) == 0 && (st.st_mode & (S_IROTH | S_IWOTH)) != 0) {
      report_.warnings.push_back({path_, main_.tls.line, "tls.key", pair.key + ": anybody may read it; chmod o-rwx"});
    }
  }
  if (!load_https(settings)) return;
  for (auto& listener : config_->listeners) {
    if (listener.tls == smtpd::TlsMode::none) continue;
    settings.listener_name = listener.address;
    listener.server = net::TlsServer::make(settings, wrong);
    if (!listener.server) {
      error(path_, main_.tls.line, "tls", wrong);
      return;
    }
    if (!config_->smtp.tls) config_->smtp.tls = listener.server;
  }
  if (config_->smtp.tls) return;
  // No listener uses them; a mistake in them is one all the same.
  if (!net::TlsServer::make(settings, wrong)) error(path_, main_.tls.line, "tls", wrong);
}

// interface.md §6.26
void Loader::check_user() {
  if (!options_.check_user || ::geteuid() != 0) return;
  for (const auto& path : unreadable_for(config_->user, read_again_)) {
    error(
        path, 0, "",
        fmt::format("a reload could not read it: give the user \"{}\" the right to (chown, or chgrp and 0640; and x on "
                    "the folders above)",
                    config_->user));
  }
}

// By file in the order of reading, then by line.
std::vector<ConfigError> Loader::sorted_errors() {
  std::map<std::string, std::size_t> files{{path_, 0}};
  for (const auto& file : read_again_) files.try_emplace(file, files.size());
  std::vector<std::tuple<std::size_t, unsigned, std::size_t>> order;
  for (std::size_t i = 0; i < report_.errors.size(); ++i) {
    const auto& e = report_.errors[i];
    order.emplace_back(files.try_emplace(e.file, files.size()).first->second, e.line, i);
  }
  std::sort(order.begin(), order.end());
  std::vector<ConfigError> out;
  for (const auto& [file, line, index] : order) out.push_back(std::move(report_.errors[index]));
  return out;
}

LoadResult Loader::run() {
  load_main();
  if (config_) {
    if (options_.parts == LoadOptions::Parts::all) {
      load_domains();
      load_signers();
      load_sealer();
      load_suffixes();
      load_access();
      load_routes();
      load_tls();
    }
    load_srs();
    // What cannot be read at all has been told; only what root can read is of interest.
    if (report_.errors.empty()) check_user();
  }
  if (!report_.errors.empty()) return sorted_errors();
  for (const auto& listener : config_->listeners) {
    const auto endpoint = core::HostPort::parse(listener.address);
    if (endpoint && endpoint->port != 0) config_->forwarding.listeners.push_back(*endpoint);
  }
  config_->warnings = std::move(report_.warnings);
  return std::shared_ptr<const Config>(std::move(config_));
}

}  // namespace

LoadResult load_config(const std::string& path, const LoadOptions& options) {
  return Loader(path, options).run();
}

std::string read_state_dir(const std::string& path) {
  const auto text = read_file(path, kMaxConfigFile);
  if (!text) return {};
  Report report;
  const auto parsed = parse_main(*text, path, report);
  return report.errors.empty() ? path_beside(path, parsed.config.state_dir) : std::string();
}

std::string read_admin_socket(const std::string& path) {
  const auto text = read_file(path, kMaxConfigFile);
  if (!text) return {};
  Report report;
  const auto table = parse_toml(*text, path, report);
  if (!table) return {};
  return path_beside(path, (*table)["admin_socket"].value_or(Config().admin_socket));
}

}  // namespace app
