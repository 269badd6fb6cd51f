// What `onward dns records` and `dns check` are made of, without files and servers: the zone of
// tests/e2e/dns_check_test has the faults; here are the edges, and what only a scripted zone can say (block lists, AD
// bits, NAT).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>

#include "app/dns_check.hpp"
#include "app/dns_records.hpp"
#include "app/known_services.hpp"
#include "auth/spf_macro.hpp"

namespace app::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

core::IpAddress ip(const char* text) {
  return core::IpAddress::parse(text).value();
}

DnsFacts good_facts() {
  DnsFacts facts;
  facts.hostname = "mx.fwd.example";
  facts.srs_domain = "srs.example";
  facts.domains = {"d.example"};
  facts.egress = {{ip("198.18.0.25"), "mx.fwd.example"}};
  facts.inbound = {ip("198.18.0.25")};
  return facts;
}

// Everything that records tell to publish.
dns::ZoneResolver zone_of(const DnsFacts& facts) {
  dns::ZoneResolver zone;
  auto records = own_records(facts);
  for (const auto& domain : facts.domains) {
    for (const auto& record : domain_records(facts, domain)) records.push_back(record);
  }
  for (const auto& record : records) {
    if (record.optional) continue;
    if (record.type == "MX") zone.add_mx(record.name, 10, record.value);
    if (record.type == "TXT") zone.add_txt(record.name, record.value);
    if (record.type == "A" || record.type == "AAAA") zone.add_a(record.name, record.value);
    if (record.type == "PTR") {
      dns::Answer answer;
      answer.status = dns::Status::ok;
      answer.ttl = 300;
      answer.names = {record.value};
      zone.add(record.name, dns::Type::ptr, answer);
    }
  }
  return zone;
}

DnsReport run(const DnsFacts& facts, dns::Resolver& zone, const std::string& domain = "d.example",
              CheckScope scope = CheckScope::whole) {
  boost::asio::io_context context(1);
  DnsReport report;
  auto work = check_dns(zone, facts, domain, scope, core::Deadline::after(core::Seconds(30)));
  boost::asio::co_spawn(context, std::move(work), [&](const std::exception_ptr& error, DnsReport done) {
    ASSERT_FALSE(error);
    report = std::move(done);
  });
  context.run();
  return report;
}

Check find(const DnsReport& report, const std::string& name) {
  for (const auto& check : report.checks) {
    if (check.name == name) return check;
  }
  return {name, CheckStatus::fail, "there is no such check", ""};
}

// The host has no certificate in these tests.
std::vector<std::string> bad(const DnsReport& report) {
  std::vector<std::string> names;
  for (const auto& check : report.checks) {
    if (check.status != CheckStatus::pass && check.name != "certificate")
      names.push_back(check.name + ": " + check.detail);
  }
  return names;
}

TEST(DnsCheck, what_is_published_as_told_is_right) {
  const auto facts = good_facts();
  auto zone = zone_of(facts);
  EXPECT_THAT(bad(run(facts, zone)), ::testing::IsEmpty());
}

TEST(DnsCheck, score_and_worst) {
  DnsReport report;
  EXPECT_EQ(report.score(), 0U);
  report.checks = {{"a", CheckStatus::pass, "", ""}, {"b", CheckStatus::pass, "", ""}};
  EXPECT_EQ(report.score(), 100U);
  EXPECT_EQ(report.worst(), CheckStatus::pass);
  report.checks[1].status = CheckStatus::warn;
  EXPECT_EQ(report.score(), 75U);
  EXPECT_EQ(report.worst(), CheckStatus::warn);
  report.checks[1].status = CheckStatus::fail;
  EXPECT_EQ(report.score(), 50U);
  EXPECT_EQ(report.worst(), CheckStatus::fail);
  EXPECT_EQ(as_json(report).at("checks").at(1).at("status"), "fail");
}

TEST(DnsCheck, one_failure_never_rounds_up_to_100) {
  DnsReport report;
  report.checks.assign(1000, {"a", CheckStatus::pass, "", ""});
  report.checks.push_back({"b", CheckStatus::warn, "", ""});
  EXPECT_EQ(report.score(), 99U);
}

