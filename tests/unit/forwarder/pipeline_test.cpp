// A transaction through the pipeline, against scripted upstreams on real sockets: what our client is told, and what
// went out.
#include "forwarder/pipeline.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "forwarder/fake_upstream.hpp"
#include "srs/memory_tokens.hpp"

namespace {

using namespace std::chrono_literals;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using Act = test::FakeUpstream::Act;

// Keeps the log's lines.
class LinesSink final : public core::LogSink {
 public:
  void write(std::string_view line) override { lines += line; }
  std::string lines;
};

class Probe final : public forwarder::ClientProbe {
 public:
  bool gone() override { return is_gone; }
  bool is_gone = false;
};

class PipelineTest : public ::testing::Test {
 protected:
  PipelineTest() {
    config_ = std::make_shared<forwarder::Config>();
    config_->hostname = "mx.fwd.test";
    // What is forwarded here is not judged: authentication_test.cpp does that.
    using Auth = policy::AuthSettings;
    config_->auth.spf = Auth::Spf::off;
    config_->auth.dmarc = Auth::Dmarc::off;
    config_->auth.require = Auth::Require::none;
    config_->auth.forecast = Auth::Forecast::off;
    config_->delivery.connect_timeout = 2s;
    config_->delivery.command_timeout = 2s;
    config_->delivery.dot_timeout = 2s;
    config_->delivery.deadline = 4s;
    config_->delivery.private_destinations = true;
    std::vector<core::Secret> secrets;
    secrets.emplace_back(std::string("a secret for tests"));
    srs::Rewriter::Settings settings;
    settings.domain = "fwd.test";
    settings.secrets = std::vector<core::Secret>(secrets);
    config_->srs = std::make_shared<srs::Rewriter>(std::move(settings), &tokens_);
    config_->loop_token = std::make_shared<srs::LoopToken>(secrets, "fwd.test");
    client_.address = *core::IpAddress::parse("192.0.2.7");
    client_.helo = "client.test";
    client_.extended = true;
    client_.session_id = "sess";
  }
  ~PipelineTest() override {
    transaction_.reset();
    EXPECT_TRUE(settle([&] { return engine_.gate().count() == 0; }));
    engine_.reset();
  }

  test::FakeUpstream& upstream(const std::string& domain) {
    upstreams_.push_back(std::make_unique<test::FakeUpstream>(context_, "127.0.0.1"));
    forwarder::NextHopRoute route;
    route.domain = domain;
    forwarder::NextHopRoute::Via via;
    via.host = "127.0.0.1";
    via.port = upstreams_.back()->port();
    route.via.push_back(via);
    config_->next_hops.push_back(route);
    return *upstreams_.back();
  }
  void rule(const std::string& local, std::vector<std::string> to, policy::Action action = policy::Action::forward) {
    policy::RuleSpec spec;
    spec.match = local;
    spec.to = std::move(to);
    spec.action = action;
    spec.where = "t:1";
    rules_.push_back(spec);
  }
  void ready() {
    policy::DomainSpec domain;
    domain.name = "alias.test";
    domain.rules = rules_;
    domain.where = "t:1";
    policy::Routes::Builder builder;
    builder.add_domain(domain);
    std::vector<policy::Routes::Builder::Error> errors;
    config_->routes = builder.build(errors);
    ASSERT_TRUE(config_->routes) << (errors.empty() ? "" : errors[0].what);
    forwarder::Pipeline::Means means{
        context_.get_executor(), &engine_, &resolver_, &spool_, &memory_, &disk_, &metrics_, &clock_};
    means.dkim_library = &dkim_library_;
    means.admission = &admission_;
    pipeline_ = std::make_unique<forwarder::Pipeline>(means, config_, log_);
  }

  template <class T>
  T run(net::Awaitable<T> work) {
    std::optional<T> result;
    boost::asio::co_spawn(context_, std::move(work), [&](const std::exception_ptr& error, T value) {
      EXPECT_FALSE(error);
      result = std::move(value);
    });
    const auto end = core::Deadline::after(20s);
    context_.restart();
    while (!result && !end.passed()) context_.run_one_for(100ms);
    if (!result) throw std::runtime_error("timed out");
    return std::move(*result);
  }
  template <class Condition>
  bool settle(Condition condition) {
    const auto end = core::Deadline::after(10s);
    context_.restart();
    while (!condition() && !end.passed()) context_.run_one_for(20ms);
    return condition();
  }

