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
  // After the last octet. Nothing: `lookup` wants answers, call again when they are in.
  std::optional<Results> finish(dns::Lookup& lookup);

  const Authors& authors() const { return authors_; }

 private:
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
