#include "app/status_text.hpp"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>

#include "core/text.hpp"
#include "core/units.hpp"

namespace app {
namespace {

using nlohmann::json;
using Colour = Table::Colour;

constexpr std::size_t kNameWidth = 10;

const json kNothing = json::object();

const json& part(const json& from, const char* key) {
  const auto it = from.find(key);
  return it != from.end() && it->is_object() ? *it : kNothing;
}

std::uint64_t number(const json& from, const char* key) {
  const auto it = from.find(key);
  return it != from.end() && it->is_number_unsigned() ? it->get<std::uint64_t>() : 0;
}

std::string word(const json& from, const char* key) {
  const auto it = from.find(key);
  return it != from.end() && it->is_string() ? core::printable(it->get<std::string>()) : std::string();
}

std::string duration(std::uint64_t seconds) {
  const auto days = seconds / 86400, hours = seconds / 3600 % 24, minutes = seconds / 60 % 60;
  if (days > 0) return fmt::format("{}d {}h", days, hours);
  if (hours > 0) return fmt::format("{}h {}m", hours, minutes);
  return minutes > 0 ? fmt::format("{}m {}s", minutes, seconds % 60) : fmt::format("{}s", seconds);
}

class Page {
 public:
  explicit Page(const Screen& screen) : screen_(screen) {}

  void line(std::string_view name, const std::string& text, Colour colour = Colour::none) {
    add(fmt::format("{:<{}} {}", name, kNameWidth, text), colour);
  }
  void gap() { lines_.emplace_back(); }
  void table(const Table& table) {
    const auto text = table.text(screen_.width, screen_.style);
    for (auto one : core::split(text, '\n')) lines_.emplace_back(one);
    lines_.pop_back();  // behind the last line end
  }
  std::string text() const;

