// The one table of failures: stage by reply or error, with the texts that real destinations use (practice.md).
#include "forwarder/trouble.hpp"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace forwarder {
namespace {

using core::Errc;
using mail::EnhancedCode;
using mail::Fate;
using mail::Reply;
using mail::Scope;

const auto kPeer4 = *core::IpAddress::parse("198.51.100.25");
const auto kPeer6 = *core::IpAddress::parse("2001:db8:25::25");
const auto kSource4 = *core::IpAddress::parse("192.0.2.1");
const auto kSource6 = *core::IpAddress::parse("2001:db8:0:1::25");
constexpr std::string_view kHelo = "mx.forward.example";

constexpr Stage kStages[] = {Stage::dns,  Stage::connect, Stage::greeting, Stage::hello, Stage::starttls, Stage::tls,
                             Stage::mail, Stage::rcpt,    Stage::data,     Stage::body,  Stage::dot,      Stage::rset};

// As it comes from the wire.
Reply from_wire(const std::string& octets) {
  mail::ReplyParser parser;
  std::size_t consumed = 0;
  auto parsed = parser.feed(octets, consumed);
  EXPECT_TRUE(parsed && *parsed) << octets;
  return parsed && *parsed ? **parsed : Reply();
}

Judgement judge_reply(Stage stage, const std::string& wire, bool v6 = false) {
  const auto reply = from_wire(wire + "\r\n");
  Trouble trouble;
  trouble.stage = stage;
  trouble.reply = &reply;
  trouble.peer = v6 ? kPeer6 : kPeer4;
  trouble.source = v6 ? kSource6 : kSource4;
  trouble.helo = kHelo;
  return judge(trouble);
}

Judgement judge_error(Stage stage, core::Error error) {
  Trouble trouble;
  trouble.stage = stage;
  trouble.error = error;
  trouble.peer = kPeer4;
  return judge(trouble);
}

std::string status(const Reply& reply) {
  return std::to_string(reply.code) + " " + reply.enhanced.to_string();
}

struct ReplyCase {
  Stage stage;
  const char* wire;
  const char* status;
  Fate fate;
  Scope scope;
};

TEST(Trouble, replies_by_stage) {
  const std::vector<ReplyCase> cases = {
      // UP-07, interface.md §6.9: nobody has spoken of a message yet.
      {Stage::greeting, "554 5.7.1 go away", "451 4.4.0", Fate::deferred, Scope::host},
      {Stage::greeting, "421 4.3.2 busy", "451 4.4.0", Fate::deferred, Scope::host},
      {Stage::greeting, "521 no mail here", "451 4.4.0", Fate::deferred, Scope::host},
      {Stage::hello, "550 5.7.1 bad name", "451 4.4.0", Fate::deferred, Scope::host},
      {Stage::hello, "450 4.3.2 later", "451 4.4.0", Fate::deferred, Scope::host},
      {Stage::starttls, "454 4.7.0 no TLS", "451 4.4.0", Fate::deferred, Scope::host},
      {Stage::starttls, "554 5.3.5 broken", "451 4.4.0", Fate::deferred, Scope::host},
      // MAIL
      {Stage::mail, "550 5.7.23 SPF", "550 5.7.23", Fate::failed, Scope::message},
      {Stage::mail, "552 5.3.4 too big", "552 5.3.4", Fate::failed, Scope::message},
      {Stage::mail, "501 5.1.7 Invalid address", "501 5.1.7", Fate::failed, Scope::message},
      {Stage::mail, "450 4.1.8 sender domain", "450 4.1.8", Fate::deferred, Scope::host},
      {Stage::mail, "451 4.7.650 The mail server has been temporarily rate limited (S843)", "451 4.7.650",
       Fate::deferred, Scope::host},
      {Stage::mail, "421 4.7.0 low reputation", "451 4.7.0", Fate::deferred, Scope::host},
      // RCPT
      {Stage::rcpt, "550 5.1.1 no such user", "550 5.1.1", Fate::failed, Scope::recipient},
      {Stage::rcpt, "550 no enhanced code", "550 5.0.0", Fate::failed, Scope::recipient},
      {Stage::rcpt, "452 4.2.2 full", "452 4.2.2", Fate::deferred, Scope::recipient},
      {Stage::rcpt, "450 5.2.1 class differs", "450 4.0.0", Fate::deferred, Scope::recipient},
      {Stage::rcpt, "421 4.7.28 too much", "451 4.7.28", Fate::deferred, Scope::host},
      {Stage::rcpt, "421 too much", "451 4.0.0", Fate::deferred, Scope::host},
      {Stage::rcpt, "521 5.3.2 no mail", "451 4.4.2", Fate::deferred, Scope::host},
      {Stage::rcpt, "221 2.0.0 bye", "451 4.4.2", Fate::deferred, Scope::host},
      // DATA, the body, the dot
      {Stage::data, "554 5.5.1 no", "554 5.5.1", Fate::failed, Scope::message},
      {Stage::data, "451 4.3.0 no", "451 4.3.0", Fate::deferred, Scope::message},
      {Stage::body, "552 5.3.4 too big", "552 5.3.4", Fate::failed, Scope::message},
      {Stage::body, "421 4.3.2 bye", "451 4.3.2", Fate::deferred, Scope::message},
      {Stage::dot, "550-5.7.26 unauthenticated\r\n550 5.7.26 more", "550 5.7.26", Fate::failed, Scope::message},
      {Stage::dot, "552 5.7.0 attachment", "552 5.7.0", Fate::failed, Scope::message},
      {Stage::dot, "554 [PH01] no enhanced code", "554 5.0.0", Fate::failed, Scope::message},
      {Stage::dot, "550 5.7.1 [CS01] Message rejected due to local policy", "550 5.7.1", Fate::failed, Scope::message},
      {Stage::dot, "421 4.7.0 [TSS04] deferred", "451 4.7.0", Fate::deferred, Scope::message},
      {Stage::dot, "421-4.7.28 unsolicited\r\n421 4.7.28 rate", "451 4.7.28", Fate::deferred, Scope::message},
      {Stage::dot, "452 4.3.1 disk", "452 4.3.1", Fate::deferred, Scope::message},
      {Stage::dot, "521 5.3.2 no mail", "451 4.4.2", Fate::deferred, Scope::message},
      {Stage::dot, "221 bye", "451 4.4.2", Fate::deferred, Scope::message},
      {Stage::dot, "250 2.0.0 queued", "250 2.0.0", Fate::delivered, Scope::recipient},
      // UP-04: what cannot be said there
      {Stage::data, "250 ok", "451 4.5.0", Fate::deferred, Scope::host},
      {Stage::rcpt, "354 go", "451 4.5.0", Fate::deferred, Scope::host},
      {Stage::body, "250 ok", "451 4.5.0", Fate::deferred, Scope::host},
      {Stage::mail, "250 ok", "451 4.5.0", Fate::deferred, Scope::host},
      {Stage::dot, "354 go", "451 4.5.0", Fate::unknown, Scope::host},
      {Stage::rset, "550 5.5.1 no", "451 4.4.0", Fate::deferred, Scope::host},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(std::string(to_string(c.stage)) + ": " + c.wire);
    const auto judgement = judge_reply(c.stage, c.wire);
    EXPECT_EQ(status(judgement.reply), c.status);
    EXPECT_EQ(judgement.fate, c.fate);
    EXPECT_EQ(judgement.scope, c.scope);
    EXPECT_FALSE(judgement.about_address);
    // The peer's text stays, but for replies that break the protocol.
    EXPECT_EQ(judgement.from_peer, judgement.reply.enhanced != (EnhancedCode{4, 5, 0}));
    if (judgement.from_peer) EXPECT_EQ(judgement.reply.lines, from_wire(std::string(c.wire) + "\r\n").lines);
  }
}

TEST(Trouble, errors_by_stage) {
  struct Case {
    std::vector<Stage> stages;
    std::vector<Errc> errors;
    const char* status;
    Fate fate;
    Scope scope;
  };
  const std::vector<Errc> lost = {Errc::closed, Errc::reset, Errc::timed_out, Errc::refused, Errc::cancelled};
  const std::vector<Errc> broken = {Errc::protocol, Errc::malformed, Errc::line_too_long};
  const std::vector<Stage> in_session = {Stage::hello, Stage::starttls, Stage::mail, Stage::rcpt,
                                         Stage::data,  Stage::body,     Stage::rset};
  const std::vector<Case> cases = {
      {{Stage::dns}, lost, "451 4.4.3", Fate::deferred, Scope::destination},
      {{Stage::dns}, broken, "451 4.4.3", Fate::deferred, Scope::destination},
      {{Stage::connect}, lost, "451 4.4.1", Fate::deferred, Scope::address},
      {{Stage::greeting}, lost, "451 4.4.1", Fate::deferred, Scope::host},
      {{Stage::greeting}, broken, "451 4.5.0", Fate::deferred, Scope::host},
      {{Stage::tls}, lost, "451 4.7.5", Fate::deferred, Scope::host},
      {{Stage::tls}, broken, "451 4.7.5", Fate::deferred, Scope::host},  // TL-03
      {{Stage::tls}, {Errc::tls_failed}, "451 4.7.5", Fate::deferred, Scope::host},
      {in_session, {Errc::tls_failed}, "451 4.7.5", Fate::deferred, Scope::host},
      {in_session, lost, "451 4.4.2", Fate::deferred, Scope::host},
      {in_session, broken, "451 4.5.0", Fate::deferred, Scope::host},
      {{Stage::body}, {Errc::io}, "451 4.3.0", Fate::deferred, Scope::message},
      {{Stage::connect, Stage::mail}, {Errc::exhausted}, "451 4.3.2", Fate::deferred, Scope::destination},
      // RFC 1047: the peer may have it
      {{Stage::dot}, lost, "451 4.4.2", Fate::unknown, Scope::host},
      {{Stage::dot}, {Errc::tls_failed, Errc::io, Errc::exhausted}, "451 4.4.2", Fate::unknown, Scope::host},
      {{Stage::dot}, broken, "451 4.5.0", Fate::unknown, Scope::host},
  };
  for (const auto& c : cases) {
    for (const auto stage : c.stages) {
      for (const auto error : c.errors) {
        SCOPED_TRACE(std::string(to_string(stage)) + ": " + core::describe(error));
        const auto judgement = judge_error(stage, error);
        EXPECT_EQ(status(judgement.reply), c.status);
        EXPECT_EQ(judgement.fate, c.fate);
        EXPECT_EQ(judgement.scope, c.scope);
        EXPECT_FALSE(judgement.from_peer);
        EXPECT_FALSE(judgement.about_us);
        EXPECT_FALSE(judgement.about_address);
        ASSERT_EQ(judgement.reply.lines.size(), 1U);
        EXPECT_FALSE(judgement.reply.lines[0].empty());
      }
    }
  }
  // The system's errors are lost connections.
  const auto error = make_error_code(boost::system::errc::connection_reset);
  EXPECT_EQ(status(judge_error(Stage::rcpt, error).reply), "451 4.4.2");
  EXPECT_EQ(judge_error(Stage::dot, error).fate, Fate::unknown);
}

// Whatever happens where: the answer is one our client may get, and only a 2xx to the dot is a delivery.
TEST(Trouble, total_and_never_an_acceptance) {
  for (const auto stage : kStages) {
    for (int error = 0; error <= static_cast<int>(Errc::io); ++error) {
      const auto judgement = judge_error(stage, make_error_code(static_cast<Errc>(error)));
      EXPECT_EQ(judgement.reply.code, 451);
      EXPECT_EQ(judgement.fate, stage == Stage::dot ? Fate::unknown : Fate::deferred);
    }
    for (int code = 0; code <= 700; ++code) {
      for (const EnhancedCode enhanced : {EnhancedCode{}, {2, 0, 0}, {4, 7, 1}, {5, 7, 1}, {5, 7, 25}}) {
        for (const auto& lines : {std::vector<std::string>{}, {"text"}, {"IPv6 192.0.2.1", "mx.forward.example"}}) {
          Reply reply;
          reply.code = code;
          reply.enhanced = enhanced;
          reply.lines = lines;
          Trouble trouble{stage, &reply, {}, kPeer6, kSource4, kHelo};
          const auto judgement = judge(trouble);
          SCOPED_TRACE(std::string(to_string(stage)) + " " + reply.to_log());
          const bool accepted = stage == Stage::dot && code >= 200 && code < 300 && code != 221;
          EXPECT_EQ(judgement.fate == Fate::delivered, accepted);
          if (accepted || stage == Stage::dns || stage == Stage::connect) continue;
          EXPECT_TRUE(judgement.reply.transient() || judgement.reply.permanent());
          EXPECT_NE(judgement.reply.code, 421);  // UP-05: we never announce our own closing with a foreign code
          EXPECT_NE(judgement.reply.code, 521);
          EXPECT_EQ(judgement.reply.enhanced.klass, judgement.reply.code / 100);  // UP-06
          EXPECT_FALSE(judgement.reply.lines.empty());
          EXPECT_EQ(judgement.fate == Fate::failed, judgement.reply.permanent());
          if (stage <= Stage::tls) EXPECT_TRUE(judgement.reply.transient());  // UP-07
        }
      }
    }
  }
}

// The engine's own words for what DNS said pass as they are.
TEST(Trouble, the_engines_own_replies) {
  const Reply nxdomain(550, {5, 1, 2}, "No such domain");
  const Reply servfail(451, {4, 4, 3}, "DNS trouble");
  for (const auto* reply : {&nxdomain, &servfail}) {
    Trouble trouble;
    trouble.stage = Stage::dns;
    trouble.reply = reply;
    const auto judgement = judge(trouble);
    EXPECT_EQ(judgement.reply, *reply);
    EXPECT_EQ(judgement.fate, reply->permanent() ? Fate::failed : Fate::deferred);
    EXPECT_EQ(judgement.scope, Scope::destination);
    EXPECT_FALSE(judgement.from_peer);
  }
}

TEST(Threats, UP_05_foreign_closings) {
  for (const auto stage : {Stage::mail, Stage::rcpt, Stage::data, Stage::body, Stage::dot}) {
    EXPECT_EQ(status(judge_reply(stage, "421-4.7.0 a\r\n421 4.7.0 b").reply), "451 4.7.0");
    EXPECT_EQ(judge_reply(stage, "421-4.7.0 a\r\n421 4.7.0 b").reply.lines, (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(status(judge_reply(stage, "221 2.0.0 bye").reply), "451 4.4.2");
    EXPECT_EQ(status(judge_reply(stage, "521 5.3.2 no").reply), "451 4.4.2");
  }
}

TEST(Threats, UP_06_enhanced_codes_fit_the_reply) {
  Reply reply(550, {4, 2, 1}, "x");
  Trouble trouble;
  trouble.stage = Stage::rcpt;
  trouble.reply = &reply;
  EXPECT_EQ(judge(trouble).reply.enhanced, (EnhancedCode{5, 0, 0}));
  reply.enhanced = {};
  EXPECT_EQ(judge(trouble).reply.enhanced, (EnhancedCode{5, 0, 0}));
  reply.code = 450;
  reply.enhanced = {2, 1, 5};
  EXPECT_EQ(judge(trouble).reply.enhanced, (EnhancedCode{4, 0, 0}));
  reply.enhanced = {4, 2, 1};
  EXPECT_EQ(judge(trouble).reply.enhanced, (EnhancedCode{4, 2, 1}));
}

TEST(Threats, UP_07_refusals_about_us_never_bounce_the_message) {
  for (const auto stage : {Stage::greeting, Stage::hello, Stage::starttls}) {
    const auto judgement = judge_reply(stage, "554 5.3.2 no service for you");
    EXPECT_EQ(status(judgement.reply), "451 4.4.0");
    EXPECT_TRUE(judgement.about_us);
    EXPECT_FALSE(judge_reply(stage, "421 4.3.2 busy").about_us);
  }
  EXPECT_FALSE(judge_reply(Stage::rset, "502 5.5.1 unknown").about_us);
  struct Case {
    Stage stage;
    const char* wire;
    Scope scope;
  };
  for (const auto& c : std::initializer_list<Case>{
           {Stage::greeting, "554 5.7.1 192.0.2.1 is listed", Scope::host},
           {Stage::hello, "550 5.7.1 <mx.forward.example>: Helo command rejected", Scope::host},
           {Stage::mail, "550 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen", Scope::host},
           {Stage::mail,
            "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. part of their network is on our block "
            "list (S3140)",
            Scope::host},
           {Stage::rcpt, "554 5.7.1 <mx.forward.example[192.0.2.1]>: Client host rejected", Scope::recipient},
           {Stage::data, "550 5.7.0 (mx.forward.example) blocked", Scope::message},
           {Stage::dot,
            "550-5.7.28 Our system has detected an unusual rate from\r\n550-5.7.28 your IP 192.0.2.1.\r\n550 5.7.28 x",
            Scope::message},
       }) {
    SCOPED_TRACE(c.wire);
    const auto judgement = judge_reply(c.stage, c.wire);
    EXPECT_EQ(status(judgement.reply), "451 4.7.0");
    EXPECT_TRUE(judgement.about_us);
    EXPECT_EQ(judgement.fate, Fate::deferred);
    EXPECT_EQ(judgement.scope, c.scope);
    EXPECT_TRUE(judgement.from_peer);
  }
}

// interface.md §6.22
TEST(Trouble, what_is_about_us) {
  const auto about = [](const std::string& wire, const core::IpAddress& source = kSource4,
                        std::string_view helo = kHelo) { return is_about_us(from_wire(wire + "\r\n"), source, helo); };
  EXPECT_TRUE(about("550 5.7.1 192.0.2.1 is bad"));
  EXPECT_TRUE(about("550 5.7.1 ip:192.0.2.1:25 is bad"));
  EXPECT_TRUE(about("550 5.7.1 [::ffff:192.0.2.1]"));
  EXPECT_TRUE(about("550 5.7.1 https://block.example/?ip=192.0.2.1&x=1"));
  EXPECT_TRUE(about("550 5.7.606 Access denied, banned sending IP [192.0.2.1]"));
  EXPECT_TRUE(about("550 5.7.1 we know you, MX.Forward.Example."));
  EXPECT_TRUE(about("550 5.7.1 host=mx.forward.example"));
  EXPECT_TRUE(about("550 5.7.1 [IPv6:2001:DB8:0:1:0:0:0:25]", kSource6));
  EXPECT_TRUE(about("550 5.7.1 2001:db8:0:1::25.", kSource6));
  EXPECT_TRUE(about("550 5.7.1 address:2001:0db8:0:1::0025;", kSource6));
  // Others' addresses and names
  EXPECT_FALSE(about("550 5.7.1 192.0.2.10 is bad"));
  EXPECT_FALSE(about("550 5.7.1 1192.0.2.1 is bad"));
  EXPECT_FALSE(about("550 5.7.1 192.0.2.1.dsl.example is bad"));
  EXPECT_FALSE(about("550 5.7.1 x192.0.2.1 is bad"));
  EXPECT_FALSE(about("550 5.7.1 1.2.0.192.zen.example"));
  EXPECT_FALSE(about("550 5.7.1 2001:db8:0:1::250", kSource6));
  EXPECT_FALSE(about("550 5.7.1 a.mx.forward.example"));
  EXPECT_FALSE(about("550 5.7.1 mx.forward.example.net"));
  EXPECT_FALSE(about("550 5.7.1 xmx.forward.example"));
  EXPECT_FALSE(about("550 5.7.1 mx.forward.example-x"));
  EXPECT_FALSE(about("550 5.7.1 <SRS0=x=y=a=b@mx.forward.example>: sender rejected"));
  EXPECT_FALSE(about("550 5.7.1 spam"));
  // Codes that are about something else, or have rules of their own
  for (const auto* code : {"550 5.7.25", "550 5.7.26", "550 5.1.1", "550 5.0.0", "550", "450 4.7.1", "451 5.7.1"}) {
    EXPECT_FALSE(about(std::string(code) + " 192.0.2.1 mx.forward.example")) << code;
  }
  // Nothing known of us
  EXPECT_FALSE(about("550 5.7.1 0.0.0.0 and more", core::IpAddress(), ""));
  EXPECT_FALSE(about("550 5.7.1 text", core::IpAddress(), ""));
}

// interface.md §6.8
TEST(Trouble, refusals_of_the_IPv6_address) {
  const auto refuses = [](const std::string& wire) { return refuses_ipv6_address(from_wire(wire + "\r\n")); };
  EXPECT_TRUE(refuses(
      "550-5.7.1 [2001:db8::1] Our system has detected that this\r\n550-5.7.1 message does not meet IPv6 sending "
      "guidelines regarding PTR records\r\n550 5.7.1 and authentication."));
  EXPECT_TRUE(refuses("550 5.7.25 The IP address sending this message does not have a"));
  EXPECT_TRUE(refuses("450 4.7.25 Client host rejected: cannot find your hostname"));
  EXPECT_TRUE(refuses("450 4.7.1 no PTR record"));
  EXPECT_TRUE(refuses("550 5.7.1 your reverse DNS is missing"));
  EXPECT_TRUE(refuses("550-5.7.1 missing reverse\r\n550 5.7.1 DNS entry"));
  EXPECT_TRUE(refuses("550 5.7.1 rDNS!"));
  EXPECT_TRUE(refuses("421 4.7.0 ipv6 not allowed"));
  EXPECT_FALSE(refuses("550 5.7.1 spam"));
  EXPECT_FALSE(refuses("550 5.1.1 IPv6 PTR"));
  EXPECT_FALSE(refuses("550 IPv6 PTR"));
  EXPECT_FALSE(refuses("550 5.7.1 scriptre, ptrx"));
  EXPECT_FALSE(refuses("250 2.7.1 IPv6"));

  for (const auto stage :
       {Stage::greeting, Stage::hello, Stage::mail, Stage::rcpt, Stage::data, Stage::body, Stage::dot}) {
    SCOPED_TRACE(to_string(stage));
    const auto six = judge_reply(stage, "550 5.7.25 no PTR", true);
    EXPECT_TRUE(six.about_address);
    EXPECT_EQ(six.scope, Scope::address);
    EXPECT_EQ(status(six.reply), stage < Stage::mail ? "451 4.4.0" : "550 5.7.25");
    const auto four = judge_reply(stage, "550 5.7.25 no PTR", false);
    EXPECT_FALSE(four.about_address);
    EXPECT_NE(four.scope, Scope::address);
  }
  // Gmail names our address in it: another try, and when that is all there is, no bounce.
  const auto gmail =
      judge_reply(Stage::dot, "550-5.7.1 [2001:db8:0:1::25] does not meet\r\n550 5.7.1 IPv6 sending guidelines", true);
  EXPECT_TRUE(gmail.about_address);
  EXPECT_TRUE(gmail.about_us);
  EXPECT_EQ(status(gmail.reply), "451 4.7.0");
  // Delivered is delivered.
  EXPECT_FALSE(judge_reply(Stage::dot, "250 2.7.25 IPv6", true).about_address);
}

}  // namespace
}  // namespace forwarder
