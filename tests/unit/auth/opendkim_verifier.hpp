// Asks libopendkim about a signature of ours: an opinion that shares no code with what made it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

class OpenDkimVerifier {
 public:
  // `keys`: "selector._domainkey.domain" -> TXT.
  explicit OpenDkimVerifier(std::map<std::string, std::string> keys);
  ~OpenDkimVerifier();

  static constexpr std::string_view kNoOpinion = "no readable From";
  // "pass", kNoOpinion, or what is wrong with the signature of that selector in `message`.
  std::string verify(std::string_view message, std::string_view selector);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};
