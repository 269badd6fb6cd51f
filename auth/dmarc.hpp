// DMARC (RFC 9989; RFC 7489 as the other discovery mode): from the author's domain and the SPF and DKIM results to a
// verdict and what its policy asks for. Discovery, records and alignment are ours, the policy decision is
// libopendmarc's (libraries.md decision 5). Pure: DNS is asked through a dns::Lookup, and the evaluator is run again
// when answers came.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "auth/dmarc_domain.hpp"
#include "auth/results.hpp"
#include "dns/answer.hpp"

namespace auth {

enum class Discovery { tree_walk, psl };

// Authenticated names whose organization is looked up for one author; others only align when equal (threats DN-06).
inline constexpr std::size_t kMaxAlignmentWalks = 4;

struct DmarcInput {
  std::string author_domain;  // from find_authors
  const SpfResult* spf = nullptr;
  bool null_sender = false;  // MAIL FROM:<>: only then the HELO identity stands for the sender
  std::span<const DkimResult> dkim;
  Discovery discovery = Discovery::tree_walk;
  // psl without it walks the tree; for tree_walk a fence against siblings under one public suffix
  // (dmarc_discovery.hpp).
  const PublicSuffixList* suffixes = nullptr;
};

// Nothing: `lookup` wants answers. An author domain that is no name (an address literal) has the result none.
std::optional<DmarcResult> evaluate_dmarc(const DmarcInput& input, dns::Lookup& lookup);

// For a From with several author domains (`input.author_domain` is not used): the strictest of their results. It passes
// only when each that publishes a policy passes; it is none only when none of them publishes one.
std::optional<DmarcResult> evaluate_authors(const DmarcInput& input, std::span<const std::string> domains,
                                            dns::Lookup& lookup);

// t=y: one step down (RFC 9989 §4.7).
DmarcPolicy lowered(DmarcPolicy policy);

}  // namespace auth
