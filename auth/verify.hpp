// All verdicts on one message: SPF, DKIM, ARC, and DMARC out of them, behind one door. The message is taken as it
// arrives; DNS is what a dns::Lookup knows, so the whole is a pure function of octets and answers (bytes in, a value
// out), which can be replayed, fuzzed, and moved into a process of its own. No I/O, no Asio.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "auth/arc.hpp"
#include "auth/author.hpp"
#include "auth/dkim_verify.hpp"
#include "auth/dmarc.hpp"
#include "auth/results.hpp"
#include "auth/spf.hpp"
#include "core/clock.hpp"
#include "dns/answer.hpp"
#include "mail/header.hpp"

namespace auth {

struct VerifySettings {
  core::Wall::time_point now = core::Wall::now();
  Discovery discovery = Discovery::tree_walk;
  const PublicSuffixList* suffixes = nullptr;  // outlives the Verifier; may be null
  bool spf = true, dmarc = true;               // false: not evaluated, and the result is none
};

// How the message will look at its next hop: under our envelope sender, with our signatures.
struct Future {
  SpfResult spf;                            // of our envelope sender from the address we send from
  std::vector<std::string> signed_domains;  // d= of our own signatures
  bool results_cut = false;  // a forged Authentication-Results field is taken out: signatures over it break
};

class Verifier {
 public:
  // `library` outlives the Verifier.
  Verifier(DkimLibrary& library, const VerifySettings& settings, SpfInput envelope);

  // Once; copies what it needs.
  void headers(const mail::Headers& headers);
  // Any slices, with CRLF line ends.
  void body(std::string_view slice);
  // After headers(): what may be asked while the body is still arriving.
  std::vector<dns::Question> early_questions() const;
  // SPF alone, which needs nothing of the message: may be run from the start. Null: `lookup` wants answers. Once there
  // is a result, it stays; finish() has it too.
  const SpfResult* settle_spf(dns::Lookup& lookup);
  // After the last octet. Nothing: `lookup` wants answers, call again when they are in.
  std::optional<Results> finish(dns::Lookup& lookup);
  // After finish(), with the same lookup: what the next hop's DMARC check will find. none when the author cannot be
  // told. Nothing: answers are missing.
  std::optional<DmarcResult> forecast(const Future& future, dns::Lookup& lookup);

  const Authors& authors() const { return authors_; }

 private:
  DmarcInput dmarc_input() const;

  VerifySettings settings_;
  SpfInput envelope_;
  DkimVerifier dkim_;
  ArcVerifier arc_;
  Authors authors_;
  // What is settled stays so: an evaluator that has answered is not run again.
  std::optional<SpfResult> spf_, helo_spf_;
  std::optional<std::vector<DkimResult>> dkim_results_;
  std::optional<ArcResult> arc_result_;
};

}  // namespace auth
