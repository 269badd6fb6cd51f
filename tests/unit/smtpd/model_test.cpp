// SM-09: random command sequences against a reference written from the RFCs and the rules of threats.md alone. The
// reference reads abstract commands, never octets, and shares no code with the dialogue; both must give the same codes
// and agree on whether a transaction is open and what it holds.
#include <gtest/gtest.h>

#include <array>
#include <random>

#include "tests/unit/smtpd/script.hpp"

namespace smtpd::testing {
namespace {

enum class Do {
  helo,
  ehlo,
  mail,
  mail_utf8_fault,
  mail_syntax,
  mail_too_big,
  rcpt,
  rcpt_syntax,
  data,
  data_bad,
  data_too_big,
  bdat,
  bdat_last,
  bdat_zero,
  bdat_bad_octets,
  bdat_syntax,
  bdat_too_big,
  rset,
  noop,
  vrfy,
  vrfy_fault,
  expn,
  starttls,
  unknown,
  bare_line_end,
  count_
};

struct Move {
  Do what;
  int verdict;  // what the world answers, where it is asked: 250, 451 or 550
};

struct Model {
  static constexpr unsigned kRecipients = 5, kJunk = 100, kErrors = 20, kSize = 1000;

  bool greeted = false, tls = false, open = false, chunks = false, bad_octets = false, closed = false;
  unsigned accepted = 0, tried = 0, errors = 0, junk = 0, size = 0, messages = 0;
  bool asks_begin = false;

  // The codes the client hears for this move, in order.
  std::vector<int> play(const Move& move) {
    switch (move.what) {
      case Do::helo:
      case Do::ehlo:
        reset();
        greeted = true;
        return idle(250);
      case Do::mail:
        return mail(move.verdict);
      case Do::mail_utf8_fault:
        reset();
        return error(553);
      case Do::mail_syntax:
        reset();
        return error(501);
      case Do::mail_too_big:
        if (!greeted || open) return reset(), error(503);
        return error(greeted ? 552 : 503);
      case Do::rcpt:
        return rcpt(move.verdict);
      case Do::rcpt_syntax:
        return error(501);
      case Do::data:
      case Do::data_bad:
      case Do::data_too_big:
        return data(move);
      case Do::bdat:
        return bdat(10, false, move);
      case Do::bdat_last:
        return bdat(10, true, move);
      case Do::bdat_zero:
        return bdat(0, false, move);
      case Do::bdat_bad_octets:
        return bdat(10, false, move);
      case Do::bdat_syntax:
        reset();
        return error(501);
      case Do::bdat_too_big:
        return bdat(kSize + 1, true, move);
      case Do::rset:
        reset();
        return idle(250);
      case Do::noop:
        return idle(250);
      case Do::vrfy:
        return idle(252);
      case Do::vrfy_fault:
        reset();
        return error(553);
      case Do::expn:
        return error(502);
      case Do::starttls:
        if (tls) return error(503);
        reset();
        greeted = false;
        tls = true;
        return {220};
      case Do::unknown:
      case Do::bare_line_end:
        return error(500);
      case Do::count_:
        break;
    }
    return {};
  }

 private:
  void reset() { open = chunks = bad_octets = false, accepted = tried = size = 0; }
  std::vector<int> error(int code) {
    if (code < 500) return {code};
    if (++errors <= kErrors) return {code};
    closed = true;
    return {421};
  }
  std::vector<int> idle(int code) {
    if (++junk <= kJunk || ++errors <= kErrors) return {code};
    closed = true;
    return {421};
  }
  std::vector<int> mail(int verdict) {
    if (!greeted || open) return reset(), error(503);
    if (verdict != 250) return error(verdict);
    open = true;
    return {250};
  }
  std::vector<int> rcpt(int verdict) {
    if (!open || chunks) return reset(), error(503);
    if (++tried > 2 * kRecipients) return closed = true, std::vector<int>{421};
    if (accepted >= kRecipients) return {452};
    if (verdict != 250) return error(verdict);
    ++accepted;
    return {250};
  }
  std::vector<int> data(const Move& move) {
    if (!open || chunks) return reset(), error(503);
    if (accepted == 0) return error(554);
    auto codes = std::vector<int>{354};
    reset();
    const auto last = move.what == Do::data_bad       ? error(550)
                      : move.what == Do::data_too_big ? error(552)
                                                      : finish(move.verdict);
    codes.insert(codes.end(), last.begin(), last.end());
    return codes;
  }
  std::vector<int> bdat(unsigned octets, bool last, const Move& move) {
    if (!open || accepted == 0) {
      const int code = open ? 554 : 503;
      reset();
      auto codes = error(code);
      closed = closed || octets > kSize;
      return codes;
    }
    chunks = true;
    if (size + octets > kSize) {
      closed = size + octets > 2 * kSize;
      return reset(), error(552);
    }
    size += octets;
    bad_octets = bad_octets || move.what == Do::bdat_bad_octets;
    if (!last) return octets == 0 ? idle(250) : std::vector<int>{250};
    const bool bad = bad_octets;
    reset();
    return bad ? error(550) : finish(move.verdict);
  }
  std::vector<int> finish(int verdict) {
    if (verdict != 250) return error(verdict);
    errors = junk = 0;
    ++messages;
    return {250};
  }
};

std::string octets_of(Do what) {
  switch (what) {
    case Do::helo:
      return "HELO c.test\r\n";
    case Do::ehlo:
      return "EHLO c.test\r\n";
    case Do::mail:
      return "MAIL FROM:<a@a.test>\r\n";
    case Do::mail_utf8_fault:
      return "MAIL FROM:<\xc3\xa9@a.test>\r\n";
    case Do::mail_syntax:
      return "MAIL FROM:<a@@>\r\n";
    case Do::mail_too_big:
      return "MAIL FROM:<a@a.test> SIZE=1001\r\n";
    case Do::rcpt:
      return "RCPT TO:<b@b.test>\r\n";
    case Do::rcpt_syntax:
      return "RCPT TO:<b@>\r\n";
    case Do::data:
    case Do::data_bad:
    case Do::data_too_big:
      return "DATA\r\n";
    case Do::bdat:
      return "BDAT 10\r\n.\r\nQUIT\r\n.";
    case Do::bdat_last:
      return "BDAT 10 LAST\r\n.\r\nQUIT\r\n.";
    case Do::bdat_zero:
      return "BDAT 0\r\n";
    case Do::bdat_bad_octets:
      return "BDAT 10\r\n0123\n56789";
    case Do::bdat_syntax:
      return "BDAT 5 LASTX\r\n";
    case Do::bdat_too_big:
      return "BDAT 1001 LAST\r\n" + std::string(1001, 'x');
    case Do::rset:
      return "RSET\r\n";
    case Do::noop:
      return "NOOP\r\n";
    case Do::vrfy:
      return "VRFY x\r\n";
    case Do::vrfy_fault:
      return "VRFY \xc3\xa9\r\n";
    case Do::expn:
      return "EXPN x\r\n";
    case Do::starttls:
      return "STARTTLS\r\n";
    case Do::unknown:
      return "WHATISTHIS\r\n";
    case Do::bare_line_end:
      return "NOOP\n";
    case Do::count_:
      break;
  }
  return {};
}

// mail_too_big before EHLO needs EHLO for its parameter: 555 then.
bool parameter_needs_ehlo(Do what) {
  return what == Do::mail_too_big;
}

struct Player {
  std::mt19937 random;
  std::array<int, static_cast<std::size_t>(Do::count_)> played{};

