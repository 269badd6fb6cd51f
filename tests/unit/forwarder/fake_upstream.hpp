// A scripted SMTP server on a real socket: the far end of the engine's tests. It speaks plain SMTP and does, at each
// verb, what the test says: another reply, silence, or a closed connection.
#pragma once

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/text.hpp"
#include "net/stream.hpp"

namespace test {

class FakeUpstream {
 public:
  struct Message {
    std::string mail, data;
    std::vector<std::string> rcpt;
    bool ipv6 = false;
  };
  // What to do at a verb ("connect", "EHLO", "MAIL", "RCPT", "DATA", "dot", "BDAT", "RSET", "QUIT").
  struct Act {
    std::string octets;  // sent as they are; "" with close: nothing is said
    bool close = false;
    bool silent = false;
  };
  // Empty: the usual positive answer.
  using Script = std::function<std::optional<Act>(const std::string& verb, const std::string& line, bool ipv6)>;

  FakeUpstream(boost::asio::io_context& context, const std::string& address, std::uint16_t port = 0)
      : acceptor_(context, boost::asio::ip::tcp::endpoint(boost::asio::ip::make_address(address), port)) {
    auto work = accept();
    boost::asio::co_spawn(context, std::move(work), boost::asio::detached);
  }
  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

  Script script;
  std::string ehlo = "PIPELINING\n8BITMIME\nSMTPUTF8\nSIZE 50000000";  // keywords, one a line
  std::vector<Message> messages;
  std::vector<std::string> verbs;  // as they came, over all connections
  int connections = 0;

  std::size_t count(const std::string& verb) const {
    return static_cast<std::size_t>(std::count(verbs.begin(), verbs.end(), verb));
  }

 private:
  struct Session {
    std::unique_ptr<net::Stream> stream;
    bool ipv6 = false;
    Message message;
  };

  net::Awaitable<void> accept() {
    for (;;) {
      auto [error, socket] = co_await acceptor_.async_accept(boost::asio::as_tuple(boost::asio::use_awaitable));
      if (error) co_return;
      ++connections;
      auto session = std::make_shared<Session>();
      session->stream = std::make_unique<net::Stream>(std::move(socket));
      session->ipv6 = session->stream->local_address().is_v6();
      auto work = serve(session);
      boost::asio::co_spawn(acceptor_.get_executor(), std::move(work), boost::asio::detached);
    }
  }

  static core::Deadline limit() { return core::Deadline::after(std::chrono::seconds(20)); }

  // True: go on.
  net::Awaitable<bool> answer(std::shared_ptr<Session> s, std::string verb, std::string line, std::string usual) {
    verbs.push_back(verb);
    std::optional<Act> act;
    if (script) act = script(verb, line, s->ipv6);
    if (act && act->silent) co_return true;
    const std::string octets = act ? act->octets : usual;
    if (!octets.empty() && !co_await s->stream->write(octets, limit())) co_return false;
    if (act && act->close) {
      s->stream->close();
      co_return false;
    }
    co_return true;
  }

  net::Awaitable<std::optional<std::string>> line(std::shared_ptr<Session> s) {
    for (;;) {
      const auto have = s->stream->buffered();
      if (const auto end = have.find("\r\n"); end != std::string_view::npos) {
        std::string text(have.substr(0, end));
        s->stream->consume(end + 2);
        co_return text;
      }
      if (!co_await s->stream->fill(limit())) co_return std::nullopt;
    }
  }

  net::Awaitable<std::optional<std::string>> octets(std::shared_ptr<Session> s, std::size_t n) {
    std::string out;
    while (out.size() < n) {
      if (s->stream->buffered().empty() && !co_await s->stream->fill(limit())) co_return std::nullopt;
      const auto have = s->stream->buffered().substr(0, n - out.size());
      out += have;
      s->stream->consume(have.size());
    }
    co_return out;
  }

  void take(Session& s) {
    s.message.ipv6 = s.ipv6;
    messages.push_back(std::move(s.message));
    s.message = Message();
  }

  net::Awaitable<void> serve(std::shared_ptr<Session> s) {
    s->stream->set_buffer_limit(65536);
    if (!co_await answer(s, "connect", "", "220 fake.test\r\n")) co_return;
    for (;;) {
      auto command = co_await line(s);
      if (!command) co_return;
      std::string verb = command->substr(0, 4);
      for (auto& c : verb) c = core::to_upper(c);
      if (verb == "EHLO" || verb == "LHLO") {
        std::string reply = "250-fake.test\r\n";
        const auto keywords = core::split(ehlo, '\n');
        for (std::size_t i = 0; i < keywords.size(); ++i) {
          reply += (i + 1 == keywords.size() ? "250 " : "250-") + std::string(keywords[i]) + "\r\n";
        }
        if (!co_await answer(s, verb, *command, reply)) co_return;
      } else if (verb == "MAIL") {
        s->message = Message();
        s->message.mail = *command;
        if (!co_await answer(s, verb, *command, "250 2.1.0 ok\r\n")) co_return;
      } else if (verb == "RCPT") {
        s->message.rcpt.push_back(*command);
        if (!co_await answer(s, verb, *command, "250 2.1.5 ok\r\n")) co_return;
      } else if (verb == "DATA") {
        if (!co_await answer(s, verb, *command, "354 go\r\n")) co_return;
        if (script && script("DATA?", "", s->ipv6)) continue;  // the script refused DATA: no body follows
        for (;;) {
          auto text = co_await line(s);
          if (!text) co_return;
          if (*text == ".") break;
          s->message.data += (text->starts_with('.') ? text->substr(1) : *text) + "\r\n";
        }
        take(*s);
        if (!co_await answer(s, "dot", "", "250 2.0.0 taken\r\n")) co_return;
      } else if (verb == "BDAT") {
        const auto words = core::split(*command, ' ');
        const auto body = co_await octets(s, static_cast<std::size_t>(core::parse_number(words[1]).value_or(0)));
        if (!body) co_return;
        s->message.data += *body;
        const bool last = words.size() > 2;
        if (last) take(*s);
        if (!co_await answer(s, last ? "dot" : "BDAT", *command, "250 2.0.0 ok\r\n")) co_return;
      } else if (verb == "QUIT") {
        static_cast<void>(co_await answer(s, verb, *command, "221 bye\r\n"));
        s->stream->close();
        co_return;
      } else {
        if (!co_await answer(s, verb, *command, "250 ok\r\n")) co_return;
      }
    }
  }

  boost::asio::ip::tcp::acceptor acceptor_;
};

}  // namespace test
