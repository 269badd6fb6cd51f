#include "srs/rewriter.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <optional>
#include <stdexcept>

#include "core/text.hpp"
#include "srs/hmac.hpp"

namespace srs {
namespace {

constexpr std::size_t kSha256Characters = 8;    // 40 bits
constexpr std::size_t kSha1Characters = 4;      // what postsrsd, libsrs2 and Mail::SRS write
constexpr std::size_t kMaxSha1Characters = 27;  // all of it: a postsrsd may have been set to write more
constexpr std::size_t kTokenCharacters = 26;    // 130 bits
// In the place of the domain: no domain name has an underscore, so that tokens and addresses cannot be mixed up.
constexpr std::string_view kTokenDomain = "_";
constexpr std::string_view kSeparators = "=-+";
constexpr std::string_view kSpecials = "()<>[]:;@\\,\"";  // RFC 5322 §3.2.3, the dot aside
constexpr std::string_view kDays = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
constexpr int kDayModulo = 1024;
constexpr int kMaxAgeDays = 365;  // a stamp tells past from future only within half of the modulo

enum class Kind { none, srs0, srs1 };

Kind kind_of(std::string_view local) {
  if (local.size() < 5 || kSeparators.find(local[4]) == std::string_view::npos) return Kind::none;
  if (core::istarts_with(local, "SRS0")) return Kind::srs0;
  return core::istarts_with(local, "SRS1") ? Kind::srs1 : Kind::none;
}

// The part before the next '=', which is taken off `text` with it; nothing when there is no '='.
std::optional<std::string_view> take(std::string_view& text) {
  const auto at = text.find('=');
  if (at == std::string_view::npos) return std::nullopt;
  const auto part = text.substr(0, at);
  text.remove_prefix(at + 1);
  return part;
}

// hash=TT=domain=local, what follows "SRS0" and its separator.
struct Srs0 {
  std::string_view hash, stamp, domain, local;
  static std::optional<Srs0> split(std::string_view text) {
    const auto hash = take(text);
    const auto stamp = hash ? take(text) : std::nullopt;
    const auto domain = stamp ? take(text) : std::nullopt;
    if (!domain || hash->empty() || stamp->size() != 2 || domain->empty() || text.empty()) return std::nullopt;
    return Srs0{*hash, *stamp, *domain, text};
  }
};

// hash=first-forwarder=rest, what follows "SRS1" and its separator; `rest` begins with the separator of the SRS0
// address.
struct Srs1 {
  std::string_view hash, domain, rest;
  static std::optional<Srs1> split(std::string_view text) {
    const auto hash = take(text);
    const auto domain = hash ? take(text) : std::nullopt;
    if (!domain || hash->empty() || domain->empty() || text.size() < 2) return std::nullopt;
    if (kSeparators.find(text.front()) == std::string_view::npos) return std::nullopt;
    return Srs1{*hash, *domain, text};
  }
};

int day_of(core::Wall::time_point now) {
  const auto days = std::chrono::floor<std::chrono::days>(now.time_since_epoch()).count() % kDayModulo;
  return static_cast<int>((days + kDayModulo) % kDayModulo);
}

std::string stamp_of(int day) {
  const auto d = static_cast<std::size_t>(day);
  return {kDays[d / 32], kDays[d % 32]};
}

std::optional<int> day_of(std::string_view stamp) {
  std::size_t day = 0;
  for (const char c : stamp) {
    const auto digit = kDays.find(core::to_upper(c));
    if (digit == std::string_view::npos) return std::nullopt;
    day = day * 32 + digit;
  }
  return static_cast<int>(day);
}

// Longer than 64 octets and otherwise a dot-string: other forwarders do not always count (postsrsd#108).
bool is_long_dot_string(std::string_view local) {
  if (local.size() <= mail::kMaxLocalPart || local.size() > mail::kMaxPath) return false;
  for (const auto atom : core::split(local, '.')) {
    const auto is_atext = [](char c) { return c > ' ' && c < '\x7f' && kSpecials.find(c) == std::string_view::npos; };
    if (atom.empty() || !std::all_of(atom.begin(), atom.end(), is_atext)) return false;
  }
  return true;
}

// What an address looked like before it was embedded: quoted again when it has to be.
core::Result<mail::Mailbox> mailbox_of(std::string_view local, std::string_view domain) {
  std::string text(local);
  text += '@';
  text += domain;
  auto mailbox = mail::parse_mailbox(text, mail::Utf8::yes);
  if (mailbox) return mailbox;
  if (is_long_dot_string(local) && mail::is_domain(domain))
    return mail::Mailbox{std::string(local), std::string(domain)};
  // pysrs quotes the whole SRS address instead of the part within.
  return mail::make_mailbox(local, domain, mail::Utf8::yes);
}

}  // namespace

std::string_view to_string(ReverseError error) {
  switch (error) {
    case ReverseError::not_srs:
      return "not an SRS address";
    case ReverseError::malformed:
      return "not a whole SRS address";
    case ReverseError::bad_hash:
      return "SRS address not made here";
    case ReverseError::expired:
      return "SRS address expired";
    case ReverseError::from_future:
      return "SRS address from the future";
    case ReverseError::forgotten:
      return "SRS address no longer known";
  }
  return "";
}

void throw_exception_from_error(ReverseError error, const boost::source_location&) {
  throw std::runtime_error(std::string(to_string(error)));
}

std::vector<core::Secret> parse_secrets(std::string_view content) {
  std::vector<core::Secret> secrets;
  for (auto line : core::split(content, '\n')) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) secrets.emplace_back(std::string(line));
  }
  return secrets;
}

