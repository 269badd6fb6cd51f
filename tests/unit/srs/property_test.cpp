// A million generated senders (a tenth of it where the compiler does not optimise): what the Rewriter makes is always a
// valid path, and the way back gives the sender octet for octet.
#include <gtest/gtest.h>

#include "srs/memory_tokens.hpp"
#include "srs/rewriter.hpp"

namespace {

const core::Wall::time_point kNow{std::chrono::seconds(1'763'697'733)};

// Senders of all shapes; about one in four is no valid mailbox and is drawn again.
class Senders {
 public:
  explicit Senders(std::uint64_t seed) : state_(seed) {}

  mail::Mailbox next() {
    for (;;) {
      std::string text = below(4) == 0 ? srs_local() : below(6) == 0 ? quoted() : atoms(length(64));
      text += '@';
      text += domain();
      if (auto mailbox = mail::parse_mailbox(text, mail::Utf8::yes)) return std::move(*mailbox);
    }
  }

 private:
  // Mostly short, often just at the limit.
  std::size_t length(std::size_t most) { return 1 + (below(3) == 0 ? most - 1 - below(6) : below(most / 3)); }
  char pick(std::string_view from) { return from[below(from.size())]; }

  std::string atoms(std::size_t size) {
    std::string out;
    while (out.size() < size) {
      const auto kind = below(40);
      if (kind == 0) {
        out += "\xc3\xa9";
      } else if (kind < 8) {
        out += pick("=+-=+-_.!#$%&'*/?^`{|}~");
      } else {
        out += pick("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
      }
    }
    return out;
  }
  std::string quoted() {
    std::string out = "\"";
    for (auto left = below(62); left > 0; --left) {
      const char c = static_cast<char>(' ' + below(95));
      if (c == '"' || c == '\\' || below(20) == 0) out += '\\';
      out += c;
    }
    return out + '"';
  }
  std::string srs_local() {
    std::string out = below(2) == 0 ? "SRS0" : "SRS1";
    if (below(10) == 0) out[0] = 's';
    out += pick("=+-");
    for (auto parts = below(6); parts > 0; --parts) {
      out += below(5) == 0 ? std::string() : atoms(1 + below(9));
      out += '=';
    }
    return out + (below(8) == 0 ? std::string() : atoms(1 + below(12)));
  }
  std::string domain() {
    if (below(30) == 0) return below(2) == 0 ? "[192.0.2.1]" : "[IPv6:2001:db8::1]";
    std::string out;
    const auto labels = 1 + below(below(10) == 0 ? 12 : 3);
    for (std::uint64_t i = 0; i < labels; ++i) {
      if (i > 0) out += '.';
      for (auto size = 1 + below(12); size > 0; --size) out += pick("abcxyzABCXYZ0123456789-");
      if (below(60) == 0) out += "\xc3\xbc";
    }
    return out;
  }

  // splitmix64: a million senders are some fifty million draws.
  std::uint64_t below(std::uint64_t bound) {
    state_ += 0x9e3779b97f4a7c15ULL;
    std::uint64_t z = (state_ ^ (state_ >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return (z ^ (z >> 31)) % bound;
  }

  std::uint64_t state_;
};

// What a bounce must reach: the sender; for an SRS1 that really is one, the first forwarder, whose prefix is written
// large.
std::string expected(const mail::Mailbox& sender) {
  const auto& local = sender.local;
  const bool srs = local.size() > 5 && (local[0] == 's' || local[0] == 'S') && local.substr(1, 2) == "RS" &&
                   std::string_view("=+-").find(local[4]) != std::string_view::npos;
  if (srs && local[3] == '0') return "SRS0" + sender.to_string().substr(4);
  if (srs && local[3] == '1') {
    const auto first = local.find('=', 5);
    const auto second = first == std::string::npos ? first : local.find('=', first + 1);
    if (second != std::string::npos && second + 2 < local.size() && first > 5 && second > first + 1 &&
        std::string_view("=+-").find(local[second + 1]) != std::string_view::npos) {
      const auto host = local.substr(first + 1, second - first - 1);
      const auto whole = "SRS0" + local.substr(second + 1) + "@" + host;
      if (mail::parse_mailbox(whole, mail::Utf8::yes)) return whole;
    }
  }
  return sender.to_string();
}

void check(srs::Hash hash, std::uint64_t seed, int count) {
  MemoryTokens tokens;
  srs::Rewriter::Settings s;
  s.domain = "fwd.example.net";
  s.secrets.emplace_back(std::string("a secret"));
  s.hash = hash;
  const srs::Rewriter rewriter(std::move(s), &tokens);
  Senders senders(seed);
  int kept = 0;
  for (int i = 0; i < count; ++i) {
    const auto sender = senders.next();
    const auto made = rewriter.forward({sender}, kNow);
    ASSERT_TRUE(made) << sender.to_string();
    const auto text = made->to_string();
    const auto parsed = mail::parse_mailbox(text);  // ASCII, 64 and 254 octets, no control
    ASSERT_TRUE(parsed) << sender.to_string() << " -> " << text;
    ASSERT_EQ(*parsed, made->mailbox) << text;
    ASSERT_TRUE(rewriter.owns(*parsed)) << text;
    const auto back = rewriter.reverse(parsed->local, kNow);
    ASSERT_TRUE(back) << sender.to_string() << " -> " << text;
    // A token keeps even the case of a prefix, which SRS1 drops.
    auto got = back->to_string();
    if (got.starts_with("sRS")) got[0] = 'S';
    auto want = expected(sender);
    if (want.starts_with("sRS")) want[0] = 'S';
    ASSERT_EQ(got, want) << text;
    if (!tokens.kept.empty()) {
      ++kept;
      tokens.kept.clear();
    }
  }
  // The generator reaches both ways.
  EXPECT_GT(kept, count / 20);
  EXPECT_LT(kept, count - count / 20);
}

#ifdef __OPTIMIZE__
constexpr int kSenders = 1'000'000;
#else
constexpr int kSenders = 100'000;
#endif

TEST(Threats, RL_03_generated_senders_come_back) {
  check(srs::Hash::sha256, 1, kSenders / 10 * 9);
}
TEST(Threats, RL_03_generated_senders_come_back_in_sha1_mode) {
  check(srs::Hash::sha1, 2, kSenders / 10);
}

}  // namespace
