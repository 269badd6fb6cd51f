#include "auth/arc_chain.hpp"

#include <algorithm>

#include "auth/arc.hpp"
#include "auth/dkim_verify_tags.hpp"
#include "core/digest.hpp"
#include "core/text.hpp"

namespace auth {
namespace {

constexpr std::string_view kResultsName = "ARC-Authentication-Results";
constexpr std::string_view kSignatureName = "ARC-Message-Signature";
constexpr std::string_view kSealName = "ARC-Seal";

// What is wrong, "" when nothing is.
using Problem = std::string_view;

constexpr bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

// RFC 8617 §4.2.1: 1*2DIGIT, 1 to 50. Nothing for all else.
std::optional<unsigned> parse_instance(std::string_view text) {
  if (text.empty() || text.size() > 2) return std::nullopt;
  const auto number = core::parse_number(text);
  if (!number || *number < 1 || *number > kMaxArcSets) return std::nullopt;
  return static_cast<unsigned>(*number);
}

// Comments and folding white space off the front (RFC 5322 §3.2.2). False: a comment that does not end.
bool skip_cfws(std::string_view& text) {
  std::size_t depth = 0, at = 0;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '(') {
      ++depth;
    } else if (depth > 0) {
      if (c == ')') --depth;
      if (c == '\\') ++at;
    } else if (!is_space(c)) {
      break;
    }
  }
  text.remove_prefix(std::min(at, text.size()));
  return depth == 0;
}

