// links: auth
// A whole message with its envelope and its DNS world, through auth::Verifier: SPF, DKIM, ARC and DMARC out of them,
// and what the next hop will find. The input: a line of words (client, HELO, sender, flags), lines of records up to an
// empty line, and the message (LF stands for CRLF). A verdict always comes, within bounds, the same for every slicing
// of the body and every order of the answers, and nobody passes DMARC without an aligned name that passed.
#include <openssl/err.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "auth/authentication_results.hpp"
#include "auth/verify.hpp"
#include "core/text.hpp"

namespace {

void require(bool ok) {
  if (!ok) __builtin_trap();
}

// SPF twice, a key for each signature and set, eight names of a walk for each author and whatever is to align with it,
// here and at the next hop.
constexpr std::size_t kMostQuestions = 2 * auth::kSpfMaxQuestions + auth::kMaxDkimSignatures + auth::kMaxArcSets + 1 +
                                       auth::kMaxAuthorDomains * (9 + 2 * 8 * auth::kMaxAlignmentWalks);

struct World {
  std::vector<std::string_view> records;
  core::IpAddress client;
  unsigned salt = 0;
  bool trouble = false;  // many names fail

  // A record of the kind that is asked for, where there is one: keys, policies, and SPF for all other names.
  std::string text_for(const std::string& name, unsigned hash) const {
    std::vector<std::string_view> fitting;
    for (const auto text : records) {
      const bool policy = text.starts_with("v=DMARC1"), spf = text.starts_with("v=spf1");
      const bool fits = name.starts_with("_dmarc.")                      ? policy
                        : name.find("._domainkey.") != std::string::npos ? !policy && !spf
                                                                         : spf;
      if (fits) fitting.push_back(text);
    }
    if (fitting.empty() || hash % 29 == 7) return std::string(records[hash % records.size()]);
    return std::string(fitting[hash % fitting.size()]);
  }

  // The same question has the same answer, whenever it is asked.
  dns::Answer resolve(const dns::Question& question) const {
    require(!question.name.empty() && question.name.size() <= 253 && question.name == core::lower(question.name));
    dns::Answer answer;
    unsigned hash = salt;
    for (const char c : question.name) hash = hash * 31 + static_cast<unsigned char>(c);
    if (records.empty() || (trouble && hash % 5 == 1)) return answer;
    answer.status = hash % 7 == 3 ? dns::Status::nx_domain : dns::Status::ok;
    if (answer.status == dns::Status::nx_domain) return answer;
    const auto host = [&](unsigned i) {
      return core::lower(std::string(records[(hash + i) % records.size()]).substr(0, 60));
    };
    if (question.type == dns::Type::txt) {
      answer.texts.push_back(text_for(question.name, hash));
      if (hash % 31 == 2) answer.texts.push_back(text_for(question.name, hash / 31));
    }
    if (question.type == dns::Type::a || question.type == dns::Type::aaaa) {
      answer.addresses.push_back(hash % 3 == 0 ? client : core::IpAddress());
    }
    if (question.type == dns::Type::mx) answer.mx.push_back({10, host(1)});
    if (question.type == dns::Type::ptr) answer.names.push_back(host(2));
    return answer;
  }
};

std::string to_wire(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') out += '\r';
    if (c != '\r') out += c;
  }
  return out;
}

struct Input {
  World world;
  auth::SpfInput envelope;
  auth::Discovery discovery = auth::Discovery::tree_walk;
  bool fence = true;
  std::string section, body;
};

Input read(std::string_view text) {
  Input input;
  const auto prologue = text.substr(0, text.find("\n\n"));
  text.remove_prefix(std::min(text.size(), prologue.size() + 2));
  auto lines = core::split(prologue, '\n');
  const auto words = core::split(lines.front(), '|');
  const auto word = [&words](std::size_t i) { return i < words.size() ? std::string(words[i]) : std::string(); };
  lines.erase(lines.begin());
  if (lines.size() > 64) lines.resize(64);
  input.world.records = std::move(lines);
  input.world.client = core::IpAddress::parse(word(0)).value_or(core::IpAddress()).unmapped();
  input.envelope.client = input.world.client;
  input.envelope.helo = word(1);
  const auto sender = word(2);
  const auto at = sender.rfind('@');
  if (!sender.empty()) {
    input.envelope.mail_from.mailbox = {at == std::string::npos ? "postmaster" : sender.substr(0, at),
                                        at == std::string::npos ? sender : sender.substr(at + 1)};
  }
  input.envelope.receiver = "mx.example.net";
  const auto flags = word(3);
  if (flags.find('p') != std::string::npos) input.discovery = auth::Discovery::psl;
  input.fence = flags.find('n') == std::string::npos;
  input.world.trouble = flags.find('f') != std::string::npos;
  for (const char c : flags) input.world.salt = input.world.salt * 7 + static_cast<unsigned char>(c);
  const auto end = text.find("\n\n");
  input.section = to_wire(text.substr(0, end == std::string_view::npos ? end : end + 1));
  if (end != std::string_view::npos) input.body = to_wire(text.substr(end + 2));
  return input;
}

