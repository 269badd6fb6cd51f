// links: forwarder
// A peer that says anything at all while we deliver one message: no crash, the same outcome in every slicing, nothing
// sent behind the dot, and no acceptance without a well-formed 2xx that came after the dot (UP-03, UP-04, UP-09, UP-10,
// UP-14). Input: one octet of options, then what the peer says; 0xff ends a slice (we act between slices).
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/text.hpp"
#include "forwarder/dialogue.hpp"
#include "forwarder/trouble.hpp"

namespace {

using forwarder::ClientDialogue;
using forwarder::Stage;

void check(bool good) {
  if (!good) __builtin_trap();
}

struct Options {
  bool lmtp, chunks, starttls, plain, pipelined_dot;
};

// Our side: what the engine would do next. Run twice, on whole slices and octet by octet.
class Sender {
 public:
  explicit Sender(Options options)
      : options_(options),
        dialogue_(options.lmtp ? ClientDialogue::Kind::lmtp : ClientDialogue::Kind::smtp, "mx.forward.example") {
    if (options.plain) dialogue_.use_plain_features();
  }

  void act() {
    if (!failed_ && dialogue_.awaiting() == 0 && !dialogue_.closing_reply()) next();
    for (auto out = dialogue_.take_output(); !out.empty(); out = dialogue_.take_output()) {
      check(!failed_ && !dot_out());
      check(out.ends_with("\r\n"));
      if (out.starts_with("BDAT ") && out.ends_with(" LAST\r\n")) dot_sent();
      if (out.find("\r\nBDAT ") != std::string::npos && out.ends_with(" LAST\r\n")) dot_sent();
    }
    if (dot_out()) check(failed_ || dialogue_.stage() == Stage::dot);
  }

  void receive(std::string_view octets) {
    if (after_dot_) heard_ += octets;
    const auto result = dialogue_.receive(octets);
    check(!failed_ || !result);
    if (!result && !failed_) {
      failed_ = true;
      check(dialogue_.take_output().empty());
      forwarder::Trouble trouble;
      trouble.stage = dialogue_.stage();
      trouble.error = result.error();
      const auto judgement = forwarder::judge(trouble);
      check(judgement.fate == (trouble.stage == Stage::dot ? mail::Fate::unknown : mail::Fate::deferred));
    }
    check_acceptance();
  }

  const ClientDialogue& dialogue() const { return dialogue_; }
  bool failed() const { return failed_; }

 private:
  bool dot_out() const { return after_dot_ && !dialogue_.final_replies_complete(); }
  void dot_sent() {
    after_dot_ = true;
    heard_.clear();
  }

  void next() {
    switch (step_++) {
      case 0:
        return dialogue_.hello();
      case 1:
        if (options_.starttls && dialogue_.capabilities().starttls) dialogue_.starttls();
        return;
      case 2:
        if (!dialogue_.starttls_reply() || !dialogue_.starttls_reply()->positive()) return;
        dialogue_.tls_started();
        return dialogue_.hello();
      case 3:
        dialogue_.mail({});
        dialogue_.rcpt({"a", "x.example"});
        dialogue_.rcpt({"b", "x.example"});
        if (options_.pipelined_dot) {
          if (options_.chunks) dialogue_.bdat(3, true);
          if (!options_.chunks) dialogue_.data();
        }
        return;
      case 4:
        if (options_.pipelined_dot) return;
        if (!dialogue_.mail_reply()->positive() || dialogue_.accepted_recipients() == 0) return;
        return options_.chunks ? dialogue_.bdat(7, false) : dialogue_.data();
      case 5:
        if (after_dot_ || dialogue_.body_reply()) return;
        if (options_.chunks && dialogue_.stage() == Stage::body) dialogue_.bdat(0, true);
        if (!options_.chunks && dialogue_.stage() == Stage::body) {
          dialogue_.dot();
          dot_sent();
        }
        return;
      case 6:
        return dialogue_.rset();
      case 7:
        if (options_.lmtp) return;
        return dialogue_.quit();
      default:
        return;
    }
  }

  // Read again from the octets, in the simplest way: complete last lines of replies that begin with '2'.
  void check_acceptance() const {
    const auto accepted =
        static_cast<std::size_t>(std::count_if(dialogue_.final_replies().begin(), dialogue_.final_replies().end(),
                                               [](const mail::Reply& r) { return r.positive(); }));
    check(dialogue_.final_replies().size() <= (options_.lmtp ? 2U : 1U));
    if (accepted == 0) return;
    check(after_dot_);
    std::size_t consents = 0;
    for (std::size_t at = 0, end; (end = heard_.find("\r\n", at)) != std::string::npos; at = end + 2) {
      const auto line = std::string_view(heard_).substr(at, end - at);
      const bool code = line.size() >= 3 && line[0] == '2' && core::is_digit(line[1]) && core::is_digit(line[2]);
      consents += code && line.substr(0, 3) != "221" && (line.size() == 3 || line[3] == ' ');
    }
    check(consents >= accepted);
  }

  Options options_;
  ClientDialogue dialogue_;
  int step_ = 0;
  bool failed_ = false, after_dot_ = false;
  std::string heard_;  // since the dot
};

void check_same(const Sender& a, const Sender& b) {
  check(a.failed() == b.failed());
  const auto &x = a.dialogue(), &y = b.dialogue();
  check(x.greeting_reply() == y.greeting_reply() && x.hello_reply() == y.hello_reply());
  check(x.mail_reply() == y.mail_reply() && x.rcpt_replies() == y.rcpt_replies() && x.data_reply() == y.data_reply());
  check(x.body_reply() == y.body_reply() && x.final_replies() == y.final_replies());
  check(x.final_replies_complete() == y.final_replies_complete() && x.rset_reply() == y.rset_reply());
  check(x.awaiting() == y.awaiting() && x.stage() == y.stage() && x.reusable() == y.reusable());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const unsigned bits = data[0];
  const Options options{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0, (bits & 16) != 0};
  Sender whole(options), single(options);
  const std::string_view peer(reinterpret_cast<const char*>(data) + 1, size - 1);
  for (const auto slice : core::split(peer, '\xff')) {
    whole.receive(slice);
    for (const char c : slice) single.receive({&c, 1});
    check_same(whole, single);
    whole.act();
    single.act();
    check_same(whole, single);
  }
  return 0;
}
