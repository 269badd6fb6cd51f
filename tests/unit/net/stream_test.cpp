// The plain Stream: every result of every operation, on loopback.
#include "net/stream.hpp"

#include <malloc.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <vector>

#include "net/address.hpp"
#include "net/gate.hpp"
#include "support.hpp"

namespace net {
namespace {

using namespace testing;

class StreamTest : public ::testing::Test {
 protected:
  StreamTest() : pair(connected_pair(context)), stream(std::in_place, std::move(pair.ours)) {}

  void send(std::string_view octets) { asio::write(pair.peer, asio::buffer(octets)); }
  // Reads exactly as many octets as `expected` has.
  std::string receive(std::size_t size) {
    std::string octets(size, '\0');
    boost::system::error_code ec;
    octets.resize(asio::read(pair.peer, asio::buffer(octets), ec));
    return octets;
  }
  void reset_peer() {
    pair.peer.set_option(asio::socket_base::linger(true, 0));
    pair.peer.close();
  }

  asio::io_context context{1};
  SocketPair pair;
  std::optional<Stream> stream;
};

TEST_F(StreamTest, reads_what_the_peer_sends_and_keeps_what_is_not_consumed) {
  run(context, [&]() -> Awaitable<void> {
    send("EHLO a\r\nNOOP\r\n");
    const auto got = co_await stream->fill(soon());
    EXPECT_EQ(got.value(), 14U);
    EXPECT_EQ(stream->buffered(), "EHLO a\r\nNOOP\r\n");
    stream->consume(8);
    EXPECT_EQ(stream->buffered(), "NOOP\r\n");
    send("QUIT\r\n");
    EXPECT_TRUE(co_await stream->fill(soon()));
    EXPECT_EQ(stream->buffered(), "NOOP\r\nQUIT\r\n");
    stream->consume(12);
    EXPECT_EQ(stream->buffered(), "");
  });
}

TEST_F(StreamTest, fill_waits_for_the_peer) {
  run(context, [&]() -> Awaitable<void> {
    asio::steady_timer timer(context, 20ms);
    timer.async_wait([&](auto) { send("x"); });
    EXPECT_EQ((co_await stream->fill(soon())).value(), 1U);
  });
}

TEST_F(StreamTest, fill_reports_timed_out_at_the_deadline_and_goes_on_working) {
  run(context, [&]() -> Awaitable<void> {
    const auto before = core::Steady::now();
    EXPECT_EQ((co_await stream->fill(in(50ms))).error(), Errc::timed_out);
    EXPECT_GE(core::Steady::now() - before, 50ms);
    send("late");
    EXPECT_EQ((co_await stream->fill(soon())).value(), 4U);
    EXPECT_EQ((co_await stream->fill(Deadline::after(0ms))).error(), Errc::timed_out);
  });
}

// The timer stays armed for the first deadline: neither a later nor an earlier one may be missed.
TEST_F(StreamTest, deadlines_move_both_ways) {
  run(context, [&]() -> Awaitable<void> {
    send("a");
    EXPECT_TRUE(co_await stream->fill(in(10s)));
    const auto before = core::Steady::now();
    EXPECT_EQ((co_await stream->fill(in(40ms))).error(), Errc::timed_out);  // arms 40 ms
    EXPECT_EQ((co_await stream->fill(in(80ms))).error(), Errc::timed_out);
    asio::steady_timer timer(context, 60ms);
    timer.async_wait([&](auto) { send("b"); });
    EXPECT_TRUE(co_await stream->fill(in(30s)));                            // arms 30 s
    EXPECT_EQ((co_await stream->fill(in(50ms))).error(), Errc::timed_out);  // earlier than what is armed
    EXPECT_EQ((co_await stream->fill(in(20ms))).error(), Errc::timed_out);
    const auto spent = core::Steady::now() - before;
    EXPECT_GE(spent, 40ms + 80ms + 60ms + 50ms + 20ms);
    EXPECT_LT(spent, 5s);
  });
}

// An operation armed 40 ms, the next one has 5 s: the old expiry must not end it.
TEST_F(StreamTest, an_old_deadline_does_not_end_a_later_operation) {
  run(context, [&]() -> Awaitable<void> {
    asio::steady_timer timer(context, 10ms);
    timer.async_wait([&](auto) { send("a"); });
    EXPECT_TRUE(co_await stream->fill(in(40ms)));
    timer.expires_after(100ms);
    timer.async_wait([&](auto) { send("b"); });
    EXPECT_TRUE(co_await stream->fill(soon()));
    EXPECT_EQ(stream->buffered(), "ab");
  });
}

TEST_F(StreamTest, fill_without_a_deadline_waits) {
  run(context, [&]() -> Awaitable<void> {
    asio::steady_timer timer(context, 20ms);
    timer.async_wait([&](auto) { send("x"); });
    EXPECT_TRUE(co_await stream->fill(Deadline::never()));
  });
}

TEST_F(StreamTest, fin_is_closed) {
  run(context, [&]() -> Awaitable<void> {
    send("last");
    pair.peer.shutdown(Socket::shutdown_send);
    EXPECT_EQ((co_await stream->fill(soon())).value(), 4U);
    EXPECT_EQ((co_await stream->fill(soon())).error(), Errc::closed);
    EXPECT_EQ((co_await stream->fill(soon())).error(), Errc::closed);
    EXPECT_EQ(stream->buffered(), "last");
    EXPECT_TRUE(co_await stream->write("half closed", soon()));
    EXPECT_EQ(receive(11), "half closed");
  });
}

TEST_F(StreamTest, rst_is_reset) {
  run(context, [&]() -> Awaitable<void> {
    asio::steady_timer timer(context, 20ms);
    timer.async_wait([&](auto) { reset_peer(); });
    EXPECT_EQ((co_await stream->fill(soon())).error(), Errc::reset);
  });
}

TEST_F(StreamTest, a_full_buffer_is_line_too_long_and_the_limit_is_exact) {
  run(context, [&]() -> Awaitable<void> {
    stream->set_buffer_limit(10);
    send("0123456789abc");
    EXPECT_EQ((co_await stream->fill(soon())).value(), 10U);
    EXPECT_EQ((co_await stream->fill(soon())).error(), Errc::line_too_long);
    EXPECT_EQ(stream->buffered(), "0123456789");
    stream->consume(4);
    EXPECT_EQ((co_await stream->fill(soon())).value(), 3U);
    EXPECT_EQ(stream->buffered(), "456789abc");
  });
}

TEST_F(StreamTest, the_limit_is_4_KiB_at_first_and_can_grow_and_shrink_with_octets_inside) {
  run(context, [&]() -> Awaitable<void> {
    const std::string big(10000, 'x');
    send(big);
    EXPECT_TRUE(co_await eventually([&] { return pair.peer.available() == 0; }));
    while (stream->buffered().size() < 4096) EXPECT_TRUE(co_await stream->fill(soon()));
    EXPECT_EQ(stream->buffered().size(), 4096U);
    EXPECT_EQ((co_await stream->fill(soon())).error(), Errc::line_too_long);
    stream->set_buffer_limit(65536);
    while (stream->buffered().size() < big.size()) EXPECT_TRUE(co_await stream->fill(soon()));
    EXPECT_EQ(stream->buffered(), big);
    stream->set_buffer_limit(100);
    EXPECT_EQ((co_await stream->fill(soon())).error(), Errc::line_too_long);
    EXPECT_EQ(stream->buffered(), big);
    stream->consume(big.size() - 60);
    send("tail");
    EXPECT_EQ((co_await stream->fill(soon())).value(), 4U);
    EXPECT_EQ(stream->buffered(), std::string(60, 'x') + "tail");
  });
}

TEST_F(StreamTest, writes_pieces_in_order) {
  run(context, [&]() -> Awaitable<void> {
    std::vector<std::string> strings;
    std::string expected;
    for (int i = 0; i < 300; ++i) {  // more than one sendmsg takes
      strings.push_back(i % 7 == 0 ? "" : std::to_string(i) + ",");
      expected += strings.back();
    }
    const std::vector<std::string_view> pieces(strings.begin(), strings.end());
    EXPECT_TRUE(co_await stream->write(pieces, soon()));
    EXPECT_EQ(receive(expected.size()), expected);
    const std::vector<std::string_view> nothing(3);
    EXPECT_TRUE(co_await stream->write(nothing, soon()));
    EXPECT_TRUE(co_await stream->write("250 ok\r\n", soon()));
    EXPECT_EQ(receive(8), "250 ok\r\n");
  });
}

Awaitable<void> read_all(Socket& socket, std::size_t size, std::string& into) {
  std::string part(65536, '\0');
  while (into.size() < size) {
    const auto [ec, n] = co_await socket.async_read_some(asio::buffer(part), asio::as_tuple(asio::use_awaitable));
    if (ec) co_return;
    into.append(part, 0, n);
  }
}

TEST_F(StreamTest, a_large_write_waits_for_a_reader) {
  run(context, [&]() -> Awaitable<void> {
    std::string big(20'000'000, '\0');
    for (std::size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>(i * 131 / 7);
    std::string got;
    asio::co_spawn(context, read_all(pair.peer, big.size(), got), asio::detached);
    const std::vector<std::string_view> pieces{std::string_view(big).substr(0, 1000),
                                               std::string_view(big).substr(1000)};
    EXPECT_TRUE(co_await stream->write(pieces, soon()));
    EXPECT_TRUE(co_await eventually([&] { return got.size() == big.size(); }));
    EXPECT_TRUE(got == big);
  });
}

TEST_F(StreamTest, Threats_RS_13_a_peer_that_never_reads_ends_at_the_deadline) {
  run(context, [&]() -> Awaitable<void> {
    pair.peer.set_option(asio::socket_base::receive_buffer_size(4096));
    const std::string big(20'000'000, 'x');
    const auto before = core::Steady::now();
    EXPECT_EQ((co_await stream->write(big, in(80ms))).error(), Errc::timed_out);
    EXPECT_GE(core::Steady::now() - before, 80ms);
    EXPECT_LT(core::Steady::now() - before, 4s);
  });
}

// The deadline is for no progress at all: a slow reader may take longer in sum. Small kernel buffers, so that the pace
// is the reader's: 100 KB every 60 ms.
TEST_F(StreamTest, Threats_RS_13_a_slow_reader_is_given_time_while_it_reads) {
  auto slow = connected_pair(context);
  slow.ours.set_option(asio::socket_base::send_buffer_size(65536));
  slow.peer.set_option(asio::socket_base::receive_buffer_size(65536));
  slow.peer.non_blocking(true);
  Stream writer(std::move(slow.ours));
  run(context, [&]() -> Awaitable<void> {
    const std::string big(2'400'000, 'x');
    std::string part(100'000, '\0');
    std::size_t got = 0;
    asio::steady_timer timer(context);
    std::function<void()> read_some = [&] {
      timer.expires_after(60ms);
      timer.async_wait([&](auto ec) {
        if (ec || got >= big.size()) return;
        boost::system::error_code error;
        for (std::size_t n = 0; n < part.size() && !error;) {
          const auto more = slow.peer.read_some(asio::buffer(part.data(), part.size() - n), error);
          n += more;
          got += more;
        }
        read_some();
      });
    };
    read_some();
    const auto before = core::Steady::now();
    const auto result = co_await writer.write(big, in(1000ms));
    EXPECT_TRUE(result) << core::describe(result.error());
    EXPECT_GT(core::Steady::now() - before, 1000ms);
    timer.cancel();
  });
}

TEST_F(StreamTest, writing_to_a_broken_connection_is_reset_and_raises_no_signal) {
  run(context, [&]() -> Awaitable<void> {
    reset_peer();
    EXPECT_TRUE(co_await eventually([&] { return stream->peer_gone(); }));
    EXPECT_EQ((co_await stream->write("x", soon())).error(), Errc::reset);
    EXPECT_EQ((co_await stream->write("x", soon())).error(), Errc::reset);
  });
}

TEST_F(StreamTest, cancel_ends_the_pending_operation_only) {
  run(context, [&]() -> Awaitable<void> {
    stream->cancel();  // nothing is pending: no effect
    asio::steady_timer timer(context, 20ms);
    timer.async_wait([&](auto) { stream->cancel(); });
    EXPECT_EQ((co_await stream->fill(soon())).error(), Errc::cancelled);
    send("x");
    EXPECT_TRUE(co_await stream->fill(soon()));
    const std::string big(20'000'000, 'x');
    timer.expires_after(20ms);
    timer.async_wait([&](auto) { stream->cancel(); });
    EXPECT_EQ((co_await stream->write(big, soon())).error(), Errc::cancelled);
  });
}

TEST_F(StreamTest, close_by_another_coroutine_ends_the_pending_operation) {
  run(context, [&]() -> Awaitable<void> {
    asio::steady_timer timer(context, 20ms);
    timer.async_wait([&](auto) { stream->close(); });
    EXPECT_EQ((co_await stream->fill(soon())).error(), Errc::cancelled);
    EXPECT_FALSE(stream->is_open());
    EXPECT_EQ((co_await stream->fill(soon())).error(), Errc::cancelled);
    EXPECT_EQ((co_await stream->write("x", soon())).error(), Errc::cancelled);
    EXPECT_TRUE(stream->peer_gone());
    EXPECT_TRUE(stream->readable());
    stream->close();
    stream->abort();
  });
}

TEST_F(StreamTest, close_sends_fin_after_what_was_written_even_with_octets_unread) {
  run(context, [&]() -> Awaitable<void> {
    send(std::string(3000, 'p'));  // pipelined, never read by us
    EXPECT_TRUE(co_await eventually([&] { return stream->readable(); }));
    EXPECT_TRUE(co_await stream->write("421 bye\r\n", soon()));
    stream->close();
    std::string rest(100, '\0');
    boost::system::error_code ec;
    const auto n = asio::read(pair.peer, asio::buffer(rest), ec);
    EXPECT_EQ(rest.substr(0, n), "421 bye\r\n");
    EXPECT_EQ(ec, asio::error::eof);  // not connection_reset
  });
}

TEST_F(StreamTest, abort_sends_rst) {
  stream->abort();
  EXPECT_FALSE(stream->is_open());
  char c = 0;
  boost::system::error_code ec;
  pair.peer.read_some(asio::buffer(&c, 1), ec);
  EXPECT_EQ(ec, asio::error::connection_reset);
}

TEST_F(StreamTest, peer_gone_and_readable_look_without_waiting) {
  run(context, [&]() -> Awaitable<void> {
    EXPECT_FALSE(stream->peer_gone());
    EXPECT_FALSE(stream->readable());
    send("x");
    EXPECT_TRUE(co_await eventually([&] { return stream->readable(); }));
    EXPECT_FALSE(stream->peer_gone());  // unread octets are no end
    EXPECT_EQ(stream->buffered(), "");
    EXPECT_TRUE(co_await stream->fill(soon()));
    EXPECT_TRUE(stream->readable());  // buffered
    stream->consume(1);
    EXPECT_FALSE(stream->readable());
    pair.peer.close();
    EXPECT_TRUE(co_await eventually([&] { return stream->peer_gone(); }));
    EXPECT_TRUE(stream->readable());
  });
}

TEST_F(StreamTest, peer_gone_sees_rst) {
  run(context, [&]() -> Awaitable<void> {
    reset_peer();
    EXPECT_TRUE(co_await eventually([&] { return stream->peer_gone(); }));
  });
}

// RS-02 and the 10 KiB of an idle connection: the buffer is only there while octets are in it.
TEST_F(StreamTest, Threats_RS_02_an_idle_stream_costs_little_memory) {
  const auto before = mallinfo2().uordblks;
  constexpr std::size_t kStreams = 200;
  std::vector<SocketPair> pairs;
  pairs.reserve(kStreams);
  for (std::size_t i = 0; i < kStreams; ++i) pairs.push_back(connected_pair(context));
  const auto sockets = mallinfo2().uordblks;
  std::vector<std::unique_ptr<Stream>> streams;
  streams.reserve(kStreams);
  std::size_t ended = 0;
  std::size_t idle = 0;
  run(context, [&]() -> Awaitable<void> {
    for (auto& p : pairs) streams.push_back(std::make_unique<Stream>(std::move(p.ours)));
    for (auto& s : streams) {
      asio::co_spawn(
          context,
          [](Stream& one, std::size_t& count) -> Awaitable<void> {
            while (co_await one.fill(Deadline::after(60s))) one.consume(one.buffered().size());
            ++count;
          }(*s, ended),
          asio::detached);
    }
    for (auto& p : pairs) asio::write(p.peer, asio::buffer(std::string_view("NOOP\r\n")));
    EXPECT_TRUE(co_await eventually([&] {
      return std::all_of(pairs.begin(), pairs.end(), [](auto& p) { return p.peer.is_open(); }) &&
             std::none_of(streams.begin(), streams.end(), [](auto& s) { return s->readable(); });
    }));
    idle = mallinfo2().uordblks;
    pairs.clear();
    EXPECT_TRUE(co_await eventually([&] { return ended == kStreams; }));
  });
  const auto each = (idle - sockets) / kStreams;
  RecordProperty("octets_per_idle_stream", static_cast<int>(each));
  RecordProperty("octets_per_socket_pair", static_cast<int>((sockets - before) / kStreams));
  std::printf("idle plain stream with its waiting coroutine: %zu octets (sockets of a pair: %zu)\n", each,
              (sockets - before) / kStreams);
  if (!kSanitized) EXPECT_LT(each, 3072U);
}

// Two streams that always have something to read must both make progress.
TEST(StreamFairness, Threats_DN_08_a_busy_peer_does_not_starve_the_others) {
  asio::io_context context{1};
  auto busy = connected_pair(context);
  Stream one(std::move(busy.ours));
  run(context, [&]() -> Awaitable<void> {
    asio::write(busy.peer, asio::buffer(std::string(200'000, 'x')));
    one.set_buffer_limit(16);
    bool other_ran = false;
    asio::post(context, [&] { other_ran = true; });
    int reads = 0;
    while (!other_ran && reads < 5000) {
      EXPECT_TRUE(co_await one.fill(soon()));
      one.consume(one.buffered().size());
      ++reads;
    }
    EXPECT_TRUE(other_ran);
    EXPECT_LT(reads, 100);
  });
}

TEST(StreamLife, a_stream_destroyed_with_its_timer_armed_is_not_touched_again) {
  asio::io_context context{1};
  for (int i = 0; i < 20; ++i) {
    auto pair = connected_pair(context);
    auto stream = std::make_unique<Stream>(std::move(pair.ours));
    run(context, [&]() -> Awaitable<void> {
      asio::steady_timer timer(context, 1ms);
      timer.async_wait([&](auto) { asio::write(pair.peer, asio::buffer("x", 1)); });
      EXPECT_TRUE(co_await stream->fill(in(core::Milliseconds(30))));  // the timer stays armed
      stream.reset();
    });
  }
  context.restart();
  context.run_for(60ms);  // the old deadlines pass
}

TEST(StreamLife, an_io_context_destroyed_under_a_waiting_coroutine_is_clean) {
  auto context = std::make_unique<asio::io_context>(1);
  {
    auto pair = connected_pair(*context);
    asio::co_spawn(
        *context,
        [](Socket socket, Socket keep) -> Awaitable<void> {
          Stream stream(std::move(socket));
          co_await stream.fill(Deadline::after(60s));
          ADD_FAILURE() << "not reached";
          keep.close();
        }(std::move(pair.ours), std::move(pair.peer)),
        asio::detached);
  }
  context->run_for(20ms);
  context.reset();
}

TEST(Connect, connects_and_knows_both_addresses) {
  asio::io_context context{1};
  asio::ip::tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
  run(context, [&]() -> Awaitable<void> {
    const auto loopback = *core::IpAddress::parse("127.0.0.1");
    const auto source = *core::IpAddress::parse("127.0.0.2");
    auto connected = co_await connect(loopback, acceptor.local_endpoint().port(), source, soon());
    EXPECT_TRUE(connected);
    if (!connected) co_return;
    Stream& stream = **connected;
    EXPECT_EQ(stream.remote_address(), loopback);
    EXPECT_EQ(stream.remote_port(), acceptor.local_endpoint().port());
    EXPECT_EQ(stream.local_address(), source);
    auto accepted = acceptor.accept();
    EXPECT_EQ(stream.local_port(), accepted.remote_endpoint().port());
    EXPECT_TRUE(co_await stream.write("hi", soon()));
    char text[2];
    asio::read(accepted, asio::buffer(text));
    EXPECT_EQ(std::string_view(text, 2), "hi");
    EXPECT_TRUE(stream.executor() == co_await asio::this_coro::executor);
  });
}

TEST(Connect, refused_timed_out_and_a_source_that_is_not_ours) {
  asio::io_context context{1};
  std::uint16_t free_port = 0;
  {
    asio::ip::tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
    free_port = acceptor.local_endpoint().port();
  }
  // A listener whose backlog is full answers no SYN: the way to a time-out without a network.
  asio::ip::tcp::acceptor full(context);
  full.open(asio::ip::tcp::v4());
  full.bind({asio::ip::address_v4::loopback(), 0});
  full.listen(0);
  Socket first(context);
  first.connect(full.local_endpoint());
  run(context, [&]() -> Awaitable<void> {
    const auto loopback = *core::IpAddress::parse("127.0.0.1");
    EXPECT_EQ((co_await connect(loopback, free_port, std::nullopt, soon())).error(), Errc::refused);
    EXPECT_EQ((co_await connect(loopback, free_port, core::IpAddress::parse("192.0.2.77"), soon())).error(),
              Errc::refused);
    const auto before = core::Steady::now();
    EXPECT_EQ((co_await connect(loopback, full.local_endpoint().port(), std::nullopt, in(100ms))).error(),
              Errc::timed_out);
    EXPECT_GE(core::Steady::now() - before, 100ms);
    EXPECT_EQ((co_await connect(loopback, free_port, std::nullopt, Deadline::after(0ms))).error(), Errc::timed_out);
  });
}

TEST(Address, converts_both_ways_and_unmaps) {
  for (const auto* text : {"192.0.2.1", "2001:db8::1", "::1", "0.0.0.0"}) {
    const auto ip = *core::IpAddress::parse(text);
    EXPECT_EQ(to_asio(ip).to_string(), text);
    EXPECT_EQ(from_asio(to_asio(ip)), ip);
  }
  EXPECT_EQ(from_asio(asio::ip::make_address("::ffff:192.0.2.1")).to_string(), "192.0.2.1");
}

}  // namespace
}  // namespace net
