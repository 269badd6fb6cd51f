// The commands that need no daemon, through the command line: output, files and exit codes (interface.md §3).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/support.hpp"
#include "srs/token_store.hpp"

namespace app::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Ran {
  int code = -1;
  std::string out, err;
};

Ran run(std::vector<std::string> arguments) {
  std::vector<const char*> argv{"onward"};
  for (const auto& a : arguments) argv.push_back(a.c_str());
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  Ran ran;
  ran.code = run_command_line(static_cast<int>(argv.size()), argv.data());
  ran.out = ::testing::internal::GetCapturedStdout();
  ran.err = ::testing::internal::GetCapturedStderr();
  return ran;
}

struct Configured {
  Folder folder;
  std::string file = folder / "onward.toml";

  explicit Configured(const std::string& more = "") {
    folder.write("s", "0123456789abcdef0123456789abcdef\n");
    folder.write("d.toml", "name = \"example.org\"\n[[rule]]\naddress = \"a\"\nto = [\"a@out.example\"]\n");
    folder.write("onward.toml",
                 "hostname = \"mx.example\"\nuser = \"root\"\nstate_dir = \"state\"\nadmin_socket = \"admin.sock\"\n"
                 "postmaster = \"ops@out.example\"\ndomains = [\"d.toml\"]\n"
                 "[[listener]]\naddress = \"127.0.0.1:0\"\n[srs]\ndomain = \"srs.example\"\nsecrets_file = \"s\"\n" +
                     more);
  }
};

TEST(Commands, usage_and_version) {
  EXPECT_EQ(run({}).code, kExitUsage);
  EXPECT_EQ(run({"frobnicate"}).code, kExitUsage);
  EXPECT_EQ(run({"check", "--frobnicate"}).code, kExitUsage);
  EXPECT_EQ(run({"srs"}).code, kExitUsage);
  EXPECT_EQ(run({"srs", "encode"}).code, kExitUsage);
  EXPECT_EQ(run({"dkim", "keygen", "example.org", "s", "--type", "dsa"}).code, kExitUsage);
  const auto help = run({"--help"});
  EXPECT_EQ(help.code, kExitOk);
  for (const char* command : {"serve", "check", "route", "status", "reload", "drain", "stop", "srs", "dkim"})
    EXPECT_THAT(help.out, HasSubstr(command));
  const auto version = run({"--version"});
  EXPECT_EQ(version.code, kExitOk);
  EXPECT_THAT(version.out, StartsWith("onward "));
}

TEST(Commands, check_says_ok_and_warns) {
  const Configured c;
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"check", "-c", c.file}, {"-c", c.file, "check"}, {"check", "--config", c.file}}) {
    const auto ran = run(arguments);
    EXPECT_EQ(ran.code, kExitOk) << ran.err;
    EXPECT_EQ(ran.out, "configuration ok: 1 domain, 1 address\n") << "no colour when nobody looks";
    EXPECT_THAT(ran.err, HasSubstr("warning: " + c.file + ":2: user: the daemon would stay root"));
  }
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{"check", "-c", c.file, "--json"}, {"--json", "-c", c.file, "check"}}) {
    const auto ran = run(arguments);
    EXPECT_EQ(ran.code, kExitOk);
    const auto out = json::parse(ran.out);
    EXPECT_TRUE(out.at("ok").get<bool>());
    EXPECT_TRUE(out.at("errors").empty());
    EXPECT_EQ(out.at("domains"), 1);
    EXPECT_FALSE(out.at("warnings").empty());
  }
}

TEST(Commands, check_tells_every_mistake) {
  const Configured c("[limits]\nmemory = 0\nrecipients = 0\n");
  const auto ran = run({"check", "-c", c.file});
  EXPECT_EQ(ran.code, kExitProblem);
  EXPECT_EQ(ran.out, "");
  EXPECT_THAT(ran.err, HasSubstr(c.file + ":13: limits.memory: 0 B is out of range"));
  EXPECT_THAT(ran.err, HasSubstr(c.file + ":14: limits.recipients: 0 is out of range"));
  EXPECT_THAT(ran.err, HasSubstr("2 mistakes found"));
  const auto as_json = run({"check", "-c", c.file, "--json"});
  EXPECT_EQ(as_json.code, kExitProblem);
  const auto out = json::parse(as_json.out);
  EXPECT_FALSE(out.at("ok").get<bool>());
  ASSERT_EQ(out.at("errors").size(), 2U);
  EXPECT_EQ(out.at("errors")[0].at("file"), c.file);
  EXPECT_EQ(out.at("errors")[0].at("line"), 13);
  EXPECT_EQ(out.at("errors")[0].at("key"), "limits.memory");
  EXPECT_THAT(out.at("errors")[0].at("message").get<std::string>(), StartsWith("0 B is out of range"));
  EXPECT_EQ(run({"check", "-c", "/nonexistent.toml"}).code, kExitProblem);
}

