// What the store's writer does to its tables, one method an operation, always inside a transaction that the writer has
// begun and will commit or take back (queue/sqlite_writer.hpp). Everything is looked at before anything is changed, so
// that an operation that is refused has changed nothing. For the folder's own use; one thread.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "queue/sqlite.hpp"
#include "queue/store.hpp"
#include "queue/timeline.hpp"

namespace queue {

// Reads messages with their recipients; each connection has one of its own.
class Scanner {
 public:
  explicit Scanner(sqlite::Connection& db);
  Listed scan(const Filter& filter, const Page& page, Time now);
  std::optional<Job> find(std::string_view id);  // with all recipients
  // Without recipients.
  std::optional<Job> message(MessageKey key);
  std::vector<Recipient> recipients(MessageKey key);

 private:
  void add_matching(const Filter& filter, Job job, Listed& listed);
  sqlite::Statement after_, by_id_, by_key_, recipients_;
};

// Operations on what a filter finds look at so many messages in a step at most, lest the writer be kept from
// committing.
inline constexpr std::size_t kMaxStep = 1000;

// A body as it is about to be stored.
struct StoredBody {
  core::Digest digest{};
  std::string octets;  // inline ...
  std::string file;    // ... or the name of the file under bodies/
};

// A report with its digest already made.
struct StoredReport {
  Composed composed;
  core::Digest digest{};
};

class Tables {
 public:
  Tables(sqlite::Connection& db, const Timeline& timeline);

  // At the start of the program: forgets what was provisional or of unsure outcome (`unsure` ids), voids all leases.
  struct Leftovers {
    std::size_t provisional = 0, leased = 0, unsure = 0;  // recipients, recipients, messages
  };
  Leftovers start_up(const std::set<std::string>& unsure);

  // What the transaction at hand has changed beside the tables: of use once it is committed.
  struct Effects {
    std::vector<std::string> ended_files;
    bool ended = false, leased = false;
  };
  void begin();         // at the start of a transaction
  void write_down();    // numbers, totals and clock, before COMMIT
  Effects committed();  // after it
  void taken_back();    // after ROLLBACK

  std::uint64_t messages() const { return state_.messages; }
  std::uint64_t octets() const { return state_.octets; }
  std::int64_t start() const { return state_.start; }
  const Timeline& timeline() const { return timeline_; }

  Receipt put(const NewMessage& message, const StoredBody& body);
  Receipt commit(const std::vector<Change>& changes, const std::vector<StoredReport>& reports);
  Receipt drop_provisional(MessageKey message, Epoch lease);

  core::Result<Leased> lease_due(const LeaseRequest& request);
  core::Result<std::vector<Work>> lease_overdue(const OverdueRequest& request);
  core::Result<Matched> lease_matching(const Filter& filter, const Page& page, core::Milliseconds lease_for);
  core::Result<Time> check(MessageKey message, Epoch lease);
  core::Result<Time> extend(MessageKey message, Epoch lease, core::Milliseconds lease_for);
  Receipt release(MessageKey message, Epoch lease);
  // Ends leases and hold rules whose time is over.
  void expire();

  Touched hold(const Filter& filter, const std::string& reason, const Page& page);
  Touched release_held(const Filter& filter, const Page& page);
  Touched retry_now(const Filter& filter, const Page& page);
  Touched remove(const Filter& filter, const Page& page);
  Receipt quarantine(MessageKey message, const std::string& reason);
  core::Result<std::int64_t> add_hold_rule(const HoldRule& rule);
  Receipt remove_hold_rule(std::int64_t number);
  core::Result<std::vector<HoldRule>> hold_rules() const { return rules_; }

 private:
  struct State {
    std::int64_t start = 0;
    MessageKey next_message = 1;
    Epoch next_lease = 1;
    std::uint64_t messages = 0, octets = 0;
  };
  void load();
  void load_rules();
  void insert_message(MessageKey key, const NewMessage& message, const StoredBody& body, Epoch lease);
  void insert_recipient(MessageKey key, const NewMessage& message, Recipient recipient, Epoch lease);
  void update_recipient(std::int64_t row, const Envelope& envelope, const Recipient& was, const Update& update);
  // Removes the row, and the message when it was the last one.
  void remove_recipient(std::int64_t row);
  void end_message(MessageKey key);
  std::optional<core::Error> refuse(const std::vector<Change>& changes);
  std::optional<core::Error> refuse(const std::vector<StoredReport>& reports);
  struct Round;  // of one lease_due
  bool lease_hops(Round& round, int retry, std::string after);
  void lease_hop(Round& round, int retry, const std::string& hop);
  // One piece of work of this message and hop; nothing when nothing is ready and due (due_by) there.
  std::optional<Work> lease_piece(MessageKey message, const std::string& hop, Time due_by, Time until);
  Epoch new_lease() { return state_.next_lease++; }
  const HoldRule* rule_for(const Envelope& envelope, const Recipient& recipient) const;

  sqlite::Connection& db_;
  const Timeline& timeline_;
  Scanner scanner_;
  State state_, before_;
  Effects effects_;
  std::vector<HoldRule> rules_;
  bool rules_changed_ = false;

  sqlite::Statement write_state_;
  sqlite::Statement has_id_, insert_message_, insert_body_, insert_recipient_, delete_message_, delete_body_,
      message_file_, delete_recipient_, any_recipient_;
  sqlite::Statement recipient_, update_recipient_;
  sqlite::Statement leased_rows_, next_hop_, first_due_, next_due_, ready_rows_, set_lease_, overdue_, extend_,
      lease_end_, release_, expired_;
  sqlite::Statement hold_row_, hold_message_, release_row_, release_rule_, retry_row_;
  sqlite::Statement insert_rule_, delete_rule_, select_rules_;
};

}  // namespace queue
