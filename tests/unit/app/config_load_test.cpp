// load_config with real files: what they may look like, who may read them, and that everything wrong is told at once.
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <pwd.h>

#include "app/config_files.hpp"
#include "app/support.hpp"
#include "auth/signing_key.hpp"

namespace app::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kRules = "name = \"example.org\"\n[[rule]]\naddress = \"a\"\nto = [\"a@out.example\"]\n";

struct Scene {
  Folder folder;
  std::string sections;

  Scene() {
    folder.write("keys/srs.secrets", "0123456789abcdef0123456789abcdef\nold-secret-old-secret\n");
    folder.write("domains/example.org.toml", kRules);
  }
  std::string file() const { return folder / "onward.toml"; }
  LoadResult load(const LoadOptions& options = {}) const {
    const auto* account = ::getpwuid(::geteuid());
    folder.write("onward.toml",
                 "hostname = \"mx.example\"\n"
                 "user = \"" +
                     std::string(account != nullptr ? account->pw_name : "root") +
                     "\"\n"
                     "state_dir = \"state\"\n"
                     "domains = [\"domains/*.toml\"]\n"
                     "postmaster = \"ops@out.example\"\n"
                     "[[listener]]\n"
                     "address = \"127.0.0.1:2525\"\n"
                     "[srs]\n"
                     "domain = \"srs.example\"\n"
                     "secrets_file = \"keys/srs.secrets\"\n" +
                     sections);
    return load_config(file(), options);
  }
  // Mistakes without the folder's name, "" when there are none.
  std::string mistakes(const LoadOptions& options = {}) const { return shorten(load(options)); }
  std::string shorten(const LoadResult& result) const {
    const auto* errors = std::get_if<std::vector<ConfigError>>(&result);
    if (errors == nullptr) return "";
    auto text = lines(*errors);
    for (auto at = text.find(folder.path() + "/"); at != std::string::npos; at = text.find(folder.path() + "/")) {
      text.erase(at, folder.path().size() + 1);
    }
    return text;
  }
  std::shared_ptr<const Config> config(const LoadOptions& options = {}) const {
    auto result = load(options);
    auto* config = std::get_if<std::shared_ptr<const Config>>(&result);
    EXPECT_NE(config, nullptr) << shorten(result);
    return config != nullptr ? *config : nullptr;
  }
};

std::string new_key(auth::NewKey type) {
  return std::string(auth::generate_key(type)->view());
}

TEST(LoadConfig, a_whole_configuration) {
  Scene s;
  s.folder.write("keys/rsa.pem", new_key(auth::NewKey::rsa2048));
  s.folder.write("keys/ed.pem", new_key(auth::NewKey::ed25519), 0400);
  s.folder.write(
      "domains/wild.toml",
      "name = \"*.example.net\"\ndkim = [{selector = \"w\", file = \"../keys/ed.pem\"}]\naliases = \"wild.aliases\"\n");
  s.folder.write("domains/wild.aliases", "b: b@out.example\nc: c@out.example\n");
  s.sections =
      "[dkim]\ndomain = \"Sign.example\"\nkeys = [{selector = \"r\", file = \"keys/rsa.pem\"}, {selector = \"e\", file "
      "= \"keys/ed.pem\"}]\n";
  const auto config = s.config();
  ASSERT_NE(config, nullptr);
  EXPECT_EQ(config->domains, 2U);
  EXPECT_EQ(config->addresses, 3U);
  EXPECT_EQ(config->file, s.file());
  EXPECT_EQ(config->state_dir, s.folder / "state");
  EXPECT_EQ(config->token_file(), s.folder / "state/srs.tokens");
  EXPECT_EQ(config->admin_socket, "/run/onward/admin.sock");
  const auto& f = config->forwarding;
  ASSERT_EQ(f.signers.size(), 2U);
  EXPECT_EQ(f.signers[0]->domain(), "sign.example");
  EXPECT_EQ(f.signers[1]->selector(), "e");
  ASSERT_EQ(f.domain_signers.size(), 1U);
  EXPECT_EQ(f.domain_signers.at("*.example.net")[0]->domain(), "example.net") << "d= is no wildcard";
  ASSERT_NE(f.srs, nullptr);
  EXPECT_EQ(f.srs->domain(), "srs.example");
  EXPECT_NE(f.loop_token, nullptr);
  EXPECT_NE(f.tls_client, nullptr);
  ASSERT_EQ(f.listeners.size(), 1U);
  EXPECT_EQ(f.listeners[0].to_string(), "127.0.0.1:2525");
  const auto route = f.routes->resolve(mail::ForwardPath{{"c", "sub.example.net"}}, {});
  ASSERT_EQ(route.destinations.size(), 1U);
  EXPECT_EQ(route.where, (s.folder / "domains/wild.aliases") + ":2");
  EXPECT_EQ(f.routes->resolve(mail::ForwardPath{{"abuse", "srs.example"}}, {}).rule, "postmaster");
}

