#include "forwarder/trouble.hpp"

#include <algorithm>
#include <optional>

#include "core/text.hpp"

namespace forwarder {
namespace {

using core::Errc;
using mail::Fate;
using mail::Reply;
using mail::Scope;

bool is_word(char c) {
  return core::is_alnum(c) || core::is_8bit(c) || c == '_';
}

// A refusal's text in lower case, its lines joined by blanks: a phrase may run over a line's end.
std::string whole_text(const Reply& reply) {
  std::string text;
  for (const auto& line : reply.lines) text += core::lower(line) + " ";
  return text;
}

bool has_word(std::string_view text, std::string_view word) {
  for (auto at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    const auto end = at + word.size();
    if ((at == 0 || !is_word(text[at - 1])) && (end == text.size() || !is_word(text[end]))) return true;
  }
  return false;
}

// The next run of octets of one kind in `text` from `at` on; `at` moves behind it.
template <class Predicate>
std::optional<std::string_view> next_run(std::string_view text, std::size_t& at, Predicate of_kind) {
  const auto begin = std::find_if(text.begin() + static_cast<std::ptrdiff_t>(at), text.end(), of_kind);
  const auto end = std::find_if_not(begin, text.end(), of_kind);
  at = static_cast<std::size_t>(end - text.begin());
  if (begin == end) return std::nullopt;
  return text.substr(static_cast<std::size_t>(begin - text.begin()), static_cast<std::size_t>(end - begin));
}

bool is_address(std::string_view run, const core::IpAddress& address) {
  while (!run.empty() && (run.back() == '.' || run.back() == ':')) run.remove_suffix(1);  // a sentence's end
  const auto found = core::IpAddress::parse(run);
  return found && found->unmapped() == address;
}

// "192.0.2.1", also in "ip:192.0.2.1:25" and "::ffff:192.0.2.1", not in "192.0.2.10" or "192.0.2.1.dsl.example".
bool names_ipv4(std::string_view text, const core::IpAddress& address) {
  for (std::size_t at = 0; at < text.size();) {
    const auto run = next_run(text, at, [](char c) { return core::is_digit(c) || c == '.'; });
    if (!run) break;
    const auto begin = static_cast<std::size_t>(run->data() - text.data());
    const bool inside_word = (begin > 0 && is_word(text[begin - 1])) || (at < text.size() && is_word(text[at]));
    if (!inside_word && is_address(*run, address)) return true;
  }
  return false;
}

// In any spelling of RFC 4291 §2.2, also behind "IPv6:" (RFC 5321 §4.1.3) or another word and a colon.
bool names_ipv6(std::string_view text, const core::IpAddress& address) {
  const auto is_hex = [](char c) { return core::is_digit(c) || (c >= 'a' && c <= 'f'); };
  for (std::size_t at = 0; at < text.size();) {
    auto run = next_run(text, at, [](char c) { return core::is_alnum(c) || c == '.' || c == ':'; });
    if (!run) break;
    for (auto colon = run->find(':'); colon != std::string_view::npos; colon = run->find(':')) {
      if (std::ranges::all_of(run->substr(0, colon), is_hex)) break;
      run->remove_prefix(colon + 1);
    }
    if (is_address(*run, address)) return true;
  }
  return false;
}

bool names_address(std::string_view text, const core::IpAddress& address) {
  if (address.is_unspecified()) return false;
  const auto plain = address.unmapped();
  return plain.is_v4() ? names_ipv4(text, plain) : names_ipv6(text, plain);
}

// The name alone: not as part of a longer name, and not as the domain of a mail address.
bool names_host(std::string_view text, std::string_view host) {
  if (host.empty()) return false;
  const auto name = core::lower(host);
  const auto of_name = [](char c) { return is_word(c) || c == '-'; };
  for (auto at = text.find(name); at != std::string_view::npos; at = text.find(name, at + 1)) {
    const auto end = at + name.size();
    if (at > 0 && (of_name(text[at - 1]) || text[at - 1] == '.' || text[at - 1] == '@')) continue;
    const bool longer = end < text.size() &&
                        (of_name(text[end]) || (text[end] == '.' && end + 1 < text.size() && of_name(text[end + 1])));
    if (!longer) return true;
  }
  return false;
}

Reply own_reply(mail::EnhancedCode enhanced, std::string text) {
  return {451, enhanced, std::move(text)};
}

// The peer's text under `code`; its enhanced code where the class fits, else X.0.0 (UP-06).
Reply mapped(const Reply& from, int code, std::optional<mail::EnhancedCode> enhanced = std::nullopt) {
  Reply reply = from;
  reply.code = code;
  const auto klass = static_cast<std::uint16_t>(code / 100);
  reply.enhanced = enhanced.value_or(from.enhanced);
  if (reply.enhanced.klass != klass) reply.enhanced = {klass, 0, 0};
  if (reply.lines.empty()) reply.lines.emplace_back();
  return reply;
}

// Before the greeting there is no session that could be lost.
bool before_session(Stage stage) {
  return stage == Stage::connect || stage == Stage::greeting;
}

// A broken reply, or one that cannot be (UP-03, UP-04).
Judgement protocol_error(Stage stage) {
  Judgement result;
  result.scope = Scope::host;
  if (stage == Stage::dot) result.fate = Fate::unknown;
  result.reply = own_reply({4, 5, 0}, "The destination's mail server does not keep to the protocol");
  return result;
}

Judgement lost_connection(Stage stage) {
  Judgement result;
  result.scope = stage == Stage::connect ? Scope::address : Scope::host;
  if (before_session(stage)) {
    result.reply = own_reply({4, 4, 1}, "The destination's mail server cannot be reached");
    return result;
  }
  // RFC 1047: it may have the message, or not.
  if (stage == Stage::dot) result.fate = Fate::unknown;
  result.reply = own_reply({4, 4, 2}, "The connection to the destination's mail server was lost");
  return result;
}

Judgement judge_error(Stage stage, const core::Error& error) {
  const bool broken = error == Errc::protocol || error == Errc::malformed || error == Errc::line_too_long;
  if (stage == Stage::dot) return broken ? protocol_error(stage) : lost_connection(stage);
  Judgement result;
  if (stage == Stage::dns) {
    result.scope = Scope::destination;
    result.reply = own_reply({4, 4, 3}, "The destination's mail servers cannot be looked up at the moment");
  } else if (stage == Stage::tls || error == Errc::tls_failed) {
    result.scope = Scope::host;
    result.reply = own_reply({4, 7, 5}, "TLS with the destination's mail server failed");
  } else if (broken) {
    return protocol_error(stage);
  } else if (error == Errc::exhausted) {
    result.scope = Scope::destination;
    result.reply = own_reply({4, 3, 2}, "Too much is on its way to the destination at the moment");
  } else if (error == Errc::io) {
    result.scope = Scope::message;
    result.reply = own_reply({4, 3, 0}, "The message could not be read back");
  } else {
    return lost_connection(stage);
  }
  return result;
}

Scope scope_at(Stage stage, const Reply& reply) {
  switch (stage) {
    case Stage::dns:
      return Scope::destination;
    case Stage::connect:
      return Scope::address;
    case Stage::greeting:
    case Stage::hello:
    case Stage::starttls:
    case Stage::tls:
    case Stage::rset:
      return Scope::host;
    case Stage::mail:
      return reply.permanent() ? Scope::message : Scope::host;
    case Stage::rcpt:
      return Scope::recipient;
    case Stage::data:
    case Stage::body:
    case Stage::dot:
      return Scope::message;
  }
  return Scope::host;
}

// Where a refusal is about us or the host, as no message was spoken of yet.
bool before_mail(Stage stage) {
  return stage == Stage::greeting || stage == Stage::hello || stage == Stage::starttls || stage == Stage::tls ||
         stage == Stage::rset;
}

// The peer ends the session: another host may go on, unless this one was already given the message.
Scope closing_scope(Stage stage) {
  return stage == Stage::data || stage == Stage::body || stage == Stage::dot ? Scope::message : Scope::host;
}

// What the peer's refusal becomes for our client: code, enhanced code and the judgement that follows from them.
void map_refusal(const Trouble& trouble, Judgement& result) {
  const Reply& reply = *trouble.reply;
  if (is_about_us(reply, trouble.source, trouble.helo)) {
    result.about_us = true;
    result.reply = mapped(reply, 451, mail::EnhancedCode{4, 7, 0});
    // Another host may think better of us; once recipients were taken only this one is concerned.
    if (trouble.stage == Stage::mail) result.scope = Scope::host;
  } else if (before_mail(trouble.stage)) {
    // UP-07: nobody has spoken of this message yet, so it must not bounce for what is said here.
    result.about_us = reply.permanent() && trouble.stage != Stage::rset;
    result.reply = mapped(reply, 451, mail::EnhancedCode{4, 4, 0});
  } else if (reply.code == 421) {
    result.reply = mapped(reply, 451);
    result.scope = closing_scope(trouble.stage);
  } else if (reply.code == 521) {
    result.reply = mapped(reply, 451, mail::EnhancedCode{4, 4, 2});
    result.scope = closing_scope(trouble.stage);
  } else {
    result.reply = mapped(reply, reply.code);
  }
  result.fate = result.reply.permanent() ? Fate::failed : Fate::deferred;
}

Judgement judge_reply(const Trouble& trouble) {
  const Reply& reply = *trouble.reply;
  Judgement result;
  result.scope = scope_at(trouble.stage, reply);
  if (trouble.stage == Stage::dns || trouble.stage == Stage::connect) {
    // Nobody spoke to us there: the engine's own words.
    result.reply = mapped(reply, reply.code);
    result.fate = reply.permanent() ? Fate::failed : Fate::deferred;
    return result;
  }
  if (reply.code == 221) {
    // "Closing" instead of an answer: no consent, but no refusal either. UP-05.
    result.from_peer = true;
    result.scope = closing_scope(trouble.stage);
    result.reply = mapped(reply, 451, mail::EnhancedCode{4, 4, 2});
    return result;
  }
  if (reply.positive() && trouble.stage == Stage::dot) {
    result.fate = Fate::delivered;
    result.scope = Scope::recipient;
    result.reply = mapped(reply, reply.code);
    result.from_peer = true;
    return result;
  }
  if (!reply.transient() && !reply.permanent()) return protocol_error(trouble.stage);
  result.from_peer = true;
  map_refusal(trouble, result);
  if (trouble.peer.is_v6() && refuses_ipv6_address(reply)) {
    result.about_address = true;
    result.scope = Scope::address;
  }
  return result;
}

}  // namespace

Judgement judge(const Trouble& trouble) {
  return trouble.reply ? judge_reply(trouble) : judge_error(trouble.stage, trouble.error);
}

Judgement judge_tls(TlsCause cause, TlsRefusal refusal) {
  // Not a word of hosts here: our client must not learn where its mail goes.
  const auto text = [cause]() -> std::string {
    switch (cause) {
      case TlsCause::configuration:
        break;
      case TlsCause::memory:
        return "TLS with the destination's mail server has worked before and fails now";
      case TlsCause::sts:
        return "The destination's MTA-STS policy cannot be met";
      case TlsCause::dane:
        return "The destination's DANE records cannot be met";
      case TlsCause::sender:
        return "REQUIRETLS cannot be met on the way to the destination";
    }
    return "TLS with the destination's mail server failed";
  };
  Judgement result;
  result.scope = Scope::host;
  result.tls_policy = refusal == TlsRefusal::liftable;
  result.reply = own_reply({4, 7, 5}, text());
  if (refusal == TlsRefusal::permanent) {
    result.fate = Fate::failed;
    result.reply = Reply(550, {5, 7, 30}, "REQUIRETLS cannot be met on the way to the destination");
  }
  return result;
}

bool refuses_ipv6_address(const Reply& reply) {
  const auto& code = reply.enhanced;
  if (code.subject != 7 || (code.klass != 4 && code.klass != 5) || (!reply.transient() && !reply.permanent())) {
    return false;
  }
  if (code.detail == 25) return true;  // RFC 7372 §3.3: reverse DNS validation failed
  const auto text = whole_text(reply);
  return text.find("ipv6") != std::string::npos || text.find("reverse dns") != std::string::npos ||
         text.find("reverse-dns") != std::string::npos || has_word(text, "ptr") || has_word(text, "rdns");
}

bool is_about_us(const Reply& reply, const core::IpAddress& source, std::string_view helo) {
  const auto& code = reply.enhanced;
  if (!reply.permanent() || code.klass != 5 || code.subject != 7 || code.detail == 25 || code.detail == 26)
    return false;
  const auto text = whole_text(reply);
  return names_address(text, source) || names_host(text, helo);
}

bool is_policy_refusal(const mail::Outcome& outcome) {
  return outcome.fate == mail::Fate::failed && outcome.from_peer && outcome.reply.permanent() &&
         outcome.reply.enhanced.subject == 7;
}

}  // namespace forwarder