  std::string mail(const std::string& from = "alice@sender.test") {
    mail::MailCommand command;
    if (!from.empty()) command.from.mailbox = *mail::parse_mailbox(from);
    auto verdict = run(pipeline_->mail(client_, command, 1));
    transaction_ = std::move(verdict.transaction);
    return verdict.reply.to_wire();
  }
  std::string rcpt(const std::string& to) {
    mail::RcptCommand command;
    command.to = *mail::parse_forward_path("<" + to + ">", mail::Utf8::no);
    return run(transaction_->rcpt(command)).to_wire();
  }
  std::string data(const std::string& text = "From: alice@sender.test\r\nSubject: x\r\n\r\nhello\r\n") {
    if (const auto refusal = transaction_->begin_data()) return refusal->to_wire();
    transaction_->inbox() += text;
    if (transaction_->absorb() == forwarder::Transaction::Absorb::spill) {
      run([](forwarder::Transaction& t) -> net::Awaitable<int> {
        co_await t.spill();
        co_return 0;
      }(*transaction_));
    }
    return run(transaction_->end_of_data(probe_)).to_wire();
  }
  std::string send(const std::string& to) {
    mail();
    const auto answer = rcpt(to);
    return answer.starts_with("250") ? data() : "RCPT " + answer;
  }

