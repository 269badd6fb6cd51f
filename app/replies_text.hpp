// The page docs/replies.md, out of the table of mail/reasons. Pure.
#pragma once

#include <string>

namespace app {

std::string replies_page();

}  // namespace app
