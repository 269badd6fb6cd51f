// Verifying ARC chains: the suite of ValiMail, the limits of threats CR-05, and chains made here with one thing wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "auth/arc_support.hpp"
#include "core/text.hpp"
#include "mail/jsonl.hpp"
#include "support/score.hpp"
#include "support/verdicts.hpp"

namespace {

using arc::verify;
using auth::Verdict;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string kMessage =
    "Received: from a (a [192.0.2.1]) by b; Tue, 14 Nov 2023 22:13:20 +0000\r\n"
    "DKIM-Signature: v=1; d=sender.example; b=abc\r\n"
    "From: Alice <a@sender.example>\r\n"
    "To: b@forward.example\r\n"
    "Subject: hello\r\n"
    "  again\r\n"
    "\r\n"
    "One  line \r\n"
    "and another\r\n"
    "\r\n";

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(ArcConformance, valimail_validation) {
  const auto cases = read_jsonl("arc-valimail/validate.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no arc-valimail/validate.jsonl in " ONWARD_CONFORMANCE;
  Score score("arc-valimail, validation");
  for (const auto& c : cases) {
    arc::Records records;
    for (const auto& [name, text] : c.at("txt_records").items()) records[name] = {text.get<std::string>()};
    const auto wire = messages::to_wire(c.at("message").get<std::string>());
    const auto result = verify(wire, records);
    verdicts::write("arc-valimail/validate.jsonl", c.at("id"), {{"arc", verdicts::of(result)}});
    EXPECT_TRUE(score.count(auth::to_string(result.result) == c.at("cv_effective").get<std::string>()))
        << c.at("id") << ": " << c.at("description") << ": " << result.reason;
    EXPECT_EQ(result.reason.empty(), result.result != Verdict::fail) << c.at("id");
    const auto sliced = verify(wire, records, 1);
    EXPECT_EQ(sliced.result, result.result) << c.at("id");
    EXPECT_EQ(sliced.reason, result.reason) << c.at("id");
  }
  EXPECT_GE(cases.size(), 100U);
}

TEST(ArcVerifier, a_message_without_a_chain) {
  const auto result = verify(kMessage, {});
  EXPECT_EQ(result.result, Verdict::none);
  EXPECT_EQ(result.sets, 0U);
  EXPECT_THAT(result.sealers, IsEmpty());
  EXPECT_EQ(verify("\r\nbody\r\n", {}).result, Verdict::none);
}

TEST(ArcVerifier, a_chain_of_several_sealers) {
  const auto other = arc::new_key();
  auto records = arc::published();
  records["s2._domainkey.second.example"] = {other->dns_record()};
  const auto one = arc::sealed(kMessage);
  const auto two = arc::new_set(one, verify(one, records), {"Second.example", "S2", other}) + one;
  const auto three = arc::sealed("Received: by c\r\n" + two, records);
  const auto result = verify(three, records);
  EXPECT_EQ(result.result, Verdict::pass) << result.reason;
  EXPECT_EQ(result.sets, 3U);
  EXPECT_THAT(result.sealers, ElementsAre("forward.example", "second.example", "forward.example"));
}

TEST(ArcVerifier, keys_are_known_after_the_header_and_asked_for_once_each) {
  const auto wire = arc::sealed(arc::sealed(kMessage));
  const auto [section, body] = messages::split(wire);
  auth::ArcVerifier verifier(arc::kNow);
  verifier.headers(mail::Headers::parse(section).value());
  const dns::Question question{.name = "arc._domainkey.forward.example", .type = dns::Type::txt};
  EXPECT_THAT(verifier.keys(), ElementsAre(question));
  verifier.body(body);
  dns::Lookup lookup;
  EXPECT_FALSE(verifier.finish(lookup));
  EXPECT_THAT(lookup.wanted(), ElementsAre(question));
  EXPECT_FALSE(verifier.finish(lookup));  // still nothing, and not asked again
  EXPECT_EQ(lookup.wanted().size(), 1U);
  lookup.answer(question, arc::answer_of(arc::published(), question));
  const auto first = verifier.finish(lookup), second = verifier.finish(lookup);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->result, Verdict::pass) << first->reason;
  EXPECT_EQ(second->result, Verdict::pass);
}

TEST(ArcVerifier, no_key_is_asked_for_when_the_chain_has_failed_already) {
  auto wire = arc::sealed(kMessage);
  wire = replaced(wire, "One  line", "One line!");
  const auto [section, body] = messages::split(wire);
  auth::ArcVerifier verifier(arc::kNow);
  verifier.headers(mail::Headers::parse(section).value());
  verifier.body(body);
  dns::Lookup lookup;
  const auto result = verifier.finish(lookup);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->result, Verdict::fail);
  EXPECT_THAT(result->reason, HasSubstr("body"));
  EXPECT_THAT(lookup.wanted(), IsEmpty());
}

