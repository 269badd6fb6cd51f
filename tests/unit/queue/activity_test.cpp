#include "queue/activity.hpp"

#include <fmt/format.h>

#include <thread>

#include "queue/activity_table.hpp"
#include "queue/sqlite.hpp"
#include "queue/store.hpp"
#include "support.hpp"

namespace queue {
namespace {

using namespace testing;

constexpr std::int64_t kNow = 1'700'000'000'000;  // SharedClock's
constexpr std::int64_t kHour = 3'600'000;

Activity row(int i, std::int64_t time = kNow) {
  Activity a;
  a.time = time;
  a.session = fmt::format("s{}", i / 4);
  a.id = fmt::format("s{}-{}", i / 4, i % 4 + 1);
  a.message_id = fmt::format("<{}@sender.example>", i / 2);
  a.client_ip = "192.0.2.1";
  a.helo = "mx.sender.example";
  a.mail_from = fmt::format("Sender{}@sender.example", i % 10);
  a.rcpt_to = fmt::format("user{}@example.org", i % 7);
  a.destination = "u@inbox.example";
  a.subject = "Hello";
  a.size = 1000 + static_cast<std::uint64_t>(i);
  a.status = i % 5 == 0 ? "rejected" : "forwarded";
  a.spf = "pass";
  a.dkim = "pass";
  a.dmarc = "pass";
  a.arc = "none";
  a.dnsbl = "";
  a.reply = "250 2.0.0 OK";
  a.upstream_host = "mx.inbox.example";
  a.upstream_address = "[::1]:25";
  a.upstream_tls = "TLSv1.3";
  a.upstream_reply = "250 ok";
  a.error = "";
  return a;
}

class ActivityTest : public ::testing::Test {
 protected:
  ActivityTest() : folder(TemporaryFolder::On::memory) { settings.path = folder.file("activity.db"); }
  ~ActivityTest() override { log.reset(); }
  void open() {
    log.reset();
    auto opened = ActivityLog::open(settings, clock);
    ASSERT_TRUE(opened) << opened.error().text;
    log = std::move(*opened);
  }
  void fill(int count) {
    for (int i = 0; i < count; ++i) {
      while (!log->record(row(i, kNow + i))) std::this_thread::yield();
    }
  }
  std::vector<Activity> find(ActivityQuery query) {
    auto found = wait_for(log->query(std::move(query)));
    EXPECT_TRUE(found);
    return found ? std::move(*found) : std::vector<Activity>();
  }
  std::vector<int> numbers(ActivityQuery query) {
    std::vector<int> numbers;
    for (const auto& a : find(std::move(query))) numbers.push_back(static_cast<int>(a.number));
    return numbers;
  }

