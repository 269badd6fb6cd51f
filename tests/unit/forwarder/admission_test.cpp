// Admission over a DNS world in a table: what is asked when, what is awaited, what is answered, and what whom skips.
#include "forwarder/admission.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace {

using namespace std::chrono_literals;
using core::Counter;
using policy::AccessAction;
using policy::Check;
using policy::DnsblZone;
using policy::Verdict;
using ::testing::HasSubstr;
using ::testing::Not;
using Settings = policy::AdmissionSettings;

class LinesSink final : public core::LogSink {
 public:
  void write(std::string_view line) override { lines += line; }
  std::string lines;
};

// Answers after a while, or never; counts.
class SlowResolver final : public dns::Resolver {
 public:
  explicit SlowResolver(boost::asio::io_context& context) : context_(context) {}
  net::Awaitable<dns::Answer> resolve(dns::Question question, core::Deadline deadline) override {
    ++asked;
    names.push_back(question.name);
    if (delay.count() > 0) {
      boost::asio::steady_timer timer(context_);
      timer.expires_after(std::min<core::Steady::duration>(delay, deadline.left()));
      co_await timer.async_wait(boost::asio::use_awaitable);
    }
    co_return co_await zone.resolve(std::move(question), deadline);
  }
  dns::ZoneResolver zone;
  core::Milliseconds delay{0};
  unsigned asked = 0;
  std::vector<std::string> names;

 private:
  boost::asio::io_context& context_;
};

class AdmissionTest : public ::testing::Test {
 protected:
  AdmissionTest() {
    config_ = std::make_shared<forwarder::Config>();
    config_->hostname = "mx.test";
    config_->help_url = "https://help.test";
    client_.address = *core::IpAddress::parse("192.0.2.7");
    client_.helo = "mail.client.test";
    client_.session_id = "sess";
  }
  ~AdmissionTest() override {
    context_.restart();
    context_.run();
  }

  DnsblZone& list(const std::string& name, int weight = 1, DnsblZone::Kind kind = DnsblZone::Kind::ip) {
    DnsblZone zone;
    zone.name = name;
    zone.zone = "key." + name + ".test";
    zone.weight = weight;
    zone.kind = kind;
    config_->admission.lists.push_back(zone);
    if (kind == DnsblZone::Kind::ip) {
      dns().add_a("2.0.0.127." + zone.zone, "127.0.0.2");
    } else {
      dns().add_a("test." + zone.zone, "127.0.0.2");
    }
    return config_->admission.lists.back();
  }
  void access(std::string_view match, AccessAction action) {
    rules_.push_back({policy::parse_access_match(match).value(), action});
    config_->access = std::make_shared<policy::AccessRules>(rules_, nullptr, nullptr);
  }
  void exception(std::string_view match, std::initializer_list<Check> skip) {
    policy::Exception exception;
    exception.match = policy::parse_exception_match(match).value();
    for (const auto check : skip) exception.skip.add(check);
    config_->auth.exceptions.push_back(std::move(exception));
  }
  dns::ZoneResolver& dns() { return resolver_.zone; }

  template <class T>
  T run(net::Awaitable<T> work) {
    std::optional<T> result;
    boost::asio::co_spawn(context_, std::move(work), [&](const std::exception_ptr& error, T value) {
      EXPECT_FALSE(error);
      result = std::move(value);
    });
    context_.restart();
    const auto end = core::Deadline::after(30s);
    while (!result && !end.passed()) context_.run_one_for(100ms);
    if (!result) throw std::runtime_error("timed out");
    return std::move(*result);
  }

