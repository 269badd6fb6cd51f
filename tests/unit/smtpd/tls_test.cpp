// STARTTLS and implicit TLS through real sessions, with OpenSSL's blocking client on the other side.
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "tests/unit/smtpd/harness.hpp"

namespace smtpd::testing {
namespace {

using core::Counter;
using core::Milliseconds;

// A self-signed P-256 certificate for mx.test in files that live as long as this.
class Certificate {
 public:
  Certificate() {
    std::string name = (std::filesystem::temp_directory_path() / "onward-smtpd-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* x = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_set_pubkey(x, key);
    auto* subject = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("mx.test"), -1, -1,
                               0);
    X509_set_issuer_name(x, subject);
    X509_sign(x, key, EVP_sha256());
    std::FILE* out = std::fopen(path("cert.pem").c_str(), "w");
    PEM_write_X509(out, x);
    std::fclose(out);
    out = std::fopen(path("key.pem").c_str(), "w");
    PEM_write_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(out);
    ::chmod(path("key.pem").c_str(), 0600);
    X509_free(x);
    EVP_PKEY_free(key);
  }
  ~Certificate() { std::filesystem::remove_all(folder_); }
  std::shared_ptr<const net::TlsServer> server(const std::string& listener_name) const {
    net::TlsServerSettings settings;
    settings.pairs.push_back({path("cert.pem"), path("key.pem")});
    settings.listener_name = listener_name;
    std::string error;
    auto made = net::TlsServer::make(settings, error);
    EXPECT_TRUE(made) << error;
    return made;
  }

 private:
  std::string path(const char* name) const { return folder_ + "/" + name; }
  std::string folder_;
};

// TLS on top of a Peer's socket.
class TlsPeer {
 public:
  explicit TlsPeer(Peer peer) : fd_(peer.release()) {
    context_ = SSL_CTX_new(TLS_client_method());
    ssl_ = SSL_new(context_);
    SSL_set_fd(ssl_, fd_);
    connected_ = SSL_connect(ssl_) == 1;
  }
  ~TlsPeer() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
    if (fd_ >= 0) ::close(fd_);
  }
  TlsPeer(const TlsPeer&) = delete;
  bool connected() const { return connected_; }

  TlsPeer& send(std::string_view octets) {
    if (!octets.empty()) SSL_write(ssl_, octets.data(), static_cast<int>(octets.size()));
    return *this;
  }
  TlsPeer& drip(std::string_view octets) {  // one octet a record
    for (const char c : octets) send(std::string_view(&c, 1));
    return *this;
  }
  TlsPeer& line(std::string_view text) { return send(std::string(text) + "\r\n"); }
  TlsPeer& expect(std::string_view start) {
    std::string reply;
    for (;;) {
      const auto end = in_.find("\r\n");
      if (end != std::string::npos) {
        const bool more = end > 3 && in_[3] == '-';
        reply += in_.substr(0, end + 2);
        in_.erase(0, end + 2);
        if (more) continue;
        break;
      }
      if (!read_more()) break;
    }
    EXPECT_EQ(reply.substr(0, start.size()), start) << "in full: " << reply;
    return *this;
  }
  TlsPeer& expect_closed() {
    while (read_more()) {
    }
    EXPECT_EQ(in_, "");
    return *this;
  }
  void cut() { ::close(std::exchange(fd_, -1)); }  // FIN without close_notify

