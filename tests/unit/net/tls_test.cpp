// TLS on Streams against each other and against plain OpenSSL where a peer has to misbehave.
#include "net/tls.hpp"

#include <malloc.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <csignal>
#include <fstream>
#include <optional>
#include <thread>
#include <vector>

#include "caller.hpp"
#include "certificates.hpp"
#include "net/stream.hpp"
#include "support.hpp"

namespace net {
namespace {

using namespace testing;
using Verify = TlsDemand::Verify;

class TlsTest : public ::testing::Test {
 protected:
  // Makes NAME.pem and NAME.key.
  CertificateFiles pair_of(const std::string& name, const CertificateSpec& spec) {
    CertificateFiles files{folder.file(name + ".pem"), folder.file(name + ".key")};
    write_certificate(spec, files.certificate, files.key);
    return files;
  }
  CertificateFiles simple_pair(const std::string& name = "mx.example") {
    CertificateSpec spec;
    spec.common_name = name;
    spec.dns_names = {name};
    return pair_of(name, spec);
  }
  std::shared_ptr<const TlsServer> server_of(TlsServerSettings settings) {
    std::string error;
    auto server = TlsServer::make(settings, error);
    EXPECT_TRUE(server) << error;
    return server;
  }
  std::shared_ptr<const TlsServer> simple_server() {
    TlsServerSettings settings;
    settings.pairs = {simple_pair()};
    return server_of(settings);
  }
  Caller client_of(Verify verify, const std::string& ca_file = "") { return make_caller(verify, ca_file); }

  struct Ends {
    std::unique_ptr<Stream> server, client;
    core::Result<void> server_result = core::Result<void>(), client_result = core::Result<void>();
  };
  // Both sides shake hands.
  Awaitable<void> shake(Ends& ends, const TlsServer& server, const Caller& client, std::string name) {
    auto sockets = connected_pair(context);
    ends.server = std::make_unique<Stream>(std::move(sockets.ours));
    ends.client = std::make_unique<Stream>(std::move(sockets.peer));
    bool done = false;
    asio::co_spawn(
        context,
        [](Ends& e, const TlsServer& s, bool& finished) -> Awaitable<void> {
          e.server_result = co_await e.server->start_tls(s, soon());
          finished = true;
        }(ends, server, done),
        asio::detached);
    ends.client_result = co_await client.call(*ends.client, std::move(name), soon());
    EXPECT_TRUE(co_await eventually([&] { return done; }));
  }

  asio::io_context context{1};
  TemporaryFolder folder;
};

// A peer made of OpenSSL itself, blocking, in a thread of its own.
class RawTls {
 public:
  enum class Side { client, server };
  RawTls(Socket socket, Side side, std::function<void(SSL*)> talk, std::function<void(SSL_CTX*)> prepare = {})
      : socket_(std::move(socket)) {
    socket_.native_non_blocking(false);
    thread_ = std::thread([this, side, talk = std::move(talk), prepare = std::move(prepare)] {
      sigset_t no_pipe;  // OpenSSL's own socket BIO raises SIGPIPE; blocked here only, as our side must not need it
      sigemptyset(&no_pipe);
      sigaddset(&no_pipe, SIGPIPE);
      pthread_sigmask(SIG_BLOCK, &no_pipe, nullptr);
      SSL_CTX* const context = SSL_CTX_new(side == Side::client ? TLS_client_method() : TLS_server_method());
      if (prepare) prepare(context);
      SSL* const ssl = SSL_new(context);
      SSL_set_fd(ssl, socket_.native_handle());
      if (side == Side::client) {
        SSL_set_connect_state(ssl);
      } else {
        SSL_set_accept_state(ssl);
      }
      talk(ssl);
      SSL_free(ssl);
      SSL_CTX_free(context);
      boost::system::error_code ignored;
      socket_.close(ignored);
    });
  }
  ~RawTls() { thread_.join(); }

