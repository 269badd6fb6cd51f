// Which TLSA records bind a mail host (RFC 7672 §2.2): what is signed counts, forged answers stop us, aliases both
// ways.
#include "forwarder/dane.hpp"

#include <gtest/gtest.h>

#include "net/support.hpp"

namespace forwarder {
namespace {

using State = Dane::State;
constexpr auto kPort = std::uint16_t{25};

class DaneTest : public ::testing::Test {
 protected:
  DaneTest() {
    std::string error;
    client_ = net::TlsClient::make(net::TlsClient::Roots::none, "", error);
  }

  void tlsa(const std::string& name, std::vector<std::string> rdata, bool authenticated = true) {
    dns::Answer answer;
    answer.status = dns::Status::ok;
    answer.authenticated = authenticated;
    answer.raw = std::move(rdata);
    zone_.add("_25._tcp." + name, dns::Type::tlsa, std::move(answer));
  }

  static std::string record(int usage, int selector, int matching, std::size_t size) {
    std::string out;
    for (const int number : {usage, selector, matching}) out += static_cast<char>(number);
    return out + std::string(size, 'x');
  }

  Dane find(Addresses addresses, bool mx_secure = true) {
    Host host;
    host.name = "mx.inbox.test";
    host.secure = mx_secure;
    host.port = kPort;
    boost::asio::io_context context;
    Dane found;
    net::testing::run(context, [&]() -> net::Awaitable<void> {
      found = co_await find_dane(zone_, *client_, host, addresses, "inbox.test", net::testing::soon());
    });
    return found;
  }

  static Addresses signed_addresses() {
    Addresses addresses;
    addresses.secure = true;
    return addresses;
  }

  dns::ZoneResolver zone_;
  std::shared_ptr<const net::TlsClient> client_;
};

TEST_F(DaneTest, a_signed_record) {
  tlsa("mx.inbox.test", {record(3, 1, 1, 32), record(2, 0, 1, 32)});
  const auto found = find(signed_addresses());
  EXPECT_EQ(found.state, State::usable);
  EXPECT_EQ(found.base, "mx.inbox.test");
  EXPECT_EQ(found.records.size(), 2U) << "two records: a key may be rolled over";
  EXPECT_EQ(found.names, std::vector<std::string>{"inbox.test"}) << "usage 2: RFC 7672 §3.2.2";
}

TEST_F(DaneTest, nothing_without_signatures) {
  tlsa("mx.inbox.test", {record(3, 1, 1, 32)});
  EXPECT_EQ(find(signed_addresses(), false).state, State::none) << "the MX is not signed";
  EXPECT_EQ(find(Addresses()).state, State::none) << "the address is not signed";
  tlsa("mx.inbox.test", {record(3, 1, 1, 32)}, false);
  EXPECT_EQ(find(signed_addresses()).state, State::none) << "the record is not signed";
}

TEST_F(DaneTest, records_that_cannot_be_used) {  // TL-05
  tlsa("mx.inbox.test",
       {"", std::string(1, 3), std::string(2, 3), record(3, 1, 1, 0), record(0, 1, 1, 32), record(1, 1, 1, 32),
        record(3, 9, 1, 32), record(3, 1, 9, 32), record(3, 1, 1, 31), record(255, 255, 255, 65'000)});
  const auto found = find(signed_addresses());
  EXPECT_EQ(found.state, State::unusable);
  EXPECT_TRUE(found.records.empty());
}

TEST_F(DaneTest, one_good_record_among_bad_ones) {
  tlsa("mx.inbox.test", {record(0, 0, 1, 32), record(3, 1, 2, 64)});
  const auto found = find(signed_addresses());
  EXPECT_EQ(found.state, State::usable);
  EXPECT_EQ(found.records.size(), 1U);
}

TEST_F(DaneTest, a_forged_answer_stops_us) {
  zone_.fail("_25._tcp.mx.inbox.test", dns::Type::tlsa);
  EXPECT_EQ(find(signed_addresses()).state, State::failed);
}

TEST_F(DaneTest, aliases) {
  auto addresses = signed_addresses();
  addresses.canonical = "real.pool.test";
  tlsa("mx.inbox.test", {record(3, 1, 1, 32)});
  EXPECT_EQ(find(addresses).base, "mx.inbox.test") << "no records at the end of the alias: the name itself";
  tlsa("real.pool.test", {record(3, 1, 1, 32)});
  EXPECT_EQ(find(addresses).base, "real.pool.test");
  EXPECT_EQ(find(addresses).names, (std::vector<std::string>{"mx.inbox.test", "inbox.test"}));
}

TEST_F(DaneTest, a_signed_alias_to_an_unsigned_place) {
  Addresses addresses;
  addresses.canonical = "real.pool.test";
  tlsa("mx.inbox.test", {record(3, 1, 1, 32)});
  EXPECT_EQ(find(addresses).state, State::none);
  dns::Answer alias;
  alias.status = dns::Status::ok;
  alias.authenticated = true;
  alias.names.emplace_back("real.pool.test");
  zone_.add("mx.inbox.test", dns::Type::cname, alias);
  EXPECT_EQ(find(addresses).state, State::usable);
  zone_.fail("mx.inbox.test", dns::Type::cname);
  EXPECT_EQ(find(addresses).state, State::failed);
}

}  // namespace
}  // namespace forwarder