TEST(LoadConfig, access_rules_and_their_databases) {
  Scene s;
  s.sections = "[access]\nrules = [{match = \"192.0.2.0/24\", action = \"block\"}]\n";
  const auto config = s.config();
  ASSERT_NE(config, nullptr);
  ASSERT_NE(config->forwarding.access, nullptr);
  EXPECT_TRUE(config->forwarding.access->find(*core::IpAddress::parse("192.0.2.1")).blocked());
  s.sections =
      "[access]\nrules = [{match = \"192.0.2.0/24\", action = \"block\"},\n"
      "{match = \"country:XX\", action = \"block\"}, {match = \"AS1\", action = \"allow\"}]\n";
  EXPECT_THAT(s.mistakes(), HasSubstr("access.rules: country:XX needs a database; name one in access.geoip.country"));
  EXPECT_THAT(s.mistakes(), HasSubstr("access.rules: AS1 needs a database; name one in access.geoip.asn"));
  s.folder.write("text.mmdb", "no database");
  s.sections =
      "[access]\nrules = [{match = \"country:XX\", action = \"block\"}]\ngeoip = {country = \"text.mmdb\", asn = "
      "\"none.mmdb\"}\n";
  EXPECT_THAT(s.mistakes(), HasSubstr("access.geoip.country: "));
  EXPECT_THAT(s.mistakes(), HasSubstr("text.mmdb is no MMDB file"));
  EXPECT_THAT(s.mistakes(), HasSubstr("none.mmdb: No such file or directory; name a file in MMDB format"));
}

TEST(LoadConfig, a_missing_file) {
  const auto result = load_config("/nonexistent/onward.toml", {});
  EXPECT_THAT(
      lines(std::get<std::vector<ConfigError>>(result)),
      StartsWith("/nonexistent/onward.toml: cannot be read: No such file or directory; name another file with -c"));
  EXPECT_EQ(read_state_dir("/nonexistent/onward.toml"), "");
  EXPECT_EQ(read_admin_socket("/nonexistent/onward.toml"), "");
}

TEST(LoadConfig, a_folder_or_a_pipe_in_place_of_a_file) {
  Scene s;
  EXPECT_THAT(lines(std::get<std::vector<ConfigError>>(load_config(s.folder.path(), {}))),
              HasSubstr("is no plain file"));
  ASSERT_EQ(::mkfifo((s.folder / "domains/pipe.toml").c_str(), 0600), 0);
  EXPECT_THAT(s.mistakes(), StartsWith("domains/pipe.toml: is no plain file"));
}

TEST(LoadConfig, what_is_needed_before_the_whole_is_loaded) {
  Scene s;
  s.sections = "";
  ASSERT_NE(s.config(), nullptr);
  EXPECT_EQ(read_state_dir(s.file()), s.folder / "state");
  s.sections = "[limits]\nmemory = 0\n";
  EXPECT_NE(s.mistakes(), "");
  EXPECT_EQ(read_state_dir(s.file()), "");
  EXPECT_EQ(read_admin_socket(s.file()), "/run/onward/admin.sock") << "a mistake elsewhere does not hide the daemon";
  s.folder.write("o.toml", "admin_socket = \"run/a.sock\"\n");
  EXPECT_EQ(read_admin_socket(s.folder / "o.toml"), s.folder / "run/a.sock");
}

