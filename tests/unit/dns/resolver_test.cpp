// The resolver against small servers in the same io_context, which answer, lie, cut, stall and forge.
#include "dns/resolver.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>

#include "net/support.hpp"
#include "wire.hpp"

namespace dns {
namespace {

using namespace testing;
using namespace std::chrono_literals;
using core::Counter;
using core::Deadline;
using net::Awaitable;
using net::testing::eventually;
using net::testing::run;
using net::testing::soon;
using ::testing::ElementsAre;
namespace asio = boost::asio;
using asio::ip::udp;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

Awaitable<Answer> lookup(Resolver& resolver, std::string name, Deadline deadline, Type type = Type::a) {
  Question question;
  question.name = std::move(name);
  question.type = type;
  co_return co_await resolver.resolve(std::move(question), deadline);
}

// One DNS server on loopback, UDP and TCP on one port. `handle` says what goes back, packet by packet.
class FakeServer {
 public:
  using Handler = std::function<std::vector<std::string>(const Query&)>;

  FakeServer(asio::io_context& context, Handler handle)
      : handle_(std::move(handle)), udp_(context), acceptor_(context) {
    // A port that is free for both; others may be using TCP on one the kernel gives for UDP.
    boost::system::error_code ec = asio::error::address_in_use;
    for (int i = 0; i < 100 && ec; ++i) {
      udp_ = udp::socket(context, udp::endpoint(asio::ip::address_v4::loopback(), 0));
      acceptor_ = asio::ip::tcp::acceptor(context, asio::ip::tcp::v4());
      acceptor_.bind({asio::ip::address_v4::loopback(), udp_.local_endpoint().port()}, ec);
    }
    acceptor_.listen();
    asio::co_spawn(context, serve_udp(*this), asio::detached);
    asio::co_spawn(context, serve_tcp(*this), asio::detached);
  }
  core::HostPort address() const { return {"127.0.0.1", udp_.local_endpoint().port()}; }
  udp::socket& socket() { return udp_; }

  std::vector<Query> queries;
  udp::endpoint last_client;

 private:
  static Awaitable<void> serve_udp(FakeServer& self) {
    std::array<char, 2000> octets;
    for (;;) {
      udp::endpoint from;
      const auto [ec, n] = co_await self.udp_.async_receive_from(asio::buffer(octets), from, kAwait);
      if (ec) co_return;
      auto query = parse_query({octets.data(), n});
      query.from_port = from.port();
      self.last_client = from;
      self.queries.push_back(query);
      for (const auto& packet : self.handle_(query)) self.udp_.send_to(asio::buffer(packet), from);
    }
  }
  static Awaitable<void> serve_tcp(FakeServer& self) {
    for (;;) {
      auto [ec, socket] = co_await self.acceptor_.async_accept(kAwait);
      if (ec) co_return;
      std::string octets(2, '\0');
      const auto [head_ec, head_n] = co_await asio::async_read(socket, asio::buffer(octets), kAwait);
      if (head_ec) continue;
      octets.assign(get16(octets, 0), '\0');
      const auto [body_ec, body_n] = co_await asio::async_read(socket, asio::buffer(octets), kAwait);
      if (body_ec) continue;
      auto query = parse_query(octets);
      query.tcp = true;
      self.queries.push_back(query);
      const auto packets = self.handle_(query);
      if (packets.empty()) {  // silent, but connected
        self.silent_.push_back(std::move(socket));
        continue;
      }
      for (const auto& packet : packets) {
        const auto framed = u16(static_cast<unsigned>(packet.size())) + packet;
        // In two halves, so that the reader sees a partial message.
        co_await asio::async_write(socket, asio::buffer(framed.data(), framed.size() / 2), kAwait);
        asio::steady_timer pause(socket.get_executor(), 1ms);
        co_await pause.async_wait(kAwait);
        co_await asio::async_write(
            socket, asio::buffer(framed.data() + framed.size() / 2, framed.size() - framed.size() / 2), kAwait);
      }
    }
  }

