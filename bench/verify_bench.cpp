// links: auth
// What it costs to authenticate one message: SPF (with an include), one RSA-2048 DKIM signature and DMARC, DNS answered
// from memory; bodies of 5 kB and 5 MB that arrive in slices of 64 KiB. Beside it, measured in the same run, the bare
// operations that no verifier can avoid: SHA-256 of body and header, the RSA verification, and parsing the key that DNS
// gave; and our own canonicaliser with its hash, which signs and checks ARC (libopendkim has one of its own). Prints
// one JSON object; CPU time in microseconds. Usage: verify_bench [SECONDS]
#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <time.h>

#include <cstdlib>
#include <functional>
#include <map>
#include <memory>

#include "auth/dkim_sign.hpp"
#include "auth/verify.hpp"
#include "core/random.hpp"
#include "core/text.hpp"

namespace {

constexpr std::size_t kSlice = 64 * 1024;

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

// CPU microseconds of one call: the best of five rounds, so that a busy machine disturbs little.
double microseconds(double seconds, const std::function<void()>& work) {
  work();
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    const double begin = cpu_seconds();
    std::size_t calls = 0;
    do {
      work();
      ++calls;
    } while (cpu_seconds() - begin < seconds / 5);
    const double one = (cpu_seconds() - begin) * 1e6 / static_cast<double>(calls);
    best = round == 0 ? one : std::min(best, one);
  }
  return best;
}

std::string make_body(std::size_t size) {
  core::SeededRandom random(1);
  std::string body;
  while (body.size() < size) {
    for (auto words = 4 + random.below(8); words > 0; --words) {
      body.append(1 + random.below(9), static_cast<char>('a' + random.below(26)));
      body += ' ';
    }
    body.back() = '.';
    body += "\r\n";
  }
  return body;
}

struct Message {
  std::string section, body;
};

// With the signature on top.
Message make_message(std::size_t size, const std::shared_ptr<const auth::SigningKey>& key) {
  Message message;
  for (int hop = 0; hop < 3; ++hop) {
    message.section +=
        "Received: from mail.sender.example (mail.sender.example [192.0.2.1])\r\n\tby mx.relay.example with ESMTPS id "
        "0123456789abcdef;\r\n\tSat, 21 Nov 2026 04:00:00 +0000\r\n";
  }
  message.section +=
      "From: Alice Example <alice@sender.example>\r\nTo: Bob Example <bob@forward.example>\r\nSubject: A subject of "
      "the "
      "usual length, more or less\r\nDate: Sat, 21 Nov 2026 04:00:00 +0000\r\nMessage-ID: "
      "<0123456789abcdef@sender.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
      "Content-Transfer-Encoding: 7bit\r\nList-Unsubscribe: <https://sender.example/u/0123456789>\r\nX-Mailer: "
      "bench\r\n";
  message.body = make_body(size);
  auth::BodyHasher hasher;
  hasher.update(message.body);
  const auto headers = mail::Headers::parse(message.section).value();
  const auth::Signer signer("sender.example", "s1", key);
  const auto field = signer.sign(auth::SignedFields(headers.fields()), hasher.finish(), core::Wall::now()).value();
  message.section.insert(0, field);
  return message;
}

class Verification {
 public:
  explicit Verification(const std::string& key_record) {
    texts_["sender.example"] = "v=spf1 ip4:198.51.100.0/24 include:_spf.sender.example -all";
    texts_["_spf.sender.example"] = "v=spf1 ip4:203.0.113.0/24 ip6:2001:db8::/32 ip4:192.0.2.0/28 -all";
    texts_["_dmarc.sender.example"] = "v=DMARC1; p=reject; rua=mailto:dmarc@sender.example";
    texts_["s1._domainkey.sender.example"] = key_record;
    settings_.suffixes = &suffixes_;
    envelope_.client = core::IpAddress::parse("192.0.2.1").value();
    envelope_.helo = "mail.sender.example";
    envelope_.mail_from.mailbox = {"alice", "sender.example"};
  }

