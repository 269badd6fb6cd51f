// sd_notify(3) without the library: one datagram to $NOTIFY_SOCKET, when there is one.
#pragma once

#include <string_view>

namespace app {

// "READY=1", "RELOADING=1", "STOPPING=1", "STATUS=..."; nothing happens outside systemd.
void notify_systemd(std::string_view state);

}  // namespace app
