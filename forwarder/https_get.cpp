#include "forwarder/https_get.hpp"

#include <fmt/format.h>

#include <boost/asio/experimental/awaitable_operators.hpp>

#include "core/text.hpp"
#include "net/http.hpp"

namespace forwarder {
namespace {

constexpr std::size_t kMaxAddresses = 4;
constexpr core::Seconds kConnectPatience{3};
constexpr std::size_t kBuffer = 16 * 1024;

HttpsAnswer failed(HttpsAnswer::Result result, std::string why) {
  HttpsAnswer answer;
  answer.result = result;
  answer.why = std::move(why);
  return answer;
}

HttpsAnswer unreachable(std::string_view what, const core::Error& error) {
  return failed(HttpsAnswer::Result::unreachable, fmt::format("{}: {}", what, core::describe(error)));
}

// The families take turns, so that neither a broken IPv6 nor a broken IPv4 costs all the time there is.
std::vector<core::IpAddress> order(std::vector<core::IpAddress> six, std::vector<core::IpAddress> four) {
  std::vector<core::IpAddress> out;
  for (std::size_t i = 0; i < std::max(six.size(), four.size()); ++i) {
    if (i < six.size()) out.push_back(six[i]);
    if (i < four.size()) out.push_back(four[i]);
  }
  return out;
}

// "text/plain; charset=utf-8"
bool is_plain_text(std::string_view type) {
  return core::iequals(core::trim(type.substr(0, type.find(';'))), "text/plain");
}

std::string question_of(const HttpsRequest& request) {
  const std::string host = request.port == 443 ? request.host : fmt::format("{}:{}", request.host, request.port);
  if (request.method == HttpsRequest::Method::post) {
    return fmt::format(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nAccept-Encoding: identity\r\n"
        "Connection: close\r\n\r\n{}",
        request.path, host, request.content_type, request.body.size(), request.body);
  }
  return fmt::format(
      "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: text/plain\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n",
      request.path, host);
}

// Everything after the handshake.
net::Awaitable<HttpsAnswer> ask(net::Stream& stream, const HttpsRequest& request, core::Deadline deadline) {
  const std::string question = question_of(request);
  const auto sent = co_await stream.write(question, deadline);
  if (!sent) co_return unreachable("the request", sent.error());
  stream.set_buffer_limit(kBuffer);
  net::HttpResponse response(request.max_octets);
  for (bool whole = false; !whole;) {
    const auto got = co_await stream.fill(deadline);
    if (!got && got.error() == core::Errc::closed) {
      if (!response.finish()) co_return failed(HttpsAnswer::Result::unreachable, "the response is cut off");
      break;
    }
    if (!got) co_return unreachable("the response", got.error());
    const auto octets = stream.buffered();
    const auto done = response.feed(octets);
    stream.consume(octets.size());
    if (!done && done.error() == core::Errc::exhausted) {
      co_return failed(HttpsAnswer::Result::refused, fmt::format("it is larger than {} octets", request.max_octets));
    }
    if (!done) co_return failed(HttpsAnswer::Result::unreachable, "the response is no HTTP");
    whole = *done == net::HttpResponse::Progress::whole;
  }
  HttpsAnswer answer;
  answer.result = HttpsAnswer::Result::ok;
  if (request.method == HttpsRequest::Method::post && response.status() / 100 == 2) co_return answer;
  if (response.status() != 200) {
    co_return failed(HttpsAnswer::Result::refused, fmt::format("the server says {}", response.status()));
  }
  if (!is_plain_text(response.field("content-type"))) {
    co_return failed(HttpsAnswer::Result::refused, "it is no text/plain");
  }
  answer.body = response.body();
  co_return answer;
}

net::Awaitable<HttpsAnswer> try_address(HttpsMeans means, const HttpsRequest& request, core::IpAddress address,
                                        core::Deadline deadline) {
  auto connected = co_await net::connect(address, request.port, std::nullopt, deadline.within(kConnectPatience));
  if (!connected) co_return unreachable("connecting to " + address.to_string(), connected.error());
  auto& stream = **connected;
  net::TlsDemand demand;
  demand.verify =
      request.method == HttpsRequest::Method::get ? net::TlsDemand::Verify::roots : net::TlsDemand::Verify::encrypt;
  demand.server_name = request.host;
  const auto shaken = co_await stream.start_tls(means.client, std::move(demand), deadline);
  if (!shaken) {
    const bool certificate =
        stream.tls_fault() != net::TlsFault::none && stream.tls_fault() != net::TlsFault::handshake;
    co_return failed(certificate ? HttpsAnswer::Result::untrusted : HttpsAnswer::Result::unreachable,
                     stream.tls_error().empty() ? core::describe(shaken.error()) : stream.tls_error());
  }
  auto answer = co_await ask(stream, request, deadline);
  stream.close();
  co_return answer;
}

}  // namespace

net::Awaitable<HttpsAnswer> https_request(HttpsMeans means, HttpsRequest request, core::Deadline deadline) {
  using boost::asio::experimental::awaitable_operators::operator&&;
  dns::Question six{core::lower(request.host), dns::Type::aaaa};
  dns::Question four{core::lower(request.host), dns::Type::a};
  auto [answer6, answer4] =
      co_await (means.resolver.resolve(std::move(six), deadline) && means.resolver.resolve(std::move(four), deadline));
  bool refused = false;
  const auto allowed = [&](const std::vector<core::IpAddress>& found) {
    std::vector<core::IpAddress> out;
    for (const auto& ip : found) {
      const auto plain = ip.unmapped();
      if (plain.is_private() && !request.private_addresses) {
        refused = true;  // UP-13 in another dress
      } else {
        out.push_back(plain);
      }
    }
    return out;
  };
  const auto addresses = order(allowed(answer6.addresses), allowed(answer4.addresses));
  if (addresses.empty()) {
    co_return failed(HttpsAnswer::Result::unreachable,
                     refused ? request.host + " has no public address" : request.host + " has no address");
  }
  HttpsAnswer last;
  for (std::size_t i = 0; i < std::min(addresses.size(), kMaxAddresses) && !deadline.passed(); ++i) {
    last = co_await try_address(means, request, addresses[i], deadline);
    if (last.result != HttpsAnswer::Result::unreachable) break;
  }
  if (last.why.empty()) last.why = "no time left";
  co_return last;
}

}  // namespace forwarder
