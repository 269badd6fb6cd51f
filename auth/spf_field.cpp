// Received-SPF (RFC 7208 §9.1). Values come from strangers: they are quoted-strings unless they are dot-atoms, the
// comment has no parentheses of theirs, and mail::make_field folds and cleanses the whole (threats RL-04).
#include <algorithm>
#include <string>
#include <string_view>

#include "auth/spf.hpp"
#include "core/text.hpp"
#include "mail/header.hpp"

namespace auth {
namespace {

constexpr std::size_t kMaxValue = 320;  // the longest mailbox is 254

// At most kMaxValue octets, without a cut UTF-8 character; controls and what is no UTF-8 become '?'.
std::string clean(std::string_view text) {
  if (text.size() > kMaxValue) {
    std::size_t size = kMaxValue;
    while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
    text = text.substr(0, size);
  }
  if (!core::is_utf8(text)) return core::printable(text);
  std::string out(text);
  std::replace_if(out.begin(), out.end(), [](char c) { return (c >= 0 && c < ' ') || c == 0x7f; }, '?');
  return out;
}

// RFC 5322 §3.2.3
bool is_dot_atom(std::string_view text) {
  static constexpr std::string_view kOthers = "!#$%&'*+-/=?^_`{|}~";
  if (text.empty() || text.front() == '.' || text.back() == '.' || text.find("..") != std::string_view::npos) {
    return false;
  }
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return core::is_alnum(c) || c == '.' || kOthers.find(c) != std::string_view::npos; });
}

std::string quoted(std::string_view text) {
  const auto value = clean(text);
  if (is_dot_atom(value)) return value;
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

// ctext of RFC 5322 §3.2.2, without nesting.
std::string comment(std::string_view text) {
  std::string out = clean(text);
  for (char& c : out) {
    if (c == '(') c = '[';
    if (c == ')') c = ']';
    if (c == '\\') c = '/';
  }
  return "(" + out + ")";
}

std::string explain(const SpfResult& result, const std::string& client, const std::string& who) {
  switch (result.result) {
    case Verdict::pass:
      return "domain of " + who + " designates " + client + " as permitted sender";
    case Verdict::fail:
      return "domain of " + who + " does not designate " + client + " as permitted sender";
    case Verdict::softfail:
      return "domain of transitioning " + who + " does not designate " + client + " as permitted sender";
    case Verdict::neutral:
      return client + " is neither permitted nor denied by domain of " + who;
    case Verdict::none:
      return "domain of " + who + " does not designate permitted sender hosts";
    default:
      return "error in processing during lookup of " + who;
  }
}

}  // namespace

std::string received_spf_field(const SpfResult& result, const SpfInput& input, std::string_view receiver) {
  const auto client = input.client.unmapped().to_string();
  const auto from = input.mail_from.to_string();
  const std::string who = result.helo ? input.helo : from;
  std::string text(to_string(result.result));
  text += ' ' + comment(std::string(receiver) + ": " + explain(result, client, who));
  const auto add = [&](std::string_view key, std::string_view value) {
    text += ' ';
    text += key;
    text += '=' + quoted(value) + ';';
  };
  add("receiver", receiver);
  add("identity", result.helo ? "helo" : "mailfrom");
  add("client-ip", client);
  add("envelope-from", from);
  add("helo", input.helo);
  const bool error = result.result == Verdict::permerror || result.result == Verdict::temperror;
  if (!result.reason.empty() && result.result != Verdict::none) add(error ? "problem" : "mechanism", result.reason);
  text.pop_back();
  return mail::make_field("Received-SPF", text);
}

}  // namespace auth
