#include "app/admin_client.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "app/admin_protocol.hpp"

namespace app {
namespace {

constexpr int kPatienceSeconds = 30;

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(const Fd&) = delete;
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

bool send_all(int fd, std::string_view octets) {
  while (!octets.empty()) {
    const auto n = ::send(fd, octets.data(), octets.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    octets.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

bool receive_all(int fd, std::string& out) {
  std::size_t have = 0;
  while (have < out.size()) {
    const auto n = ::recv(fd, out.data() + have, out.size() - have, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    have += static_cast<std::size_t>(n);
  }
  return true;
}

}  // namespace

std::optional<nlohmann::json> ask_daemon(const std::string& socket_path, const nlohmann::json& request,
                                         std::string& error) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof address.sun_path) {
    error = fmt::format("{} is too long for a socket", socket_path);
    return std::nullopt;
  }
  std::memcpy(address.sun_path, socket_path.c_str(), socket_path.size() + 1);
  const Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval patience{kPatienceSeconds, 0};
  static_cast<void>(::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience));
  static_cast<void>(::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience));
  if (fd.get() < 0 || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    error = fmt::format("no daemon at {} ({})", socket_path, std::strerror(errno));
    return std::nullopt;
  }
  std::string prefix(kAdminPrefix, '\0');
  if (send_all(fd.get(), admin_frame(request.dump())) && receive_all(fd.get(), prefix)) {
    const std::size_t length = admin_length(prefix);
    std::string text(length <= kMaxAdminAnswer ? length : 0, '\0');
    if (length <= kMaxAdminAnswer && receive_all(fd.get(), text)) {
      auto answer = nlohmann::json::parse(text, nullptr, false);
      if (answer.is_object()) return answer;
    }
  }
  error = fmt::format("the daemon at {} did not answer", socket_path);
  return std::nullopt;
}

}  // namespace app