// RFC 8617 §5.2.1: also when DNS is to blame.
TEST(ArcVerifier, trouble_with_dns_is_a_fail_that_says_so) {
  const auto wire = arc::sealed(kMessage);
  const auto [section, body] = messages::split(wire);
  for (const auto status : {dns::Status::failure, dns::Status::nx_domain, dns::Status::no_data}) {
    auth::ArcVerifier verifier(arc::kNow);
    verifier.headers(mail::Headers::parse(section).value());
    verifier.body(body);
    dns::Lookup lookup;
    dns::Answer answer;
    answer.status = status;
    answer.error = "SERVFAIL";
    for (const auto& question : verifier.keys()) lookup.answer(question, answer);
    const auto result = verifier.finish(lookup);
    ASSERT_TRUE(result);
    EXPECT_EQ(result->result, Verdict::fail);
    EXPECT_EQ(result->reason.find("DNS:") != std::string::npos, status == dns::Status::failure) << result->reason;
  }
}

// Every octet of every ARC field counts, but for white space, and the case of names.
TEST(ArcVerifier, a_changed_octet_anywhere_in_the_sets_breaks_the_chain) {
  const auto wire = arc::sealed(arc::sealed(arc::sealed(kMessage)));
  ASSERT_EQ(verify(wire, arc::published()).result, Verdict::pass);
  const auto end = wire.find("Received:");
  std::size_t changed = 0;
  for (std::size_t i = 0; i < end; i += 7) {
    const char c = wire[i];
    if (!core::is_alnum(c)) continue;
    auto bad = wire;
    bad[i] = c == '9' ? '8' : c == 'z' ? 'y' : c == 'Z' ? 'Y' : static_cast<char>(c + 1);
    const auto [section, body] = messages::split(bad);
    ASSERT_TRUE(mail::Headers::parse(section));
    EXPECT_NE(verify(bad, arc::published()).result, Verdict::pass) << wire.substr(i > 30 ? i - 30 : 0, 40);
    ++changed;
  }
  EXPECT_GT(changed, 200U);
}

TEST(ArcVerifier, what_the_newest_signature_covers) {
  const auto wire = arc::sealed(kMessage);
  EXPECT_EQ(verify(replaced(wire, "hello", "hallo"), arc::published()).result, Verdict::fail);
  EXPECT_EQ(verify(replaced(wire, "b=abc", "b=abd"), arc::published()).result, Verdict::fail);  // RFC 8617 §4.1.2
  EXPECT_EQ(verify("From: Mallory <m@evil.example>\r\n" + wire, arc::published()).result, Verdict::fail);
  EXPECT_EQ(verify("Received: by c\r\n" + wire, arc::published()).result, Verdict::pass);
  EXPECT_EQ(verify(replaced(wire, "Received: from a", "Received: from c"), arc::published()).result, Verdict::pass);
  EXPECT_EQ(verify(wire + "\r\n\r\n", arc::published()).result, Verdict::pass);
  EXPECT_EQ(verify(wire + "more\r\n", arc::published()).result, Verdict::fail);
}

// RFC 8617 §5.2: only the newest message signature must still be right.
TEST(ArcVerifier, a_message_changed_between_two_sealers) {
  const auto one = arc::sealed(kMessage);
  const auto verified = verify(one, arc::published());
  const auto listed = replaced(one, "Subject: hello", "Subject: [list] hello");
  EXPECT_EQ(verify(listed, arc::published()).result, Verdict::fail);
  EXPECT_EQ(verify(arc::new_set(listed, verified) + listed, arc::published()).result, Verdict::pass);
}

TEST(ArcVerifier, sets_may_stand_in_any_order) {
  const auto one = arc::new_set(kMessage, {});
  const auto rest = one + kMessage;
  const auto two = arc::new_set(rest, verify(rest, arc::published()));
  EXPECT_EQ(verify(one + two + kMessage, arc::published()).result, Verdict::pass);
}

