#include "app/replies_text.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace app::test {
namespace {

// docs/replies.md is what the table says: `onward docs replies >docs/replies.md` when this fails.
TEST(RepliesText, the_page_is_fresh) {
  std::ifstream file(ONWARD_SOURCE_DIR "/docs/replies.md", std::ios::binary);
  std::stringstream have;
  have << file.rdbuf();
  EXPECT_EQ(have.str(), replies_page());
}

}  // namespace
}  // namespace app::test
