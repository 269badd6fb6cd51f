// links: mail
// A section that parses is covered by its fields octet for octet and means the same cut into fields (SM-06); the
// scanner finds the end in any slicing; a field of ours is one valid field, whatever its text (RL-04).
#include <cstddef>
#include <cstdint>

#include "core/text.hpp"
#include "mail/header.hpp"

namespace {

void check(bool good) {
  if (!good) __builtin_trap();
}

void check_section(std::string_view section) {
  const auto headers = mail::Headers::parse(section);
  if (!headers.has_value()) return;
  std::size_t covered = 0;
  for (const auto& field : headers->fields()) {
    check(field.raw.data() == section.data() + covered && field.raw.ends_with("\r\n"));
    covered += field.raw.size();
    const auto alone = mail::Headers::parse(field.raw);
    check(alone.has_value() && alone->fields().size() == 1 && alone->fields()[0].name == field.name);
    check(headers->first(field.name) != nullptr && headers->count(field.name) >= 1);
    check(std::string(field.name) + ":" + std::string(field.value()) + "\r\n" == field.raw);
    const auto flat = mail::unfold(field.value());
    check(flat.find_first_of("\r\n") == std::string::npos && mail::unfold(flat) == flat);
  }
  check(covered == section.size());
  check(section.find("\r\n\r\n") == std::string_view::npos && !section.starts_with("\r\n"));
}

std::optional<std::uint64_t> scan(std::string_view text, std::size_t slice) {
  mail::HeaderScanner scanner;
  std::optional<std::uint64_t> end;
  for (; !text.empty(); text.remove_prefix(std::min(slice, text.size()))) end = scanner.feed(text.substr(0, slice));
  return end;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_section(text);
  const auto at = ("\r\n" + std::string(text)).find("\r\n\r\n");
  const auto expected = at == std::string::npos ? std::nullopt : std::optional<std::uint64_t>(at + 2);
  for (const std::size_t slice : {std::size_t{1}, std::size_t{3}, std::size_t{7}, size + 1}) {
    check(scan(text, slice) == expected);
  }
  if (expected && *expected >= 2) check_section(text.substr(0, *expected - 2));

  const auto field = mail::make_field("X-Test", text);
  const auto parsed = mail::Headers::parse(field);
  check(field.size() > mail::kMaxHeaderOctets || (parsed.has_value() && parsed->fields().size() == 1));
  check(core::is_utf8(field));
  for (std::string_view rest = field; !rest.empty();) {
    const auto end = rest.find("\r\n");
    check(end != std::string_view::npos && end <= 998);
    rest.remove_prefix(end + 2);
  }
  return 0;
}