struct Outcome {
  auth::Results results;
  auth::DmarcResult forecast;
  auth::Authors authors;
};

enum class Pace { all_at_once, one_at_a_time };

Outcome verify(const Input& input, const mail::Headers& headers, std::size_t step, Pace pace) {
  static auth::DkimLibrary library;
  static const auto suffixes = auth::PublicSuffixList::load();
  auth::VerifySettings settings;
  settings.discovery = input.discovery;
  settings.suffixes = suffixes && input.fence ? &*suffixes : nullptr;
  auth::Verifier verifier(library, settings, input.envelope);
  verifier.headers(headers);
  for (std::string_view rest = input.body; !rest.empty(); rest.remove_prefix(std::min(step, rest.size()))) {
    verifier.body(rest.substr(0, step));
  }
  dns::Lookup lookup;
  const auto settle = [&](auto evaluate) {
    for (;;) {
      if (auto result = evaluate()) {
        require(lookup.answered() + lookup.wanted().size() <= kMostQuestions);
        return std::move(*result);
      }
      auto wanted = lookup.wanted();
      require(!wanted.empty() && lookup.answered() <= kMostQuestions);
      if (pace == Pace::one_at_a_time) wanted.resize(1);
      for (const auto& question : wanted) lookup.answer(question, input.world.resolve(question));
    }
  };
  Outcome outcome;
  outcome.results = settle([&] { return verifier.finish(lookup); });
  outcome.authors = verifier.authors();
  auth::Future future;
  future.spf.result = auth::Verdict::pass;
  future.spf.domain = "forward.example";
  future.signed_domains = {"forward.example", "example.org"};
  future.results_cut = input.section.size() % 2 == 0;
  outcome.forecast = settle([&] { return verifier.forecast(future, lookup); });
  return outcome;
}

void check_dmarc(const Outcome& outcome) {
  const auto& dmarc = outcome.results.dmarc;
  require(dmarc.disposition <= dmarc.policy);
  if (dmarc.result != auth::Verdict::pass) return;
  require(outcome.authors.ok() && (dmarc.spf_aligned || dmarc.dkim_aligned));
  require(dmarc.disposition == auth::DmarcPolicy::none && !dmarc.policy_domain.empty());
  const auto vouches = [&dmarc](std::string_view name) {
    const auto normal = auth::normal_domain(name);
    return normal && auth::last_labels(*normal, 1) == auth::last_labels(dmarc.domain, 1);
  };
  bool vouched = outcome.results.spf.result == auth::Verdict::pass && vouches(outcome.results.spf.domain);
  for (const auto& dkim : outcome.results.dkim) {
    vouched = vouched || (dkim.result == auth::Verdict::pass && dkim.whole_body && vouches(dkim.domain));
  }
  require(vouched);
}

std::string field(const auth::Results& results) {
  return auth::make_authentication_results("mx.example.net", results);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = read({reinterpret_cast<const char*>(data), size});
  const auto headers = mail::Headers::parse(input.section);
  if (!headers) return 0;
  const auto whole = verify(input, *headers, input.body.size() + 1, Pace::all_at_once);
  const auto sliced = verify(input, *headers, size % 29 + 1, Pace::one_at_a_time);
  require(field(whole.results) == field(sliced.results));
  require(whole.results.dmarc.at_worst == sliced.results.dmarc.at_worst);
  require(whole.forecast.result == sliced.forecast.result && whole.forecast.policy == sliced.forecast.policy);
  require(ERR_peek_error() == 0);
  check_dmarc(whole);
  const auto text = field(whole.results);
  const auto written = mail::Headers::parse(text);
  require(written && written->fields().size() == 1);
  require(auth::parse_authentication_results(written->fields().front().value()).has_value());
  return 0;
}
