#include "forwarder/answer.hpp"

#include <algorithm>

namespace forwarder {

std::string_view slug_for(const mail::Reply& reply) {
  const auto& e = reply.enhanced;
  if (reply.code == 554 && e.subject == 4 && e.detail == 6) return "loop";
  if (reply.code == 552) return "too-big";
  if (e.subject == 1) return "bad-destination";
  if (e.subject == 6) return e.detail == 7 ? "no-utf8" : "bad-message";
  if (e.subject == 3) return "local-error";
  if (e.subject == 7 && (e.detail == 5 || e.detail == 30)) return "tls";
  return "upstream-unreachable";
}

mail::Reply answer_for(const mail::Outcome& outcome, ErrorDetail detail, const std::vector<Mask>& masks,
                       std::string_view id) {
  if (outcome.from_peer) return present(outcome.reply, detail, masks, id);
  const auto text = outcome.reply.lines.empty() ? std::string() : outcome.reply.lines.front();
  return mail::make_refusal(outcome.reply.code, outcome.reply.enhanced, text, slug_for(outcome.reply), id);
}

namespace {

// The reply whose code leads, and one line for each result that `matches`.
template <class Matches>
mail::Reply one_line_each(mail::Reply lead, const std::vector<Result>& results, ErrorDetail detail,
                          const std::vector<Mask>& masks, std::string_view id, Matches matches) {
  mail::Reply reply;
  reply.code = lead.code;
  reply.enhanced = lead.enhanced;
  for (const auto& result : results) {
    if (!matches(result) || reply.lines.size() + 1 >= mail::ReplyParser::kMaxKeptLines) continue;
    if (result.outcome.fate == mail::Fate::delivered) {
      reply.lines.push_back("delivered: " + result.shown);
      continue;
    }
    auto line = result.outcome.reply;
    if (line.lines.size() > 1) line.lines.resize(1);
    const bool from_peer = result.outcome.from_peer && detail != ErrorDetail::code_only;
    const auto text = from_peer && detail == ErrorDetail::masked ? mask_text(line.to_log(), masks) : line.to_log();
    reply.lines.push_back("refused: " + result.shown + " " +
                          (detail == ErrorDetail::code_only ? std::to_string(line.code) : text));
  }
  reply.lines.push_back("[upstream " + std::string(id) + "]");
  return reply;
}

}  // namespace

mail::Reply compose_answer(promise::Answer answer, const std::vector<Result>& results, ErrorDetail detail,
                           const std::vector<Mask>& masks, std::string_view id) {
  const auto fate_in = [](const Result& result, std::initializer_list<mail::Fate> fates) {
    return std::find(fates.begin(), fates.end(), result.outcome.fate) != fates.end();
  };
  switch (answer) {
    case promise::Answer::accepted:
      return mail::Reply(250, {2, 0, 0}, "Ok: the destination has it, id " + std::string(id));
    case promise::Answer::refused: {
      const auto& first = results.front();
      if (results.size() == 1) return answer_for(first.outcome, detail, masks, id);
      return one_line_each(first.outcome.reply, results, detail, masks, id, [](const Result&) { return true; });
    }
    case promise::Answer::later: {
      // What a destination said tells more than what we say of those that were held back because of it.
      const auto later = [&](const Result& r) {
        return fate_in(r, {mail::Fate::deferred, mail::Fate::unknown, mail::Fate::late});
      };
      auto found = std::find_if(results.begin(), results.end(),
                                [&](const Result& r) { return later(r) && r.outcome.from_peer; });
      if (found == results.end()) found = std::find_if(results.begin(), results.end(), later);
      if (found == results.end()) return mail::make_refusal(451, {4, 3, 0}, "Try again later", "local-error", id);
      return answer_for(found->outcome, detail, masks, id);
    }
    case promise::Answer::partial:
      return one_line_each(mail::Reply(554, {5, 6, 0}, ""), results, detail, masks, id,
                           [](const Result&) { return true; });
  }
  return mail::make_refusal(451, {4, 3, 0}, "Try again later", "local-error", id);
}

}  // namespace forwarder
