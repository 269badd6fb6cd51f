#include "queue/store.hpp"

#include <thread>

#include "support.hpp"

namespace queue {
namespace {

using namespace testing;

std::vector<std::string> ids(const std::vector<Job>& jobs) {
  std::vector<std::string> found;
  for (const auto& job : jobs) found.push_back(job.envelope.id);
  return found;
}

// --- put, read, bodies ---

TEST(Store, KeepsEverythingOfAMessage) {
  Place place;
  auto& store = place.open();
  NewMessage m;
  auto& e = m.envelope;
  const auto text = octets(5000);
  e.id = "k3v7q2mzxa-1";
  e.sender.mailbox = {"\"a b\"", "sender.example"};
  e.srs_sender.mailbox = {"SRS0=x=y=sender.example=ab", "forward.example"};
  e.envid = "QQ 314159";
  e.ret = mail::MailCommand::Ret::headers;
  e.eight_bit = e.needs_smtputf8 = e.has_8bit_body = true;
  e.requiretls = true;
  e.tls_optional = true;
  e.client_ip = "192.0.2.1";
  e.helo = "mx.sender.example";
  e.message_id = "<1@sender.example>";
  e.subject = "Grüße";
  e.size = text.size();
  e.header_size = 17;
  e.expires = store.now() + 1000;
  auto r = recipient("alice@inbox.example");
  r.address.mailbox = {"postmaster", ""};
  r.fallback = {{{"bob", "other.example"}, "other.example"}, {{"c", "[192.0.2.7]"}, "lmtp:[::1]:24"}};
  r.notify.given = r.notify.delay = true;
  r.orcpt_type = "rfc822";
  r.orcpt = "sales@example.org";
  r.fingerprint.fill(7);
  r.attempts = 2;
  r.unknowns = 1;
  r.state = State::owned_dot;
  r.failing_since = 12;
  r.delay_told = true;
  r.last_reply = mail::Reply(451, {4, 7, 1}, "come back");
  r.last_reply.lines.emplace_back("later");
  r.reply_from_peer = true;
  r.last_host = "mx.inbox.example";
  r.last_address = "[::1]:25";
  r.last_tls = "TLSv1.3 X";
  m.recipients = {r, recipient("dora@inbox.example")};
  const auto receipt = place.put(std::move(m), text);
  ASSERT_TRUE(receipt.ok());
  EXPECT_GT(receipt.key, 0);
  EXPECT_EQ(receipt.lease, 0U);

  place.reopen();
  const auto found = wait_for(place.store().find("k3v7q2mzxa-1"));
  ASSERT_TRUE(found);
  const auto& env = found->envelope;
  EXPECT_EQ(found->key, receipt.key);
  EXPECT_EQ(env.sender.mailbox.local, "\"a b\"");
  EXPECT_EQ(env.srs_sender.to_string(), "SRS0=x=y=sender.example=ab@forward.example");
  EXPECT_EQ(env.envid, "QQ 314159");
  EXPECT_EQ(env.ret, mail::MailCommand::Ret::headers);
  EXPECT_TRUE(env.eight_bit && env.needs_smtputf8 && env.has_8bit_body && env.requiretls && env.tls_optional);
  EXPECT_FALSE(env.smtputf8 || env.has_8bit_header);
  EXPECT_EQ(env.client_ip, "192.0.2.1");
  EXPECT_EQ(env.helo, "mx.sender.example");
  EXPECT_EQ(env.message_id, "<1@sender.example>");
  EXPECT_EQ(env.subject, "Grüße");
  EXPECT_EQ(env.size, text.size());
  EXPECT_EQ(env.header_size, 17U);
  ASSERT_EQ(found->recipients.size(), 2U);
  const auto& got = found->recipients[0];
  EXPECT_TRUE(got.address.is_bare_postmaster());
  EXPECT_EQ(got.rule, "example.org/sales");
  EXPECT_EQ(got.destination.to_string(), "alice@inbox.example");
  EXPECT_EQ(got.fallback, r.fallback);
  EXPECT_EQ(got.notify, r.notify);
  EXPECT_EQ(got.orcpt_type, "rfc822");
  EXPECT_EQ(got.orcpt, "sales@example.org");
  EXPECT_EQ(got.fingerprint, r.fingerprint);
  EXPECT_EQ(got.restamped, core::Digest{});
  EXPECT_EQ(got.state, State::owned_dot);
  EXPECT_EQ(got.attempts, 2U);
  EXPECT_EQ(got.unknowns, 1U);
  EXPECT_EQ(got.failing_since, 12);
  EXPECT_EQ(got.act_by, env.expires);
  EXPECT_TRUE(got.delay_told);
  EXPECT_EQ(got.last_reply, r.last_reply);
  EXPECT_TRUE(got.reply_from_peer);
  EXPECT_EQ(got.last_host, "mx.inbox.example");
  EXPECT_EQ(got.last_address, "[::1]:25");
  EXPECT_EQ(got.last_tls, "TLSv1.3 X");
  EXPECT_EQ(found->recipients[1].number, 1U);
  EXPECT_EQ(place.read(receipt.key).value(), text);
  EXPECT_EQ(wait_for(place.store().header(receipt.key, 1000)).value(), text.substr(0, 17));
  EXPECT_EQ(wait_for(place.store().header(receipt.key, 9)).value(), text.substr(0, 9));
}

TEST(Store, LargeBodiesLieInFilesAndGoWithTheirMessage) {
  Place place;
  place.open();
  MessageKey key = 0;
  for (const auto size : {std::size_t{0}, std::size_t{1}, kInlineBody, kInlineBody + 1, std::size_t{3'000'000}}) {
    const auto text = octets(size, 3);
    const auto receipt = place.put("m" + std::to_string(size), text);
    ASSERT_TRUE(receipt.ok()) << size;
    EXPECT_EQ(place.read(receipt.key).value(), text);
    key = receipt.key;
  }
  EXPECT_EQ(place.body_files().size(), 2U);
  EXPECT_EQ(wait_for(place.store().header(key, 100)).value(), "");
  const auto leased = place.lease();
  ASSERT_EQ(leased.work.size(), 5U);
  for (const auto& work : leased.work) EXPECT_TRUE(place.settle(work, Done{}).ok());
  EXPECT_EQ(place.statistics().messages, 0U);
  EXPECT_EQ(place.statistics().octets, 0U);
  EXPECT_TRUE(place.bodies_are_gone());
  EXPECT_EQ(place.read(key).error(), StoreErrc::not_found);
}

TEST(Store, RefusesWhatCannotBeStored) {
  Place place;
  auto& store = place.open();
  const auto text = octets(100);
  const auto bad = [&](std::function<void(NewMessage&)> spoil) {
    auto m = message(store, "id-1", text.size());
    spoil(m);
    const auto receipt = place.put(std::move(m), text);
    EXPECT_EQ(receipt.commit, Commit::not_committed);
    return receipt.error == StoreErrc::malformed;
  };
  EXPECT_TRUE(bad([](auto& m) { m.envelope.id = ""; }));
  EXPECT_TRUE(bad([](auto& m) { m.envelope.id = "a/b"; }));
  EXPECT_TRUE(bad([](auto& m) { m.envelope.id = std::string(kMaxId + 1, 'a'); }));
  EXPECT_TRUE(bad([](auto& m) { m.recipients.clear(); }));
  EXPECT_TRUE(bad([](auto& m) { m.recipients.assign(kMaxRecipients + 1, m.recipients[0]); }));
  EXPECT_TRUE(bad([](auto& m) { m.recipients[0].hop = ""; }));
  EXPECT_TRUE(bad([](auto& m) { m.recipients[0].hop = "a\nb"; }));
  EXPECT_TRUE(bad([](auto& m) { m.recipients[0].hop = std::string(kMaxHop + 1, 'h'); }));
  EXPECT_TRUE(bad([](auto& m) { m.recipients[0].destination = {}; }));
  EXPECT_TRUE(bad([](auto& m) { m.recipients[0].fallback.resize(kMaxFallback + 1, {{"a", "b"}, "c"}); }));
  EXPECT_TRUE(bad([](auto& m) { m.recipients[0].state = State::provisional; }));
  EXPECT_TRUE(bad([](auto& m) { m.recipients[0].lease = 1; }));  // leased for no time at all
  EXPECT_TRUE(bad([](auto& m) { m.envelope.header_size = m.envelope.size + 1; }));
  EXPECT_TRUE(bad([](auto& m) { m.envelope.expires = 1; }));
  EXPECT_TRUE(bad([](auto& m) { m.envelope.size += 1; }));  // the source ends too early
  EXPECT_TRUE(bad([](auto& m) { m.envelope.size -= 1; }));  // or too late
  EXPECT_TRUE(bad([](auto& m) { m.envelope.size = kInlineBody + 9; }));
  EXPECT_EQ(place.statistics().messages, 0U);
  EXPECT_TRUE(place.bodies_are_gone());

  EXPECT_TRUE(place.put(std::string(kMaxId, 'a'), text).ok());
  EXPECT_EQ(place.put(std::string(kMaxId, 'a'), text).error, StoreErrc::exists);
  EXPECT_EQ(place.put(std::string(kMaxId, 'a'), octets(100'000)).error, StoreErrc::exists);
  EXPECT_TRUE(place.bodies_are_gone());
}

TEST(Store, AMessageMayHaveAsManyRecipientsAsTheLimitSays) {
  Place place;
  auto m = message(place.open(), "many", 10);
  m.recipients.assign(kMaxRecipients, m.recipients[0]);
  ASSERT_TRUE(place.put(std::move(m), octets(10)).ok());
  EXPECT_EQ(wait_for(place.store().find("many"))->recipients.back().number, kMaxRecipients - 1);
  // A piece of work has so many recipients at most.
  auto leased = place.lease({.most = 1, .lease_for = 30min});
  ASSERT_EQ(leased.work.size(), 1U);
  EXPECT_EQ(leased.work[0].job.recipients.size(), kMaxWorkRecipients);
}

// Fails where it is told to.
class FailingSource final : public OctetSource {
 public:
  Awaitable<core::Result<std::string_view>> next() override {
    if (left_-- > 0) co_return std::string_view("0123456789");
    co_return core::Errc::reset;
  }

 private:
  int left_ = 3;
};

TEST(Store, ASourceThatFailsLeavesNothing) {
  Place place;
  for (const std::uint64_t size : {1000U, 1'000'000U}) {
    FailingSource source;
    const auto receipt = wait_for(place.open().put(message(place.store(), "a", size), source));
    EXPECT_EQ(receipt.commit, Commit::not_committed);
    EXPECT_EQ(receipt.error, core::Errc::reset);
    place.reopen();
    EXPECT_TRUE(place.bodies_are_gone());
    EXPECT_EQ(place.statistics().messages, 0U);
    place.close();
  }
}

TEST(Store, AnswersOnTheExecutorOfWhoAsks) {
  Place place;
  auto& store = place.open();
  run([&]() -> Awaitable<void> {
    const auto thread = std::this_thread::get_id();
    SlicedSource source(octets(100'000), 1000);
    auto m = message(store, "a", 100'000);
    const auto receipt = co_await store.put(std::move(m), source);
    EXPECT_TRUE(receipt.ok());
    EXPECT_EQ(std::this_thread::get_id(), thread);
    const auto statistics = co_await store.statistics();
    EXPECT_EQ(statistics->messages, 1U);
    EXPECT_EQ(std::this_thread::get_id(), thread);
    const auto body = co_await store.open_body(receipt.key);
    EXPECT_TRUE(body);
    EXPECT_EQ(std::this_thread::get_id(), thread);
  });
}

TEST(Store, ClosedMeansClosed) {
  Place place;
  auto& store = place.open();
  store.close();
  EXPECT_EQ(place.put("a", octets(10)).error, StoreErrc::closed);
  EXPECT_EQ(place.put("a", octets(100'000)).error, StoreErrc::closed);
  EXPECT_EQ(wait_for(store.lease_due({.lease_for = 1s})).error(), StoreErrc::closed);
  EXPECT_EQ(wait_for(store.statistics()).error(), StoreErrc::closed);
  EXPECT_EQ(store.room(1), Room::sealed);
}

// --- the states of promise.md C.2 ---

TEST(Store, ProvisionalRecipientsAreNobodyElsesAndForgottenAtTheNextStart) {
  Place place;
  Alerts alerts;
  place.settings.on_alert = alerts.sink();
  auto m = message(place.open(), "a", 10);
  m.recipients[0].state = State::provisional;
  m.recipients[0].lease = 1;
  m.lease_for = 15min;
  const auto receipt = place.put(m, octets(10));
  ASSERT_TRUE(receipt.ok());
  EXPECT_NE(receipt.lease, 0U);
  EXPECT_TRUE(place.lease().work.empty());
  EXPECT_EQ(wait_for(place.store().remove({}, {})).recipients, 0U);
  EXPECT_EQ(wait_for(place.store().release(receipt.key, receipt.lease)).commit, Commit::committed);
  EXPECT_TRUE(place.lease().work.empty()) << "provisional mail must not be sent by the runner";
  EXPECT_EQ(place.statistics().provisional, 1U);
  place.reopen();
  EXPECT_EQ(place.statistics().messages, 0U);
  EXPECT_EQ(alerts.count(StoreAlert::Kind::leftovers), 1U);
}

TEST(Store, ProvisionalMailIsForgottenWhenItsLeaseEnds) {
  Place place;
  auto m = message(place.open(), "a", 10);
  m.recipients[0].state = State::provisional;
  m.recipients[0].lease = 1;
  m.lease_for = 15min;
  const auto receipt = place.put(m, octets(10));
  place.clock.advance(15min);
  place.lease();  // some transaction
  EXPECT_EQ(place.statistics().messages, 0U);
  Update update;
  update.recipient = m.recipients[0];
  update.recipient.state = State::owned;
  EXPECT_EQ(place.commit({{{receipt.key, 0, receipt.lease, update}}, {}}).error, StoreErrc::not_found);
}

TEST(Store, OneCommitSettlesProvisionalRecipientsTogether) {  // promise.md C.4
  Place place;
  auto m = message(place.open(), "a", 10);
  m.recipients[0].state = State::provisional;
  m.recipients[0].lease = 1;
  m.recipients.assign(4, m.recipients[0]);
  m.lease_for = 15min;
  const auto put = place.put(m, octets(10));
  ASSERT_TRUE(put.ok());
  Update later, late;
  later.recipient = late.recipient = m.recipients[0];
  later.recipient.state = State::owned;
  later.recipient.attempts = 1;
  later.recipient.next_attempt = place.store().now() + 60'000;
  later.recipient.act_by = m.envelope.expires;
  late.recipient.state = State::owned_dot;
  late.recipient.act_by = m.envelope.expires;
  late.lease = Update::Lease::keep;
  Composed dsn{message(place.store(), "a-dsn", 0, "bob@sender.example"), "To: bob\r\n\r\nno\r\n"};
  dsn.message.envelope.sender = {};
  ASSERT_TRUE(place
                  .commit({{{put.key, 0, put.lease, Done{}},
                            {put.key, 1, put.lease, later},
                            {put.key, 2, put.lease, late},
                            {put.key, 3, put.lease, Failed{}}},
                           {dsn}})
                  .ok());
  const auto job = wait_for(place.store().find("a"));
  ASSERT_TRUE(job);
  ASSERT_EQ(job->recipients.size(), 2U);
  EXPECT_EQ(job->recipients[0].number, 1U);
  EXPECT_EQ(job->recipients[0].state, State::owned);
  EXPECT_EQ(job->recipients[0].lease, 0U);
  EXPECT_EQ(job->recipients[1].state, State::owned_dot);
  EXPECT_EQ(job->recipients[1].lease, put.lease);
  EXPECT_GT(job->recipients[1].lease_until, place.store().now());
  const auto report = wait_for(place.store().find("a-dsn"));
  ASSERT_TRUE(report);
  EXPECT_EQ(place.read(report->key).value(), dsn.octets);
  // The living attempt's lease still protects its recipient; a restart makes it due.
  ASSERT_EQ(place.lease().work.size(), 1U);  // the DSN
  place.reopen();
  EXPECT_EQ(place.lease().work.size(), 2U);
}

TEST(Store, DropsProvisionalRecipientsOfTheLeaseOnly) {
  Place place;
  auto m = message(place.open(), "a", 10);
  m.recipients[0].state = State::provisional;
  m.recipients[0].lease = 1;
  m.lease_for = 15min;
  const auto put = place.put(m, octets(10));
  EXPECT_TRUE(wait_for(place.store().drop_provisional(put.key, put.lease + 1)).ok());
  EXPECT_EQ(place.statistics().messages, 1U);
  EXPECT_TRUE(wait_for(place.store().drop_provisional(put.key, put.lease)).ok());
  EXPECT_EQ(place.statistics().messages, 0U);
  EXPECT_TRUE(wait_for(place.store().drop_provisional(put.key, put.lease)).ok());
}

TEST(Store, ARowLeavesOnlyWithItsReport) {  // promise.md I2, DU-12
  Place place;
  place.open();
  ASSERT_TRUE(place.put("a", octets(10)).ok());
  const auto work = place.lease().work.at(0);
  EXPECT_EQ(place.settle(work, Failed{}).error, StoreErrc::malformed);
  Composed dsn{message(place.store(), "a", 0), "x"};  // an id that exists: the whole commit is refused
  Changes changes{{{work.job.key, 0, work.lease, Failed{}}}, {dsn}};
  EXPECT_EQ(place.commit(changes).error, StoreErrc::exists);
  EXPECT_TRUE(wait_for(place.store().find("a")));
  changes.reports[0].message.envelope.id = "b";
  changes.reports[0].octets = std::string(kMaxReport + 1, 'x');
  EXPECT_EQ(place.commit(changes).error, StoreErrc::malformed);
  changes.reports[0].octets.pop_back();
  EXPECT_TRUE(place.commit(changes).ok());
  EXPECT_FALSE(wait_for(place.store().find("a")));
  EXPECT_EQ(place.read(wait_for(place.store().find("b"))->key)->size(), kMaxReport);
}

TEST(Store, ACommitIsAllOrNothing) {
  Place place;
  place.open();
  ASSERT_TRUE(place.put("a", octets(10)).ok());
  ASSERT_TRUE(place.put("b", octets(10)).ok());
  const auto work = place.lease().work;
  ASSERT_EQ(work.size(), 2U);
  const Failed deleted{Failed::Told::operator_};
  const Change good{work[0].job.key, 0, work[0].lease, deleted};
  EXPECT_EQ(place.commit({{good, {work[1].job.key, 0, work[1].lease + 9, deleted}}, {}}).error, StoreErrc::lease_lost);
  EXPECT_EQ(place.commit({{good, {work[1].job.key, 7, work[1].lease, deleted}}, {}}).error, StoreErrc::not_found);
  EXPECT_EQ(place.commit({{good, good}, {}}).error, StoreErrc::malformed);
  EXPECT_EQ(place.statistics().messages, 2U);
  EXPECT_TRUE(place.commit({{good}, {}}).ok());
  EXPECT_EQ(ids(place.list()), std::vector<std::string>{"b"});
}

// --- leases ---

TEST(Store, LeasesAreExclusiveNumberedAndEnd) {
  Place place;
  place.open();
  ASSERT_TRUE(place.put("a", octets(10)).ok());
  const auto first = place.lease({.lease_for = 10min}).work.at(0);
  EXPECT_TRUE(place.lease().work.empty());
  EXPECT_EQ(first.until, place.store().now() + 600'000);
  place.clock.advance(9min);
  EXPECT_EQ(wait_for(place.store().check(first.job.key, first.lease)).value(), first.until);
  const auto extended = wait_for(place.store().extend(first.job.key, first.lease, 5min));
  EXPECT_EQ(extended.value(), place.store().now() + 300'000);
  place.clock.advance(5min);
  EXPECT_EQ(wait_for(place.store().check(first.job.key, first.lease)).error(), StoreErrc::lease_lost);
  const auto second = place.lease({.lease_for = 10min}).work.at(0);
  EXPECT_GT(second.lease, first.lease);
  // The first one is fenced off: it may neither send its dot nor decide, but what it has delivered is delivered.
  EXPECT_EQ(wait_for(place.store().check(first.job.key, first.lease)).error(), StoreErrc::lease_lost);
  EXPECT_EQ(wait_for(place.store().extend(first.job.key, first.lease, 5min)).error(), StoreErrc::lease_lost);
  EXPECT_EQ(place.settle(first, Failed{Failed::Told::nobody}).error, StoreErrc::lease_lost);
  EXPECT_EQ(place.settle(first, Update{first.job.recipients[0]}).error, StoreErrc::lease_lost);
  EXPECT_TRUE(place.settle(first, Done{}).ok());
  EXPECT_EQ(place.settle(second, Done{}).error, StoreErrc::not_found);
}

TEST(Store, ALeaseNumberIsNeverGivenTwice) {
  Place place;
  place.open();
  ASSERT_TRUE(place.put("a", octets(10)).ok());
  const auto before = place.lease().work.at(0).lease;
  place.reopen();
  const auto after = place.lease().work.at(0).lease;
  EXPECT_GT(after, before);
  EXPECT_EQ(wait_for(place.store().check(1, before)).error(), StoreErrc::lease_lost);
  EXPECT_EQ(wait_for(place.store().check(1, 0)).error(), StoreErrc::lease_lost);
}

TEST(Store, ReleasedWorkIsDueAgain) {
  Place place;
  place.open();
  ASSERT_TRUE(place.put("a", octets(10)).ok());
  const auto work = place.lease().work.at(0);
  EXPECT_TRUE(wait_for(place.store().release(work.job.key, work.lease)).ok());
  EXPECT_EQ(place.lease().work.size(), 1U);
}

TEST(Store, ARoundTakesTurnsBetweenHopsFreshMailFirst) {
  Place place;
  auto& store = place.open();
  for (int i = 0; i < 4; ++i) {
    const auto n = std::to_string(i);
    ASSERT_TRUE(place.put("big-" + n, octets(10), "u@big.example").ok());
    auto retry = message(store, "retry-" + n, 10, "u@retry.example");
    retry.recipients[0].attempts = 1;
    ASSERT_TRUE(place.put(std::move(retry), octets(10)).ok());
  }
  ASSERT_TRUE(place.put("small-0", octets(10), "u@small.example").ok());
  auto leased = place.lease({.most = 4, .lease_for = 30min, .per_hop = 2});
  std::vector<std::string> got;
  for (const auto& work : leased.work) got.push_back(work.job.envelope.id);
  EXPECT_EQ(got, (std::vector<std::string>{"big-0", "big-1", "small-0", "retry-0"}));
  ASSERT_TRUE(leased.after);
  // Exclusion and allowance.
  LeaseRequest request{.most = 10, .lease_for = 30min, .per_hop = 9};
  request.allowance = {{"big.example", 0}, {"retry.example", 2}};
  leased = place.lease(request);
  got.clear();
  for (const auto& work : leased.work) got.push_back(work.job.envelope.id);
  EXPECT_EQ(got, (std::vector<std::string>{"retry-1", "retry-2"}));
  EXPECT_FALSE(leased.after);
  // One hop alone, its retries too.
  leased = place.lease({.most = 9, .lease_for = 30min, .per_hop = 9, .hop = "retry.example"});
  EXPECT_EQ(leased.work.size(), 1U);
  EXPECT_EQ(leased.work.at(0).job.envelope.id, "retry-3");
  EXPECT_FALSE(leased.after);
}

TEST(Store, ARoundGoesOnWhereItStoppedAndSeesEveryHop) {
  Place place;
  place.open();
  for (int i = 0; i < 600; ++i) {
    ASSERT_TRUE(place.put("m" + std::to_string(i), octets(10), "u@d" + std::to_string(i) + ".example").ok());
  }
  LeaseRequest request{.most = 7, .lease_for = 30min};
  std::size_t all = 0;
  for (int round = 0; round < 200; ++round) {
    const auto leased = place.lease(request);
    all += leased.work.size();
    request.after = leased.after;
    if (!leased.after) break;
  }
  EXPECT_EQ(all, 600U);
  EXPECT_FALSE(request.after);
}

TEST(Store, OnePieceOfWorkIsOneMessageAndOneHop) {
  Place place;
  auto m = message(place.open(), "a", 10, "u@one.example");
  m.recipients.push_back(recipient("v@one.example"));
  m.recipients.push_back(recipient("w@two.example"));
  m.recipients.push_back(recipient("x@one.example"));
  m.recipients[3].next_attempt = place.store().now() + 60'000;  // not yet
  ASSERT_TRUE(place.put(std::move(m), octets(10)).ok());
  const auto leased = place.lease();
  ASSERT_EQ(leased.work.size(), 2U);
  EXPECT_EQ(leased.work[0].hop, "one.example");
  EXPECT_EQ(leased.work[0].job.recipients.size(), 2U);
  EXPECT_EQ(leased.work[1].hop, "two.example");
  EXPECT_NE(leased.work[0].lease, leased.work[1].lease);
  EXPECT_EQ(leased.next_due, place.store().now() + 60'000);
  place.clock.advance(1min);
  const auto later = place.lease();
  ASSERT_EQ(later.work.size(), 1U);
  EXPECT_EQ(later.work[0].job.recipients[0].number, 3U);
  EXPECT_EQ(later.next_due, 0);
}

TEST(Store, OverdueRecipientsCanBeLeasedWhateverTheirHopDoes) {
  Place place;
  auto& store = place.open();
  const auto put = [&](const std::string& id, unsigned attempts, core::Milliseconds act_in) {
    auto m = message(store, id, 10, "u@dead.example");
    m.recipients[0].attempts = attempts;
    m.recipients[0].act_by = store.now() + act_in.count();
    ASSERT_TRUE(place.put(std::move(m), octets(10)).ok());
  };
  put("fresh", 0, 5h);
  put("waits", 1, 5h);
  put("overdue", 1, 1h);
  place.clock.advance(1h);
  OverdueRequest request{.hops = {"dead.example", "other.example"}, .most = 10, .lease_for = 30min};
  const auto work = wait_for(store.lease_overdue(request));
  ASSERT_TRUE(work);
  ASSERT_EQ(work->size(), 2U);
  EXPECT_EQ((*work)[0].job.envelope.id, "fresh");
  EXPECT_EQ((*work)[1].job.envelope.id, "overdue");
}

TEST(Store, AClockThatIsSetMakesNothingDueAndNothingExpire) {  // DU-11
  for (const core::Milliseconds jump : {core::Milliseconds(1h), core::Milliseconds(-1h), core::Milliseconds(24h * 3652),
                                        -core::Milliseconds(24h * 3652)}) {
    Place place;
    auto m = message(place.open(), "a", 10);
    m.recipients[0].next_attempt = place.store().now() + 600'000;
    m.recipients[0].attempts = 1;
    ASSERT_TRUE(place.put(std::move(m), octets(10)).ok());
    place.clock.jump(jump);
    EXPECT_TRUE(place.lease().work.empty());
    place.clock.advance(5min);
    place.reopen();  // with the clock still wrong
    EXPECT_TRUE(place.lease().work.empty());
    place.clock.advance(3min);
    EXPECT_TRUE(place.lease().work.empty());
    place.clock.advance(5min);
    EXPECT_EQ(place.lease().work.size(), 1U);
    EXPECT_LT(place.store().now(), place.list()[0].envelope.expires);
  }
}

// --- operators ---

TEST(Store, FiltersNarrow) {
  Place place;
  auto& store = place.open();
  const auto put = [&](const std::string& id, const std::string& to, const std::string& sender, unsigned attempts) {
    auto m = message(store, id, 10, to);
    m.envelope.sender.mailbox = sender.empty() ? mail::Mailbox() : mail::Mailbox{sender, "Sender.example"};
    m.recipients[0].attempts = attempts;
    m.recipients.push_back(recipient("z@third.example"));
    ASSERT_TRUE(place.put(std::move(m), octets(10)).ok());
  };
  put("a", "u@one.example", "bob", 0);
  put("b", "u@TWO.example", "carol", 1);
  put("c", "u@two.example", "", 0);
  place.clock.advance(1h);
  put("d", "u@one.example", "bob", 0);
  const auto found = [&](Filter filter) { return ids(place.list(std::move(filter))); };
  using Ids = std::vector<std::string>;
  EXPECT_EQ(found({}), (Ids{"a", "b", "c", "d"}));
  EXPECT_EQ(found({.id = "b"}), (Ids{"b"}));
  EXPECT_EQ(found({.id = "x"}), (Ids{}));
  EXPECT_EQ(found({.to_domain = "Two.Example"}), (Ids{"b", "c"}));
  EXPECT_EQ(found({.to_domain = "third.example"}).size(), 4U);
  EXPECT_EQ(found({.sender = "bob@sender.example"}), (Ids{"a", "d"}));
  EXPECT_EQ(found({.sender = "@sender.example"}), (Ids{"a", "b", "d"}));
  EXPECT_EQ(found({.sender = "sender.example"}), (Ids{"a", "b", "d"}));
  EXPECT_EQ(found({.sender = "<>"}), (Ids{"c"}));
  EXPECT_EQ(found({.sender = "ob@sender.example"}), (Ids{}));
  EXPECT_EQ(found({.recipient = "sales@EXAMPLE.org"}).size(), 4U);
  EXPECT_EQ(found({.recipient = "@example.com"}), (Ids{}));
  EXPECT_EQ(found({.hop = "two.example"}), (Ids{"c"}));
  EXPECT_EQ(found({.queue = "deferred"}), (Ids{"b"}));
  EXPECT_EQ(found({.sender = "bob@sender.example", .older_than = 30min}), (Ids{"a"}));
  EXPECT_EQ(place.list({.to_domain = "two.example"})[0].recipients.size(), 1U);
  // In steps.
  Page page{0, 1};
  std::size_t steps = 0, jobs = 0;
  do {
    const auto listed = wait_for(store.list({.sender = "bob@sender.example"}, page));
    jobs += listed->jobs.size();
    page.after = listed->after;
    ++steps;
  } while (page.after != 0);
  EXPECT_EQ(jobs, 2U);
  EXPECT_EQ(steps, 5U);
}

TEST(Store, HeldMailWaitsUntilItIsReleased) {
  Place place;
  auto& store = place.open();
  ASSERT_TRUE(place.put("a", octets(10)).ok());
  ASSERT_TRUE(place.put("b", octets(10), "u@other.example").ok());
  const auto touched = wait_for(store.hold({.to_domain = "inbox.example"}, "abuse", {0, 100}));
  EXPECT_TRUE(touched.receipt.ok());
  EXPECT_EQ(touched.recipients, 1U);
  EXPECT_EQ(wait_for(store.hold({.to_domain = "inbox.example"}, "abuse", {0, 100})).recipients, 0U);
  place.reopen();
  EXPECT_EQ(place.lease().work.at(0).job.envelope.id, "b");
  const auto held = place.list({.queue = "hold"});
  ASSERT_EQ(held.size(), 1U);
  EXPECT_EQ(held[0].recipients[0].hold, Hold::by_operator);
  EXPECT_EQ(held[0].recipients[0].hold_reason, "abuse");
  EXPECT_EQ(place.statistics().held, 1U);
  EXPECT_EQ(wait_for(place.store().release_held({.id = "a"}, {0, 100})).recipients, 1U);
  EXPECT_EQ(place.lease().work.at(0).job.envelope.id, "a");
}

TEST(Store, WhatIsBeingTriedIsHeldAfterwards) {
  Place place;
  place.open();
  ASSERT_TRUE(place.put("a", octets(10)).ok());
  const auto work = place.lease().work.at(0);
  EXPECT_EQ(wait_for(place.store().hold({.id = "a"}, "stop", {0, 100})).recipients, 1U);
  EXPECT_TRUE(wait_for(place.store().check(work.job.key, work.lease)));
  Update again{work.job.recipients[0]};
  again.recipient.attempts = 1;
  again.recipient.hold = Hold::none;  // an update says nothing of holds
  EXPECT_TRUE(place.settle(work, again).ok());
  EXPECT_EQ(place.list()[0].recipients[0].hold, Hold::by_operator);
  EXPECT_TRUE(place.lease().work.empty());
}

TEST(Store, HoldRulesCatchNewMailUntilTheyEnd) {
  Place place;
  auto& store = place.open();
  HoldRule rule;
  EXPECT_EQ(wait_for(store.add_hold_rule(rule)).error(), StoreErrc::malformed);
  rule.to_domain = "*.example";
  rule.sender = "bob@*";
  rule.reason = "ticket 7";
  rule.expires = store.now() + core::Milliseconds(2h).count();
  const auto number = wait_for(store.add_hold_rule(rule));
  ASSERT_TRUE(number);
  ASSERT_TRUE(place.put("a", octets(10)).ok());
  auto other = message(store, "b", 10);
  other.envelope.sender = {};
  ASSERT_TRUE(place.put(std::move(other), octets(10)).ok());
  EXPECT_EQ(place.lease().work.at(0).job.envelope.id, "b");
  auto& again = place.reopen();  // rules last
  ASSERT_EQ(wait_for(again.hold_rules())->size(), 1U);
  ASSERT_TRUE(place.put("c", octets(10)).ok());
  const auto held = place.list({.queue = "hold"});
  EXPECT_EQ(ids(held), (std::vector<std::string>{"a", "c"}));
  EXPECT_EQ(held[0].recipients[0].hold, Hold::by_rule);
  EXPECT_EQ(held[0].recipients[0].hold_reason, "ticket 7");
  // An operator takes one of them over: it stays when the rule goes.
  EXPECT_EQ(wait_for(again.hold({.id = "c"}, "mine", {0, 10})).recipients, 1U);
  place.clock.advance(2h);
  const auto work = place.lease().work;
  std::vector<std::string> got;
  for (const auto& piece : work) got.push_back(piece.job.envelope.id);
  std::sort(got.begin(), got.end());
  EXPECT_EQ(got, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(wait_for(again.hold_rules())->empty());
  EXPECT_EQ(wait_for(again.remove_hold_rule(*number)).error, StoreErrc::not_found);
  ASSERT_TRUE(place.put("e", octets(10)).ok());
  EXPECT_EQ(place.lease().work.at(0).job.envelope.id, "e");
}

TEST(Store, RemovingAHoldRuleReleasesWhatItHolds) {
  Place place;
  auto& store = place.open();
  HoldRule rule;
  rule.recipient = "sales@example.org";
  const auto number = wait_for(store.add_hold_rule(rule));
  ASSERT_TRUE(place.put("a", octets(10)).ok());
  EXPECT_TRUE(place.lease().work.empty());
  EXPECT_TRUE(wait_for(store.remove_hold_rule(*number)).ok());
  EXPECT_EQ(place.lease().work.size(), 1U);
}

TEST(Store, ARuleHoldsWhatFallsBackToItsDomain) {
  Place place;
  auto& store = place.open();
  HoldRule rule;
  rule.to_domain = "second.example";
  ASSERT_TRUE(wait_for(store.add_hold_rule(rule)));
  ASSERT_TRUE(place.put("a", octets(10)).ok());
  const auto work = place.lease().work.at(0);
  Update update{work.job.recipients[0]};
  update.recipient.destination = {"u", "second.example"};
  update.recipient.hop = "second.example";
  ASSERT_TRUE(place.settle(work, update).ok());
  EXPECT_EQ(place.list()[0].recipients[0].hold, Hold::by_rule);
}

TEST(Store, HoldRulesAreBounded) {
  Place place;
  auto& store = place.open();
  HoldRule rule;
  rule.to_domain = "x.example";
  for (std::size_t i = 0; i < kMaxHoldRules; ++i) ASSERT_TRUE(wait_for(store.add_hold_rule(rule)));
  EXPECT_EQ(wait_for(store.add_hold_rule(rule)).error(), StoreErrc::busy);
}

TEST(Store, RetryNowMakesDue) {
  Place place;
  auto& store = place.open();
  auto m = message(store, "a", 10);
  m.recipients[0].attempts = 3;
  m.recipients[0].next_attempt = store.now() + 3'600'000;
  ASSERT_TRUE(place.put(std::move(m), octets(10)).ok());
  EXPECT_TRUE(place.lease().work.empty());
  EXPECT_EQ(wait_for(store.retry_now({.id = "a"}, {0, 10})).recipients, 1U);
  const auto work = place.lease().work;
  ASSERT_EQ(work.size(), 1U);
  EXPECT_EQ(work[0].job.recipients[0].attempts, 3U);
  EXPECT_EQ(wait_for(store.retry_now({.id = "a"}, {0, 10})).recipients, 0U) << "it is being tried";
}

TEST(Store, RemovedMailIsGoneAndItsAttemptStopsBeforeTheDot) {
  Place place;
  auto& store = place.open();
  ASSERT_TRUE(place.put("a", octets(100'000)).ok());
  ASSERT_TRUE(place.put("b", octets(10)).ok());
  const auto work = place.lease().work.at(0);
  EXPECT_EQ(wait_for(store.remove({.id = "a"}, {0, 10})).recipients, 1U);
  EXPECT_EQ(wait_for(store.check(work.job.key, work.lease)).error(), StoreErrc::lease_lost);
  EXPECT_EQ(ids(place.list()), std::vector<std::string>{"b"});
  place.reopen();
  EXPECT_TRUE(place.bodies_are_gone());
}

TEST(Store, LeasesByHandWhatIsNotBeingTried) {
  Place place;
  auto& store = place.open();
  ASSERT_TRUE(place.put("a", octets(10)).ok());
  const auto tried = place.lease().work.at(0);
  auto m = message(store, "b", 10);
  m.recipients[0].next_attempt = store.now() + 3'600'000;
  m.recipients.push_back(recipient("v@other.example"));
  ASSERT_TRUE(place.put(std::move(m), octets(10)).ok());
  EXPECT_EQ(wait_for(store.hold({.id = "b"}, "x", {0, 10})).recipients, 2U);
  const auto matched = wait_for(store.lease_matching({}, {0, 100}, 10min));
  ASSERT_TRUE(matched);
  ASSERT_EQ(matched->work.size(), 2U);
  EXPECT_EQ(matched->work[0].job.envelope.id, "b");
  EXPECT_NE(matched->work[0].lease, matched->work[1].lease);
  EXPECT_TRUE(place.settle(matched->work[0], Failed{Failed::Told::nobody}).ok());
  EXPECT_TRUE(place.settle(matched->work[1], Failed{Failed::Told::nobody}).ok());
  EXPECT_TRUE(place.settle(tried, Done{}).ok());
  EXPECT_TRUE(place.list().empty());
}

TEST(Store, CountsByDestinationAndAge) {
  Place place;
  auto& store = place.open();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(place.put("a" + std::to_string(i), octets(10), "u@A.example").ok());
  place.clock.advance(10min);
  ASSERT_TRUE(place.put("b", octets(10), "u@b.example").ok());
  place.clock.advance(1min);
  ASSERT_TRUE(place.put("c", octets(10), "u@a.example").ok());
  const auto shape = wait_for(store.shape({1min, 5min}, 10));
  ASSERT_TRUE(shape);
  ASSERT_EQ(shape->size(), 2U);
  EXPECT_EQ((*shape)[0].domain, "a.example");
  EXPECT_EQ((*shape)[0].by_age, (std::vector<std::uint64_t>{1, 0, 3}));
  EXPECT_EQ((*shape)[1].by_age, (std::vector<std::uint64_t>{0, 1, 0}));
  EXPECT_EQ(wait_for(store.shape({1min}, 1))->size(), 1U);
}

TEST(Store, StatisticsAddUp) {
  Place place;
  auto& store = place.open();
  const auto begin = store.now();
  ASSERT_TRUE(place.put("fresh", octets(10)).ok());
  auto deferred = message(store, "deferred", 20);
  deferred.recipients[0].attempts = 1;
  deferred.recipients[0].next_attempt = store.now() + 1000;
  ASSERT_TRUE(place.put(std::move(deferred), octets(20)).ok());
  ASSERT_TRUE(place.put("held", octets(30)).ok());
  EXPECT_EQ(wait_for(store.hold({.id = "held"}, "x", {0, 1})).recipients, 1U);
  place.reopen();
  const auto statistics = place.statistics();
  EXPECT_EQ(statistics.messages, 3U);
  EXPECT_EQ(statistics.recipients, 3U);
  EXPECT_EQ(statistics.octets, 60U);
  EXPECT_EQ(statistics.active, 1U);
  EXPECT_EQ(statistics.deferred, 1U);
  EXPECT_EQ(statistics.held, 1U);
  EXPECT_EQ(statistics.provisional, 0U);
  EXPECT_EQ(statistics.oldest, begin);
}

TEST(Store, FingerprintsOfWhatIsOursAreListed) {  // promise.md C.5 after a power cut
  Place place;
  auto& store = place.open();
  for (unsigned i = 0; i < 5; ++i) {
    auto m = message(store, "m" + std::to_string(i), 10);
    m.recipients.push_back(m.recipients[0]);
    m.recipients[1].fingerprint.fill(static_cast<std::uint8_t>(i + 1));
    m.recipients[1].restamped.fill(static_cast<std::uint8_t>(i + 101));
    ASSERT_TRUE(place.put(std::move(m), octets(10)).ok());
  }
  Page page{0, 2};
  std::vector<Fingerprinted> all;
  do {
    const auto some = wait_for(store.fingerprints(page));
    ASSERT_TRUE(some);
    all.insert(all.end(), some->found.begin(), some->found.end());
    page.after = some->after;
  } while (page.after != 0);
  ASSERT_EQ(all.size(), 5U);
  EXPECT_EQ(all[2].recipient, 1U);
  EXPECT_EQ(all[2].fingerprint[0], 3);
  EXPECT_EQ(all[2].restamped[31], 103);
}

// --- room ---

TEST(Store, AboveTheHighWaterMarkOnlyReportsGetIn) {  // RS-14
  Place place;
  place.settings.most_messages = 3;
  auto& store = place.open();
  EXPECT_EQ(store.room(1000), Room::ok);
  for (const auto* id : {"a", "b", "c"}) ASSERT_TRUE(place.put(id, octets(10)).ok());
  EXPECT_EQ(store.room(1000), Room::high_water);
  EXPECT_EQ(place.put("d", octets(10)).error, StoreErrc::high_water);
  auto report = message(store, "dsn", 10);
  report.envelope.sender = {};
  EXPECT_TRUE(place.put(std::move(report), octets(10)).ok());
  const auto work = place.lease().work;
  for (const auto& piece : work) EXPECT_TRUE(place.settle(piece, Done{}).ok());
  EXPECT_EQ(store.room(1000), Room::ok);
  EXPECT_TRUE(place.put("d", octets(10)).ok());
}

TEST(Store, TheHighWaterMarkCountsOctetsToo) {
  Place place;
  place.settings.most_octets = 1000;
  place.open();
  ASSERT_TRUE(place.put("a", octets(999)).ok());
  ASSERT_TRUE(place.put("b", octets(1)).ok());
  EXPECT_EQ(place.put("c", octets(1)).error, StoreErrc::high_water);
  place.reopen();
  EXPECT_EQ(place.store().room(1), Room::high_water);
}

}  // namespace
}  // namespace queue
