#include "auth/dkim_verify_field.hpp"

#include <algorithm>
#include <array>
#include <chrono>

#include "auth/dkim_verify_tags.hpp"
#include "core/text.hpp"

namespace auth {
namespace {

constexpr std::size_t kMaxName = 253;    // RFC 1035 §3.1, without the final dot
constexpr std::size_t kMaxLabel = 63;    // RFC 1035 §2.3.4
constexpr std::size_t kSha256Text = 43;  // base64 letters of a digest, padding apart
constexpr std::size_t kSha1Text = 27;

struct Problem {
  Verdict verdict;
  std::string_view reason;
};
using Check = std::optional<Problem>;

constexpr Check syntax(std::string_view reason) {
  return Problem{Verdict::neutral, reason};
}
constexpr Check permanent(std::string_view reason) {
  return Problem{Verdict::permerror, reason};
}

bool is_label(std::string_view label, Underscore underscore) {
  if (label.empty() || label.size() > kMaxLabel || label.front() == '-' || label.back() == '-') return false;
  return std::all_of(label.begin(), label.end(), [&](char c) {
    return core::is_alnum(c) || c == '-' || (c == '_' && underscore == Underscore::yes);
  });
}

int hex_digit(char c) {
  if (core::is_digit(c)) return c - '0';
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// RFC 6376 §2.11. Each '=' needs its two digits: libopendkim reads past the end of what stops in the middle. What
// decodes to an octet that is not printable is not taken either.
std::optional<std::string> decode_quoted(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '=') {
      out += text[i];
      continue;
    }
    if (text.size() - i < 3) return std::nullopt;
    const int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    const int octet = high * 16 + low;
    if (octet < 0x20 || octet > 0x7e) return std::nullopt;
    out += static_cast<char>(octet);
    i += 2;
  }
  return out;
}

bool is_within(std::string_view name, std::string_view domain) {
  return name == domain ||
         (name.size() > domain.size() && name.ends_with(domain) && name[name.size() - domain.size() - 1] == '.');
}

// RFC 6376 §3.5: t= and x= have at most 12 digits.
std::optional<std::int64_t> parse_time(std::string_view text) {
  if (text.size() > 12) return std::nullopt;
  const auto number = core::parse_number(text);
  return number ? std::optional(static_cast<std::int64_t>(*number)) : std::nullopt;
}

// Reads one DKIM-Signature, tag by tag; the first problem is the one that is reported.
class Reader {
 public:
  Reader(const TagList& tags, const FieldRules& rules, SignatureField& out) : tags_(tags), rules_(rules), out_(out) {}

  Check run() {
    for (const auto step : {&Reader::names, &Reader::version, &Reader::algorithm, &Reader::canonicalization,
                            &Reader::query, &Reader::hashes, &Reader::signed_names, &Reader::identity, &Reader::length,
                            &Reader::harmless, &Reader::times, &Reader::historic}) {
      if (auto problem = (this->*step)()) return problem;
    }
    return std::nullopt;
  }

 private:
  std::string_view tag(std::string_view name) const { return tags_.find(name).value_or(std::string_view()); }

  Check names() {
    for (const auto name : {"v", "a", "b", "bh", "d", "h", "s"}) {
      if (!tags_.find(name)) return syntax("a required tag is missing");  // RFC 6376 §3.5
    }
    const auto domain = tag("d"), selector = tag("s");
    if (!is_dns_name(domain, Underscore::no) || domain.find('.') == std::string_view::npos)
      return syntax("d= is no domain name");
    out_.domain = domain;
    if (!is_dns_name(selector, Underscore::yes)) return syntax("s= is no selector");
    out_.selector = selector;
    if (out_.question().name.size() > kMaxName) return syntax("s= and d= are too long together");
    return {};
  }

  Check version() { return tag("v") == "1" ? Check() : syntax("unknown version"); }

  Check algorithm() {
    using enum SignatureField::Algorithm;
    const auto name = core::lower(tag("a"));
    if (name == "rsa-sha256") out_.algorithm = rsa_sha256;
    if (name == "ed25519-sha256") out_.algorithm = ed25519_sha256;
    if (name == "rsa-sha1") out_.algorithm = rsa_sha1;
    if (out_.algorithm == unknown) return syntax("unknown algorithm");
    out_.algorithm_name = name;
    return {};
  }

  Check canonicalization() {
    const auto text = core::lower(tags_.find("c").value_or("simple/simple"));
    const auto slash = text.find('/');
    const auto header = std::string_view(text).substr(0, slash);
    const auto body = slash == std::string::npos ? "simple" : std::string_view(text).substr(slash + 1);
    for (const auto part : {header, body}) {
      if (part != "simple" && part != "relaxed") return syntax("unknown canonicalization");
    }
    out_.body_canon = body == "relaxed" ? Canon::relaxed : Canon::simple;
    return {};
  }

