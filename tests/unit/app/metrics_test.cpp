// /metrics and its neighbours: the text, the page, the requests, the server (threats OP-10).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <set>
#include <thread>

#include "app/http_request.hpp"
#include "app/metrics_server.hpp"
#include "app/metrics_text.hpp"
#include "app/support.hpp"

namespace app::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(MetricsText, counters_and_gauges) {
  MetricsSnapshot snapshot;
  snapshot.version = "1.2.3";
  snapshot.counters[static_cast<std::size_t>(core::Counter::connections)] = 18'446'744'073'709'551'615ULL;
  core::set(snapshot.gauges, core::Gauge::memory, 1.5);
  const auto text = prometheus_text(snapshot);
  EXPECT_THAT(text, StartsWith("# HELP onward_build_info"));
  EXPECT_THAT(text, HasSubstr("\nonward_build_info{version=\"1.2.3\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("\n# TYPE onward_connections_total counter\n"
                              "onward_connections_total 18446744073709551615\n"));
  EXPECT_THAT(text, HasSubstr("\n# TYPE onward_sessions_open gauge\nonward_sessions_open 0\n"));
  EXPECT_THAT(text, HasSubstr("\n# TYPE onward_memory_bytes gauge\nonward_memory_bytes 1.5\n"));
  EXPECT_THAT(text, Not(HasSubstr("onward_draining"))) << "nobody said";
  EXPECT_EQ(text.back(), '\n');
}

