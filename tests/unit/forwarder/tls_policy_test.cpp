// The one place that decides about TLS with a host: mode, memory, DANE, MTA-STS and the sender's wish in one plan.
#include "forwarder/tls_policy.hpp"

#include <gtest/gtest.h>

#include "forwarder/tls_memory.hpp"

namespace forwarder {
namespace {

using Use = TlsPlan::Use;
using Verify = net::TlsDemand::Verify;

TlsFacts facts(UpstreamTls mode) {
  TlsFacts out;
  out.mode = mode;
  out.host = "mx.inbox.test";
  return out;
}

Dane dane(Dane::State state) {
  Dane out;
  out.state = state;
  out.base = "mx.inbox.test";
  if (state == Dane::State::usable) out.records.push_back({3, 1, 1, std::string(32, 'x')});
  out.why = "DANE";
  return out;
}

StsPolicy sts(StsMode mode, std::string mx = "mx.inbox.test") {
  StsPolicy out;
  out.mode = mode;
  out.mx.push_back(std::move(mx));
  return out;
}

TEST(TlsPolicy, what_the_modes_come_to) {
  struct Row {
    UpstreamTls mode;
    Use use;
    Verify verify;
    const char* name;
  };
  for (const auto& row : {Row{UpstreamTls::none, Use::never, Verify::none, "none"},
                          Row{UpstreamTls::opportunistic, Use::offered, Verify::none, "opportunistic"},
                          Row{UpstreamTls::encrypt, Use::always, Verify::encrypt, "encrypt"},
                          Row{UpstreamTls::verify, Use::always, Verify::roots, "verify"}}) {
    const auto plan = plan_tls(facts(row.mode));
    EXPECT_EQ(plan.use, row.use) << row.name;
    EXPECT_EQ(plan.demand.verify, row.verify) << row.name;
    EXPECT_EQ(plan.to_string(), row.name);
    EXPECT_EQ(plan.demand.server_name, "mx.inbox.test") << "SNI always";
    const bool clear = row.use == Use::never || row.use == Use::offered;
    EXPECT_EQ(plan.clear_when_not_offered, clear) << row.name;
    EXPECT_FALSE(plan.liftable) << "the operator's word is not the sender's to lift";
  }
}

TEST(TlsPolicy, what_tls_fallback_comes_to) {
  struct Row {
    TlsFallback fallback;
    bool had_tls, not_offered, after_failure;
  };
  for (const auto& row :
       {Row{TlsFallback::remembered, false, true, true}, Row{TlsFallback::remembered, true, false, false},
        Row{TlsFallback::always, false, true, true}, Row{TlsFallback::always, true, true, true},
        Row{TlsFallback::never, false, true, false}, Row{TlsFallback::never, true, false, false}}) {
    auto about = facts(UpstreamTls::opportunistic);
    about.fallback = row.fallback;
    about.had_tls_lately = row.had_tls;
    const auto plan = plan_tls(about);
    EXPECT_EQ(plan.clear_when_not_offered, row.not_offered);
    EXPECT_EQ(plan.clear_after_failure, row.after_failure);
  }
}

TEST(TlsPolicy, DaneComesBeforeMtaSts) {
  const auto records = dane(Dane::State::usable);
  const auto policy = sts(StsMode::enforce, "other.test");
  for (const auto mode : {UpstreamTls::opportunistic, UpstreamTls::encrypt, UpstreamTls::verify}) {
    auto about = facts(mode);
    about.dane = &records;
    about.sts = &policy;
    const auto plan = plan_tls(about);
    EXPECT_EQ(plan.use, Use::always);
    EXPECT_EQ(plan.demand.verify, Verify::dane);
    EXPECT_EQ(plan.demand.tlsa, records.records);
    EXPECT_FALSE(plan.clear_when_not_offered || plan.clear_after_failure) << "TL-04";
  }
}

TEST(TlsPolicy, forged_and_unusable_records) {
  auto about = facts(UpstreamTls::opportunistic);
  const auto forged = dane(Dane::State::failed);
  about.dane = &forged;
  EXPECT_EQ(plan_tls(about).use, Use::refused) << "TL-05";
  EXPECT_TRUE(plan_tls(about).liftable);
  EXPECT_FALSE(plan_tls(about).permanent);
  const auto unusable = dane(Dane::State::unusable);
  about.dane = &unusable;
  EXPECT_EQ(plan_tls(about).use, Use::always);
  EXPECT_EQ(plan_tls(about).demand.verify, Verify::encrypt);
  const auto policy = sts(StsMode::enforce);
  about.sts = &policy;
  EXPECT_EQ(plan_tls(about).demand.verify, Verify::roots) << "no DANE to go by, so MTA-STS counts";
}

TEST(TlsPolicy, what_mta_sts_comes_to) {
  auto about = facts(UpstreamTls::opportunistic);
  const auto enforce = sts(StsMode::enforce), other = sts(StsMode::enforce, "other.test");
  const auto testing = sts(StsMode::testing, "other.test"), none = sts(StsMode::none);
  about.sts = &enforce;
  EXPECT_EQ(plan_tls(about).to_string(), "mta-sts");
  EXPECT_TRUE(plan_tls(about).liftable);
  about.sts = &other;
  EXPECT_EQ(plan_tls(about).use, Use::refused);
  about.sts = &testing;
  EXPECT_EQ(plan_tls(about).use, Use::offered);
  EXPECT_EQ(plan_tls(about).demand.verify, Verify::watch);
  about.sts = &none;
  EXPECT_EQ(plan_tls(about).to_string(), "opportunistic");
  about.mode = UpstreamTls::verify;
  about.sts = &enforce;
  EXPECT_FALSE(plan_tls(about).liftable) << "tls = \"verify\" would not allow more either";
}

TEST(TlsPolicy, configured_hosts_and_tls_none_have_no_policies) {
  const auto records = dane(Dane::State::usable);
  auto about = facts(UpstreamTls::opportunistic);
  about.dane = &records;
  about.configured = true;
  EXPECT_EQ(plan_tls(about).to_string(), "opportunistic");
  about.configured = false;
  about.mode = UpstreamTls::none;
  EXPECT_EQ(plan_tls(about).use, Use::never);
}

TEST(TlsPolicy, requiretls) {
  auto about = facts(UpstreamTls::opportunistic);
  about.wish = TlsWish::required;
  EXPECT_EQ(plan_tls(about).use, Use::refused) << "nobody says whose this mail host is";
  EXPECT_TRUE(plan_tls(about).permanent);
  about.mx_secure = true;
  EXPECT_EQ(plan_tls(about).use, Use::always);
  EXPECT_EQ(plan_tls(about).demand.verify, Verify::roots);
  EXPECT_TRUE(plan_tls(about).requiretls);
  EXPECT_FALSE(plan_tls(about).liftable);
  const auto records = dane(Dane::State::usable);
  about.dane = &records;
  EXPECT_EQ(plan_tls(about).demand.verify, Verify::dane);
  about = facts(UpstreamTls::opportunistic);
  about.wish = TlsWish::required;
  const auto policy = sts(StsMode::testing);
  about.sts = &policy;
  EXPECT_EQ(plan_tls(about).demand.verify, Verify::roots);
  about.mode = UpstreamTls::none;
  EXPECT_TRUE(plan_tls(about).permanent);
}

TEST(TlsPolicy, tls_required_no) {
  const auto records = dane(Dane::State::usable);
  const auto policy = sts(StsMode::enforce, "other.test");
  auto about = facts(UpstreamTls::opportunistic);
  about.wish = TlsWish::optional;
  about.dane = &records;
  about.sts = &policy;
  about.had_tls_lately = true;
  EXPECT_EQ(plan_tls(about).to_string(), "opportunistic");
  EXPECT_TRUE(plan_tls(about).clear_when_not_offered);
  about.mode = UpstreamTls::verify;
  EXPECT_EQ(plan_tls(about).to_string(), "verify") << "the operator's word stays";
}

TEST(TlsPolicy, the_header_field) {
  const auto says = [](std::string_view header) { return tls_is_optional(*mail::Headers::parse(header)); };
  EXPECT_TRUE(says("TLS-Required: No\r\n"));
  EXPECT_TRUE(says("tls-required:\r\n no \r\n"));
  EXPECT_FALSE(says("TLS-Required: Yes\r\n"));
  EXPECT_FALSE(says("TLS-Required: No\r\nTLS-Required: No\r\n")) << "RFC 8689 §5: once";
  EXPECT_FALSE(says("Subject: TLS-Required: No\r\n"));
}

TEST(TlsMemory, a_day_and_no_longer) {
  TlsMemory memory;
  const TlsMemory::Time start{std::chrono::hours(1000)};
  EXPECT_FALSE(memory.had_tls("a:25", start));
  memory.note("a:25", start);
  EXPECT_TRUE(memory.had_tls("a:25", start + TlsMemory::kKept - core::Seconds(1)));
  EXPECT_FALSE(memory.had_tls("a:25", start + TlsMemory::kKept));
  memory.note("a:25", start + std::chrono::hours(10));
  EXPECT_TRUE(memory.had_tls("a:25", start + TlsMemory::kKept));
  EXPECT_FALSE(memory.had_tls("a:24", start));
}

TEST(TlsMemory, is_bounded) {
  TlsMemory memory;
  TlsMemory::Time now{std::chrono::hours(1000)};
  for (std::size_t i = 0; i <= TlsMemory::kMost; ++i) memory.note(std::to_string(i), now += core::Milliseconds(1));
  EXPECT_EQ(memory.size(), TlsMemory::kMost);
  EXPECT_FALSE(memory.had_tls("0", now)) << "the one longest ago went";
  EXPECT_TRUE(memory.had_tls("1", now));
}

}  // namespace
}  // namespace forwarder