TEST(ArcVerifier, key_records) {
  const auto wire = arc::sealed(kMessage);
  const auto good = arc::key()->dns_record();
  const auto text = good.substr(good.find("p=") + 2);
  const auto with = [&](std::vector<std::string> records) {
    return verify(wire, {{"arc._domainkey.forward.example", std::move(records)}}).result;
  };
  EXPECT_EQ(with({good}), Verdict::pass);
  EXPECT_EQ(with({"p=" + text}), Verdict::pass);
  EXPECT_EQ(with({"v=DKIM1; h=sha1:sha256; s=email; n=note; t=y:s; p=" + text + ";"}), Verdict::pass);
  EXPECT_EQ(with({"v=DKIM1; p="}), Verdict::fail);  // revoked
  EXPECT_EQ(with({"v=DKIM1; h=sha1; p=" + text}), Verdict::fail);
  EXPECT_EQ(with({"v=DKIM1; s=tlsrpt; p=" + text}), Verdict::fail);
  EXPECT_EQ(with({"v=DKIM2; p=" + text}), Verdict::fail);
  EXPECT_EQ(with({"k=ed25519; p=" + text}), Verdict::fail);
  EXPECT_EQ(with({arc::new_key(auth::NewKey::ed25519)->dns_record()}), Verdict::fail);
  EXPECT_EQ(with({arc::new_key()->dns_record()}), Verdict::fail);
  EXPECT_EQ(with({}), Verdict::fail);
  EXPECT_EQ(with({"unrelated", arc::new_key()->dns_record(), good}), Verdict::pass);
  // RFC 6376 §3.6.1 asks for a bare RSAPublicKey, practice is SubjectPublicKeyInfo.
  const auto der = core::base64_decode(text).value();
  ASSERT_EQ(der[24], '\x30');
  EXPECT_EQ(with({"p=" + core::base64_encode(der.substr(24))}), Verdict::pass);
}

// Sets made by hand: `signature` and `seal` are tags without b=, signed as the given canonicalisation says.
struct Crafted {
  std::string results = "i=1; mx.forward.example; spf=pass";
  std::string signature;
  std::string seal = "i=1; a=rsa-sha256; cv=none; d=forward.example; s=arc";
  auth::Canon canon = auth::Canon::relaxed;

  static std::string sign(std::string_view name, const std::string& tags, std::string covered, auth::Canon canon) {
    const auto text = std::string(name) + ": " + tags + "; b=";
    auth::append_canonical_header(canon, text, covered);
    return text + arc::key()->sign({covered}).value() + "\r\n";
  }
  std::string wire(const std::string& message) const {
    std::string covered;
    auth::append_canonical_header(canon, "From: Alice <a@sender.example>\r\n", covered);
    const auto ams = sign("ARC-Message-Signature", signature, covered, canon);
    const auto aar = "ARC-Authentication-Results: " + results + "\r\n";
    covered.clear();
    auth::append_canonical_header(auth::Canon::relaxed, aar, covered);
    auth::append_canonical_header(auth::Canon::relaxed, ams, covered);
    return sign("ARC-Seal", seal, covered, auth::Canon::relaxed) + ams + aar + message;
  }
};

std::string tags(std::string_view body, auth::Canon canon, std::string_view more) {
  auth::BodyHasher hasher(canon);
  hasher.update(body);
  return "i=1; a=rsa-sha256; d=forward.example; s=arc; h=From; bh=" + hasher.finish().to_base64() + std::string(more);
}

