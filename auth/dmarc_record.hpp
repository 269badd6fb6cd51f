// DMARC records: a strict reader of RFC 9989 §4.7, §4.8, and the RFC 7489 one for the mode that follows that. What a
// record cannot say is not guessed. libopendmarc's reader enforces half-read records (libraries.md §3c) and never sees
// one of these. Pure.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "auth/results.hpp"

namespace auth {

// rfc9989: whatever is wrong with a tag voids that tag only. rfc7489: p follows v, and anything wrong voids the record.
enum class Dialect { rfc9989, rfc7489 };
enum class Alignment { relaxed, strict };
enum class Psd { unknown, yes, no };

inline constexpr std::size_t kMaxDmarcRecord = 8192;  // threats DN-12
inline constexpr std::size_t kMaxReportUris = 16;

struct DmarcRecord {
  // False: neither a policy nor an address for reports: there is no DMARC here (RFC 9989 §4.10.1).
  bool usable = true;
  DmarcPolicy p = DmarcPolicy::none;
  std::optional<DmarcPolicy> sp, np;
  Psd psd = Psd::unknown;
  Alignment adkim = Alignment::relaxed, aspf = Alignment::relaxed;
  bool testing = false;               // t=y; pct=0 in RFC 7489, its ancestor (RFC 9989 §A.6)
  std::string fo;                     // as written
  std::vector<std::string> rua, ruf;  // URIs, with the size limit of RFC 7489 cut off
  std::string text;                   // the record, printable
};

// The first tag is v=DMARC1: only such texts are records at all (RFC 9989 §4.10 step 2).
bool is_dmarc_record(std::string_view text);

// Nothing: no record, or, in rfc7489, a broken one.
std::optional<DmarcRecord> parse_dmarc_record(std::string_view text, Dialect dialect);

enum class Found { none, one, several };
struct Selection {
  Found found = Found::none;
  std::string_view text;  // when one
};
// Picks the record among the TXT records of one name.
Selection select_dmarc_record(std::span<const std::string> texts);

}  // namespace auth
