// The framing of message data (RFC 5321 §4.5.2, RFC 3030): the only dot-stuffer and the only end-of-data finder.
// Inbound: only CRLF "." CRLF ends; a bare CR, a bare LF or a NUL anywhere makes the message bad, to be refused after
// its true end (threats SM-01..SM-05, SM-11). Outbound: such octets are impossible. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mail {

enum class DataFault { none, bare_cr, bare_lf, nul };

// DATA: removes dot-stuffing and finds the end. Octets may come in any slices.
class DataDecoder {
 public:
  // Decodes `input` and appends the message's octets to `out`; stops right after the end of data. Returns how many
  // octets of `input` were consumed. After a fault decoding goes on (to find the true end) but nothing is appended any
  // more.
  std::size_t feed(std::string_view input, std::string& out);
  bool done() const { return state_ == State::done; }
  DataFault fault() const { return fault_; }
  // A false end of data (one that a lax server would have taken, as LF "." LF or CRLF "." LF) was seen (SM-01).
  bool false_end_seen() const { return false_end_; }
  // Wire octets read so far, the terminator included.
  std::uint64_t octets() const { return octets_; }

 private:
  enum class State { line_start, in_line, dot, dot_cr, cr, done };
  void set_fault(DataFault fault) {
    if (fault_ == DataFault::none) fault_ = fault;
  }
  // Where the laxest server would think it is, to recognise false ends: any of CR and LF ends a line there, and NUL is
  // not seen.
  enum class Lax { in_line, line_start, dot };
  bool bulk(std::string_view block, std::string& out);
  std::size_t careful(std::string_view block, std::string& out);
  void step(char c, std::string& out);

  State state_ = State::line_start;
  DataFault fault_ = DataFault::none;
  bool false_end_ = false;
  std::uint64_t octets_ = 0;
  Lax lax_ = Lax::line_start;
};

// BDAT: no stuffing, but the same faults are looked for across chunk borders (SM-04).
class ChunkChecker {
 public:
  void feed(std::string_view input);
  // At the end of the last chunk: a CR without its LF is a fault too.
  void finish();
  DataFault fault() const { return fault_; }
  // The message so far ends in CRLF (an empty one does).
  bool ends_in_crlf() const { return crlf_; }

 private:
  DataFault fault_ = DataFault::none;
  bool cr_ = false, crlf_ = true;
};

// Outbound DATA: dot-stuffs without copying. `pieces` gets views into `input` (and into static text), to be written in
// order; a CR at the end of `input` waits for its LF. Reports a bare CR, LF or NUL (returns false, adds nothing, and
// goes on returning false): SM-03; such a message must not be sent.
class DataEncoder {
 public:
  [[nodiscard]] bool encode(std::string_view input, std::vector<std::string_view>& pieces);
  // What ends the data: ".\r\n", with a CRLF before it when the message did not end in one.
  std::string_view terminator() const;
  bool ends_in_crlf() const { return line_start_; }

 private:
  bool line_start_ = true, cr_ = false, failed_ = false;
};

// Outbound BDAT: only the check of SM-03; false: must not be sent. `whole_lines` does not cut a CRLF in two; its last
// line may lack one.
[[nodiscard]] bool is_clean(std::string_view whole_lines);

}  // namespace mail