 private:
  void add(std::string text, Colour colour) {
    if (screen_.width != 0 && text.size() > screen_.width) text.resize(screen_.width);
    static constexpr std::array<std::string_view, 4> kEscapes{"", "\x1b[32m", "\x1b[33m", "\x1b[31m"};
    const auto escape = screen_.style == Table::Style::plain ? "" : kEscapes[static_cast<std::size_t>(colour)];
    lines_.push_back(fmt::format("{}{}{}", escape, text, escape.empty() ? "" : "\x1b[0m"));
  }
  const Screen& screen_;
  std::vector<std::string> lines_;
};

std::string Page::text() const {
  std::string out;
  const bool cut = screen_.height != 0 && lines_.size() > screen_.height;
  const auto shown = cut ? screen_.height - 1 : lines_.size();
  for (std::size_t i = 0; i < shown; ++i) out += lines_[i] + "\n";
  if (cut) out += fmt::format("({} more lines)\n", lines_.size() - shown);
  return out;
}

void head(const json& status, Page& page) {
  page.line("onward", fmt::format("{} on {}, up {}", word(status, "version"), word(status, "hostname"),
                                  duration(number(status, "uptime_s"))));
  page.line("sessions", std::to_string(number(status, "sessions")));
  const auto pressure = number(status, "pressure");
  page.line("memory",
            fmt::format("{:.1f} of {}; spilled {:.1f} MiB of {}; pressure {}",
                        static_cast<double>(number(status, "memory_bytes")) / 1048576.0,
                        core::format_size(number(status, "memory_limit_bytes")),
                        static_cast<double>(number(status, "spill_bytes")) / 1048576.0,
                        core::format_size(number(status, "spill_limit_bytes")), pressure),
            pressure == 0   ? Colour::none
            : pressure == 1 ? Colour::yellow
                            : Colour::red);
  if (status.value("stress", false)) page.line("state", "stress: timeouts are short", Colour::red);
  if (status.value("draining", false)) page.line("state", "draining", Colour::yellow);
  if (number(status, "log_lines_dropped") > 0) {
    page.line("log", fmt::format("{} lines lost", number(status, "log_lines_dropped")), Colour::red);
  }
}

void rates(const json& status, Page& page) {
  struct Row {
    const char* title;
    const char* rate;
    const char* counter;
  };
  static constexpr std::array<Row, 8> kRows{{{"connections", "connections", "connections_total"},
                                             {"accepted", "accepted", "messages_accepted_total"},
                                             {"forwarded", "forwarded", "messages_forwarded_total"},
                                             {"queued", "queued", "messages_queued_total"},
                                             {"rejected", "rejected", "messages_rejected_total"},
                                             {"deferred", "deferred", "messages_deferred_total"},
                                             {"from queue", "queue_delivered", "queue_delivered_total"},
                                             {"tried again", "queue_deferred", "queue_deferred_total"}}};
  Table table({"a minute", "1m", "5m", "15m", "in all"});
  table.align_right_from(1);
  for (const auto& row : kRows) {
    const auto& rate = part(part(status, "rates"), row.rate);
    const auto cell = [&rate](const char* window) {
      const auto it = rate.find(window);
      return it != rate.end() && it->is_number() ? fmt::format("{:.1f}", it->get<double>()) : std::string("-");
    };
    table.add({row.title, cell("1m"), cell("5m"), cell("15m"),
               std::to_string(number(part(status, "counters"), row.counter))});
  }
  page.table(table);
}

void timings(const json& status, Page& page) {
  static constexpr std::array<std::pair<const char*, const char*>, 3> kRows{
      {{"answer", "answer_seconds"}, {"connect", "upstream_connect_seconds"}, {"DNS", "dns_answer_seconds"}}};
  Table table({"seconds", "50 %", "95 %", "99 %", "measured"});
  table.align_right_from(1);
  for (const auto& [title, name] : kRows) {
    const auto& timing = part(part(status, "timings"), name);
    const auto cell = [&timing](const char* quantile) {
      const auto it = timing.find(quantile);
      return it != timing.end() && it->is_number() ? fmt::format("<={}", it->get<double>()) : std::string("-");
    };
    const bool none = number(timing, "count") == 0;
    table.add({title, none ? "-" : cell("p50"), none ? "-" : cell("p95"), none ? "-" : cell("p99"),
               std::to_string(number(timing, "count"))});
  }
  page.table(table);
}

std::string age_title(std::uint64_t seconds) {
  return std::to_string(seconds / 60);
}

// qshape(1): T is the sum, then how many recipients are younger than so many minutes.
void shape(const json& queue, Page& page) {
  const auto& told = part(queue, "shape");
  const auto& domains = told.value("domains", json::array());
  if (domains.empty()) return;
  std::vector<std::string> titles{"minutes", "T"};
  for (const auto& age : told.value("ages_s", json::array())) titles.push_back(age_title(age.get<std::uint64_t>()));
  titles.push_back(titles.back() + "+");
  Table table(titles);
  table.align_right_from(1);
  std::vector<std::uint64_t> all(titles.size() - 1);
  std::vector<std::vector<std::string>> rows;
  for (const auto& one : domains) {
    std::vector<std::string> cells{word(one, "domain"), ""};
    std::uint64_t sum = 0;
    std::size_t column = 1;
    for (const auto& count : one.value("counts", json::array())) {
      const auto recipients = count.get<std::uint64_t>();
      sum += recipients;
      if (column < all.size()) all[column++] += recipients;
      cells.push_back(std::to_string(recipients));
    }
    cells[1] = std::to_string(sum);
    all[0] += sum;
    rows.push_back(std::move(cells));
  }
  std::vector<std::string> total{"TOTAL"};
  for (const auto sum : all) total.push_back(std::to_string(sum));
  table.add(total);
  for (auto& row : rows) table.add(std::move(row));
  page.gap();
  page.table(table);
}

void queue(const json& status, Page& page) {
  const auto& queue = part(status, "queue");
  const auto held = number(queue, "hold"), deferred = number(queue, "deferred");
  const auto oldest = word(queue, "oldest");
  page.line("queue",
            fmt::format("{} active, {} deferred, {} hold; {} messages, {}{}", number(queue, "active"), deferred, held,
                        number(queue, "messages"), core::format_size(number(queue, "octets")),
                        oldest.empty() ? "" : ", oldest of " + oldest),
            deferred > 0 ? Colour::yellow : Colour::none);
  if (const auto problem = word(queue, "problem"); !problem.empty()) page.line("", problem, Colour::red);
  for (const auto& hop : queue.value("dead", json::array())) {
    page.line("dead", fmt::format("{} until {}: {}", word(hop, "next_hop"), word(hop, "until"), word(hop, "why")),
              Colour::red);
  }
  shape(queue, page);
}

void upstream(const json& status, Page& page) {
  const auto& told = part(status, "upstream");
  if (told.empty()) return;
  page.gap();
  if (told.value("unresponsive_shard", false)) page.line("shard", "one does not answer", Colour::red);
  page.line("upstream", fmt::format("{} connections kept", number(told, "kept")));
  for (const auto& [target, connections] : part(told, "connections").items()) {
    page.line("", fmt::format("{}: {} connections", core::printable(target), connections.get<unsigned>()));
  }
  for (const auto& target : told.value("ipv4_only", json::array())) {
    page.line("", core::printable(target.get<std::string>()) + ": IPv6 refused, IPv4 is used (reload forgets this)",
              Colour::yellow);
  }
  for (const auto& source : told.value("marked_sources", json::array())) {
    page.line(
        "",
        "our address " + core::printable(source.get<std::string>()) + " is refused; another is used where there is one",
        Colour::red);
  }
}

// Block lists with their health, and the access rules with most hits.
void admission(const json& status, Page& page) {
  const auto& told = part(status, "admission");
  for (const auto& list : told.value("dnsbl", json::array())) {
    const auto problem = word(list, "problem");
    page.line("block list",
              fmt::format("{} {}; {} questions, {} listings, {} failures{}{}", word(list, "name"), word(list, "state"),
                          number(list, "questions"), number(list, "listings"), number(list, "failures"),
                          problem.empty() ? "" : ": ", problem),
              problem.empty() ? Colour::none : Colour::red);
  }
  for (const auto& rule : told.value("access", json::array())) {
    page.line("access", fmt::format("{} {} {} hits", word(rule, "match"), word(rule, "action"), number(rule, "hits")));
  }
}

void dns(const json& status, Page& page) {
  const auto& check = part(status, "dns_check");
  if (check.empty()) return;
  const auto failures = number(check, "failures"), warnings = number(check, "warnings");
  page.line("DNS check",
            fmt::format("{} names: {} failed, {} warned; score {}; {} ago", number(check, "names"), failures, warnings,
                        number(check, "score"), duration(number(check, "age_s"))),
            failures > 0   ? Colour::red
            : warnings > 0 ? Colour::yellow
                           : Colour::green);
}

}  // namespace

std::string status_text(const json& status, const Screen& screen) {
  Page page(screen);
  head(status, page);
  dns(status, page);
  page.gap();
  rates(status, page);
  page.gap();
  timings(status, page);
  page.gap();
  queue(status, page);
  upstream(status, page);
  admission(status, page);
  return page.text();
}

}  // namespace app