 private:
  bool read_more() {
    char buffer[4096];
    const int n = SSL_read(ssl_, buffer, sizeof buffer);
    if (n <= 0) return false;
    in_.append(buffer, static_cast<std::size_t>(n));
    return true;
  }
  int fd_;
  SSL_CTX* context_;
  SSL* ssl_;
  std::string in_;
  bool connected_ = false;
};

class Tls : public ::testing::Test {
 protected:
  void starttls(Harness& harness) {
    harness.listener =
        std::make_shared<Listener>(Listener{"starttls", TlsMode::starttls, certificate_.server("starttls")});
  }
  void implicit(Harness& harness) {
    harness.listener =
        std::make_shared<Listener>(Listener{"implicit", TlsMode::implicit, certificate_.server("implicit")});
  }
  static Peer upgrade(Harness& harness) {
    auto peer = harness.connect();
    peer.expect("220 ").ehlo();
    EXPECT_NE(peer.last().find("250-STARTTLS\r\n"), std::string::npos);
    peer.line("STARTTLS").expect("220 2.0.0");
    return peer;
  }
  Certificate certificate_;
};

TEST_F(Tls, AMessageOverStartTls) {
  Harness harness;
  starttls(harness);
  TlsPeer peer(upgrade(harness));
  ASSERT_TRUE(peer.connected());
  peer.line("EHLO again.test").expect("250-mx.test");
  peer.line("MAIL FROM:<a@a.test>").expect("250 ").line("RCPT TO:<b@b.test>").expect("250 ");
  peer.line("DATA").expect("354 ").send("x\r\n.\r\n").expect("250 ").line("QUIT").expect("221 ").expect_closed();
  ASSERT_EQ(harness.handler.message_count(), 1U);
  EXPECT_TRUE(harness.handler.messages()[0].tls);
  EXPECT_EQ(harness.handler.messages()[0].helo, "again.test");
  EXPECT_EQ(harness.count(Counter::tls_in), 1U);
}

TEST_F(Tls, ImplicitTls) {
  Harness harness;
  implicit(harness);
  TlsPeer peer(harness.connect());
  ASSERT_TRUE(peer.connected());
  peer.expect("220 ").line("EHLO c.test").expect("250-mx.test").line("STARTTLS").expect("503 5.5.1");
}

TEST_F(Tls, TL_01_commands_in_the_segment_of_STARTTLS) {
  Harness harness;
  starttls(harness);
  auto peer = harness.connect();
  peer.expect("220 ").ehlo().send("STARTTLS\r\nMAIL FROM:<evil@a.test>\r\n").expect("554 5.5.0").expect_closed();
  // In a segment of its own it becomes part of the handshake, which fails.
  auto slow = upgrade(harness);
  slow.send("MAIL FROM:<evil@a.test>\r\nRCPT TO:<b@b.test>\r\n");
  while (!slow.reply().empty()) {
  }
  EXPECT_TRUE(eventually([&] { return harness.count(Counter::tls_in_failed) == 1; }));
  EXPECT_EQ(harness.lines.text().find("evil@"), std::string::npos);
}

TEST_F(Tls, TL_02_MAIL_right_after_the_handshake) {
  Harness harness;
  starttls(harness);
  auto plain = harness.connect();
  plain.expect("220 ").ehlo().envelope().line("STARTTLS").expect("220 ");
  EXPECT_TRUE(eventually([&] { return harness.handler.alive() == 0; }));
  TlsPeer peer(std::move(plain));
  peer.line("RCPT TO:<b@b.test>").expect("503 5.5.1").line("MAIL FROM:<a@a.test>").expect("503 5.5.1");
  peer.line("DATA").expect("503 5.5.1").line("EHLO c.test").expect("250-").line("MAIL FROM:<a@a.test>").expect("250 ");
}

TEST_F(Tls, TL_06_a_stalled_handshake_ends) {
  auto settings = Harness::default_settings();
  settings.tls_timeout = Milliseconds(150);
  Harness harness(settings);
  starttls(harness);
  auto peer = upgrade(harness);
  const auto start = core::Steady::now();
  while (!peer.reply().empty()) {
  }
  EXPECT_LT(core::Steady::now() - start, kPatience);
  EXPECT_TRUE(eventually([&] { return harness.count(Counter::tls_in_failed) == 1; }));
}

TEST_F(Tls, TL_08_TLS_cut_inside_DATA_is_no_end_of_message) {
  Harness harness;
  starttls(harness);
  {
    TlsPeer peer(upgrade(harness));
    peer.line("EHLO c.test").expect("250-").line("MAIL FROM:<a@a.test>").expect("250 ");
    peer.line("RCPT TO:<b@b.test>").expect("250 ").line("DATA").expect("354 ").send("Subject: x\r\n\r\nhalf");
    peer.cut();
  }
  EXPECT_TRUE(eventually([&] { return harness.lines.text().find("session_end") != std::string::npos; }));
  EXPECT_EQ(harness.handler.message_count(), 0U);
  EXPECT_EQ(harness.handler.alive(), 0);
  EXPECT_NE(harness.lines.text().find("\"why\":\"reset\""), std::string::npos);
}

TEST_F(Tls, SM_02_false_ends_in_records_of_one_octet) {
  Harness harness;
  implicit(harness);
  for (const std::string_view sequence : {"\n.\n", "\r\n.\n", "\n.\r\n", "\r.\r", "\r\n.\r\r\n"}) {
    TlsPeer peer(harness.connect());
    peer.expect("220 ").line("EHLO c.test").expect("250-").line("MAIL FROM:<a@a.test>").expect("250 ");
    peer.line("RCPT TO:<b@b.test>").expect("250 ").line("DATA").expect("354 ");
    peer.drip("x")
        .drip(sequence)
        .drip("MAIL FROM:<evil@a.test>\r\nDATA\r\n\r\n.\r\n")
        .expect("550 5.6.0")
        .expect_closed();
  }
  EXPECT_EQ(harness.handler.message_count(), 0U);
}

TEST_F(Tls, SM_13_TLS_where_STARTTLS_was_due) {
  Harness harness;
  starttls(harness);
  auto peer = harness.connect();
  peer.expect("220 ");
  TlsPeer client(std::move(peer));
  EXPECT_FALSE(client.connected());
}

// The door says no to an implicit TLS client without a word: it would not understand one.
TEST_F(Tls, RS_02_a_refused_implicit_client_hears_nothing) {
  auto settings = Harness::default_settings();
  settings.connections = 0;
  Harness harness(settings);
  implicit(harness);
  auto peer = harness.connect();
  EXPECT_EQ(peer.reply(), "");
}

}  // namespace
}  // namespace smtpd::testing