TEST(ArcVerifier, forms_of_fields) {
  const std::string body(messages::split(kMessage).body);
  const auto verdict = [&](const Crafted& crafted) { return verify(crafted.wire(kMessage), arc::published()).result; };
  const auto relaxed = tags(body, auth::Canon::relaxed, "; c=relaxed/relaxed");
  EXPECT_EQ(verdict({.signature = relaxed}), Verdict::pass);
  EXPECT_EQ(verdict({.signature = tags(body, auth::Canon::simple, "; c=relaxed")}), Verdict::pass);
  EXPECT_EQ(verdict({.signature = tags(body, auth::Canon::simple, "; c=simple/simple"), .canon = auth::Canon::simple}),
            Verdict::pass);
  // Without c=: either meaning.
  EXPECT_EQ(verdict({.signature = tags(body, auth::Canon::relaxed, "")}), Verdict::pass);
  EXPECT_EQ(verdict({.signature = tags(body, auth::Canon::simple, ""), .canon = auth::Canon::simple}), Verdict::pass);
  EXPECT_EQ(verdict({.signature = tags(body, auth::Canon::relaxed, ""), .canon = auth::Canon::simple}), Verdict::fail);
  // RFC 8617 §4.1.2: no v= is defined, so it means nothing.
  EXPECT_EQ(verdict({.signature = relaxed + "; v=7"}), Verdict::pass);
  EXPECT_EQ(verdict({.signature = relaxed + "; q=dns/txt"}), Verdict::pass);
  EXPECT_EQ(verdict({.signature = relaxed + "; q=http"}), Verdict::fail);
  EXPECT_EQ(verdict({.signature = relaxed + "; z"}), Verdict::fail);
  EXPECT_EQ(verdict({.signature = relaxed + "; h=From"}), Verdict::fail);  // twice
  EXPECT_EQ(verdict({.results = "(a (b)\\) c) i = (d) 1\r\n (e);x", .signature = relaxed}), Verdict::pass);
  EXPECT_EQ(verdict({.results = "i=01; x", .signature = relaxed}), Verdict::pass);  // RFC 8617 §4.2.1: 1*2DIGIT
  for (const auto* bad : {"(i=1; x", "i=1", "i=1 x;", "I=1; x", "i=001; x", "i=+1; x", "x; i=1", "i=0; x", "i=51; x"}) {
    EXPECT_EQ(verdict({.results = bad, .signature = relaxed}), Verdict::fail) << bad;
  }
  for (const auto* bad : {"i=1; a=rsa-sha256; cv=None; d=forward.example; s=arc",
                          "i=1; a=rsa-sha256; cv=none; d=forward.example; s=arc; h=From",
                          "i=1; a=rsa-sha1; cv=none; d=forward.example; s=arc",
                          "i=1; a=ed25519-sha256; cv=none; d=forward.example; s=arc",
                          "i=1; a=rsa-sha256; cv=none; d=forward..example; s=arc",
                          "i=1; a=rsa-sha256; cv=none; d=forward.example; s=arc; t=now"}) {
    EXPECT_EQ(verdict({.signature = relaxed, .seal = bad}), Verdict::fail) << bad;
  }
}