bool looks_like_srs(std::string_view local) {
  if (local.starts_with('"')) local.remove_prefix(1);
  return kind_of(local) != Kind::none;
}

struct Rewriter::Impl {
  std::string domain;
  std::vector<Hmac> sha256;  // by secret, the signing one first
  std::vector<Hmac> sha1;    // in sha1 mode by secret, the signing one first; then accept_sha1_secrets
  Hash hash = Hash::sha256;
  int max_age_days = 0;
  char separator = '=';
  TokenStore* tokens = nullptr;

  // What the hash is computed over, so that a hop that changes case does no harm (RL-12). `purpose` keeps the kinds of
  // addresses apart in the sha256 form; the sha1 form has none, as its inventors left it.
  struct Signed {
    std::string_view purpose;
    std::string lower;   // joined by '='
    std::string joined;  // joined by nothing: sha1
  };
  static Signed srs0_text(std::string_view stamp, std::string_view host, std::string_view local) {
    Signed text{"srs0=", core::lower(stamp), {}};
    text.joined = text.lower;
    for (const auto part : {host, local}) {
      const auto lower = core::lower(part);
      text.lower += '=';
      text.lower += lower;
      text.joined += lower;
    }
    return text;
  }
  static Signed srs1_text(std::string_view host, std::string_view rest) {
    Signed text{"srs1=", core::lower(host), {}};
    text.joined = text.lower + core::lower(rest);
    text.lower += '=';
    text.lower += core::lower(rest);
    return text;
  }

  static std::string sha256_hash(const Hmac& key, const Signed& text) {
    return base32(key({text.purpose, text.lower}), kSha256Characters);
  }
  static std::string sha1_hash(const Hmac& key, const Signed& text, std::size_t characters) {
    return core::base64_encode(key({text.joined})).substr(0, characters);
  }

  std::string sign(const Signed& text) const {
    return hash == Hash::sha256 ? sha256_hash(sha256.front(), text) : sha1_hash(sha1.front(), text, kSha1Characters);
  }

  bool verify(std::string_view given, const Signed& text) const {
    if (given.size() == kSha256Characters && std::any_of(sha256.begin(), sha256.end(), [&](const Hmac& key) {
          return equal_in_constant_time(given, sha256_hash(key, text));
        })) {
      return true;
    }
    if (given.size() < kSha1Characters || given.size() > kMaxSha1Characters || sha1.empty()) return false;
    // Newer postsrsds write the base64 alphabet of URLs.
    std::string plain(given);
    std::replace(plain.begin(), plain.end(), '-', '+');
    std::replace(plain.begin(), plain.end(), '_', '/');
    return std::any_of(sha1.begin(), sha1.end(), [&](const Hmac& key) {
      return equal_in_constant_time(plain, sha1_hash(key, text, plain.size()));
    });
  }

