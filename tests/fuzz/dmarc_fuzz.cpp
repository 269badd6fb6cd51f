// links: auth
// DMARC with a DNS world made from the input: lines of TXT records, one for each name that is asked for. A pass needs
// an aligned name, the number of questions is bounded, and a record that was read reads the same from its own text.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "auth/authentication_results.hpp"
#include "auth/dmarc.hpp"
#include "auth/dmarc_discovery.hpp"
#include "core/text.hpp"
#include "mail/header.hpp"

namespace {

void require(bool ok) {
  if (!ok) __builtin_trap();
}

const auth::PublicSuffixList* suffixes() {
  static const auto list = auth::PublicSuffixList::load();
  return list ? &*list : nullptr;
}

void check_record(std::string_view text) {
  for (const auto dialect : {auth::Dialect::rfc9989, auth::Dialect::rfc7489}) {
    const auto record = auth::parse_dmarc_record(text, dialect);
    if (!record) continue;
    require(record->usable || (record->rua.empty() && dialect == auth::Dialect::rfc9989));
    const auto again = auth::parse_dmarc_record(record->text, dialect);
    require(again && again->p == record->p && again->sp == record->sp && again->testing == record->testing);
  }
}

void check_field(const auth::Results& results) {
  const auto field = auth::make_authentication_results("mx.example.net", results);
  const auto headers = mail::Headers::parse(field);
  require(headers && headers->fields().size() == 1);
  const auto read = auth::parse_authentication_results(headers->fields().front().value());
  require(read && read->authserv_id == "mx.example.net" && read->results.size() == 2 + results.dkim.size());
}

}  // namespace

// Line 1: author, signer, envelope sender and two digits; the others: what DNS says, in the order of the questions.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto lines = core::split(text, '\n');
  const auto words = core::split(lines.front(), '|');
  const auto word = [&words](std::size_t i) { return i < words.size() ? std::string(words[i]) : std::string(); };
  for (const auto line : lines) check_record(line);
  (void)auth::parse_authentication_results(text);
  (void)auth::claims_authserv_id(text, "mx.example.net");

  auth::Results results;
  results.spf = {auth::Verdict::pass, word(2), false, "", ""};
  results.dkim.emplace_back();
  results.dkim[0].domain = word(1);
  results.dkim[0].result = word(3) == "t" ? auth::Verdict::temperror : auth::Verdict::pass;
  auth::DmarcInput input;
  input.author_domain = word(0);
  input.spf = &results.spf;
  input.dkim = results.dkim;
  input.discovery = word(4) == "p" ? auth::Discovery::psl : auth::Discovery::tree_walk;
  input.suffixes = word(4) == "n" ? nullptr : suffixes();

  dns::Lookup lookup;
  auto result = auth::evaluate_dmarc(input, lookup);
  for (std::size_t next = 1; !result; result = auth::evaluate_dmarc(input, lookup)) {
    const auto wanted = lookup.wanted();
    require(!wanted.empty() && lookup.answered() < 60);
    for (const auto& question : wanted) {
      dns::Answer answer;
      const auto line = next < lines.size() ? lines[next] : std::string_view();
      ++next;
      answer.status = line.empty()  ? dns::Status::nx_domain
                      : line == "!" ? dns::Status::failure
                      : line == "0" ? dns::Status::no_data
                                    : dns::Status::ok;
      for (const auto part : core::split(line, '\t')) answer.texts.emplace_back(part);
      lookup.answer(question, std::move(answer));
    }
  }
  if (result->result == auth::Verdict::pass) {
    require(result->spf_aligned || result->dkim_aligned);
    require(result->disposition == auth::DmarcPolicy::none && !result->policy_domain.empty());
    const auto author = auth::normal_domain(word(0));
    const auto other = auth::normal_domain(result->dkim_aligned ? word(1) : word(2));
    require(author && other && auth::last_labels(*author, 1) == auth::last_labels(*other, 1));
  }
  require(result->result != auth::Verdict::none || result->disposition == auth::DmarcPolicy::none);
  results.dmarc = *result;
  check_field(results);
  return 0;
}
