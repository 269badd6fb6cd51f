// chasquid's chat scripts (GUIDE.md §2.6) played against a session: same order of commands, same class of answer. Its
// texts and exact codes are its own; what must agree is 2xx, 3xx, 4xx or 5xx. Scripts about AUTH are not ours: we do
// not offer it.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include "core/text.hpp"
#include "mail/header.hpp"
#include "tests/unit/smtpd/harness.hpp"

namespace smtpd::testing {
namespace {

const std::filesystem::path kFolder = std::string(ONWARD_CONFORMANCE) + "/smtp-dialogs-chasquid";

// Python-like literals: 'text\r\n', ('a' * 899 + '\r\n') * 1165.
class Expression {
 public:
  explicit Expression(std::string_view text) : text_(text) {}
  std::string sum() {
    auto value = product();
    while (take('+')) value += product();
    return value;
  }

 private:
  std::string product() {
    auto value = atom();
    while (take('*')) {
      std::size_t times = 0;
      blanks();
      while (!text_.empty() && core::is_digit(text_.front())) {
        times = times * 10 + static_cast<std::size_t>(text_.front() - '0');
        text_.remove_prefix(1);
      }
      std::string repeated;
      for (; times > 0; --times) repeated += value;
      value = repeated;
    }
    return value;
  }
  std::string atom() {
    if (take('(')) {
      auto value = sum();
      EXPECT_TRUE(take(')'));
      return value;
    }
    EXPECT_TRUE(take('\''));
    std::string value;
    while (!text_.empty() && text_.front() != '\'') {
      char c = text_.front();
      text_.remove_prefix(1);
      if (c == '\\' && !text_.empty()) {
        c = text_.front() == 'n' ? '\n' : text_.front() == 'r' ? '\r' : text_.front();
        text_.remove_prefix(1);
      }
      value += c;
    }
    EXPECT_TRUE(take('\''));
    return value;
  }
  void blanks() {
    while (!text_.empty() && text_.front() == ' ') text_.remove_prefix(1);
  }
  bool take(char c) {
    blanks();
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  std::string_view text_;
};

// The class of the answer that a script line wants; 0: any.
char wanted_class(const std::string& line) {
  return line.size() > 5 && core::is_digit(line[5]) ? line[5] : '\0';
}

// chasquid takes an address without <>; RFC 5321 does not, and either way is right (GUIDE.md §2.6).
std::string with_brackets(const std::string& line) {
  constexpr std::string_view kRcpt = "RCPT TO: ";
  if (!line.starts_with(kRcpt) || line.find('<') != std::string::npos) return line;
  return std::string(kRcpt) + "<" + line.substr(kRcpt.size()) + ">";
}

// What forwarding refuses, and the fake handler cannot know: a header section that is none.
mail::Reply judge_header(const FakeHandler::Message& message) {
  const auto end = message.content.find("\r\n\r\n");
  const auto section = message.content.substr(0, end == std::string::npos ? end : end + 2);
  if (!mail::Headers::parse(section)) return {550, {5, 6, 0}, "Bad header"};
  return {250, {2, 0, 0}, "OK"};
}

void play(Harness& harness, const std::filesystem::path& file) {
  std::ifstream in(file);
  std::optional<Peer> peer;
  for (std::string line; std::getline(in, line);) {
    SCOPED_TRACE(file.filename().string() + ": " + line.substr(0, 80));
    if (line.starts_with("c tcp_connect")) {
      peer.emplace(harness.connect());
      continue;
    }
    if (line.starts_with("c close")) {
      peer.reset();
      continue;
    }
    if (line.size() < 4 || !line.starts_with("c ")) continue;
    ASSERT_TRUE(peer) << "talks before it connects";
    const auto rest = line.size() > 5 ? line.substr(5) : std::string();
    const auto verb = line.substr(2, 2);
    if (verb == "->") {
      peer->line(with_brackets(rest));
    } else if (verb == "~>") {
      peer->send(Expression(rest).sum());
    } else if (line.starts_with("c <...")) {
      peer->expect("250");
    } else if (verb == "<-" || verb == "<~") {
      const auto reply = peer->reply();
      ASSERT_FALSE(reply.empty());
      EXPECT_EQ(reply[0], wanted_class(line)) << reply;
    }
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(Conformance, chasquid_dialogs) {
  if (!std::filesystem::exists(kFolder)) GTEST_SKIP() << "no conformance data at " << kFolder;
  auto settings = Harness::default_settings();
  settings.message_size = 1024 * 1024;
  int played = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    const auto name = entry.path().filename().string();
    if (!name.ends_with(".cmy") || name.starts_with("auth_") || name == "line_too_long.cmy") continue;
    Harness harness(settings);
    harness.handler.on_end = judge_header;
    play(harness, entry.path());
    ASSERT_FALSE(::testing::Test::HasFailure()) << name;
    ++played;
  }
  EXPECT_GE(played, 14);
}

}  // namespace
}  // namespace smtpd::testing