  // The whole way of a client: "" when it is let through, else the stage and the reply.
  struct Way {
    std::string stage, text, reason;
    int code = 0;
    std::string enhanced;
  };
  Way connect() {
    welcome_ = admission_.welcome(config_, client_);
    client_.visit = welcome_.visit.get();
    if (!welcome_.refusal) return {};
    return {"connect", welcome_.refusal->lines.front(), "", welcome_.refusal->code,
            welcome_.refusal->enhanced.to_string()};
  }
  static Way way(std::string stage, const Verdict& verdict) {
    if (verdict.kind == Verdict::Kind::accept) return {};
    return {std::move(stage), verdict.text, std::string(verdict.reason), verdict.code, verdict.enhanced.to_string()};
  }
  Way mail(const std::string& sender = "a@sender.test") {
    mail::MailCommand command;
    if (!sender.empty()) command.from.mailbox = *mail::parse_mailbox(sender, mail::Utf8::yes);
    sender_ = command.from;
    auto refused = way("mail", run(admission_.mail(config_, client_, command)));
    if (!refused.stage.empty()) return refused;
    const auto skipped = policy::skipped_checks(config_->auth.exceptions, {client_.address, &sender_, {}});
    inspection_.reset();
    inspection_.emplace(admission_, forwarder::Inspection::Subject{config_, client_, sender_, skipped}, log_);
    return {};
  }
  Way rcpt() { return way("rcpt", run(inspection_->recipient())); }
  Way rule(const std::string& name = "a.test/x", std::optional<policy::RateLimit> rate = std::nullopt,
           std::initializer_list<std::string_view> destinations = {}) {
    policy::Route route;
    route.rule = name;
    route.rate = rate;
    for (const auto text : destinations) route.destinations.push_back(*mail::parse_mailbox(text, mail::Utf8::yes));
    return way("rule", inspection_->rule(route));
  }
  Way greylist(const std::string& what = "a.test/x") { return way("greylist", run(inspection_->greylist(what))); }
  Way all(const std::string& sender = "a@sender.test") {
    for (auto step : {connect(), mail(sender)}) {
      if (!step.stage.empty()) return step;
    }
    return rcpt();
  }
  std::uint64_t count(Counter counter) const { return metrics_.get(counter); }

  boost::asio::io_context context_{1};
  SlowResolver resolver_{context_};
  core::SeededRandom random_{3};
  core::Metrics metrics_;
  core::ManualClock clock_;
  LinesSink sink_;
  core::Log log_{sink_, core::LogFormat::json, core::LogLevel::debug};
  forwarder::AdmissionState state_{random_};
  forwarder::Admission admission_{{context_.get_executor(), &resolver_, &metrics_, &clock_, &state_}, log_};
  std::shared_ptr<forwarder::Config> config_;
  std::vector<policy::AccessRule> rules_;
  forwarder::Client client_;
  forwarder::Welcome welcome_;
  mail::ReversePath sender_;
  std::optional<forwarder::Inspection> inspection_;
};

TEST_F(AdmissionTest, NothingConfiguredNothingAsked) {
  EXPECT_EQ(all().stage, "");
  EXPECT_EQ(rule().stage, "");
  EXPECT_EQ(resolver_.asked, 0U);
}

// ---- access

TEST_F(AdmissionTest, ABlockIsSaidAtTheBanner) {
  access("192.0.2.0/24", AccessAction::block);
  const auto way = connect();
  EXPECT_EQ(way.stage, "connect");
  EXPECT_EQ(way.code, 554);
  EXPECT_EQ(way.enhanced, "5.7.1");
  EXPECT_EQ(way.text, "Mail from 192.0.2.7 is not taken here. Refer to https://help.test [access sess]");
  EXPECT_EQ(count(Counter::access_blocked), 1U);
  client_.address = *core::IpAddress::parse("198.51.100.1");
  EXPECT_EQ(all().stage, "");
}

TEST_F(AdmissionTest, AnExceptionOfTheAddressLetsItIn) {
  access("192.0.2.0/24", AccessAction::block);
  exception("192.0.2.7", {Check::access});
  EXPECT_EQ(all().stage, "");
}

TEST_F(AdmissionTest, WhereASenderMayBeExceptedTheBlockIsSaidAtRcpt) {
  access("192.0.2.0/24", AccessAction::block);
  exception("partner.test", {Check::access});
  EXPECT_EQ(connect().stage, "");
  EXPECT_EQ(mail("a@partner.test").stage, "");
  EXPECT_EQ(rcpt().stage, "");
  EXPECT_EQ(mail("a@stranger.test").stage, "");
  const auto way = rcpt();
  EXPECT_EQ(way.code, 554);
  EXPECT_EQ(way.reason, "access");
  EXPECT_THAT(sink_.lines, HasSubstr("\"access\":\"192.0.2.0/24\""));
}

