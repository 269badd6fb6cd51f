#include "app/replies_text.hpp"

#include <fmt/format.h>

#include "mail/reasons.hpp"

namespace app {
namespace {

constexpr std::string_view kIntro = R"(<!-- Written by `onward docs replies` from mail/reasons.cpp; do not edit. -->
# Replies

Every refusal that Onward makes itself ends in ` [reason id]`. *reason* is one of the words below; it never changes its
meaning. *id* is the session (`k3v7q2mzxa`) or the message (`k3v7q2mzxa-1`): grep for it in the log, or ask
`onward trace ID`. Replies that another server gave us end in ` [upstream id]`; their code and text are that server's.

4xx means: not now. We hold nothing, your server keeps the message and tries again. 5xx means: not like this, do not try
the same again. After 421, and where the table says *closes*, the connection ends; where it says *may close*, the row
tells when.
)";

std::string_view closes(mail::Reason::Closes closes) {
  switch (closes) {
    case mail::Reason::Closes::no:
      break;
    case mail::Reason::Closes::sometimes:
      return ", may close";
    case mail::Reason::Closes::always:
      return ", closes";
  }
  return "";
}

std::string row(const mail::Reason& reason) {
  std::string replies(reason.whose);
  for (const auto& reply : reason.replies) {
    if (!replies.empty()) replies += ", ";
    replies += fmt::format("{} {}", reply.code, reply.enhanced.to_string());
    if (!reply.when.empty()) replies += fmt::format(" ({})", reply.when);
  }
  return fmt::format("| `{}` | {}{} | {} | {} |\n", reason.slug, replies, closes(reason.closes), reason.happened,
                     reason.advice);
}

}  // namespace

std::string replies_page() {
  std::string out(kIntro);
  for (const auto& section : mail::reason_sections()) {
    out += fmt::format("\n## {}\n\n| reason | reply | what happened | what the sender should do |\n|---|---|---|---|\n",
                       section.title);
    for (const auto& reason : section.reasons) out += row(reason);
  }
  out += "\nReplies to commands that succeed carry no reason.\n";
  return out;
}

}  // namespace app
