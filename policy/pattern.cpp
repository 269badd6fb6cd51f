#include "policy/pattern.hpp"

#include <fmt/format.h>
#include <re2/re2.h>

#include "core/text.hpp"

namespace policy {
namespace {

constexpr int kMaxMemory = 1 << 20;  // octets of one compiled pattern

}  // namespace

Pattern::Pattern(std::unique_ptr<re2::RE2> re) : re_(std::move(re)) {}
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;
Pattern::~Pattern() = default;

core::Explained<Pattern> Pattern::compile(std::string_view text) {
  if (text.empty()) return core::Problem{"is empty; it must match a whole local part"};
  if (text.size() > kMaxLength) return core::Problem{fmt::format("is longer than {} octets", kMaxLength)};
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_case_sensitive(false);
  options.set_max_mem(kMaxMemory);
  auto re = std::make_unique<re2::RE2>(re2::StringPiece(text.data(), text.size()), options);
  if (!re->ok()) return core::Problem{fmt::format("is no RE2 pattern ({})", core::printable(re->error()))};
  if (re->NumberOfCapturingGroups() > kMaxCaptures) {
    return core::Problem{fmt::format("has more than {} groups; write (?:...) for those that no $ names", kMaxCaptures)};
  }
  return Pattern(std::move(re));
}

int Pattern::captures() const {
  return re_->NumberOfCapturingGroups();
}

std::optional<std::vector<std::string_view>> Pattern::match(std::string_view local) const {
  re2::StringPiece groups[kMaxCaptures + 1];
  const int wanted = captures() + 1;
  if (!re_->Match({local.data(), local.size()}, 0, local.size(), re2::RE2::ANCHOR_BOTH, groups, wanted)) {
    return std::nullopt;
  }
  std::vector<std::string_view> found;
  for (int i = 1; i < wanted; ++i) found.emplace_back(groups[i].data(), groups[i].size());
  return found;
}

}  // namespace policy
