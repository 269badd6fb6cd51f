#include "app/queue_desk.hpp"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "core/text.hpp"
#include "core/units.hpp"

namespace app {
namespace {

using nlohmann::json;

constexpr std::size_t kStep = 500;  // messages a step of bulk work looks at
constexpr std::size_t kMostRows = 1000;
// qshape(1)'s ages, in minutes, and how many destinations it shows.
constexpr std::array kShapeMinutes{5, 10, 20, 40, 80, 160, 320, 640, 1280};
constexpr std::size_t kShapeDomains = 30;

json failure(const std::string& text) {
  return {{"ok", false}, {"error", text}};
}

std::string utc_text(std::int64_t milliseconds) {
  if (milliseconds <= 0) return "";
  const std::time_t seconds = milliseconds / 1000;
  std::tm tm{};
  ::gmtime_r(&seconds, &tm);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                     tm.tm_hour, tm.tm_min, tm.tm_sec, milliseconds % 1000);
}

queue::Filter filter_of(const json& request) {
  queue::Filter filter;
  const auto text = [&](const char* key) { return request.value(key, std::string()); };
  filter.id = text("id");
  filter.to_domain = text("to");
  filter.sender = text("sender");
  filter.recipient = text("rcpt");
  filter.hop = text("hop");
  filter.queue = text("state");
  filter.older_than = core::Milliseconds(request.value("older_ms", std::int64_t{0}));
  return filter;
}

queue::Page page_of(const json& request) {
  queue::Page page;
  page.after = request.value("after", queue::MessageKey{0});
  page.most = std::min(request.value("most", kStep), kStep);
  return page;
}

// The message's place in the list: hold when all of it is held, active when any recipient is.
std::string_view queue_of_job(const queue::Job& job) {
  bool all_held = true;
  for (const auto& recipient : job.recipients) {
    const auto queue = queue::queue_of(recipient);
    if (queue == "active") return queue;
    all_held = all_held && queue == "hold";
  }
  return all_held ? "hold" : "deferred";
}

json activity_json(const queue::Activity& row) {
  return {{"time", utc_text(row.time)},
          {"id", row.id},
          {"session", row.session},
          {"message_id", row.message_id},
          {"client_ip", row.client_ip},
          {"helo", row.helo},
          {"mail_from", row.mail_from},
          {"rcpt_to", row.rcpt_to},
          {"destination", row.destination},
          {"subject", row.subject},
          {"size", row.size},
          {"status", row.status},
          {"spf", row.spf},
          {"dkim", row.dkim},
          {"dmarc", row.dmarc},
          {"arc", row.arc},
          {"dnsbl", row.dnsbl},
          {"reply", row.reply},
          {"upstream",
           {{"host", row.upstream_host},
            {"address", row.upstream_address},
            {"tls", row.upstream_tls},
            {"reply", row.upstream_reply}}},
          {"error", row.error}};
}

json ledger_json(const queue::Ledger::Row& row) {
  const auto made = std::chrono::duration_cast<core::Milliseconds>(row.made.time_since_epoch()).count();
  return {{"fingerprint", row.fingerprint},
          {"state", row.state},
          {"id", row.trace},
          {"kind", row.kind == queue::Copy::Kind::client ? "client" : "queue"},
          {"unknown", row.unknown},
          {"acknowledged", row.acknowledged},
          {"made", utc_text(made)},
          {"age_s", row.age.count()}};
}

}  // namespace

bool QueueDesk::takes(std::string_view command) {
  return command.starts_with("queue.") || command.starts_with("ledger.") || command == "log" || command == "trace";
}

std::string QueueDesk::time_text(queue::Time time) const {
  return time == 0 ? std::string() : utc_text(durable_.store->wall_of(time));
}

json QueueDesk::job_json(const queue::Job& job) const {
  json out{{"id", job.envelope.id},
           {"queue", queue_of_job(job)},
           {"created", time_text(job.envelope.created)},
           {"expires", time_text(job.envelope.expires)},
           {"sender", job.envelope.sender.to_string()},
           {"size", job.envelope.size},
           {"message_id", job.envelope.message_id},
           {"subject", job.envelope.subject},
           {"client_ip", job.envelope.client_ip},
           {"recipients", json::array()}};
  unsigned attempts = 0;
  queue::Time next = 0;
  for (const auto& one : job.recipients) {
    attempts = std::max(attempts, one.attempts);
    if (one.hold == queue::Hold::none && (next == 0 || one.next_attempt < next)) next = one.next_attempt;
    out["recipients"].push_back({{"address", one.address.to_string()},
                                 {"destination", one.destination.to_string()},
                                 {"state", queue::to_string(one.state)},
                                 {"queue", queue::queue_of(one)},
                                 {"attempts", one.attempts},
                                 {"next_attempt", one.hold == queue::Hold::none ? time_text(one.next_attempt) : ""},
                                 {"last_reply", one.last_reply.code != 0 ? one.last_reply.to_log() : ""},
                                 {"last_host", one.last_host},
                                 {"unknown", one.unknowns},
                                 {"hold_reason", one.hold_reason},
                                 {"rule", one.rule}});
  }
  out["attempts"] = attempts;
  out["next_attempt"] = time_text(next);
  return out;
}

