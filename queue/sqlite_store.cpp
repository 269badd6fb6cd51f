#include "queue/sqlite_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cerrno>

#include "queue/bodies.hpp"
#include "queue/sqlite_reader.hpp"
#include "queue/sqlite_schema.hpp"
#include "queue/sqlite_writer.hpp"

namespace queue {
namespace {

constexpr std::size_t kRowOctets = 2048;  // what a message costs in the log beside its body, about

std::string database_of(const std::string& folder) {
  return folder + "/queue.db";
}
std::string bodies_of(const std::string& folder) {
  return folder + "/bodies";
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

bool is_id(std::string_view id) {
  return !id.empty() && id.size() <= kMaxId && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  });
}

bool is_storable(const Recipient& recipient) {
  if (recipient.hop.empty() || recipient.hop.size() > kMaxHop || has_control(recipient.hop)) return false;
  if (recipient.destination.domain.empty() || recipient.fallback.size() > kMaxFallback) return false;
  return std::none_of(recipient.fallback.begin(), recipient.fallback.end(), [](const Fallback& next) {
    return next.hop.empty() || next.hop.size() > kMaxHop || has_control(next.hop) || next.destination.domain.empty();
  });
}

bool is_storable(const NewMessage& message, Time now) {
  const auto& envelope = message.envelope;
  if (!is_id(envelope.id) || envelope.header_size > envelope.size) return false;
  if (envelope.expires <= (envelope.created == 0 ? now : envelope.created)) return false;
  if (message.recipients.empty() || message.recipients.size() > kMaxRecipients) return false;
  return std::all_of(message.recipients.begin(), message.recipients.end(), [&](const Recipient& recipient) {
    const bool leased = recipient.lease != 0;
    // Nobody but the session that has put it may ever touch what is provisional.
    if (recipient.state == State::provisional && !leased) return false;
    return is_storable(recipient) && (!leased || message.lease_for.count() > 0);
  });
}

class SqliteStore final : public Store {
 public:
  struct Parts {
    StoreSettings settings;
    Files* files = nullptr;
    std::unique_ptr<Files::Lock> lock;
    std::unique_ptr<Bodies> bodies;
    std::unique_ptr<Writer> writer;
    std::unique_ptr<Reader> reader;
  };
  explicit SqliteStore(Parts parts) : parts_(std::move(parts)) {}
  ~SqliteStore() override { close(); }

  void start() {
    parts_.writer->start();
    parts_.reader->start();
    collect_garbage();
  }

  Time now() const override { return parts_.writer->timeline().now(); }
  std::int64_t wall_of(Time time) const override { return parts_.writer->timeline().wall_of(time); }

  Awaitable<Receipt> put(NewMessage message, OctetSource& body) override;
  Awaitable<Receipt> commit(Changes changes) override;

  Awaitable<Receipt> drop_provisional(MessageKey message, Epoch lease) override {
    return write<Receipt>([message, lease](Tables& tables) { return tables.drop_provisional(message, lease); });
  }
  Awaitable<core::Result<Leased>> lease_due(LeaseRequest request) override {
    return write<core::Result<Leased>>(
        [request = std::move(request)](Tables& tables) { return tables.lease_due(request); });
  }
  Awaitable<core::Result<std::vector<Work>>> lease_overdue(OverdueRequest request) override {
    return write<core::Result<std::vector<Work>>>(
        [request = std::move(request)](Tables& tables) { return tables.lease_overdue(request); });
  }
  Awaitable<core::Result<Matched>> lease_matching(Filter filter, Page page, core::Milliseconds lease_for) override {
    return write<core::Result<Matched>>([filter = std::move(filter), page, lease_for](Tables& tables) {
      return tables.lease_matching(filter, page, lease_for);
    });
  }
  Awaitable<core::Result<Time>> check(MessageKey message, Epoch lease) override {
    return write<core::Result<Time>>([message, lease](Tables& tables) { return tables.check(message, lease); });
  }
  Awaitable<core::Result<Time>> extend(MessageKey message, Epoch lease, core::Milliseconds lease_for) override {
    return write<core::Result<Time>>(
        [message, lease, lease_for](Tables& tables) { return tables.extend(message, lease, lease_for); });
  }
  Awaitable<Receipt> release(MessageKey message, Epoch lease) override {
    return write<Receipt>([message, lease](Tables& tables) { return tables.release(message, lease); });
  }

