// Framing of message data: every false end, every way to slice it, and a second opinion over all short inputs.
#include "mail/data_codec.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "mail/jsonl.hpp"
#include "mail/naive_framing.hpp"

namespace mail {
namespace {

using Slices = std::vector<std::string_view>;

struct Run {
  std::string out;
  std::size_t consumed = 0;
  bool done = false, false_end = false;
  DataFault fault = DataFault::none;
  std::uint64_t octets = 0;
  friend bool operator==(const Run&, const Run&) = default;
};

Run run(const Slices& slices) {
  DataDecoder decoder;
  Run result;
  for (const auto slice : slices) {
    const auto used = decoder.feed(slice, result.out);
    result.consumed += used;
    if (used < slice.size()) break;
  }
  result.done = decoder.done();
  result.false_end = decoder.false_end_seen();
  result.fault = decoder.fault();
  result.octets = decoder.octets();
  return result;
}

Slices octets(std::string_view text) {
  Slices slices;
  for (std::size_t i = 0; i < text.size(); ++i) slices.push_back(text.substr(i, 1));
  return slices;
}

// Calls `check` with every cut of `text` into two and into three slices, empty ones included.
void every_split(std::string_view text, const std::function<void(const Slices&)>& check) {
  for (std::size_t a = 0; a <= text.size(); ++a) {
    check({text.substr(0, a), text.substr(a)});
    for (std::size_t b = a; b <= text.size(); ++b) check({text.substr(0, a), text.substr(a, b - a), text.substr(b)});
  }
}

// Calls `check` with every string over `alphabet` of at most `most` octets.
void every_string(std::string_view alphabet, std::size_t most, const std::function<void(const std::string&)>& check) {
  std::string text;
  const std::function<void()> grow = [&] {
    check(text);
    if (text.size() == most) return;
    for (const char c : alphabet) {
      text += c;
      grow();
      text.pop_back();
    }
  };
  grow();
}

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    out += c == '\r' ? "\\r" : c == '\n' ? "\\n" : c == '\0' ? "\\0" : std::string(1, c);
  }
  return out;
}

constexpr std::string_view kAlphabet("\r\n.\0a", 5);

std::vector<std::string> false_ends() {
  using namespace std::string_literals;
  return {"\n.\n"s,    "\n.\r\n"s,     "\r\n.\n"s,       "\r.\r"s,       "\r.\n"s,       "\n.\r"s,      "\r.\r\n"s,
          "\r\n.\rx"s, "\r\n.\r\r\n"s, "\r\r\n.\r\r\n"s, "\r\n\0.\r\n"s, "\r\n.\0\r\n"s, "\r\n.\r.\n"s, "\n\0.\0\n"s};
}

void expect_no_early_end(const std::string& sequence) {
  const std::string smuggled = "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n";
  const std::string wire = "Subject: x\r\n\r\nhello" + sequence + smuggled + "y\r\n.\r\n";
  const std::string rest = "QUIT\r\n";
  const auto whole = run({wire + rest});
  EXPECT_TRUE(whole.done) << printable(sequence);
  EXPECT_EQ(whole.consumed, wire.size()) << printable(sequence);
  EXPECT_EQ(whole.octets, wire.size()) << printable(sequence);
  EXPECT_NE(whole.fault, DataFault::none) << printable(sequence);
  EXPECT_TRUE(whole.false_end) << printable(sequence);
  EXPECT_EQ(whole.out.find("MAIL"), std::string::npos) << "octets after the fault must not be kept";
  every_split(wire, [&](const Slices& slices) { ASSERT_EQ(run(slices), whole) << printable(sequence); });
  ASSERT_EQ(run(octets(wire)), whole) << printable(sequence);
}

TEST(Threats, SM_01_SM_02_no_false_end_of_data_ends_the_message_however_it_is_cut) {
  for (const auto& sequence : false_ends()) expect_no_early_end(sequence);
}

TEST(Threats, SM_02_true_end_is_found_in_every_split) {
  const std::string wire = "a\r\n..b\r\n.c\r\n\r\n.\r\n";
  every_split(wire, [](const Slices& slices) {
    const auto result = run(slices);
    ASSERT_TRUE(result.done);
    ASSERT_EQ(result.fault, DataFault::none);
    ASSERT_FALSE(result.false_end);
    ASSERT_EQ(result.out, "a\r\n.b\r\nc\r\n\r\n");
  });
}

TEST(Threats, SM_01_SM_11_decoder_agrees_with_plain_reading_on_all_short_inputs) {
  every_string(kAlphabet, 7, [](const std::string& text) {
    const std::string wire = text + "\r\n.\r\n";
    const auto expected = naive::decode(wire);
    ASSERT_TRUE(expected.done);
    for (const auto& slices : {Slices{wire}, octets(wire)}) {
      const auto result = run(slices);
      ASSERT_TRUE(result.done) << printable(wire);
      ASSERT_EQ(result.consumed, expected.consumed) << printable(wire);
      ASSERT_EQ(result.fault, expected.fault) << printable(wire);
      ASSERT_EQ(result.false_end, expected.false_end) << printable(wire);
      ASSERT_EQ(result.out, expected.content) << printable(wire);
    }
  });
}

