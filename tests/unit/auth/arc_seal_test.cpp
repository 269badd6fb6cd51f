// Sealing ARC chains: the signing suite of ValiMail in its standard form, and what dkimpy and Mail::DKIM think of ours.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>

#include "auth/arc_support.hpp"
#include "core/text.hpp"
#include "mail/jsonl.hpp"
#include "support/score.hpp"

namespace {

using arc::verify;
using auth::Verdict;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

const std::string kMessage = "From: a@sender.example\r\nSubject: hello\r\n\r\nbody\r\n";

std::string without_space(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c != ' ' && c != '\t' && c != '\r' && c != '\n') out += c;
  }
  return out;
}

std::vector<std::string> values_of(const std::string& set) {
  std::vector<std::string> out;
  const auto headers = mail::Headers::parse(set).value();
  for (const auto& field : headers.fields()) out.push_back(without_space(field.value()));
  return out;
}

// README-suite.md, "AR Consolidation": the results of all fields that carry `id`, in their order.
std::string consolidated(const mail::Headers& headers, const std::string& id) {
  std::string out = id;
  for (const auto* field : headers.all("Authentication-Results")) {
    const auto value = mail::unfold(field->value());
    if (value.starts_with(id + ";")) out += "; " + std::string(core::trim(value.substr(id.size() + 1)));
  }
  return out;
}

