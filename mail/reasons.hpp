// Why we refuse: each word that `[reason id]` at the end of a refusal may hold (interface.md §4), declared once, with
// the replies it comes with and what it means to a sender. make_refusal asserts that what it is asked for stands here,
// so that every test proves it true; `onward docs replies` prints it. Pure.
#pragma once

#include <initializer_list>
#include <span>
#include <string_view>

#include "mail/reply.hpp"

namespace mail {

struct ReasonReply {
  int code;
  EnhancedCode enhanced;
  std::string_view when = {};  // said where a reason has several replies
};

struct Reason {
  enum class Closes { no, sometimes, always };  // the connection; 421 does by itself (RFC 5321 §3.8)

  std::string_view slug;                       // never changes its meaning
  std::initializer_list<ReasonReply> replies;  // none: whatever `whose` says
  std::string_view happened, advice;           // Markdown, for the sender's postmaster
  Closes closes = Closes::no;
  std::string_view whose = {};  // where the reply is not ours: a rule of the configuration, the destination
};

struct ReasonSection {
  std::string_view title;
  std::span<const Reason> reasons;
};

// All reasons, by what they are about, in the order of docs/replies.md.
std::span<const ReasonSection> reason_sections();

// Is `slug` a reason that comes with this code and enhanced code? Where the reply is not ours: any 4xx or 5xx with an
// enhanced code of its class.
bool is_declared(std::string_view slug, int code, EnhancedCode enhanced);

}  // namespace mail
