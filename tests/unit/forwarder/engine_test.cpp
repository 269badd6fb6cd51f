// The engine against a scripted server on real sockets: every stage's answers and failures, leases, reuse, families.
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "forwarder/engine.hpp"
#include "forwarder/fake_upstream.hpp"
#include "net/spool.hpp"

namespace {

using forwarder::Delivery;
using mail::Fate;
using namespace std::chrono_literals;

class EngineTest : public ::testing::Test {
 protected:
  EngineTest() { config_ = std::make_shared<forwarder::Config>(base_config()); }
  // Attempts that were let go of still have a session to give back.
  ~EngineTest() override { start_anew(); }
  void start_anew() {
    EXPECT_TRUE(settle([&] { return engine_.gate().count() == 0; })) << "an attempt never ended";
    engine_.reset();
    config_ = std::make_shared<forwarder::Config>(base_config());
  }

  test::FakeUpstream& add(const std::string& address, std::uint16_t port = 0) {
    upstreams_.push_back(std::make_unique<test::FakeUpstream>(context_, address, port));
    return *upstreams_.back();
  }

  forwarder::Config base_config() {
    forwarder::Config config;
    config.hostname = "mx.fwd.test";
    config.delivery.connect_timeout = 2s;
    config.delivery.command_timeout = 2s;
    config.delivery.dot_timeout = 2s;
    config.delivery.deadline = 8s;
    config.delivery.race_after = 200ms;
    return config;
  }

  void route_to(std::vector<std::string> via, forwarder::Protocol protocol = forwarder::Protocol::smtp) {
    forwarder::NextHopRoute route;
    route.domain = "dest.test";
    route.protocol = protocol;
    for (const auto& text : via) {
      const auto where = core::HostPort::parse(text);
      forwarder::NextHopRoute::Via one;
      one.host = where->host;
      one.port = where->port;
      route.via.push_back(one);
    }
    config_->next_hops.push_back(route);
  }

  Delivery start() {
    forwarder::Order order;
    order.config = config_;
    order.target = forwarder::target_for(*config_, "dest.test");
    order.from.mailbox = {"SRS0=x", "fwd.test"};
    order.client = *core::IpAddress::parse("192.0.2.1");
    return engine_.start(std::move(order), log_);
  }

  static mail::Mailbox to(const std::string& local) { return mail::Mailbox{local, "dest.test"}; }

  std::shared_ptr<const forwarder::Parcel> parcel(const std::string& text = "Subject: x\r\n\r\n.hello\r\n") {
    auto content = std::make_unique<mail::Content>();
    content->head = text;
    mail::Message message;
    message.prefix = "Received: by us\r\n";
    return std::make_shared<const forwarder::ReceivedParcel>(std::move(message), std::move(content), spool_);
  }

  static core::Deadline limit() { return core::Deadline::after(10s); }

  // Runs the coroutine to its end; fails the test when that takes too long.
  void run(net::Awaitable<void> work) {
    bool done = false;
    std::exception_ptr thrown;
    boost::asio::co_spawn(context_, std::move(work), [&](const std::exception_ptr& error) {
      thrown = error;
      done = true;
    });
    const auto end = core::Deadline::after(30s);
    while (!done && !end.passed()) context_.run_one_for(100ms);
    if (thrown) std::rethrow_exception(thrown);
    ASSERT_TRUE(done) << "timed out";
  }
  // Lets the context work until `condition` holds.
  template <class Condition>
  bool settle(Condition condition) {
    const auto end = core::Deadline::after(10s);
    while (!condition() && !end.passed()) context_.run_one_for(20ms);
    return condition();
  }

  // The whole way for one recipient; what became of it.
  net::Awaitable<void> deliver(mail::Outcome& outcome, std::shared_ptr<const forwarder::Parcel> what) {
    auto delivery = start();
    const auto index = delivery.add_recipient(to("a"));
    const auto verdict = co_await delivery.recipient_verdict(index, limit());
    EXPECT_TRUE(verdict.has_value());
    if (!verdict || verdict->fate != Fate::delivered) {
      if (verdict) outcome = *verdict;
      co_return;
    }
    delivery.begin_body(std::move(what), false);
    EXPECT_TRUE(co_await delivery.ready(limit()));
    if (delivery.wants_dot()) delivery.send_dot();
    const auto outcomes = co_await delivery.wait(limit());
    EXPECT_TRUE(outcomes.has_value());
    if (outcomes) outcome = outcomes->front();
    if (delivery.other_family_may_help()) {
      delivery.retry_other_family();
      EXPECT_TRUE(co_await delivery.ready(limit()));
      if (delivery.wants_dot()) delivery.send_dot();
      const auto again = co_await delivery.wait(limit());
      EXPECT_TRUE(again.has_value());
      if (again) outcome = again->front();
    }
  }
  mail::Outcome deliver(const std::string& text = "Subject: x\r\n\r\n.hello\r\n") {
    mail::Outcome outcome;
    run(deliver(outcome, parcel(text)));
    return outcome;
  }