 private:
  Socket socket_;
  std::thread thread_;
};

TEST_F(TlsTest, starttls_both_ways_on_one_stream) {
  const auto server = simple_server();
  const auto client = client_of(Verify::none);
  run(context, [&]() -> Awaitable<void> {
    auto sockets = connected_pair(context);
    Stream ours(std::move(sockets.ours));
    Stream theirs(std::move(sockets.peer));
    EXPECT_TRUE(co_await theirs.write("STARTTLS\r\n", soon()));
    EXPECT_TRUE(co_await ours.fill(soon()));
    EXPECT_EQ(ours.buffered(), "STARTTLS\r\n");
    ours.consume(10);
    EXPECT_TRUE(co_await ours.write("220 go\r\n", soon()));
    EXPECT_TRUE(co_await theirs.fill(soon()));
    theirs.consume(theirs.buffered().size());
    bool done = false;
    asio::co_spawn(
        context,
        [](Stream& s, const TlsServer& t, bool& finished) -> Awaitable<void> {
          EXPECT_TRUE(co_await s.start_tls(t, soon()));
          finished = true;
        }(ours, *server, done),
        asio::detached);
    EXPECT_FALSE(theirs.tls());
    EXPECT_TRUE(co_await client.call(theirs, "mx.example.", soon()));
    EXPECT_TRUE(co_await eventually([&] { return done; }));
    EXPECT_TRUE(ours.tls());
    EXPECT_EQ(ours.tls()->version, "TLSv1.3");
    EXPECT_EQ(ours.tls()->cipher, "TLS_AES_256_GCM_SHA384");
    EXPECT_EQ(ours.tls()->to_string(), "TLSv1.3 TLS_AES_256_GCM_SHA384");
    EXPECT_EQ(ours.tls()->server_name, "mx.example");
    EXPECT_EQ(ours.tls()->client_certificate, "");
    EXPECT_FALSE(ours.tls()->verified);
    EXPECT_FALSE(theirs.tls()->verified);
    EXPECT_EQ(ours.tls_error(), "");

    EXPECT_TRUE(co_await theirs.write("EHLO x\r\n", soon()));
    EXPECT_TRUE(co_await ours.fill(soon()));
    EXPECT_EQ(ours.buffered(), "EHLO x\r\n");
    ours.consume(8);
    const std::vector<std::string_view> pieces{"250-a\r\n", "", "250 b\r\n"};
    EXPECT_TRUE(co_await ours.write(pieces, soon()));
    EXPECT_TRUE(co_await theirs.fill(soon()));
    EXPECT_EQ(theirs.buffered(), "250-a\r\n250 b\r\n");  // one record
  });
}

TEST_F(TlsTest, large_data_in_odd_pieces_both_ways) {
  const auto server = simple_server();
  const auto client = client_of(Verify::none);
  run(context, [&]() -> Awaitable<void> {
    Ends ends;
    co_await shake(ends, *server, client, "mx.example");
    std::string big(3'000'000, '\0');
    for (std::size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>(i * 31 / 5);
    const std::string_view all = big;
    std::vector<std::string_view> pieces;
    for (std::size_t at = 0, size = 1; at < all.size(); at += size, size = size * 7 % 50'021 + 1) {
      pieces.push_back(all.substr(at, size));
    }
    for (auto* from : {ends.client.get(), ends.server.get()}) {
      Stream& to = from == ends.client.get() ? *ends.server : *ends.client;
      std::string got;
      to.set_buffer_limit(65536);
      asio::co_spawn(
          context,
          [](Stream& s, std::size_t size, std::string& into) -> Awaitable<void> {
            while (into.size() < size && co_await s.fill(soon())) {
              into += s.buffered();
              s.consume(s.buffered().size());
            }
          }(to, big.size(), got),
          asio::detached);
      EXPECT_TRUE(co_await from->write(pieces, soon()));
      EXPECT_TRUE(co_await eventually([&] { return got.size() >= big.size(); }));
      EXPECT_TRUE(got == big);
    }
  });
}

TEST_F(TlsTest, close_is_close_notify) {
  const auto server = simple_server();
  const auto client = client_of(Verify::none);
  run(context, [&]() -> Awaitable<void> {
    Ends ends;
    co_await shake(ends, *server, client, "");
    EXPECT_EQ(ends.server->tls()->server_name, "");
    EXPECT_TRUE(co_await ends.client->write("QUIT\r\n", soon()));
    ends.client->close();
    EXPECT_TRUE(co_await ends.server->fill(soon()));
    EXPECT_EQ(ends.server->buffered(), "QUIT\r\n");
    EXPECT_EQ((co_await ends.server->fill(soon())).error(), Errc::closed);
    EXPECT_EQ((co_await ends.server->fill(soon())).error(), Errc::closed);
  });
}

TEST_F(TlsTest, Threats_TL_08_the_end_without_close_notify_is_reset) {
  const auto server = simple_server();
  const auto client = client_of(Verify::none);
  run(context, [&]() -> Awaitable<void> {
    Ends ends;
    co_await shake(ends, *server, client, "mx.example");
    EXPECT_TRUE(co_await ends.client->write("half a message", soon()));
    ends.client.reset();  // FIN only
    EXPECT_TRUE(co_await ends.server->fill(soon()));
    EXPECT_EQ(ends.server->buffered(), "half a message");
    EXPECT_EQ((co_await ends.server->fill(soon())).error(), Errc::reset);
    EXPECT_EQ((co_await ends.server->fill(soon())).error(), Errc::reset);
    EXPECT_EQ((co_await ends.server->write("x", soon())).error(), Errc::reset);
  });
}

TEST_F(TlsTest, garbage_in_a_record_is_tls_failed) {
  const auto server = simple_server();
  const auto client = client_of(Verify::none);
  run(context, [&]() -> Awaitable<void> {
    auto sockets = connected_pair(context);
    Stream ours(std::move(sockets.ours));
    const int fd = sockets.peer.native_handle();
    const RawTls peer(std::move(sockets.peer), RawTls::Side::client, [fd](SSL* ssl) {
      EXPECT_EQ(SSL_connect(ssl), 1);
      static constexpr char kBad[] = "\x17\x03\x03\x00\x10garbagegarbagegg";
      EXPECT_GT(::send(fd, kBad, sizeof kBad - 1, 0), 0);
      char c = 0;
      SSL_read(ssl, &c, 1);  // the alert
    });
    EXPECT_TRUE(co_await ours.start_tls(*server, soon()));
    EXPECT_EQ((co_await ours.fill(soon())).error(), Errc::tls_failed);
    EXPECT_NE(ours.tls_error().find("decryption failed"), std::string::npos) << ours.tls_error();
    EXPECT_EQ((co_await ours.fill(soon())).error(), Errc::tls_failed);
    EXPECT_TRUE(ours.peer_gone());
    ours.close();
  });
}

TEST_F(TlsTest, plain_octets_instead_of_a_handshake_are_tls_failed) {
  const auto server = simple_server();
  const auto client = client_of(Verify::none);
  run(context, [&]() -> Awaitable<void> {
    for (const std::string garbage : {"EHLO plain\r\nMAIL FROM:<>\r\n", "GET / HTTP/1.0\r\n\r\n"}) {
      auto sockets = connected_pair(context);
      Stream ours(std::move(sockets.ours));
      asio::write(sockets.peer, asio::buffer(garbage));
      EXPECT_EQ((co_await ours.start_tls(*server, soon())).error(), Errc::tls_failed);
      EXPECT_NE(ours.tls_error(), "");
      EXPECT_FALSE(ours.tls());
      EXPECT_EQ((co_await ours.fill(soon())).error(), Errc::tls_failed);  // never falls back to plain
      EXPECT_EQ((co_await ours.write("x", soon())).error(), Errc::tls_failed);
      EXPECT_EQ(ours.buffered(), "");
    }
    auto sockets = connected_pair(context);
    Stream ours(std::move(sockets.ours));
    asio::write(sockets.peer, asio::buffer(std::string_view("554 no TLS here\r\n")));
    EXPECT_EQ((co_await client.call(ours, "mx.example", soon())).error(), Errc::tls_failed);
  });
}

// TL-01 and TL-03: what came before the handshake cannot survive it. Debug builds assert instead.
TEST_F(TlsTest, Threats_TL_01_TL_03_octets_in_the_buffer_forbid_the_handshake) {
  const auto server = simple_server();
  const auto client = client_of(Verify::none);
  run(context, [&]() -> Awaitable<void> {
    auto sockets = connected_pair(context);
    Stream ours(std::move(sockets.ours));
    asio::write(sockets.peer, asio::buffer(std::string_view("MAIL FROM:<>\r\n")));
    EXPECT_TRUE(co_await ours.fill(soon()));
#ifdef NDEBUG
    EXPECT_EQ((co_await ours.start_tls(*server, soon())).error(), Errc::protocol);
    EXPECT_EQ((co_await client.call(ours, "mx.example", soon())).error(), Errc::protocol);
#else
    EXPECT_DEATH(
        {
          asio::co_spawn(
              context, [](Stream& s, const TlsServer& t) -> Awaitable<void> {
                const auto result = co_await s.start_tls(t, soon());
                static_cast<void>(result);
              }(ours, *server),
              asio::detached);
          context.poll();
        },
        "input.size");
#endif
  });
}

// The injected command is still in the kernel when the handshake starts: it is taken for a broken hello, never for
// SMTP.
TEST_F(TlsTest, Threats_TL_01_octets_in_the_kernel_break_the_handshake) {
  const auto server = simple_server();
  run(context, [&]() -> Awaitable<void> {
    auto sockets = connected_pair(context);
    Stream ours(std::move(sockets.ours));
    const RawTls peer(std::move(sockets.peer), RawTls::Side::client, [](SSL* ssl) {
      static constexpr char kInjected[] = "MAIL FROM:<a@b>\r\n";
      EXPECT_GT(::send(SSL_get_fd(ssl), kInjected, sizeof kInjected - 1, 0), 0);
      EXPECT_NE(SSL_connect(ssl), 1);
    });
    EXPECT_EQ((co_await ours.start_tls(*server, soon())).error(), Errc::tls_failed);
    EXPECT_EQ(ours.buffered(), "");
    ours.close();
  });
}

TEST_F(TlsTest, Threats_TL_06_a_stalled_handshake_ends_at_its_deadline) {
  const auto server = simple_server();
  const auto client = client_of(Verify::none);
  run(context, [&]() -> Awaitable<void> {
    auto sockets = connected_pair(context);
    Stream ours(std::move(sockets.ours));
    const auto before = core::Steady::now();
    asio::write(sockets.peer, asio::buffer("\x16\x03\x01", 3));
    EXPECT_EQ((co_await ours.start_tls(*server, in(50ms))).error(), Errc::timed_out);
    EXPECT_GE(core::Steady::now() - before, 50ms);
    EXPECT_EQ(ours.tls_error(), "handshake not finished");
    EXPECT_EQ((co_await ours.write("421 too slow\r\n", soon())).error(), Errc::tls_failed);
    EXPECT_EQ((co_await ours.fill(soon())).error(), Errc::tls_failed);

    auto more = connected_pair(context);
    Stream connecting(std::move(more.ours));
    asio::steady_timer timer(context, 20ms);
    timer.async_wait([&](auto) { connecting.cancel(); });
    EXPECT_EQ((co_await client.call(connecting, "x", soon())).error(), Errc::cancelled);

    auto third = connected_pair(context);
    Stream broken(std::move(third.ours));
    third.peer.close();
    EXPECT_EQ((co_await broken.start_tls(*server, soon())).error(), Errc::tls_failed);
    EXPECT_NE(broken.tls_error(), "");
  });
}

TEST_F(TlsTest, Threats_TL_06_renegotiation_is_refused) {
  const auto server = simple_server();
  run(context, [&]() -> Awaitable<void> {
    auto sockets = connected_pair(context);
    Stream ours(std::move(sockets.ours));
    int renegotiated = 1;
    {
      const RawTls peer(
          std::move(sockets.peer), RawTls::Side::client,
          [&](SSL* ssl) {
            EXPECT_EQ(SSL_connect(ssl), 1);
            EXPECT_EQ(SSL_renegotiate(ssl), 1);
            renegotiated = SSL_do_handshake(ssl);
          },
          [](SSL_CTX* c) { SSL_CTX_set_max_proto_version(c, TLS1_2_VERSION); });
      EXPECT_TRUE(co_await ours.start_tls(*server, soon()));
      EXPECT_EQ(ours.tls()->version, "TLSv1.2");
      EXPECT_FALSE(co_await ours.fill(soon()));
      ours.close();
    }
    EXPECT_NE(renegotiated, 1);
  });
}

// A ticket of one listener must not be taken by another, nor after a reload.
TEST_F(TlsTest, Threats_TL_06_no_resumption_across_listeners) {
  const auto files = simple_pair();
  TlsServerSettings settings;
  settings.pairs = {files};
  settings.listener_name = "mx";
  const auto mx = server_of(settings);
  settings.listener_name = "submission";
  const auto submission = server_of(settings);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    SSL_SESSION* session = nullptr;
    const auto connect_to = [&](const TlsServer& server) {
      bool reused = false;
      run(context, [&]() -> Awaitable<void> {
        auto sockets = connected_pair(context);
        Stream ours(std::move(sockets.ours));
        const RawTls peer(
            std::move(sockets.peer), RawTls::Side::client,
            [&](SSL* ssl) {
              if (session != nullptr) SSL_set_session(ssl, session);
              EXPECT_EQ(SSL_connect(ssl), 1);
              char c = 0;
              EXPECT_EQ(SSL_read(ssl, &c, 1), 1);
              reused = SSL_session_reused(ssl) == 1;
              SSL_shutdown(ssl);
              if (session == nullptr) session = SSL_get1_session(ssl);
            },
            [&](SSL_CTX* c) {
              SSL_CTX_set_min_proto_version(c, version);
              SSL_CTX_set_max_proto_version(c, version);
            });
        EXPECT_TRUE(co_await ours.start_tls(server, soon()));
        EXPECT_TRUE(co_await ours.write("x", soon()));
        EXPECT_EQ((co_await ours.fill(soon())).error(), Errc::closed);
        ours.close();
      });
      return reused;
    };
    EXPECT_FALSE(connect_to(*mx));
    EXPECT_TRUE(connect_to(*mx)) << "tickets are on";
    EXPECT_FALSE(connect_to(*submission));
    SSL_SESSION_free(session);
  }
}

TEST_F(TlsTest, sni_and_key_type_choose_the_certificate) {
  const auto spec = [](std::vector<std::string> names, CertificateSpec::Key key) {
    CertificateSpec s;
    s.common_name = names.front();
    s.dns_names = std::move(names);
    s.key = key;
    return s;
  };
  using K = CertificateSpec::Key;
  TlsServerSettings settings;
  settings.pairs = {pair_of("default-rsa", spec({"default.example"}, K::rsa2048)),
                    pair_of("default-ec", spec({"default.example", "alias.example"}, K::p256)),
                    pair_of("b", spec({"B.example", "*.wild.example"}, K::p256)),
                    pair_of("c", spec({"x.wild.example"}, K::rsa2048)), pair_of("common", [] {
                      CertificateSpec s;
                      s.common_name = "common.example";
                      return s;
                    }())};
  const auto server = server_of(settings);
  // What a client sees: the subject, and the key's type.
  const auto seen = [&](const char* name, const char* signatures) {
    std::string subject;
    run(context, [&]() -> Awaitable<void> {
      auto sockets = connected_pair(context);
      Stream ours(std::move(sockets.ours));
      const RawTls peer(std::move(sockets.peer), RawTls::Side::client, [&](SSL* ssl) {
        SSL_set1_sigalgs_list(ssl, signatures);
        if (name != nullptr) SSL_set_tlsext_host_name(ssl, name);
        EXPECT_EQ(SSL_connect(ssl), 1) << (name != nullptr ? name : "none");
        X509* const certificate = SSL_get0_peer_certificate(ssl);
        if (certificate == nullptr) return;
        char text[200] = {};
        X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, text, sizeof text);
        subject = text;
        subject += EVP_PKEY_get_base_id(X509_get0_pubkey(certificate)) == EVP_PKEY_RSA ? " rsa" : " ec";
      });
      EXPECT_TRUE(co_await ours.start_tls(*server, soon()));
    });
    return subject;
  };
  constexpr auto kBoth = "ECDSA+SHA256:RSA-PSS+SHA256";
  constexpr auto kRsa = "RSA-PSS+SHA256";
  constexpr auto kEc = "ECDSA+SHA256";
  EXPECT_EQ(seen(nullptr, kRsa), "default.example rsa");
  EXPECT_EQ(seen(nullptr, kEc), "default.example ec");
  EXPECT_EQ(seen("nobody.example", kRsa), "default.example rsa");
  EXPECT_EQ(seen("default.example", kEc), "default.example ec");
  EXPECT_EQ(seen("alias.example", kBoth), "default.example ec");
  EXPECT_EQ(seen("b.EXAMPLE", kBoth), "B.example ec");
  EXPECT_EQ(seen("any.wild.example", kEc), "B.example ec");
  EXPECT_EQ(seen("x.wild.example", kRsa), "x.wild.example rsa");
  EXPECT_EQ(seen("x.wild.example", kEc), "B.example ec");
  EXPECT_EQ(seen("a.b.wild.example", kRsa), "default.example rsa");  // a wildcard is one label
  EXPECT_EQ(seen("common.example", kBoth), "common.example ec");
  // TL-07: odd octets select the default and stay opaque.
  EXPECT_EQ(seen("b.example\\", kRsa), "default.example rsa");
  EXPECT_EQ(seen("\x01\xff'; DROP", kRsa), "default.example rsa");
  EXPECT_EQ(seen((std::string(250, 'a') + ".b").c_str(), kRsa), "default.example rsa");
}

TEST_F(TlsTest, Threats_TL_07_an_odd_sni_is_opaque_in_logs) {
  const auto server = simple_server();
  run(context, [&]() -> Awaitable<void> {
    auto sockets = connected_pair(context);
    Stream ours(std::move(sockets.ours));
    const RawTls peer(std::move(sockets.peer), RawTls::Side::client, [](SSL* ssl) {
      SSL_set_tlsext_host_name(ssl, "evil\r\nname\x1b[2J\xe2\x80\xae\\");
      EXPECT_EQ(SSL_connect(ssl), 1);
    });
    EXPECT_TRUE(co_await ours.start_tls(*server, soon()));
    EXPECT_EQ(ours.tls()->server_name, "evil??name?[2J???\\");
  });
}

// OpenSSL refuses a NUL itself; whatever it answers, the listener lives and the next client is served.
TEST_F(TlsTest, Threats_TL_07_a_nul_or_overlong_sni_does_no_harm) {
  const auto server = simple_server();
  const auto client = client_of(Verify::none);
  // A ClientHello with the given server_name octets.
  const auto hello = [](const std::string& name) {
    const auto two = [](std::size_t n) { return std::string{static_cast<char>(n >> 8), static_cast<char>(n & 0xff)}; };
    std::string entry = std::string(1, '\0') + two(name.size()) + name;
    std::string extension = std::string("\0\0", 2) + two(entry.size() + 2) + two(entry.size()) + entry;
    std::string body = "\x03\x03" + std::string(32, 'r') + std::string(1, '\0') + two(2) + "\xc0\x2b" +
                       std::string("\x01\x00", 2) + two(extension.size()) + extension;
    std::string handshake = std::string("\x01\x00", 2) + two(body.size()) + body;
    return "\x16\x03\x01" + two(handshake.size()) + handshake;
  };
  run(context, [&]() -> Awaitable<void> {
    for (const auto& name : {std::string("mx.example\0evil", 15), std::string(1, '\0'), std::string(300, 'a'),
                             std::string(60000, 'b'), std::string()}) {
      auto sockets = connected_pair(context);
      Stream ours(std::move(sockets.ours));
      asio::write(sockets.peer, asio::buffer(hello(name)));
      sockets.peer.shutdown(Socket::shutdown_send);
      EXPECT_EQ((co_await ours.start_tls(*server, soon())).error(), Errc::tls_failed);
      for (const char c : ours.tls_error()) EXPECT_TRUE(c >= ' ' && c <= '~');
    }
    Ends ends;
    co_await shake(ends, *server, client, "mx.example");
    EXPECT_TRUE(ends.server_result);
    EXPECT_TRUE(ends.client_result);
  });
}

TEST_F(TlsTest, Threats_TL_07_a_certificate_with_an_odd_name_is_not_selected_by_it) {
  CertificateSpec odd;
  odd.common_name = "odd";
  odd.dns_names = {std::string("mx.example\0.evil", 16), "back\\slash", "fine.example", std::string(300, 'a')};
  TlsServerSettings settings;
  settings.pairs = {simple_pair("default.example"), pair_of("odd", odd)};
  const auto server = server_of(settings);
  const auto client = client_of(Verify::roots, settings.pairs[0].certificate);
  run(context, [&]() -> Awaitable<void> {
    Ends ends;
    co_await shake(ends, *server, client, "default.example");
    EXPECT_TRUE(ends.client_result);
  });
}

TEST_F(TlsTest, client_verification) {
  CertificateSpec spec;
  spec.common_name = "mx.example";
  spec.dns_names = {"mx.example", "*.pool.example"};
  spec.ip_addresses = {"127.0.0.1"};
  TlsServerSettings settings;
  settings.pairs = {pair_of("mx", spec)};
  const auto server = server_of(settings);
  const auto trusting = client_of(Verify::roots, settings.pairs[0].certificate);
  const auto stranger = client_of(Verify::roots, simple_pair("other.example").certificate);
  const auto careless = client_of(Verify::none);
  struct Case {
    const Caller& client;
    std::string name;
    bool works, verified;
  };
  for (const auto& c : {Case{trusting, "mx.example", true, true}, Case{trusting, "MX.Example.", true, true},
                        Case{trusting, "a.pool.example", true, true}, Case{trusting, "127.0.0.1", true, true},
                        Case{trusting, "a.b.pool.example", false, false}, Case{trusting, "other.example", false, false},
                        Case{trusting, "127.0.0.2", false, false}, Case{trusting, "", false, false},
                        Case{trusting, std::string("mx.example\0x", 12), false, false},
                        Case{trusting, std::string(300, 'a'), false, false}, Case{stranger, "mx.example", false, false},
                        Case{careless, "other.example", true, false}, Case{careless, "", true, false},
                        Case{careless, "127.0.0.1", true, false}, Case{careless, std::string(300, 'a'), true, false}}) {
    run(context, [&]() -> Awaitable<void> {
      Ends ends;
      auto sockets = connected_pair(context);
      ends.server = std::make_unique<Stream>(std::move(sockets.ours));
      ends.client = std::make_unique<Stream>(std::move(sockets.peer));
      asio::co_spawn(
          context,
          [](Ends& e, const TlsServer& s) -> Awaitable<void> {
            e.server_result = co_await e.server->start_tls(s, soon());
          }(ends, *server),
          asio::detached);
      const auto result = co_await c.client.call(*ends.client, c.name, soon());
      EXPECT_EQ(result.has_value(), c.works) << c.name << ": " << ends.client->tls_error();
      if (result) {
        EXPECT_EQ(ends.client->tls()->verified, c.verified) << c.name;
      } else {
        EXPECT_EQ(result.error(), Errc::tls_failed);
        EXPECT_NE(ends.client->tls_error(), "");
      }
      ends.client->close();
      EXPECT_TRUE(co_await eventually([&] { return !ends.server->is_open() || ends.server->peer_gone(); }));
      ends.server->cancel();
      asio::steady_timer timer(context, 1ms);
      co_await timer.async_wait(asio::use_awaitable);
    });
  }
  run(context, [&]() -> Awaitable<void> {  // an IP literal is no SNI
    Ends ends;
    co_await shake(ends, *server, trusting, "127.0.0.1");
    EXPECT_EQ(ends.server->tls()->server_name, "");
  });
}

TEST_F(TlsTest, a_client_certificate_is_logged_and_not_required) {
  const auto server = simple_server();
  CertificateSpec spec;
  spec.common_name = "client\nof \xc3\xa4";
  const auto files = pair_of("client", spec);
  run(context, [&]() -> Awaitable<void> {
    auto sockets = connected_pair(context);
    Stream ours(std::move(sockets.ours));
    const RawTls peer(
        std::move(sockets.peer), RawTls::Side::client, [](SSL* ssl) { EXPECT_EQ(SSL_connect(ssl), 1); },
        [&](SSL_CTX* c) {
          EXPECT_EQ(SSL_CTX_use_certificate_file(c, files.certificate.c_str(), SSL_FILETYPE_PEM), 1);
          EXPECT_EQ(SSL_CTX_use_PrivateKey_file(c, files.key.c_str(), SSL_FILETYPE_PEM), 1);
        });
    EXPECT_TRUE(co_await ours.start_tls(*server, soon()));
    EXPECT_TRUE(ours.tls()->client_certificate.starts_with("CN=client\\0Aof")) << ours.tls()->client_certificate;
    EXPECT_FALSE(ours.tls()->verified);
  });
}

TEST_F(TlsTest, Threats_TL_06_a_huge_client_certificate_is_refused) {
  const auto server = simple_server();
  for (const int names : {100, 3000}) {
    CertificateSpec spec;
    for (int i = 0; i < names; ++i) spec.dns_names.push_back("name-" + std::to_string(i) + ".client.example");
    const auto files = pair_of("client", spec);
    run(context, [&]() -> Awaitable<void> {
      auto sockets = connected_pair(context);
      Stream ours(std::move(sockets.ours));
      const RawTls peer(
          std::move(sockets.peer), RawTls::Side::client,
          [](SSL* ssl) {
            SSL_connect(ssl);
            char c = 0;
            SSL_read(ssl, &c, 1);
          },
          [&](SSL_CTX* c) {
            SSL_CTX_use_certificate_file(c, files.certificate.c_str(), SSL_FILETYPE_PEM);
            SSL_CTX_use_PrivateKey_file(c, files.key.c_str(), SSL_FILETYPE_PEM);
          });
      const auto result = co_await ours.start_tls(*server, soon());
      EXPECT_EQ(result.has_value(), names == 100) << ours.tls_error();
      if (names > 100) EXPECT_EQ(ours.tls_error(), "excessive message size");
      ours.close();
    });
  }
}

TEST_F(TlsTest, versions_and_ciphers_are_as_configured) {
  TlsServerSettings settings;
  settings.pairs = {simple_pair()};
  const auto offer = [&](int version) {
    std::string result;
    const auto server = server_of(settings);
    run(context, [&]() -> Awaitable<void> {
      auto sockets = connected_pair(context);
      Stream ours(std::move(sockets.ours));
      const RawTls peer(
          std::move(sockets.peer), RawTls::Side::client, [](SSL* ssl) { SSL_connect(ssl); },
          [&](SSL_CTX* c) {
            SSL_CTX_set_cipher_list(c, "DEFAULT:@SECLEVEL=0");
            SSL_CTX_set_min_proto_version(c, version);
            SSL_CTX_set_max_proto_version(c, version);
          });
      const auto done = co_await ours.start_tls(*server, soon());
      result = done ? ours.tls()->to_string() : core::describe(done.error());
      ours.close();
    });
    return result;
  };
  EXPECT_EQ(offer(TLS1_1_VERSION), "TLS failed");
  EXPECT_TRUE(offer(TLS1_2_VERSION).starts_with("TLSv1.2 ECDHE-ECDSA-"));
  settings.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256";
  settings.ciphersuites = "TLS_CHACHA20_POLY1305_SHA256";
  EXPECT_EQ(offer(TLS1_2_VERSION), "TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256");
  EXPECT_EQ(offer(TLS1_3_VERSION), "TLSv1.3 TLS_CHACHA20_POLY1305_SHA256");
  settings.min_version = "1.3";
  EXPECT_EQ(offer(TLS1_2_VERSION), "TLS failed");
  settings.ciphers = settings.ciphersuites = "";
  settings.min_version = "1.1";
  EXPECT_TRUE(offer(TLS1_1_VERSION).starts_with("TLSv1.1 "));
  EXPECT_EQ(offer(TLS1_VERSION), "TLS failed");
}

TEST_F(TlsTest, Threats_TL_09_what_is_wrong_is_named_with_its_file) {
  const auto good = simple_pair("good.example");
  const auto other = simple_pair("other.example");
  CertificateSpec expired;
  expired.valid_from = -7200;
  expired.valid_until = -3600;
  CertificateSpec future;
  future.valid_from = 3600;
  const auto empty = folder.file("empty");
  std::ofstream(empty).flush();
  const auto cut = folder.file("cut");
  {
    std::ifstream in(good.certificate);
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    std::ofstream(cut) << text << text.substr(0, 200) << "\n";
  }
  const auto secret = folder.file("secret.key");
  write_encrypted_key(secret);
  struct Case {
    CertificateFiles files;
    std::string file, reason;
  };
  for (const auto& c : {
           Case{{good.certificate, other.key}, other.key, "is not the key of the certificate in " + good.certificate},
           Case{{folder.file("none"), good.key}, folder.file("none"), "No such file or directory"},
           Case{{good.certificate, folder.file("none")}, folder.file("none"), "No such file or directory"},
           Case{{empty, good.key}, empty, "no certificate"},
           Case{{good.certificate, empty}, empty, "no private key"},
           Case{{good.key, good.key}, good.key, "no certificate"},
           Case{{good.certificate, good.certificate}, good.certificate, "no private key"},
           Case{{cut, good.key}, cut, "chain"},
           Case{{good.certificate, secret}, secret, "pass phrase"},
           Case{pair_of("expired", expired), folder.file("expired.pem"), "has expired"},
           Case{pair_of("future", future), folder.file("future.pem"), "not valid yet"},
           Case{{folder.path(), good.key}, folder.path(), ""},
       }) {
    for (const bool first : {true, false}) {
      TlsServerSettings settings;
      if (!first) settings.pairs.push_back(good);
      settings.pairs.push_back(c.files);
      std::string error;
      EXPECT_FALSE(TlsServer::make(settings, error)) << c.reason;
      EXPECT_TRUE(error.starts_with(c.file + ": ")) << error;
      EXPECT_NE(error.find(c.reason), std::string::npos) << error;
    }
  }
  const auto fails = [&](auto change, const std::string& reason) {
    TlsServerSettings settings;
    settings.pairs = {good};
    change(settings);
    std::string error;
    EXPECT_FALSE(TlsServer::make(settings, error));
    EXPECT_TRUE(error.starts_with(reason)) << error;
  };
  fails([](auto& s) { s.pairs.clear(); }, "TLS: no certificate");
  fails([](auto& s) { s.min_version = "1.0"; }, "tls.min_version: \"1.0\"");
  fails([](auto& s) { s.ciphers = "nonsense"; }, "tls.ciphers: ");
  fails([](auto& s) { s.ciphersuites = "nonsense"; }, "tls.ciphersuites: ");
  std::string error;
  EXPECT_FALSE(TlsClient::make(TlsClient::Roots::load, folder.file("none"), error));
  EXPECT_TRUE(error.starts_with(folder.file("none") + ": ")) << error;
  EXPECT_EQ(ERR_peek_error(), 0U) << "nothing left for the next caller to misread";
}

// A pooled connection: tickets and key updates are no octets to read, replies are, and close_notify is an end.
TEST_F(TlsTest, peer_gone_and_readable_see_through_tls) {
  const auto server = simple_server();
  const auto client = client_of(Verify::none);
  run(context, [&]() -> Awaitable<void> {
    Ends ends;
    co_await shake(ends, *server, client, "mx.example");
    EXPECT_FALSE(ends.client->readable());  // session tickets wait in the socket
    EXPECT_FALSE(ends.client->peer_gone());
    EXPECT_TRUE(co_await ends.server->write("421 bye\r\n", soon()));
    EXPECT_TRUE(co_await eventually([&] { return ends.client->readable(); }));
    EXPECT_FALSE(ends.client->peer_gone());
    EXPECT_EQ((co_await ends.client->fill(soon())).value(), 9U);
    EXPECT_EQ(ends.client->buffered(), "421 bye\r\n");
    ends.client->consume(9);
    EXPECT_FALSE(ends.client->readable());
    ends.server->close();
    EXPECT_TRUE(co_await eventually([&] { return ends.client->peer_gone(); }));
    EXPECT_TRUE(ends.client->readable());
    EXPECT_EQ((co_await ends.client->fill(soon())).error(), Errc::closed);
  });
}

// 10,000 idle clients on TLS cost the server ends. (Our client ends keep 16 KB more, OpenSSL's buffer for tickets.)
TEST_F(TlsTest, Threats_RS_02_an_idle_server_end_costs_little_memory) {
  const auto server = simple_server();
  const auto client = client_of(Verify::none);
  run(context, [&]() -> Awaitable<void> {
    constexpr std::size_t kPairs = 50;
    std::vector<Ends> all(kPairs);
    for (auto& ends : all) {
      co_await shake(ends, *server, client, "mx.example");
      EXPECT_TRUE(co_await ends.client->write("NOOP\r\n", soon()));
      EXPECT_TRUE(co_await ends.server->fill(soon()));
      ends.server->consume(6);
      EXPECT_EQ((co_await ends.server->fill(in(1ms))).error(), Errc::timed_out);  // gives its buffer back
    }
    const auto before = mallinfo2().uordblks;
    for (auto& ends : all) ends.server.reset();
    const auto each = (before - mallinfo2().uordblks) / kPairs;
    std::printf("idle TLS stream, server end: %zu octets\n", each);
    if (!kSanitized) EXPECT_LT(each, 18'000U);
  });
}

}  // namespace
}  // namespace net
