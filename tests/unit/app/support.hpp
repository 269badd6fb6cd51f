// Configuration as text and as files, for the tests of app/.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "app/config_files.hpp"
#include "app/config_text.hpp"

namespace app::test {

// A file of the project, "docs/metrics.md"; "" when it cannot be read.
inline std::string project_file(const std::string& path) {
  const auto text = read_file(std::string(ONWARD_SOURCE_DIR "/") + path, std::size_t{1} << 20);
  return text ? *text : std::string();
}

// A whole onward.toml: what every one needs, with `top` among the top-level keys and `sections` at the end.
inline std::string main_toml(const std::string& top, const std::string& sections = "",
                             const std::string& srs = "[srs]\ndomain = \"srs.example\"\nsecrets_file = \"keys/s\"\n",
                             const std::string& listener = "[[listener]]\naddress = \"127.0.0.1:0\"\n") {
  const bool hostname = top.find("hostname") == std::string::npos;
  const bool postmaster = top.find("postmaster") == std::string::npos;
  const bool domains = top.find("domains") == std::string::npos;
  return (hostname ? "hostname = \"mx.example\"\n" : std::string()) +
         (postmaster ? "postmaster = \"ops@out.example\"\n" : "") + (domains ? "domains = []\n" : "") + top + "\n" +
         srs + listener + sections;
}

struct Parsed {
  MainText text;
  Report report;
};
inline Parsed parse(const std::string& toml) {
  Parsed out;
  out.text = parse_main(toml, "o.toml", out.report);
  return out;
}

inline std::string lines(const std::vector<ConfigError>& problems) {
  std::string out;
  for (const auto& p : problems) out += p.to_string() + "\n";
  return out;
}

inline std::string mistakes(const std::string& toml) {
  return lines(parse(toml).report.errors);
}

// A folder that goes away with the test.
class Folder {
 public:
  Folder() {
    char name[] = "/tmp/onward-app-test-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }
  void write(const std::string& name, const std::string& text, mode_t mode = 0600) const {
    const auto file = *this / name;
    std::filesystem::create_directories(std::filesystem::path(file).parent_path());
    std::ofstream(file, std::ios::binary) << text;
    ::chmod(file.c_str(), mode);
  }

 private:
  std::string path_;
};

}  // namespace app::test