TEST(LoadConfig, mistakes_of_all_files_are_told_at_once_and_in_order) {
  Scene s;
  s.folder.write("domains/a.toml", "name = \"a.example\"\n\n[[rule]]\naddress = \"x\"\nto = [\"bad\"]\n");
  s.folder.write("domains/b.toml", "name = = 1\n");
  s.folder.write("domains/c.toml",
                 "name = \"c.example\"\naliases = \"missing\"\n[[rule]]\naddress = \"l\"\nto = [\"l@c.example\"]\n");
  s.folder.write(
      "domains/d.toml",
      "name = \"d.example\"\naliases = \"d.aliases\"\ndkim = [{selector = \"s\", file = \"missing.pem\"}]\n");
  s.folder.write("domains/d.aliases", "a: one@out.example\n\nb: two\n");
  s.sections = "[limits]\nmemroy = 1\n[tls]\ncertificate = \"no.pem\"\nkey = \"no.key\"\n";
  const auto text = s.mistakes();
  EXPECT_THAT(text, StartsWith("onward.toml:12: limits.memroy: unknown key; did you mean \"memory\"?\n"
                               "onward.toml:13: tls: no.pem: No such file or directory\n"
                               "domains/a.toml:5: rule.to: \"bad\" has no domain; write local@domain\n"
                               "domains/b.toml:1: is no TOML: "));
  EXPECT_THAT(text, HasSubstr("domains/c.toml:2: aliases: domains/missing: cannot be read: No such file"));
  EXPECT_THAT(text, HasSubstr("domains/c.toml:3: rule.to: leads in a circle: l@c.example -> l@c.example\n"));
  EXPECT_THAT(text, HasSubstr("domains/d.toml:3: dkim.file: domains/missing.pem: No such file or directory\n"));
  EXPECT_THAT(text, HasSubstr("domains/d.aliases:3: \"two\" has no domain"));
}

TEST(LoadConfig, what_follows_from_a_mistake_is_not_told) {
  Scene s;
  s.folder.write("domains/a.toml",
                 "name = \"a.example\"\n[[rule]]\naddress = \"x\"\nto = [\"bad\"]\n[[rule]]\naddress = \"y\"\nto = "
                 "[\"x@a.example\"]\n[[expect]]\nrcpt = \"x@a.example\"\nto = [\"good@out.example\"]\n");
  EXPECT_EQ(s.mistakes(), "domains/a.toml:4: rule.to: \"bad\" has no domain; write local@domain\n");
}

TEST(LoadConfig, expectations_are_run) {
  Scene s;
  s.folder.write("domains/e.toml", R"(name = "e.example"
[[rule]]
address = "two"
to = ["b@out.example", "A@OUT.example"]
[[rule]]
address = "old"
action = "reject"
reply = "550 5.1.6 Moved"
[[rule]]
address = "trash"
action = "drop"
[[expect]]
rcpt = "Two+tag@e.example"
to = ["A@out.example", "b@out.example"]
[[expect]]
rcpt = "old@e.example"
to = []
[[expect]]
rcpt = "two@e.example"
to = ["b@out.example"]
[[expect]]
rcpt = "nobody@e.example"
to = ["b@out.example"]
[[expect]]
rcpt = "old@e.example"
to = ["b@out.example"]
[[expect]]
rcpt = "trash@e.example"
to = ["b@out.example"]
[[expect]]
rcpt = "x@elsewhere.example"
to = ["b@out.example"]
)");
  EXPECT_EQ(s.mistakes(),
            "domains/e.toml:18: expect: two@e.example is led to b@out.example, A@OUT.example by rule e.example/two; "
            "expected b@out.example\n"
            "domains/e.toml:21: expect: nobody@e.example is refused: no rule takes it; expected b@out.example\n"
            "domains/e.toml:24: expect: old@e.example is refused by rule e.example/old: 550 5.1.6 Moved; expected "
            "b@out.example\n"
            "domains/e.toml:27: expect: trash@e.example is dropped by rule e.example/trash; expected b@out.example\n"
            "domains/e.toml:30: expect: x@elsewhere.example is refused: its domain is not forwarded; expected "
            "b@out.example\n");
}

TEST(LoadConfig, domain_files_are_found_by_name_or_pattern) {
  Scene s;
  s.folder.write("more/x.toml", "name = \"x.example\"\n");
  const auto with = [&](const std::string& list) {
    s.folder.write("o.toml",
                   "hostname = \"mx.example\"\npostmaster = \"ops@out.example\"\nuser = \"root\"\ndomains = " + list +
                       "\n[[listener]]\naddress = \"127.0.0.1:0\"\n[srs]\ndomain = \"srs.example\"\nsecrets_file = "
                       "\"keys/srs.secrets\"\n");
    return load_config(s.folder / "o.toml", {});
  };
  const auto both = with("[\"domains/*.toml\", \"more/x.toml\", \"more/*.toml\"]");
  ASSERT_TRUE(std::holds_alternative<std::shared_ptr<const Config>>(both)) << s.shorten(both);
  EXPECT_EQ(std::get<0>(both)->domains, 2U) << "a file that two patterns match is read once";
  EXPECT_EQ(s.shorten(with("[\"more/y.toml\"]")), "more/y.toml: cannot be read: No such file or directory\n");
  EXPECT_THAT(s.shorten(with("[\"nowhere/*.toml\"]")),
              HasSubstr("o.toml:4: domains: \"nowhere/*.toml\": there is no folder"));
  const auto none = with("[\"more/*.conf\"]");
  ASSERT_TRUE(std::holds_alternative<std::shared_ptr<const Config>>(none));
  EXPECT_THAT(lines(std::get<0>(none)->warnings), HasSubstr("domains: \"more/*.conf\" matches no file"));
  EXPECT_THAT(s.shorten(with("[\"domains/*.toml\", \"domains/../domains/example.org.toml\"]")),
              HasSubstr("name: example.org is already forwarded by"));
}