TEST_F(AdmissionTest, AllowSkipsListsAndRatesButNotTheRest) {
  list("zen");
  dns().add_a("7.2.0.192.key.zen.test", "127.0.0.2");
  config_->admission.messages_per_client = {1, 60s};
  config_->admission.recipients_per_client = {1, 60s};
  config_->admission.recipients_per_rule = {1, 60s};
  config_->admission.greylist.on = true;
  config_->admission.rdns = Settings::Rdns::reject;
  access("192.0.2.7", AccessAction::allow);
  dns().add("7.2.0.192.in-addr.arpa", dns::Type::ptr, [] {
    dns::Answer answer;
    answer.status = dns::Status::ok;
    answer.names = {"mail.client.test"};
    return answer;
  }());
  dns().add_a("mail.client.test", "192.0.2.7");
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(all().stage, "") << i;
    ASSERT_EQ(rule().stage, "") << i;
  }
  EXPECT_THAT(resolver_.names, Not(::testing::Contains(HasSubstr("zen"))));
  client_.address = *core::IpAddress::parse("192.0.2.8");
  access("192.0.2.8", AccessAction::allow);
  EXPECT_EQ(all().reason, "rdns");
}

// ---- block lists

TEST_F(AdmissionTest, DN_09_ListedIs554AtRcpt) {
  list("zen");
  list("other");
  dns().add_a("7.2.0.192.key.zen.test", "127.0.0.4");
  EXPECT_EQ(connect().stage, "");
  EXPECT_EQ(mail("").stage, "") << "not at MAIL";
  for (int i = 0; i < 2; ++i) {
    const auto way = rcpt();
    EXPECT_EQ(way.code, 554);
    EXPECT_EQ(way.enhanced, "5.7.1");
    EXPECT_EQ(way.text, "192.0.2.7 found on one or more DNSBLs (zen)");
    EXPECT_EQ(way.reason, "dnsbl");
  }
  EXPECT_EQ(count(Counter::dnsbl_refused), 2U);
  EXPECT_EQ(inspection_->listed_by(), "zen");
  EXPECT_THAT(sink_.lines, Not(HasSubstr("key.")));
}

TEST_F(AdmissionTest, ListsAreAskedAtConnectAllAtOnceAndAwaitedAtRcpt) {
  for (const auto* name : {"a", "b", "c", "d"}) list(name);
  dns().add_a("7.2.0.192.key.d.test", "127.0.0.4");
  resolver_.delay = 200ms;
  const auto begin = core::Steady::now();
  EXPECT_EQ(connect().stage, "");
  EXPECT_LT(core::Steady::now() - begin, 150ms) << "nobody waits at connect";
  EXPECT_EQ(mail("").stage, "");
  EXPECT_EQ(rcpt().text, "192.0.2.7 found on one or more DNSBLs (d)");
  EXPECT_LT(core::Steady::now() - begin, 700ms) << "two rounds: the self-tests, then the questions";
}

TEST_F(AdmissionTest, DN_09_ADeadListListsNobodyAndIsLeftAloneForAWhile) {
  list("zen");
  config_->admission.lists.back().zone = "dead.test";
  dns().fail("2.0.0.127.dead.test", dns::Type::a);
  dns().add_a("7.2.0.192.dead.test", "127.0.0.4");
  EXPECT_EQ(all().stage, "");
  EXPECT_THAT(sink_.lines, HasSubstr("\"event\":\"dnsbl_out\",\"dnsbl\":\"zen\""));
  EXPECT_EQ(count(Counter::dnsbl_outages), 1U);
  const auto asked = resolver_.asked;
  EXPECT_EQ(all().stage, "");
  EXPECT_EQ(resolver_.asked, asked) << "out";
  clock_.advance(5min);
  dns().add_a("2.0.0.127.dead.test", "127.0.0.2");
  EXPECT_EQ(all().reason, "dnsbl") << "tested again, and believed";
  EXPECT_THAT(sink_.lines, HasSubstr("\"event\":\"dnsbl_good\""));
}

TEST_F(AdmissionTest, DN_09_AWildcardListsNobody) {
  list("zen");
  dns().add_a("1.0.0.127.key.zen.test", "127.0.0.2");
  dns().add_a("7.2.0.192.key.zen.test", "127.0.0.2");
  EXPECT_EQ(all().stage, "");
  EXPECT_EQ(state_.lists.state(config_->admission.lists[0], clock_.steady()), policy::ZoneHealth::State::broken);
}

TEST_F(AdmissionTest, DN_09_ARefusedResolverIsNoListing) {
  list("zen");
  dns().add_a("7.2.0.192.key.zen.test", "127.255.255.254");
  EXPECT_EQ(all().stage, "");
  EXPECT_EQ(count(Counter::dnsbl_failures), 1U);
  EXPECT_EQ(state_.lists.state(config_->admission.lists[0], clock_.steady()), policy::ZoneHealth::State::broken);
}

