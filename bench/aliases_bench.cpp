// links: policy
// A million aliases: how long they take to load, what they cost in memory, how fast they are found. Prints one JSON
// object. Targets: load < 3 s, < 250 MB. Usage: aliases_bench [COUNT]
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "policy/routes.hpp"

namespace {

double resident_mb() {
  std::ifstream statm("/proc/self/statm");
  std::size_t total = 0, resident = 0;
  statm >> total >> resident;
  return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1e6;
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

std::string name_of(std::size_t i) {
  return fmt::format("firstname.lastname{}", i);
}

std::string make_table(std::size_t count) {
  std::string text;
  text.reserve(count * 80);
  for (std::size_t i = 0; i < count; ++i) {
    text += fmt::format("{}: user{}@mailbox{}.example\n", name_of(i), i, i % 100);
  }
  text.shrink_to_fit();
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t count = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1'000'000;
  auto text = make_table(count);
  const auto text_mb = static_cast<double>(text.size()) / 1e6;

  auto begin = std::chrono::steady_clock::now();
  policy::Routes::Builder builder;
  policy::DomainSpec spec;
  spec.name = "example.org";
  builder.add_aliases(builder.add_domain(std::move(spec)), std::move(text), "bench");
  std::vector<policy::Routes::Builder::Error> errors;
  const auto routes = builder.build(errors);
  const double load = seconds_since(begin);
  if (!routes) {
    fmt::print(stderr, "{}: {}\n", errors.front().where, errors.front().what);
    return 1;
  }

  mail::ForwardPath recipient;
  recipient.mailbox.domain = "example.org";
  mail::ReversePath sender;
  sender.mailbox = {"someone", "else.example"};
  std::size_t found = 0;
  const std::size_t lookups = 1'000'000;
  std::size_t at = 0;
  begin = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < lookups; ++i) {
    at = (at + 7'654'321) % (count * 2);  // half of them are unknown
    recipient.mailbox.local = name_of(at);
    found += routes->resolve(recipient, sender).kind == policy::Route::Kind::forward ? 1 : 0;
  }
  const double look = seconds_since(begin);
  fmt::print(
      "{{\"aliases\": {}, \"table_mb\": {:.0f}, \"load_s\": {:.2f}, \"rss_mb\": {:.0f}, \"lookups_per_s\": {:.0f}, "
      "\"found\": {}}}\n",
      routes->addresses(), text_mb, load, resident_mb(), static_cast<double>(lookups) / look, found);
  return load < 3.0 && resident_mb() < 250.0 ? 0 : 1;
}