  Awaitable<core::Result<std::unique_ptr<Body>>> open_body(MessageKey message) override;
  Awaitable<core::Result<std::string>> header(MessageKey message, std::size_t most) override;

  Awaitable<core::Result<Listed>> list(Filter filter, Page page) override {
    return read<core::Result<Listed>>(
        [filter = std::move(filter), page](Views& views) { return core::Result<Listed>(views.list(filter, page)); });
  }
  Awaitable<core::Result<Job>> find(std::string id) override {
    return read<core::Result<Job>>([id = std::move(id)](Views& views) { return views.find(id); });
  }
  Awaitable<Touched> hold(Filter filter, std::string reason, Page page) override {
    return write<Touched>([filter = std::move(filter), reason = std::move(reason), page](Tables& tables) {
      return tables.hold(filter, reason, page);
    });
  }
  Awaitable<Touched> release_held(Filter filter, Page page) override {
    return write<Touched>(
        [filter = std::move(filter), page](Tables& tables) { return tables.release_held(filter, page); });
  }
  Awaitable<Touched> retry_now(Filter filter, Page page) override {
    return write<Touched>(
        [filter = std::move(filter), page](Tables& tables) { return tables.retry_now(filter, page); });
  }
  Awaitable<Touched> remove(Filter filter, Page page) override {
    return write<Touched>([filter = std::move(filter), page](Tables& tables) { return tables.remove(filter, page); });
  }
  Awaitable<core::Result<std::int64_t>> add_hold_rule(HoldRule rule) override {
    const bool empty = rule.to_domain.empty() && rule.sender.empty() && rule.recipient.empty();
    return write<core::Result<std::int64_t>>([rule = std::move(rule), empty](Tables& tables) {
      return empty ? core::Result<std::int64_t>(StoreErrc::malformed) : tables.add_hold_rule(rule);
    });
  }
  Awaitable<Receipt> remove_hold_rule(std::int64_t number) override {
    return write<Receipt>([number](Tables& tables) { return tables.remove_hold_rule(number); });
  }
  Awaitable<core::Result<std::vector<HoldRule>>> hold_rules() override {
    return write<core::Result<std::vector<HoldRule>>>([](Tables& tables) { return tables.hold_rules(); });
  }
  Awaitable<core::Result<std::vector<Shape>>> shape(std::vector<core::Milliseconds> age_bounds,
                                                    std::size_t most) override {
    return read<core::Result<std::vector<Shape>>>([bounds = std::move(age_bounds), most](Views& views) {
      return core::Result<std::vector<Shape>>(views.shape(bounds, most));
    });
  }
  Awaitable<core::Result<Statistics>> statistics() override {
    return read<core::Result<Statistics>>([](Views& views) { return core::Result<Statistics>(views.statistics()); });
  }
  Awaitable<core::Result<Fingerprints>> fingerprints(Page page) override {
    return read<core::Result<Fingerprints>>(
        [page](Views& views) { return core::Result<Fingerprints>(views.fingerprints(page)); });
  }

  Room room(std::uint64_t size) const override;
  Health health() const override;
  void close() override;