TEST(MetricsText, histograms) {
  core::Timings timings;
  timings.add(core::Timing::dns, core::Milliseconds(7));
  timings.add(core::Timing::dns, core::Milliseconds(5));
  timings.add(core::Timing::dns, std::chrono::hours(1));
  MetricsSnapshot snapshot;
  snapshot.timings[static_cast<std::size_t>(core::Timing::dns)] = timings.get(core::Timing::dns);
  const auto text = prometheus_text(snapshot);
  EXPECT_THAT(text, HasSubstr("\n# TYPE onward_dns_answer_seconds histogram\n"
                              "onward_dns_answer_seconds_bucket{le=\"0.005\"} 1\n"
                              "onward_dns_answer_seconds_bucket{le=\"0.01\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("{le=\"540\"} 2\nonward_dns_answer_seconds_bucket{le=\"+Inf\"} 3\n"
                              "onward_dns_answer_seconds_sum 3600.012000\nonward_dns_answer_seconds_count 3\n"));
}

TEST(MetricsText, every_metric_is_declared_well) {
  std::set<std::string_view> names;
  const auto look = [&names](const auto& info) {
    EXPECT_TRUE(names.insert(info.name).second) << info.name << " is there twice";
    EXPECT_FALSE(info.name.empty());
    EXPECT_FALSE(info.help.empty()) << info.name;
    for (const char c : info.name) EXPECT_TRUE((c >= 'a' && c <= 'z') || c == '_') << info.name;
    EXPECT_THAT(std::string(info.help) + std::string(info.alarm), Not(HasSubstr("|"))) << "breaks the table";
  };
  for (std::size_t i = 0; i < static_cast<std::size_t>(core::Counter::count_); ++i)
    look(info(static_cast<core::Counter>(i)));
  for (std::size_t i = 0; i < static_cast<std::size_t>(core::Gauge::count_); ++i)
    look(info(static_cast<core::Gauge>(i)));
  for (std::size_t i = 0; i < static_cast<std::size_t>(core::Timing::count_); ++i)
    look(info(static_cast<core::Timing>(i)));
}

// docs/metrics.md is what the tables say: `onward docs metrics >docs/metrics.md` when this fails.
TEST(MetricsText, the_page_is_fresh) {
  EXPECT_EQ(project_file("docs/metrics.md"), metrics_page());
}

HttpRequest::State state(std::string_view octets) {
  return parse_http_request(octets).state;
}

TEST(HttpRequest, good_ones) {
  const auto request = parse_http_request("GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n");
  ASSERT_EQ(request.state, HttpRequest::State::good);
  EXPECT_EQ(request.method, "GET");
  EXPECT_EQ(request.path, "/metrics");
  EXPECT_EQ(state("HEAD / HTTP/1.0\r\n\r\n"), HttpRequest::State::good);
  EXPECT_EQ(state("GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\nrest"), HttpRequest::State::good);
}

TEST(HttpRequest, bad_ones) {
  for (const char* octets :
       {"\r\n\r\n", "GET\r\n\r\n", "GET /\r\n\r\n", "GET  / HTTP/1.1\r\n\r\n", "GET / HTTP/2\r\n\r\n",
        "GET x HTTP/1.1\r\n\r\n", "G(T / HTTP/1.1\r\n\r\n", "GET /\x01 HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n", "GET / HTTP/1.1\r\n folded: x\r\n\r\n", "GET / HTTP/1.1\r\nA : x\r\n\r\n",
        "GET / HTTP/1.1\r\nA: \x7f\r\n\r\n", "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "CONNECT mail:25 HTTP/1.1\r\n\r\n"}) {
    EXPECT_EQ(state(octets), HttpRequest::State::bad) << octets;
  }
}

TEST(HttpRequest, limit) {
  const std::string line = "GET / HTTP/1.1\r\n";
  const std::string field = "A: " + std::string(kMaxHttpHead - line.size() - 7, 'x');
  EXPECT_EQ(state(line + field + "\r\n\r\n"), HttpRequest::State::good);
  EXPECT_EQ(state(line + field + "x\r\n\r\n"), HttpRequest::State::bad);
  EXPECT_EQ(state(std::string(kMaxHttpHead - 1, 'x')), HttpRequest::State::incomplete);
  EXPECT_EQ(state(std::string(kMaxHttpHead, 'x')), HttpRequest::State::bad);
  EXPECT_EQ(state(""), HttpRequest::State::incomplete);
}

TEST(HttpResponse, octets) {
  EXPECT_EQ(to_octets({404, "text/plain", ""}, false),
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 0\r\nCache-Control: no-store\r\n"
            "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(to_octets({200, "text/plain", "hello"}, true), HasSubstr("Content-Length: 5\r\n"));
  EXPECT_THAT(to_octets({200, "text/plain", "hello"}, true), ::testing::EndsWith("\r\n\r\n"));
  EXPECT_THAT(to_octets({405, "text/plain", ""}, false), HasSubstr("Allow: GET, HEAD\r\n"));
}

using boost::asio::ip::tcp;

boost::asio::awaitable<std::string> text() {
  co_return "onward_x 1\n";
}

class Running {
 public:
  Running()
      : server_(context_.get_executor(), "127.0.0.1:0",
                {[] { return text(); }, [this] { return std::string(ready_ ? "" : "draining"); }}) {
    std::string error;
    EXPECT_TRUE(server_.start(error)) << error;
    port_ = server_.port();
    thread_ = std::thread([this] {
      const auto work = boost::asio::make_work_guard(context_);
      context_.run();
    });
  }
  ~Running() {
    boost::asio::post(context_, [this] { server_.stop(); });
    boost::asio::post(context_, [this] { context_.stop(); });
    thread_.join();
  }
  tcp::socket connect() {
    tcp::socket socket(mine_);
    socket.connect({boost::asio::ip::address_v4::loopback(), port_});
    return socket;
  }
  std::string ask(const std::string& request) {
    auto socket = connect();
    boost::system::error_code ignored;
    boost::asio::write(socket, boost::asio::buffer(request), ignored);
    std::string answer;
    boost::asio::read(socket, boost::asio::dynamic_buffer(answer), ignored);
    return answer;
  }
  void set_ready(bool ready) { ready_ = ready; }

 private:
  std::atomic<bool> ready_{true};
  boost::asio::io_context context_{1}, mine_{1};
  MetricsServer server_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

TEST(MetricsServer, answers) {
  Running server;
  const auto metrics = server.ask("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(metrics, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(metrics, HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  EXPECT_THAT(metrics, ::testing::EndsWith("\r\n\r\nonward_x 1\n"));
  EXPECT_THAT(server.ask("HEAD /metrics HTTP/1.1\r\n\r\n"), ::testing::EndsWith("\r\n\r\n"));
  EXPECT_THAT(server.ask("GET /healthz HTTP/1.0\r\n\r\n"), HasSubstr("200 OK"));
  EXPECT_THAT(server.ask("GET /readyz HTTP/1.1\r\n\r\n"), HasSubstr("200 OK"));
  server.set_ready(false);
  const auto not_ready = server.ask("GET /readyz HTTP/1.1\r\n\r\n");
  EXPECT_THAT(not_ready, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(not_ready, ::testing::EndsWith("draining\n"));
  EXPECT_THAT(server.ask("GET /healthz HTTP/1.1\r\n\r\n"), HasSubstr("200 OK")) << "alive all the same";
}

TEST(MetricsServer, refuses) {
  Running server;
  EXPECT_THAT(server.ask("GET / HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(server.ask("GET /metrics/ HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(server.ask("DELETE /metrics HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 405"));
  EXPECT_THAT(server.ask("POST /metrics HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(server.ask("EHLO me\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(server.ask(std::string(kMaxHttpHead, 'x')), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(server.ask("GET /healthz HTTP/1.1\r\n\r\n" + std::string(1000, 'x')), StartsWith("HTTP/1.1 200"))
      << "what comes after the request does not cost the answer";
  const auto hostile = server.ask("GET /%0d%0aX:y HTTP/1.1\r\nX: \x1b[31m\r\n\r\n");
  EXPECT_THAT(hostile, Not(HasSubstr("X:y")));
}

// Sixteen at a time; the next is turned away at once, and when one ends there is room again.
TEST(MetricsServer, few_at_a_time) {
  Running server;
  std::vector<tcp::socket> idle;
  for (int i = 0; i < 16; ++i) idle.push_back(server.connect());
  EXPECT_EQ(server.ask("GET /healthz HTTP/1.1\r\n\r\n"), "");
  idle.clear();
  std::string answer;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (answer.empty() && std::chrono::steady_clock::now() < end) answer = server.ask("GET /healthz HTTP/1.1\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
}

TEST(MetricsServer, a_port_that_is_taken) {
  Running server;
  boost::asio::io_context context;
  tcp::acceptor other(context, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
  MetricsServer second(context.get_executor(), "127.0.0.1:" + std::to_string(other.local_endpoint().port()), {});
  std::string error;
  EXPECT_FALSE(second.start(error));
  EXPECT_THAT(error, HasSubstr("metrics.listen: 127.0.0.1:"));
  EXPECT_THAT(error, HasSubstr("in use"));
  MetricsServer wrong(context.get_executor(), "localhost:1", {});
  EXPECT_FALSE(wrong.start(error));
}

}  // namespace
}  // namespace app::test
