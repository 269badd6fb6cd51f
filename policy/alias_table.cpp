#include "policy/alias_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "core/text.hpp"
#include "mail/address.hpp"
#include "policy/rule_syntax.hpp"

namespace policy {
namespace {

constexpr bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

// FNV-1a with a final mix: the low bits choose the slot.
std::uint64_t hash_of(std::string_view text) {
  std::uint64_t h = 14695981039346656037ULL;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  h ^= h >> 32;
  h *= 0x9e3779b97f4a7c15ULL;
  return h ^ (h >> 29);
}
constexpr std::uint32_t tag_of(std::uint64_t hash) {
  return static_cast<std::uint32_t>(hash >> 32);
}

std::size_t line_end(std::string_view text, std::size_t from) {
  const auto end = text.find('\n', from);
  return end == std::string_view::npos ? text.size() : end;
}

// Does the line at `from` start an entry? If not it is empty, a comment, or goes on with the entry above.
bool starts_entry(std::string_view text, std::size_t from) {
  const char c = text[from];
  return !is_blank(c) && c != '\n' && c != '#';
}

std::size_t entry_end(std::string_view text, std::size_t from) {
  auto end = line_end(text, from);
  while (end + 1 < text.size() && !starts_entry(text, end + 1)) end = line_end(text, end + 1);
  return end;
}

// Octets of a key at the start of `text`: up to a blank, or a colon that ends an unquoted part.
std::size_t key_length(std::string_view text) {
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') return i;
    if (c == '"') quoted = !quoted;
    if (quoted && c == '\\' && i + 1 < text.size() && text[i + 1] != '\n') ++i;
    if (!quoted && (is_blank(c) || c == ':')) return i;
  }
  return text.size();
}

// The '@' between local part and domain; npos when there is none.
std::size_t at_sign(std::string_view key) {
  const auto at = key.rfind('@');
  return at != std::string_view::npos && key.find('"', at) == std::string_view::npos ? at : std::string_view::npos;
}

std::string_view local_of(std::string_view key) {
  return key.substr(0, at_sign(key));  // npos: all of it
}

std::string plain_lower(std::string_view local) {
  if (local.empty() || local.front() != '"') return core::lower(local);
  return core::lower(mail::Mailbox{std::string(local), {}}.unquoted_local());
}

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

}  // namespace

AliasTable::AliasTable(std::string text, std::string_view domain, const OnProblem& problem) {
  if (text.size() > kMaxText) {
    problem(0, "is larger than 1 GiB; split the table over several domains");
    return;
  }
  text_ = std::make_unique<const std::string>(std::move(text));
  const std::string_view all = *text_;
  const auto lines = static_cast<std::size_t>(std::count(all.begin(), all.end(), '\n')) + 1;
  slots_.resize(std::bit_ceil(lines + lines / 2 + 1));

  unsigned line = 1;
  for (std::size_t at = 0; at < all.size();) {
    const auto end = starts_entry(all, at) ? entry_end(all, at) : line_end(all, at);
    const auto here = line;
    line += static_cast<unsigned>(std::count(all.begin() + static_cast<std::ptrdiff_t>(at),
                                             all.begin() + static_cast<std::ptrdiff_t>(end), '\n')) +
            1;
    const auto begin = at;
    at = end + 1;
    if (!starts_entry(all, begin)) {
      const auto blank = core::trim(all.substr(begin, end - begin));
      if (!blank.empty() && blank != "\r" && blank.front() != '#') {
        problem(here, "starts with a blank and goes on with an entry, but there is none above; remove the blank");
      }
      continue;
    }
    const auto entry = entry_at(begin, here);
    const auto key = core::printable(entry.key.substr(0, 80));
    if (std::any_of(entry.value.begin(), entry.value.end(),
                    [](char c) { return is_control(c) && c != '\n' && c != '\t' && c != '\r'; })) {
      problem(here, fmt::format("{}: has a control character in it; only text is allowed", key));
      continue;
    }
    const auto at_key = at_sign(entry.key);
    const bool separator = begin + entry.key.size() < all.size() && all[begin + entry.key.size()] == ':';
    if (at_key == std::string_view::npos && !separator && core::iequals(entry.key, domain)) continue;
    auto local = entry.key;
    if (at_key != std::string_view::npos) {
      local = entry.key.substr(0, at_key);
      if (!core::iequals(entry.key.substr(at_key + 1), domain)) {
        problem(here, fmt::format("{}: is not in {}; an address of another domain belongs to that domain's table", key,
                                  domain));
        continue;
      }
    }
    const Entry stripped{local, entry.value, here};
    if (Destinations(entry.value).next().empty()) {
      problem(here, fmt::format("{}: has no destination; write \"local: address, address\"", key));
      continue;
    }
    if (local.empty() && at_key != std::string_view::npos) {
      if (catch_all_) problem(here, fmt::format("@{}: is already in line {}", domain, catch_all_->line));
      catch_all_ = stripped;
      continue;
    }
    const auto plain = plain_local(local);
    if (plain.empty()) {
      problem(here, fmt::format("{}: is no local part of a mail address", key));
      continue;
    }
    if (!insert(stripped, plain)) {
      problem(here, fmt::format("{}: is already in line {}", key, find(plain)->line));
    }
  }
}

