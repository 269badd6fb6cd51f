#include "queue/fingerprint.hpp"

#include <gtest/gtest.h>

#include <set>

namespace queue {
namespace {

constexpr std::string_view kHeader =
    "From: <a@origin.test>\r\nTo: <b@fwd.test>\r\nSubject: s\r\nDate: Mon, 1 Jan 2029 00:00:00 +0000\r\n"
    "Message-ID: <1@origin.test>\r\n";

MessageDigest digest(std::string_view header, std::string_view body, std::size_t slice = 1000) {
  const auto text = std::string(header) + "\r\n" + std::string(body);
  MessageHasher hasher;
  for (std::string_view rest = text; !rest.empty(); rest.remove_prefix(std::min(slice, rest.size()))) {
    hasher.update(rest.substr(0, slice));
  }
  const auto headers = mail::Headers::parse(header);
  return hasher.finish(headers ? *headers : mail::Headers());
}

Fingerprint plain(const MessageDigest& message) {
  return make_fingerprint(message, {"a@origin.test", "b@fwd.test", "c@inbox.test"});
}

TEST(Fingerprint, does_not_depend_on_the_slices) {
  const auto whole = digest(kHeader, "Hello\r\n");
  for (std::size_t slice = 1; slice < 200; ++slice) {
    const auto sliced = digest(kHeader, "Hello\r\n", slice);
    ASSERT_EQ(sliced.exact, whole.exact) << slice;
    ASSERT_EQ(sliced.restamped, whole.restamped) << slice;
  }
}

TEST(Fingerprint, each_octet_and_each_part_of_the_envelope_counts_for_key_1) {
  std::set<core::Digest> seen;
  const auto text = std::string(kHeader);
  seen.insert(plain(digest(text, "Hello\r\n")).exact);
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto changed = text;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_TRUE(seen.insert(plain(digest(changed, "Hello\r\n")).exact).second) << i;
  }
  EXPECT_TRUE(seen.insert(plain(digest(text, "Hallo\r\n")).exact).second);
  const auto message = digest(text, "Hello\r\n");
  EXPECT_TRUE(seen.insert(make_fingerprint(message, {"", "b@fwd.test", "c@inbox.test"}).exact).second);
  EXPECT_TRUE(seen.insert(make_fingerprint(message, {"a@origin.test", "B@fwd.test", "c@inbox.test"}).exact).second);
  EXPECT_TRUE(seen.insert(make_fingerprint(message, {"a@origin.test", "b@fwd.test", "d@inbox.test"}).exact).second);
  // Where one part ends and the next begins counts too.
  EXPECT_TRUE(seen.insert(make_fingerprint(message, {"a@origin.testb", "@fwd.test", "c@inbox.test"}).exact).second);
  EXPECT_TRUE(seen.insert(row_fingerprint("1").exact).second);
}

// promise.md C.5: Message-ID, From, To, Date, Subject and body; a new Received or signature changes nothing.
TEST(Fingerprint, key_2_survives_a_new_stamp) {
  const auto first = digest(kHeader, "Hello\r\n");
  ASSERT_TRUE(first.restamped);
  const auto again = digest("Received: by relay; later\r\nDKIM-Signature: v=1\r\n" + std::string(kHeader), "Hello\r\n");
  EXPECT_NE(again.exact, first.exact);
  EXPECT_EQ(again.restamped, first.restamped);
  EXPECT_EQ(plain(again).restamped, plain(first).restamped);
  EXPECT_NE(plain(first).restamped, plain(first).exact);
  for (const std::string_view word : {"a@origin", "b@fwd", "Subject: s", "Mon,", "<1@"}) {
    auto changed = std::string(kHeader);
    changed[changed.find(word) + word.size() - 1] = 'X';
    EXPECT_NE(digest(changed, "Hello\r\n").restamped, first.restamped) << word;
  }
  EXPECT_NE(digest(kHeader, "Hello\r\n.\r\n").restamped, first.restamped);
  EXPECT_NE(digest(std::string(kHeader) + "Subject: s\r\n", "Hello\r\n").restamped, first.restamped);
}

TEST(Fingerprint, there_is_no_key_2_without_a_message_id) {
  for (const std::string_view field :
       {"", "Message-ID:\r\n", "Message-ID: \r\n", "X-Message-ID: <1@origin.test>\r\n"}) {
    const auto header = "From: <a@origin.test>\r\nDate: today\r\n" + std::string(field);
    EXPECT_FALSE(digest(header, "Hello\r\n").restamped) << field;
  }
  EXPECT_TRUE(digest("message-id: <1@origin.test>\r\n", "").restamped);
}

TEST(Fingerprint, messages_without_header_or_body) {
  std::set<core::Digest> seen;
  for (const std::string_view text : {"", "\r\n", "\r\nHello\r\n", "Hello", "A: b\r\n", "A: b\r\n\r\n", "\r\n\r\n"}) {
    MessageHasher hasher;
    hasher.update(text);
    const auto made = hasher.finish({});
    EXPECT_TRUE(seen.insert(made.exact).second) << text;
    EXPECT_FALSE(made.restamped);
  }
}

TEST(Scope, same_domain_or_same_network) {
  const auto ip = [](std::string_view text) { return *core::IpAddress::parse(text); };
  const auto first = make_scope("origin.test", ip("192.0.2.7"));
  EXPECT_TRUE(first.meets(make_scope("Origin.TEST", ip("198.51.100.1"))));
  EXPECT_TRUE(first.meets(make_scope("", ip("192.0.2.255"))));
  EXPECT_FALSE(first.meets(make_scope("", ip("192.0.3.7"))));
  EXPECT_FALSE(first.meets(make_scope("other.test", ip("198.51.100.1"))));
  EXPECT_FALSE(make_scope("", ip("192.0.2.7")).meets(make_scope("", ip("198.51.100.7"))));
  EXPECT_TRUE(make_scope("", ip("2001:db8::1")).meets(make_scope("", ip("2001:db8::ffff:1"))));
  EXPECT_FALSE(make_scope("", ip("2001:db8::1")).meets(make_scope("", ip("2001:db8:0:1::1"))));
  EXPECT_TRUE(make_scope("", ip("::ffff:192.0.2.9")).meets(first));
  EXPECT_FALSE(Scope().meets(Scope()));
}

}  // namespace
}  // namespace queue