  std::string make_srs0(int day, std::string_view host, std::string_view local) const {
    const auto stamp = stamp_of(day);
    std::string out = "SRS0";
    out += separator;
    out += sign(srs0_text(stamp, host, local));
    for (const auto part : {std::string_view(stamp), host, local}) {
      out += '=';
      out += part;
    }
    return out;
  }

  std::string make_srs1(std::string_view host, std::string_view rest) const {
    std::string out = "SRS1";
    out += separator;
    out += sign(srs1_text(host, rest));
    for (const auto part : {host, rest}) {
      out += '=';
      out += part;
    }
    return out;
  }

  static std::string token_of(const Hmac& key, std::string_view address) {
    return base32(key({"token=", address}), kTokenCharacters);
  }

  core::Result<mail::ReversePath> forward_token(const mail::Mailbox& original, int day) const;
  core::Result<mail::ReversePath> forward_mailbox(const mail::Mailbox& sender, int day) const;
  std::optional<ReverseError> judge_age(std::string_view stamp, int today) const;
  Reversed reverse_srs0(std::string_view text, int today) const;
  Reversed reverse_srs1(std::string_view text) const;
  Reversed reverse_token(const Srs0& parts) const;
};

Rewriter::Rewriter(Settings settings, TokenStore* tokens) : impl_(std::make_unique<Impl>()) {
  assert(!settings.secrets.empty());
  for (const auto& secret : settings.secrets) {
    impl_->sha256.emplace_back(HmacHash::sha256, secret.view());
    if (settings.hash == Hash::sha1) impl_->sha1.emplace_back(HmacHash::sha1, secret.view());
  }
  for (const auto& secret : settings.accept_sha1_secrets) impl_->sha1.emplace_back(HmacHash::sha1, secret.view());
  impl_->domain = std::move(settings.domain);
  impl_->hash = settings.hash;
  const auto days = std::chrono::ceil<std::chrono::days>(settings.max_age).count();
  impl_->max_age_days = static_cast<int>(std::clamp<std::int64_t>(days, 1, kMaxAgeDays));
  impl_->separator = settings.separator;
  impl_->tokens = tokens;
}
Rewriter::Rewriter(Rewriter&&) noexcept = default;
Rewriter& Rewriter::operator=(Rewriter&&) noexcept = default;
Rewriter::~Rewriter() = default;

const std::string& Rewriter::domain() const {
  return impl_->domain;
}

bool Rewriter::owns(const mail::Mailbox& address) const {
  return core::iequals(address.domain, impl_->domain) && looks_like_srs(address.local);
}

core::Result<mail::ReversePath> Rewriter::forward(const mail::ReversePath& sender, core::Wall::time_point now) const {
  const bool ours = core::iequals(sender.mailbox.domain, impl_->domain);
  if (sender.null() || (ours && sender.mailbox.is_ascii())) return sender;
  return impl_->forward_mailbox(sender.mailbox, day_of(now));
}

core::Result<mail::ReversePath> Rewriter::Impl::forward_mailbox(const mail::Mailbox& sender, int day) const {
  const auto meaning = sender.unquoted_local();
  std::string local;
  mail::Mailbox original = sender;  // what a token would stand for
  // Quotes that were not needed would not come back: such a local part is not taken apart.
  const bool plain = mailbox_of(meaning, sender.domain) == sender;
  const auto kind = plain ? kind_of(meaning) : Kind::none;
  const auto srs1 = kind == Kind::srs1 ? Srs1::split(std::string_view(meaning).substr(5)) : std::nullopt;
  std::optional<core::Result<mail::Mailbox>> first;
  if (srs1) first = mailbox_of("SRS0" + std::string(srs1->rest), srs1->domain);
  if (first && *first) {
    // The bounce will skip the hop before us and go to the first forwarder.
    local = make_srs1(srs1->domain, srs1->rest);
    original = **first;
  } else if (kind == Kind::srs0 && meaning.size() > 5) {
    local = make_srs1(sender.domain, std::string_view(meaning).substr(4));
  } else {
    local = make_srs0(day, sender.domain, sender.local);
  }
  // An SMTPUTF8 address travels as a token, so that the next hop need not know the extension (interface.md §6.29).
  if (sender.is_ascii()) {
    if (auto made = mail::make_mailbox(local, domain)) return mail::ReversePath{std::move(*made)};
  }
  return forward_token(original, day);
}