  Handler handle_;
  udp::socket udp_;
  asio::ip::tcp::acceptor acceptor_;
  std::vector<net::Socket> silent_;
};

std::vector<std::string> answer_a(const Query& query, const std::string& ip = "192.0.2.1", std::uint32_t ttl = 300) {
  auto message = reply_to(query);
  message.answer = {a(query.name, ip, ttl)};
  return {message.wire()};
}
std::vector<std::string> answer_rcode(const Query& query, unsigned rcode) {
  auto message = reply_to(query);
  message.rcode = rcode;
  return {message.wire()};
}
std::vector<std::string> silence() {
  return {};
}

class ResolverTest : public ::testing::Test {
 protected:
  FakeServer& serve(FakeServer::Handler handler) {
    servers.push_back(std::make_unique<FakeServer>(context, std::move(handler)));
    settings.servers.push_back(servers.back()->address());
    return *servers.back();
  }
  LdnsResolver& resolver() {
    if (!resolver_) resolver_.emplace(context.get_executor(), settings, random, metrics, clock);
    return *resolver_;
  }
  Answer ask(const std::string& name, Type type = Type::a, Deadline deadline = soon()) {
    Answer answer;
    run(context, [&]() -> Awaitable<void> { answer = co_await lookup(resolver(), name, deadline, type); });
    return answer;
  }

