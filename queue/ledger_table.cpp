#include "queue/ledger_table.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <new>

#include "core/random.hpp"
#include "core/text.hpp"
#include "queue/ledger.hpp"

namespace queue {
namespace {

constexpr std::size_t kIdLength = 10;  // core::make_id
constexpr unsigned kIdBits = 50, kNumberBits = 14;
constexpr unsigned kMaxExpired = 2;  // at a time, so that nothing takes long
constexpr std::size_t kMinBuckets = 64;
constexpr LedgerKey kNoKey{};

int base32_value(char c) {
  if (c >= 'a' && c <= 'z') return c - 'a';
  return c >= '2' && c <= '7' ? c - '2' + 26 : -1;
}

}  // namespace

LedgerKey shorten(const core::Digest& digest) {
  LedgerKey key;
  std::copy_n(digest.begin(), key.size(), key.begin());
  return key;
}

PackedTrace pack_trace(std::string_view id) {
  if (id.size() < kIdLength + 2 || id[kIdLength] != '-') return {};
  std::uint64_t bits = 0;
  for (const char c : id.substr(0, kIdLength)) {
    const int value = base32_value(c);
    if (value < 0) return {};
    bits = bits << 5 | static_cast<std::uint64_t>(value);
  }
  const auto digits = id.substr(kIdLength + 1);
  const auto number = core::parse_number(digits);
  if (!number || *number == 0 || *number >= 1U << kNumberBits || digits.front() == '0') return {};
  bits = bits << kNumberBits | *number;
  return {static_cast<std::uint32_t>(bits >> 32), static_cast<std::uint32_t>(bits)};
}

std::string unpack_trace(PackedTrace trace) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz234567";
  const auto packed = std::uint64_t{trace.high} << 32 | trace.low;
  if (packed == 0) return {};
  std::string id;
  for (unsigned left = kIdBits; left > 0; left -= 5) id += kLetters[packed >> (kNumberBits + left - 5) & 31];
  return id + "-" + std::to_string(packed & ((1U << kNumberBits) - 1));
}

template <class T>
std::unique_ptr<T[], LedgerTable::Free> LedgerTable::zeroed(std::size_t count) {
  // calloc leaves the pages of large blocks untouched until they are used.
  auto* memory = static_cast<T*>(std::calloc(count, sizeof(T)));
  if (memory == nullptr) throw std::bad_alloc();
  return std::unique_ptr<T[], Free>(memory);
}

LedgerTable::LedgerTable(std::uint32_t limit) : limit_(limit) {
  assert(limit > 0);
  static_assert(sizeof(Node) == 80);
  const auto buckets = std::bit_ceil(std::max<std::size_t>(limit, kMinBuckets));
  shift_ = 64 - static_cast<unsigned>(std::countr_zero(buckets));
  core::SystemRandom random;
  multiplier_ = random.next() | 1;
  nodes_ = zeroed<Node>(std::size_t{limit} + 1);
  by_exact_ = zeroed<Slot>(buckets);
  by_restamped_ = zeroed<Slot>(buckets);
}

core::Seconds LedgerTable::life(const LedgerEntry& entry) {
  if (entry.in_flight()) return core::Seconds::max();
  if (entry.row) return kRowLife;
  return entry.acknowledged ? kRestampedLife : kExactLife;
}

bool LedgerTable::expired(const LedgerEntry& entry, std::uint32_t now) {
  return now > entry.time && core::Seconds(now - entry.time) >= life(entry);
}

LedgerTable::Line LedgerTable::line_of(const LedgerEntry& entry) {
  switch (entry.mark) {
    case LedgerMark::lost:
      return entry.row ? Line::row_lost : Line::lost;
    case LedgerMark::delivered:
      if (entry.row) return Line::row_delivered;
      return entry.acknowledged ? Line::acknowledged : Line::delivered;
    case LedgerMark::owned:
      return entry.acknowledged ? Line::owned_acknowledged : Line::owned;
    case LedgerMark::none:
    case LedgerMark::claimed:
    case LedgerMark::dot:
      break;
  }
  return Line::in_flight;
}

