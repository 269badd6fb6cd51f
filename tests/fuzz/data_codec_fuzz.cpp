// links: mail
// The codec against a plain reading of the same octets: any slicing decodes alike (SM-02), and what is encoded has no
// bare octet, one end, and decodes to what it was (SM-03). The first octet seeds the slicing.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "mail/data_codec.hpp"
#include "tests/unit/mail/naive_framing.hpp"

namespace {

void check(bool good) {
  if (!good) __builtin_trap();
}

// Slices of sizes that depend on `seed`, up to `most` octets.
std::vector<std::string_view> slices(std::string_view text, std::uint32_t seed, std::size_t most) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    seed = seed * 1664525U + 1013904223U;
    const auto n = 1 + (seed >> 16) % most;
    out.push_back(text.substr(0, n));
    text.remove_prefix(std::min<std::size_t>(n, text.size()));
  }
  return out;
}

void decode(std::string_view wire, const naive::Decoded& expected, const std::vector<std::string_view>& parts) {
  mail::DataDecoder decoder;
  std::string out;
  std::size_t used = 0;
  for (const auto part : parts) {
    const auto n = decoder.feed(part, out);
    used += n;
    if (n < part.size()) break;
  }
  check(used <= wire.size() && decoder.octets() == used);
  check(decoder.done() && used == expected.consumed);
  check(decoder.fault() == expected.fault && decoder.false_end_seen() == expected.false_end);
  check(out == expected.content);
}

void encode(std::string_view text, const std::vector<std::string_view>& parts) {
  mail::DataEncoder encoder;
  std::string wire;
  const bool lone_cr = text.ends_with('\r');
  const auto body = lone_cr ? text.substr(0, text.size() - 1) : text;
  const bool clean = naive::first_fault(body).kind == mail::DataFault::none;
  for (const auto part : parts) {
    std::vector<std::string_view> pieces;
    if (!encoder.encode(part, pieces)) {
      check(!clean && pieces.empty());
      return;
    }
    for (const auto piece : pieces) wire += piece;
  }
  check(clean);
  wire += encoder.terminator();
  check(naive::first_fault(wire).kind == mail::DataFault::none);
  const auto back = naive::decode(wire);
  check(back.done && back.consumed == wire.size());
  const bool whole = !lone_cr && (body.empty() || body.ends_with("\r\n"));
  check(back.content == (whole ? std::string(body) : std::string(body) + "\r\n"));
}

void chunks(std::string_view text, const std::vector<std::string_view>& parts) {
  mail::ChunkChecker checker;
  for (const auto part : parts) checker.feed(part);
  checker.finish();
  const auto fault = naive::first_fault(text).kind;
  check(checker.fault() == fault);
  check(mail::is_clean(text) == (fault == mail::DataFault::none));
  if (fault == mail::DataFault::none) check(checker.ends_in_crlf() == (text.empty() || text.ends_with("\r\n")));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::uint32_t seed = data[0];
  std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  // Some inputs also have to cross the blocks in which the codec looks at clean text.
  if (seed >= 128) text = std::string(1900 + seed, 'x') + "\r\n" + text;
  const auto fine = slices(text, seed, 5), coarse = slices(text, seed, 4000);
  encode(text, {text});
  encode(text, fine);
  encode(text, coarse);
  chunks(text, fine);
  chunks(text, coarse);
  const auto wire = text + "\r\n.\r\n";
  const auto expected = naive::decode(wire);
  decode(wire, expected, {wire});
  decode(wire, expected, slices(wire, seed, 3));
  decode(wire, expected, slices(wire, seed, 4000));
  return 0;
}