  boost::asio::io_context context_{1};
  std::vector<std::unique_ptr<test::FakeUpstream>> upstreams_;
  std::shared_ptr<forwarder::Config> config_;
  dns::ZoneResolver resolver_;
  net::Spool spool_{"/tmp", 1};
  forwarder::Slots slots_;
  core::SeededRandom random_{1};
  core::Metrics metrics_;
  core::NullSink sink_;
  core::Log log_{sink_, core::LogFormat::text, core::LogLevel::error};
  forwarder::Engine engine_{context_.get_executor(), resolver_, slots_, random_, metrics_};
};

using Act = test::FakeUpstream::Act;

std::string at(const test::FakeUpstream& upstream, const std::string& address) {
  return address + ":" + std::to_string(upstream.port());
}

TEST_F(EngineTest, delivers_by_data_octet_for_octet) {
  auto& upstream = add("127.0.0.1");
  route_to({at(upstream, "127.0.0.1")});
  const auto outcome = deliver();
  EXPECT_EQ(outcome.fate, Fate::delivered);
  EXPECT_EQ(outcome.address, at(upstream, "127.0.0.1"));
  ASSERT_EQ(upstream.messages.size(), 1U);
  EXPECT_EQ(upstream.messages[0].data, "Received: by us\r\nSubject: x\r\n\r\n.hello\r\n");
  EXPECT_EQ(upstream.messages[0].mail.substr(0, 26), "MAIL FROM:<SRS0=x@fwd.test");
}

TEST_F(EngineTest, delivers_by_chunks) {
  auto& upstream = add("127.0.0.1");
  upstream.ehlo = "PIPELINING\nCHUNKING";
  route_to({at(upstream, "127.0.0.1")});
  std::string text = "Subject: big\r\n\r\n";
  while (text.size() < 700'000) text += ".0123456789012345678901234567890123456789\r\n";
  EXPECT_EQ(deliver(text).fate, Fate::delivered);
  ASSERT_EQ(upstream.messages.size(), 1U);
  EXPECT_TRUE(upstream.messages[0].data == "Received: by us\r\n" + text);
  EXPECT_GT(upstream.count("BDAT"), 1U);
  EXPECT_EQ(deliver().fate, Fate::delivered);  // small: one BDAT LAST
  EXPECT_EQ(upstream.connections, 1);
}

TEST_F(EngineTest, large_message_by_data) {
  auto& upstream = add("127.0.0.1");
  route_to({at(upstream, "127.0.0.1")});
  std::string text = "Subject: big\r\n\r\n";
  while (text.size() < 700'000) text += "..0123456789\r\n.\r\nabc\r\n";
  EXPECT_EQ(deliver(text).fate, Fate::delivered);
  ASSERT_EQ(upstream.messages.size(), 1U);
  EXPECT_TRUE(upstream.messages[0].data == "Received: by us\r\n" + text);
}

TEST_F(EngineTest, sessions_are_kept_and_used_again) {
  auto& upstream = add("127.0.0.1");
  route_to({at(upstream, "127.0.0.1")});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(deliver().fate, Fate::delivered);
  EXPECT_EQ(upstream.connections, 1);
  EXPECT_EQ(upstream.count("RSET"), 0U);
  EXPECT_EQ(metrics_.get(core::Counter::upstream_reused), 2U);
}

// UP-14: what stands unread in a kept session makes it useless.
TEST_F(EngineTest, UP_14_session_out_of_step_is_dropped) {
  auto& upstream = add("127.0.0.1");
  upstream.script = [](const std::string& verb, const std::string&, bool) -> std::optional<Act> {
    if (verb == "dot") return Act{"250 ok\r\n250 ghost\r\n"};
    return std::nullopt;
  };
  route_to({at(upstream, "127.0.0.1")});
  for (int i = 0; i < 2; ++i) {
    const auto outcome = deliver();
    EXPECT_NE(outcome.fate, Fate::failed);
  }
  EXPECT_EQ(upstream.connections, 2);
}

// What was opened under the old configuration does not come back into the pool after a reload.
TEST_F(EngineTest, OP_01_reload_ends_kept_sessions) {
  auto& upstream = add("127.0.0.1");
  route_to({at(upstream, "127.0.0.1")});
  {
    auto delivery = start();
    delivery.add_recipient(to("a"));
    ASSERT_TRUE(settle([&] { return delivery.known(0).has_value(); }));
    engine_.reset();
  }
  ASSERT_TRUE(settle([&] { return engine_.gate().count() == 0; }));
  EXPECT_EQ(engine_.pool().size(), 0U);
}

TEST_F(EngineTest, kept_session_that_died_costs_nothing) {
  auto& upstream = add("127.0.0.1");
  int mails = 0;
  upstream.script = [&mails](const std::string& verb, const std::string&, bool) -> std::optional<Act> {
    if (verb == "MAIL" && ++mails == 2) return Act{"", true};
    return std::nullopt;
  };
  route_to({at(upstream, "127.0.0.1")});
  EXPECT_EQ(deliver().fate, Fate::delivered);
  EXPECT_EQ(deliver().fate, Fate::delivered);
  EXPECT_EQ(upstream.connections, 2);
}

TEST_F(EngineTest, refusals_pass_on_at_each_stage) {
  struct Case {
    const char *verb, *octets;
    Fate fate;
    int code;
  };
  const Case cases[] = {
      {"RCPT", "550 5.1.1 no such user\r\n", Fate::failed, 550},
      {"RCPT", "450 4.2.0 busy\r\n", Fate::deferred, 450},
      {"RCPT", "452-4.2.2 full\r\n452 4.2.2 really\r\n", Fate::deferred, 452},
      {"DATA", "554 5.7.1 no\r\n", Fate::failed, 554},
      {"dot", "552 5.2.2 over quota\r\n", Fate::failed, 552},
      {"dot", "451 4.3.0 later\r\n", Fate::deferred, 451},
      {"dot", "421 4.3.2 closing\r\n", Fate::deferred, 451},
      {"MAIL", "550 5.1.8 bad sender\r\n", Fate::failed, 550},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(std::string(c.verb) + " " + c.octets);
    start_anew();
    auto& upstream = add("127.0.0.1");
    const std::string verb = c.verb, octets = c.octets;
    upstream.script = [verb, octets](const std::string& v, const std::string&, bool) -> std::optional<Act> {
      if (v == verb || (verb == "DATA" && v == "DATA?")) return Act{octets};
      return std::nullopt;
    };
    route_to({at(upstream, "127.0.0.1")});
    const auto outcome = deliver();
    EXPECT_EQ(outcome.fate, c.fate);
    EXPECT_EQ(outcome.reply.code, c.code);
    EXPECT_TRUE(outcome.from_peer);
  }
}

// Every stage, every way to fail: the outcome is defined, never "delivered", and never a 5xx out of thin air.
TEST_F(EngineTest, UP_11_failure_at_every_step) {
  for (const char* verb : {"connect", "EHLO", "MAIL", "RCPT", "DATA", "dot"}) {
    for (const char* how : {"close", "silent", "garbage", "half"}) {
      SCOPED_TRACE(std::string(verb) + " " + how);
      start_anew();
      config_->delivery.command_timeout = 150ms;
      config_->delivery.dot_timeout = 150ms;
      auto& upstream = add("127.0.0.1");
      const std::string wanted = verb, way = how;
      upstream.script = [wanted, way](const std::string& v, const std::string&, bool) -> std::optional<Act> {
        if (v != wanted) return std::nullopt;
        if (way == "close") return Act{"", true};
        if (way == "silent") return Act{"", false, true};
        if (way == "garbage") return Act{"2x0 what\r\n"};
        return Act{"250-half\r\n", true};
      };
      route_to({at(upstream, "127.0.0.1")});
      const auto outcome = deliver();
      EXPECT_NE(outcome.fate, Fate::delivered);
      EXPECT_NE(outcome.fate, Fate::failed);
      EXPECT_EQ(outcome.fate == Fate::unknown, wanted == "dot");
      EXPECT_EQ(outcome.reply.code, 451);
    }
  }
}

// UP-10: an acceptance before the dot is none.
TEST_F(EngineTest, UP_10_early_acceptance_does_not_count) {
  auto& upstream = add("127.0.0.1");
  upstream.script = [](const std::string& verb, const std::string&, bool) -> std::optional<Act> {
    if (verb == "DATA") return Act{"354 go\r\n250 taken already\r\n"};
    return std::nullopt;
  };
  route_to({at(upstream, "127.0.0.1")});
  const auto outcome = deliver();
  EXPECT_EQ(outcome.fate, Fate::deferred);
  EXPECT_EQ(outcome.reply.code, 451);
  EXPECT_TRUE(upstream.messages.empty());
}

TEST_F(EngineTest, next_address_after_refused_connection_or_greeting) {
  auto& bad = add("127.0.0.1");
  auto& good = add("127.0.0.1");
  bad.script = [](const std::string& verb, const std::string&, bool) -> std::optional<Act> {
    if (verb == "connect") return Act{"554 5.7.1 go away\r\n", true};
    return std::nullopt;
  };
  route_to({"127.0.0.1:1", at(bad, "127.0.0.1"), at(good, "127.0.0.1")});
  EXPECT_EQ(deliver().fate, Fate::delivered);
  EXPECT_EQ(good.messages.size(), 1U);
  EXPECT_EQ(metrics_.get(core::Counter::upstream_about_us), 1U);
}

// UP-07: what is said of us in the greeting never becomes a 5xx for the sender.
TEST_F(EngineTest, UP_07_greeting_refusal_is_temporary) {
  auto& bad = add("127.0.0.1");
  bad.script = [](const std::string& verb, const std::string&, bool) -> std::optional<Act> {
    if (verb == "connect") return Act{"554 5.7.1 you are listed\r\n", true};
    return std::nullopt;
  };
  route_to({at(bad, "127.0.0.1")});
  const auto outcome = deliver();
  EXPECT_EQ(outcome.fate, Fate::deferred);
  EXPECT_EQ(outcome.reply.code, 451);
  EXPECT_EQ(outcome.reply.enhanced, (mail::EnhancedCode{4, 4, 0}));
}

class FamilyTest : public EngineTest {
 protected:
  // Both families on one port; IPv6 says `octets` at `verb`.
  void both(const std::string& verb, const std::string& octets) {
    six_ = &add("::1");
    four_ = &add("127.0.0.1", six_->port());
    six_->script = [verb, octets](const std::string& v, const std::string&, bool) -> std::optional<Act> {
      if (v == verb) return Act{octets};
      return std::nullopt;
    };
    resolver_.add_mx("dest.test", 10, "mx.dest.test");
    resolver_.add_a("mx.dest.test", "::1");
    resolver_.add_a("mx.dest.test", "127.0.0.1");
    config_->delivery.port = six_->port();
    config_->delivery.private_destinations = true;
  }
  test::FakeUpstream *six_ = nullptr, *four_ = nullptr;
};

TEST_F(FamilyTest, ipv6_is_first) {
  both("none", "");
  EXPECT_EQ(deliver().fate, Fate::delivered);
  EXPECT_EQ(six_->messages.size(), 1U);
  EXPECT_EQ(four_->connections, 0);
}

// interface.md §6.8: a refusal of the IPv6 address, at any stage, is answered by IPv4 in the same session.
TEST_F(FamilyTest, ipv6_refusal_is_retried_over_ipv4_at_each_stage) {
  for (const char* verb : {"connect", "MAIL", "RCPT", "dot"}) {
    SCOPED_TRACE(verb);
    start_anew();
    resolver_ = dns::ZoneResolver();
    both(verb,
         "550-5.7.1 [::1] Our system has detected that this message does not meet IPv6 sending\r\n"
         "550 5.7.1 guidelines regarding PTR records\r\n");
    EXPECT_EQ(deliver().fate, Fate::delivered);
    EXPECT_EQ(four_->messages.size(), 1U);
    // Remembered: IPv6 is not asked again.
    const int before = six_->connections;
    EXPECT_EQ(deliver().fate, Fate::delivered);
    EXPECT_EQ(six_->connections, before);
    EXPECT_EQ(engine_.ipv4_only_targets().size(), 1U);
    engine_.reset();
    EXPECT_TRUE(engine_.ipv4_only_targets().empty());
  }
}

TEST_F(FamilyTest, refusal_of_the_only_family_passes_on) {
  six_ = &add("::1");
  six_->script = [](const std::string& v, const std::string&, bool) -> std::optional<Act> {
    if (v == "dot") return Act{"550 5.7.25 no PTR\r\n"};
    return std::nullopt;
  };
  resolver_.add_a("dest.test", "::1");
  config_->delivery.port = six_->port();
  config_->delivery.private_destinations = true;
  const auto outcome = deliver();
  EXPECT_EQ(outcome.fate, Fate::failed);
  EXPECT_EQ(outcome.reply.code, 550);
  EXPECT_EQ(outcome.reply.enhanced, (mail::EnhancedCode{5, 7, 25}));
}

// promise.md C.3.2: a quiet client's upstream transaction is reset, and repeated when the body comes.
TEST_F(EngineTest, C_3_2_lease_is_given_back_and_taken_again) {
  auto& upstream = add("127.0.0.1");
  route_to({at(upstream, "127.0.0.1")});
  config_->delivery.lease = 50ms;
  auto delivery = start();
  const auto index = delivery.add_recipient(to("a"));
  run([](Delivery& d, std::size_t i) -> net::Awaitable<void> {
    const auto verdict = co_await d.recipient_verdict(i, limit());
    EXPECT_TRUE(verdict && verdict->fate == Fate::delivered);
  }(delivery, index));
  ASSERT_TRUE(settle([&] { return upstream.count("RSET") == 1 && engine_.pool().size() == 1; }));
  run([](Delivery& d, std::shared_ptr<const forwarder::Parcel> p) -> net::Awaitable<void> {
    d.begin_body(std::move(p), false);
    EXPECT_TRUE(co_await d.ready(limit()));
    d.send_dot();
    const auto outcomes = co_await d.wait(limit());
    EXPECT_TRUE(outcomes && outcomes->front().fate == Fate::delivered);
  }(delivery, parcel()));
  EXPECT_EQ(upstream.count("MAIL"), 2U);
  EXPECT_EQ(upstream.connections, 1);
}

// I3: without a dot no copy exists.
TEST_F(EngineTest, abort_before_the_dot_leaves_nothing) {
  auto& upstream = add("127.0.0.1");
  route_to({at(upstream, "127.0.0.1")});
  {
    auto delivery = start();
    delivery.add_recipient(to("a"));
    run([](Delivery& d, std::shared_ptr<const forwarder::Parcel> p) -> net::Awaitable<void> {
      const auto verdict = co_await d.recipient_verdict(0, limit());
      EXPECT_TRUE(verdict.has_value());
      d.begin_body(std::move(p), false);
      EXPECT_TRUE(co_await d.ready(limit()));
    }(delivery, parcel()));
  }
  EXPECT_TRUE(settle([&] { return engine_.gate().count() == 0; }));
  EXPECT_TRUE(upstream.messages.empty());
}

// I4: a dropped Delivery's attempt goes on after the dot until the answer is in.
TEST_F(EngineTest, I4_after_the_dot_the_attempt_goes_on) {
  auto& upstream = add("127.0.0.1");
  route_to({at(upstream, "127.0.0.1")});
  {
    auto delivery = start();
    delivery.add_recipient(to("a"));
    run([](Delivery& d, std::shared_ptr<const forwarder::Parcel> p) -> net::Awaitable<void> {
      static_cast<void>(co_await d.recipient_verdict(0, limit()));
      d.begin_body(std::move(p), false);
      EXPECT_TRUE(co_await d.ready(limit()));
      d.send_dot();
      const auto none = co_await d.wait(core::Deadline::after(0s));
      EXPECT_FALSE(none.has_value());
    }(delivery, parcel()));
    EXPECT_EQ(delivery.outcomes_so_far().front().fate == Fate::late ||
                  delivery.outcomes_so_far().front().fate == Fate::deferred,
              true);
    ASSERT_TRUE(settle([&] { return !upstream.messages.empty(); }));
  }
  EXPECT_TRUE(settle([&] { return engine_.gate().count() == 0; }));
  EXPECT_EQ(upstream.messages.size(), 1U);
}

// LMTP answers for each recipient (RFC 2033 §4.2).
TEST_F(EngineTest, lmtp_answers_each_recipient) {
  auto& upstream = add("127.0.0.1");
  upstream.script = [](const std::string& verb, const std::string&, bool) -> std::optional<Act> {
    if (verb == "dot") return Act{"250 2.0.0 a\r\n452 4.2.2 b is full\r\n"};
    return std::nullopt;
  };
  route_to({at(upstream, "127.0.0.1")}, forwarder::Protocol::lmtp);
  auto delivery = start();
  delivery.add_recipient(to("a"));
  delivery.add_recipient(to("b"));
  std::vector<mail::Outcome> outcomes;
  run([](Delivery& d, std::shared_ptr<const forwarder::Parcel> p,
         std::vector<mail::Outcome>& out) -> net::Awaitable<void> {
    static_cast<void>(co_await d.recipient_verdict(1, limit()));
    d.begin_body(std::move(p), false);
    EXPECT_TRUE(co_await d.ready(limit()));
    d.send_dot();
    if (const auto got = co_await d.wait(limit())) out = *got;
  }(delivery, parcel(), outcomes));
  ASSERT_EQ(outcomes.size(), 2U);
  EXPECT_EQ(outcomes[0].fate, Fate::delivered);
  EXPECT_EQ(outcomes[1].fate, Fate::deferred);
  EXPECT_EQ(upstream.count("LHLO"), 1U);
}

// C.3.2: who only sends data lends its session to who waits, long before the lease is over.
TEST_F(EngineTest, C_3_2_data_lends_the_session_to_who_waits) {
  auto& upstream = add("127.0.0.1");
  route_to({at(upstream, "127.0.0.1")});
  config_->delivery.connections_per_destination = 4;  // one a client
  config_->delivery.lease = 60s;
  auto first = start(), second = start();
  first.add_recipient(to("a"));
  ASSERT_TRUE(settle([&] { return first.known(0).has_value(); }));
  first.data_begun();
  second.add_recipient(to("b"));
  EXPECT_TRUE(settle([&] { return second.known(0).has_value(); }));
  EXPECT_TRUE(settle([&] { return upstream.count("RSET") == 1; }));
}

// interface.md §6.22: a source address that was refused as such is not the first choice any more.
TEST_F(EngineTest, marked_source_is_avoided) {
  auto& upstream = add("127.0.0.1");
  std::vector<std::string> helos;
  upstream.script = [&helos](const std::string& verb, const std::string& line, bool) -> std::optional<Act> {
    if (verb == "EHLO") helos.push_back(line);
    if (verb == "MAIL" && helos.back() == "EHLO one.test") return Act{"550 5.7.1 127.0.0.2 is listed\r\n"};
    return std::nullopt;
  };
  route_to({at(upstream, "127.0.0.1")});
  config_->delivery.source_ipv4 = {{*core::IpAddress::parse("127.0.0.2"), "one.test"}};
  EXPECT_EQ(deliver().reply.code, 451);
  EXPECT_EQ(engine_.marked_sources().list().size(), 1U);
  config_->delivery.source_ipv4.push_back({*core::IpAddress::parse("127.0.0.3"), "two.test"});
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(deliver().fate, Fate::delivered);
    engine_.pool().clear();
  }
  EXPECT_EQ(std::count(helos.begin(), helos.end(), "EHLO one.test"), 1);
}

// RS-12: a tarpitting destination holds so many connections and no more; a quarter of them for one client.
TEST_F(EngineTest, RS_12_shares_of_one_client_are_bounded) {
  auto& upstream = add("127.0.0.1");
  route_to({at(upstream, "127.0.0.1")});
  config_->delivery.connections_per_destination = 8;
  std::vector<Delivery> deliveries;
  for (int i = 0; i < 6; ++i) {
    deliveries.push_back(start());
    deliveries.back().add_recipient(to("a"));
  }
  ASSERT_TRUE(settle([&] { return upstream.count("RCPT") == 2; }));
  run([](std::vector<Delivery>& d) -> net::Awaitable<void> {
    const auto third = co_await d[2].recipient_verdict(0, core::Deadline::after(100ms));
    EXPECT_FALSE(third.has_value());
  }(deliveries));
  EXPECT_EQ(upstream.count("RCPT"), 2U);
  deliveries[0].abort();  // somebody else's turn
  EXPECT_TRUE(settle([&] { return upstream.count("RCPT") == 3; }));
}

}  // namespace