// Behind NAT nobody here knows the addresses: those of the host name stand in for them.
TEST(DnsCheck, behind_nat) {
  auto facts = good_facts();
  auto zone = zone_of(facts);
  facts.egress.clear();
  facts.inbound.clear();
  const auto report = run(facts, zone);
  EXPECT_THAT(bad(report), ::testing::IsEmpty());
  EXPECT_THAT(find(report, "host-address").detail, HasSubstr("--address"));
  EXPECT_EQ(find(report, "ptr").detail, "198.18.0.25 is mx.fwd.example");
  EXPECT_EQ(spf_text(facts.egress, facts.hostname), "v=spf1 a:mx.fwd.example -all");
  dns::ZoneResolver empty;
  EXPECT_THAT(find(run(facts, empty), "ptr").detail, HasSubstr("nobody here knows"));
}

TEST(DnsCheck, a_pool_with_names_of_its_own) {
  auto facts = good_facts();
  facts.egress.push_back({ip("2001:db8::26"), "out.fwd.example"});
  auto zone = zone_of(facts);
  EXPECT_THAT(bad(run(facts, zone)), ::testing::IsEmpty());
  // Without the record of the name in EHLO, bounces from there have no SPF.
  dns::Answer none;
  none.status = dns::Status::no_data;
  zone.add("out.fwd.example", dns::Type::txt, none);
  EXPECT_THAT(
      bad(run(facts, zone)),
      ::testing::ElementsAre(HasSubstr("host-spf-egress: would not pass: 2001:db8::26 as out.fwd.example: none")));
}

TEST(DnsCheck, the_srs_domain_that_is_forwarded_too_is_looked_at_once_and_strictly) {
  auto facts = good_facts();
  facts.domains = {"srs.example"};
  auto zone = zone_of(facts);
  zone.add_txt("srs.example", "v=spf1 -all");  // a second one
  const auto report = run(facts, zone, "srs.example");
  EXPECT_EQ(find(report, "spf").status, CheckStatus::fail);
  EXPECT_EQ(find(report, "srs-spf").detail, "there is no such check");
}

BlockList list() {
  return {"zen", "key.dnsbl.example", {{ip("127.0.0.2"), ip("127.0.0.11")}}};
}

TEST(DnsCheck, block_lists) {
  auto facts = good_facts();
  facts.block_lists = {list()};
  facts.egress.push_back({ip("2001:db8::25"), "mx.fwd.example"});
  facts.inbound.push_back(ip("2001:db8::25"));
  const auto with = [&](std::initializer_list<std::pair<std::string, const char*>> entries) {
    auto zone = zone_of(facts);
    for (const auto& [name, answer] : entries) zone.add_a(name + ".key.dnsbl.example", answer);
    return run(facts, zone);
  };
  const std::string v6 = "5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2";
  EXPECT_THAT(bad(with({{"2.0.0.127", "127.0.0.2"}})), ::testing::IsEmpty());
  EXPECT_THAT(bad(with({{"2.0.0.127", "127.0.0.2"}, {"25.0.18.198", "127.0.0.10"}, {v6, "127.0.0.3"}})),
              ::testing::ElementsAre("dnsbl: 198.18.0.25 is on zen; 2001:db8::25 is on zen"));
  EXPECT_THAT(bad(with({{"2.0.0.127", "127.0.0.2"}, {"25.0.18.198", "127.0.0.12"}})), ::testing::IsEmpty())
      << "an answer outside of what means listed";
  EXPECT_THAT(bad(with({})), ::testing::ElementsAre(HasSubstr("dnsbl-usable: zen does not list its test address")));
  EXPECT_THAT(bad(with({{"2.0.0.127", "127.0.0.2"}, {"1.0.0.127", "127.0.0.2"}})),
              ::testing::ElementsAre("dnsbl-usable: zen lists everything"));
  for (const char* refusal : {"127.255.255.254", "10.0.0.1"}) {
    EXPECT_THAT(bad(with({{"2.0.0.127", refusal}, {"25.0.18.198", refusal}})),
                ::testing::ElementsAre("dnsbl-usable: zen does not answer this resolver"));
  }
  const auto text = as_json(with({})).dump();
  EXPECT_THAT(text, Not(HasSubstr("key.dnsbl"))) << "the zone's name may be a secret (OP-05)";
}

