#include "app/replies_text.hpp"

#include <gtest/gtest.h>

#include "app/support.hpp"

namespace app::test {
namespace {

// docs/replies.md is what the table says: `onward docs replies >docs/replies.md` when this fails.
TEST(RepliesText, the_page_is_fresh) {
  EXPECT_EQ(project_file("docs/replies.md"), replies_page());
}

}  // namespace
}  // namespace app::test
