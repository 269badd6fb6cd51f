// A TokenStore in memory, which can be told to fail.
#pragma once

#include <map>
#include <string>

#include "srs/token_store.hpp"

class MemoryTokens final : public srs::TokenStore {
 public:
  core::Error put(std::string_view token, std::string_view address) override {
    if (failing) return core::Errc::io;
    kept[std::string(token)] = std::string(address);
    return {};
  }
  std::optional<std::string> find(std::string_view token) override {
    const auto it = kept.find(std::string(token));
    return it == kept.end() ? std::nullopt : std::optional(it->second);
  }

  std::map<std::string, std::string> kept;
  bool failing = false;
};
