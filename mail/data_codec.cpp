// The hot path of every message. Blocks are first looked at as a whole, by loops without branches that the compiler
// turns into vector code: a block that holds no bare CR, bare LF or NUL and no line that starts with a dot (nearly all
// of them) is copied in one piece. Only the others go through the state machine, octet by octet.
#include "mail/data_codec.hpp"

#include <algorithm>

namespace mail {
namespace {

constexpr std::size_t kBlock = 2048;  // small enough to stay in the first cache between look and copy

struct Look {
  bool faulty = false;  // a bare CR, a bare LF or a NUL
  bool dotted = false;  // a line that starts with a dot
};

// Looks at `text`, which follows `before`. A CR at its very end is not judged.
Look look_at(std::string_view text, char before) {
  if (text.empty()) return {};
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const std::size_t n = text.size();
  unsigned fault = (before == '\r') != (p[0] == '\n');
  unsigned dot = static_cast<unsigned>(before == '\n') & static_cast<unsigned>(p[0] == '.');
  unsigned char faults = 0, dots = 0;
  for (std::size_t i = 0; i + 1 < n; ++i) {
    const auto cr = static_cast<unsigned char>(p[i] == '\r');
    const auto next_lf = static_cast<unsigned char>(p[i + 1] == '\n');
    const auto nul = static_cast<unsigned char>(p[i] == 0);
    const auto lf = static_cast<unsigned char>(p[i] == '\n');
    const auto next_dot = static_cast<unsigned char>(p[i + 1] == '.');
    faults = static_cast<unsigned char>(faults | (cr ^ next_lf) | nul);
    dots = static_cast<unsigned char>(dots | (lf & next_dot));
  }
  fault |= static_cast<unsigned>(faults) | static_cast<unsigned>(p[n - 1] == 0);
  dot |= dots;
  return {fault != 0, dot != 0};
}

// The same, without the last octet's doubt.
bool has_fault(std::string_view text, char before) {
  return look_at(text, before).faulty || (!text.empty() && text.back() == '\r');
}

}  // namespace

// --- DataDecoder ---

std::size_t DataDecoder::feed(std::string_view input, std::string& out) {
  std::size_t used = 0;
  while (used < input.size() && state_ != State::done) {
    const auto block = input.substr(used, kBlock);
    used += bulk(block, out) ? block.size() : careful(block, out);
  }
  octets_ += used;
  return used;
}

// Takes a whole block at once when nothing in it needs care.
bool DataDecoder::bulk(std::string_view block, std::string& out) {
  if (fault_ != DataFault::none || (state_ != State::line_start && state_ != State::in_line)) return false;
  const auto look = look_at(block, state_ == State::line_start ? '\n' : 'x');
  if (look.faulty || look.dotted) return false;
  const char last = block.back();
  state_ = last == '\n' ? State::line_start : last == '\r' ? State::cr : State::in_line;
  lax_ = state_ == State::in_line ? Lax::in_line : Lax::line_start;
  if (last == '\r') block.remove_suffix(1);  // its LF may never come
  out.append(block);
  return true;
}

// Octet by octet, but runs inside a line are taken together. Returns what was used: less than the block only at the end
// of data.
std::size_t DataDecoder::careful(std::string_view block, std::string& out) {
  std::size_t i = 0;
  while (i < block.size() && state_ != State::done) {
    if (state_ == State::in_line) {
      std::size_t end = i;
      while (end < block.size() && block[end] != '\r' && block[end] != '\n' && block[end] != '\0') ++end;
      if (end > i) {
        if (fault_ == DataFault::none) out.append(block, i, end - i);
        // A lone dot may be the one of a false end, as in CR "." LF.
        lax_ = lax_ == Lax::line_start && end == i + 1 && block[i] == '.' ? Lax::dot : Lax::in_line;
        i = end;
        continue;
      }
    }
    step(block[i++], out);
  }
  return i;
}

void DataDecoder::step(char c, std::string& out) {
  const bool line_end = c == '\r' || c == '\n';
  const auto lax_before = lax_;
  if (line_end) {
    lax_ = Lax::line_start;
  } else if (c != '\0') {
    lax_ = c == '.' && lax_ == Lax::line_start ? Lax::dot : Lax::in_line;
  }
  if (c == '\0') set_fault(state_ == State::cr || state_ == State::dot_cr ? DataFault::bare_cr : DataFault::nul);

  switch (state_) {
    case State::line_start:
      if (c == '.') {
        state_ = State::dot;  // stuffing, or the end
        return;
      }
      break;
    case State::dot:
      if (c == '\r') {
        state_ = State::dot_cr;
        return;
      }
      break;
    case State::dot_cr:
      if (c == '\n') {
        state_ = State::done;  // RFC 5321 §4.1.1.4: CRLF "." CRLF and nothing else
        return;
      }
      set_fault(DataFault::bare_cr);
      false_end_ = true;  // CRLF "." CR
      break;
    case State::cr:
      if (c == '\n') {
        if (fault_ == DataFault::none) out.append("\r\n");
        state_ = State::line_start;
        return;
      }
      set_fault(DataFault::bare_cr);
      break;
    case State::in_line:
    case State::done:
      break;
  }
  if (line_end && lax_before == Lax::dot) false_end_ = true;
  if (c == '\n') set_fault(DataFault::bare_lf);
  state_ = c == '\r' ? State::cr : State::in_line;
  if (c != '\r' && fault_ == DataFault::none) out += c;
}

// --- ChunkChecker ---

void ChunkChecker::feed(std::string_view input) {
  if (input.empty() || fault_ != DataFault::none) return;
  const char before = cr_ ? '\r' : 'x';
  if (look_at(input, before).faulty) {
    char last = before;
    for (const char c : input) {
      if ((last == '\r') != (c == '\n')) {
        fault_ = c == '\n' ? DataFault::bare_lf : DataFault::bare_cr;
      } else if (c == '\0') {
        fault_ = DataFault::nul;
      }
      if (fault_ != DataFault::none) return;
      last = c;
    }
  }
  crlf_ = input.back() == '\n';  // there is no LF without its CR
  cr_ = input.back() == '\r';
}

void ChunkChecker::finish() {
  if (cr_ && fault_ == DataFault::none) fault_ = DataFault::bare_cr;
}

// --- DataEncoder ---

bool DataEncoder::encode(std::string_view input, std::vector<std::string_view>& pieces) {
  static constexpr std::string_view kDot = ".", kCrLf = "\r\n";
  if (input.empty() || failed_) return !failed_;
  const auto look = look_at(input, cr_ ? '\r' : line_start_ ? '\n' : 'x');
  if (look.faulty) {
    failed_ = true;
    return false;
  }
  if (cr_) {  // its LF is here: nothing else passed the look
    pieces.push_back(kCrLf);
    input.remove_prefix(1);
    line_start_ = true;
    cr_ = false;
    if (input.empty()) return true;
  }
  if (line_start_ && input.front() == '.') pieces.push_back(kDot);
  line_start_ = input.back() == '\n';
  cr_ = input.back() == '\r';
  if (cr_) input.remove_suffix(1);
  if (look.dotted) {
    // Each piece ends with the dot that the next one starts with: so it goes out twice.
    for (auto at = input.find("\n."); at != std::string_view::npos; at = input.find("\n.", 1)) {
      pieces.push_back(input.substr(0, at + 2));
      input.remove_prefix(at + 1);
    }
  }
  if (!input.empty()) pieces.push_back(input);
  return true;
}

std::string_view DataEncoder::terminator() const {
  return line_start_ ? ".\r\n" : "\r\n.\r\n";
}

bool is_clean(std::string_view whole_lines) {
  return !has_fault(whole_lines, 'x');
}

}  // namespace mail