 private:
  template <class T, class F>
  Awaitable<T> write(F call, std::size_t weight = 0, std::string put_id = {}) {
    auto start = [this, call = std::move(call), weight, put_id = std::move(put_id)](Completion<T> completion) mutable {
      auto operation = std::make_unique<WriteCall<T, F>>(std::move(call), std::move(completion));
      operation->weight = weight;
      operation->put_id = std::move(put_id);
      parts_.writer->post(std::move(operation));
    };
    return answer<T>(std::move(start));
  }
  template <class T, class F>
  Awaitable<T> read(F call) {
    auto start = [this, call = std::move(call)](Completion<T> completion) mutable {
      parts_.reader->post(std::make_unique<ReadCall<T, F>>(std::move(call), std::move(completion)));
    };
    return answer<T>(std::move(start));
  }

  bool above_high_water() const {
    const auto& settings = parts_.settings;
    return parts_.writer->messages() >= settings.most_messages || parts_.writer->octets() >= settings.most_octets;
  }
  core::Error body_failed(const core::Error& error);
  Awaitable<void> quarantine(MessageKey message);
  struct Collection;
  void collect_garbage();
  void alert(StoreAlert::Kind kind, std::string text) const {
    if (parts_.settings.on_alert) parts_.settings.on_alert({kind, std::move(text)});
  }

  Parts parts_;
  std::atomic<bool> closed_{false};
};

// What writing a body has run into, as the store says it.
core::Error SqliteStore::body_failed(const core::Error& error) {
  if (error.category() == store_category() || error.category() == core::error_category()) return error;
  if (is_lack_of_space(error)) {
    parts_.writer->report_full("a message's body cannot be written: " + error.message());
    return StoreErrc::full;
  }
  if (error.value() == EMFILE || error.value() == ENFILE || error.value() == ENOMEM) return StoreErrc::busy;
  parts_.writer->seal("the queue is sealed until a restart: writing a message's body failed: " + error.message());
  return StoreErrc::sealed;
}

Awaitable<Receipt> SqliteStore::put(NewMessage message, OctetSource& body) {
  const auto refused = [](core::Error error) { return Receipt{Commit::not_committed, error, 0, 0}; };
  if (closed_) co_return refused(StoreErrc::closed);
  if (parts_.writer->sealed()) co_return refused(StoreErrc::sealed);
  if (!is_storable(message, now())) co_return refused(StoreErrc::malformed);
  // What must be told to a sender is told whatever the queue's length: each such message takes the place of another.
  if (!message.envelope.sender.null() && above_high_water()) co_return refused(StoreErrc::high_water);
  auto saved = co_await parts_.bodies->save(message.envelope.id, message.envelope.size, body);
  if (!saved) co_return refused(body_failed(saved.error()));
  const auto file = saved->file;
  const auto weight = kRowOctets + saved->octets.size();
  const auto id = message.envelope.id;
  auto call = [message = std::move(message), stored = std::move(*saved)](Tables& tables) {
    return tables.put(message, stored);
  };
  auto receipt = co_await write<Receipt>(std::move(call), weight, id);
  if (receipt.commit == Commit::not_committed && !file.empty()) parts_.bodies->remove({file});
  co_return receipt;
}

Awaitable<Receipt> SqliteStore::commit(Changes changes) {
  const auto refused = [](core::Error error) { return Receipt{Commit::not_committed, error, 0, 0}; };
  std::size_t weight = 0;
  bool needs_report = false;
  for (const auto& change : changes.changes) {
    const auto* const failed = std::get_if<Failed>(&change.what);
    needs_report = needs_report || (failed != nullptr && failed->told == Failed::Told::report);
    if (const auto* const update = std::get_if<Update>(&change.what)) {
      if (update->recipient.state == State::provisional || !is_storable(update->recipient)) {
        co_return refused(StoreErrc::malformed);
      }
    }
    weight += kRowOctets;
  }
  if (needs_report && changes.reports.empty()) co_return refused(StoreErrc::malformed);  // promise.md I2
  std::vector<StoredReport> reports;
  for (auto& report : changes.reports) {
    report.message.envelope.size = report.octets.size();
    if (!is_storable(report.message, now()) || report.octets.size() > kMaxReport) {
      co_return refused(StoreErrc::malformed);
    }
    weight += kRowOctets + report.octets.size();
    const auto digest = core::sha256(report.octets);
    reports.push_back({std::move(report), digest});
  }
  auto call = [changes = std::move(changes.changes), reports = std::move(reports)](Tables& tables) {
    return tables.commit(changes, reports);
  };
  co_return co_await write<Receipt>(std::move(call), weight);
}

// --- bodies ---

Awaitable<void> SqliteStore::quarantine(MessageKey message) {
  alert(StoreAlert::Kind::damaged, fmt::format("the stored octets of message {} are damaged: it is held", message));
  auto call = [message](Tables& tables) { return tables.quarantine(message, "the stored message is damaged"); };
  // When even this cannot be written, the next attempt finds the damage again.
  static_cast<void>(co_await write<Receipt>(std::move(call)));
}

Awaitable<core::Result<std::unique_ptr<Body>>> SqliteStore::open_body(MessageKey message) {
  auto call = [message](Views& views) { return views.body(message); };
  auto known = co_await read<core::Result<Bodies::Known>>(call);
  if (!known) co_return known.error();
  Bodies::OnDamage on_damage = [this, message] { return quarantine(message); };
  auto body = co_await parts_.bodies->open(std::move(*known), std::move(on_damage));
  if (!body && body.error() == StoreErrc::damaged) co_await quarantine(message);
  if (!body && body.error() == StoreErrc::unreadable) {
    alert(StoreAlert::Kind::unreadable, fmt::format("the stored octets of message {} cannot be read", message));
  }
  co_return std::move(body);
}

Awaitable<core::Result<std::string>> SqliteStore::header(MessageKey message, std::size_t most) {
  auto call = [message](Views& views) { return views.body(message); };
  auto known = co_await read<core::Result<Bodies::Known>>(call);
  if (!known) co_return known.error();
  const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(most, known->header_size));
  co_return co_await parts_.bodies->begin_of(std::move(*known), wanted);
}