  asio::io_context context{1};
  core::SystemRandom random;
  core::Metrics metrics;
  core::ManualClock clock;
  ResolverSettings settings;
  std::vector<std::unique_ptr<FakeServer>> servers;
  std::optional<LdnsResolver> resolver_;
};  // namespace

TEST_F(ResolverTest, asks_and_answers) {
  auto& server = serve([](const Query& q) { return answer_a(q); });
  const auto answer = ask("MX.Example.");
  EXPECT_EQ(answer.status, Status::ok);
  EXPECT_THAT(answer.addresses, ElementsAre(*core::IpAddress::parse("192.0.2.1")));
  EXPECT_EQ(answer.ttl, 300U);
  ASSERT_EQ(server.queries.size(), 1U);
  EXPECT_EQ(server.queries[0].name, "mx.example");
  EXPECT_TRUE(server.queries[0].edns);
  EXPECT_EQ(metrics.get(Counter::dns_queries), 1U);
}

TEST_F(ResolverTest, names_that_cannot_be_asked_cost_no_query) {
  auto& server = serve([](const Query& q) { return answer_a(q); });
  for (const auto& name : {std::string(), std::string("."), std::string("a..b"), std::string("a\tb"),
                           std::string("a\0b", 3), std::string(64, 'a'), std::string("\xc3\xa4.example")}) {
    EXPECT_EQ(ask(name).status, Status::nx_domain) << name;
  }
  EXPECT_TRUE(server.queries.empty());
}

TEST_F(ResolverTest, negative_answers) {
  serve([](const Query& q) {
    auto message = reply_to(q);
    message.rcode = q.name == "gone.example" ? 3 : 0;
    message.authority = {soa("example", 60, 60)};
    return std::vector{message.wire()};
  });
  EXPECT_EQ(ask("gone.example").status, Status::nx_domain);
  EXPECT_EQ(ask("here.example").status, Status::no_data);
}

TEST_F(ResolverTest, the_cache_answers_until_the_ttl_ends) {
  auto& server = serve([](const Query& q) { return answer_a(q, "192.0.2.1", 60); });
  EXPECT_EQ(ask("mx.example").ttl, 60U);
  clock.advance(59s);
  EXPECT_EQ(ask("mx.example").ttl, 1U);
  EXPECT_EQ(server.queries.size(), 1U);
  EXPECT_EQ(metrics.get(Counter::dns_cache_hits), 1U);
  clock.advance(1s);
  EXPECT_EQ(ask("mx.example").ttl, 60U);
  EXPECT_EQ(server.queries.size(), 2U);
  resolver().flush_cache();
  ask("mx.example");
  EXPECT_EQ(server.queries.size(), 3U);
  ask("mx.example", Type::aaaa);  // another question (and the server's A record is none of its)
  EXPECT_EQ(server.queries.size(), 4U);
}

TEST_F(ResolverTest, negative_answers_and_failures_are_cached_shortly) {
  auto& server = serve([](const Query& q) {
    auto message = reply_to(q);
    message.rcode = q.name == "fails.example" ? 2 : 3;
    message.authority = {soa("example", 7200, 7200)};
    return std::vector{message.wire()};
  });
  EXPECT_EQ(ask("gone.example").status, Status::nx_domain);
  clock.advance(899s);
  EXPECT_EQ(ask("gone.example").status, Status::nx_domain);
  EXPECT_EQ(server.queries.size(), 1U);
  clock.advance(1s);
  ask("gone.example");
  EXPECT_EQ(server.queries.size(), 2U);

  EXPECT_EQ(ask("fails.example").error, "SERVFAIL");
  EXPECT_EQ(server.queries.size(), 3U);  // the only server is not asked again at once
  EXPECT_EQ(ask("fails.example").error, "SERVFAIL");
  EXPECT_EQ(server.queries.size(), 3U);
  clock.advance(5s);
  ask("fails.example");
  EXPECT_EQ(server.queries.size(), 4U);
}

TEST_F(ResolverTest, equal_questions_at_once_are_asked_once) {
  std::vector<Query> held;
  auto& server = serve([&](const Query& q) {
    held.push_back(q);
    return silence();
  });
  run(context, [&]() -> Awaitable<void> {
    std::vector<Answer> answers(10);
    std::size_t done = 0;
    for (auto& answer : answers) {
      asio::co_spawn(
          context,
          [](LdnsResolver& r, Answer& into, std::size_t& count) -> Awaitable<void> {
            into = co_await lookup(r, "mx.example", soon());
            ++count;
          }(resolver(), answer, done),
          asio::detached);
    }
    // One who gives up early, and one whose coroutine is cancelled, must not end it for the others.
    const auto impatient = co_await lookup(resolver(), "mx.example", Deadline::after(30ms));
    EXPECT_EQ(impatient.status, Status::failure);
    EXPECT_EQ(impatient.error, "timeout");
    asio::cancellation_signal signal;
    bool cancelled = false;
    asio::co_spawn(
        context,
        [](LdnsResolver& r) -> Awaitable<void> {
          co_await lookup(r, "mx.example", soon());
          ADD_FAILURE() << "not cancelled";
        }(resolver()),
        asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr) { cancelled = true; }));
    asio::steady_timer timer(context, 5ms);
    co_await timer.async_wait(asio::use_awaitable);
    signal.emit(asio::cancellation_type::terminal);
    EXPECT_TRUE(co_await eventually([&] { return cancelled; }));
    EXPECT_EQ(done, 0U);
    EXPECT_EQ(held.size(), 1U);
    if (!held.empty()) server.socket().send_to(asio::buffer(answer_a(held[0])[0]), server.last_client);
    EXPECT_TRUE(co_await eventually([&] { return done == answers.size(); }));
    for (const auto& answer : answers) EXPECT_EQ(answer.status, Status::ok);
    EXPECT_EQ(server.queries.size(), 1U);
  });
}

// The question goes on without waiters, and its answer serves the next.
TEST_F(ResolverTest, an_answer_that_comes_too_late_for_its_waiter_is_cached) {
  std::vector<Query> held;
  auto& server = serve([&](const Query& q) {
    held.push_back(q);
    return silence();
  });
  run(context, [&]() -> Awaitable<void> {
    EXPECT_EQ((co_await lookup(resolver(), "mx.example", Deadline::after(20ms))).status, Status::failure);
    EXPECT_EQ(held.size(), 1U);
    server.socket().send_to(asio::buffer(answer_a(held.at(0))[0]), server.last_client);
    EXPECT_TRUE(co_await eventually([&] { return metrics.get(Counter::dns_cache_hits) > 0 || held.size() == 1; }));
    EXPECT_EQ((co_await lookup(resolver(), "mx.example", soon())).status, Status::ok);
    EXPECT_EQ(server.queries.size(), 1U);
  });
}