TEST_F(AdmissionTest, DN_09_AFloodOfOurOwnIsNoFaultOfTheList) {
  list("zen");
  EXPECT_EQ(all("").stage, "");
  dns::Answer refused;
  refused.error = dns::kTooManyInFlight;
  for (int i = 0; i < 5; ++i) {
    dns().add("7.2.0.192.key.zen.test", dns::Type::a, refused);
    EXPECT_EQ(all("").stage, "");
  }
  EXPECT_EQ(state_.lists.state(config_->admission.lists[0], clock_.steady()), policy::ZoneHealth::State::good);
}

TEST_F(AdmissionTest, ListsOfNamesAreAskedAboutHeloAndSender) {
  list("dbl", 1, DnsblZone::Kind::domain);
  dns().add_a("bad.test.key.dbl.test", "127.0.1.2");
  EXPECT_EQ(all("a@good.test").stage, "");
  EXPECT_EQ(all("a@bad.test").text, "bad.test found on one or more DNSBLs (dbl)");
  client_.helo = "bad.test";
  EXPECT_EQ(all("").text, "bad.test found on one or more DNSBLs (dbl)");
  client_.helo = "[192.0.2.7]";
  EXPECT_EQ(all("").stage, "");
}

TEST_F(AdmissionTest, WeightsAllowListsAndTheThreshold) {
  list("white", -3);
  list("zen", 2);
  dns().add_a("7.2.0.192.key.zen.test", "127.0.0.4");
  config_->admission.dnsbl_threshold = 2;
  EXPECT_EQ(all().text, "192.0.2.7 found on one or more DNSBLs (zen)");
  dns().add_a("7.2.0.192.key.white.test", "127.0.5.1");
  EXPECT_EQ(all().stage, "");
  EXPECT_EQ(inspection_->listed_by(), "zen") << "it is in the log all the same";
}

TEST_F(AdmissionTest, ExceptionsFromLists) {
  list("zen");
  dns().add_a("7.2.0.192.key.zen.test", "127.0.0.4");
  exception("partner.test", {Check::dnsbl});
  EXPECT_EQ(all("a@partner.test").stage, "");
  EXPECT_EQ(all("a@stranger.test").reason, "dnsbl");
  exception("192.0.2.0/24", {Check::dnsbl, Check::early_talker});
  const auto asked = resolver_.asked;
  EXPECT_EQ(all("a@stranger.test").stage, "");
  EXPECT_EQ(resolver_.asked, asked);
  EXPECT_TRUE(welcome_.may_talk_early);
}

// ---- names

TEST_F(AdmissionTest, ReverseDnsDecidesAtRcpt) {
  config_->admission.rdns = Settings::Rdns::reject;
  const auto way = all("");
  EXPECT_EQ(way.stage, "rcpt");
  EXPECT_EQ(way.code, 550);
  EXPECT_EQ(way.enhanced, "5.7.25");
  EXPECT_THAT(sink_.lines, HasSubstr("\"rdns\":\"missing\""));
  config_->admission.rdns = Settings::Rdns::defer;
  EXPECT_EQ(all("").code, 450);
  config_->admission.rdns = Settings::Rdns::warn;
  EXPECT_EQ(all("").stage, "");
  config_->admission.rdns = Settings::Rdns::reject;
  exception("192.0.2.7", {Check::rdns});
  EXPECT_EQ(all("").stage, "");
}

TEST_F(AdmissionTest, NobodyWaitsForWhatIsOnlyWrittenDown) {
  config_->admission.rdns = Settings::Rdns::warn;
  config_->admission.helo = Settings::Helo::warn;
  resolver_.delay = 300ms;
  const auto begin = core::Steady::now();
  EXPECT_EQ(all("").stage, "");
  EXPECT_LT(core::Steady::now() - begin, 250ms);
  context_.restart();
  context_.run();
  inspection_.reset();
  EXPECT_THAT(sink_.lines, HasSubstr("\"rdns\":\"missing\""));
  EXPECT_THAT(sink_.lines, HasSubstr("\"helo_check\":\"unresolvable\""));
}

