// The durable queue as everybody sees it. What is behind it is SQLite and files on one computer
// (queue/sqlite_store.hpp) or, later, a server that several nodes share; therefore leases have numbers and an end, a
// lease request says which destinations it does not want, and a commit may end in "nobody knows".
//
// A message that was put as owned, and whose Receipt says committed, is on stable storage and is ours. A row leaves
// only in the commit that says why (promise.md I2). Everything is asked with co_await from any shard; the answer comes
// on the caller's executor, and the caller's io_context must live until it has come: close() before the shards go.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/error.hpp"
#include "queue/job.hpp"
#include "queue/timeline.hpp"

namespace queue {

template <class T>
using Awaitable = boost::asio::awaitable<T>;

enum class StoreErrc {
  sealed = 1,  // a write or an fsync has failed: nothing is written any more until a restart (promise.md C.6)
  full,        // no disk space, quota or inode left; goes away by itself
  busy,        // too much is waiting, or somebody else holds the database; try later
  high_water,  // the queue is as long as it may get (RS-14)
  exists,      // a message of that id is there already
  not_found,   // no such message, recipient or rule
  lease_lost,  // the lease has ended, or belongs to somebody else by now
  damaged,     // the stored octets do not have the digest they were stored with
  malformed,   // an id, a recipient or a size that cannot be
  unreadable,  // reading from the disk failed
  closed,      // close() was called
};
const boost::system::error_category& store_category() noexcept;
boost::system::error_code make_error_code(StoreErrc e) noexcept;

// How a write ended.
enum class Commit {
  committed,      // on stable storage
  not_committed,  // nothing has changed
  unknown,        // it may be there after a restart or not; nobody may be told that it is (promise.md C.1)
};
struct [[nodiscard]] Receipt {
  Commit commit = Commit::not_committed;
  core::Error error{};  // why it is not committed
  MessageKey key = 0;   // put: the message's
  Epoch lease = 0;      // put: of the recipients that were put leased
  bool ok() const { return commit == Commit::committed; }
};

// A message's octets, read in order.
class OctetSource {
 public:
  virtual ~OctetSource() = default;
  // The next octets, valid until the next call; empty at the end.
  virtual Awaitable<core::Result<std::string_view>> next() = 0;
};

// Octets that are in memory anyway.
class TextSource final : public OctetSource {
 public:
  explicit TextSource(std::string octets) : octets_(std::move(octets)) {}
  Awaitable<core::Result<std::string_view>> next() override;