TEST_F(ResolverTest, Threats_DN_06_questions_in_flight_are_bounded) {
  settings.in_flight = 5;
  auto& server = serve([](const Query& q) { return q.name == "free.example" ? answer_a(q) : silence(); });
  run(context, [&]() -> Awaitable<void> {
    for (int i = 0; i < 5; ++i) {
      asio::co_spawn(
          context,
          [](LdnsResolver& r, int n) -> Awaitable<void> {
            co_await lookup(r, "n" + std::to_string(n) + ".example", soon());
          }(resolver(), i),
          asio::detached);
    }
    EXPECT_TRUE(co_await eventually([&] { return server.queries.size() == 5; }));
    const auto before = core::Steady::now();
    const auto refused = co_await lookup(resolver(), "free.example", soon());
    EXPECT_EQ(refused.status, Status::failure);
    EXPECT_EQ(refused.error, "too many questions in flight");
    EXPECT_LT(core::Steady::now() - before, 1s);
    EXPECT_EQ(server.queries.size(), 5U);
    // One more waiter for a question under way is welcome.
    const auto joined = co_await lookup(resolver(), "n1.example", Deadline::after(10ms));
    EXPECT_EQ(joined.error, "timeout");
  });
}

TEST_F(ResolverTest, truncation_goes_to_tcp) {
  std::vector<std::string> parts(20, std::string(200, 't'));
  auto& server = serve([&](const Query& q) {
    auto message = reply_to(q);
    if (q.tcp) {
      message.answer = {txt(q.name, parts)};
    } else {
      message.flags |= kTruncated;
    }
    return std::vector{message.wire()};
  });
  const auto answer = ask("big.example", Type::txt);
  ASSERT_EQ(answer.texts.size(), 1U);
  EXPECT_EQ(answer.texts[0].size(), 4000U);
  ASSERT_EQ(server.queries.size(), 2U);
  EXPECT_FALSE(server.queries[0].tcp);
  EXPECT_TRUE(server.queries[1].tcp);
}

TEST_F(ResolverTest, an_answer_of_64_KB_by_tcp) {
  serve([](const Query& q) {
    auto message = reply_to(q);
    if (q.tcp) {
      message.answer = {txt(q.name, std::vector<std::string>(250, std::string(255, 't')))};
    } else {
      message.flags |= kTruncated;
    }
    return std::vector{message.wire()};
  });
  EXPECT_EQ(ask("huge.example", Type::txt).texts.at(0).size(), 250U * 255U);
}

TEST_F(ResolverTest, Threats_DN_05_tcp_that_fails_is_a_failure) {
  settings.attempts = 1;
  settings.timeout = 200ms;
  serve([](const Query& q) {
    auto message = reply_to(q);
    message.flags |= kTruncated;  // by TCP as well
    if (q.tcp && q.name == "silent.example") return silence();
    if (q.tcp && q.name == "foreign.example") message.id ^= 1;
    return std::vector{message.wire()};
  });
  EXPECT_EQ(ask("cut.example").error, "bad response by TCP");
  EXPECT_EQ(ask("foreign.example").error, "bad response by TCP");
  EXPECT_EQ(ask("silent.example").error, "timeout");
  EXPECT_EQ(metrics.get(Counter::dns_timeouts), 1U);
}

TEST_F(ResolverTest, a_silent_server_is_followed_by_the_next) {
  settings.timeout = 50ms;
  auto& dead = serve([](const Query&) { return silence(); });
  auto& live = serve([](const Query& q) { return answer_a(q); });
  // Servers take turns being first: within two questions the dead one was first once.
  EXPECT_EQ(ask("one.example").status, Status::ok);
  EXPECT_EQ(ask("two.example").status, Status::ok);
  EXPECT_EQ(dead.queries.size(), 1U);
  EXPECT_EQ(live.queries.size(), 2U);
  EXPECT_EQ(metrics.get(Counter::dns_timeouts), 1U);
}

