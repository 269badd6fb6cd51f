#include "auth/dmarc_domain.hpp"

#include <libpsl.h>

#include <algorithm>
#include <array>

#include "core/text.hpp"
#include "mail/punycode.hpp"
#include "mail/utf8.hpp"

namespace auth {
namespace {

constexpr std::size_t kMaxLabel = 63;  // RFC 1035 §2.3.4
constexpr std::size_t kMaxName = 253;

struct FreeString {
  void operator()(char* text) const noexcept { psl_free_string(text); }
};

// Code points that a reader does not see, or that some software reads as a dot (RFC 3490 §3.1) or as a blank: a name
// with one of them looks like another name.
bool is_treacherous(char32_t c) {
  struct Range {
    char32_t first, last;
  };
  static constexpr std::array<Range, 19> kRanges{{{0x80, 0xa0},        // C1, no-break space
                                                  {0xad, 0xad},        // soft hyphen
                                                  {0x34f, 0x34f},      // combining grapheme joiner
                                                  {0x61c, 0x61c},      // Arabic letter mark
                                                  {0x115f, 0x1160},    // Hangul fillers
                                                  {0x17b4, 0x17b5},    // Khmer inherent vowels
                                                  {0x180b, 0x180f},    // Mongolian selectors
                                                  {0x2000, 0x206f},    // blanks, joiners, direction marks, punctuation
                                                  {0x3000, 0x3002},    // ideographic blank, comma and full stop
                                                  {0x3164, 0x3164},    // Hangul filler
                                                  {0xd800, 0xf8ff},    // surrogates, private use
                                                  {0xfdd0, 0xfdef},    // noncharacters
                                                  {0xfe00, 0xfe0f},    // variation selectors
                                                  {0xfeff, 0xfeff},    // byte order mark
                                                  {0xff61, 0xff61},    // half-width full stop
                                                  {0xffa0, 0xffa0},    // half-width Hangul filler
                                                  {0xfff0, 0xffff},    // specials
                                                  {0x1d173, 0x1d17a},  // musical format controls
                                                  {0xe0000, 0x10ffff}}};  // tags, more selectors, private use
  return std::any_of(kRanges.begin(), kRanges.end(), [c](Range r) { return c >= r.first && c <= r.last; });
}

std::optional<std::string> normal_label(std::string_view label) {
  if (label.empty() || label.front() == '-' || label.back() == '-') return std::nullopt;
  std::string ascii;
  std::u32string points;
  bool unicode = false;
  while (!label.empty()) {
    const auto point = mail::first_code_point(label);
    if (point.length == 0 || points.size() >= kMaxLabel) return std::nullopt;
    label.remove_prefix(point.length);
    if (point.value >= 0x80) {
      if (is_treacherous(point.value)) return std::nullopt;
      unicode = true;
      points += point.value;
    } else {
      const char c = core::to_lower(static_cast<char>(point.value));
      if (!core::is_alnum(c) && c != '-' && c != '_') return std::nullopt;
      points += static_cast<char32_t>(c);
      ascii += c;
    }
  }
  if (!unicode) return ascii;
  const auto encoded = mail::punycode_encode(points);
  if (!encoded || encoded->size() + 4 > kMaxLabel) return std::nullopt;
  return "xn--" + *encoded;
}

// RFC 5890 §2.3.2.1: a U-label is in NFC and has no upper case. What NFKC or lower case would change, one reader shows
// as one name and the next as another.
bool is_canonical(std::string_view name) {
  const std::string lowered = core::lower(name);  // ASCII only: that much is agreed on by everybody
  char* out = nullptr;
  const auto status = psl_str_to_utf8lower(lowered.c_str(), "utf-8", nullptr, &out);
  const std::unique_ptr<char, FreeString> owned(out);
  return status == PSL_SUCCESS && owned && lowered == owned.get();
}

}  // namespace

std::optional<std::string> normal_domain(std::string_view name) {
  if (name.empty() || name.size() > std::size_t{4} * kMaxName) return std::nullopt;
  if (core::has_8bit(name) && (!mail::is_plain_utf8(name) || !is_canonical(name))) return std::nullopt;
  std::string out;
  for (const auto part : core::split(name, '.')) {
    const auto label = normal_label(part);
    if (!label || label->size() > kMaxLabel) return std::nullopt;
    if (!out.empty()) out += '.';
    out += *label;
    if (out.size() > kMaxName) return std::nullopt;
  }
  return out;
}

bool is_same_or_below(std::string_view name, std::string_view ancestor) {
  return name == ancestor ||
         (name.size() > ancestor.size() && name.ends_with(ancestor) && name[name.size() - ancestor.size() - 1] == '.');
}

std::size_t count_labels(std::string_view name) {
  return name.empty() ? 0 : static_cast<std::size_t>(std::count(name.begin(), name.end(), '.')) + 1;
}

std::string_view last_labels(std::string_view name, std::size_t count) {
  std::size_t start = name.size();
  while (start > 0) {
    if (name[start - 1] == '.' && --count == 0) break;
    --start;
  }
  return name.substr(start);
}

struct PublicSuffixList::Impl {
  struct Free {
    void operator()(psl_ctx_t* context) const noexcept { psl_free(context); }
  };
  std::unique_ptr<psl_ctx_t, Free> list;
};

PublicSuffixList::PublicSuffixList(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PublicSuffixList::PublicSuffixList(PublicSuffixList&&) noexcept = default;
PublicSuffixList& PublicSuffixList::operator=(PublicSuffixList&&) noexcept = default;
PublicSuffixList::~PublicSuffixList() = default;

core::Explained<PublicSuffixList> PublicSuffixList::load(const std::string& path) {
  auto impl = std::make_unique<Impl>();
  impl->list.reset(psl_load_file(path.c_str()));
  if (!impl->list) {
    return core::Problem{"cannot read the public suffix list " + path + "; Debian's package publicsuffix has it"};
  }
  return PublicSuffixList(std::move(impl));
}

std::optional<std::string> PublicSuffixList::registrable_domain(std::string_view name) const {
  const std::string text(name);
  const char* found = psl_registrable_domain(impl_->list.get(), text.c_str());
  if (!found) return std::nullopt;
  return std::string(found);
}

bool PublicSuffixList::is_listed_suffix(std::string_view name) const {
  const std::string text(name);
  return psl_is_public_suffix2(impl_->list.get(), text.c_str(), PSL_TYPE_ANY | PSL_TYPE_NO_STAR_RULE) == 1;
}

}  // namespace auth