// Long messages go through whole blocks: the same answers there, with something odd at any place of a block.
TEST(DataDecoder, blocks_and_octets_give_the_same) {
  std::mt19937 random(1);
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  for (int round = 0; round < 400; ++round) {
    std::string text;
    const auto size = 1 + below(9000);
    while (text.size() < size) text += std::string(below(120), 'x') + "\r\n" + (below(40) == 0 ? "." : "");
    if (round % 2 == 0) text[below(text.size())] = kAlphabet[below(kAlphabet.size())];
    const std::string wire = text + "\r\n.\r\n";
    const auto expected = naive::decode(wire);
    Slices slices;
    for (std::string_view rest = wire; !rest.empty();) {
      const auto n = std::min(rest.size(), 1 + below(round % 3 == 0 ? 5000 : 40));
      slices.push_back(rest.substr(0, n));
      rest.remove_prefix(n);
    }
    for (const auto& result : {run({wire}), run(octets(wire)), run(slices)}) {
      ASSERT_TRUE(result.done);
      ASSERT_EQ(result.consumed, expected.consumed);
      ASSERT_EQ(result.fault, expected.fault);
      ASSERT_EQ(result.false_end, expected.false_end);
      ASSERT_EQ(result.out, expected.content);
    }
  }
}

TEST(DataDecoder, stops_after_the_end_and_takes_no_more) {
  DataDecoder decoder;
  std::string out;
  EXPECT_EQ(decoder.feed(".\r\nRSET\r\n", out), 3U);
  EXPECT_TRUE(decoder.done());
  EXPECT_EQ(decoder.feed("RSET\r\n", out), 0U);
  EXPECT_EQ(out, "");
  EXPECT_EQ(decoder.octets(), 3U);
}

TEST(DataDecoder, names_the_first_fault) {
  EXPECT_EQ(run({"a\rb\nc\r\n.\r\n"}).fault, DataFault::bare_cr);
  EXPECT_EQ(run({"a\nb\rc\r\n.\r\n"}).fault, DataFault::bare_lf);
  EXPECT_EQ(run({std::string_view("a\0b\n\r\n.\r\n", 9)}).fault, DataFault::nul);
  EXPECT_FALSE(run({"a\nb\r\n.\r\n"}).false_end) << "a bare LF alone is a fault, not a false end";
}

// --- ChunkChecker ---

TEST(Threats, SM_04_chunks_are_checked_across_their_borders) {
  every_string(kAlphabet, 5, [](const std::string& text) {
    const auto expected = naive::first_fault(text).kind;
    const bool crlf = text.empty() || text.ends_with("\r\n");
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
      ChunkChecker checker;
      checker.feed(std::string_view(text).substr(0, cut));
      checker.feed(std::string_view(text).substr(cut));
      checker.finish();
      ASSERT_EQ(checker.fault(), expected) << printable(text) << " cut at " << cut;
      if (expected == DataFault::none) ASSERT_EQ(checker.ends_in_crlf(), crlf) << printable(text);
    }
  });
}

TEST(Threats, SM_04_dots_in_chunks_are_content) {
  ChunkChecker checker;
  checker.feed("a\r\n.\r\nb\r\n.");
  checker.feed("\r\n");
  checker.finish();
  EXPECT_EQ(checker.fault(), DataFault::none);
  // Relayed by DATA the same octets are stuffed.
  DataEncoder encoder;
  Slices pieces;
  ASSERT_TRUE(encoder.encode("a\r\n.\r\nb\r\n.", pieces));
  ASSERT_TRUE(encoder.encode("\r\n", pieces));
  std::string wire;
  for (const auto piece : pieces) wire += piece;
  EXPECT_EQ(wire, "a\r\n..\r\nb\r\n..\r\n");
}

// --- DataEncoder ---

struct Encoded {
  bool ok = true;
  std::string wire;
  std::size_t pieces = 0;
};

Encoded encode(const Slices& slices) {
  DataEncoder encoder;
  Encoded result;
  for (const auto slice : slices) {
    Slices pieces;
    if (!encoder.encode(slice, pieces)) {
      EXPECT_TRUE(pieces.empty()) << "nothing of a bad slice is sent";
      EXPECT_FALSE(encoder.encode("good\r\n", pieces)) << "once bad, always bad";
      result.ok = false;
      return result;
    }
    for (const auto piece : pieces) {
      EXPECT_FALSE(piece.empty());
      result.wire += piece;
    }
    result.pieces += pieces.size();
  }
  EXPECT_EQ(encoder.terminator(), encoder.ends_in_crlf() ? ".\r\n" : "\r\n.\r\n");
  result.wire += encoder.terminator();
  return result;
}