core::Result<mail::ReversePath> Rewriter::Impl::forward_token(const mail::Mailbox& original, int day) const {
  if (tokens == nullptr) return core::Errc::exhausted;
  const auto address = original.to_string();
  const auto token = token_of(sha256.front(), address);
  if (const auto error = tokens->put(token, address)) return error;
  auto made = mail::make_mailbox(make_srs0(day, kTokenDomain, token), domain);
  if (!made) return made.error();
  return mail::ReversePath{std::move(*made)};
}

Reversed Rewriter::reverse(std::string_view local, core::Wall::time_point now) const {
  const auto meaning = mail::Mailbox{std::string(local), {}}.unquoted_local();
  const auto text = std::string_view(meaning).substr(std::min<std::size_t>(5, meaning.size()));
  switch (kind_of(meaning)) {
    case Kind::none:
      return ReverseError::not_srs;
    case Kind::srs0:
      return impl_->reverse_srs0(text, day_of(now));
    case Kind::srs1:
      break;
  }
  auto first = impl_->reverse_srs1(text);
  if (!first || !owns(*first)) return first;
  // Forwarders in a ring: the first forwarder was ourselves. Its address is an SRS0, so this ends here.
  const auto inner = first->unquoted_local();
  return impl_->reverse_srs0(std::string_view(inner).substr(5), day_of(now));
}

std::optional<ReverseError> Rewriter::Impl::judge_age(std::string_view stamp, int today) const {
  const auto day = day_of(stamp);
  if (!day) return ReverseError::malformed;
  const int age = (today - *day + kDayModulo) % kDayModulo;
  if (age <= max_age_days || age == kDayModulo - 1) return std::nullopt;  // one day ahead: clocks differ
  return age < kDayModulo / 2 ? ReverseError::expired : ReverseError::from_future;
}

Reversed Rewriter::Impl::reverse_srs0(std::string_view text, int today) const {
  const auto parts = Srs0::split(text);
  if (!parts) return ReverseError::malformed;
  // The hash first: who cannot make one learns nothing of dates.
  if (!verify(parts->hash, srs0_text(parts->stamp, parts->domain, parts->local))) return ReverseError::bad_hash;
  if (const auto error = judge_age(parts->stamp, today)) return *error;
  if (parts->domain == kTokenDomain) return reverse_token(*parts);
  auto original = mailbox_of(parts->local, parts->domain);
  if (!original) return ReverseError::malformed;
  return std::move(*original);
}

Reversed Rewriter::Impl::reverse_token(const Srs0& parts) const {
  auto token = std::string(parts.local);
  for (auto& c : token) c = core::to_upper(c);
  const auto address = tokens != nullptr ? tokens->find(token) : std::nullopt;
  if (!address) return ReverseError::forgotten;
  // The file may have been damaged or edited: the token is the proof that this address is the one we saw.
  const bool ours = std::any_of(sha256.begin(), sha256.end(), [&](const Hmac& key) {
    return equal_in_constant_time(token, token_of(key, *address));
  });
  // Proven to be what we took once, so it is not judged again: MAIL may be laxer about lengths than other places.
  const auto at = address->rfind('@');
  if (!ours || at == std::string::npos) return ReverseError::forgotten;
  return mail::Mailbox{address->substr(0, at), address->substr(at + 1)};
}

Reversed Rewriter::Impl::reverse_srs1(std::string_view text) const {
  const auto parts = Srs1::split(text);
  if (!parts) return ReverseError::malformed;
  if (!verify(parts->hash, srs1_text(parts->domain, parts->rest))) return ReverseError::bad_hash;  // RL-10
  auto first = mailbox_of("SRS0" + std::string(parts->rest), parts->domain);
  if (!first) return ReverseError::malformed;
  return std::move(*first);
}

}  // namespace srs
