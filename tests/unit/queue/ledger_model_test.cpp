// Random operations on a ledger and on a reference that keeps a plain list: what is known of every copy must be the
// same after each step, over restarts and kills, with and without room.
#include <algorithm>
#include <list>
#include <map>

#include "core/random.hpp"
#include "queue/ledger_support.hpp"

namespace queue::testing {
namespace {

// The rules of promise.md C.5 and of docs/ledger.md, as plainly as they can be written.
class Model {
 public:
  enum class State { claimed, dot, lost, delivered, owned };
  struct Entry {
    int number = 0, restamped = 0;
    std::uint32_t network = 0;
    bool row = false, acknowledged = false, in_file = false;
    State state = State::claimed;
    unsigned unknown = 0;
    std::int64_t time = 0;
    // What the file says, which is what a kill leaves.
    State file_state = State::lost;
    int file_number = 0;
    unsigned file_unknown = 0;
    std::int64_t file_time = 0;
    bool file_acknowledged = false;
    bool in_flight() const { return state == State::claimed || state == State::dot; }
  };
  using Place = std::list<Entry>::iterator;

  std::int64_t now = 1, clock_in_file = 1;
  std::list<Entry> entries;

  static std::int64_t life(const Entry& e) { return e.row ? 168 * 3600 : e.acknowledged ? 2 * 3600 : 48 * 3600; }
  bool expired(const Entry& e) const { return !e.in_flight() && now - e.time >= life(e); }

  Place find(int number, int restamped, std::uint32_t network, bool row) {
    const auto exact = std::find_if(entries.begin(), entries.end(),
                                    [&](const Entry& e) { return e.number == number && e.row == row && !expired(e); });
    if (exact != entries.end() || restamped == 0) return exact;
    return std::find_if(entries.begin(), entries.end(), [&](const Entry& e) {
      return e.restamped == restamped && e.network == network && !expired(e) &&
             (e.in_flight() || now - e.time < 2 * 3600);
    });
  }
  // Expired or not.
  Place same(int number, bool row) {
    return std::find_if(entries.begin(), entries.end(),
                        [&](const Entry& e) { return e.number == number && e.row == row; });
  }
  // A new entry in the place of `known`, which it takes over from, and of an expired one with its key.
  Place put(Place known, Entry entry) {
    const auto expired = same(entry.number, entry.row);
    const auto old = known != entries.end() ? known : expired;
    if (old != entries.end()) {
      entry.in_file = old->in_file;
      entry.file_state = old->file_state;
      entry.file_number = old->file_number;
      entry.file_unknown = old->file_unknown;
      entry.file_time = old->file_time;
      entry.file_acknowledged = old->file_acknowledged;
      if (expired != entries.end() && expired != old) remove(expired);
      entries.erase(old);
    }
    entry.time = now;
    return entries.insert(entries.end(), entry);
  }
  What known(Place place) {
    if (place == entries.end()) return What::nothing;
    switch (place->state) {
      case State::claimed:
      case State::dot:
        return What::in_flight;
      case State::lost:
        return place->unknown >= 3 ? What::worn_out : What::lost;
      case State::delivered:
        return What::delivered;
      case State::owned:
        return What::owned;
    }
    return What::nothing;
  }
  void written(Place place) {
    place->in_file = true;
    place->file_state = place->state;
    place->file_number = place->number;
    place->file_unknown = place->unknown;
    place->file_time = place->time;
    place->file_acknowledged = place->acknowledged;
    wrote();
  }
  void wrote() {
    if (now >= clock_in_file + 60) clock_in_file = now;
  }
  // Younger than all others of its kind: last in the list.
  void change(Place place, State state) {
    place->state = state;
    place->time = now;
    entries.splice(entries.end(), entries, place);
    written(place);
  }
  void remove(Place place) {
    if (place->in_file) wrote();
    entries.erase(place);
  }
  void kill() {
    std::int64_t base = clock_in_file;
    for (auto it = entries.begin(); it != entries.end();) {
      if (!it->in_file) {
        it = entries.erase(it);
        continue;
      }
      it->state = it->file_state;
      it->number = it->file_number;
      it->unknown = it->file_unknown;
      it->time = it->file_time;
      it->acknowledged = it->file_acknowledged;
      if (it->state == State::dot) {
        it->state = State::lost;
        ++it->unknown;
        it->file_state = it->state;
        it->file_unknown = it->unknown;
      }
      base = std::max(base, it->time);
      ++it;
    }
    now = clock_in_file = base;
  }
};

class Walk {
 public:
  Walk(std::uint64_t seed, std::uint32_t limit) : random_(seed), limit_(limit) { open(); }
  ~Walk() { flights_.clear(); }

