// `onward setup`: the texts it writes load, the values it takes are judged, and nothing is ever written over.
#include "app/setup.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>

#include "app/new_files.hpp"
#include "app/support.hpp"

namespace app::test {
namespace {

using ::testing::HasSubstr;

SetupAnswers answers() {
  SetupAnswers out;
  out.hostname = "mx.forward.example";
  out.domain = "example.org";
  out.local_part = "*";
  out.to = "alice@mail.example";
  out.listen = "[::]:25";
  out.state_dir = "state";
  out.admin_socket = "admin.sock";
  return out;
}

TEST(Setup, the_texts_are_right) {
  for (const bool tls : {false, true}) {
    for (const char* local : {"*", "sales", "\"a b\""}) {
      for (const char* domain : {"example.org", "*.example.org"}) {
        auto a = answers();
        a.local_part = local;
        a.domain = domain;
        if (tls) a.certificate = "/c\"d\\e.pem", a.key = "/k.pem";
        const auto parsed = parse(setup_main_text(a));
        EXPECT_EQ(lines(parsed.report.errors), "");
        EXPECT_EQ(parsed.text.srs.domain.value, "mx.forward.example");
        EXPECT_EQ(parsed.text.tls.present, tls);
        if (tls) EXPECT_EQ(parsed.text.tls.settings.pairs.at(0).certificate, "/c\"d\\e.pem");
        Report report;
        const auto text = parse_domain(setup_domain_text(a), "d", report);
        EXPECT_EQ(lines(report.errors), "");
        EXPECT_EQ(text.spec.name, domain);
        EXPECT_EQ(text.expectations.size(), 1U);
      }
    }
  }
  EXPECT_EQ(setup_domain_file(answers()), "domains/example.org.toml");
}

TEST(Setup, values) {
  for (const auto& [name, good, bad] :
       std::initializer_list<std::array<const char*, 3>>{{"hostname", "mx.example.org", "mx"},
                                                         {"hostname", "mx.example.org", "mx example.org"},
                                                         {"srs-domain", "example.org", "-"},
                                                         {"domain", "example.org", "example..org"},
                                                         {"domain", "*.example.org", "*"},
                                                         {"to", "a@b.example", "a"},
                                                         {"postmaster", "a@b.example", "a@b@c"},
                                                         {"local-part", "*", "a@b"},
                                                         {"local-part", "sales", ""},
                                                         {"listen", "127.0.0.1:2525", "25"},
                                                         {"user", "onward", "on ward"},
                                                         {"certificate", "/x", "/x\n"}}) {
    EXPECT_FALSE(setup_problem(name, good)) << name;
    EXPECT_TRUE(setup_problem(name, bad)) << name << " " << bad;
  }
}

TEST(Setup, toml_strings) {
  EXPECT_EQ(toml_string("a\"b\\c\n\x7f"), "\"a\\\"b\\\\c\\u000a\\u007f\"");
  EXPECT_EQ(toml_string("\xc3\xbc"), "\"\xc3\xbc\"");
}

mode_t mode_of(const std::string& path) {
  struct stat st{};
  return ::stat(path.c_str(), &st) == 0 ? st.st_mode & 07777U : 0;
}

TEST(NewFiles, modes_and_owners) {
  const Folder folder;
  const auto old = ::umask(0077);
  {
    NewFiles files({::geteuid(), ::getegid()});
    EXPECT_EQ(files.folder(folder / "a/b", 0700, NewFiles::Owner::account), "");
    EXPECT_EQ(files.file(folder / "a/b/c", "text", 0644, NewFiles::Owner::us), "");
    EXPECT_EQ(files.file(folder / "a/b/d", "", 0600, NewFiles::Owner::account), "");
    files.keep();
  }
  ::umask(old);
  EXPECT_EQ(mode_of(folder / "a"), 0755U);
  EXPECT_EQ(mode_of(folder / "a/b"), 0700U);
  EXPECT_EQ(mode_of(folder / "a/b/c"), 0644U);
  EXPECT_EQ(mode_of(folder / "a/b/d"), 0600U);
}

TEST(NewFiles, never_over_anything_and_all_or_nothing) {
  const Folder folder;
  folder.write("there", "precious");
  std::filesystem::create_symlink(folder / "nowhere", folder / "link");
  for (const char* taken : {"there", "link"}) {
    {
      NewFiles files({::geteuid(), ::getegid()});
      EXPECT_EQ(files.folder(folder / "new/folder", 0755, NewFiles::Owner::us), "");
      EXPECT_EQ(files.file(folder / "new/folder/file", "x", 0644, NewFiles::Owner::us), "");
      EXPECT_THAT(files.file(folder / taken, "x", 0644, NewFiles::Owner::us), HasSubstr("File exists"));
    }
    EXPECT_FALSE(std::filesystem::exists(folder / "new"));
    EXPECT_FALSE(std::filesystem::exists(folder / "nowhere"));
  }
  std::ifstream file(folder / "there");
  std::string text;
  std::getline(file, text);
  EXPECT_EQ(text, "precious");
}

}  // namespace
}  // namespace app::test