AliasTable::Entry AliasTable::entry_at(std::size_t offset, unsigned line) const {
  const std::string_view all = *text_;
  const auto end = entry_end(all, offset);
  const auto whole = all.substr(offset, end - offset);
  const auto length = key_length(whole);
  auto rest = whole.substr(length);
  while (!rest.empty() && is_blank(rest.front())) rest.remove_prefix(1);
  if (!rest.empty() && rest.front() == ':') rest.remove_prefix(1);
  return {whole.substr(0, length), rest, line};
}

bool AliasTable::insert(const Entry& entry, std::string_view local) {
  const auto hash = hash_of(local);
  if (slot_of(local, hash) != nullptr) return false;
  auto at = hash & (slots_.size() - 1);
  while (slots_[at].offset != kEmpty) at = (at + 1) & (slots_.size() - 1);
  slots_[at] = {static_cast<std::uint32_t>(entry.key.data() - text_->data()), entry.line, tag_of(hash)};
  ++size_;
  return true;
}

const AliasTable::Slot* AliasTable::slot_of(std::string_view local, std::uint64_t hash) const {
  if (slots_.empty()) return nullptr;
  const auto tag = tag_of(hash);
  const std::string_view all = *text_;
  for (auto at = hash & (slots_.size() - 1); slots_[at].offset != kEmpty; at = (at + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[at];
    if (slot.hash != tag) continue;
    const auto rest = all.substr(slot.offset);
    const auto key = local_of(rest.substr(0, key_length(rest)));
    if (key.front() == '"' ? plain_lower(key) == local : core::iequals(key, local)) return &slot;
  }
  return nullptr;
}

std::optional<AliasTable::Entry> AliasTable::find(std::string_view local) const {
  const Slot* slot = slot_of(local, hash_of(local));
  if (slot == nullptr) return std::nullopt;
  auto entry = entry_at(slot->offset, slot->line);
  entry.key = local_of(entry.key);
  return entry;
}

void AliasTable::for_each(const std::function<void(const Entry&)>& visit) const {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> order;
  order.reserve(size_);
  for (const auto& slot : slots_) {
    if (slot.offset != kEmpty) order.emplace_back(slot.offset, slot.line);
  }
  std::sort(order.begin(), order.end());
  for (const auto& [offset, line] : order) {
    auto entry = entry_at(offset, line);
    entry.key = local_of(entry.key);
    visit(entry);
  }
}

std::string_view Destinations::next() {
  while (!rest_.empty()) {
    const char c = rest_.front();
    if (is_blank(c) || c == ',') {
      rest_.remove_prefix(1);
      continue;
    }
    if (c == '\n') {  // a comment may stand between the lines of an entry
      rest_.remove_prefix(1);
      const auto end = line_end(rest_, 0);
      const auto line = core::trim(rest_.substr(0, end));
      if (!line.empty() && line.front() == '#') rest_.remove_prefix(end);
      continue;
    }
    bool quoted = false;
    std::size_t n = 0;
    for (; n < rest_.size() && rest_[n] != '\n'; ++n) {
      if (rest_[n] == '"') quoted = !quoted;
      if (quoted && rest_[n] == '\\' && n + 1 < rest_.size() && rest_[n + 1] != '\n') ++n;
      if (!quoted && (is_blank(rest_[n]) || rest_[n] == ',')) break;
    }
    n = std::min(n, rest_.size());
    const auto token = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return token;
  }
  return {};
}

}  // namespace policy