// ---- index

std::size_t LedgerTable::bucket(const LedgerKey& key) const {
  std::uint64_t head = 0;
  std::memcpy(&head, key.data(), sizeof head);
  return head * multiplier_ >> shift_;
}

void LedgerTable::link_keys(Slot slot) {
  auto& node = nodes_[slot];
  auto& exact = by_exact_[bucket(node.entry.exact)];
  node.next_exact = exact;
  exact = slot;
  if (node.entry.restamped == kNoKey) return;
  auto& restamped = by_restamped_[bucket(node.entry.restamped)];
  node.next_restamped = restamped;
  restamped = slot;
}

void LedgerTable::unlink_keys(Slot slot) {
  auto& node = nodes_[slot];
  auto* link = &by_exact_[bucket(node.entry.exact)];
  while (*link != slot) link = &nodes_[*link].next_exact;
  *link = node.next_exact;
  if (node.entry.restamped == kNoKey) return;
  link = &by_restamped_[bucket(node.entry.restamped)];
  while (*link != slot) link = &nodes_[*link].next_restamped;
  *link = node.next_restamped;
}

LedgerTable::Slot LedgerTable::find_exact(const LedgerKey& exact) const {
  Slot slot = by_exact_[bucket(exact)];
  while (slot != 0 && nodes_[slot].entry.exact != exact) slot = nodes_[slot].next_exact;
  return slot;
}

LedgerTable::Slot LedgerTable::find(const LedgerKey& exact, const LedgerKey& restamped, const Scope& scope,
                                    std::uint32_t now) const {
  const Slot same = find_exact(exact);
  if (same != 0 && !expired(nodes_[same].entry, now)) return same;
  if (restamped == kNoKey) return 0;
  for (Slot slot = by_restamped_[bucket(restamped)]; slot != 0; slot = nodes_[slot].next_restamped) {
    const auto& entry = nodes_[slot].entry;
    if (entry.restamped != restamped || !entry.scope.meets(scope) || expired(entry, now)) continue;
    if (entry.in_flight() || now <= entry.time || core::Seconds(now - entry.time) < kRestampedLife) return slot;
  }
  return 0;
}

// ---- lines of age

void LedgerTable::append(Slot slot) {
  auto& node = nodes_[slot];
  auto& ends = lines_[static_cast<std::size_t>(line_of(node.entry))];
  node.older = ends.youngest;
  node.younger = 0;
  (ends.youngest != 0 ? nodes_[ends.youngest].younger : ends.oldest) = slot;
  ends.youngest = slot;
  ++counts_[static_cast<std::size_t>(node.entry.mark)];
}

void LedgerTable::take_out(Slot slot) {
  auto& node = nodes_[slot];
  auto& ends = lines_[static_cast<std::size_t>(line_of(node.entry))];
  (node.older != 0 ? nodes_[node.older].younger : ends.oldest) = node.younger;
  (node.younger != 0 ? nodes_[node.younger].older : ends.youngest) = node.older;
  --counts_[static_cast<std::size_t>(node.entry.mark)];
}

void LedgerTable::expire_some(std::uint32_t now) {
  unsigned left = kMaxExpired;
  for (const auto& ends : lines_) {
    while (left > 0 && ends.oldest != 0 && expired(nodes_[ends.oldest].entry, now)) {
      remove(ends.oldest);
      --left;
    }
  }
}