  TemporaryFolder folder;
  SharedClock clock;
  ActivityLog::Settings settings;
  std::unique_ptr<ActivityLog> log;
};

TEST_F(ActivityTest, KeepsEveryField) {
  open();
  const auto put = row(3);
  EXPECT_TRUE(log->record(put));
  open();  // and over a restart
  const auto found = find({});
  ASSERT_EQ(found.size(), 1U);
  const auto& a = found[0];
  EXPECT_EQ(a.number, 1);
  EXPECT_EQ(a.time, put.time);
  EXPECT_EQ(a.id, put.id);
  EXPECT_EQ(a.session, put.session);
  EXPECT_EQ(a.message_id, put.message_id);
  EXPECT_EQ(a.client_ip, put.client_ip);
  EXPECT_EQ(a.helo, put.helo);
  EXPECT_EQ(a.mail_from, put.mail_from);
  EXPECT_EQ(a.rcpt_to, put.rcpt_to);
  EXPECT_EQ(a.destination, put.destination);
  EXPECT_EQ(a.subject, put.subject);
  EXPECT_EQ(a.size, put.size);
  EXPECT_EQ(a.status, put.status);
  EXPECT_EQ(a.spf + a.dkim + a.dmarc + a.arc + a.dnsbl, "passpasspassnone");
  EXPECT_EQ(a.reply, put.reply);
  EXPECT_EQ(a.upstream_host, put.upstream_host);
  EXPECT_EQ(a.upstream_address, put.upstream_address);
  EXPECT_EQ(a.upstream_tls, put.upstream_tls);
  EXPECT_EQ(a.upstream_reply, put.upstream_reply);
}

TEST_F(ActivityTest, FiltersNarrowAndTheNewestCome) {
  open();
  fill(40);
  using Numbers = std::vector<int>;
  EXPECT_EQ(numbers({.most = 3}), (Numbers{38, 39, 40}));
  EXPECT_EQ(numbers({.id = "s2-3"}), (Numbers{11}));
  EXPECT_EQ(numbers({.id = "s2"}), (Numbers{9, 10, 11, 12}));
  EXPECT_EQ(numbers({.message_id = "<7@sender.example>"}), (Numbers{15, 16}));
  EXPECT_EQ(numbers({.rcpt_to = "USER3@example.ORG"}), (Numbers{4, 11, 18, 25, 32, 39}));
  EXPECT_EQ(numbers({.rcpt_to = "user3@example.org", .most = 2}), (Numbers{32, 39}));
  EXPECT_EQ(numbers({.mail_from = "sender9@sender.example"}), (Numbers{10, 20, 30, 40}));
  EXPECT_EQ(numbers({.status = "rejected"}).size(), 8U);
  EXPECT_EQ(numbers({.rcpt_to = "user3@example.org", .mail_from = "sender3@sender.example"}), (Numbers{4}));
  EXPECT_EQ(numbers({.rcpt_to = "user3@example.org", .status = "rejected"}), (Numbers{11}));
  EXPECT_EQ(numbers({.since = kNow + 37}), (Numbers{38, 39, 40}));
  EXPECT_EQ(numbers({.since = kNow + 10, .until = kNow + 12}), (Numbers{11, 12}));
  EXPECT_EQ(numbers({.until = kNow + 2}), (Numbers{1, 2}));
  EXPECT_EQ(numbers({.id = "s2", .since = kNow + 10}), (Numbers{11, 12}));
  EXPECT_EQ(numbers({.rcpt_to = "nobody@example.org"}), (Numbers{}));
  EXPECT_EQ(numbers({.rcpt_to = "user3@example.org' OR '1'='1"}), (Numbers{}));
}

TEST_F(ActivityTest, CanBeFollowed) {
  open();
  fill(5);
  ActivityQuery query;
  query.after = 0;
  query.most = 2;
  std::vector<std::int64_t> seen;
  for (int turn = 0; turn < 10; ++turn) {
    for (const auto& a : find(query)) {
      seen.push_back(a.number);
      query.after = a.number;
    }
    if (turn == 3) log->record(row(99));
  }
  EXPECT_EQ(seen, (std::vector<std::int64_t>{1, 2, 3, 4, 5, 6}));
  query.after = 2;
  query.status = "rejected";
  query.most = 10;
  EXPECT_EQ(numbers(query), (std::vector<int>{}));
  query.after = 0;
  EXPECT_EQ(numbers(query), (std::vector<int>{1}));
}

TEST_F(ActivityTest, AQuestionSeesWhatWasRecordedBefore) {
  open();
  for (int i = 0; i < 50; ++i) {
    log->record(row(i));
    EXPECT_EQ(find({.most = 1}).at(0).number, i + 1);
  }
}

TEST_F(ActivityTest, AFullBufferDropsAndCounts) {  // RS-15
  settings.buffer = 10;
  open();
  std::uint64_t refused = 0;
  for (int i = 0; i < 20'000; ++i) refused += log->record(row(i)) ? 0 : 1;
  EXPECT_EQ(log->dropped(), refused);
  EXPECT_GT(refused, 0U);
  EXPECT_EQ(find({.most = 10'000}).size(), std::min<std::size_t>(20'000 - refused, 10'000));
  EXPECT_EQ(log->recorded() + log->dropped(), 20'000U);
}

TEST_F(ActivityTest, OldRowsGoInSmallSteps) {
  settings.keep = core::Milliseconds(kDay);
  open();
  for (int i = 0; i < 3000; ++i) {
    while (!log->record(row(i, i < 2000 ? kNow - kDay - 1 : kNow - kDay + kHour))) std::this_thread::yield();
  }
  open();  // looks at once
  run([&]() -> Awaitable<void> {
    std::size_t left = 3000;
    for (int i = 0; i < 1000 && left > 1000; ++i) {
      ActivityQuery query;
      query.most = 10'000;
      const auto found = co_await log->query(query);
      left = found->size();
    }
    EXPECT_EQ(left, 1000U);
  });
  // A number is never given again, or who follows would miss rows.
  log->set_keep(core::Milliseconds(0));
  clock.advance(48h);
  open();
  log->record(row(1, kNow + 3 * kDay));
  EXPECT_EQ(find({.most = 1}).at(0).number, 3001);
}

TEST_F(ActivityTest, ADamagedLogIsPutAside) {
  open();
  fill(10);
  log.reset();
  std::ofstream(settings.path, std::ios::binary) << std::string(8192, 'x');
  open();
  EXPECT_TRUE(find({}).empty());
  EXPECT_TRUE(std::filesystem::exists(settings.path + ".damaged"));
}

TEST_F(ActivityTest, RefusesWhatIsNotItsOwn) {
  {
    std::ofstream(settings.path).close();
  }
  {
    sqlite::Connection db(settings.path, sqlite::Access::read_write, "");
    db.run("CREATE TABLE t (a)");
  }
  auto opened = ActivityLog::open(settings, clock);
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().text.find("no activity log"), std::string::npos);
  std::filesystem::remove(settings.path);
  open();
  log.reset();
  {
    sqlite::Connection db(settings.path, sqlite::Access::read_write, "");
    db.run("PRAGMA user_version = 7");
  }
  opened = ActivityLog::open(settings, clock);
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().text.find("later version"), std::string::npos);
  settings.path = "/nonexistent/activity.db";
  EXPECT_FALSE(ActivityLog::open(settings, clock));
}

TEST_F(ActivityTest, ClosedItDropsAndRefuses) {
  open();
  fill(3);
  log->close();
  EXPECT_FALSE(log->record(row(1)));
  EXPECT_EQ(log->recorded(), 3U);
  EXPECT_EQ(wait_for(log->query(ActivityQuery{})).error(), StoreErrc::closed);
}

TEST_F(ActivityTest, ManyThreadsAtOnce) {
  open();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) log->record(row(t * 1000 + i));
    });
  }
  for (int i = 0; i < 20; ++i) find({.most = 10});
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(find({.most = 10'000}).size(), 2000U - log->dropped());
}

TEST_F(ActivityTest, dmarc_sightings_of_a_day_are_counted_by_kind_and_go_out_with_age) {
  open();
  DmarcSighting seen;
  seen.time = kNow;
  seen.policy_domain = "author.example";
  seen.author = "news.author.example";
  seen.client_ip = "192.0.2.1";
  seen.disposition = "reject";
  seen.dkim = seen.spf = "fail";
  seen.record = "v=DMARC1; p=reject";
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(log->record(seen));
  seen.time += kDay;
  ASSERT_TRUE(log->record(seen));
  seen.client_ip = "192.0.2.2";
  ASSERT_TRUE(log->record(seen));
  log->close();
  sqlite::Connection db(settings.path, sqlite::Access::read_write, "");
  EXPECT_EQ(db.integer("SELECT count(*) FROM dmarc"), 3);
  EXPECT_EQ(db.integer(fmt::format("SELECT count FROM dmarc WHERE day = {}", kNow / kDay)), 3);
  EXPECT_EQ(db.integer("SELECT sum(count) FROM dmarc WHERE policy_domain = 'AUTHOR.example'"), 5);
  ActivityWriter writer(db);
  EXPECT_FALSE(writer.prune(kNow + kDay, 0));
  EXPECT_EQ(db.integer("SELECT count(*) FROM dmarc"), 2);
}

TlsSighting sighting(std::int64_t day, const std::string& domain, const std::string& host = "") {
  return {day, domain, "{}", host.empty() ? "success" : "validation-failure", "", host, "", ""};
}

TEST_F(ActivityTest, tls_is_counted_by_day_and_kind_until_it_is_reported) {
  constexpr std::int64_t kToday = kNow / kDay;
  open();
  const auto counts = [&](TlsQuery query) { return *wait_for(log->query(std::move(query))); };
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(log->record(sighting(kToday, "b.example")));
  ASSERT_TRUE(log->record(sighting(kToday, "B.example", "mx")));
  ASSERT_TRUE(log->record(sighting(kToday, "a.example")));
  ASSERT_TRUE(log->record(sighting(kToday - 1, "b.example")));
  const auto all = counts({});
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[0].what.day, kToday - 1);
  EXPECT_EQ(all[1].what, sighting(kToday, "a.example"));
  EXPECT_EQ(all[2].count, 3U);
  EXPECT_EQ(all[3].what.receiving_host, "mx");
  EXPECT_EQ(counts({"B.EXAMPLE"}).size(), 3U);
  EXPECT_EQ(counts({"", kToday}).size(), 1U);
  log.reset();
  open();
  ASSERT_TRUE(log->record(sighting(kToday, "b.example")));
  EXPECT_EQ(counts({"b.example"}).at(1).count, 4U) << "it outlives a restart";
  ASSERT_TRUE(log->record(TlsReported{kToday, "b.example"}));
  EXPECT_EQ(counts({}).size(), 2U);
  ASSERT_TRUE(log->record(sighting(kToday, "b.example")));
  EXPECT_EQ(counts({"b.example"}).at(1).count, 1U);
  log->close();
  sqlite::Connection db(settings.path, sqlite::Access::read_write, "");
  ActivityWriter writer(db);
  EXPECT_FALSE(writer.prune(0, kToday));
  EXPECT_EQ(db.integer("SELECT min(day) FROM tls"), kToday);
}

TEST_F(ActivityTest, tls_outcomes_are_bounded) {
  open();
  log->close();
  sqlite::Connection db(settings.path, sqlite::Access::read_write, "");
  TlsWriter table(db);
  db.run("BEGIN IMMEDIATE");
  const auto rows = [&] { return db.integer("SELECT count(*) FROM tls").value_or(-1); };
  for (int i = 0; i < kMaxTlsRowsOfDomain + 5; ++i) table.add(sighting(1, "a.example", std::to_string(i)));
  table.flush();
  EXPECT_EQ(rows(), kMaxTlsRowsOfDomain + 1) << "one for those that came too late";
  EXPECT_EQ(db.integer("SELECT sum(count) FROM tls"), kMaxTlsRowsOfDomain + 5);
  EXPECT_EQ(db.integer("SELECT count FROM tls WHERE receiving_host = ''"), 5);
  for (int i = 0; i < kMaxTlsShortRows + 5; ++i) {
    auto other = sighting(1, "a.example", "mx");
    other.policy = std::to_string(i);
    table.add(other);
  }
  table.flush();
  EXPECT_EQ(rows(), kMaxTlsRowsOfDomain + kMaxTlsShortRows);
  table.add(sighting(1, "a.example", "0"));
  table.flush();
  EXPECT_EQ(db.integer("SELECT count FROM tls WHERE receiving_host = '0'"), 2) << "what is there is counted on";
  for (int domain = 0; rows() < kMaxTlsRows && domain < 100; ++domain) {
    for (int i = 0; i < kMaxTlsRowsOfDomain; ++i) table.add(sighting(2, std::to_string(domain), std::to_string(i)));
    table.flush();
  }
  table.add(sighting(3, "late.example"));
  table.flush();
  EXPECT_EQ(rows(), kMaxTlsRows);
  auto long_one = sighting(1, "a.example");
  table.forget({1, "A.example"});
  EXPECT_EQ(rows(), kMaxTlsRows - kMaxTlsRowsOfDomain - kMaxTlsShortRows);
  long_one.policy = std::string(kMaxTlsPolicy + 1, 'x');
  table.add(long_one);
  long_one.policy.pop_back();
  table.add(long_one);
  table.flush();
  EXPECT_EQ(rows(), kMaxTlsRows - kMaxTlsRowsOfDomain - kMaxTlsShortRows + 1);
}

}  // namespace
}  // namespace queue
