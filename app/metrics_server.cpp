#include "app/metrics_server.hpp"

#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "app/http_request.hpp"
#include "app/metrics_text.hpp"
#include "app/peer_server.hpp"
#include "core/ip.hpp"

namespace app {
namespace {

using boost::asio::awaitable;
using boost::asio::ip::tcp;

constexpr int kBacklog = 16;
const auto kToken = boost::asio::as_tuple(boost::asio::use_awaitable);

}  // namespace

struct MetricsServer::Impl final : PeerServer<tcp> {
  Impl(const boost::asio::any_io_executor& executor, std::string listen, Callbacks c)
      : PeerServer(executor), address(std::move(listen)), callbacks(std::move(c)) {}

  awaitable<void> talk(std::shared_ptr<tcp::socket> socket) override;
  awaitable<HttpResponse> answer(HttpRequest request);

  std::string address;
  Callbacks callbacks;
};

awaitable<void> MetricsServer::Impl::talk(std::shared_ptr<tcp::socket> socket) {
  std::string octets(kMaxHttpHead, '\0');
  std::size_t have = 0;
  HttpRequest request;
  while (request.state == HttpRequest::State::incomplete) {
    auto [error, n] =
        co_await socket->async_read_some(boost::asio::buffer(octets.data() + have, octets.size() - have), kToken);
    if (error) co_return;
    have += n;
    request = parse_http_request(std::string_view(octets).substr(0, have));
  }
  const auto answered = co_await answer(request);
  const auto response = to_octets(answered, request.method == "HEAD");
  auto [error, n] = co_await boost::asio::async_write(*socket, boost::asio::buffer(response), kToken);
  if (error) co_return;
  // What the peer has sent beyond its request would turn our close into a reset, and cost it the answer.
  boost::system::error_code ignored;
  socket->shutdown(tcp::socket::shutdown_send, ignored);
  for (std::size_t rest = 0; rest < kMaxHttpHead;) {
    auto [ended, more] = co_await socket->async_read_some(boost::asio::buffer(octets), kToken);
    if (ended) co_return;
    rest += more;
  }
}

awaitable<HttpResponse> MetricsServer::Impl::answer(HttpRequest request) {
  HttpResponse response;
  if (request.state == HttpRequest::State::bad) {
    response.status = 400;
  } else if (request.method != "GET" && request.method != "HEAD") {
    response.status = 405;
  } else if (request.path == "/metrics") {
    response.type = kMetricsType;
    response.body = co_await callbacks.metrics();
  } else if (request.path == "/healthz") {
    response.body = "ok\n";
  } else if (request.path == "/readyz") {
    const auto why = callbacks.not_ready();
    response.status = why.empty() ? 200 : 503;
    response.body = (why.empty() ? "ok" : why) + "\n";
  } else {
    response.status = 404;
  }
  co_return response;
}

MetricsServer::MetricsServer(boost::asio::any_io_executor executor, std::string address, Callbacks callbacks)
    : impl_(std::make_shared<Impl>(executor, std::move(address), std::move(callbacks))) {}

MetricsServer::~MetricsServer() {
  stop();
}

bool MetricsServer::start(std::string& error) {
  const auto where = core::HostPort::parse(impl_->address);
  boost::system::error_code bad;
  const auto ip = where ? boost::asio::ip::make_address(where->host, bad) : boost::asio::ip::address();
  if (!where || bad) {
    error = fmt::format("metrics.listen: {} is no address", impl_->address);
    return false;
  }
  const tcp::endpoint endpoint(ip, where->port);
  auto& acceptor = impl_->acceptor;
  acceptor.open(endpoint.protocol(), bad);
  if (!bad) acceptor.set_option(tcp::acceptor::reuse_address(true), bad);
  if (!bad) acceptor.bind(endpoint, bad);
  if (!bad) acceptor.listen(kBacklog, bad);
  if (bad) {
    error = fmt::format("metrics.listen: {}: {}", impl_->address, bad.message());
    boost::system::error_code ignored;
    acceptor.close(ignored);
    return false;
  }
  impl_->run();
  return true;
}

void MetricsServer::stop() {
  if (!impl_->acceptor.is_open()) return;
  boost::system::error_code ignored;
  impl_->acceptor.close(ignored);
}

std::uint16_t MetricsServer::port() const {
  boost::system::error_code ignored;
  return impl_->acceptor.local_endpoint(ignored).port();
}

}  // namespace app