TEST(ArcConformance, valimail_signing) {
  const auto cases = read_jsonl("arc-valimail/sign.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no arc-valimail/sign.jsonl in " ONWARD_CONFORMANCE;
  Score score("arc-valimail, signing");
  for (const auto& c : cases) {
    const auto text = [&](const char* name) { return c.at(name).get<std::string>(); };
    const auto wire = messages::to_wire(text("message"));
    const auto [section, body] = messages::split(wire);
    const auto headers = mail::Headers::parse(section).value();
    arc::Records records;
    for (const auto& [name, record] : c.at("txt_records").items()) records[name] = {record.get<std::string>()};
    // The suite says which fields are signed.
    std::string canonical;
    const auto names = text("sig-headers");
    for (const auto name : core::split(names, ':')) {
      const auto* field = headers.first(name);
      ASSERT_NE(field, nullptr);
      auth::append_canonical_header(auth::Canon::relaxed, field->raw, canonical);
    }
    const auth::ArcSealer sealer(
        text("domain"), text("sel"),
        std::make_shared<const auth::SigningKey>(auth::SigningKey::parse(text("privatekey")).value()),
        auth::ArcForm::standard);
    const auto hash = arc::hash_of(body);
    const auto now = core::Wall::time_point(std::chrono::seconds(c.at("t").get<long long>()));
    const auto set = sealer.seal(verify(wire, records), consolidated(headers, text("srv-id")),
                                 {.headers = headers, .names = names, .canonical = canonical, .body = hash}, now);
    ASSERT_TRUE(set);
    if (text("AS").empty()) {
      EXPECT_TRUE(score.count(set->empty())) << c.at("id") << *set;
      continue;
    }
    const std::vector<std::string> want{without_space(text("AS")), without_space(text("AMS")),
                                        without_space(text("AAR"))};
    EXPECT_TRUE(score.count(values_of(*set) == want)) << c.at("id") << "\n" << *set;
  }
  EXPECT_GE(cases.size(), 10U);
}

TEST(ArcSealer, three_fields_in_their_order) {
  const auto set = arc::new_set(kMessage, {});
  const auto headers = mail::Headers::parse(set).value();
  std::vector<std::string> names;
  for (const auto& field : headers.fields()) names.emplace_back(field.name);
  EXPECT_THAT(names, ElementsAre("ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results"));
  const auto values = values_of(set);
  EXPECT_THAT(values[0], StartsWith("i=1;a=rsa-sha256;t=1700000000;cv=none;d=forward.example;s=arc;b="));
  EXPECT_THAT(values[1],
              StartsWith("i=1;a=rsa-sha256;c=relaxed/relaxed;d=forward.example;s=arc;t=1700000000;h=from:from:"));
  EXPECT_THAT(mail::unfold(headers.fields()[2].value()),
              "i=1; mx.forward.example; spf=pass smtp.mfrom=a@sender.example; dkim=none; arc=none");
  for (auto rest = std::string_view(set); !rest.empty();) {
    const auto end = rest.find("\r\n");
    ASSERT_NE(end, std::string_view::npos);
    EXPECT_LE(end, 78U) << rest.substr(0, end);
    rest.remove_prefix(end + 2);
  }
}

TEST(ArcSealer, results_are_folded_and_cleansed) {
  const auto headers = mail::Headers::parse("From: a@sender.example\r\n").value();
  const auto hash = arc::hash_of("");
  const auto set = arc::sealer()
                       .seal({},
                             " mx.forward.example;\r\n\tspf=pass (a\x01"
                             "b)\r\n dkim=none\r\n",
                             {.headers = headers, .names = "from", .canonical = "", .body = hash}, arc::kNow)
                       .value();
  EXPECT_THAT(set, EndsWith("ARC-Authentication-Results: i=1; mx.forward.example; spf=pass (a?b) dkim=none\r\n"));
}

// RFC 8617 §5.1.2: the seal of a failed chain covers our set only, and says so; nobody goes on after it.
TEST(ArcSealer, a_broken_chain_is_sealed_as_broken) {
  auto wire = arc::sealed(arc::sealed(kMessage));
  wire.replace(wire.find("body"), 4, "BODY");
  const auto broken = verify(wire, arc::published());
  ASSERT_EQ(broken.result, Verdict::fail);
  const auto set = arc::new_set(wire, broken);
  EXPECT_THAT(values_of(set)[0], HasSubstr("i=3;"));
  EXPECT_THAT(values_of(set)[0], HasSubstr("cv=fail;"));
  // As the only set it would be right: take away what it does not cover, and the seal's own verdict remains.
  const auto after = verify(set + wire, arc::published());
  EXPECT_EQ(after.result, Verdict::fail);
  EXPECT_THAT(after.reason, HasSubstr("cv=fail"));
  EXPECT_EQ(arc::new_set(set + wire, after), "");
}

TEST(ArcSealer, a_verdict_that_is_not_about_this_message_is_not_believed) {
  const auto one = arc::sealed(kMessage);
  const auto passed = verify(one, arc::published());
  ASSERT_EQ(passed.result, Verdict::pass);
  EXPECT_EQ(arc::new_set(kMessage, passed), "");          // passed, but there is no chain
  EXPECT_EQ(arc::new_set(one, {}), "");                   // none, but there is one
  EXPECT_EQ(arc::new_set(arc::sealed(one), passed), "");  // of one set, but there are two
  auto bad = one;
  bad.replace(bad.find("cv=none"), 7, "cv=pass");
  EXPECT_EQ(arc::new_set(bad, passed), "");  // cannot have passed
  EXPECT_THAT(values_of(arc::new_set(bad, verify(bad, arc::published())))[0], HasSubstr("cv=fail"));
}

TEST(ArcSealer, only_rsa_keys_seal) {
  const auth::ArcSealer sealer("forward.example", "arc", arc::new_key(auth::NewKey::ed25519));
  const auto headers = mail::Headers::parse("From: a@sender.example\r\n").value();
  const auto hash = arc::hash_of("");
  const auto set =
      sealer.seal({}, "mx", {.headers = headers, .names = "from", .canonical = "", .body = hash}, arc::kNow);
  EXPECT_EQ(set.error(), core::Errc::malformed);
}

// Random messages through one, two and three of our sealers; every second one is damaged after that.
struct Sample {
  std::string wire;
  Verdict verdict;
};
std::vector<Sample> samples(std::size_t count) {
  messages::Generator generator(8617);
  std::vector<Sample> out;
  while (out.size() < count) {
    auto wire = messages::to_wire(generator.next());
    const auto headers = mail::Headers::parse(messages::split(wire).section);
    if (!headers || headers->count("From") != 1) continue;
    for (auto sets = 1 + generator.below(3); sets > 0; --sets) wire = "X-Hop: x\r\n" + arc::sealed(wire);
    if (out.size() % 2 == 1) {
      wire.insert(wire.find("\r\n\r\n") + 4, "damage\r\n");
      if (generator.below(2) == 0) wire = arc::new_set(wire, verify(wire, arc::published())) + wire;
    }
    out.push_back({wire, verify(wire, arc::published()).result});
    EXPECT_EQ(out.back().verdict, out.size() % 2 == 1 ? Verdict::pass : Verdict::fail);
  }
  return out;
}

// The lines that `command` prints for the lines it is given; nothing when it says 77, that it cannot run.
std::optional<std::vector<std::string>> run(const std::string& command, const std::vector<nlohmann::json>& input) {
  const auto path = std::filesystem::temp_directory_path() / ("onward-arc-" + std::to_string(getpid()) + ".jsonl");
  {
    std::ofstream file(path);
    for (const auto& line : input) file << line << '\n';
  }
  FILE* pipe = popen((command + " < " + path.string()).c_str(), "r");
  std::vector<std::string> lines(1);
  for (int c = 0; (c = std::getc(pipe)) != EOF;) {
    if (c == '\n') {
      lines.emplace_back();
    } else {
      lines.back() += static_cast<char>(c);
    }
  }
  lines.pop_back();
  const int status = pclose(pipe);
  std::filesystem::remove(path);
  if (status == 77 * 256) return std::nullopt;
  EXPECT_EQ(status, 0) << command;
  return lines;
}

void expect_agreement(const std::string& command) {
  const auto all = samples(200);
  std::vector<nlohmann::json> input;
  for (const auto& sample : all) {
    input.push_back({{"message", core::base64_encode(sample.wire)},
                     {"records", {{"arc._domainkey.forward.example", arc::key()->dns_record()}}}});
  }
  const auto said = run(command, input);
  if (!said) GTEST_SKIP() << "not installed: " << command;
  ASSERT_EQ(said->size(), all.size());
  for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ((*said)[i], auth::to_string(all[i].verdict)) << all[i].wire;
}

const std::string kDkimpy = "/usr/bin/python3 " ONWARD_SOURCE_DIR "/tests/unit/auth/arc_dkimpy.py";
const std::string kMailDkim = "/usr/bin/perl " ONWARD_SOURCE_DIR "/tests/unit/auth/arc_mail_dkim.pl";

TEST(ArcSecondOpinion, dkimpy) {
  expect_agreement(kDkimpy);
}

TEST(ArcSecondOpinion, mail_dkim) {
  expect_agreement(kMailDkim);
}

// The other way round: chains that Mail::DKIM sealed, alone and on top of ours.
TEST(ArcSecondOpinion, sealed_by_mail_dkim) {
  const auto pem = auth::generate_key(auth::NewKey::rsa2048);
  const auto key = auth::SigningKey::parse(pem.value().view()).value();
  const auto path = std::filesystem::temp_directory_path() / ("onward-arc-" + std::to_string(getpid()) + ".pem");
  std::ofstream(path) << pem.value().view();
  auto records = arc::published();
  records["arc._domainkey.forward.example"].push_back(key.dns_record());
  messages::Generator generator(6376);
  std::vector<std::string> unsealed;
  std::vector<nlohmann::json> input;
  while (unsealed.size() < 100) {
    auto wire = messages::to_wire(generator.next());
    const auto headers = mail::Headers::parse(messages::split(wire).section);
    if (!headers || headers->count("From") != 1) continue;
    const bool first = unsealed.size() % 2 == 0;
    if (!first) wire = arc::sealed(wire);
    wire = "Authentication-Results: mx.forward.example; arc=" + std::string(first ? "none" : "pass") + "\r\n" + wire;
    input.push_back({{"message", core::base64_encode(wire)},
                     {"key", path.string()},
                     {"chain", first ? "none" : "pass"},
                     {"time", 1'700'000'000}});
    unsealed.push_back(std::move(wire));
  }
  const auto sets = run(kMailDkim, input);
  std::filesystem::remove(path);
  if (!sets) GTEST_SKIP() << "not installed: " << kMailDkim;
  ASSERT_EQ(sets->size(), unsealed.size());
  for (std::size_t i = 0; i < unsealed.size(); ++i) {
    const auto wire = core::base64_decode((*sets)[i]).value() + unsealed[i];
    const auto result = verify(wire, records);
    EXPECT_EQ(result.result, Verdict::pass) << result.reason << "\n" << wire;
    EXPECT_EQ(result.sets, i % 2 == 0 ? 1U : 2U);
    EXPECT_EQ(verify(arc::sealed(wire, records), records).result, Verdict::pass);
  }
}

}  // namespace