net::Awaitable<json> QueueDesk::list(json request) {
  auto filter = filter_of(request);
  const auto page = page_of(request);
  const auto listed = co_await durable_.store->list(std::move(filter), page);
  if (!listed) co_return failure(listed.error().message());
  json jobs = json::array();
  for (const auto& job : listed->jobs) jobs.push_back(job_json(job));
  json answer{{"ok", true}, {"jobs", std::move(jobs)}, {"after", listed->after}};
  co_return answer;
}

net::Awaitable<json> QueueDesk::show(json request) {
  auto id = request.value("id", std::string());
  const auto job = co_await durable_.store->find(std::move(id));
  if (!job) co_return failure(job.error().message());
  json answer{{"ok", true}, {"job", job_json(*job)}};
  co_return answer;
}

// retry, hold, release, fail, delete.
net::Awaitable<json> QueueDesk::touch(json request) {
  const auto command = request.value("command", std::string());
  auto filter = filter_of(request);
  const auto page = page_of(request);
  auto reason = request.value("reason", std::string());
  queue::Touched touched;
  if (command == "queue.retry") {
    touched = co_await durable_.store->retry_now(std::move(filter), page);
  } else if (command == "queue.hold") {
    touched = co_await durable_.store->hold(std::move(filter), std::move(reason), page);
  } else if (command == "queue.release") {
    touched = co_await durable_.store->release_held(std::move(filter), page);
  } else if (command == "queue.fail") {
    auto work = durable_.runner->fail(std::move(filter), page);
    touched = co_await boost::asio::co_spawn(runner_executor_, std::move(work), boost::asio::use_awaitable);
  } else {
    touched = co_await durable_.store->remove(std::move(filter), page);
  }
  if (!touched.receipt.ok()) co_return failure(touched.receipt.error.message());
  if (touched.recipients > 0) {
    log_.warn("operator", {{"command", command},
                           {"queue_id", request.value("id", std::string())},
                           {"to", request.value("to", std::string())},
                           {"sender", request.value("sender", std::string())},
                           {"recipients", touched.recipients}});
  }
  durable_.runner->wake();
  json answer{{"ok", true}, {"recipients", touched.recipients}, {"after", touched.after}};
  co_return answer;
}

net::Awaitable<json> QueueDesk::rules(json request) {
  const auto command = request.value("command", std::string());
  if (command == "queue.rule_add") {
    queue::HoldRule rule;
    rule.to_domain = request.value("to", std::string());
    rule.sender = request.value("sender", std::string());
    rule.recipient = request.value("rcpt", std::string());
    rule.reason = request.value("reason", std::string());
    const auto lasts = request.value("lasts_ms", std::int64_t{0});
    if (lasts > 0) rule.expires = durable_.store->now() + lasts;
    const auto number = co_await durable_.store->add_hold_rule(std::move(rule));
    if (!number) co_return failure(number.error().message());
    json answer{{"ok", true}, {"rule", *number}};
    co_return answer;
  }
  if (command == "queue.rule_remove") {
    const auto rule = request.value("rule", std::int64_t{0});
    const auto receipt = co_await durable_.store->remove_hold_rule(rule);
    durable_.runner->wake();
    if (!receipt.ok()) co_return failure(receipt.error.message());
    json answer{{"ok", true}};
    co_return answer;
  }
  const auto rules = co_await durable_.store->hold_rules();
  if (!rules) co_return failure(rules.error().message());
  json out = json::array();
  for (const auto& rule : *rules) {
    out.push_back({{"rule", rule.number},
                   {"to", rule.to_domain},
                   {"sender", rule.sender},
                   {"rcpt", rule.recipient},
                   {"reason", rule.reason},
                   {"created", time_text(rule.created)},
                   {"expires", time_text(rule.expires)}});
  }
  json answer{{"ok", true}, {"rules", std::move(out)}};
  co_return answer;
}

net::Awaitable<json> QueueDesk::log(json request) {
  queue::ActivityQuery query;
  query.id = request.value("id", std::string());
  query.message_id = request.value("message_id", std::string());
  query.rcpt_to = request.value("rcpt", std::string());
  query.mail_from = request.value("from", std::string());
  query.status = request.value("status", std::string());
  query.since = request.value("since", std::int64_t{0});
  query.after = request.value("after", std::int64_t{-1});
  query.most = std::clamp<std::size_t>(request.value("most", std::size_t{100}), 1, kMostRows);
  const auto rows = co_await durable_.activity->query(std::move(query));
  if (!rows) co_return failure(rows.error().message());
  json out = json::array();
  std::int64_t last = request.value("after", std::int64_t{-1});
  for (const auto& row : *rows) {
    out.push_back(activity_json(row));
    last = row.number;
  }
  json answer{{"ok", true}, {"rows", std::move(out)}, {"after", last}};
  co_return answer;
}

