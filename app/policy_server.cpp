#include "app/policy_server.hpp"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "forwarder/mta_sts.hpp"
#include "net/http.hpp"
#include "net/stream.hpp"

namespace app {
namespace {

constexpr std::size_t kMaxRequest = 8 * 1024;

std::string response(int status, std::string_view reason, std::string_view body, std::string_view extra = "") {
  return fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n{}Connection: "
      "close\r\n\r\n{}",
      status, reason, body.size(), extra, body);
}

// One place among the connections at once.
class Place {
 public:
  explicit Place(std::shared_ptr<std::atomic<unsigned>> open) : open_(std::move(open)) { ++*open_; }
  Place(const Place&) = delete;
  ~Place() { --*open_; }
  bool granted() const { return *open_ <= PolicyServer::kMaxConnections; }

 private:
  std::shared_ptr<std::atomic<unsigned>> open_;
};

net::Awaitable<void> serve(net::Socket socket, std::shared_ptr<const Config> config,
                           std::shared_ptr<std::atomic<unsigned>> open, core::Log log) {
  const Place place(std::move(open));
  if (!place.granted()) co_return;
  const auto deadline = core::Deadline::after(PolicyServer::kPatience);
  net::Stream stream(std::move(socket));
  if (!co_await stream.start_tls(*config->https.server, deadline)) co_return;
  stream.set_buffer_limit(kMaxRequest);
  std::string_view head;
  while (head.empty()) {
    const auto got = co_await stream.fill(deadline);
    if (!got && got.error() != core::Errc::line_too_long) co_return;
    const auto octets = stream.buffered();
    const auto end = octets.find("\r\n\r\n");
    if (end != std::string_view::npos) head = octets.substr(0, end + 4);
    if (!got) break;  // too long a head is answered as none
  }
  const auto answer = answer_policy_request(head, *config->forwarding.routes, config->smtp.hostname);
  log.debug("https_request", {{"client_ip", stream.remote_address().to_string()},
                              {"request", head.substr(0, head.find('\r'))},
                              {"answer", std::string_view(answer).substr(0, answer.find('\r'))}});
  static_cast<void>(co_await stream.write(answer, deadline));
  stream.close();
}

}  // namespace

std::string answer_policy_request(std::string_view head, const policy::Routes& routes, const std::string& hostname) {
  const auto request = net::parse_http_request(head);
  if (!request) return response(400, "Bad Request", "");
  if (request->method != "GET" && request->method != "HEAD") {
    return response(405, "Method Not Allowed", "", "Allow: GET, HEAD\r\n");
  }
  constexpr std::string_view kPrefix = "mta-sts.";
  const bool known = request->path == forwarder::kStsPath && request->host.starts_with(kPrefix) &&
                     routes.is_ours(std::string_view(request->host).substr(kPrefix.size()));
  if (!known) return response(404, "Not Found", "");
  auto answer = response(200, "OK", forwarder::own_sts_policy(hostname));
  if (request->method == "HEAD") answer.resize(answer.find("\r\n\r\n") + 4);
  return answer;
}

bool PolicyServer::bind(const Config& config, std::string& error) {
  fresh_.reset();
  if (config.https.listen.empty() || (listener_ && config.https.listen == address_)) return true;
  auto opened = net::Listener::open(control_.get_executor(), config.https.listen, metrics_, error);
  if (opened.empty()) {
    error = fmt::format("{}: {}: {}", config.https.where, config.https.listen, error);
    return false;
  }
  fresh_ = std::move(opened.front());
  return true;
}

void PolicyServer::use(const std::shared_ptr<const Config>& config, boost::asio::any_io_executor shard) {
  config_ = config;
  shard_ = std::move(shard);
  if (listener_ && config->https.listen != address_) {
    listener_->stop();
    retired_.push_back(std::move(listener_));
  }
  address_ = config->https.listen;
  if (!fresh_) return;
  listener_ = std::move(fresh_);
  log_.info("listening_https",
            {{"address", core::HostPort{listener_->address().to_string(), listener_->port()}.to_string()}});
  run(*listener_);
}

void PolicyServer::run(net::Listener& listener) {
  const auto next = [this] { return shard_; };
  const auto handler = [this](net::Socket socket) {
    boost::asio::post(socket.get_executor(),
                      [taken = std::move(socket), config = config_, open = open_, log = log_]() mutable {
                        const auto executor = taken.get_executor();
                        auto work = serve(std::move(taken), std::move(config), std::move(open), std::move(log));
                        boost::asio::co_spawn(executor, std::move(work), boost::asio::detached);
                      });
  };
  auto work = listener.run(next, handler);
  boost::asio::co_spawn(control_, std::move(work), boost::asio::detached);
}

void PolicyServer::stop() {
  if (listener_) listener_->stop();
}

}  // namespace app