TEST(Commands, srs_there_and_back) {
  const Configured c;
  const auto encoded = run({"srs", "encode", "Carol@sender.example", "-c", c.file});
  EXPECT_EQ(encoded.code, kExitOk) << encoded.err;
  EXPECT_THAT(encoded.out, StartsWith("SRS0="));
  EXPECT_THAT(encoded.out, HasSubstr("@srs.example\n"));
  const auto address = encoded.out.substr(0, encoded.out.size() - 1);
  const auto decoded = run({"srs", "decode", address, "-c", c.file});
  EXPECT_EQ(decoded.code, kExitOk);
  EXPECT_EQ(decoded.out, "Carol@sender.example\n");
  EXPECT_EQ(json::parse(run({"--json", "srs", "decode", address, "-c", c.file}).out).at("result"),
            "Carol@sender.example");
  EXPECT_EQ(run({"srs", "decode", "SRS0=AAAAAAAA=AA=x.example=a@srs.example", "-c", c.file}).code, kExitProblem);
  EXPECT_EQ(run({"srs", "decode", "a@other.example", "-c", c.file}).code, kExitProblem);
  EXPECT_EQ(run({"srs", "encode", "nobody", "-c", c.file}).code, kExitProblem);
  EXPECT_EQ(run({"srs", "encode", "a@b.example", "-c", "/nonexistent.toml"}).code, kExitProblem);
}

// interface.md §6.25: the tokens the daemon keeps are read beside it.
TEST(Commands, srs_decode_knows_the_daemons_tokens) {
  const Configured c;
  std::filesystem::create_directory(c.folder / "state");
  const std::string sender = std::string(60, 'x') + "@sender.example";
  std::string address;
  {
    auto tokens = srs::TokenFile::open(c.folder / "state/srs.tokens");
    ASSERT_TRUE(tokens);
    LoadOptions options;
    options.tokens = tokens->get();
    const auto loaded = load_config(c.file, options);
    const auto config = std::get<std::shared_ptr<const Config>>(loaded);
    address = config->forwarding.srs->forward(mail::ReversePath{mail::parse_mailbox(sender).value()}, core::Wall::now())
                  ->to_string();
    // Also while the daemon has it open.
    EXPECT_EQ(run({"srs", "decode", address, "-c", c.file}).out, sender + "\n");
  }
  EXPECT_EQ(run({"srs", "decode", address, "-c", c.file}).out, sender + "\n");
}

TEST(Commands, keygen_makes_a_new_file_and_never_overwrites) {
  const Folder folder;
  for (const std::string type : {"rsa2048", "ed25519"}) {
    const auto file = folder / (type + ".pem");
    const auto ran = run({"dkim", "keygen", "example.org", "ow1", "--type", type, "--out", file});
    EXPECT_EQ(ran.code, kExitOk) << ran.err;
    EXPECT_THAT(ran.out, StartsWith("ow1._domainkey.example.org. IN TXT"));
    EXPECT_THAT(ran.out, HasSubstr(type == "rsa2048" ? "k=rsa" : "k=ed25519"));
    EXPECT_THAT(ran.err, HasSubstr(file));
    EXPECT_THAT(ran.out + ran.err, ::testing::Not(HasSubstr("PRIVATE")));
    for (auto at = ran.out.find('"'); at != std::string::npos;) {
      const auto end = ran.out.find('"', at + 1);
      EXPECT_LE(end - at - 1, 255U);
      at = ran.out.find('"', end + 1);
    }
    struct stat st{};
    ASSERT_EQ(::stat(file.c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777U, 0600U);
    const auto size = st.st_size;
    const auto again = run({"dkim", "keygen", "example.org", "ow1", "--type", type, "--out", file});
    EXPECT_EQ(again.code, kExitProblem);
    EXPECT_THAT(again.err, HasSubstr("File exists"));
    ASSERT_EQ(::stat(file.c_str(), &st), 0);
    EXPECT_EQ(st.st_size, size);
  }
  const auto as_json =
      json::parse(run({"--json", "dkim", "keygen", "example.org", "s", "--out", folder / "j.pem"}).out);
  EXPECT_EQ(as_json.at("name"), "s._domainkey.example.org");
  EXPECT_EQ(run({"dkim", "keygen", "no domain", "s", "--out", folder / "k.pem"}).code, kExitUsage);
  EXPECT_EQ(run({"dkim", "keygen", "example.org", "s", "--out", folder / "no/such/folder.pem"}).code, kExitProblem);
}

TEST(Commands, without_a_daemon_they_say_so_and_exit_75) {
  const Configured c;
  for (const char* command : {"status", "reload", "drain", "stop"}) {
    const auto ran = run({command, "-c", c.file});
    EXPECT_EQ(ran.code, kExitTryLater) << command;
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
    EXPECT_THAT(ran.err, HasSubstr("no daemon at " + (c.folder / "admin.sock")));
  }
}

}  // namespace
}  // namespace app::test