// A half-written, then a broken file: nothing but errors comes out, so that the running snapshot stays.
TEST(Threats, OP_01_a_broken_configuration_gives_no_snapshot) {
  Scene s;
  const auto running = s.config();
  ASSERT_NE(running, nullptr);
  const std::string whole = kRules;
  for (std::size_t n = 0; n < whole.size(); n += 7) {
    s.folder.write("domains/example.org.toml", whole.substr(0, n));
    const auto result = s.load();
    if (const auto* errors = std::get_if<std::vector<ConfigError>>(&result)) {
      EXPECT_FALSE(errors->empty());
      EXPECT_THAT(errors->front().file, HasSubstr("example.org.toml"));
    }
  }
  s.folder.write("domains/example.org.toml", whole);
  s.sections = "[tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n";
  EXPECT_THAT(s.mistakes(), HasSubstr("onward.toml:11: tls: c.pem: No such file"));
  EXPECT_EQ(running->forwarding.routes->resolve(mail::ForwardPath{{"a", "example.org"}}, {}).destinations.size(), 1U);
}

// interface.md §6.5: who may read a key file, and what it may be.
TEST(Threats, OP_03_secrets_that_others_can_reach_are_refused) {
  struct Case {
    mode_t mode;
    const char* expected;
  };
  for (const auto& c :
       {Case{0600, ""}, Case{0400, ""}, Case{0640, ""}, Case{0644, "mode 0644"}, Case{0660, "mode 0660"},
        Case{0604, "mode 0604"}, Case{0700, "mode 0700"}, Case{0666, "mode 0666"}}) {
    for (const bool dkim : {false, true}) {
      Scene s;
      s.folder.write("keys/k.pem", new_key(auth::NewKey::ed25519), dkim ? c.mode : 0600);
      if (!dkim) ::chmod((s.folder / "keys/srs.secrets").c_str(), c.mode);
      s.sections = "[dkim]\ndomain = \"d.example\"\nkeys = [{selector = \"s\", file = \"keys/k.pem\"}]\n";
      const auto found = s.mistakes();
      if (*c.expected == '\0') {
        EXPECT_EQ(found, "") << c.mode;
      } else {
        EXPECT_THAT(found, HasSubstr(c.expected));
        EXPECT_THAT(found, StartsWith(dkim ? "onward.toml:13: dkim.keys.file: keys/k.pem"
                                           : "onward.toml:10: srs.secrets_file: keys/srs.secrets"));
      }
    }
  }
}