TEST(DnsCheck, ad_bit_and_tlsa) {
  auto facts = good_facts();
  net::CertificateSummary certificate;
  certificate.names = {"mx.fwd.example"};
  certificate.expires = core::Wall::now() + std::chrono::hours(24 * 30);
  certificate.key_digest = std::string(32, 'k');
  facts.certificates = {certificate};
  auto zone = zone_of(facts);
  dns::Answer tlsa;
  tlsa.status = dns::Status::ok;
  tlsa.raw = {std::string("\3\1\1", 3) + std::string(32, 'k')};
  zone.add("_25._tcp.mx.fwd.example", dns::Type::tlsa, tlsa);
  EXPECT_THAT(bad(run(facts, zone)), ::testing::ElementsAre(HasSubstr("tlsa: a TLSA record without DNSSEC")));
  tlsa.authenticated = true;
  zone.add("_25._tcp.mx.fwd.example", dns::Type::tlsa, tlsa);
  EXPECT_THAT(bad(run(facts, zone)), ::testing::IsEmpty());
  tlsa.raw = {std::string("\3\1\1", 3) + std::string(32, 'x')};
  zone.add("_25._tcp.mx.fwd.example", dns::Type::tlsa, tlsa);
  const auto wrong = find(run(facts, zone), "tlsa");
  EXPECT_EQ(wrong.status, CheckStatus::fail);
  EXPECT_THAT(wrong.fix, HasSubstr("TLSA 3 1 1 6b6b6b"));
  tlsa.raw = {std::string("\2\0\1", 3) + std::string(32, 'x')};
  zone.add("_25._tcp.mx.fwd.example", dns::Type::tlsa, tlsa);
  EXPECT_EQ(find(run(facts, zone), "tlsa").status, CheckStatus::warn) << "a form that needs the chain";
}

TEST(DnsCheck, certificates) {
  auto facts = good_facts();
  auto zone = zone_of(facts);
  EXPECT_EQ(find(run(facts, zone), "certificate").status, CheckStatus::warn);
  net::CertificateSummary one;
  one.names = {"*.fwd.example"};
  one.expires = core::Wall::now() + std::chrono::hours(24 * 8);
  facts.certificates = {one};
  EXPECT_EQ(find(run(facts, zone), "certificate").status, CheckStatus::pass);
  facts.certificates[0].names = {"www.fwd.example"};
  EXPECT_THAT(find(run(facts, zone), "certificate").detail, HasSubstr("no certificate is for mx.fwd.example"));
  facts.certificates[0] = one;
  facts.certificates[0].expires = core::Wall::now() + std::chrono::hours(24 * 6);
  EXPECT_EQ(find(run(facts, zone), "certificate").status, CheckStatus::warn);
  facts.certificates[0].expires = core::Wall::now() - std::chrono::seconds(1);
  EXPECT_EQ(find(run(facts, zone), "certificate").status, CheckStatus::fail);
}

TEST(DnsCheck, mta_sts_that_is_served_here) {
  auto facts = good_facts();
  facts.serves_mta_sts = true;
  auto zone = zone_of(facts);
  zone.add_a("mta-sts.d.example", "198.18.0.25");
  EXPECT_THAT(bad(run(facts, zone)), ::testing::IsEmpty());
  auto other = facts;
  other.hostname = "mx2.fwd.example";
  EXPECT_NE(mta_sts_id(facts), mta_sts_id(other));
  EXPECT_EQ(mta_sts_id(facts).size(), 20U);
  facts.domains = {"e.example"};
  EXPECT_EQ(find(run(facts, zone, "e.example"), "mta-sts").status, CheckStatus::warn);
}

TEST(DnsCheck, a_thousand_domains_are_asked_a_few_at_a_time) {
  auto facts = good_facts();
  facts.domains.clear();
  for (int i = 0; i < 1000; ++i) facts.domains.push_back("d" + std::to_string(i) + ".example");
  auto zone = zone_of(facts);
  boost::asio::io_context context(1);
  std::vector<DnsReport> reports;
  auto work = check_all_dns(zone, facts, core::Deadline::after(core::Seconds(120)));
  boost::asio::co_spawn(context, std::move(work), [&](const std::exception_ptr& error, std::vector<DnsReport> done) {
    ASSERT_FALSE(error);
    reports = std::move(done);
  });
  context.run();
  ASSERT_EQ(reports.size(), 1001U);
  EXPECT_EQ(reports[0].domain, "mx.fwd.example");
  for (std::size_t i = 0; i < facts.domains.size(); ++i) {
    EXPECT_EQ(reports[i + 1].domain, facts.domains[i]);
    EXPECT_EQ(reports[i + 1].score(), 100U) << facts.domains[i];
  }
  facts.domains.clear();
  auto none = check_all_dns(zone, facts, core::Deadline::after(core::Seconds(5)));
  boost::asio::co_spawn(context, std::move(none),
                        [&](const std::exception_ptr&, std::vector<DnsReport> done) { reports = std::move(done); });
  context.restart();
  context.run();
  EXPECT_EQ(reports.size(), 1U);
}