TEST(Threats, SM_03_what_goes_out_has_no_bare_octet_and_one_end) {
  every_string(kAlphabet, 6, [](const std::string& text) {
    // A CR at the end is held back, and then there is no message that it could belong to.
    const bool lone_cr = text.ends_with('\r');
    const auto body = lone_cr ? text.substr(0, text.size() - 1) : text;
    const bool clean = naive::first_fault(body).kind == DataFault::none;
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
      const auto result = encode({std::string_view(text).substr(0, cut), std::string_view(text).substr(cut)});
      ASSERT_EQ(result.ok, clean) << printable(text) << " cut at " << cut;
      if (!result.ok) continue;
      ASSERT_EQ(naive::first_fault(result.wire).kind, DataFault::none) << printable(text);
      const auto back = naive::decode(result.wire);
      ASSERT_TRUE(back.done && back.consumed == result.wire.size()) << printable(text);
      const bool whole = body.empty() ? !lone_cr : body.ends_with("\r\n") && !lone_cr;
      ASSERT_EQ(back.content, whole ? body : body + "\r\n") << printable(text) << " cut at " << cut;
    }
    ASSERT_EQ(is_clean(text), naive::first_fault(text).kind == DataFault::none) << printable(text);
  });
}

// Content that a proxy once got wrong: what comes first after our prefix is not changed by it.
TEST(Threats, SM_05_edges_of_content_come_back_unchanged) {
  const std::string prefix = "Received: x\r\n";
  const std::vector<std::string> contents = {
      "",
      "\r\n",
      ".\r\n",
      "." + std::string(10'000, 'x') + "\r\n",
      std::string(70'000, '.') + "\r\n",
      "Subject: no body\r\n",
      "no header at all\r\n",
      "..\r\n\r\n.\r\n..\r\n.",
      std::string(2047, 'x') + "\r\n.y\r\n",  // CR and LF on both sides of a block's border
      std::string(2046, 'x') + "\r\n.y\r\n",
      std::string(2045, 'x') + "\r\n.y\r\n",
  };
  for (const auto& content : contents) {
    const auto sent = encode({prefix, content});
    ASSERT_TRUE(sent.ok);
    const auto back = run({sent.wire});
    ASSERT_TRUE(back.done);
    ASSERT_EQ(back.fault, DataFault::none);
    const auto all = prefix + content;
    ASSERT_EQ(back.out, all.ends_with("\r\n") ? all : all + "\r\n");
  }
}

TEST(DataEncoder, few_pieces) {
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += "A line of text. It has dots... but starts with none.\r\n";
  EXPECT_EQ(encode({text}).pieces, 1U);
  EXPECT_EQ(encode({text + ".dot\r\n" + text}).pieces, 2U);
  EXPECT_EQ(encode({".dot\r\n" + text}).pieces, 2U);
}

// --- conformance ---

TEST(Conformance, smtp_smuggling_sequences_both_ways) {
  const auto cases = read_jsonl("smtp-smuggling/end-of-data-sequences.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no conformance data";
  for (const auto& each : cases) {
    const auto sequence = from_hex(each["sequence_hex"]);
    SCOPED_TRACE(each["id"].get<std::string>());
    expect_no_early_end(sequence.ends_with('\r') ? sequence + "x" : sequence);
    expect_no_early_end(sequence + "MAIL");
    EXPECT_FALSE(encode({"a" + sequence + "b\r\n"}).ok);
    EXPECT_FALSE(is_clean("a" + sequence + "b\r\n"));
  }
}

TEST(Conformance, smtp_smuggling_mox_reader) {
  const auto cases = read_jsonl("smtp-smuggling/data-reader-mox.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no conformance data";
  for (const auto& each : cases) {
    SCOPED_TRACE(each["id"].get<std::string>());
    const auto wire = from_hex(each["wire_hex"]);
    const auto result = run({wire});
    if (each["error"].is_null()) {
      const auto content = from_hex(each["content_hex"]);
      EXPECT_TRUE(result.done);
      // mox lets a bare LF pass when no dot is near; to refuse it is right as well.
      if (naive::first_fault(content).kind == DataFault::none) {
        EXPECT_EQ(result.fault, DataFault::none);
        EXPECT_EQ(result.out, content);
      } else {
        EXPECT_NE(result.fault, DataFault::none);
      }
    } else if (each["error"] == "ErrCRLF") {
      EXPECT_NE(result.fault, DataFault::none);
    } else {
      EXPECT_FALSE(result.done);
    }
  }
}

TEST(Conformance, smtp_smuggling_mox_writer) {
  const auto cases = read_jsonl("smtp-smuggling/data-writer-mox.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no conformance data";
  for (const auto& each : cases) {
    SCOPED_TRACE(each["id"].get<std::string>());
    const auto content = from_hex(each["content_hex"]);
    const auto result = encode({content});
    if (each["error"].is_null()) {
      EXPECT_TRUE(result.ok);
      EXPECT_EQ(result.wire, from_hex(each["wire_hex"]));
    } else if (each["error"] == "errMissingCRLF") {
      // Ours adds the CRLF (interface.md §6.6).
      EXPECT_TRUE(result.ok);
      EXPECT_EQ(naive::decode(result.wire).content, content + "\r\n");
    } else {
      EXPECT_FALSE(result.ok);
    }
  }
}

}  // namespace
}  // namespace mail
