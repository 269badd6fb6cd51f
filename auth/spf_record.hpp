// One SPF record by the letter of the grammar (RFC 7208 §4.6.1, §12): every term is checked before any is evaluated,
// because a syntax error anywhere is a permerror. Pure; a Record views the text it was parsed from.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "auth/results.hpp"
#include "core/ip.hpp"

namespace auth {

struct SpfTerm {
  enum class Kind { all, include, a, mx, ptr, ip4, ip6, exists };
  Kind kind = Kind::all;
  Verdict verdict = Verdict::pass;       // by its qualifier, when it matches
  std::string_view text;                 // as written
  std::string_view domain;               // domain-spec, "" for the current domain
  core::Prefix network;                  // ip4, ip6; masked
  unsigned length4 = 32, length6 = 128;  // a, mx

  bool is_address() const { return kind == Kind::ip4 || kind == Kind::ip6; }
};

struct SpfRecord {
  std::vector<SpfTerm> terms;      // up to and including "all": what follows is never reached (§5.1)
  std::string_view redirect, exp;  // domain-specs, "" when absent; redirect is ignored beside "all" (§6.1)
  std::string error;               // what is wrong; "" for a good record
};

// §4.5: starts with the version, and a blank or nothing follows.
bool is_spf_record(std::string_view text);
// `text` satisfies is_spf_record.
SpfRecord parse_spf_record(std::string_view text);

}  // namespace auth