 private:
  std::string octets_;
  bool given_ = false;
};

// A message to be stored. Of the envelope, `id`, `sender`, `size`, `header_size` and `expires` must be set (`created`
// 0: now). Of each recipient `address`, `destination` and `hop`; `state` as it shall begin; `next_attempt` 0: now;
// `act_by` 0: at the end; `lease` not 0: the recipient is leased from the start, to the caller (a living attempt, and
// always when provisional). The store gives `number` in the order of the vector, and the lease its number.
struct NewMessage {
  Envelope envelope{};
  std::vector<Recipient> recipients{};  // at least one
  core::Milliseconds lease_for{0};      // how long the leased ones are leased; at least 1 ms when there are any
};

// A message small enough to be in memory: a DSN. At most kMaxReport octets.
struct Composed {
  NewMessage message{};
  std::string octets{};
};
inline constexpr std::size_t kMaxReport = std::size_t{256} * 1024;

// What becomes of one recipient.
struct Done {};  // delivered: the row leaves. Valid also when the lease was lost: it is a fact.
struct Failed {  // for good: the row leaves
  enum class Told {
    report,     // in the same commit's `reports`
    nobody,     // the sender is null (a double bounce) or said NOTIFY=NEVER
    operator_,  // an operator deleted it, and that is logged
  } told = Told::report;
};
struct Update {  // stays, with these new values (not: number, address, rule, domain, notify, orcpt, fingerprints, hold)
  Recipient recipient{};
  enum class Lease { release, keep } lease = Lease::release;
};
struct Change {
  MessageKey message = 0;
  unsigned recipient = 0;
  Epoch lease = 0;  // must be the recipient's present one, or the whole commit is lease_lost
  std::variant<Done, Failed, Update> what{};
};
struct Changes {
  std::vector<Change> changes{};
  std::vector<Composed> reports{};  // DSNs and delay notices, stored in the same commit
};

// A leased piece of work: one message's recipients that go to one hop.
struct Work {
  Job job{};
  std::string hop{};
  Epoch lease = 0;
  Time until = 0;
};
inline constexpr std::size_t kMaxWorkRecipients = 100;

// What a put that left recipients leased to the caller has given it, a piece for each hop: for Runner::adopt().
// `message` as it was put, `now` the queue's clock.
std::vector<Work> work_of(const NewMessage& message, const Receipt& receipt, Time now);

struct LeaseRequest {
  std::size_t most = 10;                                        // pieces of work, 1..1000
  core::Milliseconds lease_for{0};                              // at least 1 ms
  std::size_t per_hop = 1;                                      // pieces for a hop that is not in `allowance`
  std::map<std::string, std::size_t, std::less<>> allowance{};  // pieces for these hops; 0: none
  std::optional<std::string> hop{};    // of this hop alone; then `after` is not looked at, and next_due not told
  std::optional<std::string> after{};  // go on there, as it came back; nothing: from the first hop
};
struct Leased {
  std::vector<Work> work{};
  std::optional<std::string> after{};  // where the next request may go on; nothing: all hops have been seen
  // When all were seen: the earliest time after now at which any recipient becomes due; 0: none.
  Time next_due = 0;
};

// Whose time has come although their destinations do not answer (Recipient::act_by), or who have never been tried.
struct OverdueRequest {
  std::vector<std::string> hops{};
  std::size_t most = 10;
  core::Milliseconds lease_for{0};
};

// Which recipients an operator means; what is not set does not narrow. Texts are compared without ASCII case.
struct Filter {
  std::string id{};         // of the message
  std::string to_domain{};  // of the destination
  std::string sender{};     // "a@b", "@b" or "b" for a domain, "<>" for the null sender
  std::string recipient{};  // an address as the client said it, or "@domain"
  std::string hop{};
  std::string queue{};  // "active", "deferred" or "hold" (queue_of)
  core::Milliseconds older_than{0};
};
// Large sets are worked on in steps: ask again with `after` as it came back until it is 0.
struct Page {
  MessageKey after = 0;    // as it came back, nothing else
  std::size_t most = 100;  // messages looked at in a step, 1..10,000
};
struct Listed {
  std::vector<Job> jobs{};  // with the recipients that match, oldest message first
  MessageKey after = 0;     // 0: that was all
};
struct Touched {
  Receipt receipt{};
  std::size_t recipients = 0;  // changed in this step
  MessageKey after = 0;
};

struct Matched {
  std::vector<Work> work{};
  MessageKey after = 0;
};

// Holds matching recipients, those that come later too, until it is removed or its time is over. At least one of the
// three must be set; globs, compared without ASCII case ("<>" is the null sender).
struct HoldRule {
  std::int64_t number = 0;  // given by the store
  std::string to_domain{};  // of the destination
  std::string sender{};
  std::string recipient{};  // as the client said it
  std::string reason{};
  Time created = 0;
  Time expires = 0;  // 0: never
};
inline constexpr std::size_t kMaxHoldRules = 1000;

// One destination domain's recipients by age, for a table like qshape's.
struct Shape {
  std::string domain;
  std::vector<std::uint64_t> by_age;  // as many as the request's bounds, and one more for all that is older
};

struct Statistics {
  std::uint64_t messages = 0, recipients = 0, octets = 0;
  std::uint64_t active = 0, deferred = 0, held = 0, provisional = 0;  // recipients
  Time oldest = 0;
};

// May a message be taken into the queue? For MAIL; never waits.
enum class Room { ok, full, high_water, sealed };

struct Health {
  bool sealed = false;
  std::string reason;             // a sentence for people, "" when all is well
  std::uint64_t free_octets = 0;  // of the file system
  std::uint64_t wal_octets = 0;
};

// A stored body. Its digest was right when it was opened; what is read later is digested again, and the last octets are
// given only when it still is, so that a damaged message is never sent whole nor cut short in silence (threats DU-04).
class Body : public OctetSource {
 public:
  virtual std::uint64_t size() const = 0;
};

// What the ledger wants to know again after a power cut: which messages are ours already (promise.md C.5).
struct Fingerprinted {
  MessageKey message = 0;
  unsigned recipient = 0;
  core::Digest fingerprint{}, restamped{};
};
struct Fingerprints {
  std::vector<Fingerprinted> found;
  MessageKey after = 0;  // 0: that was all
};

class Store {
 public:
  virtual ~Store() = default;

  // The queue's clock. Any thread.
  virtual Time now() const = 0;
  virtual std::int64_t wall_of(Time time) const = 0;

  // --- custody ---

