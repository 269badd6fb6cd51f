// When ONWARD_VERDICTS names a file, the conformance tests append a line of JSON for each case to it: what was said in
// this process. tests/conformance/auth_cli.py holds the program itself to that, with DNS over the wire.
#pragma once

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "auth/results.hpp"

namespace verdicts {

inline nlohmann::json of(const auth::SpfResult& spf) {
  return {{"result", to_string(spf.result)},
          {"explanation", spf.explanation},
          {"domain", spf.domain},
          {"reason", spf.reason}};
}

inline nlohmann::json of(const std::vector<auth::DkimResult>& signatures) {
  auto list = nlohmann::json::array();
  for (const auto& dkim : signatures) {
    if (dkim.result == auth::Verdict::none) continue;
    list.push_back({{"domain", dkim.domain},
                    {"selector", dkim.selector},
                    {"result", to_string(dkim.result)},
                    {"reason", dkim.reason}});
  }
  return list;
}

inline nlohmann::json of(const auth::ArcResult& arc) {
  return {{"result", to_string(arc.result)}, {"reason", arc.reason}};
}

inline nlohmann::json of(const auth::DmarcResult& dmarc) {
  return {{"result", to_string(dmarc.result)},
          {"policy", to_string(dmarc.policy)},
          {"disposition", to_string(dmarc.disposition)},
          {"domain", dmarc.domain},
          {"reason", dmarc.reason}};
}

// `file`: of the suite, in ../shared/conformance.
inline void write(const std::string& file, const std::string& id, const nlohmann::json& said) {
  const char* const path = std::getenv("ONWARD_VERDICTS");
  if (path == nullptr) return;
  const nlohmann::json line{{"file", file}, {"id", id}, {"said", said}};
  std::ofstream(path, std::ios::app) << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
}

}  // namespace verdicts
