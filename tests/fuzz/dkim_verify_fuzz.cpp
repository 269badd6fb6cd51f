// links: auth
// Whole verifications: the input is up to three key records, an empty line, and a message (LF stands for CRLF), taken
// in slices. One shot and slices must agree, what is reported is printable, questions are names, and the OpenSSL error
// queue is left empty for the TLS session that comes next.
#include <openssl/err.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "auth/dkim_verify.hpp"
#include "core/text.hpp"

namespace {

void require(bool ok) {
  if (!ok) __builtin_trap();
}

std::string to_wire(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') out += '\r';
    if (c != '\r') out += c;
  }
  return out;
}

struct Input {
  std::vector<std::string> records;
  std::string section, body;
};

Input split(std::string_view text) {
  Input input;
  const auto keys = text.substr(0, text.find("\n\n"));
  text.remove_prefix(std::min(text.size(), keys.size() + 2));
  for (const auto record : core::split(keys, '\n')) {
    if (input.records.size() < 3) input.records.emplace_back(record);
  }
  const auto end = text.find("\n\n");
  input.section = to_wire(text.substr(0, end == std::string_view::npos ? end : end + 1));
  if (end != std::string_view::npos) input.body = to_wire(text.substr(end + 2));
  return input;
}

std::vector<auth::DkimResult> verify(const Input& input, const mail::Headers& headers, std::size_t step) {
  static auth::DkimLibrary library;
  auth::DkimVerifier verifier(library, {.allow_rsa_sha1 = step % 2 == 1});
  verifier.headers(headers);
  const auto keys = verifier.keys();
  require(keys.size() <= auth::kMaxDkimSignatures);
  std::string_view rest = input.body;
  for (; !rest.empty(); rest.remove_prefix(std::min(step, rest.size()))) verifier.body(rest.substr(0, step));
  dns::Lookup lookup;
  if (!keys.empty()) require(!verifier.finish(lookup));
  for (const auto& question : keys) {
    require(question.name.size() <= 253 && question.name == core::lower(question.name));
    dns::Answer answer;
    answer.status = dns::Status::ok;
    answer.texts = input.records;
    lookup.answer(question, answer);
  }
  auto results = verifier.finish(lookup);
  require(results.has_value() && ERR_peek_error() == 0);
  return *results;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = split({reinterpret_cast<const char*>(data), size});
  const auto headers = mail::Headers::parse(input.section);
  if (!headers) return 0;
  const auto whole = verify(input, *headers, input.body.size() / 2 * 2 + 2);
  const auto sliced = verify(input, *headers, size % 30 * 2 + 2);
  require(whole.size() == std::max<std::size_t>(headers->count("dkim-signature"), 1) && whole.size() == sliced.size());
  for (std::size_t i = 0; i < whole.size(); ++i) {
    require(whole[i].result == sliced[i].result && whole[i].whole_body == sliced[i].whole_body);
    require((whole[i].result == auth::Verdict::none) == (headers->count("dkim-signature") == 0));
    require(core::printable(whole[i].domain + whole[i].selector + whole[i].identity + whole[i].reason) ==
            whole[i].domain + whole[i].selector + whole[i].identity + whole[i].reason);
    require(whole[i].result != auth::Verdict::pass || !whole[i].domain.empty());
  }
  verify(input, *headers, 7);  // with rsa-sha1
  return 0;
}