TEST_F(ResolverTest, an_unreachable_server_costs_no_time) {
  {
    udp::socket unused(context, {asio::ip::address_v4::loopback(), 0});
    settings.servers.push_back({"127.0.0.1", unused.local_endpoint().port()});
  }
  serve([](const Query& q) { return answer_a(q); });
  const auto before = core::Steady::now();
  EXPECT_EQ(ask("one.example").status, Status::ok);
  EXPECT_EQ(ask("two.example").status, Status::ok);
  EXPECT_LT(core::Steady::now() - before, 2s);
}

TEST_F(ResolverTest, all_servers_silent_is_a_timeout_after_all_attempts) {
  settings.timeout = 30ms;
  settings.attempts = 3;
  auto& one = serve([](const Query&) { return silence(); });
  auto& two = serve([](const Query&) { return silence(); });
  const auto before = core::Steady::now();
  const auto answer = ask("x.example");
  EXPECT_EQ(answer.status, Status::failure);
  EXPECT_EQ(answer.error, "timeout");
  EXPECT_GE(core::Steady::now() - before, 150ms);
  EXPECT_LE(one.queries.size() + two.queries.size(), 6U);
  EXPECT_GE(one.queries.size() + two.queries.size(), 5U);
  EXPECT_LT(core::Steady::now() - before, 2s);
}

TEST_F(ResolverTest, the_deadline_of_the_caller_holds) {
  serve([](const Query&) { return silence(); });
  const auto before = core::Steady::now();
  EXPECT_EQ(ask("x.example", Type::a, Deadline::after(50ms)).error, "timeout");
  EXPECT_LT(core::Steady::now() - before, 2s);
}

TEST_F(ResolverTest, servfail_of_one_server_asks_the_next) {
  serve([](const Query& q) { return answer_rcode(q, 2); });
  serve([](const Query& q) { return answer_a(q); });
  EXPECT_EQ(ask("one.example").status, Status::ok);
  EXPECT_EQ(ask("two.example").status, Status::ok);
}

TEST_F(ResolverTest, formerr_is_asked_again_without_edns) {
  auto& server = serve([](const Query& q) { return q.edns ? answer_rcode(q, 1) : answer_a(q); });
  EXPECT_EQ(ask("old.example").status, Status::ok);
  EXPECT_EQ(server.queries.size(), 2U);
  auto& worse = serve([](const Query& q) { return answer_rcode(q, 1); });
  resolver_.reset();
  settings.servers = {worse.address()};
  const auto answer = ask("old.example");
  EXPECT_EQ(answer.status, Status::failure);
  EXPECT_EQ(answer.error, "FORMERR");
}

TEST_F(ResolverTest, garbage_is_a_failure_at_once) {
  serve([](const Query& q) { return std::vector{reply_to(q).wire().substr(0, 20)}; });
  const auto before = core::Steady::now();
  EXPECT_EQ(ask("x.example").error, "malformed response");
  EXPECT_LT(core::Steady::now() - before, 2s);
}

TEST_F(ResolverTest, Threats_DN_02_forged_answers_are_ignored_and_the_real_one_is_used) {
  serve([](const Query& q) {
    std::vector<std::string> packets;
    auto forged = reply_to(q);
    forged.answer = {a(q.name, "203.0.113.66")};
    for (unsigned i = 1; i <= 8; ++i) {
      forged.id = q.id ^ i;
      packets.push_back(forged.wire());
    }
    forged.id = q.id;
    forged.question_name = "other.example";
    packets.push_back(forged.wire());
    packets.push_back("short");
    packets.push_back(answer_a(q)[0]);
    return packets;
  });
  const auto answer = ask("x.example");
  EXPECT_THAT(answer.addresses, ElementsAre(*core::IpAddress::parse("192.0.2.1")));
  EXPECT_EQ(metrics.get(Counter::dns_bad_answers), 10U);
}