// The names of body files that an earlier process has made are looked up in small steps, so that lists are answered
// between them.
struct SqliteStore::Collection final : ReadOperation {
  static constexpr std::size_t kNames = 200;
  Collection(SqliteStore& s, std::vector<std::string> n) : store(s), names(std::move(n)) {}
  void run(Views& views) override {
    for (std::size_t i = 0; i < kNames && !names.empty(); ++i) {
      if (!views.refers_to(names.back())) garbage.push_back(names.back());
      names.pop_back();
    }
  }
  void finish() override {
    if (!garbage.empty()) {
      store.alert(StoreAlert::Kind::leftovers,
                  fmt::format("{} body files that no message refers to are removed", garbage.size()));
      store.parts_.bodies->remove(std::move(garbage));
    }
    if (!names.empty()) store.parts_.reader->post(std::make_unique<Collection>(store, std::move(names)));
  }
  void fail(core::Error) override {}  // "not found" may have been an error: nothing is removed
  SqliteStore& store;
  std::vector<std::string> names, garbage;
};

void SqliteStore::collect_garbage() {
  auto names = parts_.bodies->old_files();
  if (names && !names->empty()) parts_.reader->post(std::make_unique<Collection>(*this, std::move(*names)));
}

// --- health ---

Room SqliteStore::room(std::uint64_t size) const {
  if (closed_ || parts_.writer->sealed()) return Room::sealed;
  if (above_high_water()) return Room::high_water;
  parts_.writer->want_probe();
  return parts_.writer->free_octets() < size + size / 2 ? Room::full : Room::ok;
}

Health SqliteStore::health() const {
  Health health;
  health.sealed = parts_.writer->sealed();
  health.reason = parts_.writer->sealed_why();
  health.free_octets = parts_.writer->free_octets();
  health.wal_octets = parts_.writer->wal_octets();
  return health;
}

