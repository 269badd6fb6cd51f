// What a running daemon gives up for good, once its ports are bound and its user is set (threats OP-08): new
// privileges, core dumps and being read by others (keys are in its memory), and the system calls it has no use for.
// Nothing an attacker could run inside of it starts a program, loads code into the kernel, or looks into another
// process. On top of what conf/onward.service asks of systemd, for those who start it otherwise.
#pragma once

#include "core/secret_file.hpp"

namespace app {

// For all threads, for ever. Errors: this kernel has no filters; all else is given up all the same.
core::Explained<void> give_up_privileges();

}  // namespace app
