#include "queue/sqlite_tables.hpp"

#include <algorithm>
#include <cassert>

#include "core/text.hpp"
#include "queue/filter.hpp"
#include "queue/sqlite_rows.hpp"
#include "queue/sqlite_schema.hpp"

namespace queue {
namespace {

std::string sql(std::initializer_list<std::string_view> parts) {
  std::string text;
  for (const auto part : parts) text += part;
  return text;
}

}  // namespace

// --- Scanner ---

Scanner::Scanner(sqlite::Connection& db)
    : after_(db.prepare(sql({"SELECT ", kMessageColumns, " FROM message WHERE key > ?1 ORDER BY key LIMIT ?2"}))),
      by_id_(db.prepare(sql({"SELECT ", kMessageColumns, " FROM message WHERE id = ?1"}))),
      by_key_(db.prepare(sql({"SELECT ", kMessageColumns, " FROM message WHERE key = ?1"}))),
      recipients_(
          db.prepare(sql({"SELECT ", kRecipientColumns, " FROM recipient WHERE row BETWEEN ?1 AND ?2 ORDER BY row"}))) {
}

std::vector<Recipient> Scanner::recipients(MessageKey key) {
  std::vector<Recipient> recipients;
  recipients_.with(first_row(key), last_row(key));
  while (recipients_.row()) recipients.push_back(read_recipient(recipients_));
  return recipients;
}

std::optional<Job> Scanner::message(MessageKey key) {
  if (!by_key_.with(key).row()) return std::nullopt;
  auto job = read_message(by_key_);
  by_key_.reset();
  return job;
}

std::optional<Job> Scanner::find(std::string_view id) {
  if (!by_id_.with(id).row()) return std::nullopt;
  auto job = read_message(by_id_);
  by_id_.reset();
  job.recipients = recipients(job.key);
  return job;
}

void Scanner::add_matching(const Filter& filter, Job job, Listed& listed) {
  for (auto& recipient : recipients(job.key)) {
    if (matches(filter, recipient)) job.recipients.push_back(std::move(recipient));
  }
  if (!job.recipients.empty()) listed.jobs.push_back(std::move(job));
}

Listed Scanner::scan(const Filter& filter, const Page& page, Time now) {
  Listed listed;
  if (!filter.id.empty()) {
    auto job = find(filter.id);
    if (!job || !matches(filter, job->envelope, now)) return listed;
    job->recipients.clear();
    add_matching(filter, std::move(*job), listed);
    return listed;
  }
  const auto most = static_cast<std::int64_t>(std::clamp<std::size_t>(page.most, 1, 10'000));
  std::int64_t seen = 0;
  after_.with(page.after, most);
  while (after_.row()) {
    ++seen;
    listed.after = after_.integer(0);
    auto job = read_message(after_);
    if (matches(filter, job.envelope, now)) add_matching(filter, std::move(job), listed);
  }
  if (seen < most) listed.after = 0;
  return listed;
}

// --- Tables ---

Tables::Tables(sqlite::Connection& db, const Timeline& timeline)
    : db_(db),
      timeline_(timeline),
      scanner_(db),
      write_state_(db.prepare("UPDATE state SET start = ?1, next_message = ?2, next_lease = ?3, queue_ms = ?4,"
                              " wall_ms = ?5, messages = ?6, octets = ?7")),
      has_id_(db.prepare("SELECT key FROM message WHERE id = ?1")),
      insert_message_(db.prepare("INSERT INTO message VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,"
                                 " ?14, ?15, ?16, ?17)")),
      insert_body_(db.prepare("INSERT INTO body VALUES (?1, ?2)")),
      insert_recipient_(db.prepare(
          "INSERT INTO recipient VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,"
          " ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32)")),
      delete_message_(db.prepare("DELETE FROM message WHERE key = ?1")),
      delete_body_(db.prepare("DELETE FROM body WHERE message = ?1")),
      message_file_(db.prepare("SELECT body_file, size FROM message WHERE key = ?1")),
      delete_recipient_(db.prepare("DELETE FROM recipient WHERE row = ?1")),
      any_recipient_(db.prepare("SELECT 1 FROM recipient WHERE row BETWEEN ?1 AND ?2 LIMIT 1")),
      recipient_(db.prepare(sql({"SELECT ", kRecipientColumns, " FROM recipient WHERE row = ?1"}))),
      update_recipient_(db.prepare(
          "UPDATE recipient SET destination = ?2, to_domain = ?3, hop = ?4, fallback = ?5, state = ?6, attempts = ?7,"
          " unknowns = ?8, next_attempt = ?9, failing_since = ?10, act_by = ?11, delay_told = ?12, reply_code = ?13,"
          " reply = ?14, reply_from_peer = ?15, last_host = ?16, last_address = ?17, last_tls = ?18, lease = ?19,"
          " lease_until = ?20, retry = ?21 WHERE row = ?1")),
      leased_rows_(db.prepare("SELECT row, state FROM recipient WHERE lease > 0")),
      next_hop_(db.prepare(sql({"SELECT hop, next_attempt FROM recipient WHERE ", kReady,
                                " AND retry = ?1 AND hop > ?2 ORDER BY hop, next_attempt LIMIT 1"}))),
      first_due_(
          db.prepare(sql({"SELECT row FROM recipient WHERE ", kReady,
                          " AND retry = ?1 AND hop = ?2 AND next_attempt <= ?3 ORDER BY next_attempt LIMIT 1"}))),
      next_due_(db.prepare(sql({"SELECT min(next_attempt) FROM recipient WHERE ", kReady, " AND next_attempt > ?1"}))),
      ready_rows_(db.prepare(sql({"SELECT ", kRecipientColumns, " FROM recipient WHERE row BETWEEN ?1 AND ?2 AND ",
                                  kReady, " AND hop = ?3 AND next_attempt <= ?4 ORDER BY row LIMIT ?5"}))),
      set_lease_(db.prepare("UPDATE recipient SET lease = ?2, lease_until = ?3 WHERE row = ?1")),
      overdue_(db.prepare(sql({"SELECT row FROM recipient WHERE ", kReady,
                               " AND retry = ?1 AND hop = ?2 AND next_attempt <= ?3 AND (retry = 0 OR act_by <= ?3)"
                               " ORDER BY next_attempt LIMIT ?4"}))),
      extend_(db.prepare("UPDATE recipient SET lease_until = ?4 WHERE row BETWEEN ?1 AND ?2 AND lease = ?3")),
      lease_end_(db.prepare("SELECT min(lease_until) FROM recipient WHERE row BETWEEN ?1 AND ?2 AND lease = ?3")),
      release_(db.prepare("UPDATE recipient SET lease = 0, lease_until = 0 WHERE row BETWEEN ?1 AND ?2 AND lease = ?3"
                          " AND state > 0")),
      expired_(db.prepare("SELECT row, state FROM recipient WHERE lease > 0 AND lease_until <= ?1")),
      hold_row_(db.prepare("UPDATE recipient SET hold = ?2, hold_reason = ?3, hold_rule = ?4 WHERE row = ?1")),
      hold_message_(db.prepare("UPDATE recipient SET hold = ?3, hold_reason = ?4, hold_rule = 0"
                               " WHERE row BETWEEN ?1 AND ?2")),
      release_row_(db.prepare("UPDATE recipient SET hold = 0, hold_reason = '', hold_rule = 0 WHERE row = ?1")),
      release_rule_(db.prepare("UPDATE recipient SET hold = 0, hold_reason = '', hold_rule = 0 WHERE hold_rule > 0"
                               " AND hold_rule = ?1")),
      retry_row_(db.prepare("UPDATE recipient SET next_attempt = ?2, retry = 0 WHERE row = ?1")),
      insert_rule_(db.prepare("INSERT INTO hold_rule VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")),
      delete_rule_(db.prepare("DELETE FROM hold_rule WHERE number = ?1")),
      select_rules_(db.prepare(sql({"SELECT ", kHoldRuleColumns, " FROM hold_rule ORDER BY number"}))) {
  load();
  load_rules();
}

void Tables::load() {
  auto select = db_.prepare("SELECT start, next_message, next_lease, messages, octets FROM state");
  if (!select.row()) return;
  state_.start = select.integer(0);
  state_.next_message = select.integer(1);
  state_.next_lease = select.unsigned_integer(2);
  state_.messages = select.unsigned_integer(3);
  state_.octets = select.unsigned_integer(4);
}

void Tables::load_rules() {
  rules_.clear();
  select_rules_.reset();
  while (select_rules_.row()) rules_.push_back(read_hold_rule(select_rules_));
}

void Tables::begin() {
  before_ = state_;
  effects_ = {};
  rules_changed_ = false;
}

void Tables::write_down() {
  const auto tick = timeline_.tick();
  write_state_.with(state_.start, state_.next_message, state_.next_lease, tick.queue, tick.wall, state_.messages,
                    state_.octets);
  write_state_.run();
}

Tables::Effects Tables::committed() {
  return std::move(effects_);
}

void Tables::taken_back() {
  state_ = before_;
  effects_ = {};
  if (rules_changed_) load_rules();
}

Tables::Leftovers Tables::start_up(const std::set<std::string>& unsure) {
  Leftovers leftovers;
  ++state_.start;
  std::vector<std::int64_t> provisional, leased;
  leased_rows_.reset();
  while (leased_rows_.row()) (leased_rows_.integer(1) == 0 ? provisional : leased).push_back(leased_rows_.integer(0));
  for (const auto row : leased) {
    set_lease_.with(row, 0, 0);
    set_lease_.run();
  }
  for (const auto row : provisional) remove_recipient(row);
  leftovers.leased = leased.size();
  leftovers.provisional = provisional.size();
  for (const auto& id : unsure) {
    const auto job = scanner_.find(id);
    if (!job) continue;
    for (const auto& recipient : job->recipients) remove_recipient(row_of(job->key, recipient.number));
    ++leftovers.unsure;
  }
  return leftovers;
}

const HoldRule* Tables::rule_for(const Envelope& envelope, const Recipient& recipient) const {
  const auto now = timeline_.now();
  const auto found = std::find_if(rules_.begin(), rules_.end(),
                                  [&](const HoldRule& rule) { return matches(rule, envelope, recipient, now); });
  return found == rules_.end() ? nullptr : &*found;
}

// --- put ---

Receipt Tables::put(const NewMessage& message, const StoredBody& body) {
  const bool known = has_id_.with(message.envelope.id).row();
  has_id_.reset();
  if (known) return {Commit::not_committed, StoreErrc::exists, 0, 0};
  const bool leased =
      std::any_of(message.recipients.begin(), message.recipients.end(), [](const auto& r) { return r.lease != 0; });
  Receipt receipt{Commit::committed, {}, state_.next_message++, leased ? new_lease() : 0};
  insert_message(receipt.key, message, body, receipt.lease);
  return receipt;
}

void Tables::insert_message(MessageKey key, const NewMessage& message, const StoredBody& body, Epoch lease) {
  const auto& envelope = message.envelope;
  const auto created = envelope.created == 0 ? timeline_.now() : envelope.created;
  const auto sender = envelope.sender.to_string();
  const auto srs_sender = envelope.srs_sender.to_string();
  const auto file = body.file.empty() ? std::nullopt : std::optional<std::string>(body.file);
  const sqlite::BlobText digest{core::as_text(body.digest)};
  insert_message_.with(key, envelope.id, sender, srs_sender, cut(envelope.envid), static_cast<int>(envelope.ret),
                       flags_of(envelope), cut(envelope.client_ip), cut(envelope.helo), cut(envelope.message_id),
                       cut(envelope.subject), envelope.size, envelope.header_size, created, envelope.expires, digest,
                       file);
  insert_message_.run();
  if (body.file.empty()) {
    insert_body_.with(key, sqlite::BlobText{body.octets});
    insert_body_.run();
  }
  unsigned number = 0;
  for (auto recipient : message.recipients) {
    recipient.number = number++;
    if (recipient.next_attempt == 0) recipient.next_attempt = created;
    insert_recipient(key, message, std::move(recipient), lease);
  }
  state_.messages += 1;
  state_.octets += envelope.size;
}

void Tables::insert_recipient(MessageKey key, const NewMessage& message, Recipient recipient, Epoch lease) {
  auto& r = recipient;
  if (r.act_by == 0) r.act_by = message.envelope.expires;
  r.next_attempt = std::min(r.next_attempt, r.act_by);
  const auto until = r.lease == 0 ? 0 : timeline_.now() + message.lease_for.count();
  const auto* const rule = r.hold == Hold::none ? rule_for(message.envelope, r) : nullptr;
  if (rule != nullptr) {
    r.hold = Hold::by_rule;
    r.hold_reason = rule->reason;
  }
  const bool retry = r.attempts > 0 || r.state == queue::State::owned_dot;
  const auto address = r.address.to_string();
  const auto destination = r.destination.to_string();
  const auto to_domain = core::lower(r.destination.domain);
  const auto fallback = fallback_text(r.fallback);
  const auto reply = reply_text(r.last_reply);
  insert_recipient_.with(
      row_of(key, r.number), address, cut(r.rule), cut(r.domain), destination, to_domain, r.hop, fallback,
      notify_bits(r.notify), cut(r.orcpt_type), cut(r.orcpt), r.fingerprint, r.restamped, static_cast<int>(r.state),
      r.attempts, r.unknowns, r.next_attempt, r.failing_since, r.act_by, r.delay_told ? 1 : 0, r.last_reply.code, reply,
      r.reply_from_peer ? 1 : 0, cut(r.last_host), cut(r.last_address), cut(r.last_tls), r.lease == 0 ? 0 : lease,
      until, static_cast<int>(r.hold), cut(r.hold_reason), rule == nullptr ? 0 : rule->number, retry ? 1 : 0);
  insert_recipient_.run();
}

// --- rows that leave ---

void Tables::remove_recipient(std::int64_t row) {
  delete_recipient_.with(row);
  delete_recipient_.run();
  const auto key = message_of(row);
  const bool more = any_recipient_.with(first_row(key), last_row(key)).row();
  any_recipient_.reset();
  if (!more) end_message(key);
  effects_.ended = true;
}

void Tables::end_message(MessageKey key) {
  if (db_.failed()) return;  // "no row" may mean anything then
  if (!message_file_.with(key).row()) return;
  if (!message_file_.null(0)) effects_.ended_files.push_back(message_file_.string(0));
  const auto size = message_file_.unsigned_integer(1);
  message_file_.reset();
  delete_message_.with(key);
  delete_message_.run();
  delete_body_.with(key);
  delete_body_.run();
  state_.messages -= std::min<std::uint64_t>(state_.messages, 1);
  state_.octets -= std::min(state_.octets, size);
}

Receipt Tables::drop_provisional(MessageKey message, Epoch lease) {
  for (const auto& recipient : scanner_.recipients(message)) {
    if (recipient.state == queue::State::provisional && recipient.lease == lease) {
      remove_recipient(row_of(message, recipient.number));
    }
  }
  return {Commit::committed, {}, message, 0};
}

// --- commit ---

std::optional<core::Error> Tables::refuse(const std::vector<Change>& changes) {
  std::set<std::int64_t> rows;
  for (const auto& change : changes) {
    const auto row = row_of(change.message, change.recipient);
    if (!rows.insert(row).second) return StoreErrc::malformed;
    const bool there = recipient_.with(row).row();
    const auto recipient = there ? read_recipient(recipient_) : Recipient();
    recipient_.reset();
    if (!there) return StoreErrc::not_found;
    // That it was delivered stays true whoever has the lease now.
    if (std::holds_alternative<Done>(change.what)) continue;
    if (change.lease == 0 || change.lease != recipient.lease) return StoreErrc::lease_lost;
  }
  return std::nullopt;
}

std::optional<core::Error> Tables::refuse(const std::vector<StoredReport>& reports) {
  std::set<std::string_view> ids;
  for (const auto& report : reports) {
    const auto& id = report.composed.message.envelope.id;
    const bool known = has_id_.with(id).row();
    has_id_.reset();
    if (known || !ids.insert(id).second) return StoreErrc::exists;
  }
  return std::nullopt;
}

Receipt Tables::commit(const std::vector<Change>& changes, const std::vector<StoredReport>& reports) {
  if (const auto error = refuse(changes)) return {Commit::not_committed, *error, 0, 0};
  if (const auto error = refuse(reports)) return {Commit::not_committed, *error, 0, 0};
  for (const auto& change : changes) {
    const auto row = row_of(change.message, change.recipient);
    if (const auto* const update = std::get_if<Update>(&change.what)) {
      const auto job = scanner_.message(change.message);
      if (!job || !recipient_.with(row).row()) continue;  // only when the database has failed
      const auto was = read_recipient(recipient_);
      recipient_.reset();
      update_recipient(row, job->envelope, was, *update);
    } else {
      remove_recipient(row);
    }
  }
  for (const auto& report : reports) {
    StoredBody body;
    body.digest = report.digest;
    body.octets = report.composed.octets;
    insert_message(state_.next_message++, report.composed.message, body, 0);
  }
  return {Commit::committed, {}, 0, 0};
}

void Tables::update_recipient(std::int64_t row, const Envelope& envelope, const Recipient& was, const Update& update) {
  const auto& r = update.recipient;
  assert(r.state != queue::State::provisional);
  const bool keep = update.lease == Update::Lease::keep;
  const bool retry = r.attempts > 0 || r.state == queue::State::owned_dot;
  const auto destination = r.destination.to_string();
  const auto to_domain = core::lower(r.destination.domain);
  const auto fallback = fallback_text(r.fallback);
  const auto reply = reply_text(r.last_reply);
  update_recipient_.with(row, destination, to_domain, r.hop, fallback, static_cast<int>(r.state), r.attempts,
                         r.unknowns, std::min(r.next_attempt, r.act_by), r.failing_since, r.act_by,
                         r.delay_told ? 1 : 0, r.last_reply.code, reply, r.reply_from_peer ? 1 : 0, cut(r.last_host),
                         cut(r.last_address), cut(r.last_tls), keep ? was.lease : 0, keep ? was.lease_until : 0,
                         retry ? 1 : 0);
  update_recipient_.run();
  // A rule may be about the new destination.
  if (was.hold != Hold::none || was.destination == r.destination) return;
  if (const auto* const rule = rule_for(envelope, r)) {
    hold_row_.with(row, static_cast<int>(Hold::by_rule), rule->reason, rule->number);
    hold_row_.run();
  }
}

}  // namespace queue