void SqliteStore::close() {
  if (closed_.exchange(true)) return;
  // The reader first: the connection that closes last may tidy up, and that must be the writer's.
  parts_.reader->close();
  parts_.writer->close();
  parts_.bodies->join();
}

// --- opening ---

std::optional<OpenFailure> check_folder(const StoreSettings& settings, Files& files) {
  const auto error = files.check_folder(settings.folder);
  if (!error) return std::nullopt;
  if (error.value() == EPERM) {
    return OpenFailure{OpenFailure::Kind::unusable,
                       settings.folder + ": must belong to the user Onward runs as, and be writable by nobody else"};
  }
  return OpenFailure{OpenFailure::Kind::unusable,
                     fmt::format("{}: the queue cannot be kept there: {}", settings.folder, error.message())};
}

// Makes an empty file where there is none; refuses where there has been a queue whose database is gone.
std::optional<OpenFailure> find_database(const StoreSettings& settings, Files& files) {
  const auto path = database_of(settings.folder);
  const auto unusable = [&](const core::Error& error) {
    return OpenFailure{OpenFailure::Kind::unusable, fmt::format("{}: {}", path, error.message())};
  };
  const auto found = files.look_for(path);
  if (!found) return std::nullopt;
  if (found.value() != ENOENT) return unusable(found);
  if (!files.look_for(bodies_of(settings.folder))) {
    return OpenFailure{OpenFailure::Kind::unusable,
                       fmt::format("{}: is missing, but there has been a queue here: restore it, or remove {} to begin "
                                   "with an empty queue",
                                   path, bodies_of(settings.folder))};
  }
  const auto made = files.create(path);
  return made ? std::nullopt : std::optional(unusable(made.error()));
}

std::optional<OpenFailure> find_bodies(const StoreSettings& settings, Files& files) {
  auto error = files.make_folder(bodies_of(settings.folder));
  if (!error) error = files.sync_folder(settings.folder);
  if (!error) return std::nullopt;
  return OpenFailure{OpenFailure::Kind::unusable, fmt::format("{}: {}", bodies_of(settings.folder), error.message())};
}

std::set<std::string> read_unsure(const StoreSettings& settings, Files& files) {
  std::set<std::string> ids;
  const auto file = files.open(unsure_note(settings.folder));
  if (!file) return ids;
  const auto size = (*file)->size();
  if (!size) return ids;
  std::string text(std::min<std::uint64_t>(*size, std::uint64_t{1} << 20), '\0');
  const auto got = (*file)->read(0, text.data(), text.size());
  text.resize(got ? *got : 0);
  // A line without an end is torn: half an id is another message's, perhaps.
  for (std::size_t at = 0, end = 0; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
    if (const auto id = text.substr(at, end - at); is_id(id)) ids.insert(id);
  }
  return ids;
}

using Opened = std::variant<std::unique_ptr<Store>, OpenFailure>;

