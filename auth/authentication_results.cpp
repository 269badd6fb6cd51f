#include "auth/authentication_results.hpp"

#include <algorithm>
#include <optional>

#include "auth/dmarc_domain.hpp"
#include "core/text.hpp"
#include "mail/header.hpp"

namespace auth {
namespace {

// RFC 2045 §5.1.
bool is_token_char(char c) {
  return c > ' ' && c < '\x7f' && std::string_view("()<>@,;:\\\"/[]?=").find(c) == std::string_view::npos;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}

// RFC 8601 §2.2 value: a token, or a quoted string of printable ASCII.
std::string quoted_value(std::string_view text) {
  const auto clean = core::printable(text.substr(0, kMaxReportedValue));
  if (is_token(clean)) return clean;
  std::string out = "\"";
  for (const char c : clean) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\t' ? ' ' : c;
  }
  return out + '"';
}

void property(std::string& out, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  out += ' ';
  out += name;
  out += '=';
  out += quoted_value(value);
}

void domain_property(std::string& out, std::string_view name, const std::string& domain) {
  property(out, name, core::has_8bit(domain) ? normal_domain(domain).value_or(domain) : domain);
}

void method(std::string& out, std::string_view name, Verdict verdict) {
  out += "; ";
  out += name;
  out += '=';
  out += to_string(verdict);
}

void reason(std::string& out, std::string_view text) {
  property(out, "reason", text);
}

void write_spf(std::string& out, const SpfResult& spf) {
  method(out, "spf", spf.result);
  if (spf.result != Verdict::pass) reason(out, spf.reason);
  domain_property(out, spf.helo ? "smtp.helo" : "smtp.mailfrom", spf.domain);
}

void write_dkim(std::string& out, const DkimResult& dkim) {
  method(out, "dkim", dkim.result);
  reason(out, dkim.reason);
  domain_property(out, "header.d", dkim.domain);
  property(out, "header.s", dkim.selector);
  property(out, "header.a", dkim.algorithm);
  property(out, "header.b", dkim.b);
}

void write_dmarc(std::string& out, const DmarcResult& dmarc) {
  method(out, "dmarc", dmarc.result);
  if (!dmarc.policy_domain.empty()) {
    out += " (p=";
    out += to_string(dmarc.policy);
    out += dmarc.testing ? " t=y dis=" : " dis=";
    out += to_string(dmarc.disposition);
    out += ')';
  } else {
    reason(out, dmarc.reason);
  }
  domain_property(out, "header.from", dmarc.domain);
}

}  // namespace

std::string authentication_results_text(std::string_view host, const Results& results) {
  std::string out = quoted_value(host);
  if (results.spf_checked) write_spf(out, results.spf);
  if (!results.spf.helo && results.helo_spf.result != Verdict::none) {
    auto helo = results.helo_spf;
    helo.helo = true;
    write_spf(out, helo);
  }
  if (results.dkim.empty()) method(out, "dkim", Verdict::none);
  const auto most = std::min(results.dkim.size(), kMaxReportedSignatures);
  for (std::size_t i = 0; i < most; ++i) write_dkim(out, results.dkim[i]);
  if (results.dmarc_checked) write_dmarc(out, results.dmarc);
  if (results.arc.sets > 0 || results.arc.result != Verdict::none) {
    method(out, "arc", results.arc.result);
    reason(out, results.arc.reason);
  }
  return out;
}

std::string make_authentication_results(std::string_view host, const Results& results) {
  return mail::make_field("Authentication-Results", authentication_results_text(host, results));
}