  void step() {
    switch (random_.below(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return claim();
      case 4:
      case 5:
      case 6:
        return dot();
      case 7:
      case 8:
      case 9:
        return settle();
      case 10:
        return drop();
      case 11:
        return own();
      case 12:
        return after_our_250();
      case 13:
        return forget();
      case 14:
        return pass_time();
      default:
        return restarts_ ? restart() : pass_time();
    }
  }
  void no_restarts() { restarts_ = false; }
  void compare() {
    for (int number = 0; number < kCopies; ++number) {
      const auto found = ledger_->peek(copy(number));
      const auto place = model_find(number);
      ASSERT_EQ(found.what, model_.known(place)) << "copy " << number;
      ASSERT_EQ(found.unknown, place == model_.entries.end() ? 0U : place->unknown) << "copy " << number;
    }
    for (int number = 0; number < rows_; ++number) {
      const auto found = ledger_->peek(row_of(number));
      ASSERT_EQ(found.what, model_.known(model_.find(number, 0, 0, true))) << "row " << number;
    }
  }

 private:
  static constexpr int kCopies = 24;
  // Copies 2n and 2n + 1 are one message stamped twice; every fifth has no Message-ID.
  static int restamped(int number) { return number % 5 == 0 ? 0 : number / 2 + 1; }
  static std::uint32_t network(int number) { return number % 7 == 0 ? 2 : 1; }
  static Copy copy(int number) { return copy_of(number, restamped(number), network(number)); }
  Model::Place model_find(int number) { return model_.find(number, restamped(number), network(number), false); }

  struct Held {
    Flight flight;
    Model::Place place;
    bool sent = false;
  };
  void open() {
    ledger_ = testing::open(folder_.file(), clock_, limit_);
    ASSERT_TRUE(ledger_);
  }

  void claim() {
    if (flights_.size() >= 6) return;
    const int number = static_cast<int>(random_.below(kCopies));
    const auto what = copy(number);
    const auto place = model_find(number);
    const auto known = model_.known(place);
    auto claimed = ledger_->claim({&what, 1});
    if (known != What::nothing && known != What::lost) {
      ASSERT_NE(std::get_if<Ledger::Conflict>(&claimed), nullptr) << number;
      return;
    }
    auto* flight = std::get_if<Flight>(&claimed);
    ASSERT_NE(flight, nullptr) << number;
    Model::Entry entry;
    entry.number = number;
    entry.restamped = restamped(number);
    entry.network = network(number);
    entry.state = Model::State::claimed;
    if (place != model_.entries.end()) entry.unknown = place->unknown;
    flights_.push_back({std::move(*flight), model_.put(place, entry), false});
    purge();
  }
  // When full: expired ones go by themselves, then the oldest 2XX, the oldest lost, the oldest owned.
  void purge() {
    while (model_.entries.size() > limit_) {
      auto place = std::find_if(model_.entries.begin(), model_.entries.end(),
                                [this](const auto& e) { return model_.expired(e); });
      for (const auto state : {Model::State::delivered, Model::State::lost, Model::State::owned}) {
        if (place != model_.entries.end()) break;
        place = oldest(state);
      }
      ASSERT_NE(place, model_.entries.end());
      model_.entries.erase(place);
    }
  }
  Model::Place oldest(Model::State state) {
    auto best = model_.entries.end();
    for (auto it = model_.entries.begin(); it != model_.entries.end(); ++it) {
      if (it->state != state) continue;
      // At the same second one that was acknowledged goes first.
      const auto age = [](const Model::Entry& e) { return std::pair(e.time, !e.acknowledged); };
      if (best == model_.entries.end() || age(*it) < age(*best)) best = it;
    }
    return best;
  }
  std::size_t pick() { return random_.below(flights_.size()); }
  void done(std::size_t i) { flights_.erase(flights_.begin() + static_cast<std::ptrdiff_t>(i)); }

  void dot() {
    if (flights_.empty()) return;
    auto& held = flights_[pick()];
    held.flight.journal_dot();
    held.sent = true;
    model_.change(held.place, Model::State::dot);
  }
  void released(Model::Place place) {
    if (place->unknown > 0) {
      model_.change(place, Model::State::lost);
    } else {
      model_.remove(place);
    }
  }
  void settle() {
    if (flights_.empty()) return;
    const auto i = pick();
    auto& held = flights_[i];
    if (!held.sent) return;
    const auto fate = static_cast<mail::Fate>(random_.below(5));
    held.flight.settle(0, outcome(fate));
    switch (fate) {
      case mail::Fate::late:
        return;
      case mail::Fate::delivered:
        model_.change(held.place, Model::State::delivered);
        if (!held.place->row) ids_[held.place->number] = held.flight.entry(0);
        break;
      case mail::Fate::unknown:
        ++held.place->unknown;
        model_.change(held.place, Model::State::lost);
        break;
      default:
        released(held.place);
    }
    done(i);
  }
  void drop() {
    if (flights_.empty()) return;
    const auto i = pick();
    const auto place = flights_[i].place;
    const bool sent = flights_[i].sent;
    done(i);
    if (sent) {
      ++place->unknown;
      model_.change(place, Model::State::lost);
    } else {
      released(place);
    }
  }
  void own() {
    if (flights_.empty()) return;
    const auto i = pick();
    auto& held = flights_[i];
    if (held.place->row) return;
    const int number = held.place->number;
    if (limit_ >= 100 && random_.below(2) == 0) {
      Model::Entry entry;
      entry.number = rows_++;
      entry.row = true;
      entry.state = held.place->state;
      entry.unknown = held.place->unknown;
      const auto place = model_.put(model_.entries.end(), entry);
      if (held.sent) model_.written(place);
      ids_[number] = held.flight.hand_over(0, row_of(entry.number));
      model_.change(held.place, Model::State::owned);
      held.place = place;
      return;
    }
    ids_[number] = held.flight.own(0);
    model_.change(held.place, Model::State::owned);
    done(i);
  }
  void after_our_250() {
    const int number = static_cast<int>(random_.below(kCopies));
    const auto found = ids_.find(number);
    if (found == ids_.end()) return;
    const auto place = model_.find(number, 0, 0, false);
    // An id of an entry that has gone names nothing: only where the entry is the same one does anything happen.
    const bool same = ledger_->peek(copy_of(number)).entry == found->second && place != model_.entries.end();
    const bool settled = same && !place->in_flight() && place->state != Model::State::lost;
    if (random_.below(2) == 0) {
      ledger_->confirmed(found->second);
      if (settled) model_.remove(place);
    } else {
      ledger_->acknowledged(found->second);
      if (settled && !place->acknowledged && model_.now - place->time <= 46 * 3600) {
        place->acknowledged = true;
        model_.change(place, place->state);
      }
    }
  }
  void forget() {
    const bool row = rows_ > 0 && random_.below(2) == 0;
    const int number = static_cast<int>(random_.below(row ? static_cast<std::uint64_t>(rows_) : kCopies));
    ledger_->forget(row ? row_of(number).fingerprint : copy_of(number).fingerprint);
    const auto place = model_.same(number, row);
    if (place != model_.entries.end() && !place->in_flight()) model_.remove(place);
  }
  void pass_time() {
    constexpr std::int64_t kSteps[] = {1, 1, 30, 61, 600, 3599, 7200, 40'000, 90'000};
    const auto by = kSteps[random_.below(std::size(kSteps))];
    clock_.advance(core::Seconds(by));
    model_.now += by;
  }
  // A kill: the file as it is now, whatever is in flight. The ledger's clock is written once a minute; that it may go
  // back by as much is another test's matter.
  void restart() {
    clock_.advance(61s);
    model_.now += 61;
    ledger_->confirmed(deliver(*ledger_, copy_of(kCopies)));
    model_.wrote();
    const auto killed = folder_.read();
    flights_.clear();
    ledger_.reset();
    ids_.clear();
    folder_.write(killed);
    model_.kill();
    open();
  }

  Folder folder_;
  core::ManualClock clock_;
  core::SeededRandom random_;
  std::uint32_t limit_;
  std::unique_ptr<Ledger> ledger_;
  Model model_;
  std::vector<Held> flights_;
  std::map<int, EntryId> ids_;
  bool restarts_ = true;
  int rows_ = 0;  // handed over so far
};

TEST(LedgerModel, with_kills) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    Walk walk(seed, 400);
    for (int i = 0; i < 1500; ++i) {
      walk.step();
      if (i % 5 == 0) walk.compare();
      if (::testing::Test::HasFatalFailure()) FAIL() << "seed " << seed << ", step " << i;
    }
  }
}

// What goes when there is no room; a kill may bring back what went, so there are none here.
TEST(LedgerModel, without_room) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    Walk walk(seed, 10);
    walk.no_restarts();
    for (int i = 0; i < 1500; ++i) {
      walk.step();
      walk.compare();
      if (::testing::Test::HasFatalFailure()) FAIL() << "seed " << seed << ", step " << i;
    }
  }
}

}  // namespace
}  // namespace queue::testing
