// What dkim_sign_verify.py needs of us and of libopendkim, without a daemon. OUT is a folder that the first command
// fills: rsa.pem and ed.pem, keys of forward.example, and records ("name TXT" a line).
//   keys OUT                       makes the keys
//   messages OUT COUNT             OUT/NNNNN.eml: generated messages (tests/unit/auth/messages.hpp)
//   sign OUT FILE...               FILE.ours: signed by us with both keys. What Onward would not relay is left out.
//   opendkim-sign OUT FILE...      FILE.od-rsa-CANON, FILE.od-ed-CANON: signed by libopendkim; CANON is a combination
//                                  of r and s for header and body, in turn. Never ed25519 with a simple header, which
//                                  it cannot verify itself (libraries.md §1 (a)).
//   verify OUT FILE...             our verdicts: "FILE selector=result ..." a line
//   opendkim-verify OUT FILE...    libopendkim's, of the selectors rsa and ed
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>

#include <sys/types.h>

#define _Bool bool
extern "C" {
#include <opendkim/dkim.h>
}
#undef _Bool

#include "auth/dkim_sign.hpp"
#include "auth/dkim_verify.hpp"
#include "tests/unit/auth/messages.hpp"
#include "tests/unit/auth/opendkim_verifier.hpp"

namespace {

constexpr const char* kDomain = "forward.example";

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void write(const std::string& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::map<std::string, std::string> records(const std::string& out) {
  std::map<std::string, std::string> found;
  std::ifstream in(out + "/records");
  for (std::string line; std::getline(in, line);)
    found[line.substr(0, line.find(' '))] = line.substr(line.find(' ') + 1);
  return found;
}

void make_keys(const std::string& out) {
  for (const auto& [selector, type] :
       {std::pair("rsa", auth::NewKey::rsa2048), std::pair("ed", auth::NewKey::ed25519)}) {
    const auto pem = auth::generate_key(type);
    write(out + "/" + selector + ".pem", pem.value().view());
    std::ofstream(out + "/records", std::ios::app)
        << selector << "._domainkey." << kDomain << ' '
        << auth::SigningKey::parse(pem.value().view()).value().dns_record() << '\n';
  }
}

void make_messages(const std::string& out, int count) {
  messages::Generator generator(11);
  for (int made = 0; made < count;) {
    const auto message = generator.next();
    if (!mail::Headers::parse(messages::split(message).section)) continue;
    char name[16];
    std::snprintf(name, sizeof name, "/%05d.eml", made++);
    write(out + name, message);
  }
}

void sign(const std::string& out, const std::string& path) {
  static const auto signers = [&out] {
    std::vector<auth::Signer> list;
    for (const auto* selector : {"rsa", "ed"}) {
      auto key = auth::SigningKey::parse(read(out + "/" + selector + ".pem")).value();
      list.emplace_back(kDomain, selector, std::make_shared<const auth::SigningKey>(std::move(key)));
    }
    return list;
  }();
  const auto message = messages::to_wire(read(path));
  const auto [section, body] = messages::split(message);
  const auto headers = mail::Headers::parse(section);
  if (!headers || message.find('\0') != std::string::npos) return;
  auth::BodyHasher hasher;
  hasher.update(body);
  const auto hash = hasher.finish();
  const auth::SignedFields fields(headers->fields());
  std::string fresh;
  for (const auto& signer : signers) fresh += signer.sign(fields, hash, core::Wall::now()).value();
  write(out + path.substr(path.rfind('/')) + ".ours", fresh + message);
}

u_char* octets(const char* text) {
  return reinterpret_cast<u_char*>(const_cast<char*>(text));
}

// The DKIM-Signature field, "" when libopendkim cannot.
std::string opendkim_field(const std::string& message, const std::string& pem, const char* selector,
                           dkim_alg_t algorithm, dkim_canon_t header_canon, dkim_canon_t body_canon) {
  static const std::unique_ptr<DKIM_LIB, decltype(&dkim_close)> library(dkim_init(nullptr, nullptr), dkim_close);
  DKIM_STAT status = DKIM_STAT_OK;
  const std::unique_ptr<DKIM, decltype(&dkim_free)> dkim(
      dkim_sign(library.get(), octets("-"), nullptr, octets(pem.c_str()), octets(selector), octets(kDomain),
                header_canon, body_canon, algorithm, -1, &status),
      dkim_free);
  if (!dkim) return {};
  const auto [section, body] = messages::split(message);
  const auto headers = mail::Headers::parse(section).value();
  for (const auto& field : headers.fields()) {
    if (dkim_header(dkim.get(), octets(field.raw.data()), field.raw.size() - 2) != DKIM_STAT_OK) return {};
  }
  if (dkim_eoh(dkim.get()) != DKIM_STAT_OK) return {};
  if (!body.empty()) dkim_body(dkim.get(), octets(body.data()), body.size());
  unsigned char* value = nullptr;
  std::size_t size = 0;
  if (dkim_eom(dkim.get(), nullptr) != DKIM_STAT_OK ||
      dkim_getsighdr_d(dkim.get(), std::strlen("DKIM-Signature: "), &value, &size) != DKIM_STAT_OK) {
    return {};
  }
  return "DKIM-Signature: " + std::string(reinterpret_cast<char*>(value), size) + "\r\n";
}

bool opendkim_sign(const std::string& out, const std::string& path, std::size_t number) {
  const auto message = read(path);
  for (const bool rsa : {true, false}) {
    const bool simple_header = rsa && number % 2 == 1, simple_body = number / 2 % 2 == 1;
    const auto field = opendkim_field(message, read(out + (rsa ? "/rsa.pem" : "/ed.pem")), rsa ? "rsa" : "ed",
                                      rsa ? DKIM_SIGN_RSASHA256 : DKIM_SIGN_ED25519SHA256,
                                      simple_header ? DKIM_CANON_SIMPLE : DKIM_CANON_RELAXED,
                                      simple_body ? DKIM_CANON_SIMPLE : DKIM_CANON_RELAXED);
    if (field.empty()) return false;
    const std::string canon{simple_header ? 's' : 'r', simple_body ? 's' : 'r'};
    write(path + (rsa ? ".od-rsa-" : ".od-ed-") + canon, field + message);
  }
  return true;
}

void verify(const std::map<std::string, std::string>& keys, const std::string& path) {
  static auth::DkimLibrary library;
  const auto message = read(path);
  const auto [section, body] = messages::split(message);
  const auto headers = mail::Headers::parse(section).value();
  auth::DkimVerifier verifier(library, {});
  verifier.headers(headers);
  verifier.body(body);
  dns::Lookup lookup;
  auto results = verifier.finish(lookup);
  while (!results) {
    for (const auto& question : std::vector<dns::Question>(lookup.wanted())) {
      dns::Answer answer;
      const auto found = keys.find(question.name);
      answer.status = found == keys.end() ? dns::Status::nx_domain : dns::Status::ok;
      if (found != keys.end()) answer.texts = {found->second};
      lookup.answer(question, std::move(answer));
    }
    results = verifier.finish(lookup);
  }
  std::cout << path;
  for (const auto& result : *results) {
    if (result.domain == kDomain) std::cout << ' ' << result.selector << '=' << auth::to_string(result.result);
  }
  std::cout << '\n';
}

void opendkim_verify(OpenDkimVerifier& verifier, const std::string& path) {
  const auto message = read(path);
  std::cout << path;
  for (const auto* selector : {"rsa", "ed"}) {
    const auto said = verifier.verify(message, selector);
    // A message whose author it cannot read it does not look at.
    std::cout << ' ' << selector << '='
              << (said == OpenDkimVerifier::kNoOpinion ? "none"
                  : said == "pass"                     ? "pass"
                                                       : "fail");
  }
  std::cout << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() < 2) return 2;
  const auto &command = words[0], &out = words[1];
  if (command == "keys") make_keys(out);
  if (command == "messages") make_messages(out, std::stoi(words.at(2)));
  const auto keys = command.ends_with("verify") ? records(out) : std::map<std::string, std::string>();
  OpenDkimVerifier opendkim(keys);
  for (std::size_t i = 2; i < words.size(); ++i) {
    if (command == "sign") sign(out, words[i]);
    if (command == "verify") verify(keys, words[i]);
    if (command == "opendkim-verify") opendkim_verify(opendkim, words[i]);
    if (command == "opendkim-sign" && !opendkim_sign(out, words[i], i)) {
      std::cerr << words[i] << ": libopendkim does not sign it\n";
      return 1;
    }
  }
  return 0;
}
