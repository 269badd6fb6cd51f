// links: policy
// Bulk alias tables out of any bytes: no crash, whatever is accepted is found again by its own key, and leads to
// addresses only.
#include <cstdint>
#include <string>
#include <string_view>

#include "policy/alias_table.hpp"
#include "policy/routes.hpp"
#include "policy/rule_syntax.hpp"

namespace {

void require(bool condition) {
  if (!condition) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  std::size_t problems = 0;
  const policy::AliasTable table(text, "x.example", [&](unsigned, const std::string& what) {
    require(!what.empty());
    ++problems;
  });
  std::size_t seen = 0;
  table.for_each([&](const policy::AliasTable::Entry& entry) {
    ++seen;
    const auto plain = policy::plain_local(entry.key);
    const auto found = table.find(plain);
    require(!plain.empty() && found && found->line == entry.line && found->value.data() == entry.value.data());
    policy::Destinations all(entry.value);
    std::size_t count = 0;
    for (auto d = all.next(); !d.empty(); d = all.next()) {
      require(d.find('\n') == std::string_view::npos);
      ++count;
    }
    require(count > 0);
  });
  require(seen == table.size());

  policy::Routes::Builder builder;
  policy::DomainSpec spec;
  spec.name = "x.example";
  builder.add_aliases(builder.add_domain(std::move(spec)), text, "t");
  std::vector<policy::Routes::Builder::Error> errors;
  const auto routes = builder.build(errors);
  require((routes != nullptr) == errors.empty());
  if (!routes) return 0;
  require(problems == 0);
  table.for_each([&](const policy::AliasTable::Entry& entry) {
    const auto local = mail::make_mailbox(policy::plain_local(entry.key), "x.example", mail::Utf8::yes);
    require(local.has_value());
    const auto route = routes->resolve(mail::ForwardPath{*local}, {});
    require(route.kind == policy::Route::Kind::forward && !route.destinations.empty());
  });
  return 0;
}