// Every answer that DNS can give to every question must lead to a report: SERVFAIL here, then nonsense.
TEST(DnsCheck, always_ends) {
  struct Same final : dns::Resolver {
    dns::Answer answer;
    net::Awaitable<dns::Answer> resolve(dns::Question, core::Deadline) override { co_return answer; }
  };
  const auto facts = good_facts();
  for (int kind = 0; kind < 3; ++kind) {
    Same same;
    if (kind > 0) {
      same.answer.status = dns::Status::ok;
      same.answer.addresses = {ip("127.0.0.2"), ip("::1")};
      same.answer.mx = {{0, ""}, {10, "x.example"}, {10, std::string(300, 'y')}};
      same.answer.names = {"loop.example", std::string("a\x1b\n", 3)};
      same.answer.raw = {"", "\3"};
      same.answer.texts = {kind == 1 ? "v=spf1 include:loop.example redirect=loop.example" : "v=DMARC1; p=\x01"};
    }
    const auto report = run(facts, same);
    EXPECT_GT(report.count(CheckStatus::fail), 0U);
    for (const auto& check : report.checks) {
      for (const char c : check.detail + check.fix) EXPECT_TRUE((c >= ' ' && c <= '~') || c == '\n') << check.detail;
    }
  }
}

TEST(DnsRecords, zone_lines) {
  EXPECT_EQ(zone_line({"d.example", "MX", "mx.example", 10, {}, false}), "d.example. 3600 IN MX 10 mx.example.");
  EXPECT_EQ(zone_line({"d.example", "A", "192.0.2.1", 0, {}, false}), "d.example. 3600 IN A 192.0.2.1");
  EXPECT_EQ(zone_line({"x.arpa", "PTR", "mx.example", 0, {}, false}), "x.arpa. 3600 IN PTR mx.example.");
  EXPECT_EQ(zone_line({"d.example", "TXT", std::string(256, 'a'), 0, {}, false}),
            "d.example. 3600 IN TXT ( \"" + std::string(255, 'a') + "\" \"a\" )");
}

TEST(DnsRecords, spf_keeps_what_is_there) {
  EXPECT_EQ(spf_with("v=spf1 include:other.example ~all", {ip("192.0.2.1"), ip("2001:db8::1")}),
            "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 include:other.example ~all");
  EXPECT_EQ(spf_with("v=spf1", {ip("192.0.2.1")}), "v=spf1 ip4:192.0.2.1");
}

TEST(KnownServices, forwarders_and_proxies) {
  EXPECT_EQ(forwarder_by_mx("route1.mx.cloudflare.net"), "Cloudflare Email Routing");
  EXPECT_EQ(forwarder_by_mx("mx.cloudflare.net.evil.example"), "");
  EXPECT_EQ(forwarder_by_mx("alt1.gmr-smtp-in.l.google.com"), "Google Domains email forwarding");
  EXPECT_EQ(forwarder_by_mx("aspmx.l.google.com"), "");
  EXPECT_EQ(forwarder_by_spf("_spf.mx.cloudflare.net"), "Cloudflare Email Routing");
  EXPECT_EQ(forwarder_by_spf("spf.efwd.registrar-servers.com"), "Namecheap email forwarding");
  EXPECT_EQ(forwarder_by_spf(""), "");
  for (const char* in : {"104.16.0.0", "104.27.255.255", "172.64.0.1", "2606:4700::1"})
    EXPECT_TRUE(is_proxy_address(ip(in)));
  // Too coarse a net would take private addresses for a proxy's (practice.md §1, the trap).
  for (const char* out : {"104.15.255.255", "104.28.0.0", "172.16.0.1", "172.80.0.0", "2606:4701::1"}) {
    EXPECT_FALSE(is_proxy_address(ip(out))) << out;
  }
}

}  // namespace
}  // namespace app::test