namespace {

// Reads RFC 8601 §2.2 from the left. Line ends count as blanks: the value comes from a parsed header.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  bool end() const { return rest_.empty(); }
  bool at(char c) const { return !rest_.empty() && rest_.front() == c; }
  bool take(char c) {
    if (!at(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  // CFWS; false: a comment that does not end.
  bool blanks() {
    for (;;) {
      while (!rest_.empty() && std::string_view(" \t\r\n").find(rest_.front()) != std::string_view::npos) {
        rest_.remove_prefix(1);
      }
      if (!at('(')) return true;
      if (!comment()) return false;
    }
  }
  // "" when there is none.
  template <class Is>
  std::string_view run(Is is) {
    std::size_t length = 0;
    while (length < rest_.size() && is(rest_[length])) ++length;
    const auto text = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return text;
  }
  // RFC 2045 §5.1 value. Nothing: there is none.
  std::optional<std::string> value() {
    if (at('"')) return quoted();
    const auto text = run(is_token_char);
    if (text.empty()) return std::nullopt;
    return std::string(text);
  }
  std::optional<std::string> quoted() {
    std::string out;
    for (std::size_t i = 1; i < rest_.size(); ++i) {
      char c = rest_[i];
      if (c == '"') {
        rest_.remove_prefix(i + 1);
        return out;
      }
      if (c == '\\' && ++i < rest_.size()) c = rest_[i];
      if (c != '\r' && c != '\n') out += c;
    }
    return std::nullopt;
  }

 private:
  bool comment() {
    std::size_t depth = 0;
    for (std::size_t i = 0; i < rest_.size(); ++i) {
      if (rest_[i] == '\\') {
        ++i;
      } else if (rest_[i] == '(') {
        ++depth;
      } else if (rest_[i] == ')' && --depth == 0) {
        rest_.remove_prefix(i + 1);
        return true;
      }
    }
    return false;
  }

  std::string_view rest_;
};

bool is_keyword_char(char c) {
  return core::is_alnum(c) || c == '-' || c == '_';
}

// pvalue: a value, or an address: [[local-part] "@"] domain-name.
std::optional<std::string> read_pvalue(Reader& reader) {
  std::optional<std::string> text;
  if (reader.at('@')) {
    text = std::string();
  } else {
    text = reader.value();
  }
  if (!text || !reader.take('@')) return text;
  const auto domain =
      reader.run([](char c) { return core::is_alnum(c) || c == '-' || c == '.' || c == '_' || core::is_8bit(c); });
  if (domain.empty()) return std::nullopt;
  return *text + '@' + std::string(domain);
}

// reasonspec or propspec.
bool read_detail(Reader& reader, MethodResult& result) {
  ResultProperty property;
  property.name = core::lower(reader.run(is_keyword_char));
  if (property.name.empty() || !reader.blanks()) return false;
  if (reader.take('.')) {
    property.type = std::move(property.name);
    if (!reader.blanks()) return false;
    property.name = core::lower(reader.run(is_keyword_char));
    if (property.name.empty() || !reader.blanks()) return false;
  }
  if (!reader.take('=') || !reader.blanks()) return false;
  auto value = read_pvalue(reader);
  if (!value) return false;
  property.value = std::move(*value);
  if (property.type.empty() && property.name == "reason") {
    result.reason = std::move(property.value);
  } else {
    if (result.properties.size() >= kMaxParsedResults) return false;
    result.properties.push_back(std::move(property));
  }
  return true;
}

// resinfo after its ";": methodspec, reasonspec, propspecs.
bool read_method(Reader& reader, MethodResult& result) {
  result.method = core::lower(reader.run(is_keyword_char));
  if (result.method.empty() || !reader.blanks()) return false;
  if (reader.take('/')) {
    if (!reader.blanks() || reader.run(core::is_digit).empty() || !reader.blanks()) return false;
  }
  if (!reader.take('=') || !reader.blanks()) return false;
  result.result = core::lower(reader.run(is_keyword_char));
  if (result.result.empty() || !reader.blanks()) return false;
  while (!reader.end() && !reader.at(';')) {
    if (!read_detail(reader, result) || !reader.blanks()) return false;
  }
  return true;
}

// "none" alone after the first ";" (RFC 8601 §2.2 no-result).
bool is_no_result(Reader reader) {
  return core::iequals(reader.run(is_keyword_char), "none") && reader.blanks() && reader.end();
}

}  // namespace

core::Result<AuthenticationResults> parse_authentication_results(std::string_view value) {
  AuthenticationResults out;
  Reader reader(value);
  if (!reader.blanks()) return core::Errc::malformed;
  auto id = reader.value();
  if (!id || id->empty() || !reader.blanks()) return core::Errc::malformed;
  out.authserv_id = std::move(*id);
  const auto version = reader.run(core::is_digit);
  if (!version.empty() && version != "1") return core::Errc::malformed;
  if (!reader.blanks() || !reader.at(';')) return core::Errc::malformed;
  while (reader.take(';')) {
    if (!reader.blanks()) return core::Errc::malformed;
    if (reader.end() && !out.results.empty()) break;  // a final ";"
    if (out.results.empty() && is_no_result(reader)) return out;
    if (out.results.size() >= kMaxParsedResults) return core::Errc::exhausted;
    MethodResult result;
    if (!read_method(reader, result)) return core::Errc::malformed;
    out.results.push_back(std::move(result));
  }
  if (!reader.end()) return core::Errc::malformed;
  return out;
}

bool claims_authserv_id(std::string_view value, std::string_view host) {
  Reader reader(value);
  std::string id;
  if (!reader.blanks()) {
    // A comment that never ends: whatever stands in it is not believed.
    return true;
  }
  if (reader.at('"')) {
    const auto text = reader.quoted();
    if (!text) return true;
    id = *text;
  } else {
    id =
        std::string(reader.run([](char c) { return std::string_view(" \t\r\n;(").find(c) == std::string_view::npos; }));
  }
  std::string_view name = core::trim(id);
  while (!name.empty() && name.back() == '.') name.remove_suffix(1);
  return core::iequals(name, host);
}

}  // namespace auth
