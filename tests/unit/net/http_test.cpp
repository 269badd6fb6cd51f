// HTTP messages as octets: what is whole, what is none, and that slices do not matter.
#include "net/http.hpp"

#include <gtest/gtest.h>

namespace net {
namespace {

using core::Errc;

struct Read {
  bool whole = false;
  core::Error error;
  int status = 0;
  std::string body, type;
  friend bool operator==(const Read&, const Read&) = default;
};

Read read(std::string_view octets, std::size_t slice, std::size_t limit = 100) {
  HttpResponse response(limit);
  Read result;
  while (!octets.empty() && !result.whole && !result.error) {
    const auto done = response.feed(octets.substr(0, slice));
    octets.remove_prefix(std::min(slice, octets.size()));
    if (done) {
      result.whole = *done == HttpResponse::Progress::whole;
    } else {
      result.error = done.error();
    }
  }
  if (!result.whole && !result.error) {
    const auto end = response.finish();
    result.whole = end.has_value();
    if (!end) result.error = end.error();
  }
  result.status = response.status();
  result.body = response.body();
  result.type = response.field("Content-Type");
  return result;
}

Read read(const std::string& octets, std::size_t limit = 100) {
  const auto result = read(octets, octets.size(), limit);
  for (const std::size_t slice : {1U, 2U, 3U, 7U})
    EXPECT_TRUE(read(octets, slice, limit) == result) << octets.substr(0, 200);
  return result;
}

std::string response(const std::string& fields, const std::string& body) {
  return "HTTP/1.1 200 OK\r\n" + fields + "\r\n" + body;
}

TEST(HttpResponse, bodies_by_length_by_chunks_and_to_the_end) {
  const auto by_length = read(response("content-TYPE: text/plain\r\nContent-Length: 5\r\n", "hello and more"));
  EXPECT_TRUE(by_length.whole);
  EXPECT_EQ(by_length.status, 200);
  EXPECT_EQ(by_length.body, "hello");
  EXPECT_EQ(by_length.type, "text/plain");
  EXPECT_EQ(read(response("Transfer-Encoding: chunked\r\n", "3\r\nhel\r\n002;x=y\r\nlo\r\n0\r\nX: y\r\n\r\n")).body,
            "hello");
  EXPECT_EQ(read(response("", "hello")).body, "hello");
  EXPECT_TRUE(read(response("Content-Length: 0\r\n", "")).whole);
  EXPECT_EQ(read("HTTP/1.0 404 \r\n\r\nno").status, 404);
  EXPECT_EQ(read("HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n").status, 404);
  EXPECT_TRUE(read("HTTP/1.1 204 x\r\n\r\n").whole);
  const auto interim = read("HTTP/1.1 103 Early\r\nA: b\r\n\r\n" + response("Content-Length: 2\r\n", "ok"));
  EXPECT_EQ(interim.body, "ok");
  EXPECT_EQ(read(response("Content-Length: 2\r\nContent-Length: 2\r\n", "ok")).body, "ok");
}

TEST(HttpResponse, what_is_none) {
  for (const auto& octets : {
           std::string("220 mx.example ESMTP\r\n\r\n"),
           std::string("HTTP/2 200 OK\r\n\r\n"),
           std::string("HTTP/1.1 099 OK\r\n\r\n"),
           std::string("HTTP/1.1 2000 OK\r\n\r\n"),
           std::string("HTTP/1.1 101 Other\r\n\r\n"),
           std::string("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"),
           std::string("HTTP/1.1 200 OK\r\nA : b\r\n\r\n"),
           std::string("HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n"),
           std::string("HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n"),
           std::string("HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n", 27),
           response("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"),
           response("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
           response("Transfer-Encoding: gzip\r\n", "x"),
           response("Content-Encoding: gzip\r\nContent-Length: 1\r\n", "x"),
           response("Content-Length: -1\r\n", "x"),
           response("Content-Length: 5\r\n", "hell"),
           response("Transfer-Encoding: chunked\r\n", "5\r\nhello"),
           response("Transfer-Encoding: chunked\r\n", "5\r\nhelloxx0\r\n\r\n"),
           response("Transfer-Encoding: chunked\r\n", "x\r\n"),
           response("Transfer-Encoding: chunked\r\n", "\r\n"),
           response("Transfer-Encoding: chunked\r\n", "ffffffffffffffff\r\n"),
           response("Transfer-Encoding: chunked\r\n", std::string(300, '0')),
           std::string(""),
       }) {
    EXPECT_EQ(read(octets).error, Errc::protocol) << octets.substr(0, 200);
  }
}

TEST(HttpResponse, limits_hold_at_and_above) {
  const std::string full(100, 'x'), over(101, 'x');
  EXPECT_TRUE(read(response("Content-Length: 100\r\n", full)).whole);
  EXPECT_EQ(read(response("Content-Length: 101\r\n", over)).error, Errc::exhausted);
  EXPECT_EQ(read(response("Content-Length: 18446744073709551615\r\n", "")).error, Errc::exhausted);
  EXPECT_TRUE(read(response("", full)).whole);
  EXPECT_EQ(read(response("", over)).error, Errc::exhausted);
  EXPECT_TRUE(read(response("Transfer-Encoding: chunked\r\n", "64\r\n" + full + "\r\n0\r\n\r\n")).whole);
  EXPECT_EQ(read(response("Transfer-Encoding: chunked\r\n", "64\r\n" + full + "\r\n1\r\nx\r\n0\r\n\r\n")).error,
            Errc::exhausted);
  const auto fields = [](std::size_t n) {
    std::string text;
    for (std::size_t i = 0; i < n; ++i) text += "A: b\r\n";
    return text;
  };
  EXPECT_TRUE(read(response(fields(kMaxHttpFields), "")).whole);
  EXPECT_EQ(read(response(fields(kMaxHttpFields + 1), "")).error, Errc::protocol);
  const std::string first = "HTTP/1.1 200 OK\r\nA: ";
  EXPECT_TRUE(read(first + std::string(kMaxHttpHead - first.size(), 'x') + "\r\n\r\n").whole);
  EXPECT_EQ(read(first + std::string(kMaxHttpHead - first.size() + 1, 'x') + "\r\n\r\n").error, Errc::protocol);
  EXPECT_EQ(read(std::string(kMaxHttpHead + 1, 'x')).error, Errc::protocol);
  std::string interim;
  for (std::size_t i = 0; i < kMaxHttpHead; i += 16) interim += "HTTP/1.1 100 go on\r\n\r\n";
  EXPECT_EQ(read(interim).error, Errc::protocol);
}

TEST(HttpRequest, the_head_of_one) {
  const auto request = parse_http_request(
      "GET /.well-known/mta-sts.txt?x=y HTTP/1.1\r\nAccept: */*\r\nHost: MTA-STS.Example.org.:443\r\n\r\n");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->method, "GET");
  EXPECT_EQ(request->path, "/.well-known/mta-sts.txt");
  EXPECT_EQ(request->host, "mta-sts.example.org");
  EXPECT_EQ(parse_http_request("HEAD / HTTP/1.0\r\n\r\n")->host, "");
  EXPECT_EQ(parse_http_request("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")->host, "a.example");
  for (const std::string_view bad :
       {"", "\r\n", "GET /\r\n\r\n", "GET  / HTTP/1.1\r\n\r\n", "GET http://x/ HTTP/1.1\r\n\r\n",
        "GET / HTTP/2\r\n\r\n", "G\x01T / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n", "GET / HTTP/1.1\nHost: a\n\n",
        "EHLO x\r\n\r\n"}) {
    EXPECT_FALSE(parse_http_request(bad)) << bad;
  }
}

}  // namespace
}  // namespace net
