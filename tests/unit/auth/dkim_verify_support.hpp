// Runs the verifier over a whole message with the answers of a small zone.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "auth/dkim_verify.hpp"
#include "auth/messages.hpp"

namespace dkim {

inline dns::Answer texts(std::vector<std::string> records) {
  dns::Answer answer;
  answer.status = dns::Status::ok;
  answer.texts = std::move(records);
  return answer;
}

inline dns::Answer failure(std::string error) {
  dns::Answer answer;
  answer.error = std::move(error);
  return answer;
}

using Zone = std::map<std::string, dns::Answer>;  // what is not there does not exist

inline dns::Answer ask(const Zone& zone, const dns::Question& question) {
  dns::Answer none;
  none.status = dns::Status::nx_domain;
  const auto it = zone.find(question.name);
  return it == zone.end() || question.type != dns::Type::txt ? none : it->second;
}

// Empty: the header block is no header (SM-06), nobody gets so far. `slice`: octets of body at a time, 0 for all.
inline std::vector<auth::DkimResult> verify(std::string_view message, const Zone& zone,
                                            const auth::DkimSettings& settings = {}, std::size_t slice = 0) {
  const auto [section, body] = messages::split(message);
  const auto headers = mail::Headers::parse(section);
  if (!headers) return {};
  auth::DkimLibrary library(settings.now);
  auth::DkimVerifier verifier(library, settings);
  verifier.headers(*headers);
  const auto step = slice == 0 ? std::max<std::size_t>(body.size(), 1) : slice;
  for (std::size_t at = 0; at < body.size(); at += step) verifier.body(body.substr(at, step));
  dns::Lookup lookup;
  auto results = verifier.finish(lookup);
  while (!results) {
    for (const auto& question : std::vector<dns::Question>(lookup.wanted()))
      lookup.answer(question, ask(zone, question));
    results = verifier.finish(lookup);
  }
  return *results;
}

inline bool any_pass(const std::vector<auth::DkimResult>& results) {
  return std::any_of(results.begin(), results.end(), [](const auto& r) { return r.result == auth::Verdict::pass; });
}

inline std::string describe(const std::vector<auth::DkimResult>& results) {
  std::string out;
  for (const auto& r : results)
    out += std::to_string(static_cast<int>(r.result)) + " " + r.selector + "/" + r.domain + ": " + r.reason + "\n";
  return out;
}

}  // namespace dkim
