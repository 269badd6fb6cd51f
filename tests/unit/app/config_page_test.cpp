// docs/configuration.md and the readers say the same.
#include "app/config_page.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/config_text.hpp"
#include "app/support.hpp"

namespace app::test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(ConfigPage, every_key_has_a_meaning_and_every_meaning_a_key) {
  EXPECT_THAT(configuration_page_problems(), IsEmpty());
}

TEST(ConfigPage, the_page_is_fresh) {
  EXPECT_EQ(project_file("docs/configuration.md"), configuration_page())
      << "onward docs configuration >docs/configuration.md";
}

TEST(ConfigPage, says_what_the_readers_say) {
  const auto page = configuration_page();
  EXPECT_THAT(page, HasSubstr("| `hostname` | required | host name |"));
  EXPECT_THAT(page, HasSubstr("| `memory` | `512 MiB` | 1 MiB–1 TiB |"));
  EXPECT_THAT(page, HasSubstr("| `handoff` | `20s` | 0, 1s–1h |"));
  EXPECT_THAT(page, HasSubstr("| `tls_fallback` | `remembered` | `remembered`, `always`, `never` |"));
  EXPECT_THAT(page, HasSubstr("| `greylist.delay` | `5m` | 1s–1d |"));
}

// A key that is behind a condition would be asked for in no file that the page is made from: the examples know it then.
TEST(ConfigPage, all_keys_of_the_examples_are_asked_for) {
  for (const auto& [path, kind] : {std::pair{"conf/onward.toml", ConfigKind::main},
                                   std::pair{"conf/domains/example.org.toml", ConfigKind::domain}}) {
    const auto text = project_file(path);
    Report report;
    AskedKeys asked;
    report.asked = &asked;
    if (kind == ConfigKind::main) {
      parse_main(text, path, report);
    } else {
      parse_domain(text, path, report);
    }
    const auto all = asked_keys(kind);
    EXPECT_FALSE(asked.empty());
    for (const auto& [key, how] : asked) EXPECT_TRUE(all.contains(key)) << key;
  }
}

}  // namespace
}  // namespace app::test