TEST_F(AdmissionTest, HeloDecidesAtRcpt) {
  config_->admission.helo = Settings::Helo::reject;
  EXPECT_EQ(all("").reason, "helo");
  EXPECT_THAT(sink_.lines, HasSubstr("\"helo_check\":\"unresolvable\""));
  dns().add_a("mail.client.test", "192.0.2.99");
  EXPECT_EQ(all("").stage, "");
  client_.helo = "localhost";
  EXPECT_EQ(all("").enhanced, "5.7.1");
  config_->admission.helo = Settings::Helo::warn;
  EXPECT_EQ(all("").stage, "");
  inspection_.reset();
  EXPECT_THAT(sink_.lines, HasSubstr("\"helo_check\":\"malformed\""));
  config_->admission.helo = Settings::Helo::reject;
  exception("sender.test", {Check::helo});
  EXPECT_EQ(all("a@sender.test").stage, "");
  EXPECT_EQ(all("a@other.test").reason, "helo");
}

TEST_F(AdmissionTest, TheSendersDomainDecidesAtMail) {
  config_->admission.sender_domain = Settings::Sender::reject;
  const auto way = all("a@nowhere.test");
  EXPECT_EQ(way.stage, "mail");
  EXPECT_EQ(way.code, 550);
  EXPECT_EQ(way.enhanced, "5.1.8");
  dns().add_mx("null.test", 0, "");
  EXPECT_EQ(all("a@null.test").enhanced, "5.7.27");
  dns().fail("slow.test", dns::Type::mx);
  dns().fail("slow.test", dns::Type::a);
  dns().fail("slow.test", dns::Type::aaaa);
  EXPECT_EQ(all("a@slow.test").enhanced, "4.1.8");
  EXPECT_EQ(all("a@[127.0.0.1]").enhanced, "5.1.7");
  dns().add_mx("good.test", 10, "mx.good.test");
  EXPECT_EQ(all("a@good.test").stage, "");
  EXPECT_EQ(all("").stage, "") << "the null sender has no domain";
  dns().add_mx("xn--bcher-kva.test", 10, "mx.good.test");
  EXPECT_EQ(all("a@bücher.test").stage, "") << "in A-labels";
  exception("nowhere.test", {Check::sender_domain});
  EXPECT_EQ(all("a@nowhere.test").stage, "");
  EXPECT_EQ(count(Counter::sender_domain_refused), 4U);
}

// ---- rates

TEST_F(AdmissionTest, MessagesOfAClient) {
  config_->admission.messages_per_client = {2, 60s};
  EXPECT_EQ(all().stage, "");
  EXPECT_EQ(all().stage, "");
  const auto way = all();
  EXPECT_EQ(way.stage, "mail");
  EXPECT_EQ(way.code, 450);
  EXPECT_EQ(way.enhanced, "4.7.1");
  EXPECT_EQ(way.reason, "rate");
  client_.address = *core::IpAddress::parse("192.0.2.8");
  EXPECT_EQ(all().stage, "");
  clock_.advance(30s);
  client_.address = *core::IpAddress::parse("192.0.2.7");
  EXPECT_EQ(all().stage, "");
  EXPECT_EQ(count(Counter::rate_limited), 1U);
}

TEST_F(AdmissionTest, AnIPv6ClientIsIts64) {
  config_->admission.messages_per_client = {1, 60s};
  client_.address = *core::IpAddress::parse("2001:db8::1");
  EXPECT_EQ(all().stage, "");
  client_.address = *core::IpAddress::parse("2001:db8::2");
  EXPECT_EQ(all().reason, "rate");
  client_.address = *core::IpAddress::parse("2001:db8:0:1::2");
  EXPECT_EQ(all().stage, "");
}

TEST_F(AdmissionTest, RefusedMessagesCount) {
  config_->admission.messages_per_client = {2, 60s};
  config_->admission.sender_domain = Settings::Sender::reject;
  EXPECT_EQ(all("a@nowhere.test").enhanced, "5.1.8");
  EXPECT_EQ(all("a@nowhere.test").enhanced, "5.1.8");
  const auto asked = resolver_.asked;
  EXPECT_EQ(all("a@nowhere.test").reason, "rate");
  EXPECT_EQ(resolver_.asked, asked) << "DN-06: whoever is over the rate causes no questions";
}