  // Stores a message and its octets, which `body` gives: envelope.size of them, never more than a slice of it in memory
  // at once. Errors: sealed, full, busy, high_water (not for the null sender), exists, malformed, closed, and body's
  // own.
  virtual Awaitable<Receipt> put(NewMessage message, OctetSource& body) = 0;
  // All of it or nothing. Provisional recipients become owned by an Update. A message whose last recipient leaves goes
  // with it. Errors: sealed, full, busy, exists (a report's id), not_found (any recipient), lease_lost, malformed,
  // closed.
  virtual Awaitable<Receipt> commit(Changes changes) = 0;
  // Forgets the provisional recipients that `lease` holds. No error when there are none. What is not committed, or is
  // not called at all, is made good by the next start, or by the end of the lease.
  virtual Awaitable<Receipt> drop_provisional(MessageKey message, Epoch lease) = 0;

  // --- work ---

  // Work that is due, from one hop after the other, fresh mail before retries. Nothing that anybody else has leased.
  virtual Awaitable<core::Result<Leased>> lease_due(LeaseRequest request) = 0;
  virtual Awaitable<core::Result<std::vector<Work>>> lease_overdue(OverdueRequest request) = 0;
  // Whatever matches and is not leased, due or not, held or not: to fail it by hand.
  virtual Awaitable<core::Result<Matched>> lease_matching(Filter filter, Page page, core::Milliseconds lease_for) = 0;
  // Is the lease still ours, and when does it end? Asked right before the final dot. Errors: lease_lost.
  virtual Awaitable<core::Result<Time>> check(MessageKey message, Epoch lease) = 0;
  // From now on for `lease_for`; gives its new end. Errors: lease_lost, sealed, full, busy, closed.
  virtual Awaitable<core::Result<Time>> extend(MessageKey message, Epoch lease, core::Milliseconds lease_for) = 0;
  // Gives back untouched.
  virtual Awaitable<Receipt> release(MessageKey message, Epoch lease) = 0;

  // The stored octets. Errors: not_found, damaged (and then the message's recipients are quarantined), unreadable.
  virtual Awaitable<core::Result<std::unique_ptr<Body>>> open_body(MessageKey message) = 0;
  // The first `most` octets of the header section, for a DSN. Not digested. Errors as above.
  virtual Awaitable<core::Result<std::string>> header(MessageKey message, std::size_t most) = 0;

  // --- operators ---

  virtual Awaitable<core::Result<Listed>> list(Filter filter, Page page) = 0;
  // Every recipient of one message. Errors: not_found.
  virtual Awaitable<core::Result<Job>> find(std::string id) = 0;
  // Recipients whose attempt is under way keep going; what they come to counts, but for retries, which are then held.
  virtual Awaitable<Touched> hold(Filter filter, std::string reason, Page page) = 0;
  // Held by an operator, a rule or quarantine: all become due again when their time comes.
  virtual Awaitable<Touched> release_held(Filter filter, Page page) = 0;
  // Due now, as if never tried before by schedule; held ones stay held.
  virtual Awaitable<Touched> retry_now(Filter filter, Page page) = 0;
  // Removed without a word to the sender; the caller logs it. Also what is leased: its attempt stops before the dot.
  virtual Awaitable<Touched> remove(Filter filter, Page page) = 0;
  // Adds the rule and gives its number; existing mail is not touched: hold() does that. Errors also: malformed, busy
  // (kMaxHoldRules).
  virtual Awaitable<core::Result<std::int64_t>> add_hold_rule(HoldRule rule) = 0;
  // Also releases what it holds. Errors: not_found.
  virtual Awaitable<Receipt> remove_hold_rule(std::int64_t number) = 0;
  virtual Awaitable<core::Result<std::vector<HoldRule>>> hold_rules() = 0;
  // Recipients by destination domain and age; the `most` domains with the most recipients. Bounds ascend.
  virtual Awaitable<core::Result<std::vector<Shape>>> shape(std::vector<core::Milliseconds> age_bounds,
                                                            std::size_t most) = 0;
  virtual Awaitable<core::Result<Statistics>> statistics() = 0;
  // Owned recipients with a fingerprint, in steps.
  virtual Awaitable<core::Result<Fingerprints>> fingerprints(Page page) = 0;

  // --- health; any thread, never waits ---

  // `size`: of the largest message that may come; 1.5 times that must be free (threats DU-06).
  virtual Room room(std::uint64_t size) const = 0;
  virtual Health health() const = 0;
  // Ends what is under way, writes everything down, and refuses all that comes later with `closed`. Blocks: for the
  // thread that winds the program up, after the attempts have ended and before the shards are destroyed.
  virtual void close() = 0;
};

}  // namespace queue

template <>
struct boost::system::is_error_code_enum<queue::StoreErrc> : std::true_type {};