TEST(ArcVerifier, an_expired_signature_fails) {
  const std::string body(messages::split(kMessage).body);
  const auto until = [&](long long seconds) {
    return Crafted{.signature = tags(body, auth::Canon::relaxed, "; c=relaxed/relaxed; x=" + std::to_string(seconds))}
        .wire(kMessage);
  };
  EXPECT_EQ(verify(until(1'700'000'000), arc::published()).result, Verdict::pass);
  const auto late = verify(until(1'699'999'999), arc::published());
  EXPECT_EQ(late.result, Verdict::fail);
  EXPECT_THAT(late.reason, HasSubstr("expired"));
}

// l= that leaves part of the body out would let anybody add to what a trusted sealer vouches for.
TEST(Threats, CR_03_arc_signature_of_part_of_the_body) {
  const std::string body(messages::split(kMessage).body);
  const auto length = arc::hash_of(body).length;
  const auto with = [&](std::uint64_t l, std::string_view added) {
    const Crafted set{.signature = tags(body, auth::Canon::relaxed, "; c=relaxed/relaxed; l=" + std::to_string(l))};
    return verify(set.wire(kMessage) + std::string(added), arc::published()).result;
  };
  EXPECT_EQ(with(length, ""), Verdict::pass);
  EXPECT_EQ(with(length, "added\r\n"), Verdict::fail);
  EXPECT_EQ(with(length - 1, ""), Verdict::fail);
  EXPECT_EQ(with(length + 1, ""), Verdict::fail);
}

// `sets` well-formed sets, of which no signature is right.
std::string fake_set(unsigned instance, std::string_view d = "forward.example") {
  const auto i = std::to_string(instance), domain = std::string(d);
  return "ARC-Seal: i=" + i + "; a=rsa-sha256; cv=" + (instance == 1 ? "none" : "pass") + "; d=" + domain +
         "; s=arc; b=AAAA\r\nARC-Message-Signature: i=" + i + "; a=rsa-sha256; d=" + domain +
         "; s=arc; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n"
         "ARC-Authentication-Results: i=" +
         i + "; x\r\n";
}
std::string fake_sets(unsigned sets) {
  std::string out;
  for (unsigned i = sets; i > 0; --i) out += fake_set(i);
  return out;
}

TEST(Threats, CR_05_arc_fifty_sets_are_verified_and_not_continued) {
  auto wire = kMessage;
  auth::ArcResult verified;
  for (unsigned i = 1; i <= auth::kMaxArcSets; ++i) {
    verified = verify(wire, arc::published());
    ASSERT_EQ(verified.result, i == 1 ? Verdict::none : Verdict::pass) << i << verified.reason;
    wire = arc::new_set(wire, verified) + wire;
  }
  verified = verify(wire, arc::published());
  EXPECT_EQ(verified.result, Verdict::pass) << verified.reason;
  EXPECT_EQ(verified.sets, auth::kMaxArcSets);
  EXPECT_EQ(arc::new_set(wire, verified), "");
  verified.result = Verdict::fail;
  EXPECT_EQ(arc::new_set(wire, verified), "");
  for (const unsigned more : {51U, 52U, 99U, 100U, 4294967295U}) {
    const auto result = verify(fake_set(more) + wire, arc::published());
    EXPECT_EQ(result.result, Verdict::fail) << more;
    EXPECT_EQ(result.sets, 0U);
    EXPECT_EQ(arc::new_set(fake_set(more) + wire, result), "");
  }
}

TEST(Threats, CR_05_arc_too_many_sets) {
  // More fields than a message may have at all: nothing is parsed.
  const auto thousand = fake_sets(1000) + kMessage;
  EXPECT_FALSE(mail::Headers::parse(messages::split(thousand).section));
  for (const unsigned sets : {51U, 60U, 330U}) {
    const auto wire = fake_sets(sets) + kMessage;
    const auto start = std::chrono::steady_clock::now();
    const auto result = verify(wire, arc::published());
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(200)) << sets;
    EXPECT_EQ(result.result, Verdict::fail);
    EXPECT_EQ(arc::new_set(wire, result), "") << sets;
  }
  // The same set again and again.
  std::string same;
  for (int i = 0; i < 300; ++i) same += fake_set(1);
  EXPECT_EQ(verify(same + kMessage, arc::published()).result, Verdict::fail);
}

TEST(Threats, CR_05_arc_gaps_and_duplicates) {
  const auto one = arc::new_set(kMessage, {});
  const auto rest = one + kMessage;
  const auto two = arc::new_set(rest, verify(rest, arc::published()));
  const auto three = arc::new_set(two + rest, verify(two + rest, arc::published()));
  ASSERT_EQ(verify(three + two + rest, arc::published()).result, Verdict::pass);
  const auto broken = [](const std::string& wire) {
    const auto result = verify(wire, arc::published());
    EXPECT_EQ(result.result, Verdict::fail);
    EXPECT_EQ(result.sets, 0U);
    EXPECT_THAT(result.sealers, IsEmpty());
    EXPECT_EQ(arc::new_set(wire, result), "");  // no N to go on from
  };
  broken(three + rest);
  broken(three + two + kMessage);
  broken(two + kMessage);
  broken(three + kMessage);
  broken(one + rest);
  broken(two + two + rest);
  // A single field too many, or too few.
  for (const auto* name : {"ARC-Seal:", "ARC-Message-Signature:", "ARC-Authentication-Results:"}) {
    const auto at = two.find(name);
    const auto end = std::min(two.find("\r\nARC-", at), two.size() - 2) + 2;
    broken(two.substr(at, end - at) + two + rest);
    broken(std::string(two).erase(at, end - at) + rest);
  }
}

// Many keys at one name, the right one last: a few are tried for each seal, but not without end.
TEST(Threats, CR_05_arc_many_keys) {
  arc::Records records;
  auto& texts = records["arc._domainkey.forward.example"];
  texts.assign(7, arc::new_key()->dns_record());
  texts.push_back(arc::key()->dns_record());
  auto wire = kMessage;
  for (int i = 0; i < 3; ++i) wire = arc::sealed(wire);
  EXPECT_EQ(verify(wire, records).result, Verdict::pass);
  for (int i = 0; i < 17; ++i) wire = arc::sealed(wire);
  EXPECT_EQ(verify(wire, arc::published()).result, Verdict::pass);
  const auto result = verify(wire, records);
  EXPECT_EQ(result.result, Verdict::fail);
  EXPECT_THAT(result.reason, HasSubstr("too many keys"));
}

// h= that names a field hundreds of times costs no more than its length.
TEST(Threats, CR_06_arc_long_list_of_names) {
  std::string fields, names = "from";
  for (int i = 0; i < 900; ++i) fields += "X: y\r\n";
  for (int i = 0; i < 50'000; ++i) names += ":x";
  auto set = fake_set(1);
  set = replaced(set, "h=from", "h=" + names);
  const auto start = std::chrono::steady_clock::now();
  const auto result = verify(set + fields + "From: a@sender.example\r\n\r\n", arc::published());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(1000));
  EXPECT_EQ(result.result, Verdict::fail);
}

}  // namespace
