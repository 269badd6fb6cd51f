#include "dns/codec.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "wire.hpp"

namespace dns {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::SizeIs;
using Kind = Response::Kind;

constexpr std::uint16_t kId = 0x1234;

Message reply(const Question& question) {
  Message message;
  message.id = kId;
  message.question_name = question.name;
  message.question_type = static_cast<unsigned>(question.type);
  return message;
}
Response decode(const Message& message, const Question& question, unsigned left = kMaxCnames) {
  return decode_response(message.wire(), question, kId, left);
}
Response decode_with(const Question& question, std::vector<Record> records) {
  auto message = reply(question);
  message.answer = std::move(records);
  return decode(message, question);
}

TEST(Names, what_can_be_asked_and_what_is_a_host) {
  const std::string label63(63, 'a');
  const std::string name253 = label63 + "." + label63 + "." + label63 + "." + std::string(61, 'b');
  struct Case {
    std::string name;
    bool query, host;
  };
  for (const auto& c : {Case{"example.org", true, true},
                        Case{"_dmarc.example.org", true, true},
                        Case{"org", true, true},
                        Case{"xn--bcher-kva.example", true, true},
                        Case{"1.2.0.192.in-addr.arpa", true, true},
                        Case{"user+tag._spf.example", true, false},
                        Case{"a\\b.example", true, false},
                        Case{"", false, false},
                        Case{".", false, false},
                        Case{".a", false, false},
                        Case{"a..b", false, false},
                        Case{"a.", false, false},
                        Case{"a b", true, false},
                        Case{" .example", true, false},
                        Case{"a\tb", false, false},
                        Case{std::string("a\0b", 3), false, false},
                        Case{"b\xc3\xbc"
                             "cher.example",
                             false, false},
                        Case{"a\x7f", false, false},
                        Case{label63, true, true},
                        Case{label63 + "a", false, false},
                        Case{name253, true, true},
                        Case{name253 + "b", false, false}}) {
    EXPECT_EQ(is_query_name(c.name), c.query) << c.name;
    EXPECT_EQ(is_host_name(c.name), c.host) << c.name;
    EXPECT_EQ(encode_query({c.name, Type::a}, 1).empty(), !c.query) << c.name;
  }
  EXPECT_EQ(normal_name("ExAmple.ORG."), "example.org");
}

TEST(Encode, a_query_is_what_servers_expect) {
  for (const auto type : {Type::a, Type::cname, Type::ptr, Type::mx, Type::txt, Type::aaaa, Type::tlsa}) {
    const auto query = parse_query(encode_query({"_25._tcp.mx.example", type}, 0xfffe));
    EXPECT_EQ(query.id, 0xfffeU);
    EXPECT_EQ(query.flags, 0x0120U);  // RD and AD
    EXPECT_EQ(query.name, "_25._tcp.mx.example");
    EXPECT_EQ(query.type, static_cast<unsigned>(type));
    EXPECT_TRUE(query.edns);
    EXPECT_EQ(query.payload, 1232U);
  }
  EXPECT_FALSE(parse_query(encode_query({"mx.example", Type::a}, 1, Edns::no)).edns);
  EXPECT_EQ(parse_query(encode_query({"a\\b\"(;.example", Type::a}, 1)).name, "a\\b\"(;.example");  // no escapes
}

// RFC 7208 §7.1 "%_": a blank in a name goes out, and the answer to it is known again.
TEST(Decode, a_name_with_blanks) {
  const Question question{"a b. .example", Type::a};
  EXPECT_EQ(parse_query(encode_query(question, 1)).name, "a b. .example");
  const auto response = decode_with(question, {cname("A B. .example", "c d.example"), a("c d.example", "192.0.2.1")});
  EXPECT_EQ(response.kind, Kind::answer);
  EXPECT_THAT(response.answer.addresses, ElementsAre(*core::IpAddress::parse("192.0.2.1")));
  // A host has none.
  EXPECT_EQ(decode_with({"x.example", Type::mx}, {mx("x.example", 10, "a b.example")}).answer.status, Status::failure);
}

TEST(Decode, addresses) {
  const Question four{"mx.example", Type::a};
  const auto response = decode_with(four, {a("MX.Example", "192.0.2.1", 60), a("mx.example", "192.0.2.2", 30),
                                           a("other.example", "192.0.2.3"), a("mx.example", "2001:db8::1")});
  EXPECT_EQ(response.kind, Kind::answer);
  EXPECT_EQ(response.answer.status, Status::ok);
  EXPECT_THAT(response.answer.addresses,
              ElementsAre(*core::IpAddress::parse("192.0.2.1"), *core::IpAddress::parse("192.0.2.2")));
  EXPECT_EQ(response.answer.ttl, 30U);
  EXPECT_FALSE(response.answer.authenticated);
  const Question six{"mx.example", Type::aaaa};
  EXPECT_THAT(decode_with(six, {a("mx.example", "2001:db8::1")}).answer.addresses,
              ElementsAre(*core::IpAddress::parse("2001:db8::1")));
}

TEST(Decode, mx_null_mx_and_ad) {
  const Question question{"example.org", Type::mx};
  auto message = reply(question);
  message.flags |= kAuthenticated;
  message.answer = {mx("example.org", 20, "B.example"), mx("example.org", 10, "a.example")};
  const auto response = decode(message, question);
  EXPECT_THAT(response.answer.mx, ElementsAre(Mx{20, "b.example"}, Mx{10, "a.example"}));
  EXPECT_TRUE(response.answer.authenticated);
  EXPECT_THAT(decode_with(question, {mx("example.org", 0, "")}).answer.mx, ElementsAre(Mx{0, ""}));  // RFC 7505
}

TEST(Decode, texts_are_joined_and_kept_apart) {
  const Question question{"example.org", Type::txt};
  const auto response = decode_with(question, {txt("example.org", {"v=spf1 ", "-all"}), txt("example.org", {""}),
                                               txt("example.org", {std::string("a\0b", 3), std::string(255, 'x')})});
  EXPECT_THAT(response.answer.texts, ElementsAre("v=spf1 -all", "", std::string("a\0b", 3) + std::string(255, 'x')));
}

TEST(Decode, cname_ptr_and_tlsa) {
  EXPECT_THAT(decode_with({"a.example", Type::cname}, {cname("a.example", "B.example")}).answer.names,
              ElementsAre("b.example"));
  EXPECT_THAT(decode_with({"1.2.0.192.in-addr.arpa", Type::ptr},
                          {ptr("1.2.0.192.in-addr.arpa", "Host.example"), ptr("1.2.0.192.in-addr.arpa", "two.example")})
                  .answer.names,
              ElementsAre("host.example", "two.example"));
  const std::string rdata = std::string("\x03\x01\x01", 3) + std::string(32, '\xab');
  EXPECT_THAT(decode_with({"_25._tcp.mx.example", Type::tlsa}, {{"_25._tcp.mx.example", 52, rdata}}).answer.raw,
              ElementsAre(rdata));
}

TEST(Decode, negative_answers_have_the_ttl_of_the_soa) {
  const Question question{"none.example", Type::mx};
  struct Case {
    unsigned rcode;
    std::vector<Record> authority;
    Status status;
    std::uint32_t ttl;
  };
  for (const auto& c : {Case{3, {soa("example", 600, 60)}, Status::nx_domain, 60},
                        Case{3, {soa("example", 30, 60)}, Status::nx_domain, 30},
                        Case{3, {soa("example", 999'999, 999'999)}, Status::nx_domain, kMaxNegativeTtl},
                        Case{3, {soa("example", 0x80000001, 60)}, Status::nx_domain, 0},  // RFC 2181 §8
                        Case{3, {}, Status::nx_domain, 0}, Case{0, {soa("example", 600, 60)}, Status::no_data, 60},
                        Case{0, {}, Status::no_data, 0}}) {
    auto message = reply(question);
    message.rcode = c.rcode;
    message.authority = c.authority;
    const auto response = decode(message, question);
    EXPECT_EQ(response.kind, Kind::answer);
    EXPECT_EQ(response.answer.status, c.status);
    EXPECT_EQ(response.answer.ttl, c.ttl);
  }
}

TEST(Decode, failures_are_never_proof_of_absence) {
  const Question question{"x.example", Type::a};
  for (const auto& [rcode, text] : {std::pair(2U, "SERVFAIL"), {5U, "REFUSED"}, {6U, "RCODE 6"}, {9U, "RCODE 9"}}) {
    auto message = reply(question);
    message.rcode = rcode;
    const auto response = decode(message, question);
    EXPECT_EQ(response.kind, Kind::answer);
    EXPECT_EQ(response.answer.status, Status::failure);
    EXPECT_EQ(response.answer.error, text);
  }
  auto referral = reply(question);
  referral.authority = {ns("example")};
  EXPECT_EQ(decode(referral, question).answer.status, Status::failure);
  referral.flags |= kAuthoritative;
  EXPECT_EQ(decode(referral, question).answer.status, Status::no_data);
  auto contradiction = reply(question);
  contradiction.rcode = 3;
  contradiction.answer = {a("x.example", "192.0.2.1")};
  EXPECT_EQ(decode(contradiction, question).answer.status, Status::failure);
}

TEST(Decode, formerr_asks_for_a_query_without_edns) {
  const Question question{"x.example", Type::a};
  for (const unsigned rcode : {1U, 4U}) {
    auto message = reply(question);
    message.rcode = rcode;
    EXPECT_EQ(decode(message, question).kind, Kind::no_edns);
    message.with_question = false;
    EXPECT_EQ(decode(message, question).kind, Kind::no_edns);
    EXPECT_EQ(decode(message, question).answer.status, Status::failure);
  }
  auto message = reply(question);
  message.with_question = false;
  message.rcode = 2;
  EXPECT_EQ(decode(message, question).kind, Kind::foreign);
}

TEST(Decode, truncation) {
  const Question question{"x.example", Type::a};
  auto message = reply(question);
  message.flags |= kTruncated;
  message.answer = {a("x.example", "192.0.2.1")};
  EXPECT_EQ(decode(message, question).kind, Kind::truncated);
}

// RFC 5452 §9.1: id, question and kind of message must be those of the query.
TEST(Threats, DN_01_DN_02_a_response_to_another_query_is_foreign) {
  const Question question{"x.example", Type::a};
  auto good = reply(question);
  good.answer = {a("x.example", "192.0.2.1")};
  EXPECT_EQ(decode(good, question).kind, Kind::answer);
  const auto foreign = [&](auto change) {
    auto message = good;
    change(message);
    return decode(message, question).kind == Kind::foreign;
  };
  EXPECT_TRUE(foreign([](Message& m) { m.id = kId + 1; }));
  EXPECT_TRUE(foreign([](Message& m) { m.flags &= ~0x8000U; }));  // a query
  EXPECT_TRUE(foreign([](Message& m) { m.flags |= 0x2800; }));    // an update
  EXPECT_TRUE(foreign([](Message& m) { m.question_name = "y.example"; }));
  EXPECT_TRUE(foreign([](Message& m) { m.question_name = "x.example.evil"; }));
  EXPECT_TRUE(foreign([](Message& m) { m.question_type = 28; }));
  EXPECT_TRUE(foreign([](Message& m) { m.with_question = false; }));
  EXPECT_FALSE(foreign([](Message& m) { m.question_name = "X.eXample"; }));
  auto two = good.wire();
  two[5] = 2;  // two questions
  two.insert(12, name("x.example") + u16(1) + u16(1));
  EXPECT_EQ(decode_response(two, question, kId).kind, Kind::foreign);
  for (std::size_t n = 0; n < 12; ++n) {
    EXPECT_EQ(decode_response(good.wire().substr(0, n), question, kId).kind, Kind::foreign);
  }
}

TEST(Decode, chains_of_cnames) {
  const Question question{"c0.example", Type::a};
  const auto chain = [](int length) {
    std::vector<Record> records;
    for (int i = 0; i < length; ++i) {
      records.push_back(
          cname("c" + std::to_string(i) + ".example", "c" + std::to_string(i + 1) + ".example", i == 1 ? 7 : 300));
    }
    records.push_back(a("c" + std::to_string(length) + ".example", "192.0.2.9"));
    return records;
  };
  auto response = decode_with(question, chain(8));
  EXPECT_THAT(response.answer.addresses, SizeIs(1));
  EXPECT_EQ(response.answer.ttl, 7U);
  EXPECT_EQ(response.cnames, 8U);
  EXPECT_EQ(response.answer.canonical, "c8.example");
  EXPECT_EQ(decode_with(question, chain(0)).answer.canonical, "");
  auto reversed = chain(5);
  std::reverse(reversed.begin(), reversed.end());  // order is not promised
  EXPECT_THAT(decode_with(question, reversed).answer.addresses, SizeIs(1));
  auto partial = chain(2);
  partial.pop_back();
  response = decode_with(question, partial);
  EXPECT_EQ(response.kind, Kind::follow);
  EXPECT_EQ(response.next, "c2.example");
  EXPECT_EQ(response.cnames, 2U);
  EXPECT_EQ(response.answer.ttl, 7U);
  auto message = reply(question);
  message.answer = partial;
  message.authority = {soa("example", 60, 60)};  // the end has no such record
  EXPECT_EQ(decode(message, question).answer.status, Status::no_data);
  EXPECT_EQ(decode(message, question).answer.canonical, "c2.example");
  message.rcode = 3;
  EXPECT_EQ(decode(message, question).answer.status, Status::nx_domain);
}

TEST(Threats, DN_03_cname_loops_and_long_chains_end) {
  const Question question{"a.example", Type::a};
  EXPECT_EQ(decode_with(question, {cname("a.example", "a.example")}).answer.error, "too many CNAMEs");
  EXPECT_EQ(decode_with(question, {cname("a.example", "b.example"), cname("b.example", "a.example")}).answer.error,
            "too many CNAMEs");
  std::vector<Record> records;
  for (int i = 0; i < 50; ++i) {
    records.push_back(
        cname((i == 0 ? "a" : "c" + std::to_string(i)) + ".example", "c" + std::to_string(i + 1) + ".example"));
  }
  records.push_back(a("c50.example", "192.0.2.1"));
  EXPECT_EQ(decode_with(question, records).answer.error, "too many CNAMEs");
  auto message = reply(question);
  message.answer = {cname("a.example", "b.example"), a("b.example", "192.0.2.1")};
  EXPECT_EQ(decode(message, question, 1).answer.status, Status::ok);
  EXPECT_EQ(decode(message, question, 0).answer.error, "too many CNAMEs");
  EXPECT_EQ(decode_with(question, {cname("a.example", "")}).answer.status, Status::failure);
  EXPECT_EQ(decode_with(question, {cname("a.example", "b c.example")}).answer.status, Status::failure);
}

TEST(Threats, DN_04_DN_11_at_most_so_many_records_are_kept) {
  std::vector<Record> many;
  for (int i = 0; i < 500; ++i) many.push_back(mx("example.org", 10, "h" + std::to_string(i) + ".example"));
  EXPECT_THAT(decode_with({"example.org", Type::mx}, many).answer.mx, SizeIs(kMaxRecords));
  many.clear();
  for (int i = 0; i < 1000; ++i) many.push_back(ptr("1.in-addr.arpa", "h" + std::to_string(i) + ".example"));
  EXPECT_THAT(decode_with({"1.in-addr.arpa", Type::ptr}, many).answer.names, SizeIs(kMaxPtrNames));
}

TEST(Threats, DN_11_names_that_are_no_hosts_are_dropped) {
  const Question question{"1.in-addr.arpa", Type::ptr};
  EXPECT_THAT(
      decode_with(question, {ptr("1.in-addr.arpa", "evil\r\nhost.example"), ptr("1.in-addr.arpa", "a b.example"),
                             ptr("1.in-addr.arpa", std::string("nul\0.example", 12)),
                             ptr("1.in-addr.arpa", "good.example"), ptr("1.in-addr.arpa", ""),
                             ptr("1.in-addr.arpa", "\xc3\xa4.example"), ptr("1.in-addr.arpa", "<x>.example")})
          .answer.names,
      ElementsAre("good.example"));
  const auto none = decode_with(question, {ptr("1.in-addr.arpa", "a b.example")});
  EXPECT_EQ(none.answer.status, Status::failure);
  EXPECT_EQ(none.answer.error, "no usable record");
  // A label with a dot inside must not become two labels.
  std::string dotted =
      "\x0bgood.victim\x07"
      "example";
  dotted += '\0';
  EXPECT_EQ(decode_with(question, {{"1.in-addr.arpa", 12, dotted}}).answer.status, Status::failure);
  const auto mixed =
      decode_with({"example.org", Type::mx}, {mx("example.org", 1, "b d.example"), mx("example.org", 2, "ok")});
  EXPECT_THAT(mixed.answer.mx, ElementsAre(Mx{2, "ok"}));
}

TEST(Threats, TL_05_tlsa_of_every_length_is_handed_on_or_a_failure) {
  const Question question{"_25._tcp.mx.example", Type::tlsa};
  for (const std::size_t length : {0U, 1U, 2U, 3U, 4U, 65'000U}) {
    const auto response = decode_with(question, {{"_25._tcp.mx.example", 52, std::string(length, '\x03')}});
    EXPECT_TRUE(response.kind == Kind::malformed || response.answer.status == Status::failure ||
                (response.answer.raw.size() == 1 && response.answer.raw[0].size() == length))
        << length;
  }
}

TEST(Threats, DN_05_hostile_packets_fail_and_do_not_crash) {
  const Question question{"x.example", Type::mx};
  const auto header = [&](unsigned answers) {
    return u16(kId) + u16(0x8180) + u16(1) + u16(answers) + u16(0) + u16(0) + name("x.example") + u16(15) + u16(1);
  };
  const auto fails = [&](const std::string& packet) {
    const auto response = decode_response(packet, question, kId);
    return response.kind == Kind::malformed ||
           (response.kind == Kind::answer && response.answer.status == Status::failure);
  };
  const std::string fixed = u16(15) + u16(1) + u32(300);
  EXPECT_TRUE(fails(header(1)));                                                              // counted, not there
  EXPECT_TRUE(fails(header(65535) + name("x.example")));                                      // many, not there
  EXPECT_TRUE(fails(header(1) + u16(0xc000 + 12) + fixed + u16(4) + u16(10) + u16(0xc0ff)));  // pointer past the end
  EXPECT_TRUE(fails(header(1) + u16(0xc000 + 27) + fixed + u16(4) + u16(10) + u16(0xc00c)));  // owner points to itself
  EXPECT_TRUE(fails(header(1) + u16(0xc00c) + fixed + u16(1) + "\x0a"));                      // short MX rdata
  EXPECT_TRUE(fails(header(1) + u16(0xc00c) + fixed + u16(2) + u16(10)));                     // MX without a host
  EXPECT_TRUE(fails(header(1) + u16(0xc00c) + fixed + u16(0)));
  EXPECT_TRUE(fails(header(1) + u16(0xc00c) + fixed + u16(0xffff) + u16(10) + name("a")));  // rdata past the end
  EXPECT_TRUE(fails(header(1) + u16(0xc00c) + fixed + u16(9) + u16(10) +
                    "\x3f"
                    "short"));
  const Question text{"x.example", Type::txt};
  auto message = reply(text);
  message.answer = {{"x.example", 16,
                     std::string("\x05"
                                 "abc")}};  // a string longer than its record
  const auto response = decode(message, text);
  EXPECT_TRUE(response.kind == Kind::malformed || response.answer.status == Status::failure);
}

// Every prefix and many garbled forms of real answers: only that nothing breaks, and what is kept is fit to use.
TEST(Threats, DN_05_cut_and_garbled_packets) {
  const Question question{"example.org", Type::mx};
  auto message = reply(question);
  message.answer = {cname("example.org", "alias.example"), mx("alias.example", 10, "mx1.example"),
                    mx("alias.example", 20, "mx2.example")};
  message.authority = {soa("example", 60, 60)};
  const auto good = message.wire();
  for (std::size_t n = 0; n < good.size(); ++n) {
    const auto response = decode_response(good.substr(0, n), question, kId);
    EXPECT_FALSE(response.kind == Kind::answer && response.answer.status != Status::failure) << n;
  }
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    auto bad = good;
    for (int k = 0; k < 3; ++k) bad[2 + random() % (bad.size() - 2)] = static_cast<char>(random());
    const auto response = decode_response(bad, question, kId);
    for (const auto& m : response.answer.mx) EXPECT_TRUE(m.host.empty() || is_host_name(m.host));
    if (response.kind == Kind::follow) EXPECT_TRUE(is_query_name(response.next));
  }
}

TEST(Threats, DN_12_a_text_record_of_64_KB_is_passed_on_whole) {
  const Question question{"k._domainkey.example", Type::txt};
  const std::vector<std::string> parts(250, std::string(255, 'k'));
  const auto response = decode_with(question, {txt(question.name, parts)});
  ASSERT_THAT(response.answer.texts, SizeIs(1));
  EXPECT_EQ(response.answer.texts[0].size(), 250U * 255U);
}

}  // namespace
}  // namespace dns