// Everything known by one id: the activity log, the queue and the ledger.
net::Awaitable<json> QueueDesk::trace(json request) {
  const auto id = request.value("id", std::string());
  json answer{{"ok", true}, {"id", id}};
  queue::ActivityQuery query;
  (id.starts_with('<') ? query.message_id : query.id) = id;
  query.most = kMostRows;
  const auto rows = co_await durable_.activity->query(std::move(query));
  answer["log"] = json::array();
  std::vector<std::string> ids{id};
  if (rows) {
    for (const auto& row : *rows) {
      answer["log"].push_back(activity_json(row));
      if (std::find(ids.begin(), ids.end(), row.id) == ids.end()) ids.push_back(row.id);
    }
  }
  answer["queue"] = json::array();
  for (auto one : ids) {
    const auto job = co_await durable_.store->find(std::move(one));
    if (job) answer["queue"].push_back(job_json(*job));
  }
  answer["ledger"] = json::array();
  for (const auto& row : durable_.ledger->traced(ids)) answer["ledger"].push_back(ledger_json(row));
  if (answer["log"].empty() && answer["queue"].empty() && answer["ledger"].empty()) {
    answer["ok"] = false;
    answer["error"] = "nothing is known of it";
  }
  co_return answer;
}

json QueueDesk::ledger(const json& request) const {
  json rows = json::array();
  if (request.value("command", std::string()) == "ledger.show") {
    const auto found = durable_.ledger->find(request.value("fingerprint", std::string()), kMostRows);
    if (!found) return failure("a fingerprint is at least 4 hexadecimal digits");
    for (const auto& row : *found) rows.push_back(ledger_json(row));
    if (rows.empty()) return failure("no such fingerprint");
  } else {
    for (const auto& row : durable_.ledger->list(request.value("most", std::size_t{100}))) {
      rows.push_back(ledger_json(row));
    }
  }
  return {{"ok", true}, {"entries", std::move(rows)}};
}

net::Awaitable<json> QueueDesk::answer(json request) {
  const auto command = request.value("command", std::string());
  if (command == "queue.list") co_return co_await list(std::move(request));
  if (command == "queue.show") co_return co_await show(std::move(request));
  if (command.starts_with("queue.rule")) co_return co_await rules(std::move(request));
  if (command == "log") co_return co_await log(std::move(request));
  if (command == "trace") co_return co_await trace(std::move(request));
  if (command.starts_with("ledger.")) co_return ledger(request);
  for (const auto* known : {"queue.retry", "queue.hold", "queue.release", "queue.fail", "queue.delete"}) {
    if (command == known) co_return co_await touch(std::move(request));
  }
  co_return failure("unknown command");
}

// As qshape(1) shows it: destinations by age, the largest first.
net::Awaitable<json> QueueDesk::shape() {
  std::vector<core::Milliseconds> bounds;
  json out{{"ages_s", json::array()}, {"domains", json::array()}};
  for (const int minutes : kShapeMinutes) {
    bounds.emplace_back(std::chrono::minutes(minutes));
    out["ages_s"].push_back(minutes * 60);
  }
  const auto shapes = co_await durable_.store->shape(std::move(bounds), kShapeDomains);
  if (!shapes) co_return out;
  for (const auto& one : *shapes) out["domains"].push_back({{"domain", one.domain}, {"counts", one.by_age}});
  co_return out;
}

net::Awaitable<json> QueueDesk::summary() {
  json out{{"active", 0}, {"deferred", 0}, {"hold", 0}};
  const auto statistics = co_await durable_.store->statistics();
  if (statistics) {
    out = {{"active", statistics->active}, {"deferred", statistics->deferred},
           {"hold", statistics->held},     {"messages", statistics->messages},
           {"octets", statistics->octets}, {"oldest", time_text(statistics->oldest)}};
  }
  const auto health = durable_.store->health();
  out["sealed"] = health.sealed;
  if (!health.reason.empty()) out["problem"] = health.reason;
  out["disk_free"] = health.free_octets;
  const auto running = durable_.runner->status();
  out["in_flight"] = running.in_flight;
  out["dead"] = json::array();
  for (const auto& hop : running.hops) {
    if (hop.dead)
      out["dead"].push_back({{"next_hop", hop.name}, {"until", time_text(hop.dead_until)}, {"why", hop.why}});
  }
  out["shape"] = co_await shape();
  const auto ledger = durable_.ledger->stats();
  out["ledger"] = {{"entries", ledger.entries},
                   {"limit", ledger.limit},
                   {"delivered", ledger.delivered},
                   {"owned", ledger.owned},
                   {"lost", ledger.lost},
                   {"dropped", ledger.dropped_delivered + ledger.dropped_lost + ledger.dropped_owned},
                   {"in_memory_only", durable_.ledger->file_error().failed()}};
  co_return out;
}

}  // namespace app