TEST_F(ResolverTest, Threats_DN_02_more_than_ten_forged_answers_go_to_tcp) {
  auto& server = serve([](const Query& q) {
    if (q.tcp) return answer_a(q);
    std::vector<std::string> packets;
    auto forged = reply_to(q);
    forged.answer = {a(q.name, "203.0.113.66")};
    for (unsigned i = 1; i <= 200; ++i) {
      forged.id = q.id ^ i;
      packets.push_back(forged.wire());
    }
    return packets;
  });
  const auto answer = ask("x.example");
  EXPECT_THAT(answer.addresses, ElementsAre(*core::IpAddress::parse("192.0.2.1")));
  EXPECT_EQ(metrics.get(Counter::dns_bad_answers), 11U);
  EXPECT_TRUE(server.queries.back().tcp);
}

TEST_F(ResolverTest, Threats_DN_02_a_packet_from_another_address_never_arrives) {
  std::optional<udp::socket> stranger(std::in_place, context, udp::endpoint(asio::ip::address_v4::loopback(), 0));
  FakeServer* server = nullptr;
  server = &serve([&](const Query& q) {
    auto forged = reply_to(q);
    forged.answer = {a(q.name, "203.0.113.66")};  // even with the right id, port and question
    boost::system::error_code ignored;
    stranger->send_to(asio::buffer(forged.wire()), server->last_client, 0, ignored);
    return answer_a(q);
  });
  EXPECT_THAT(ask("x.example").addresses, ElementsAre(*core::IpAddress::parse("192.0.2.1")));
  EXPECT_EQ(metrics.get(Counter::dns_bad_answers), 0U);
}

// 16 bits of id and what the kernel gives of ports: spread over the range, no repeats beyond chance.
TEST_F(ResolverTest, Threats_DN_01_ids_and_ports_are_random) {
  constexpr int kQueries = 2000;
  auto& server = serve([](const Query& q) { return answer_a(q); });
  run(context, [&]() -> Awaitable<void> {
    for (int i = 0; i < kQueries; ++i) {
      const auto answer = co_await lookup(resolver(), "n" + std::to_string(i) + ".example", soon());
      EXPECT_EQ(answer.status, Status::ok);
    }
  });
  ASSERT_EQ(server.queries.size(), static_cast<std::size_t>(kQueries));
  const auto chi_square = [&](auto bucket_of) {
    std::array<int, 16> buckets{};
    for (const auto& query : server.queries) ++buckets[bucket_of(query)];
    const double expected = kQueries / 16.0;
    double sum = 0;
    for (const int n : buckets) sum += (n - expected) * (n - expected) / expected;
    return sum;
  };
  // 15 degrees of freedom: above 60 by chance once in 4 million runs.
  EXPECT_LT(chi_square([](const Query& q) { return q.id >> 12; }), 60);
  EXPECT_LT(chi_square([](const Query& q) { return q.id & 15U; }), 60);
  std::set<unsigned> ids, ports;
  int port_steps = 0;
  unsigned previous = 0;
  for (const auto& query : server.queries) {
    ids.insert(query.id);
    ports.insert(query.from_port);
    const unsigned port = query.from_port;
    if (port > previous && port - previous < 4) ++port_steps;
    previous = port;
  }
  EXPECT_GT(ids.size(), kQueries * 95U / 100);    // 1,970 expected of 65,536
  EXPECT_GT(ports.size(), kQueries * 85U / 100);  // about 1,930 expected of 28,232
  EXPECT_LT(port_steps, kQueries / 20);           // not one after the other
}

TEST_F(ResolverTest, a_cname_the_server_does_not_follow_is_followed) {
  auto& server = serve([](const Query& q) {
    auto message = reply_to(q);
    if (q.name == "a.example") message.answer = {cname("a.example", "b.example", 10)};
    if (q.name == "b.example") message.answer = {cname("b.example", "c.example", 90), a("c.example", "192.0.2.7", 50)};
    return std::vector{message.wire()};
  });
  const auto answer = ask("a.example");
  EXPECT_THAT(answer.addresses, ElementsAre(*core::IpAddress::parse("192.0.2.7")));
  EXPECT_EQ(answer.ttl, 10U);
  EXPECT_EQ(answer.canonical, "c.example");
  EXPECT_EQ(server.queries.size(), 2U);
  EXPECT_EQ(ask("a.example").canonical, "c.example");
  EXPECT_EQ(server.queries.size(), 2U);  // cached under the name that was asked for
}