LedgerTable::Slot LedgerTable::drop_oldest() {
  const auto oldest = [this](Line line) { return lines_[static_cast<std::size_t>(line)].oldest; };
  // Of two lines that mean the same, the older head.
  const auto older = [this](Slot a, Slot b) {
    if (a == 0 || b == 0) return a + b;
    return nodes_[a].entry.time <= nodes_[b].entry.time ? a : b;
  };
  const std::array<std::pair<Slot, std::uint64_t*>, 4> order{{
      {older(oldest(Line::acknowledged), oldest(Line::delivered)), &dropped_.delivered},
      {older(oldest(Line::lost), oldest(Line::row_lost)), &dropped_.lost},
      {older(oldest(Line::owned_acknowledged), oldest(Line::owned)), &dropped_.owned},
      {oldest(Line::row_delivered), &dropped_.delivered},
  }};
  for (const auto& [slot, counter] : order) {
    if (slot == 0) continue;
    ++*counter;
    remove(slot);
    return slot;
  }
  return 0;
}

LedgerTable::Slot LedgerTable::free_slot(std::uint32_t now) {
  expire_some(now);
  if (free_ == 0 && fresh_ > limit_ && drop_oldest() == 0) return 0;
  if (free_ != 0) {
    const Slot slot = free_;
    free_ = nodes_[slot].younger;
    return slot;
  }
  return fresh_++;
}

LedgerTable::Slot LedgerTable::add(const LedgerEntry& entry, std::uint32_t now) {
  const Slot slot = free_slot(now);
  if (slot == 0) return 0;
  auto& node = nodes_[slot];
  node.entry = entry;
  ++node.generation;
  ++size_;
  link_keys(slot);
  append(slot);
  return slot;
}

void LedgerTable::change(Slot slot, const LedgerEntry& entry) {
  auto& node = nodes_[slot];
  assert(node.entry.mark != LedgerMark::none && entry.mark != LedgerMark::none);
  take_out(slot);
  const bool same_keys = node.entry.exact == entry.exact && node.entry.restamped == entry.restamped;
  if (!same_keys) unlink_keys(slot);
  node.entry = entry;
  if (!same_keys) link_keys(slot);
  append(slot);
}

void LedgerTable::remove(Slot slot) {
  take_out(slot);
  unlink_keys(slot);
  auto& node = nodes_[slot];
  node.entry = {};
  ++node.generation;
  node.younger = free_;
  free_ = slot;
  --size_;
}

// ---- from a file

void LedgerTable::restore(Slot slot, const LedgerEntry& entry) {
  assert(slot > 0 && slot <= limit_ && nodes_[slot].entry.mark == LedgerMark::none);
  if (const Slot same = find_exact(entry.exact); same != 0) {
    // The older one was given up without a word to the file.
    if (nodes_[same].entry.time >= entry.time) return;
    unlink_keys(same);
    nodes_[same].entry = {};
    --size_;
  }
  auto& node = nodes_[slot];
  node.entry = entry;
  ++node.generation;
  ++size_;
  link_keys(slot);
  fresh_ = std::max(fresh_, slot + 1);
}

void LedgerTable::finish_restore() {
  std::vector<Slot> used;
  used.reserve(size_);
  for (Slot slot = fresh_ - 1; slot > 0; --slot) {
    if (nodes_[slot].entry.mark != LedgerMark::none) {
      used.push_back(slot);
    } else {
      nodes_[slot].younger = free_;
      free_ = slot;
    }
  }
  std::ranges::sort(used, {}, [this](Slot slot) { return std::pair(nodes_[slot].entry.time, slot); });
  for (const Slot slot : used) append(slot);
}

std::vector<LedgerTable::Slot> LedgerTable::newest(std::size_t most) const {
  std::array<Slot, kLines> next{};
  for (std::size_t i = 0; i < kLines; ++i) next[i] = lines_[i].youngest;
  std::vector<Slot> slots;
  while (slots.size() < most) {
    const auto younger = [this](Slot a, Slot b) {
      return (a == 0 ? -1 : std::int64_t{nodes_[a].entry.time}) < (b == 0 ? -1 : std::int64_t{nodes_[b].entry.time});
    };
    auto& best = *std::ranges::max_element(next, younger);
    if (best == 0) break;
    if (nodes_[best].entry.mark != LedgerMark::claimed) slots.push_back(best);
    best = nodes_[best].older;
  }
  return slots;
}

}  // namespace queue
