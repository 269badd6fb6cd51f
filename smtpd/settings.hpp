// What the SMTP server is told by configuration; part of the immutable snapshot, copied (as a pointer) once a session.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/clock.hpp"
#include "net/tls.hpp"

namespace smtpd {

enum class TlsMode { none, starttls, implicit };

struct Settings {
  std::string hostname;
  std::string help_url;                       // may be ""
  std::shared_ptr<const net::TlsServer> tls;  // null: no TLS configured

  std::uint64_t message_size = 26'214'400;
  unsigned recipients = 100;
  unsigned connections = 10'000;
  unsigned connections_per_ip = 50;  // per IPv4, per IPv6 /64
  core::Milliseconds command_timeout{300'000};
  core::Milliseconds data_timeout{180'000};  // per read inside DATA/BDAT
  core::Milliseconds tls_timeout{30'000};    // handshake
  core::Milliseconds write_timeout{300'000};
  core::Milliseconds proxy_timeout{5'000};  // for the PROXY header (OP-07)
  // Under stress (smtpd/stress.hpp; Postfix's values): for a command, and for message data beside their rate (RS-01).
  core::Milliseconds stress_timeout{10'000};
  unsigned stress_data_rate = 500;  // octets a second

  bool reject_early_talkers = true;
  core::Milliseconds early_talker_delay{0};

  unsigned soft_errors = 10;         // from here each error reply waits 1 s (RL-13, as Postfix)
  unsigned hard_errors = 20;         // 421 and close
  unsigned junk_commands = 100;      // NOOP, RSET, EHLO, VRFY, HELP without mail in between (RS-03)
  unsigned unknown_recipients = 20;  // a session
  unsigned transactions = 1000;      // a session; then 421
  core::Milliseconds soft_error_delay{1000};
};

}  // namespace smtpd
