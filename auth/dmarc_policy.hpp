// The policy decision itself, by libopendmarc (libraries.md decision 5): it gets a record written here and names
// written here, so that nothing of its parsing, alignment or list of suffixes is reached by anything a peer sent. Pure.
#pragma once

#include "auth/results.hpp"

namespace auth {

// What is to be done with a message under `policy`; none when one of the two is aligned.
DmarcPolicy enforce_dmarc(DmarcPolicy policy, bool spf_aligned, bool dkim_aligned);

}  // namespace auth