  int verdict() {
    const auto roll = random() % 10;
    return roll < 8 ? 250 : roll == 8 ? 451 : 550;
  }

  // Mostly sensible next steps, so that the deep states are reached, and anything at all in between.
  Do choose(const Model& model) {
    if (random() % 3 == 0) return static_cast<Do>(random() % static_cast<unsigned>(Do::count_));
    if (!model.greeted) return Do::ehlo;
    if (!model.open) return Do::mail;
    if (model.chunks) return std::array{Do::bdat, Do::bdat_last, Do::bdat_bad_octets}[random() % 3];
    if (model.accepted == 0) return Do::rcpt;
    return std::array{Do::rcpt, Do::data, Do::data_bad, Do::data_too_big, Do::bdat, Do::bdat_last}[random() % 6];
  }

  void session() {
    Script script(small_settings(), TlsOffer::starttls);
    Model model;
    Move move{};
    bool extended = false;
    script.decide([&](Ask ask, unsigned) {
      return ask == Ask::begin || move.verdict == 250
                 ? mail::Reply(250, {2, 0, 0}, "OK")
                 : mail::Reply(move.verdict, {static_cast<std::uint16_t>(move.verdict / 100), 0, 0}, "no");
    });
    std::string story;
    const auto length = 1 + random() % 24;
    for (unsigned i = 0; i < length && !model.closed; ++i) {
      move = {choose(model), verdict()};
      if (parameter_needs_ehlo(move.what) && !extended) continue;
      ++played[static_cast<std::size_t>(move.what)];
      const bool was_tls = model.tls;
      const auto codes = model.play(move);
      extended = move.what == Do::ehlo || (extended && move.what != Do::helo && !(model.tls && !was_tls));
      const auto octets = octets_of(move.what);
      story += octets.substr(0, octets.find('\n')) + " " + std::to_string(move.verdict) + "\n";
      script.raw(octets);
      for (std::size_t n = 0; n < codes.size(); ++n) {
        script.expect(std::to_string(codes[n]));
        if (codes[n] == 354) script.raw(body(move.what));
      }
      if (model.closed) {
        script.expect_closed();
      } else {
        script.expect_open();
        ASSERT_EQ(script.transaction_alive(), model.open) << story;
        ASSERT_EQ(script.conversation().dialogue().accepted_recipients(), model.accepted) << story;
      }
      ASSERT_EQ(script.messages().size(), model.messages) << story;
      ASSERT_FALSE(::testing::Test::HasFailure()) << story;
    }
  }

  static std::string body(Do what) {
    if (what == Do::data_bad) return "a\r\n.\nb\r\n.\r\n";
    if (what == Do::data_too_big) return std::string(1001, 'x') + "\r\n.\r\n";
    return "Subject: x\r\n\r\nRSET\r\n..\r\n.\r\n";
  }
};

TEST(Threats, SM_09_random_sequences_against_a_model) {
  constexpr int kSessions = 100'000;
  Player run{std::mt19937(20251121), {}};
  for (int i = 0; i < kSessions && !::testing::Test::HasFailure(); ++i) run.session();
  for (std::size_t i = 0; i < run.played.size(); ++i) EXPECT_GT(run.played[i], 1000) << "move " << i;
}

}  // namespace
}  // namespace smtpd::testing
