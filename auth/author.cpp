#include "auth/author.hpp"

#include <algorithm>
#include <optional>

#include "auth/dmarc_domain.hpp"
#include "core/text.hpp"
#include "mail/utf8.hpp"

namespace auth {
namespace {

constexpr int kMaxCommentDepth = 10;

// RFC 5322 §3.2.3 atext, RFC 6532 §3.2. Octets of old charsets are let through in display names only.
bool is_atext(char c) {
  return core::is_alnum(c) || core::is_8bit(c) ||
         std::string_view("!#$%&'*+-/=?^_`{|}~").find(c) != std::string_view::npos;
}

bool holds_address(std::string_view text) {
  return text.find_first_of("@<>") != std::string_view::npos;
}

// A word of a phrase or of an address.
struct Word {
  enum class Kind { atom, quoted } kind = Kind::atom;
  std::string_view text;  // as written, quotes included
};

class AddressList {
 public:
  explicit AddressList(std::string_view value) : rest_(value) {}

  // address-list; false: unparsable.
  bool parse(std::vector<mail::Mailbox>& out) {
    do {
      if (!address(out)) return false;
    } while (take(','));
    return rest_.empty();
  }

 private:
  bool at(char c) const { return !rest_.empty() && rest_.front() == c; }
  bool take(char c) {
    if (!at(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  std::string_view cut(std::size_t length) {
    const auto text = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return text;
  }

  bool blanks();
  bool comment();
  bool cfws();
  bool quoted(Word& word);
  bool phrase(std::vector<Word>& words);
  bool address(std::vector<mail::Mailbox>& out);
  bool group(std::vector<mail::Mailbox>& out);
  bool mailbox(std::vector<mail::Mailbox>& out);
  bool name_and_angle(std::vector<mail::Mailbox>& out);
  bool addr_spec(std::vector<mail::Mailbox>& out);
  bool domain(std::string& out);

  std::string_view rest_;
  bool skipped_ = false;  // the last cfws() went over something
};

// FWS: blanks, and line ends that a blank follows. False: a line end or another control out of place.
bool AddressList::blanks() {
  for (;;) {
    if (at(' ') || at('\t')) {
      rest_.remove_prefix(1);
    } else if (at('\r')) {
      if (!rest_.starts_with("\r\n ") && !rest_.starts_with("\r\n\t") && rest_ != "\r\n") return false;
      rest_.remove_prefix(2);
    } else {
      return true;
    }
    skipped_ = true;
  }
}

// RFC 5322 §3.2.2. No comment may hold what a reader that knows no comments takes for an address.
bool AddressList::comment() {
  std::size_t depth = 0, i = 0;
  for (; i < rest_.size(); ++i) {
    const char c = rest_[i];
    if (c == '\\') {
      if (++i == rest_.size() || (rest_[i] < ' ' && rest_[i] != '\t' && !core::is_8bit(rest_[i]))) return false;
    } else if (c == '(') {
      if (++depth > kMaxCommentDepth) return false;
    } else if (c == ')') {
      if (--depth == 0) break;
    } else if (c == '\r') {
      if (rest_.substr(i, 3) != "\r\n " && rest_.substr(i, 3) != "\r\n\t") return false;
      ++i;
    } else if (c == '\x7f' || (!core::is_8bit(c) && c < ' ' && c != '\t')) {
      return false;
    }
  }
  if (i >= rest_.size()) return false;
  return !holds_address(cut(i + 1));
}

bool AddressList::cfws() {
  skipped_ = false;
  for (;;) {
    if (!blanks()) return false;
    if (!at('(')) return true;
    if (!comment()) return false;
    skipped_ = true;
  }
}

// RFC 5322 §3.2.4.
bool AddressList::quoted(Word& word) {
  bool escapes = false;
  std::size_t i = 1;
  for (; i < rest_.size() && rest_[i] != '"'; ++i) {
    const char c = rest_[i];
    if (c == '\\') {
      escapes = true;
      if (++i == rest_.size() || (!core::is_8bit(rest_[i]) && rest_[i] < ' ' && rest_[i] != '\t')) return false;
    } else if (c == '\r') {
      if (rest_.substr(i, 3) != "\r\n " && rest_.substr(i, 3) != "\r\n\t") return false;
      ++i;
    } else if (c == '\x7f' || (!core::is_8bit(c) && c < ' ' && c != '\t')) {
      return false;
    }
  }
  if (i >= rest_.size()) return false;
  word = {Word::Kind::quoted, cut(i + 1)};
  // A reader that does not know the escape, or sees the backslash as half of a character (GBK, Shift JIS), ends the
  // string elsewhere; then what is in it must not look like an address.
  return !escapes || (!holds_address(word.text) && core::is_utf8(word.text));
}

// RFC 5322 §3.2.5 and obs-phrase, which allows dots. Stops at what is no word.
bool AddressList::phrase(std::vector<Word>& words) {
  for (;;) {
    if (!cfws()) return false;
    Word word;
    if (at('"')) {
      if (!quoted(word)) return false;
    } else {
      std::size_t length = 0;
      while (length < rest_.size() && (is_atext(rest_[length]) || rest_[length] == '.')) ++length;
      if (length == 0) return true;
      word = {Word::Kind::atom, cut(length)};
    }
    words.push_back(word);
  }
}

bool AddressList::address(std::vector<mail::Mailbox>& out) {
  const auto start = rest_;
  std::vector<Word> words;
  if (!phrase(words)) return false;
  if (at(':') && !words.empty()) return group(out);
  rest_ = start;
  return mailbox(out);
}

// RFC 5322 §3.4 group, which RFC 6854 allows in From. May be empty.
bool AddressList::group(std::vector<mail::Mailbox>& out) {
  if (!take(':') || !cfws()) return false;
  if (!at(';')) {
    do {
      if (!mailbox(out)) return false;
    } while (take(','));
  }
  return take(';') && cfws();
}

bool AddressList::mailbox(std::vector<mail::Mailbox>& out) {
  if (out.size() >= kMaxAuthors) return false;
  const auto start = rest_;
  std::vector<Word> words;
  if (!phrase(words)) return false;
  if (at('<')) return name_and_angle(out);
  rest_ = start;
  return cfws() && addr_spec(out) && cfws();
}

// angle-addr, the display name being read. RFC 5322 §4.4's routes are not taken.
bool AddressList::name_and_angle(std::vector<mail::Mailbox>& out) {
  if (!take('<') || !blanks() || !addr_spec(out) || !blanks() || !take('>')) return false;
  return cfws();
}

// RFC 5322 §3.4.1 without the blanks and comments that it allows inside.
bool AddressList::addr_spec(std::vector<mail::Mailbox>& out) {
  mail::Mailbox box;
  if (at('"')) {
    Word word;
    if (!quoted(word)) return false;
    const auto inside = word.text.substr(1, word.text.size() - 2);
    if (inside.find_first_of("@<>()[]:;,\r\n") != std::string_view::npos) return false;
    box.local = std::string(word.text);
  } else {
    std::size_t length = 0;
    while (length < rest_.size() && (is_atext(rest_[length]) || rest_[length] == '.')) ++length;
    box.local = std::string(cut(length));
    const auto& local = box.local;
    if (local.empty() || local.front() == '.' || local.back() == '.' || local.find("..") != std::string::npos) {
      return false;
    }
  }
  // Some readers decode encoded words wherever they stand, and then see another address (RFC 2047 §5 forbids it).
  if (box.local.find("=?") != std::string::npos || !mail::is_plain_utf8(box.local)) return false;
  if (!take('@') || !domain(box.domain)) return false;
  out.push_back(std::move(box));
  return true;
}

bool AddressList::domain(std::string& out) {
  if (at('[')) {
    const auto end = rest_.find(']');
    if (end == std::string_view::npos) return false;
    out = std::string(cut(end + 1));
    return mail::is_address_literal(out);
  }
  std::size_t length = 0;
  while (length < rest_.size() && (is_atext(rest_[length]) || rest_[length] == '.')) ++length;
  auto name = normal_domain(cut(length));
  if (!name) return false;
  out = std::move(*name);
  return true;
}

}  // namespace

std::string_view to_string(AuthorFault fault) {
  switch (fault) {
    case AuthorFault::none:
      return "none";
    case AuthorFault::missing:
      return "missing";
    case AuthorFault::several_fields:
      return "several fields";
    case AuthorFault::unparsable:
      return "unparsable";
  }
  return "none";
}

Authors parse_authors(std::string_view value) {
  Authors authors;
  if (core::trim(mail::unfold(value)).empty()) return authors;
  authors.fault = AuthorFault::unparsable;
  if (!AddressList(value).parse(authors.mailboxes)) {
    authors.mailboxes.clear();
    return authors;
  }
  for (const auto& box : authors.mailboxes) {
    if (std::find(authors.domains.begin(), authors.domains.end(), box.domain) != authors.domains.end()) continue;
    if (authors.domains.size() >= kMaxAuthorDomains) return {AuthorFault::unparsable, {}, {}};
    authors.domains.push_back(box.domain);
  }
  authors.fault = authors.mailboxes.empty() ? AuthorFault::missing : AuthorFault::none;
  return authors;
}

Authors find_authors(const mail::Headers& headers) {
  const auto fields = headers.all("from");
  if (fields.empty()) return {};
  if (fields.size() > 1) return {AuthorFault::several_fields, {}, {}};
  return parse_authors(fields.front()->value());
}

}  // namespace auth
