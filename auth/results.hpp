// The verdicts on one message as values, in the words of RFC 8601 §2.7. Pure data; what is done about them is policy's
// matter.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace auth {

// One set of words for all methods; not every method uses every word.
enum class Verdict { none, pass, fail, softfail, neutral, policy, temperror, permerror };
std::string_view to_string(Verdict verdict);

struct SpfResult {
  Verdict result = Verdict::none;
  std::string domain;       // whose record was evaluated
  bool helo = false;        // the HELO identity was checked (MAIL FROM:<>)
  std::string explanation;  // exp= of a fail, expanded and cleansed; "" when there is none
  std::string reason;       // for logs: the mechanism that matched, or what is wrong
};

struct DkimResult {
  Verdict result = Verdict::none;
  std::string domain;           // d=
  std::string selector;         // s=
  std::string identity;         // i=, "" when absent
  std::string algorithm;        // a=
  std::string reason;           // "" on a plain pass
  std::string b;                // the first characters of b=, for header.b (RFC 6008)
  bool testing = false;         // t=y
  bool covers_results = false;  // h= names Authentication-Results: it breaks when a forged one is cut
  bool whole_body = true;  // false: l= leaves part of the body uncovered; such a pass never counts for DMARC (CR-03)
};

enum class DmarcPolicy { none, quarantine, reject };
std::string_view to_string(DmarcPolicy policy);

struct DmarcResult {
  Verdict result = Verdict::none;               // none: no policy is published
  std::string domain;                           // the author's domain
  std::string policy_domain;                    // where the record is
  DmarcPolicy policy = DmarcPolicy::none;       // as published for this domain (p, sp or np), t=y not yet applied
  DmarcPolicy disposition = DmarcPolicy::none;  // what is to be done: none on pass, else policy lowered by t=y
  DmarcPolicy at_worst = DmarcPolicy::none;     // temperror: the strictest disposition it could have been
  bool testing = false;                         // t=y
  bool spf_aligned = false, dkim_aligned = false;
  std::string record;
  std::string reason;
};

struct ArcResult {
  Verdict result = Verdict::none;  // none, pass, fail
  unsigned sets = 0;
  std::vector<std::string> sealers;  // d= of each ARC-Seal, first set first
  // What the first sealer says it saw: dmarc=pass, or, where it says nothing of DMARC, a pass of SPF or DKIM. Worth as
  // much as the sealer.
  bool first_passed = false;
  std::string reason;
};

struct Results {
  bool spf_checked = true, dmarc_checked = true;  // false: switched off, and the result is none
  SpfResult spf;
  SpfResult helo_spf;
  std::vector<DkimResult> dkim;
  DmarcResult dmarc;
  ArcResult arc;
};

}  // namespace auth