TEST_F(AdmissionTest, RecipientsSenderDomainsAndRules) {
  config_->admission.recipients_per_client = {2, 60s};
  EXPECT_EQ(all().stage, "");
  EXPECT_EQ(rcpt().stage, "");
  EXPECT_EQ(rcpt().reason, "rate");
  config_->admission.recipients_per_client = {};
  config_->admission.messages_per_sender_domain = {1, 60s};
  EXPECT_EQ(all("a@one.test").stage, "");
  EXPECT_EQ(all("b@ONE.test").reason, "rate");
  EXPECT_EQ(all("b@two.test").stage, "");
  EXPECT_EQ(all("").stage, "");
  EXPECT_EQ(all("").stage, "");
  config_->admission.recipients_per_rule = {1, 60s};
  EXPECT_EQ(rule("x/1").stage, "");
  EXPECT_EQ(rule("x/1").reason, "rate");
  EXPECT_EQ(rule("x/1", policy::RateLimit{}).stage, "") << "the rule's own \"off\"";
  EXPECT_EQ(rule("x/2", policy::RateLimit{2, 60s}).stage, "");
  EXPECT_EQ(rule("x/2", policy::RateLimit{2, 60s}).stage, "");
  EXPECT_EQ(rule("x/2", policy::RateLimit{2, 60s}).reason, "rate");
  exception("192.0.2.7", {Check::rate});
  EXPECT_EQ(all("b@one.test").stage, "");
  EXPECT_EQ(rule("x/2", policy::RateLimit{2, 60s}).stage, "");
}

// Nobody floods one mailbox provider through us: all rules that lead there share the bucket. Its name is not told.
TEST_F(AdmissionTest, Destinations) {
  config_->admission.recipients_per_destination = {2, 60s};
  EXPECT_EQ(all().stage, "");
  EXPECT_EQ(rule("x/1", {}, {"a@one.test", "b@ONE.test"}).stage, "") << "one domain counts once";
  EXPECT_EQ(rule("x/2", {}, {"a@one.test"}).stage, "");
  const auto way = rule("x/3", {}, {"c@One.test"});
  EXPECT_EQ(way.code, 450);
  EXPECT_EQ(way.enhanced, "4.7.1");
  EXPECT_EQ(way.reason, "rate");
  EXPECT_THAT(way.text, Not(HasSubstr("one.test")));
  EXPECT_EQ(rule("x/3", {}, {"c@two.test"}).stage, "");
  EXPECT_EQ(rule("x/3", {}, {"c@two.test", "a@one.test"}).reason, "rate") << "of several destinations, each";
  exception("192.0.2.7", {Check::rate});
  EXPECT_EQ(all().stage, "");
  EXPECT_EQ(rule("x/3", {}, {"c@one.test"}).stage, "");
}

TEST_F(AdmissionTest, Greylisting) {
  config_->admission.greylist.on = true;
  EXPECT_EQ(all().stage, "");
  const auto way = greylist();
  EXPECT_EQ(way.code, 450);
  EXPECT_EQ(way.enhanced, "4.7.1");
  EXPECT_EQ(way.reason, "greylist");
  EXPECT_EQ(rule().stage, "");
  clock_.advance(5min);
  EXPECT_EQ(all().stage, "");
  EXPECT_EQ(greylist().stage, "");
  EXPECT_EQ(greylist("other").reason, "greylist");
  EXPECT_EQ(count(Counter::greylisted), 2U);
  exception("sender.test", {Check::greylist});
  EXPECT_EQ(all().stage, "");
  EXPECT_EQ(greylist("other").stage, "");
}

// RL-13: addresses of one rule share its entry, those that do not exist share none; the words must not tell.
TEST_F(AdmissionTest, GreylistingSaysNothingOfWhatIsLeft) {
  config_->admission.greylist.on = true;
  EXPECT_EQ(all().stage, "");
  const auto first = greylist("a.test/x");
  EXPECT_THAT(first.text, HasSubstr("300 s"));
  clock_.advance(2min);
  const auto known = greylist("a.test/x");
  const auto unknown = greylist("nobody@a.test");
  EXPECT_EQ(known.reason, "greylist");
  EXPECT_EQ(known.text, first.text);
  EXPECT_EQ(unknown.text, first.text);
}

TEST_F(AdmissionTest, WhoLeavesEarlyLeavesNothingBehind) {
  list("zen");
  resolver_.delay = 100ms;
  config_->admission.rdns = Settings::Rdns::reject;
  config_->admission.helo = Settings::Helo::reject;
  EXPECT_EQ(connect().stage, "");
  EXPECT_EQ(mail("").stage, "");
  inspection_.reset();
  client_.visit = nullptr;
  welcome_ = {};
  context_.restart();
  context_.run();  // what was asked comes back to nobody
  SUCCEED();
}

TEST_F(AdmissionTest, WithoutAVisitThereAreNoListsButNames) {
  list("zen");
  config_->admission.rdns = Settings::Rdns::reject;
  EXPECT_EQ(mail("").stage, "");
  EXPECT_EQ(rcpt().reason, "rdns");
}

}  // namespace
