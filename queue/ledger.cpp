#include "queue/ledger.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "core/text.hpp"
#include "queue/ledger_state.hpp"

namespace queue {
namespace {

constexpr std::size_t kMaxPrefix = 64;

}  // namespace

// ---- Flight

Flight& Flight::operator=(Flight&& other) noexcept {
  if (this != &other) {
    close();
    ledger_ = std::exchange(other.ledger_, nullptr);
    copies_ = std::exchange(other.copies_, {});
  }
  return *this;
}

void Flight::close() {
  if (ledger_ == nullptr) return;
  for (auto& copy : copies_) {
    if (std::exchange(copy.open, false)) ledger_->lose(copy.entry);
  }
}

void Flight::journal_dot() {
  for (const auto& copy : copies_) {
    if (copy.open) ledger_->journal_dot(copy.entry);
  }
}

void Flight::settle(std::size_t copy, const mail::Outcome& outcome) {
  if (outcome.fate == mail::Fate::late || !std::exchange(copies_[copy].open, false)) return;
  ledger_->settle(copies_[copy].entry, outcome);
}

EntryId Flight::own(std::size_t copy) {
  if (std::exchange(copies_[copy].open, false)) ledger_->own(copies_[copy].entry);
  return copies_[copy].entry;
}

EntryId Flight::hand_over(std::size_t copy, const Copy& row) {
  auto& part = copies_[copy];
  const auto client = part.entry;
  if (!part.open) return client;
  part.entry = ledger_->hand_over(client, row);
  part.open = static_cast<bool>(part.entry);
  return client;
}

// ---- Ledger

Ledger::Ledger(std::unique_ptr<LedgerState> state) : state_(std::move(state)) {}
Ledger::~Ledger() = default;

core::Explained<Ledger::Opened> Ledger::open(const std::string& path, std::uint32_t limit, const core::Clock& clock) {
  auto loaded = LedgerFile::open(path, limit);
  if (!loaded) return loaded.error();
  Opened opened;
  opened.notes = std::move(loaded->notes);
  auto state = std::make_unique<LedgerState>(limit, clock);
  state->load(std::move(*loaded));
  opened.ledger.reset(new Ledger(std::move(state)));
  return opened;
}

std::unique_ptr<Ledger> Ledger::in_memory(std::uint32_t limit, const core::Clock& clock) {
  return std::unique_ptr<Ledger>(new Ledger(std::make_unique<LedgerState>(limit, clock)));
}

Finding Ledger::peek(const Copy& copy) const {
  return state_->peek(copy);
}
Ledger::Claim Ledger::claim(std::span<const Copy> copies) {
  return state_->claim(copies);
}
std::optional<EntryId> Ledger::own(const Copy& copy) {
  return state_->own(copy);
}
void Ledger::forget(const Fingerprint& fingerprint) {
  state_->forget(fingerprint);
}
void Ledger::confirmed(EntryId entry) {
  state_->confirmed(entry);
}
void Ledger::acknowledged(EntryId entry) {
  state_->acknowledged(entry);
}

boost::asio::awaitable<std::optional<Verdict>> Ledger::join(EntryId entry, core::Deadline deadline) {
  const auto waiter = std::make_shared<LedgerWaiter>(co_await boost::asio::this_coro::executor);
  if (!state_->join(entry, waiter)) co_return std::nullopt;
  // Also when the coroutine is destroyed while it waits.
  struct Registration {
    LedgerState& state;
    LedgerTable::Slot slot;
    const LedgerWaiter* waiter;
    Registration(LedgerState& s, LedgerTable::Slot n, const LedgerWaiter* w) : state(s), slot(n), waiter(w) {}
    Registration(const Registration&) = delete;
    ~Registration() { state.leave(slot, waiter); }
  };
  const Registration registration(*state_, entry.slot, waiter.get());
  while (!waiter->verdict) {
    if (deadline.passed()) co_return std::nullopt;
    waiter->timer.expires_at(deadline.time());
    co_await waiter->timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  }
  co_return waiter->verdict;
}

std::vector<Ledger::Row> Ledger::list(std::size_t most) const {
  return state_->list(most);
}

core::Result<std::vector<Ledger::Row>> Ledger::find(std::string_view hex_prefix, std::size_t most) const {
  if (hex_prefix.size() < kMinPrefix || hex_prefix.size() > kMaxPrefix) return core::Errc::malformed;
  auto prefix = core::lower(hex_prefix.substr(0, 2 * sizeof(LedgerKey)));
  if (core::lower(hex_prefix).find_first_not_of("0123456789abcdef") != std::string::npos) return core::Errc::malformed;
  return state_->find(prefix, std::min(most, kMaxListed));
}

std::vector<Ledger::Row> Ledger::traced(std::span<const std::string> ids) const {
  return state_->traced(ids);
}

Ledger::Stats Ledger::stats() const {
  return state_->stats();
}
core::Error Ledger::file_error() const {
  return state_->file_error();
}

}  // namespace queue
