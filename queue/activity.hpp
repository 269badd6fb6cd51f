// The activity log: what became of every recipient of every message, one row each, for `onward log` and `onward trace`
// (interface.md §3). In a database of its own (activity.db) that no promise hangs on: it is not synced, and when it
// cannot keep up or the disk is full, rows are dropped and counted, and mail goes on (threats RS-15).
// record() may be called by any shard and never waits; a thread writes, another one answers queries.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "core/clock.hpp"
#include "core/secret_file.hpp"
#include "queue/tls_counts.hpp"

namespace queue {

// The fields of `log --json`. Texts longer than 1,024 octets are cut; whoever prints them escapes them (OP-06).
struct Activity {
  std::int64_t number = 0;  // ascending; given by the log
  std::int64_t time = 0;    // Unix milliseconds
  std::string id, session, message_id, client_ip, helo, mail_from, rcpt_to, destination, subject;
  std::uint64_t size = 0;
  std::string status;  // forwarded, rejected, deferred, queued, dropped, delivered, bounced
  std::string spf, dkim, dmarc, arc, dnsbl;
  std::string reply;
  std::string upstream_host, upstream_address, upstream_tls, upstream_reply;
  std::string error;
};

// What is not set does not narrow. Addresses are compared without ASCII case.
struct ActivityQuery {
  std::string id{};  // of the message, or of the session: both are looked for
  std::string message_id{}, rcpt_to{}, mail_from{}, status{};
  std::int64_t since = 0, until = 0;  // time, Unix milliseconds: [since, until)
  // Rows numbered above `after`, oldest first (to follow, or to page); without it the newest ones, also oldest first.
  std::int64_t after = -1;
  std::size_t most = 100;  // 1..10,000
};

// What DMARC said of one message of a domain that publishes a policy, with what an aggregate report to that domain
// needs (RFC 9990: a report's record). Equal ones of a day (UTC) are counted in one row, by policy domain.
struct DmarcSighting {
  std::int64_t time = 0;  // Unix milliseconds
  std::string policy_domain, record, author;
  std::string client_ip;
  std::string disposition;  // what was done: none, quarantine, reject
  std::string dkim, spf;    // aligned: pass, fail
  std::string reason;  // why not what the policy asks for: local_policy, trusted_forwarder (ARC), policy_test_mode; ""
  std::string envelope_from, spf_domain, spf_result;
  std::string signatures;  // "domain/selector=result", with blanks between
};

class ActivityLog {
 public:
  struct Settings {
    std::string path;  // state_dir/activity.db; made when missing
    core::Milliseconds keep{std::chrono::hours(24 * 30)};
    std::size_t buffer = 10'000;  // rows waiting to be written; beyond, they are dropped
  };

  // A database that is no activity log, or is newer than we are, is refused with a sentence; one that is damaged is put
  // aside as activity.db.damaged, and a new one begun. `clock` outlives the log.
  static core::Explained<std::unique_ptr<ActivityLog>> open(Settings settings, const core::Clock& clock);
  ~ActivityLog();  // close()

  // Never waits. False, and counted, when the buffer is full.
  bool record(Activity row);
  bool record(DmarcSighting sighting);
  bool record(TlsSighting sighting);
  bool record(TlsReported reported);
  // Rows that match; what was recorded before the call is seen. Errors: StoreErrc::unreadable, busy, closed.
  boost::asio::awaitable<core::Result<std::vector<Activity>>> query(ActivityQuery query);
  // Likewise; by day, domain and policy.
  boost::asio::awaitable<core::Result<std::vector<TlsCount>>> query(TlsQuery query);
  void set_keep(core::Milliseconds keep);
  std::uint64_t dropped() const;
  std::uint64_t recorded() const;
  // Writes what is waiting. Blocks. Later rows are dropped.
  void close();

 private:
  struct Impl;
  explicit ActivityLog(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace queue