  boost::asio::io_context context_{1};
  std::vector<std::unique_ptr<test::FakeUpstream>> upstreams_;
  MemoryTokens tokens_;
  dns::ZoneResolver resolver_;
  net::Spool spool_{"/tmp", 1};
  forwarder::Slots slots_;
  core::SeededRandom random_{1};
  core::Metrics metrics_;
  core::SystemClock clock_;
  auth::DkimLibrary dkim_library_;
  forwarder::AdmissionState admission_{random_};
  core::Budget memory_{1 << 20}, disk_{1 << 20};
  LinesSink sink_;
  core::Log log_{sink_, core::LogFormat::json, core::LogLevel::info};
  forwarder::Engine engine_{context_.get_executor(), resolver_, slots_, random_, metrics_};
  std::shared_ptr<forwarder::Config> config_;
  std::vector<policy::RuleSpec> rules_;
  std::unique_ptr<forwarder::Pipeline> pipeline_;
  forwarder::Client client_;
  Probe probe_;
  std::unique_ptr<forwarder::Transaction> transaction_;
};

std::optional<Act> at(const std::string& wanted, const std::string& verb, const std::string& octets) {
  if (verb == wanted) return Act{octets};
  return std::nullopt;
}

TEST_F(PipelineTest, one_message_to_one_destination) {
  auto& a = upstream("a.test");
  rule("sales", {"hidden@a.test"});
  ready();
  EXPECT_THAT(send("sales@alias.test"), testing::StartsWith("250 2.0.0 "));
  ASSERT_EQ(a.messages.size(), 1U);
  EXPECT_THAT(a.messages[0].mail, HasSubstr("MAIL FROM:<SRS0="));
  EXPECT_THAT(a.messages[0].mail, HasSubstr("=sender.test=alice@fwd.test>"));
  EXPECT_THAT(a.messages[0].rcpt.at(0), HasSubstr("<hidden@a.test>"));
  EXPECT_THAT(a.messages[0].data, EndsWith("From: alice@sender.test\r\nSubject: x\r\n\r\nhello\r\n"));
  EXPECT_THAT(a.messages[0].data, HasSubstr("Delivered-To: "));
  EXPECT_THAT(a.messages[0].data, HasSubstr("Received: from client.test (unknown [192.0.2.7])"));
  EXPECT_THAT(a.messages[0].data, HasSubstr("for <sales@alias.test>;"));
  EXPECT_THAT(a.messages[0].data, Not(HasSubstr("hidden")));
  EXPECT_THAT(sink_.lines, HasSubstr("\"status\":\"forwarded\""));
  transaction_.reset();
  EXPECT_TRUE(settle([&] { return memory_.used() == 0; })) << "the message's memory is given back";
}

TEST_F(PipelineTest, recipients_we_do_not_take) {
  rule("old", {}, policy::Action::reject);
  rules_.back().reply = "550 5.1.6 Moved away";
  rule("round", {}, policy::Action::reject);
  rules_.back().reply = "550 5.4.6 Not again";
  ready();
  mail();
  EXPECT_THAT(rcpt("nobody@alias.test"), HasSubstr("550 5.1.1 "));
  EXPECT_THAT(rcpt("nobody@alias.test"), EndsWith(" [unknown-recipient sess-1]\r\n"));
  EXPECT_THAT(rcpt("x@elsewhere.test"), HasSubstr("[relay-denied sess-1]"));
  EXPECT_THAT(rcpt("old@alias.test"), testing::StartsWith("550 5.1.6 Moved away [rejected"));
  EXPECT_EQ(rcpt("round@alias.test"), "550 5.4.6 Not again [rejected sess-1]\r\n") << "554 is a loop of ours";
  EXPECT_EQ(transaction_->accepted_recipients(), 0U);
}

// RL-13: whom SPF refuses or greylisting puts off hears the same for every address, and no next hop hears of it.
TEST_F(PipelineTest, RL_13_a_refused_client_hears_the_same_for_every_address) {
  auto& a = upstream("a.test");
  rule("sales", {"hidden@a.test"});
  rule("void", {}, policy::Action::drop);
  rule("old", {}, policy::Action::reject);
  rules_.back().reply = "550 5.1.6 Moved away";
  resolver_.add_txt("sender.test", "v=spf1 -all");
  const auto expect_for_all = [&](const std::string& reply) {
    mail();
    for (const char* to : {"sales@alias.test", "void@alias.test", "old@alias.test", "nobody@alias.test"}) {
      EXPECT_EQ(rcpt(to), reply) << to;
    }
    EXPECT_EQ(transaction_->accepted_recipients(), 0U);
    transaction_.reset();
  };
  config_->auth.spf = policy::AuthSettings::Spf::reject;
  ready();
  expect_for_all("550 5.7.23 SPF: sender.test does not send mail from your address [spf sess-1]\r\n");
  config_->auth.spf = policy::AuthSettings::Spf::off;
  config_->admission.greylist.on = true;
  ready();
  expect_for_all("450 4.7.1 We do not know you yet, try again in 300 s [greylist sess-1]\r\n");
  expect_for_all("450 4.7.1 We do not know you yet, try again in 300 s [greylist sess-1]\r\n");
  mail();
  EXPECT_THAT(rcpt("x@elsewhere.test"), HasSubstr("[relay-denied sess-1]")) << "which domains are ours is no secret";
  transaction_.reset();
  mail("");
  EXPECT_THAT(rcpt("SRS0=AAAAAAAA=AA=sender.test=alice@fwd.test"), testing::StartsWith("550 5.1.1 "));
  EXPECT_EQ(a.connections, 0);
}

TEST_F(PipelineTest, final_refusals_say_where_help_is) {
  config_->help_url = "https://fwd.test/help";
  rule("old", {}, policy::Action::reject);
  rules_.back().reply = "550 5.1.6 Moved away";
  ready();
  mail();
  EXPECT_EQ(rcpt("nobody@alias.test"),
            "550 5.1.1 No such address here. Refer to https://fwd.test/help [unknown-recipient sess-1]\r\n");
  EXPECT_EQ(rcpt("old@alias.test"), "550 5.1.6 Moved away [rejected sess-1]\r\n");
}

TEST_F(PipelineTest, dropped_by_rule_is_accepted_and_goes_nowhere) {
  rule("void", {}, policy::Action::drop);
  ready();
  EXPECT_THAT(send("void@alias.test"), testing::StartsWith("250 2.0.0 "));
  EXPECT_EQ(metrics_.get(core::Counter::messages_dropped), 1U);
}

// UP-08: the upstream's words about the hidden address become words about the address the client used.
TEST_F(PipelineTest, UP_08_upstream_refusal_at_rcpt_is_masked) {
  auto& a = upstream("a.test");
  a.script = [](const std::string& verb, const std::string&, bool) {
    return at("RCPT", verb, "550-5.1.1 <Hidden@A.test> unknown\r\n550 5.1.1 at a.test\r\n");
  };
  rule("sales", {"hidden@a.test"});
  ready();
  mail();
  EXPECT_EQ(rcpt("sales@alias.test"),
            "550-5.1.1 <sales@alias.test> unknown\r\n550 5.1.1 at alias.test [upstream sess-1]\r\n");
}

TEST_F(PipelineTest, upstream_refusal_at_the_dot_passes_on) {
  auto& a = upstream("a.test");
  a.script = [](const std::string& verb, const std::string&, bool) {
    return at("dot", verb, "552 5.2.2 hidden@a.test is over quota\r\n");
  };
  rule("sales", {"hidden@a.test"});
  ready();
  EXPECT_EQ(send("sales@alias.test"), "552 5.2.2 sales@alias.test is over quota [upstream sess-1]\r\n");
}

// promise.md C.4: a second destination group has to come in a transaction of its own.
TEST_F(PipelineTest, C_4_second_group_is_put_off) {
  auto& a = upstream("a.test");
  auto& b = upstream("b.test");
  rule("one", {"x@a.test"});
  rule("two", {"y@a.test"});
  rule("three", {"z@b.test"});
  ready();
  mail();
  EXPECT_THAT(rcpt("one@alias.test"), testing::StartsWith("250 "));
  EXPECT_THAT(rcpt("one@alias.test"), testing::StartsWith("250 "));
  EXPECT_THAT(rcpt("two@alias.test"), testing::StartsWith("250 "));
  EXPECT_THAT(rcpt("three@alias.test"), testing::StartsWith("452 4.5.3 "));
  EXPECT_THAT(data(), testing::StartsWith("250 "));
  ASSERT_EQ(a.messages.size(), 1U);
  EXPECT_EQ(a.messages[0].rcpt.size(), 2U);
  EXPECT_EQ(b.connections, 0);
}

TEST_F(PipelineTest, a_refused_recipient_does_not_hold_its_group) {
  auto& a = upstream("a.test");
  auto& b = upstream("b.test");
  a.script = [](const std::string& verb, const std::string&, bool) { return at("RCPT", verb, "550 5.1.1 no\r\n"); };
  rule("one", {"x@a.test"});
  rule("two", {"y@b.test"});
  ready();
  mail();
  EXPECT_THAT(rcpt("one@alias.test"), testing::StartsWith("550 "));
  EXPECT_THAT(rcpt("two@alias.test"), testing::StartsWith("250 "));
  EXPECT_THAT(data(), testing::StartsWith("250 "));
  EXPECT_EQ(b.messages.size(), 1U);
  EXPECT_TRUE(a.messages.empty());
}

// promise.md C.4, the rows of a sender that is not ownable, for one alias with two destinations.
TEST_F(PipelineTest, C_4_alias_with_two_destinations) {
  struct Case {
    const char *a, *b;   // what each says to the dot; "" takes it
    const char* answer;  // how our answer starts
    std::size_t taken;   // copies delivered
  };
  const Case cases[] = {
      {"", "", "250 2.0.0", 2},
      {"550 5.7.0 no\r\n", "550 5.7.0 no\r\n", "550-5.7.0", 0},
      {"", "550 5.7.0 no\r\n", "554-5.6.0", 1},
      {"", "451 4.3.0 later\r\n", "451 4.3.0", 1},
      {"550 5.7.0 no\r\n", "451 4.3.0 later\r\n", "451 4.3.0", 0},
  };
  auto& a = upstream("a.test");
  auto& b = upstream("b.test");
  rule("both", {"x@a.test", "y@b.test"});
  ready();
  for (const auto& c : cases) {
    SCOPED_TRACE(std::string(c.a) + " / " + c.b);
    std::size_t taken = 0;
    const auto script = [&taken](std::string says) {
      return [&taken, says](const std::string& verb, const std::string&, bool) -> std::optional<Act> {
        if (verb != "dot") return std::nullopt;
        if (says.empty()) {
          ++taken;
          return std::nullopt;
        }
        return Act{says};
      };
    };
    a.script = script(c.a);
    b.script = script(c.b);
    EXPECT_THAT(send("both@alias.test"), testing::StartsWith(c.answer));
    EXPECT_EQ(taken, c.taken);
  }
}

// Without a ledger no copy goes out when it is known before the dot that the sender will come again.
TEST_F(PipelineTest, C_3_2_no_dot_when_a_destination_is_deferred_before_it) {
  auto& a = upstream("a.test");
  auto& b = upstream("b.test");
  b.script = [](const std::string& verb, const std::string&, bool) { return at("RCPT", verb, "450 4.2.0 busy\r\n"); };
  rule("both", {"x@a.test", "y@b.test"});
  ready();
  EXPECT_THAT(send("both@alias.test"), testing::StartsWith("450 4.2.0 "));
  EXPECT_TRUE(a.messages.empty());
}

// I3: nobody waits for our answer, so nothing may be delivered.
TEST_F(PipelineTest, I3_no_dot_when_the_client_has_left) {
  auto& a = upstream("a.test");
  rule("sales", {"x@a.test"});
  ready();
  mail();
  rcpt("sales@alias.test");
  probe_.is_gone = true;
  EXPECT_THAT(data(), testing::StartsWith("451 "));
  EXPECT_TRUE(settle([&] { return engine_.gate().count() == 0; }));
  EXPECT_TRUE(a.messages.empty());
}

// C.3.7: lost after the dot: nobody can tell, so 451 and a mark in the log.
TEST_F(PipelineTest, C_3_7_lost_after_the_dot_is_unknown) {
  auto& a = upstream("a.test");
  a.script = [](const std::string& verb, const std::string&, bool) -> std::optional<Act> {
    if (verb == "dot") return Act{"", true};
    return std::nullopt;
  };
  rule("sales", {"x@a.test"});
  ready();
  EXPECT_THAT(send("sales@alias.test"), testing::StartsWith("451 4.4.2 "));
  EXPECT_EQ(a.messages.size(), 1U);
  EXPECT_THAT(sink_.lines, HasSubstr("\"dup_possible\":true"));
}

// C.3.1: a silent upstream makes the client's RCPT wait so long and no longer; what it says counts at the dot.
TEST_F(PipelineTest, C_3_1_provisional_acceptance) {
  auto& a = upstream("a.test");
  a.script = [](const std::string& verb, const std::string&, bool) -> std::optional<Act> {
    if (verb == "RCPT") return Act{"", false, true};
    return std::nullopt;
  };
  config_->delivery.rcpt_patience = 100ms;
  config_->delivery.command_timeout = 500ms;
  config_->delivery.deadline = 1s;
  rule("sales", {"x@a.test"});
  ready();
  mail();
  EXPECT_THAT(rcpt("sales@alias.test"), testing::StartsWith("250 "));
  EXPECT_THAT(data(), testing::StartsWith("451 4.4."));
  EXPECT_TRUE(a.messages.empty());
}

TEST_F(PipelineTest, unreachable_destination_is_451) {
  resolver_.add_a("nowhere.test", "127.0.0.1");
  config_->delivery.port = 1;
  rule("sales", {"x@nowhere.test"});
  ready();
  mail();
  EXPECT_THAT(rcpt("sales@alias.test"), testing::StartsWith("451 4.4.1 "));
}

TEST_F(PipelineTest, destinations_that_cannot_be) {
  resolver_.add_mx("null.test", 0, "");
  resolver_.fail("broken.test", dns::Type::mx);
  resolver_.add_mx("self.test", 10, "mx.fwd.test");
  rule("gone", {"x@gone.test"});
  rule("null", {"x@null.test"});
  rule("broken", {"x@broken.test"});
  rule("self", {"x@self.test"});
  ready();
  mail();
  EXPECT_THAT(rcpt("gone@alias.test"), testing::StartsWith("550 5.1.2 "));
  EXPECT_THAT(rcpt("null@alias.test"), testing::StartsWith("556 5.1.10 "));
  EXPECT_THAT(rcpt("broken@alias.test"), testing::StartsWith("451 4.4.3 "));
  EXPECT_THAT(rcpt("self@alias.test"), testing::StartsWith("554 5.4.6 "));
}

// UP-13: no connection to private addresses unless the configuration allows it.
TEST_F(PipelineTest, UP_13_private_destination_is_refused) {
  resolver_.add_mx("inside.test", 10, "mx.inside.test");
  resolver_.add_a("mx.inside.test", "127.0.0.1");
  config_->delivery.private_destinations = false;
  rule("inside", {"x@inside.test"});
  ready();
  mail();
  EXPECT_THAT(rcpt("inside@alias.test"), testing::StartsWith("550 5.4.4 "));
}

TEST_F(PipelineTest, LP_01_too_many_received_fields) {
  auto& a = upstream("a.test");
  rule("sales", {"x@a.test"});
  ready();
  std::string at_limit, over;
  for (unsigned i = 0; i < config_->received_headers; ++i) at_limit += "Received: by x\r\n";
  over = at_limit + "Received: by x\r\n";
  mail();
  rcpt("sales@alias.test");
  EXPECT_THAT(data(at_limit + "\r\nx\r\n"), testing::StartsWith("250 "));
  mail();
  rcpt("sales@alias.test");
  EXPECT_THAT(data(over + "\r\nx\r\n"), testing::StartsWith("554 5.4.6 "));
  EXPECT_EQ(a.messages.size(), 1U);
}

// LP-02 and RL-07: our own keyed token ends a loop, a stranger's does not.
TEST_F(PipelineTest, LP_02_own_delivered_to_token) {
  auto& a = upstream("a.test");
  rule("sales", {"x@a.test"});
  ready();
  EXPECT_THAT(send("sales@alias.test"), testing::StartsWith("250 "));
  const std::string first = a.messages.at(0).data;
  mail();
  rcpt("sales@alias.test");
  EXPECT_THAT(data(first), testing::StartsWith("554 5.4.6 "));
  mail();
  rcpt("sales@alias.test");
  EXPECT_THAT(data("Delivered-To: fwd-aaaaaaaaaaaaaaaa@fwd.test\r\n\r\nx\r\n"), testing::StartsWith("250 "));
}

// RL-07: results that claim to be ours are cut, nothing else is touched.
TEST_F(PipelineTest, RL_07_forged_authentication_results_are_removed) {
  auto& a = upstream("a.test");
  rule("sales", {"x@a.test"});
  ready();
  mail();
  rcpt("sales@alias.test");
  const std::string keep1 = "Authentication-Results: other.test; spf=pass\r\n";
  const std::string forged = "authentication-results: (c)\r\n\tMX.fwd.test 1; dkim=pass\r\n";
  const std::string keep2 = "X-Authentication-Results: mx.fwd.test; a=b\r\n";
  EXPECT_THAT(data(forged + keep1 + forged + keep2 + "\r\nmx.fwd.test\r\n"), testing::StartsWith("250 "));
  EXPECT_THAT(a.messages.at(0).data, EndsWith("\r\n" + keep1 + keep2 + "\r\nmx.fwd.test\r\n"));
  EXPECT_THAT(a.messages.at(0).data, Not(HasSubstr("dkim=pass")));
}

TEST_F(PipelineTest, malformed_header_is_refused) {
  upstream("a.test");
  rule("sales", {"x@a.test"});
  ready();
  for (const char* text : {" folded first\r\n\r\nx\r\n", "no colon here\r\n\r\nx\r\n", "From : x@y\r\n\r\nx\r\n"}) {
    mail();
    rcpt("sales@alias.test");
    EXPECT_THAT(data(text), testing::StartsWith("550 5.6.0 ")) << text;
  }
}

// interface.md §6.25: bounces to our SRS addresses go back to the original sender.
TEST_F(PipelineTest, srs_bounce_goes_back) {
  auto& sender = upstream("sender.test");
  auto& a = upstream("a.test");
  rule("sales", {"x@a.test"});
  ready();
  send("sales@alias.test");
  const auto mail_line = a.messages.at(0).mail;
  const auto open = mail_line.find('<');
  const auto srs = mail_line.substr(open + 1, mail_line.find('>') - open - 1);
  mail("");
  EXPECT_THAT(rcpt(srs), testing::StartsWith("250 "));
  EXPECT_THAT(data(), testing::StartsWith("250 "));
  ASSERT_EQ(sender.messages.size(), 1U);
  EXPECT_THAT(sender.messages[0].mail, testing::StartsWith("MAIL FROM:<>"));
  EXPECT_THAT(sender.messages[0].rcpt.at(0), HasSubstr("<alice@sender.test>"));
  // RL-11: an ordinary sender may not use it.
  mail("bob@sender.test");
  EXPECT_THAT(rcpt(srs), testing::StartsWith("550 5.7.1 "));
}

// RL-08: forged hashes are refused, and after twenty the client has to go.
TEST_F(PipelineTest, RL_08_forged_srs) {
  ready();
  mail("");
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(rcpt("SRS0=AAAAAAAA=AA=sender.test=alice@fwd.test"), testing::StartsWith("550 5.1.1 "));
  }
  EXPECT_THAT(rcpt("SRS0=AAAAAAAA=AA=sender.test=alice@fwd.test"), testing::StartsWith("421 4.7.0 "));
}