  void run(const mail::Headers& headers, std::string_view body) {
    auth::Verifier verifier(library_, settings_, envelope_);
    verifier.headers(headers);
    for (; !body.empty(); body.remove_prefix(std::min(kSlice, body.size()))) verifier.body(body.substr(0, kSlice));
    dns::Lookup lookup;
    for (const auto& question : verifier.early_questions()) static_cast<void>(lookup.ask(question));
    auto results = verifier.finish(lookup);
    while (!results) {
      for (const auto& question : std::vector<dns::Question>(lookup.wanted()))
        lookup.answer(question, resolve(question));
      results = verifier.finish(lookup);
    }
    if (results->spf.result != auth::Verdict::pass || results->dkim.front().result != auth::Verdict::pass ||
        results->dmarc.result != auth::Verdict::pass) {
      fmt::print(stderr, "the message does not pass\n");
      std::exit(1);
    }
  }

 private:
  dns::Answer resolve(const dns::Question& question) const {
    dns::Answer answer;
    const auto found = texts_.find(question.name);
    answer.status = found == texts_.end() ? dns::Status::nx_domain : dns::Status::ok;
    if (found != texts_.end()) answer.texts = {found->second};
    return answer;
  }

  std::map<std::string, std::string> texts_;
  auth::DkimLibrary library_;
  auth::PublicSuffixList suffixes_ = auth::PublicSuffixList::load().value();
  auth::VerifySettings settings_;
  auth::SpfInput envelope_;
};

struct Bare {
  double hash_body, hash_header, verify, parse_key;
  double canonical_body;  // not among those that cannot be avoided
};

Bare bare_operations(double seconds, const Message& message, const auth::SigningKey& key) {
  const auto record = key.dns_record();
  const auto der = core::base64_decode(record.substr(record.find("p=") + 2)).value();
  const auto* octets = reinterpret_cast<const unsigned char*>(der.data());
  const auto parse = [&] {
    const auto* at = octets;
    return d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size()));
  };
  EVP_PKEY* const parsed = parse();
  const std::string text = "signed";
  const auto signature = core::base64_decode(key.sign({text}).value()).value();
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  const auto hash = [&](std::string_view input) {
    EVP_Digest(input.data(), input.size(), digest, &size, EVP_sha256(), nullptr);
  };
  Bare bare{};
  bare.hash_body = microseconds(seconds, [&] { hash(message.body); });
  bare.canonical_body = microseconds(seconds, [&] {
    auth::BodyHasher hasher;
    hasher.update(message.body);
    static_cast<void>(hasher.finish());
  });
  bare.hash_header = microseconds(seconds, [&] { hash(message.section); });
  hash(text);
  bare.verify = microseconds(seconds, [&] {
    EVP_PKEY_CTX* const context = EVP_PKEY_CTX_new(parsed, nullptr);
    if (EVP_PKEY_verify_init(context) != 1 || EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) != 1 ||
        EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()) != 1 ||
        EVP_PKEY_verify(context, reinterpret_cast<const unsigned char*>(signature.data()), signature.size(), digest,
                        size) != 1) {
      std::exit(1);
    }
    EVP_PKEY_CTX_free(context);
  });
  bare.parse_key = microseconds(seconds, [&] { EVP_PKEY_free(parse()); });
  EVP_PKEY_free(parsed);
  return bare;
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::strtod(argv[1], nullptr) : 1.0;
  const auto pem = auth::generate_key(auth::NewKey::rsa2048);
  const auto key = std::make_shared<const auth::SigningKey>(auth::SigningKey::parse(pem.value().view()).value());
  Verification verification(key->dns_record());
  std::string out = "{";
  for (const auto& [name, size] : {std::pair("5 kB", std::size_t{5'000}), std::pair("5 MB", std::size_t{5'000'000})}) {
    const auto message = make_message(size, key);
    const auto headers = mail::Headers::parse(message.section).value();
    const double whole = microseconds(seconds, [&] { verification.run(headers, message.body); });
    const auto bare = bare_operations(seconds, message, *key);
    const double sum = bare.hash_body + bare.hash_header + bare.verify + bare.parse_key;
    out += fmt::format(
        "{}\"{}\": {{\"verify_us\": {:.0f}, \"bare_us\": {:.0f}, \"ratio\": {:.2f}, \"sha256_body_us\": {:.1f}, "
        "\"sha256_header_us\": {:.1f}, \"rsa_verify_us\": {:.1f}, \"parse_key_us\": {:.1f}, \"own_canonical_body_us\": "
        "{:.1f}}}",
        out.size() > 1 ? ", " : "", name, whole, sum, whole / sum, bare.hash_body, bare.hash_header, bare.verify,
        bare.parse_key, bare.canonical_body);
  }
  fmt::print("{}}}\n", out);
  return 0;
}
