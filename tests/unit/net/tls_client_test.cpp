// What a client may demand of a server's certificate: nothing, to watch, encryption, roots, DANE (RFC 6698, 7671,
// 7672).
#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <array>
#include <csignal>
#include <fstream>
#include <iterator>
#include <thread>

#include "caller.hpp"
#include "certificates.hpp"
#include "net/certificate.hpp"
#include "net/tlsa.hpp"
#include "support.hpp"

namespace net {
namespace {

using namespace testing;
using Verify = TlsDemand::Verify;

std::string digest(const EVP_MD* algorithm, std::string_view octets) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned size = 0;
  EVP_Digest(octets.data(), octets.size(), out.data(), &size, algorithm, nullptr);
  return {reinterpret_cast<const char*>(out.data()), size};
}

// The record of the `index`th certificate in a PEM file.
Tlsa record_of(const std::string& file, int usage, int selector, int matching, int index = 0) {
  BIO* const in = BIO_new_file(file.c_str(), "r");
  X509* certificate = nullptr;
  for (int i = 0; i <= index; ++i) {
    X509_free(certificate);
    certificate = PEM_read_bio_X509(in, nullptr, nullptr, nullptr);
  }
  BIO_free_all(in);
  unsigned char* der = nullptr;
  const int size =
      selector == 0 ? i2d_X509(certificate, &der) : i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  std::string octets(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  X509_free(certificate);
  Tlsa record;
  record.usage = static_cast<std::uint8_t>(usage);
  record.selector = static_cast<std::uint8_t>(selector);
  record.matching = static_cast<std::uint8_t>(matching);
  record.data = matching == 0 ? octets : digest(matching == 1 ? EVP_sha256() : EVP_sha512(), octets);
  return record;
}

class TlsClientTest : public ::testing::Test {
 protected:
  CertificateFiles write(const std::string& name, const CertificateSpec& spec) {
    CertificateFiles files{folder.file(name + ".pem"), folder.file(name + ".key")};
    write_certificate(spec, files.certificate, files.key);
    return files;
  }
  CertificateSpec named(const std::string& name) {
    CertificateSpec spec;
    spec.common_name = name;
    spec.dns_names = {name};
    return spec;
  }

  struct Outcome {
    bool done = false;
    TlsInfo info;
    TlsFault fault = TlsFault::none;
    std::string error, seen_name;
  };
  Outcome connect(const CertificateFiles& files, const TlsClient& client, const TlsDemand& demand) {
    TlsServerSettings settings;
    settings.pairs = {files};
    std::string error;
    const auto server = TlsServer::make(settings, error);
    EXPECT_TRUE(server) << error;
    Outcome outcome;
    run(context, [&]() -> Awaitable<void> {
      auto sockets = connected_pair(context);
      Stream theirs(std::move(sockets.ours)), ours(std::move(sockets.peer));
      bool ended = false;
      asio::co_spawn(
          context,
          [](Stream& s, const TlsServer& t, bool& end) -> Awaitable<void> {
            static_cast<void>(co_await s.start_tls(t, soon()));
            end = true;
          }(theirs, *server, ended),
          asio::detached);
      const auto result = co_await ours.start_tls(client, demand, soon());
      outcome.done = result.has_value();
      if (ours.tls()) outcome.info = *ours.tls();
      outcome.fault = ours.tls_fault();
      outcome.error = ours.tls_error();
      ours.close();
      EXPECT_TRUE(co_await eventually([&] { return ended; }));
      if (theirs.tls()) outcome.seen_name = theirs.tls()->server_name;
    });
    return outcome;
  }
  // The same with a server made of OpenSSL alone, which takes what ours refuses: old versions, expired certificates.
  Outcome connect_raw(const CertificateFiles& files, const TlsClient& client, const TlsDemand& demand,
                      int max_version) {
    Outcome outcome;
    run(context, [&]() -> Awaitable<void> {
      auto sockets = connected_pair(context);
      Stream ours(std::move(sockets.ours));
      std::thread server([&files, max_version, socket = std::move(sockets.peer)]() mutable {
        sigset_t no_pipe;  // OpenSSL's own socket BIO raises SIGPIPE
        sigemptyset(&no_pipe);
        sigaddset(&no_pipe, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &no_pipe, nullptr);
        socket.native_non_blocking(false);
        SSL_CTX* const c = SSL_CTX_new(TLS_server_method());
        SSL_CTX_set_cipher_list(c, "DEFAULT:@SECLEVEL=0");
        SSL_CTX_set_min_proto_version(c, TLS1_VERSION);
        SSL_CTX_set_max_proto_version(c, max_version);
        SSL_CTX_use_certificate_file(c, files.certificate.c_str(), SSL_FILETYPE_PEM);
        SSL_CTX_use_PrivateKey_file(c, files.key.c_str(), SSL_FILETYPE_PEM);
        SSL* const ssl = SSL_new(c);
        SSL_set_fd(ssl, socket.native_handle());
        SSL_accept(ssl);
        SSL_free(ssl);
        SSL_CTX_free(c);
      });
      const auto result = co_await ours.start_tls(client, demand, soon());
      outcome.done = result.has_value();
      if (ours.tls()) outcome.info = *ours.tls();
      outcome.fault = ours.tls_fault();
      outcome.error = ours.tls_error();
      ours.close();
      server.join();
    });
    return outcome;
  }
  TlsDemand dane(std::vector<Tlsa> records, const std::string& name = "mx.example") {
    TlsDemand demand;
    demand.verify = Verify::dane;
    demand.server_name = name;
    demand.tlsa = std::move(records);
    return demand;
  }
  std::shared_ptr<const TlsClient> plain_client() { return make_caller(Verify::none).client; }

  asio::io_context context{1};
  TemporaryFolder folder;
};

TEST_F(TlsClientTest, dane_ee_matches_in_every_form_whatever_the_name_and_the_date) {
  const auto client = plain_client();
  auto spec = named("somebody.else.example");
  const auto files = write("ee", spec);
  for (const int selector : {0, 1}) {
    for (const int matching : {0, 1, 2}) {
      const auto outcome = connect(files, *client, dane({record_of(files.certificate, 3, selector, matching)}));
      EXPECT_TRUE(outcome.done) << selector << matching << outcome.error;
      EXPECT_TRUE(outcome.info.verified && outcome.info.by_dane);
      EXPECT_EQ(outcome.seen_name, "mx.example");  // SNI is the TLSA base domain (RFC 7672 §8.1)
    }
  }
}

TEST_F(TlsClientTest, a_dane_mismatch_is_no_session) {
  const auto client = plain_client();
  const auto files = write("ee", named("mx.example"));
  const auto other = write("other", named("mx.example"));
  const auto wrong = record_of(other.certificate, 3, 1, 1);
  const auto outcome = connect(files, *client, dane({wrong}));
  EXPECT_FALSE(outcome.done);
  EXPECT_EQ(outcome.fault, TlsFault::tlsa_mismatch);
  EXPECT_EQ(outcome.error, "certificate: no matching DANE TLSA records");
  // Rollover: the old record beside the new one.
  EXPECT_TRUE(connect(files, *client, dane({wrong, record_of(files.certificate, 3, 1, 1)})).done);
}

TEST_F(TlsClientTest, dane_ta_needs_the_chain_the_name_and_the_date) {
  const auto client = plain_client();
  CertificateSpec authority = named("Our CA");
  authority.authority = true;
  const auto ca = write("ca", authority);
  const auto leaf = [&](const std::string& file, CertificateSpec spec) {
    spec.issuer_certificate = ca.certificate;
    spec.issuer_key = ca.key;
    return write(file, spec);
  };
  const auto good = leaf("good", named("mx.example"));
  for (const int matching : {0, 1, 2}) {
    const auto record = record_of(good.certificate, 2, matching == 0 ? 0 : 1, matching, 1);
    const auto outcome = connect(good, *client, dane({record}));
    EXPECT_TRUE(outcome.done && outcome.info.by_dane) << matching << outcome.error;
  }
  const auto record = record_of(good.certificate, 2, 1, 1, 1);
  EXPECT_EQ(connect(good, *client, dane({record}, "other.example")).fault, TlsFault::wrong_name);
  auto demand = dane({record}, "other.example");
  demand.also_named = {"mx.example"};  // RFC 7672 §3.2.2: the next-hop domain, or the MX name before its alias
  EXPECT_TRUE(connect(good, *client, demand).done);
  const auto mere_name = named("mx.example");
  auto common = mere_name;
  common.dns_names.clear();
  EXPECT_TRUE(connect(leaf("common", common), *client, dane({record})).done);
  EXPECT_FALSE(connect(write("self", mere_name), *client, dane({record})).done);
}

TEST_F(TlsClientTest, Threats_TL_05_unusable_records_do_no_harm) {
  const auto client = plain_client();
  const auto files = write("ee", named("mx.example"));
  const auto good = record_of(files.certificate, 3, 1, 1);
  std::vector<Tlsa> bad;
  const auto with = [&](auto change) {
    Tlsa record = good;
    change(record);
    bad.push_back(std::move(record));
  };
  with([](Tlsa& r) { r.usage = 0; });  // PKIX-TA and PKIX-EE are not for mail
  with([](Tlsa& r) { r.usage = 1; });
  with([](Tlsa& r) { r.usage = 4; });
  with([](Tlsa& r) { r.usage = 255; });
  with([](Tlsa& r) { r.selector = 2; });
  with([](Tlsa& r) { r.matching = 3; });
  with([](Tlsa& r) { r.data.clear(); });
  with([](Tlsa& r) { r.data.pop_back(); });
  with([](Tlsa& r) { r.data += '\0'; });
  with([](Tlsa& r) { r.matching = 0; });  // no certificate
  with([](Tlsa& r) { r.data.assign(65'532, '\xff'); });
  with([](Tlsa& r) {
    r.matching = 0;
    r.data.assign(65'532, '\x30');
  });
  EXPECT_TRUE(client->usable(bad).empty());
  const auto outcome = connect(files, *client, dane(bad));
  EXPECT_FALSE(outcome.done);
  EXPECT_EQ(outcome.error, "no usable TLSA record");
  bad.push_back(good);
  EXPECT_EQ(client->usable(bad), std::vector{good});
  EXPECT_TRUE(connect(files, *client, dane(bad)).done);
  EXPECT_FALSE(connect(files, *client, dane({good}, "127.0.0.1")).done) << "an address has no TLSA record";
  EXPECT_FALSE(connect(files, *client, dane({good}, "")).done);
  for (const std::size_t size : {0U, 1U, 2U, 3U}) EXPECT_FALSE(parse_tlsa(std::string(size, '\3')));
  EXPECT_EQ(parse_tlsa(std::string("\3\1\1") + good.data), good);
  EXPECT_EQ(parse_tlsa(std::string(65'535, '\3'))->data.size(), 65'532U);
}

TEST_F(TlsClientTest, roots_and_watch_see_the_same_and_only_roots_insist) {
  struct Case {
    std::string file;
    CertificateSpec spec;
    TlsFault fault;
  };
  auto only_common = named("mx.example");
  only_common.dns_names.clear();
  CertificateSpec authority = named("Our CA");
  authority.authority = true;
  const auto ca = write("ca", authority);
  const auto by_ca = [&](CertificateSpec spec) {
    spec.issuer_certificate = ca.certificate;
    spec.issuer_key = ca.key;
    return spec;
  };
  for (const auto& c : {Case{"good", by_ca(named("mx.example")), TlsFault::none},
                        Case{"name", by_ca(named("other.example")), TlsFault::wrong_name},
                        Case{"common", by_ca(only_common), TlsFault::wrong_name},
                        Case{"self", named("mx.example"), TlsFault::untrusted}}) {
    const auto files = write(c.file, c.spec);
    for (const auto verify : {Verify::roots, Verify::watch, Verify::encrypt, Verify::none}) {
      const auto caller = make_caller(verify, ca.certificate);
      TlsDemand demand;
      demand.verify = verify;
      demand.server_name = "mx.example";
      const auto outcome = connect(files, *caller.client, demand);
      const bool good = c.fault == TlsFault::none;
      const bool looks = verify == Verify::roots || verify == Verify::watch;
      EXPECT_EQ(outcome.done, good || verify != Verify::roots) << c.file << outcome.error;
      EXPECT_EQ(outcome.info.verified, good && looks) << c.file;
      EXPECT_FALSE(outcome.info.by_dane);
      if (verify == Verify::roots) EXPECT_EQ(outcome.fault, c.fault) << c.file << outcome.error;
      if (verify == Verify::watch) EXPECT_EQ(outcome.info.fault, c.fault) << c.file;
      if (!looks) EXPECT_EQ(outcome.info.fault, TlsFault::none);
    }
  }
  TlsDemand demand;
  demand.verify = Verify::roots;
  demand.server_name = "mx.example";
  const auto rootless = connect(write("any", named("mx.example")), *plain_client(), demand);
  EXPECT_EQ(rootless.error, "no certificate authorities are loaded");
  demand.verify = Verify::watch;
  EXPECT_TRUE(connect(write("any", named("mx.example")), *plain_client(), demand).done);
}

// RFC 8996: what is demanded is demanded of TLS 1.2 or newer; the opportunistic client takes what there is.
TEST_F(TlsClientTest, old_versions_are_for_opportunists_only) {
  const auto files = write("old", named("mx.example"));
  const auto record = record_of(files.certificate, 3, 1, 1);
  for (const auto verify : {Verify::none, Verify::watch, Verify::encrypt, Verify::roots, Verify::dane}) {
    const auto caller = make_caller(verify, files.certificate);
    TlsDemand demand = dane({record});
    demand.verify = verify;
    const auto outcome = connect_raw(files, *caller.client, demand, TLS1_1_VERSION);
    const bool opportunist = verify == Verify::none || verify == Verify::watch;
    EXPECT_EQ(outcome.done, opportunist);
    EXPECT_EQ(outcome.fault, opportunist ? TlsFault::none : TlsFault::handshake);
  }
}

TEST_F(TlsClientTest, expired_is_no_good_by_roots_and_of_no_concern_to_usage_3) {
  auto spec = named("mx.example");
  spec.valid_from = -7200;
  spec.valid_until = -3600;
  const auto files = write("expired", spec);
  const auto rooted = make_caller(Verify::roots, files.certificate);
  TlsDemand demand;
  demand.server_name = "mx.example";
  demand.verify = Verify::roots;
  EXPECT_EQ(connect_raw(files, *rooted.client, demand, TLS1_3_VERSION).fault, TlsFault::expired);
  demand.verify = Verify::watch;
  const auto watched = connect_raw(files, *rooted.client, demand, TLS1_3_VERSION);
  EXPECT_TRUE(watched.done);
  EXPECT_EQ(watched.info.fault, TlsFault::expired);
  const auto by_key = dane({record_of(files.certificate, 3, 1, 1)});  // RFC 7671 §5.1
  EXPECT_TRUE(connect_raw(files, *rooted.client, by_key, TLS1_3_VERSION).info.by_dane);
}

TEST_F(TlsClientTest, the_record_to_publish) {
  const auto files = write("ours", named("mx.example"));
  const auto content = [](const std::string& file) {
    std::ifstream in(file);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  const auto ours = summarise_certificate(content(files.certificate));
  ASSERT_TRUE(ours);
  const auto record = ours->tlsa();
  EXPECT_EQ(record, record_of(files.certificate, 3, 1, 1));
  EXPECT_TRUE(record.to_string().starts_with("3 1 1 "));
  EXPECT_EQ(record.to_string().size(), 6 + 64U);
  EXPECT_FALSE(summarise_certificate(content(files.key)));
}

}  // namespace
}  // namespace net
