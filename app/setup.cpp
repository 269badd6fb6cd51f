#include "app/setup.hpp"

#include <fmt/format.h>

#include "app/values.hpp"
#include "core/text.hpp"
#include "mail/address.hpp"
#include "policy/rule_syntax.hpp"

namespace app {
namespace {

bool is_full_name(const std::string& name) {
  return mail::is_domain(name) && name.find('.') != std::string::npos;
}

}  // namespace

std::optional<std::string> setup_problem(std::string_view name, const std::string& value) {
  if (name == "hostname" || name == "srs-domain") {
    if (!is_full_name(value)) return "is no full host name; write for example mx.forward.example";
  } else if (name == "domain") {
    if (!policy::is_forwarded_name(value)) return "is no domain; write for example example.org";
  } else if (name == "to" || name == "postmaster") {
    const auto mailbox = mail::parse_mailbox(value, mail::Utf8::yes);
    if (!mailbox || core::has_8bit(mailbox->domain)) return "is no mail address; write for example you@mailbox.example";
  } else if (name == "local-part") {
    if (value != "*" && (value.find('@') != std::string::npos || policy::plain_local(value).empty()))
      return "is no local part; write for example sales, or *";
  } else if (name == "listen") {
    if (!parse_own_endpoint(value)) return "is no address; write for example [::]:25";
  } else if (name == "user") {
    if (!is_user_name(value)) return "is no user name; write for example onward";
  }
  for (const char c : value) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return "has a control character in it";
  }
  return std::nullopt;
}

std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string setup_domain_file(const SetupAnswers& answers) {
  auto name = core::lower(answers.domain);
  if (name.starts_with("*.")) name = "any." + name.substr(2);
  return fmt::format("domains/{}.toml", name);
}

std::string setup_main_text(const SetupAnswers& answers) {
  const auto srs = answers.srs_domain.empty() ? answers.hostname : answers.srs_domain;
  auto out = fmt::format(
      "# Every key with its default, range and meaning: onward.toml(5). `onward check` reads this file without "
      "starting.\n"
      "hostname     = {}\nstate_dir    = {}\nadmin_socket = {}\nuser         = {}\n"
      "domains      = [\"domains/*.toml\"]\npostmaster   = {}\n\n"
      "[[listener]]\naddress = {}\ntls     = {}\n",
      toml_string(answers.hostname), toml_string(answers.state_dir), toml_string(answers.admin_socket),
      toml_string(answers.user), toml_string(answers.postmaster.empty() ? answers.to : answers.postmaster),
      toml_string(answers.listen),
      answers.certificate.empty() ? "\"none\"   # \"starttls\" with [tls] below" : "\"starttls\"");
  if (answers.certificate.empty()) {
    out += fmt::format(
        "\n# As soon as there is a certificate for {0}:\n#[tls]\n#certificate = "
        "\"/etc/letsencrypt/live/{0}/fullchain.pem\"\n"
        "#key         = \"/etc/letsencrypt/live/{0}/privkey.pem\"\n",
        answers.hostname);
  } else {
    out += fmt::format("\n[tls]\ncertificate = {}\nkey         = {}\n", toml_string(answers.certificate),
                       toml_string(answers.key));
  }
  return out + fmt::format(
                   "\n[srs]\ndomain       = {0}   # its MX must point here: bounces come back to it\n"
                   "secrets_file = \"{1}\"\n\n[dkim]\ndomain = {0}\nkeys   = [ {{selector = \"{2}\", file = \"{3}\"}}, "
                   "{{selector = \"{4}\", file = \"{5}\"}} ]\n",
                   toml_string(srs), kSetupSecrets, kSetupSelectorRsa, kSetupRsaKey, kSetupSelectorEd25519,
                   kSetupEd25519Key);
}

std::string setup_domain_text(const SetupAnswers& answers) {
  const bool catch_all = answers.local_part == "*";
  auto out = fmt::format("name = {}\n\n", toml_string(core::lower(answers.domain)));
  out += catch_all ? "[catch_all]\n" : fmt::format("[[rule]]\naddress = {}\n", toml_string(answers.local_part));
  out += fmt::format("to = [{}]\n", toml_string(answers.to));
  const auto name = answers.domain.starts_with("*.") ? "any" + answers.domain.substr(1) : answers.domain;
  return out +
         fmt::format("\n# A test, run by `onward check` and before each reload.\n[[expect]]\nrcpt = {}\nto = [{}]\n",
                     toml_string((catch_all ? "somebody" : answers.local_part) + "@" + core::lower(name)),
                     toml_string(answers.to));
}

}  // namespace app
