// links: auth
// Authentication-Results of strangers: what is read can be written in the plain form and reads the same again, and a
// field that the reader takes for ours is also one that counts as forged. Then our own field out of the fuzzer's words:
// it is one field, and says what was to be said.
#include <cstddef>
#include <cstdint>
#include <string>

#include "auth/authentication_results.hpp"
#include "core/text.hpp"
#include "mail/header.hpp"

namespace {

constexpr const char* kHost = "mx.example.net";

void require(bool ok) {
  if (!ok) __builtin_trap();
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string plain(const auth::AuthenticationResults& read) {
  std::string out = quoted(read.authserv_id);
  for (const auto& result : read.results) {
    out += "; " + result.method + "=" + result.result;
    if (!result.reason.empty()) out += " reason=" + quoted(result.reason);
    for (const auto& property : result.properties) {
      out += " " + (property.type.empty() ? "" : property.type + ".") + property.name + "=" + quoted(property.value);
    }
  }
  return read.results.empty() ? out + "; none" : out;
}

void check_theirs(std::string_view text) {
  const auto read = auth::parse_authentication_results(text);
  if (!read) return;
  require(!read->authserv_id.empty() && read->results.size() <= auth::kMaxParsedResults);
  if (core::iequals(read->authserv_id, kHost)) require(auth::claims_authserv_id(text, kHost));
  for (const auto& result : read->results) {
    require(!result.method.empty() && !result.result.empty() && core::lower(result.result) == result.result);
  }
  const auto again = auth::parse_authentication_results(plain(*read));
  require(again && again->authserv_id == read->authserv_id && again->results.size() == read->results.size());
  for (std::size_t i = 0; i < read->results.size(); ++i) {
    const auto &a = read->results[i], &b = again->results[i];
    require(a.method == b.method && a.result == b.result && a.reason == b.reason && a.properties == b.properties);
  }
}

// The input's lines as what a peer may have said.
void check_ours(std::string_view text) {
  const auto lines = core::split(text, '\n');
  const auto line = [&lines](std::size_t i) { return std::string(lines[i % lines.size()]); };
  auth::Results results;
  results.spf = {auth::Verdict::fail, line(0), text.size() % 2 == 0, line(1), line(2)};
  for (std::size_t i = 0; i < lines.size() && i < 30; ++i) {
    auth::DkimResult dkim;
    dkim.result = auth::Verdict::pass;
    dkim.domain = line(i);
    dkim.selector = line(i + 1);
    dkim.algorithm = line(i + 2);
    dkim.reason = line(i + 3);
    dkim.b = line(i + 4);
    results.dkim.push_back(std::move(dkim));
  }
  results.dmarc.domain = line(3);
  results.dmarc.reason = line(4);
  if (text.size() % 3 == 0) results.dmarc.policy_domain = line(5);
  results.arc.result = auth::Verdict::fail;
  results.arc.sets = 1;
  results.arc.sealers = {line(6)};
  results.arc.reason = line(7);
  const auto field = auth::make_authentication_results(kHost, results);
  const auto headers = mail::Headers::parse(field);
  require(headers && headers->fields().size() == 1);
  const auto read = auth::parse_authentication_results(headers->fields().front().value());
  require(read && read->authserv_id == kHost);
  const auto signatures = std::min(results.dkim.size(), auth::kMaxReportedSignatures);
  require(read->results.size() == 3 + signatures);
  require(read->results.front().method == "spf" && read->results.front().result == "fail");
  for (std::size_t i = 0; i < signatures; ++i) {
    require(read->results[1 + i].method == "dkim" && read->results[1 + i].result == "pass");
  }
  require(read->results[1 + signatures].method == "dmarc" && read->results[1 + signatures].result == "none");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_theirs(text);
  check_ours(text);
  return 0;
}