// The database and its two threads.
std::optional<OpenFailure> open_database(SqliteStore::Parts& parts, const core::Clock& clock) {
  const auto& settings = parts.settings;
  const auto path = database_of(settings.folder);
  auto db = std::make_unique<sqlite::Connection>(path, sqlite::Access::read_write, settings.vfs);
  if (db->failed()) return explain(db->failure(), path);
  // The folder of bodies is made when the database is complete: where it is, an empty database has lost its tables.
  const auto age = parts.files->look_for(bodies_of(settings.folder)) ? Age::may_be_new : Age::has_been_used;
  if (auto failure = prepare_database(*db, path, age)) return failure;
  // After an fsync that failed the kernel shows what is not on the disk, and takes it for written: what is appended to
  // such a log is lost with it in the next power cut. So nothing is appended to an earlier process's log: it is copied
  // into the database, which is synced, and begun anew. Its name must be on the disk before: SQLite syncs the folder,
  // but does not look whether that fails.
  if (const auto error = parts.files->sync_folder(settings.folder)) {
    return OpenFailure{OpenFailure::Kind::unusable, fmt::format("{}: {}", settings.folder, error.message())};
  }
  if (!db->checkpoint(sqlite::Connection::Checkpoint::truncate)) {
    if (db->failed()) return explain(db->failure(), path);
    return OpenFailure{OpenFailure::Kind::locked, path + ": another program is reading the queue's log; try again"};
  }
  Timeline::Tick tick;
  {
    auto state = db->prepare("SELECT queue_ms, wall_ms FROM state");
    if (!state.row() && !db->failed()) {
      return OpenFailure{OpenFailure::Kind::corrupt, path + ": the queue's state is missing; run `onward recover`"};
    }
    if (!db->failed()) tick = {state.integer(0), state.integer(1)};
  }
  if (db->failed()) return explain(db->failure(), path);
  WriterMeans means{settings, *parts.files, [bodies = parts.bodies.get()](std::vector<std::string> files) {
                      bodies->remove(std::move(files));
                    }};
  parts.writer = std::make_unique<Writer>(std::move(db), std::make_unique<Timeline>(clock, tick), std::move(means));
  const auto unsure = read_unsure(settings, *parts.files);
  Tables::Leftovers leftovers;
  if (!parts.writer->start_up(unsure, leftovers)) return explain(parts.writer->failure(), path);
  parts.bodies->set_start(parts.writer->start_number());
  if (settings.on_alert && leftovers.provisional + leftovers.leased + leftovers.unsure > 0) {
    settings.on_alert({StoreAlert::Kind::leftovers,
                       fmt::format("an earlier process left {} recipients under way, {} provisional ones and {} "
                                   "messages of unsure outcome: the first are tried again, the others forgotten",
                                   leftovers.leased, leftovers.provisional, leftovers.unsure)});
  }
  auto reading = std::make_unique<sqlite::Connection>(path, sqlite::Access::read_only, settings.vfs);
  if (!reading->failed()) set_up_reading(*reading);
  if (reading->failed()) return explain(reading->failure(), path);
  auto* const writer = parts.writer.get();
  parts.reader = std::make_unique<Reader>(
      std::move(reading), writer->timeline(), [on_alert = settings.on_alert](const sqlite::Failure& failure) {
        if (on_alert) on_alert({StoreAlert::Kind::unreadable, "reading the queue's database failed: " + failure.text});
      });
  return std::nullopt;
}

}  // namespace

Opened open_store(StoreSettings settings, Files& files, const core::Clock& clock) {
  if (auto failure = check_folder(settings, files)) return std::move(*failure);
  SqliteStore::Parts parts;
  parts.files = &files;
  auto lock = files.lock(settings.folder + "/queue.lock");
  if (!lock) {
    const bool taken = lock.error().value() == EWOULDBLOCK;
    return OpenFailure{taken ? OpenFailure::Kind::locked : OpenFailure::Kind::unusable,
                       taken ? settings.folder + ": another process has this queue"
                             : fmt::format("{}/queue.lock: {}", settings.folder, lock.error().message())};
  }
  parts.lock = std::move(*lock);
  if (auto failure = find_database(settings, files)) return std::move(*failure);
  parts.bodies = std::make_unique<Bodies>(files, bodies_of(settings.folder), settings.body_threads, settings.at_point);
  parts.settings = std::move(settings);
  if (auto failure = open_database(parts, clock)) return std::move(*failure);
  // Once more all names are made durable. Only then is the note of unsure messages of no more use.
  if (auto failure = find_bodies(parts.settings, files)) return std::move(*failure);
  best_effort(files.remove(unsure_note(parts.settings.folder)));
  auto store = std::make_unique<SqliteStore>(std::move(parts));
  store->start();
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace queue
