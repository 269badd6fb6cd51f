// onward import postfix|csv|cloudflare FILE...: rules of other systems as domain files, printed or written (never over
// anything), with a report of what could not be carried over.
#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/config_files.hpp"
#include "app/importer.hpp"
#include "app/new_files.hpp"
#include "core/text.hpp"

namespace app {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxImport = 256U << 20;  // octets of one file

using Reader = void (*)(std::string_view, const std::string&, const ImportHints&, Import&);

Reader reader_of(const std::string& system) {
  if (system == "postfix") return import_postfix;
  return system == "csv" ? import_csv : import_cloudflare;
}

// "" or what is wrong.
std::string write(const std::string& folder, const std::vector<std::pair<std::string, std::string>>& files) {
  NewFiles out({::geteuid(), ::getegid()});
  if (auto wrong = out.folder(folder, 0755, NewFiles::Owner::us); !wrong.empty()) return wrong;
  for (const auto& [name, text] : files) {
    if (auto wrong = out.file(folder + "/" + name, text, 0644, NewFiles::Owner::us); !wrong.empty()) return wrong;
  }
  out.keep();
  return {};
}

void print_notes(const Import& import) {
  for (const auto& note : import.notes) {
    fmt::print(stderr, "{}{}{}\n", core::printable(note.where), note.where.empty() ? "" : ": ", note.what);
  }
}

}  // namespace

int cmd_import(const GlobalOptions& global, const ImportOptions& options) {
  Import import;
  const ImportHints hints{core::lower(options.domain), core::lower(options.origin)};
  std::string names;
  for (const auto& file : options.files) {
    const auto text = read_file(file, kMaxImport);
    if (!text) {
      fmt::print(stderr, "onward: {}: {}\n", core::printable(file), text.error().text);
      return kExitProblem;
    }
    reader_of(options.system)(*text, file, hints, import);
    names += (names.empty() ? "" : ", ") + file;
  }
  settle_import(import);
  const auto files = domain_files(import, names);
  std::size_t rules = 0;
  for (const auto& [domain, list] : import.domains) rules += list.size();
  if (!options.out.empty()) {
    if (const auto wrong = write(options.out, files); !wrong.empty()) {
      fmt::print(stderr, "onward: {}; nothing was written\n", wrong);
      return kExitProblem;
    }
  }
  if (global.json) {
    json out{{"domains", import.domains.size()}, {"rules", rules}, {"files", json::array()}, {"report", json::array()}};
    for (const auto& [name, text] : files) out["files"].push_back({{"name", name}, {"text", text}});
    for (const auto& note : import.notes) out["report"].push_back({{"where", note.where}, {"what", note.what}});
    fmt::print("{}\n", out.dump(2, ' ', false, json::error_handler_t::replace));
  } else {
    if (options.out.empty()) {
      for (const auto& [name, text] : files) fmt::print("# ---- {}\n{}\n", name, text);
    }
    print_notes(import);
    fmt::print(stderr, "{} rules of {} domains carried over, {} remarks{}\n", rules, import.domains.size(),
               import.notes.size(), options.out.empty() ? "; write the files with --out FOLDER" : "");
  }
  return import.notes.empty() ? kExitOk : kExitProblem;
}

}  // namespace app
