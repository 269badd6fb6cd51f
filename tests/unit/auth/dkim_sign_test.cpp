// What we sign is verified by libopendkim here, and by dkimpy and Mail::DKIM in tests/conformance/dkim_sign_verify.py.
#include "auth/dkim_sign.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <thread>

#include "auth/messages.hpp"
#include "auth/opendkim_verifier.hpp"
#include "auth/signing_key.hpp"
#include "auth/tag_field.hpp"
#include "core/text.hpp"
#include "mail/jsonl.hpp"
#include "support/score.hpp"

namespace {

using auth::Canon;
using auth::SigningKey;
using testing::HasSubstr;
using testing::MatchesRegex;

std::shared_ptr<const SigningKey> new_key(auth::NewKey type) {
  const auto pem = auth::generate_key(type);
  return std::make_shared<const SigningKey>(SigningKey::parse(pem.value().view()).value());
}

const std::shared_ptr<const SigningKey>& rsa_key() {
  static const auto key = new_key(auth::NewKey::rsa2048);
  return key;
}
const std::shared_ptr<const SigningKey>& ed25519_key() {
  static const auto key = new_key(auth::NewKey::ed25519);
  return key;
}

auth::BodyHash hash_of(std::string_view body) {
  auth::BodyHasher hasher;
  hasher.update(body);
  return hasher.finish();
}

// `message` with both our signatures on top.
std::string signed_by_both(const std::string& message) {
  const auto [section, body] = messages::split(message);
  const auto headers = mail::Headers::parse(section).value();
  const auth::SignedFields fields(headers.fields());
  const auto hash = hash_of(body);
  const auto now = core::Wall::now();
  return auth::Signer("forward.example", "rsa", rsa_key()).sign(fields, hash, now).value() +
         auth::Signer("forward.example", "ed", ed25519_key()).sign(fields, hash, now).value() + message;
}

std::map<std::string, std::string> published() {
  return {{"rsa._domainkey.forward.example", rsa_key()->dns_record()},
          {"ed._domainkey.forward.example", ed25519_key()->dns_record()}};
}

constexpr std::string_view kMessage =
    "Received: by somebody\r\n"
    "From: Alice <alice@sender.example>\r\n"
    "To: bob@example.org\r\n"
    "Subject: first\r\n"
    "Subject: second\r\n"
    "Date: Sat, 21 Nov 2026 03:45:33 +0000\r\n"
    "Authentication-Results: elsewhere; dkim=pass\r\n"
    "\r\n"
    "Hello.\r\n";

std::string field_of(const auth::Signer& signer, std::string_view message) {
  const auto [section, body] = messages::split(message);
  const auto headers = mail::Headers::parse(section).value();
  return signer
      .sign(auth::SignedFields(headers.fields()), hash_of(body),
            core::Wall::time_point(std::chrono::seconds(1'700'000'000)))
      .value();
}

TEST(DkimSign, the_field) {
  const auto field = field_of(auth::Signer("forward.example", "ow1", rsa_key()), kMessage);
  EXPECT_TRUE(field.starts_with("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=forward.example;"));
  EXPECT_TRUE(field.ends_with("\r\n"));
  const auto text = mail::unfold(field.substr(field.find(':') + 1));
  EXPECT_THAT(text, HasSubstr("; t=1700000000; x=1701209600;"));  // interface.md §6.29: fourteen days
  EXPECT_THAT(text, testing::Not(HasSubstr("l=")));               // threats CR-03
  EXPECT_EQ(text.find("; s=ow1;") == std::string::npos, false);
  // Every field is oversigned, duplicates bottom-up; trace fields and verdicts are not ours to sign.
  std::string names = text.substr(text.find("h=") + 2);
  names = names.substr(0, names.find(';'));
  std::erase(names, ' ');
  EXPECT_EQ(
      names,
      "from:from:to:to:cc:subject:subject:subject:date:date:message-id:reply-to:in-reply-to:references:mime-version:"
      "content-type:content-transfer-encoding");
}

TEST(DkimSign, lines_are_short_and_one_field) {
  for (const auto* selector : {"ow1", "a-selector-of-a-length-that-nobody-would-choose-but-somebody-may"}) {
    const auto field =
        field_of(auth::Signer("a.rather.long.domain.name.of.a.forwarder.example", selector, rsa_key()), kMessage);
    const auto headers = mail::Headers::parse(field);
    ASSERT_TRUE(headers);
    EXPECT_EQ(headers->fields().size(), 1U);
    for (const auto line : core::split(field, '\n')) EXPECT_LE(line.size(), 79U) << line;
  }
}

TEST(DkimSign, ed25519_signatures_are_repeatable) {
  const auth::Signer signer("forward.example", "ed", ed25519_key());
  EXPECT_EQ(field_of(signer, kMessage), field_of(signer, kMessage));
}

TEST(SignedFields, canonical_data_is_bottom_up) {
  const auto headers = mail::Headers::parse("Subject: upper\r\nFROM:  a@b\r\nsubject: lower\r\n").value();
  EXPECT_EQ(auth::SignedFields(headers.fields()).canonical(), "from:a@b\r\nsubject:lower\r\nsubject:upper\r\n");
}

TEST(SignedFields, from_is_named_even_when_there_is_none) {
  EXPECT_TRUE(auth::SignedFields({}).names().starts_with("from:"));
  EXPECT_EQ(auth::SignedFields({}).canonical(), "");
}

TEST(SignedFields, arc_covers_dkim_signatures) {
  const auto headers = mail::Headers::parse("DKIM-Signature: v=1\r\nFrom: a@b\r\n").value();
  EXPECT_THAT(auth::SignedFields(headers.fields(), auth::Cover::arc).names(), HasSubstr(":dkim-signature"));
  EXPECT_EQ(auth::SignedFields(headers.fields()).names().find("dkim"), std::string::npos);
}

TEST(SignedFields, a_cut_field_is_not_covered) {
  const auto headers = mail::Headers::parse("Subject: cut\r\nFrom: a@b\r\n").value();
  const auth::SignedFields fields(std::span(headers.fields()).subspan(1));
  EXPECT_EQ(fields.canonical(), "from:a@b\r\n");
}

TEST(DkimSignVerify, opendkim_passes_generated_messages) {
  OpenDkimVerifier verifier(published());
  messages::Generator generator(7);
  int checked = 0;
  while (checked < 400) {
    const auto message = generator.next();
    if (!mail::Headers::parse(messages::split(message).section)) continue;
    ++checked;
    const auto both = signed_by_both(message);
    ASSERT_EQ(verifier.verify(both, "rsa"), "pass") << both;
    ASSERT_EQ(verifier.verify(both, "ed"), "pass") << both;
  }
}

TEST(DkimSignVerify, opendkim_passes_the_corpus) {
  const auto corpus = messages::corpus();
  if (corpus.empty()) GTEST_SKIP() << "no corpus in " ONWARD_CONFORMANCE;
  OpenDkimVerifier verifier(published());
  std::size_t checked = 0;
  for (const auto& message : corpus) {
    // What Onward refuses before it would sign: no header we would relay (threats SM-06), NUL.
    if (message.find('\0') != std::string::npos || !mail::Headers::parse(messages::split(message).section)) continue;
    const auto both = signed_by_both(message);
    const auto opinion = verifier.verify(both, "rsa");
    if (opinion == OpenDkimVerifier::kNoOpinion) continue;
    ++checked;
    EXPECT_EQ(opinion, "pass") << both.substr(0, 4000);
    EXPECT_EQ(verifier.verify(both, "ed"), "pass") << both.substr(0, 4000);
  }
  EXPECT_GT(checked, corpus.size() * 9 / 10);
}

TEST(Threats, CR_04_nothing_can_be_added_under_our_name) {
  OpenDkimVerifier verifier(published());
  const auto both = signed_by_both(std::string(kMessage));
  ASSERT_EQ(verifier.verify(both, "rsa"), "pass");
  for (const auto* name : {"From", "To", "Subject", "Date", "Message-ID", "Cc", "Reply-To", "MIME-Version",
                           "Content-Type", "Content-Transfer-Encoding", "In-Reply-To", "References"}) {
    for (const bool on_top : {true, false}) {
      auto changed = both;
      const auto at = on_top ? changed.find("Received:") : changed.find("Authentication-Results:");
      changed.insert(at, std::string(name) + ": added\r\n");
      EXPECT_NE(verifier.verify(changed, "rsa"), "pass") << name;
      EXPECT_NE(verifier.verify(changed, "ed"), "pass") << name;
    }
  }
  // and nothing after the end of the body (CR-03: no l=)
  EXPECT_NE(verifier.verify(both + "more\r\n", "rsa"), "pass");
}

TEST(SigningKey, rfc8463_appendix_a_signature) {
  // The private key of the RFC in PKCS#8.
  const std::string der = from_hex("302e020100300506032b657004220420") +
                          core::base64_decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=").value();
  const auto key =
      SigningKey::parse("-----BEGIN PRIVATE KEY-----\n" + core::base64_encode(der) + "\n-----END PRIVATE KEY-----\n");
  ASSERT_TRUE(key);
  EXPECT_EQ(key->type(), auth::KeyType::ed25519);
  EXPECT_EQ(key->dns_record(), "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");

  constexpr std::string_view kBody = "Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";
  EXPECT_EQ(hash_of(kBody).to_base64(), "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");
  std::string signed_text;
  for (const auto* field :
       {"From: Joe SixPack <joe@football.example.com>\r\n", "To: Suzie Q <suzie@shopping.example.net>\r\n",
        "Subject: Is dinner ready?\r\n", "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n",
        "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n",
        "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=football.example.com; "
        "i=@football.example.com;\r\n"
        " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n subject : date : message-id : from : subject : "
        "date;\r\n"
        " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b="}) {
    auth::append_canonical_header(Canon::relaxed, field, signed_text);
  }
  EXPECT_EQ(key->sign({signed_text}).value(),
            "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==");
}

TEST(SigningKey, generated_keys) {
  EXPECT_EQ(rsa_key()->type(), auth::KeyType::rsa);
  EXPECT_EQ(rsa_key()->bits(), 2048);
  EXPECT_EQ(rsa_key()->algorithm(), "rsa-sha256");
  EXPECT_THAT(rsa_key()->dns_record(), MatchesRegex("v=DKIM1; k=rsa; p=MIIB[A-Za-z0-9+/]+=*"));
  EXPECT_EQ(ed25519_key()->algorithm(), "ed25519-sha256");
  EXPECT_THAT(ed25519_key()->dns_record(), MatchesRegex("v=DKIM1; k=ed25519; p=[A-Za-z0-9+/]{43}="));
  EXPECT_TRUE(auth::generate_key(auth::NewKey::ed25519).value().view().starts_with("-----BEGIN PRIVATE KEY-----\n"));
}

std::string pem_of(const char* algorithm, const char* detail) {
  EVP_PKEY* key = std::string_view(algorithm) == "RSA"
                      ? EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", static_cast<std::size_t>(std::stoi(detail)))
                      : EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", detail);
  BIO* memory = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey_traditional(memory, key, nullptr, nullptr, 0, nullptr, nullptr);
  char* text = nullptr;
  const auto size = BIO_get_mem_data(memory, &text);
  std::string pem(text, static_cast<std::size_t>(size));
  BIO_free(memory);
  EVP_PKEY_free(key);
  return pem;
}

TEST(SigningKey, several_threads_sign_with_one_key) {
  for (const auto& key : {rsa_key(), ed25519_key()}) {
    const auto expected = key->sign({"text"}).value();
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&key, &expected] {
        for (int i = 0; i < 25; ++i)
          EXPECT_EQ(key->sign({"te", "xt"}).value(), expected);  // both kinds are deterministic
      });
    }
    for (auto& thread : threads) thread.join();
  }
}

TEST(SigningKey, rfc8301_sizes_and_types) {
  EXPECT_THAT(SigningKey::parse(pem_of("RSA", "512")).error().text, HasSubstr("512 bits"));
  EXPECT_THAT(SigningKey::parse(pem_of("RSA", "1023")).error().text, HasSubstr("1023 bits"));
  EXPECT_TRUE(SigningKey::parse(pem_of("RSA", "1024")));  // PKCS#1 too
  EXPECT_THAT(SigningKey::parse(pem_of("EC", "P-256")).error().text, HasSubstr("neither"));
}

TEST(SigningKey, what_is_no_key) {
  const auto good = std::string(auth::generate_key(auth::NewKey::ed25519).value().view());
  const std::string encrypted =
      "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAg=\n-----END ENCRYPTED "
      "PRIVATE KEY-----\n";
  for (const auto& pem : {std::string(), std::string("nonsense"), good.substr(0, good.size() / 2), encrypted,
                          std::string(100'000, 'x')}) {
    const auto key = SigningKey::parse(pem);
    ASSERT_FALSE(key);
    EXPECT_FALSE(key.error().text.empty());
  }
}

TEST(ZoneTxt, strings_of_at_most_255_octets) {
  EXPECT_EQ(auth::zone_txt("ow1._domainkey.example.org", "v=DKIM1"),
            "ow1._domainkey.example.org. IN TXT ( \"v=DKIM1\" )");
  const auto line = auth::zone_txt("a.example", rsa_key()->dns_record());
  std::string joined;
  std::size_t strings = 0;
  for (std::size_t at = line.find('"'); at != std::string::npos; at = line.find('"', at)) {
    const auto end = line.find('"', at + 1);
    ASSERT_LE(end - at - 1, 255U);
    joined += line.substr(at + 1, end - at - 1);
    ++strings;
    at = end + 1;
  }
  EXPECT_EQ(strings, 2U);
  EXPECT_EQ(joined, rsa_key()->dns_record());
}

TEST(TagField, folds_where_the_rfc_allows) {
  auth::TagField field("X-Test");
  field.tag("v", "1").tag("d", std::string(70, 'd')).list("h", "a:b:c").base64("b", "");
  EXPECT_EQ(field.text(), "X-Test: v=1;\r\n\td=" + std::string(70, 'd') + ";\r\n\th=a:b:c; b=");
  const auto whole = std::move(field).finish(std::string(200, 'B'));
  for (const auto line : core::split(whole, '\n')) EXPECT_LE(line.size(), 79U);
  EXPECT_TRUE(whole.ends_with("B\r\n"));
}

// libopendkim's own signatures (shared/conformance/dkim-opendkim/sign.jsonl): the body hash of each canonicalisation,
// and the whole signature checked over our canonical header.
class OpenDkimSigned {
 public:
  explicit OpenDkimSigned(const nlohmann::json& c)
      : message_(core::base64_decode(c.at("raw_b64").get<std::string>()).value()),
        signature_(c.at("expected_signature_value").get<std::string>()),
        header_(canon(c.at("header_canon"))),
        body_(canon(c.at("body_canon"))),
        digest_(c.at("alg") == "rsa-sha1" ? EVP_sha1() : EVP_sha256()),
        pem_(c.at("key_pem").get<std::string>()) {
    constexpr int kFixLineEnds = 256;  // libopendkim's DKIM_LIBFLAGS_FIXCRLF
    if (c.at("options").value("flags", 0) == kFixLineEnds) message_ = messages::to_wire(message_);
  }

  std::string tag(std::string_view name) const {
    for (const auto part : core::split(signature_, ';')) {
      std::string text;
      for (const char c : part) {
        if (std::string_view(" \t\r\n").find(c) == std::string_view::npos) text += c;
      }
      if (text.starts_with(std::string(name) + "=")) return text.substr(name.size() + 1);
    }
    return {};
  }

  std::string body_hash() const {
    struct Collect final : auth::ByteSink {
      void write(std::string_view octets) override { text += octets; }
      std::string text;
    } sink;
    auth::BodyCanonicalizer canonical(body_);
    canonical.update(messages::split(message_).body, sink);
    canonical.finish(sink);
    unsigned char out[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    EVP_Digest(sink.text.data(), sink.text.size(), out, &size, digest_, nullptr);
    return core::base64_encode({reinterpret_cast<const char*>(out), size});
  }

  bool header_signature_verifies() const {
    std::string text;
    // Not mail::Headers, which refuses a blank before the colon: one case has it.
    std::map<std::string, std::vector<std::string>> fields;
    std::string* last = nullptr;
    for (const auto line : core::split(messages::split(message_).section, '\n')) {
      if (line.empty()) continue;
      if (line.front() != ' ' && line.front() != '\t') {
        auto& same = fields[core::lower(core::trim(line.substr(0, line.find(':'))))];
        last = &same.emplace_back();
      }
      *last += std::string(line) + "\n";
    }
    const auto names = tag("h");
    for (const auto name : core::split(names, ':')) {
      auto& same = fields[core::lower(name)];
      if (same.empty()) continue;
      auth::append_canonical_header(header_, same.back(), text);
      same.pop_back();
    }
    const auto own = "DKIM-Signature: " + signature_.substr(0, signature_.rfind("b=") + 2);
    auth::append_canonical_header(header_, own, text);
    const auto wanted = core::base64_decode(tag("b")).value();
    BIO* memory = BIO_new_mem_buf(pem_.data(), static_cast<int>(pem_.size()));
    EVP_PKEY* key = PEM_read_bio_PrivateKey(memory, nullptr, nullptr, nullptr);
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    const bool ok = EVP_DigestVerifyInit(context, nullptr, digest_, nullptr, key) == 1 &&
                    EVP_DigestVerify(context, reinterpret_cast<const unsigned char*>(wanted.data()), wanted.size(),
                                     reinterpret_cast<const unsigned char*>(text.data()), text.size()) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    BIO_free(memory);
    return ok;
  }

 private:
  static Canon canon(const nlohmann::json& name) { return name == "relaxed" ? Canon::relaxed : Canon::simple; }
  std::string message_, signature_;
  Canon header_, body_;
  const EVP_MD* digest_;
  std::string pem_;
};

TEST(DkimConformance, opendkim_signatures) {
  const auto cases = read_jsonl("dkim-opendkim/sign.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no dkim-opendkim/sign.jsonl in " ONWARD_CONFORMANCE;
  Score score("dkim-opendkim, signatures made by libopendkim");
  for (const auto& c : cases) {
    const OpenDkimSigned one(c);
    EXPECT_TRUE(score.count(one.body_hash() == one.tag("bh") && one.header_signature_verifies())) << c.at("id");
  }
  EXPECT_GE(cases.size(), 30U);
}

}  // namespace
