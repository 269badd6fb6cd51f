// links: app
// Tables of other systems in any octets: no crash, and whatever domain file comes out is one that our own reader takes
// without an error. The first octet chooses the system.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "app/config_text.hpp"
#include "app/importer.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  app::Import import;
  const app::ImportHints hints{"example.org", (*data & 4) != 0 ? "mail.example" : ""};
  if (*data % 3 == 0) app::import_postfix(text, "f", hints, import);
  if (*data % 3 == 1) app::import_csv(text, "f", hints, import);
  if (*data % 3 == 2) app::import_cloudflare(text, "f", hints, import);
  app::settle_import(import);
  for (const auto& [name, content] : app::domain_files(import, "f")) {
    if (!name.ends_with(".toml")) continue;
    app::Report report;
    static_cast<void>(app::parse_domain(content, name, report));
    if (!report.errors.empty()) std::abort();
  }
  for (const auto& note : import.notes) {
    for (const char c : note.what) {
      if (static_cast<unsigned char>(c) < 0x20 && c != '\t') std::abort();
    }
  }
  return 0;
}