// RS-06: no room is said before the data, and nothing is kept.
TEST_F(PipelineTest, RS_06_no_room_is_452) {
  upstream("a.test");
  rule("sales", {"x@a.test"});
  ready();
  mail();
  rcpt("sales@alias.test");
  const auto hog = memory_.take(memory_.limit());
  EXPECT_THAT(data(), testing::StartsWith("452 4.3.1 "));
  EXPECT_THAT(mail(), testing::StartsWith("452 4.3.1 "));
}

// RS-08: a client that sends nearly all and then breaks off leaves nothing behind, however often.
TEST_F(PipelineTest, RS_08_broken_off_messages_give_everything_back) {
  auto& a = upstream("a.test");
  config_->spill_above = 1000;
  rule("sales", {"x@a.test"});
  ready();
  for (int i = 0; i < 20; ++i) {
    mail();
    ASSERT_THAT(rcpt("sales@alias.test"), testing::StartsWith("250 "));
    ASSERT_FALSE(transaction_->begin_data());
    transaction_->inbox() += "Subject: big\r\n\r\n";
    for (int slice = 0; slice < 12; ++slice) {
      transaction_->inbox() += std::string(60'000, 'x');
      if (transaction_->absorb() != forwarder::Transaction::Absorb::spill) continue;
      run([](forwarder::Transaction& t) -> net::Awaitable<int> {
        co_await t.spill();
        co_return 0;
      }(*transaction_));
    }
    EXPECT_GT(memory_.used() + disk_.used(), 500'000U);
    transaction_.reset();
    EXPECT_EQ(memory_.used() + disk_.used(), 0U);
    ASSERT_TRUE(settle([&] { return engine_.gate().count() == 0; }));
  }
  EXPECT_TRUE(a.messages.empty());
}

// A message beyond spill_above goes to disk and out again octet for octet.
TEST_F(PipelineTest, spilled_message_arrives_whole) {
  auto& a = upstream("a.test");
  config_->spill_above = 1000;
  rule("sales", {"x@a.test"});
  ready();
  mail();
  rcpt("sales@alias.test");
  ASSERT_FALSE(transaction_->begin_data());
  std::string text = "Subject: big\r\n\r\n";
  for (int i = 0; text.size() < 900'000; ++i) text += ".line " + std::to_string(i) + "\r\n";
  for (std::size_t at = 0; at < text.size(); at += 60'000) {
    transaction_->inbox() += text.substr(at, 60'000);
    if (transaction_->absorb() == forwarder::Transaction::Absorb::spill) {
      run([](forwarder::Transaction& t) -> net::Awaitable<int> {
        co_await t.spill();
        co_return 0;
      }(*transaction_));
    }
  }
  EXPECT_THAT(run(transaction_->end_of_data(probe_)).to_wire(), testing::StartsWith("250 "));
  ASSERT_EQ(a.messages.size(), 1U);
  EXPECT_TRUE(a.messages[0].data.ends_with(text));
  EXPECT_EQ(metrics_.get(core::Counter::spilled_messages), 1U);
  transaction_.reset();
  EXPECT_TRUE(settle([&] { return engine_.gate().count() == 0; }));
  EXPECT_EQ(disk_.used(), 0U);
}

}  // namespace