TEST(Threats, OP_03_links_foreign_owners_and_open_folders_are_refused) {
  {
    Scene s;
    s.folder.write("real", "0123456789abcdef0123456789abcdef\n");
    std::filesystem::remove(s.folder / "keys/srs.secrets");
    std::filesystem::create_symlink(s.folder / "real", s.folder / "keys/srs.secrets");
    EXPECT_THAT(s.mistakes(), HasSubstr("srs.secrets_file: keys/srs.secrets: is a symbolic link"));
  }
  {
    Scene s;
    ::chmod((s.folder / "keys").c_str(), 0777);
    EXPECT_THAT(s.mistakes(), HasSubstr("anybody may write to its folder"));
  }
  if (::geteuid() == 0) {
    Scene s;
    ASSERT_EQ(::chown((s.folder / "keys/srs.secrets").c_str(), 12345, 12345), 0);
    EXPECT_THAT(s.mistakes(), HasSubstr("belongs to uid 12345"));
  }
  {
    Scene s;
    s.folder.write("keys/srs.secrets", "\n\n");
    EXPECT_THAT(s.mistakes(), HasSubstr("keys/srs.secrets: is empty; write one secret a line"));
    s.folder.write("keys/srs.secrets", "short\n");
    EXPECT_THAT(lines(s.config()->warnings), HasSubstr("a secret has less than 16 characters"));
    EXPECT_THAT(lines(s.config()->warnings), Not(HasSubstr("short"))) << "OP-05: secrets are not printed";
    s.folder.write("keys/srs.secrets", std::string(70'000, 'x'));
    EXPECT_THAT(s.mistakes(), HasSubstr("larger than"));
  }
}

// OP-05: whatever is wrong with a secret, it is not in the message.
TEST(Threats, OP_05_messages_do_not_hold_secrets) {
  Scene s;
  const std::string canary = "CANARY-7c1f-secret";
  s.folder.write("keys/k.pem", "-----BEGIN PRIVATE KEY-----\n" + canary + "\n-----END PRIVATE KEY-----\n");
  s.folder.write("keys/srs.secrets", canary + "\n", 0644);
  s.folder.write("keys/old", canary + "\n");
  s.sections =
      "accept_sha1_secrets = \"keys/old\"\n[dkim]\ndomain = \"d.example\"\nkeys = [{selector = \"s\", file = "
      "\"keys/k.pem\"}]\n";
  const auto found = s.mistakes();
  EXPECT_THAT(found, HasSubstr("dkim.keys.file"));
  EXPECT_THAT(found, HasSubstr("srs.secrets_file"));
  EXPECT_THAT(found, Not(HasSubstr(canary)));
}

// interface.md §6.26; needs root, because only root can read what the daemon's user cannot.
TEST(LoadConfig, as_root_the_user_must_be_there_and_able_to_read_everything_again) {
  if (::geteuid() != 0 || ::getpwnam("nobody") == nullptr) GTEST_SKIP() << "needs root and an account \"nobody\"";
  Scene s;
  LoadOptions options;
  options.check_user = true;
  const auto with_user = [&](const std::string& user) {
    s.folder.write("o.toml",
                   "hostname = \"mx.example\"\npostmaster = \"ops@out.example\"\nuser = \"" + user +
                       "\"\ndomains = [\"domains/*.toml\"]\n[[listener]]\naddress = \"127.0.0.1:0\"\n[srs]\ndomain = "
                       "\"srs.example\"\nsecrets_file = \"keys/srs.secrets\"\n",
                   0644);
    return s.shorten(load_config(s.folder / "o.toml", options));
  };
  EXPECT_EQ(with_user("no-such-account"),
            "o.toml: user: there is no account \"no-such-account\"; create it, or name another one\n");
  EXPECT_EQ(with_user("root"), "");
  EXPECT_THAT(with_user("nobody"),
              StartsWith("o.toml: a reload could not read it: give the user \"nobody\" the right to"));
  const auto* nobody = ::getpwnam("nobody");
  ::chmod(s.folder.path().c_str(), 0755);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(s.folder.path())) {
    ASSERT_EQ(::chown(entry.path().c_str(), nobody->pw_uid, nobody->pw_gid), 0);
  }
  EXPECT_EQ(with_user("nobody"), "");
  ASSERT_EQ(::chown((s.folder / "keys/srs.secrets").c_str(), 0, 0), 0);
  EXPECT_THAT(with_user("nobody"), StartsWith("keys/srs.secrets: a reload could not read it"));
  options.check_user = false;
  EXPECT_EQ(with_user("nobody"), "") << "a start as root reads it before it drops its rights";
}

TEST(LoadConfig, srs_alone_needs_no_other_files) {
  Scene s;
  s.folder.write("domains/example.org.toml", "broken");
  s.sections = "[dkim]\ndomain = \"d.example\"\nkeys = [{selector = \"s\", file = \"missing\"}]\n";
  LoadOptions options;
  options.parts = LoadOptions::Parts::srs_only;
  const auto config = s.config(options);
  ASSERT_NE(config, nullptr);
  EXPECT_NE(config->forwarding.srs, nullptr);
  EXPECT_EQ(config->forwarding.routes, nullptr);
  ::chmod((s.folder / "keys/srs.secrets").c_str(), 0644);
  EXPECT_THAT(s.mistakes(options), HasSubstr("mode 0644"));
}

TEST(ConfigFiles, paths_start_at_the_folder_of_the_file) {
  EXPECT_EQ(path_beside("/etc/onward/onward.toml", "keys/a"), "/etc/onward/keys/a");
  EXPECT_EQ(path_beside("/etc/onward/onward.toml", "/keys/a"), "/keys/a");
  EXPECT_EQ(path_beside("onward.toml", "keys/a"), "keys/a");
  EXPECT_EQ(path_beside("conf/onward.toml", "../a"), "conf/../a");
}

TEST(ConfigFiles, files_are_bounded) {
  Folder folder;
  folder.write("f", "12345");
  EXPECT_EQ(*read_file(folder / "f", 5), "12345");
  EXPECT_THAT(read_file(folder / "f", 4).error().text, HasSubstr("is larger than 4 octets"));
  EXPECT_FALSE(read_file(folder / "none", 4));
}

}  // namespace
}  // namespace app::test
