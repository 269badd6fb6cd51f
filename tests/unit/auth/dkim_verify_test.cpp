// The verdicts of DkimVerifier, and what never reaches libopendkim.
#include "auth/dkim_verify.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>

#include <chrono>

#include "auth/dkim_sign.hpp"
#include "auth/dkim_verify_signer.hpp"
#include "auth/dkim_verify_spy.hpp"
#include "auth/dkim_verify_support.hpp"

namespace {

using auth::DkimSettings;
using auth::Verdict;
using testing::HasSubstr;
using testing::SizeIs;

constexpr std::string_view kMessage =
    "From: Alice <alice@sender.example>\r\n"
    "To: bob@example.org\r\n"
    "Subject: hello\r\n"
    "\r\n"
    "Hello.\r\n"
    "World.\r\n";

const dkim::Key& rsa() {
  static const auto key = dkim::rsa_key(2048);
  return key;
}
const dkim::Key& ed25519() {
  static const auto key = dkim::ed25519_key();
  return key;
}

const std::string kName = "sel._domainkey.sender.example";

dkim::Zone zone(std::string record = dkim::record_of(rsa())) {
  return {{kName, dkim::texts({std::move(record)})}};
}

auth::DkimResult only(const std::vector<auth::DkimResult>& results) {
  EXPECT_THAT(results, SizeIs(1)) << dkim::describe(results);
  return results.empty() ? auth::DkimResult{} : results[0];
}

// The result for kMessage with one signature.
auth::DkimResult result_of(const dkim::Wanted& wanted, const dkim::Zone& answers = zone(),
                           const DkimSettings& settings = {}) {
  return only(dkim::verify(dkim::sign(rsa(), kMessage, wanted), answers, settings));
}

void expect(const auth::DkimResult& result, Verdict verdict, const std::string& reason) {
  EXPECT_EQ(result.result, verdict) << dkim::describe({result});
  EXPECT_THAT(result.reason, HasSubstr(reason));
}

std::string tag_time(const char* tag, core::Seconds from_now) {
  const auto t = std::chrono::duration_cast<core::Seconds>((core::Wall::now() + from_now).time_since_epoch()).count();
  return std::string(tag) + "=" + std::to_string(t) + "; ";
}

TEST(DkimVerify, none_without_signature) {
  const auto result = only(dkim::verify(kMessage, {}));
  EXPECT_EQ(result.result, Verdict::none);
  EXPECT_EQ(result.domain, "");
}

TEST(DkimVerify, pass_says_who) {
  const auto result = result_of({.more = "i=news@lists.sender.example; "});
  expect(result, Verdict::pass, "");
  EXPECT_EQ(result.reason, "");
  EXPECT_EQ(result.domain, "sender.example");
  EXPECT_EQ(result.selector, "sel");
  EXPECT_EQ(result.identity, "news@lists.sender.example");
  EXPECT_EQ(result.algorithm, "rsa-sha256");
  EXPECT_THAT(result.b, SizeIs(8));
  EXPECT_TRUE(result.whole_body);
  EXPECT_FALSE(result.testing);
}

TEST(DkimVerify, ed25519_passes) {
  const auto message = dkim::sign(ed25519(), kMessage, {.a = "ed25519-sha256"});
  expect(only(dkim::verify(message, zone(dkim::record_of(ed25519())))), Verdict::pass, "");
}

TEST(DkimVerify, fail_tells_signature_from_body) {
  auto message = dkim::sign(rsa(), kMessage);
  auto changed = message;
  changed.replace(changed.find("hello"), 5, "jello");
  expect(only(dkim::verify(changed, zone())), Verdict::fail, "signature");
  changed = message;
  changed.replace(changed.find("World"), 5, "Earth");
  expect(only(dkim::verify(changed, zone())), Verdict::fail, "body hash");
  EXPECT_EQ(ERR_peek_error(), 0UL);  // TLS on the same thread would stumble over it
}

TEST(DkimVerify, malformed_fields_are_neutral) {
  const std::string good = dkim::signature_field(rsa(), kMessage, {});
  const auto with = [&](std::string_view from, std::string_view to) {
    auto field = good;
    field.replace(field.find(from), from.size(), to);
    return only(dkim::verify(field + std::string(kMessage), zone()));
  };
  expect(with("v=1;", "v=2;"), Verdict::neutral, "version");
  expect(with("v=1;", ""), Verdict::neutral, "missing");
  expect(with("v=1;", "v=1; v=1;"), Verdict::neutral, "syntax");
  expect(with("v=1;", "v=1; =x;"), Verdict::neutral, "syntax");
  expect(with("v=1;", "v=1; x;"), Verdict::neutral, "syntax");
  expect(with("v=1;", "v=1;; "), Verdict::neutral, "syntax");
  expect(with("v=1;", "v=1; n=\xc3\xa4;"), Verdict::neutral, "syntax");
  expect(with("rsa-sha256", "rsa-sha512"), Verdict::neutral, "algorithm");
  expect(with("relaxed/relaxed", "relaxed/strict"), Verdict::neutral, "canonicalization");
  expect(with("d=sender.example", "d="), Verdict::neutral, "d=");
  expect(with("d=sender.example", "d=example"), Verdict::neutral, "d=");
  expect(with("d=sender.example", "d=sender..example"), Verdict::neutral, "d=");
  expect(with("d=sender.example", "d=send er.example"), Verdict::neutral, "d=");
  expect(with("d=sender.example", "d=" + std::string(64, 'a') + ".example"), Verdict::neutral, "d=");
  expect(with("s=sel", "s=.sel"), Verdict::neutral, "s=");
  expect(with("s=sel", "s=a/b"), Verdict::neutral, "s=");
  const std::string label(60, 'a');
  expect(with("s=sel", "s=" + label + "." + label + "." + label + "." + label), Verdict::neutral, "too long");
  expect(with("bh=", "bh=!"), Verdict::neutral, "bh=");
  expect(with("bh=", "bh=abcd"), Verdict::neutral, "bh=");
  expect(with(" b=", " b=!"), Verdict::neutral, "b=");
  expect(with("h=from", "q=http/file; h=from"), Verdict::neutral, "query");
  expect(with("h=from", "l=-1; h=from"), Verdict::neutral, "l=");
  expect(with("h=from", "l=; h=from"), Verdict::neutral, "l=");
  expect(with("h=from", "t=soon; h=from"), Verdict::neutral, "t=");
  expect(with("h=from", "x=1234567890123; h=from"), Verdict::neutral, "x=");
  expect(with("h=from", "z=" + std::string(20'000, 'a') + "; h=from"), Verdict::neutral, "too long");
  expect(with("h=from", "h=from:" + std::string(5'000, 'a')), Verdict::neutral, "h=");
}

// libraries.md §1 (f): these never reach dkim_qp_decode().
TEST(DkimVerify, suspicious_identities_are_not_fed) {
  for (const std::string i : {"a@sender.example=", "a@sender.example=4", "=@sender.example", "a=4g@sender.example",
                              "=0a@sender.example", "=00@sender.example", "a", "=80@sender.example"}) {
    dkim_spy.signatures = 0;
    expect(result_of({.more = "i=" + i + "; "}), Verdict::neutral, "i=");
    EXPECT_EQ(dkim_spy.signatures, 0U) << i;
  }
  dkim_spy.signatures = 0;
  expect(result_of({.more = "i=" + std::string(200, 'a') + "@sender.example; "}), Verdict::neutral, "i=");
  for (const std::string i : {"a@other.example", "a@b@sender.example", "@xsender.example", "@.sender.example"})
    expect(result_of({.more = "i=" + i + "; "}), Verdict::permerror, "i=");
  EXPECT_EQ(dkim_spy.signatures, 0U);
  for (const std::string i : {"@sender.example", "=61lice@sender.example", "alice=40news.sender=2Eexample"})
    expect(result_of({.more = "i=" + i + "; "}), Verdict::pass, "");
}

TEST(DkimVerify, permanent_errors_of_the_field) {
  expect(result_of({.h = "to:subject"}), Verdict::permerror, "From");
  expect(result_of({.more = tag_time("x", core::Seconds(-10))}), Verdict::permerror, "expired");
  expect(result_of({.more = tag_time("t", std::chrono::hours(48))}), Verdict::permerror, "future");
  expect(result_of({.more = "t=1000; x=1000; "}), Verdict::permerror, "x=");
  expect(result_of({.more = "l=1000000; "}), Verdict::permerror, "l=");
  expect(result_of({.more = "l=99999999999999999999999; "}), Verdict::permerror, "l=");
  expect(result_of({.more = tag_time("t", core::Seconds(-10)) + tag_time("x", core::Seconds(600))}), Verdict::pass, "");
  expect(result_of({.more = tag_time("t", std::chrono::hours(1))}), Verdict::pass, "");  // clocks differ
  auto unreadable = std::string("From: nobody\r\nTo: b@example.org\r\n\r\nx\r\n");
  unreadable = dkim::sign(rsa(), unreadable, {.h = "from:to"});
  expect(only(dkim::verify(unreadable, zone())), Verdict::permerror, "author");
}

TEST(DkimVerify, as_at_another_time) {
  const auto then = core::Wall::time_point(core::Seconds(1'200'000'000));
  const std::string more = "t=1199999000; x=1200000100; ";
  expect(result_of({.more = more}, zone(), {.now = then}), Verdict::pass, "");
  expect(result_of({.more = more}, zone(), {.now = then + core::Seconds(200)}), Verdict::permerror, "expired");
  expect(result_of({.more = more}), Verdict::permerror, "expired");
  const auto later = core::Wall::now() + std::chrono::hours(24 * 365 * 10);
  expect(result_of({.more = tag_time("t", std::chrono::hours(24 * 364 * 10))}, zone(), {.now = later}), Verdict::pass,
         "");
}

TEST(DkimVerify, what_dns_says_of_the_key) {
  expect(result_of({}, {}), Verdict::permerror, "none is published");
  expect(result_of({}, {{kName, dkim::failure("SERVFAIL")}}), Verdict::temperror, "SERVFAIL");
  expect(result_of({}, {{kName, dkim::failure("")}}), Verdict::temperror, "DNS");
  const auto p = dkim::p_of(rsa());
  expect(result_of({}, zone("v=DKIM1; p=")), Verdict::permerror, "revoked");
  expect(result_of({}, zone("v=DKIM2; p=" + p)), Verdict::permerror, "version");
  expect(result_of({}, zone("k=rsa; v=DKIM1; p=" + p)), Verdict::permerror, "version");
  expect(result_of({}, zone("v=DKIM1; k=rsa")), Verdict::permerror, "no key");
  expect(result_of({}, zone("v=spf1 -all")), Verdict::permerror, "no key");
  expect(result_of({}, zone("hello")), Verdict::permerror, "syntax");
  expect(result_of({}, zone("v=DKIM1; k=ed25519; p=" + p)), Verdict::permerror, "type");
  expect(result_of({}, zone("v=DKIM1; k=dsa; p=" + p)), Verdict::permerror, "type");
  expect(result_of({}, zone("v=DKIM1; h=sha1; p=" + p)), Verdict::permerror, "hash");
  expect(result_of({}, zone("v=DKIM1; s=tlsrpt; p=" + p)), Verdict::permerror, "mail");
  expect(result_of({}, zone("v=DKIM1; p=!" + p)), Verdict::permerror, "base64");
  expect(result_of({}, zone("v=DKIM1; p=abcd")), Verdict::permerror, "RSA");
  expect(result_of({}, zone("h=sha1:sha256; s=tlsrpt : email; g=; x=y; p=" + p + ";")), Verdict::pass, "");
  expect(result_of({}, zone(dkim::record_of(dkim::rsa_key(2048)))), Verdict::fail, "signature");
}

TEST(DkimVerify, keys_for_testing_and_without_subdomains) {
  const auto p = dkim::p_of(rsa());
  auto result = result_of({}, zone("t=y:s; p=" + p));
  expect(result, Verdict::pass, "");
  EXPECT_TRUE(result.testing);
  expect(result_of({.more = "i=a@Sender.Example; "}, zone("t=s; p=" + p)), Verdict::pass, "");
  expect(result_of({.more = "i=a@x.sender.example; "}, zone("t=s; p=" + p)), Verdict::permerror, "subdomain");
  expect(result_of({.more = "i=a@x.sender.example; "}, zone("t=y; p=" + p)), Verdict::pass, "");
}

// RFC 6376 §3.6.1 says so of p=, everybody else publishes SubjectPublicKeyInfo.
TEST(DkimVerify, a_bare_public_key_will_do) {
  expect(result_of({}, zone("v=DKIM1; p=" + core::base64_encode(dkim::der(i2d_PublicKey, rsa())))), Verdict::pass, "");
}

// libraries.md §1 (b): libopendkim has room for 1,024 octets of a record.
TEST(DkimVerify, long_records_work) {
  expect(result_of({}, zone("v=DKIM1; n=" + std::string(3'000, 'x') + "; p=" + dkim::p_of(rsa()))), Verdict::pass, "");
  const auto key = dkim::rsa_key(4096);
  const auto message = dkim::sign(key, kMessage);
  expect(only(dkim::verify(message, zone("v=DKIM1; n=" + std::string(900, 'x') + "; p=" + dkim::p_of(key)))),
         Verdict::pass, "");
}

TEST(DkimVerify, every_key_under_the_name_is_tried) {
  const auto other = dkim::record_of(dkim::rsa_key(2048));
  const auto mine = dkim::record_of(rsa());
  const auto with = [&](std::vector<std::string> records) {
    return result_of({}, {{kName, dkim::texts(std::move(records))}});
  };
  expect(with({other, mine}), Verdict::pass, "");
  expect(with({"v=spf1 -all", "v=DKIM1; p=", other, mine}), Verdict::pass, "");
  expect(with({other, other}), Verdict::fail, "signature");
  expect(with({"v=DKIM1; p=", "v=spf1 -all"}), Verdict::permerror, "revoked");
  EXPECT_TRUE(with({other, "t=y; p=" + dkim::p_of(rsa())}).testing);
  EXPECT_EQ(ERR_peek_error(), 0UL);
}

// libopendkim would give the second signature the key of the first.
TEST(DkimVerify, one_selector_with_keys_of_two_types) {
  const auto message =
      dkim::signature_field(ed25519(), kMessage, {.a = "ed25519-sha256"}) + dkim::sign(rsa(), kMessage);
  for (const auto& records : {std::vector{dkim::record_of(rsa()), dkim::record_of(ed25519())},
                              std::vector{dkim::record_of(ed25519()), dkim::record_of(rsa())}}) {
    const auto results = dkim::verify(message, {{kName, dkim::texts(records)}});
    ASSERT_THAT(results, SizeIs(2));
    expect(results[0], Verdict::pass, "");
    expect(results[1], Verdict::pass, "");
  }
}

TEST(DkimVerify, a_signature_may_cover_others) {
  // One that expired, one without a key, and a good one over both.
  auto message = dkim::sign(rsa(), kMessage, {.s = "old", .more = "x=1000; "});
  message = dkim::sign(rsa(), message, {.s = "lost"});
  message = dkim::sign(rsa(), message, {.h = "from:dkim-signature:dkim-signature"});
  const auto results = dkim::verify(message, zone());
  ASSERT_THAT(results, SizeIs(3));
  expect(results[0], Verdict::pass, "");
  expect(results[1], Verdict::permerror, "published");
  expect(results[2], Verdict::permerror, "expired");
  message.replace(message.find("x=1000"), 6, "x=1001");
  expect(dkim::verify(message, zone())[0], Verdict::fail, "signature");
}

TEST(DkimVerify, keys_are_known_before_the_body) {
  auto message = dkim::sign(rsa(), kMessage);
  message = dkim::sign(rsa(), message, {.d = "OTHER.example", .s = "my_Sel"});
  message = dkim::sign(rsa(), message);
  const auto [section, body] = messages::split(message);
  auth::DkimLibrary library;
  auth::DkimVerifier verifier(library, {});
  const auto headers = mail::Headers::parse(section).value();
  verifier.headers(headers);
  const dns::Question mine{kName, dns::Type::txt}, other{"my_sel._domainkey.other.example", dns::Type::txt};
  EXPECT_EQ(verifier.keys(), (std::vector{mine, other}));
  verifier.body(body);
  dns::Lookup lookup;
  EXPECT_FALSE(verifier.finish(lookup));
  EXPECT_EQ(lookup.wanted(), (std::vector{mine, other}));
  lookup.answer(mine, dkim::texts({dkim::record_of(rsa())}));
  EXPECT_FALSE(verifier.finish(lookup));
  lookup.answer(other, dkim::failure("timeout"));
  const auto results = verifier.finish(lookup);
  ASSERT_TRUE(results);
  ASSERT_THAT(*results, SizeIs(3));
  expect((*results)[0], Verdict::pass, "");
  expect((*results)[1], Verdict::temperror, "timeout");
  expect((*results)[2], Verdict::pass, "");
}

TEST(DkimVerify, a_last_line_without_end_is_ended) {
  for (const std::string body : {"Hello", "Hello\r", "\n", ""}) {
    const auto message = "From: a@sender.example\r\n\r\n" + body;
    expect(only(dkim::verify(dkim::sign(rsa(), message, {.h = "from"}), zone())), Verdict::pass, "");
  }
}

TEST(DkimVerify, two_authors_do_no_harm) {  // refused elsewhere (interface.md §6)
  const auto message = dkim::sign(rsa(), "From: eve@evil.example\r\n" + std::string(kMessage), {.h = "from:to"});
  expect(only(dkim::verify(message, zone())), Verdict::pass, "");
  using namespace std::string_literals;
  EXPECT_THAT(dkim::verify("From: a\0b@sender.example\r\n\r\nx\r\n"s, zone()), SizeIs(0));
}

TEST(DkimVerify, what_we_sign_in_any_slices) {
  const auto new_key = [](auth::NewKey type) {
    const auto pem = auth::generate_key(type);
    return std::make_shared<const auth::SigningKey>(auth::SigningKey::parse(pem.value().view()).value());
  };
  const auto rsa_signer = new_key(auth::NewKey::rsa2048), ed_signer = new_key(auth::NewKey::ed25519);
  const dkim::Zone answers{{"rsa._domainkey.forward.example", dkim::texts({rsa_signer->dns_record()})},
                           {"ed._domainkey.forward.example", dkim::texts({ed_signer->dns_record()})}};
  messages::Generator generator(7);
  for (int round = 0; round < 150; ++round) {
    const auto message = generator.next();
    const auto [section, body] = messages::split(message);
    const auto headers = mail::Headers::parse(section).value();
    const auth::SignedFields fields(headers.fields());
    auth::BodyHasher hasher;
    hasher.update(body);
    const auto hash = hasher.finish();
    const auto now = core::Wall::now();
    const auto sent = auth::Signer("forward.example", "rsa", rsa_signer).sign(fields, hash, now).value() +
                      auth::Signer("forward.example", "ed", ed_signer).sign(fields, hash, now).value() + message;
    const auto slice = round % 3 == 0 ? 0 : 1 + generator.below(round % 3 == 1 ? 5 : 300);
    for (const auto& result : dkim::verify(sent, answers, {}, slice)) expect(result, Verdict::pass, "");
  }
}

TEST(DkimVerify, slices_do_not_matter) {
  const std::string message = dkim::sign(rsa(), kMessage, {.more = "l=3; ", .limit = 3}) + "more \r\n\r\n\r\n";
  const auto whole = only(dkim::verify(message, zone()));
  expect(whole, Verdict::pass, "");
  EXPECT_FALSE(whole.whole_body);
  for (std::size_t slice = 1; slice < 30; ++slice) {
    const auto result = only(dkim::verify(message, zone(), {}, slice));
    expect(result, Verdict::pass, "");
    EXPECT_FALSE(result.whole_body);
  }
}

// libraries.md §1 (f): without it a crafted h= is a memory error. Nothing more is said about it.
TEST(DkimVerify, the_pad_is_fed_first_for_every_message) {
  dkim_spy.first_fields.clear();
  messages::Generator generator(11);
  for (int round = 0; round < 20; ++round)
    dkim::verify(dkim::sign(rsa(), generator.next(), {.h = round % 2 == 0 ? "from" : "from:to:subject"}), zone());
  dkim::verify(dkim::signature_field(ed25519(), kMessage, {.a = "ed25519-sha256"}) + dkim::sign(rsa(), kMessage),
               zone());  // two handles
  ASSERT_THAT(dkim_spy.first_fields, SizeIs(22));
  for (const auto& field : dkim_spy.first_fields) EXPECT_THAT(field, testing::MatchesRegex("x-pad-[0-9a-f]{16}: 1"));
  EXPECT_THAT(std::set(dkim_spy.first_fields.begin(), dkim_spy.first_fields.end()),
              SizeIs(22));  // nobody can know the next
}

TEST(Threats, CR_01_two_hundred_signatures) {
  std::string message(kMessage);
  message = dkim::sign(rsa(), message);  // the aligned one is the last of all
  for (int i = 0; i < 199; ++i)
    message = dkim::signature_field(rsa(), kMessage, {.d = "d" + std::to_string(i) + ".example.net"}) + message;
  const auto begin = std::chrono::steady_clock::now();
  dkim_spy.signatures = 0;
  const auto results = dkim::verify(message, zone());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  EXPECT_EQ(dkim_spy.signatures, auth::kMaxDkimSignatures);
  ASSERT_THAT(results, SizeIs(200));
  expect(results.back(), Verdict::pass, "");
  for (std::size_t i = 0; i < 7; ++i) expect(results[i], Verdict::permerror, "published");
  for (std::size_t i = 7; i < 199; ++i) expect(results[i], Verdict::neutral, "too many");
  // Malformed ones take no place.
  std::string flooded = dkim::sign(rsa(), kMessage);
  for (int i = 0; i < 199; ++i) flooded = "DKIM-Signature: v=1; d=sender.example\r\n" + flooded;
  expect(dkim::verify(flooded, zone()).back(), Verdict::pass, "");
}

TEST(Threats, CR_01_aligned_signatures_come_first) {
  std::string message(kMessage);
  for (const std::string d : {"example", "a.example", "mail.sender.example", "sender.example", "xsender.example"}) {
    if (d != "example") message = dkim::signature_field(rsa(), kMessage, {.d = d}) + message;
  }
  const auto results = dkim::verify(message, {}, {.max_signatures = 2});
  ASSERT_THAT(results, SizeIs(4));
  expect(results[0], Verdict::neutral, "too many");     // xsender.example
  expect(results[1], Verdict::permerror, "published");  // sender.example
  expect(results[2], Verdict::permerror, "published");  // mail.sender.example
  expect(results[3], Verdict::neutral, "too many");     // a.example
}

// A DER number of so many bits with that first and last octet.
std::string number(unsigned bits, char first, char last) {
  std::string octets(bits / 8, '\x5a');
  octets.front() = first;
  octets.back() = last;
  return octets;
}
std::string tlv(char tag, const std::string& content) {
  std::string out{tag, '\x82', static_cast<char>(content.size() >> 8), static_cast<char>(content.size())};
  return out + content;
}
std::string zoo_record(const std::string& modulus, const std::string& exponent) {
  const auto integer = [](const std::string& n) { return tlv('\x02', '\0' + n); };
  return "v=DKIM1; p=" + core::base64_encode(tlv('\x30', integer(modulus) + integer(exponent)));
}

TEST(Threats, CR_02_key_zoo) {
  const std::string f4("\x01\x00\x01", 3);
  const auto begin = std::chrono::steady_clock::now();
  const auto small = dkim::rsa_key(512);
  expect(only(dkim::verify(dkim::sign(small, kMessage), zone(dkim::record_of(small)))), Verdict::permerror,
         "too short");
  EXPECT_TRUE(
      dkim::any_pass(dkim::verify(dkim::sign(small, kMessage), zone(dkim::record_of(small)), {.min_key_bits = 512})));
  expect(result_of({}, zone(zoo_record(number(1024, '\x7f', '\x01'), f4))), Verdict::permerror, "too short");  // 1,023
  expect(result_of({}, zone(zoo_record(number(1024, '\x80', '\x01'), f4))), Verdict::fail, "signature");
  expect(result_of({}, zone(zoo_record(number(4096, '\xff', '\x01'), f4))), Verdict::fail, "signature");
  expect(result_of({}, zone(zoo_record(number(4104, '\x01', '\x01'), f4))), Verdict::permerror, "too long");  // 4,097
  expect(result_of({}, zone(zoo_record(number(16384, '\x80', '\x01'), f4))), Verdict::permerror, "too long");
  expect(result_of({}, zone(zoo_record(number(2048, '\x80', '\x02'), f4))), Verdict::permerror, "RSA");
  expect(result_of({}, zone(zoo_record(number(2048, '\x80', '\x01'), "\x04"))), Verdict::permerror, "RSA");
  expect(result_of({}, zone(zoo_record(number(2048, '\x80', '\x01'), "\x01"))), Verdict::permerror, "RSA");
  expect(result_of({}, zone(zoo_record(number(2048, '\x80', '\x01'), ""))), Verdict::permerror, "RSA");
  expect(result_of({}, zone(zoo_record("", f4))), Verdict::permerror, "RSA");
  expect(result_of({}, zone(zoo_record(number(2048, '\x80', '\x01'), number(64, '\x80', '\x01')))), Verdict::fail, "");
  expect(result_of({}, zone(zoo_record(number(2048, '\x80', '\x01'), number(72, '\x01', '\x01')))), Verdict::permerror,
         "exponent");
  expect(result_of({}, zone(zoo_record(number(2048, '\x80', '\x01'), number(2048, '\x80', '\x01')))),
         Verdict::permerror, "exponent");
  // A key of another kind in the same wrapping, and one that stops in the middle.
  const dkim::Key ec(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  expect(result_of({}, zone("p=" + core::base64_encode(dkim::der(i2d_PUBKEY, ec)))), Verdict::permerror, "RSA");
  const auto spki = dkim::public_octets(rsa());
  for (std::size_t size = 0; size < spki.size(); ++size) {
    const auto answer = zone("p=A" + core::base64_encode(spki.substr(0, size)));
    EXPECT_NE(result_of({}, answer).result, Verdict::pass) << size;
  }
  for (const std::size_t size : {31U, 33U, 44U}) {
    const auto signature = dkim::sign(ed25519(), kMessage, {.a = "ed25519-sha256"});
    const auto record = "k=ed25519; p=" + core::base64_encode(std::string(size, 'k'));
    expect(only(dkim::verify(signature, zone(record))), Verdict::permerror, "Ed25519");
  }
  for (const char octet : {'\0', '\1', '\x7f', '\xff'}) {  // points of small order, or none at all
    const auto signature = dkim::sign(ed25519(), kMessage, {.a = "ed25519-sha256"});
    const auto record = "k=ed25519; p=" + core::base64_encode(std::string(32, octet));
    expect(only(dkim::verify(signature, zone(record))), Verdict::fail, "signature");
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
  EXPECT_EQ(ERR_peek_error(), 0UL);
}

TEST(Threats, CR_03_a_part_of_the_body_is_not_the_body) {
  constexpr std::uint64_t kCanonical = 16;  // of kMessage
  const auto with = [](std::uint64_t l, const std::string& added) {
    return only(dkim::verify(dkim::sign(rsa(), kMessage, {.more = "l=" + std::to_string(l) + "; ", .limit = l}) + added,
                             zone()));
  };
  for (const auto l : {kCanonical - 1, std::uint64_t{0}, std::uint64_t{5}}) {
    const auto result = with(l, "");
    expect(result, Verdict::pass, "l=");
    EXPECT_FALSE(result.whole_body) << l;
  }
  EXPECT_TRUE(with(kCanonical, "").whole_body);
  EXPECT_TRUE(with(kCanonical, "\r\n \t\r\n\r\n").whole_body);  // no more of it in canonical form
  const auto longer = with(kCanonical, "Click here\r\n");
  expect(longer, Verdict::pass, "l=");
  EXPECT_FALSE(longer.whole_body);
  expect(with(kCanonical + 1, ""), Verdict::permerror, "l=");
}

TEST(Threats, CR_06_a_header_at_its_limits) {
  std::string fields = "From: a@sender.example\r\n";
  for (std::size_t i = 1; i + auth::kMaxDkimSignatures + 1 < mail::kMaxHeaderFields; ++i) fields += "a:\r\n x\r\n";
  const std::string message = fields + "\r\nbody\r\n";
  std::string names = "from";
  while (names.size() < 3'990) names += ":a";
  std::string signatures;
  for (std::size_t i = 0; i < auth::kMaxDkimSignatures; ++i)
    signatures += dkim::signature_field(rsa(), message, {.s = "s" + std::to_string(i), .h = names});
  dkim::Zone answers;
  for (std::size_t i = 0; i < auth::kMaxDkimSignatures; ++i)
    answers["s" + std::to_string(i) + "._domainkey.sender.example"] = dkim::texts({dkim::record_of(rsa())});
  const auto begin = std::chrono::steady_clock::now();
  const auto results = dkim::verify(signatures + message, answers);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  ASSERT_THAT(results, SizeIs(auth::kMaxDkimSignatures));
  for (const auto& result : results) expect(result, Verdict::pass, "");
}

TEST(Threats, CR_07_a_body_of_blanks) {
  std::string body(std::size_t{8} * 1024 * 1024, ' ');
  for (std::size_t i = 0; i + 1 < body.size(); i += 1024) body.replace(i, 2, "\r\n");
  const auto message = "From: a@sender.example\r\n\r\n" + body + "\r\n";
  const auto sent = dkim::sign(rsa(), message, {.h = "from", .more = "l=0; ", .limit = 0});
  const auto begin = std::chrono::steady_clock::now();
  expect(only(dkim::verify(sent, zone(), {}, 65536)), Verdict::pass, "");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST(Threats, DN_12_a_record_of_64_kilobytes) {
  const auto p = dkim::p_of(rsa());
  const auto padded = [&](std::size_t size) {
    const std::string record = "v=DKIM1; p=" + p + "; n=";
    return record + std::string(size - record.size(), 'x');
  };
  expect(result_of({}, zone(padded(8192))), Verdict::pass, "");
  expect(result_of({}, zone(padded(8193))), Verdict::permerror, "too long");
  expect(result_of({}, zone(padded(65536))), Verdict::permerror, "too long");
  std::vector<std::string> records(1000, "v=DKIM1; p=");
  records.push_back("p=" + p);
  expect(result_of({}, {{kName, dkim::texts(records)}}), Verdict::permerror, "revoked");
}

}  // namespace
