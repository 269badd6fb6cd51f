// Session tickets: a key signs for two hours, opens for two more, and is gone.
#include "net/ticket_keys.hpp"

#include <gtest/gtest.h>

namespace net {
namespace {

using namespace std::chrono_literals;

TEST(TicketKeys, Threats_TL_06_keys_are_rotated_and_forgotten) {
  TicketKeys keys;
  const TicketKeys::Time start{1h};
  const auto first = keys.current(start);
  ASSERT_TRUE(first);
  const auto found = [&](const TicketKeys::Key& key, auto after) { return keys.find(key.name, start + after); };
  EXPECT_EQ(keys.current(start + 2h - 1s)->name, first->name);
  EXPECT_TRUE(found(*first, 2h - 1s)->current);
  EXPECT_FALSE(found(*first, 2h)->current) << "nobody has asked for a new one, and still it does not sign any more";

  const auto second = keys.current(start + 3h);
  EXPECT_NE(second->name, first->name);
  EXPECT_NE(second->cipher, first->cipher);
  EXPECT_NE(second->mac, first->mac);
  EXPECT_FALSE(found(*first, 3h)->current);
  EXPECT_EQ(found(*first, 3h)->key.cipher, first->cipher);
  EXPECT_TRUE(found(*second, 3h)->current);
  EXPECT_TRUE(found(*first, 4h - 1s));
  EXPECT_FALSE(found(*first, 4h));

  const auto third = keys.current(start + 5h);
  EXPECT_FALSE(found(*first, 5h));
  EXPECT_FALSE(found(*second, 5h)->current);
  EXPECT_TRUE(found(*third, 5h)->current);
  TicketKeys others;
  EXPECT_FALSE(others.find(third->name, start + 5h));
}

}  // namespace
}  // namespace net
