// Cuts what a client sends between messages into command lines. Only CRLF ends a line; an LF or a CR alone ends it too,
// but as a bad one, so that such a client gets its 500 instead of silence (SM-12). Lines longer than
// mail::kMaxCommandLine are thrown away, 64 KiB of them at most (RS-04). What is no SMTP at all is seen without waiting
// for a line end (SM-13). Sans-io: it keeps no octets, only positions; the caller owns the buffer.
#pragma once

#include <cstddef>
#include <string_view>

namespace smtpd {

inline constexpr std::size_t kMaxDiscard = 64 * 1024;

struct Line {
  enum class Kind {
    more,      // no whole line yet
    good,      // `text` ended in CRLF
    bare_end,  // `text` ended in a bare LF or CR
    too_long,  // over the limit; the connection must end
    tls,       // a TLS record where a command was due
    proxy,     // a PROXY protocol header that nobody asked for (OP-07)
  };
  Kind kind = Kind::more;
  std::string_view text;     // without its line end; a view into the input
  std::size_t consumed = 0;  // octets of the input that are done with (may be > 0 with `more`: discarded ones)
};

class LineReader {
 public:
  Line next(std::string_view input);

 private:
  Line discard(std::string_view input);
  bool first_ = true;
  bool discarding_ = false;
  std::size_t discarded_ = 0;
};

}  // namespace smtpd