TEST_F(ResolverTest, Threats_DN_03_cname_loops_over_several_answers_end) {
  auto& server = serve([](const Query& q) {
    auto message = reply_to(q);
    const bool first = q.name == "a.example";
    message.answer = {cname(q.name, first ? "b.example" : "a.example")};
    return std::vector{message.wire()};
  });
  const auto answer = ask("a.example");
  EXPECT_EQ(answer.status, Status::failure);
  EXPECT_EQ(answer.error, "too many CNAMEs");
  EXPECT_EQ(server.queries.size(), 9U);
}

TEST_F(ResolverTest, Threats_DN_03_eight_cnames_are_followed_and_nine_are_not) {
  serve([](const Query& q) {
    auto message = reply_to(q);
    const auto n = q.name[1] - '0';
    if (n == 8 && q.name.ends_with("eight")) {
      message.answer = {a(q.name, "192.0.2.8")};
    } else {
      message.answer = {cname(q.name, "c" + std::to_string(n + 1) + q.name.substr(2))};
    }
    return std::vector{message.wire()};
  });
  EXPECT_EQ(ask("c0.eight").status, Status::ok);
  EXPECT_EQ(ask("c0.nine").error, "too many CNAMEs");
}

TEST_F(ResolverTest, Threats_DN_10_the_ad_bit_counts_as_configured) {
  FakeServer::Handler handler = [](const Query& q) {
    auto message = reply_to(q);
    message.flags |= kAuthenticated;
    message.answer = {a(q.name, "192.0.2.1")};
    return std::vector{message.wire()};
  };
  serve(handler);
  EXPECT_TRUE(ask("x.example").authenticated);  // the server is on loopback
  settings.trust_ad = TrustAd::never;
  resolver_.reset();
  EXPECT_FALSE(ask("x.example").authenticated);
  settings.trust_ad = TrustAd::always;
  resolver_.reset();
  EXPECT_TRUE(ask("x.example").authenticated);
}

// A chain is only as secure as each answer of it.
TEST_F(ResolverTest, Threats_DN_10_one_insecure_answer_makes_the_chain_insecure) {
  serve([](const Query& q) {
    auto message = reply_to(q);
    if (q.name == "a.example") {
      message.answer = {cname("a.example", "b.example")};
    } else {
      message.flags |= kAuthenticated;
      message.answer = {a(q.name, "192.0.2.1")};
    }
    return std::vector{message.wire()};
  });
  EXPECT_EQ(ask("a.example").status, Status::ok);
  EXPECT_FALSE(ask("a.example").authenticated);
  EXPECT_TRUE(ask("b.example").authenticated);
  EXPECT_EQ(ask("a.example").canonical, "b.example");
  EXPECT_EQ(ask("b.example").canonical, "");
}

TEST_F(ResolverTest, destroyed_with_questions_under_way_its_waiters_get_a_failure) {
  std::vector<Query> held;
  auto& server = serve([&](const Query& q) {
    held.push_back(q);
    auto message = reply_to(q);
    message.flags |= kTruncated;
    return q.name == "tcp.example" && !q.tcp ? std::vector{message.wire()} : silence();
  });
  run(context, [&]() -> Awaitable<void> {
    std::vector<Answer> answers(3);
    std::size_t done = 0;
    const std::array<std::string, 3> names{"udp.example", "udp.example", "tcp.example"};
    for (std::size_t i = 0; i < 3; ++i) {
      asio::co_spawn(
          context,
          [](LdnsResolver& r, std::string name, Answer& into, std::size_t& count) -> Awaitable<void> {
            into = co_await lookup(r, std::move(name), soon());
            ++count;
          }(resolver(), names[i], answers[i], done),
          asio::detached);
    }
    EXPECT_TRUE(co_await eventually([&] { return server.queries.size() == 3; }));
    resolver_.reset();
    EXPECT_TRUE(co_await eventually([&] { return done == 3; }));
    for (const auto& answer : answers) EXPECT_EQ(answer.error, "cancelled");
  });
  servers.clear();
  context.restart();
  const auto before = core::Steady::now();
  context.run_for(5s);
  EXPECT_TRUE(context.stopped());
  EXPECT_LT(core::Steady::now() - before, 2s);  // nothing of the jobs lingers until its timeout
}