  Check query() {
    const auto text = without_space(tags_.find("q").value_or("dns/txt"));
    for (const auto method : core::split(text, ':')) {
      if (core::iequals(method, "dns/txt")) return {};
    }
    return syntax("unknown query method");
  }

  Check hashes() {
    const auto hash = without_space(tag("bh"));
    const auto want = out_.algorithm == SignatureField::Algorithm::rsa_sha1 ? kSha1Text : kSha256Text;
    if (!is_base64(hash) || std::min(hash.find('='), hash.size()) != want) return syntax("bh= is no hash");
    auto signature = without_space(tag("b"));
    if (!is_base64(signature)) return syntax("b= is no signature");
    out_.b = std::move(signature);
    return {};
  }

  Check signed_names() {
    const auto list = without_space(tag("h"));
    if (list.size() > kMaxSignedNamesOctets) return syntax("h= is too long");
    bool from = false;
    for (const auto name : core::split(list, ':')) {
      from |= core::iequals(name, "from");
      out_.covers_signatures |= core::iequals(name, "dkim-signature");
      out_.covers_results |= core::iequals(name, "authentication-results");
    }
    return from ? Check() : permanent("From is not signed");  // RFC 6376 §5.4, §6.1.1
  }

  Check identity() {
    const auto domain = core::lower(out_.domain);
    out_.identity_domain = domain;
    if (!tags_.find("i")) return {};
    const auto text = tag("i");
    if (text.size() > kMaxIdentityOctets) return syntax("i= is too long");
    const auto decoded = decode_quoted(text);
    const auto at = decoded ? decoded->find('@') : std::string::npos;
    if (at == std::string::npos) return syntax("i= is no identity");
    out_.identity_domain = core::lower(decoded->substr(at + 1));
    // RFC 6376 §6.1.1. Nothing that is no name goes on from here either.
    if (!is_within(out_.identity_domain, domain) || !is_dns_name(out_.identity_domain, Underscore::yes))
      return permanent("i= is not within d=");
    out_.identity = text;
    return {};
  }

  Check length() {
    const auto text = tags_.find("l");
    if (!text) return {};
    if (text->empty() || !std::all_of(text->begin(), text->end(), core::is_digit)) return syntax("l= is no number");
    const auto number = core::parse_number(*text);
    if (!number || *number > INT64_MAX) return permanent("l= is larger than the body");  // RFC 6376 §3.5
    out_.length = *number;
    return {};
  }

  // From here on only time and taste can stand against the signature; libopendkim may see it.
  Check harmless() {
    out_.harmless = true;
    return {};
  }

  Check times() {
    std::optional<std::int64_t> made, expires;
    if (const auto text = tags_.find("t")) {
      made = parse_time(*text);
      out_.harmless &= made.has_value();
      if (!made) return syntax("t= is no time");
    }
    if (const auto text = tags_.find("x")) {
      expires = parse_time(*text);
      out_.harmless &= expires.has_value();
      if (!expires) return syntax("x= is no time");
    }
    const auto now = std::chrono::duration_cast<core::Seconds>(rules_.now.time_since_epoch()).count();
    if (made && expires && *expires <= *made) return permanent("x= is not after t=");
    if (expires && now > *expires) return permanent("the signature has expired");
    if (made && *made > now + kFutureTolerance.count()) return permanent("the signature is from the future");
    return {};
  }

  Check historic() {
    if (out_.algorithm != SignatureField::Algorithm::rsa_sha1 || rules_.allow_rsa_sha1) return {};
    return permanent("rsa-sha1 is not accepted");  // RFC 8301 §3.1
  }

  const TagList& tags_;
  const FieldRules& rules_;
  SignatureField& out_;
};

}  // namespace

bool is_dns_name(std::string_view name, Underscore underscore) {
  if (name.empty() || name.size() > kMaxName) return false;
  const auto labels = core::split(name, '.');
  return std::all_of(labels.begin(), labels.end(), [&](auto label) { return is_label(label, underscore); });
}

dns::Question SignatureField::question() const {
  return {.name = core::lower(selector + "._domainkey." + domain), .type = dns::Type::txt};
}

SignatureField read_signature(std::string_view value, const FieldRules& rules) {
  SignatureField field;
  const auto fail = [&](const Problem& problem) {
    field.verdict = problem.verdict;
    field.reason = problem.reason;
  };
  if (value.size() > kMaxSignatureOctets) {
    fail({Verdict::neutral, "the field is too long"});
    return field;
  }
  const auto tags = TagList::parse(value);
  if (!tags) {
    fail({Verdict::neutral, "syntax error in the tag list"});
    return field;
  }
  if (const auto problem = Reader(*tags, rules, field).run()) fail(*problem);
  return field;
}

}  // namespace auth