bool take(std::string_view& text, char c) {
  if (!skip_cfws(text) || !text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

// RFC 8617 §4.1.1: arc-info = instance [CFWS] ";" authres-payload. What follows is not for us to judge: it is sealed.
std::optional<unsigned> results_instance(std::string_view value) {
  if (!take(value, 'i') || !take(value, '=') || !skip_cfws(value)) return std::nullopt;
  const auto digits = std::find_if_not(value.begin(), value.end(), core::is_digit) - value.begin();
  const auto instance = parse_instance(value.substr(0, static_cast<std::size_t>(digits)));
  value.remove_prefix(static_cast<std::size_t>(digits));
  return take(value, ';') ? instance : std::nullopt;
}

std::optional<std::uint64_t> parse_digits(std::string_view text) {
  const auto number = core::parse_number(text);
  return number ? std::optional<std::uint64_t>(*number) : std::nullopt;
}

// What AMS and AS have in common.
Problem read_key_tags(const TagList& tags, SignatureField& out) {
  const auto algorithm = tags.find("a"), domain = tags.find("d"), selector = tags.find("s"), b = tags.find("b");
  if (!algorithm || !domain || !selector || !b) return "a required tag is missing";
  if (*algorithm != "rsa-sha256") return "unknown algorithm";
  if (!is_dns_name(*domain, Underscore::no) || domain->find('.') == std::string_view::npos) {
    return "d= is no domain name";
  }
  if (!is_dns_name(*selector, Underscore::yes)) return "s= is no selector";
  out.algorithm = SignatureField::Algorithm::rsa_sha256;
  out.algorithm_name = *algorithm;
  out.domain = *domain;
  out.identity_domain = core::lower(*domain);  // ARC has no i= of that kind
  out.selector = *selector;
  if (!is_dns_name(out.question().name, Underscore::yes)) return "s= and d= are too long together";
  out.b = without_space(*b);
  if (!is_base64(out.b)) return "b= is no signature";
  if (const auto time = tags.find("t"); time && !parse_digits(*time)) return "t= is no time";
  return {};
}

Problem read_canon(const TagList& tags, std::vector<ArcCanon>& out) {
  const auto text = tags.find("c");
  if (!text) {
    // By RFC 6376 §3.5 this means simple/simple; those who leave it out in ARC mean relaxed/relaxed, and so do the test
    // suite and dkimpy. What is signed in either form is signed.
    out = {{Canon::relaxed, Canon::relaxed}, {Canon::simple, Canon::simple}};
    return {};
  }
  const auto parts = core::split(*text, '/');
  const auto read = [](std::string_view word) -> std::optional<Canon> {
    if (word == "simple") return Canon::simple;
    return word == "relaxed" ? std::optional(Canon::relaxed) : std::nullopt;
  };
  const auto header = read(parts.front()), body = parts.size() > 1 ? read(parts[1]) : std::optional(Canon::simple);
  if (!header || !body || parts.size() > 2) return "unknown canonicalization";
  out = {{*header, *body}};
  return {};
}

Problem read_message_signature(const TagList& tags, ArcMessageSignature& out) {
  if (const auto problem = read_key_tags(tags, out.key); !problem.empty()) return problem;
  const auto hash = tags.find("bh"), names = tags.find("h");
  if (!hash || !names) return "a required tag is missing";
  auto octets = decode_base64(without_space(*hash));
  if (!octets || octets->size() != core::Digest().size()) return "bh= is no hash";
  out.body_hash = std::move(*octets);
  out.names = without_space(*names);
  for (const auto name : core::split(out.names, ':')) {
    if (core::iequals(name, kSealName)) return "h= names ARC-Seal";  // RFC 8617 §4.1.2
  }
  if (const auto problem = read_canon(tags, out.canons); !problem.empty()) return problem;
  if (const auto query = tags.find("q")) {
    const auto methods = without_space(*query);
    const auto all = core::split(methods, ':');
    if (std::find(all.begin(), all.end(), "dns/txt") == all.end()) return "unknown query method";
  }
  if (const auto length = tags.find("l")) {
    out.length = parse_digits(*length);
    if (!out.length) return "l= is no number";
  }
  if (const auto expires = tags.find("x")) {
    out.expires = parse_digits(*expires);
    if (!out.expires) return "x= is no time";
  }
  return {};
}

Problem read_seal(const TagList& tags, ArcSeal& out) {
  if (const auto cv = tags.find("cv")) {
    if (*cv == "none") out.cv = ArcStatus::none;
    if (*cv == "pass") out.cv = ArcStatus::pass;
    if (*cv == "fail") out.cv = ArcStatus::fail;
  }
  if (!out.cv) return "cv= is missing or unknown";
  if (tags.find("h")) return "h= is not allowed";  // RFC 8617 §4.1.3
  return read_key_tags(tags, out.key);
}

// Puts every ARC field in its place. `chain.sets` grows with the instances that are seen.
Problem sort_fields(const std::vector<mail::HeaderField>& fields, ArcChain& chain) {
  std::size_t count = 0;
  for (const auto& field : fields) {
    const bool results = core::iequals(field.name, kResultsName), seal = core::iequals(field.name, kSealName);
    if (!results && !seal && !core::iequals(field.name, kSignatureName)) continue;
    chain.present = true;
    if (++count > 3 * kMaxArcSets) return "more than 50 sets";
    std::optional<unsigned> instance;
    if (results) {
      instance = results_instance(field.value());
    } else if (const auto tags = TagList::parse(field.value())) {
      instance = parse_instance(tags->find("i").value_or(std::string_view()));
    } else {
      return "a field is no tag list";
    }
    if (!instance) return "i= is missing, or not within 1 to 50";
    if (chain.sets.size() < *instance) chain.sets.resize(*instance);
    auto& set = chain.sets[*instance - 1];
    auto& place = results ? set.results_field : seal ? set.seal_field : set.signature_field;
    if (place != nullptr) return "two fields of one kind have the same i=";
    place = &field;
  }
  const auto whole = [](const ArcSet& set) { return set.results_field && set.signature_field && set.seal_field; };
  return std::all_of(chain.sets.begin(), chain.sets.end(), whole) ? Problem() : "a set is missing or not complete";
}

std::string at_instance(std::size_t index, std::string_view what, Problem problem) {
  return "i=" + std::to_string(index + 1) + " " + std::string(what) + ": " + std::string(problem);
}

}  // namespace

ArcChain ArcChain::parse(const mail::Headers& headers) {
  ArcChain chain;
  if (const auto problem = sort_fields(headers.fields(), chain); !problem.empty()) {
    chain.sets.clear();
    chain.problem = problem;
    return chain;
  }
  // All sets are read to the end, so that a cv=fail anywhere is seen; the first problem is the one that is reported.
  for (std::size_t i = 0; i < chain.sets.size(); ++i) {
    auto& set = chain.sets[i];
    const auto note = [&](std::string_view what, Problem problem) {
      if (!problem.empty() && chain.problem.empty()) chain.problem = at_instance(i, what, problem);
    };
    const auto seal = TagList::parse(set.seal_field->value()), signature = TagList::parse(set.signature_field->value());
    note(kSealName, read_seal(seal.value(), set.seal));
    note(kSignatureName, read_message_signature(signature.value(), set.signature));
    // RFC 8617 §5.2: none in the first, pass in all others.
    if (set.seal.cv == ArcStatus::fail) {
      note(kSealName, "says cv=fail");
    } else if (set.seal.cv != (i == 0 ? ArcStatus::none : ArcStatus::pass)) {
      note(kSealName, "cv= does not fit its place");
    }
  }
  return chain;
}

bool ArcChain::may_grow() const {
  return !sets.empty() && sets.size() < kMaxArcSets &&
         std::none_of(sets.begin(), sets.end(), [](const ArcSet& set) { return set.seal.cv == ArcStatus::fail; });
}

std::string without_signature(const mail::HeaderField& field) {
  auto raw = field.raw;
  if (raw.ends_with("\r\n")) raw.remove_suffix(2);
  const auto b = TagList::parse(field.value()).value().find("b").value();
  auto begin = static_cast<std::size_t>(b.data() - raw.data());
  while (begin > 0 && is_space(raw[begin - 1])) --begin;  // back to the '='
  const auto end = std::min(raw.find(';', begin), raw.size());
  return std::string(raw.substr(0, begin)) + std::string(raw.substr(end));
}

}  // namespace auth