TEST_F(ResolverTest, an_io_context_destroyed_under_questions_is_clean) {
  auto own = std::make_unique<asio::io_context>(1);
  FakeServer silent(context, [](const Query&) { return silence(); });
  ResolverSettings s;
  s.servers = {silent.address()};
  auto r = std::make_unique<LdnsResolver>(own->get_executor(), s, random, metrics, clock);
  asio::co_spawn(
      *own,
      [](LdnsResolver& one) -> Awaitable<void> {
        const auto never = co_await lookup(one, "x.example", soon());
        ADD_FAILURE() << never.error;
      }(*r),
      asio::detached);
  own->run_for(20ms);
  r.reset();
  own.reset();
}

TEST_F(ResolverTest, servers_come_from_resolv_conf_when_none_are_given) {
  // Port 53 of a loopback address where nobody listens: refused at once, but the options are seen in the time it
  // takes.
  const net::testing::TemporaryFolder folder;
  settings.resolv_conf = folder.file("resolv.conf");
  std::ofstream(settings.resolv_conf) << "nameserver 127.211.0.53\noptions timeout:1 attempts:1\n";
  settings.servers.clear();
  EXPECT_EQ(ask("x.example").error, "server unreachable");
  settings.servers = {{"not-an-address", 53}, {"127.0.0.1", 0}};
  resolver_.reset();
  EXPECT_EQ(ask("x.example").status, Status::failure);
}

TEST(ZoneResolver, answers_from_its_table) {
  asio::io_context context{1};
  ZoneResolver zone;
  zone.add_a("MX.example", "192.0.2.1");
  zone.add_a("mx.example.", "192.0.2.2");
  zone.add_a("mx.example", "2001:db8::1");
  zone.add_mx("example.org", 10, "MX.example.");
  zone.add_txt("example.org", "v=spf1 -all");
  zone.fail("broken.example", Type::txt);
  Answer alias;
  alias.status = Status::ok;
  alias.names = {"mx.example"};
  zone.add("alias.example", Type::cname, alias);
  alias.names = {"loop.example"};
  zone.add("loop.example", Type::cname, alias);
  const auto ask = [&](const std::string& name, Type type) {
    Answer answer;
    run(context, [&]() -> Awaitable<void> { answer = co_await lookup(zone, name, soon(), type); });
    return answer;
  };
  EXPECT_EQ(ask("mx.EXAMPLE.", Type::a).addresses.size(), 2U);
  EXPECT_EQ(ask("mx.example", Type::aaaa).addresses.size(), 1U);
  EXPECT_THAT(ask("example.org", Type::mx).mx, ElementsAre(Mx{10, "mx.example"}));
  EXPECT_THAT(ask("example.org", Type::txt).texts, ElementsAre("v=spf1 -all"));
  EXPECT_EQ(ask("mx.example", Type::txt).status, Status::no_data);
  EXPECT_EQ(ask("none.example", Type::txt).status, Status::nx_domain);
  EXPECT_EQ(ask("broken.example", Type::txt).error, "SERVFAIL");
  EXPECT_EQ(ask("broken.example", Type::a).status, Status::no_data);
  EXPECT_EQ(ask("alias.example", Type::a).addresses.size(), 2U);
  EXPECT_THAT(ask("alias.example", Type::cname).names, ElementsAre("mx.example"));
  EXPECT_EQ(ask("loop.example", Type::a).status, Status::failure);
  const auto asked = zone.questions();
  EXPECT_EQ(ask("a..b", Type::a).status, Status::nx_domain);
  EXPECT_EQ(zone.questions(), asked);
}

}  // namespace
}  // namespace dns
