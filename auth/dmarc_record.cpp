#include "auth/dmarc_record.hpp"

#include <algorithm>

#include "core/text.hpp"

namespace auth {
namespace {

struct Tag {
  std::string name;  // lower case
  std::string_view value;
  bool duplicate = false;  // given again with another value: it says nothing (RFC 6376 §3.2)
};

constexpr std::size_t kMaxTags = 64;

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c == '\t' || (c >= ' ' && c <= '~'); });
}

bool is_tag_name(std::string_view name) {
  return !name.empty() && core::is_alpha(name.front()) &&
         std::all_of(name.begin(), name.end(), [](char c) { return core::is_alnum(c) || c == '_'; });
}

struct Tags {
  std::vector<Tag> list;
  bool clean = true;  // nothing that is no tag, nothing twice

  std::string_view value(std::string_view name) const {
    for (const auto& tag : list) {
      if (tag.name == name) return tag.duplicate ? std::string_view() : tag.value;
    }
    return {};
  }
  bool has(std::string_view name) const {
    return std::any_of(list.begin(), list.end(), [name](const Tag& tag) { return tag.name == name; });
  }
};

// RFC 9989 §4.8 dmarc-record.
Tags read_tags(std::string_view text) {
  Tags tags;
  auto parts = core::split(text, ';');
  if (parts.size() > 1 && core::trim(parts.back()).empty()) parts.pop_back();  // [dmarc-sep] at the end
  for (const auto part : parts) {
    const auto equals = part.find('=');
    const auto name = core::trim(part.substr(0, equals));
    if (equals == std::string_view::npos || !is_tag_name(name) || tags.list.size() >= kMaxTags) {
      tags.clean = false;
      continue;
    }
    const auto value = core::trim(part.substr(equals + 1));
    Tag tag{core::lower(name), value, false};
    const auto same =
        std::find_if(tags.list.begin(), tags.list.end(), [&tag](const Tag& other) { return other.name == tag.name; });
    if (same == tags.list.end()) {
      tags.list.push_back(std::move(tag));
      continue;
    }
    tags.clean = false;
    if (!core::iequals(same->value, value)) same->duplicate = true;
  }
  return tags;
}

std::optional<DmarcPolicy> read_policy(std::string_view value) {
  for (const auto policy : {DmarcPolicy::none, DmarcPolicy::quarantine, DmarcPolicy::reject}) {
    if (core::iequals(value, to_string(policy))) return policy;
  }
  return std::nullopt;
}

// RFC 3986 §3: scheme ":" something. `size_limit`: what follows "!" (RFC 7489 §6.2), which is cut off.
std::optional<std::string> read_uri(std::string_view text) {
  const auto bang = text.find('!');
  const auto uri = text.substr(0, bang);
  if (bang != std::string_view::npos) {
    auto limit = text.substr(bang + 1);
    if (!limit.empty() && std::string_view("kmgtKMGT").find(limit.back()) != std::string_view::npos) {
      limit.remove_suffix(1);
    }
    if (!core::parse_number(limit)) return std::nullopt;
  }
  const auto colon = uri.find(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == uri.size() || !core::is_alpha(uri.front())) {
    return std::nullopt;
  }
  const auto scheme = uri.substr(0, colon);
  const bool scheme_ok = std::all_of(scheme.begin(), scheme.end(),
                                     [](char c) { return core::is_alnum(c) || c == '+' || c == '-' || c == '.'; });
  const bool rest_ok = std::all_of(uri.begin(), uri.end(), [](char c) {
    return core::is_alnum(c) || std::string_view("-._~:/?#[]@$&'()*+;=%").find(c) != std::string_view::npos;
  });
  if (!scheme_ok || !rest_ok) return std::nullopt;
  return std::string(uri);
}

// False: something in the list is no URI. The good ones are kept all the same.
bool read_uris(std::string_view value, std::vector<std::string>& out) {
  bool clean = true;
  for (const auto part : core::split(value, ',')) {
    auto uri = read_uri(core::trim(part));
    if (uri && out.size() < kMaxReportUris) {
      out.push_back(std::move(*uri));
    } else {
      clean = false;
    }
  }
  return clean;
}

std::optional<Alignment> read_alignment(std::string_view value) {
  if (core::iequals(value, "r")) return Alignment::relaxed;
  if (core::iequals(value, "s")) return Alignment::strict;
  return std::nullopt;
}

bool is_fo(std::string_view value) {
  const auto parts = core::split(value, ':');
  return std::all_of(parts.begin(), parts.end(), [](std::string_view part) {
    part = core::trim(part);
    return part.size() == 1 && std::string_view("01dsDS").find(part.front()) != std::string_view::npos;
  });
}

// RFC 7489 §6.4 dmarc-rfmt: Keyword *(*WSP ":" Keyword); Keyword is an Ldh-str (RFC 5321 §4.1.2).
bool is_rf(std::string_view value) {
  const auto parts = core::split(value, ':');
  return std::all_of(parts.begin(), parts.end(), [](std::string_view part) {
    part = core::trim(part);
    return !part.empty() && core::is_alpha(part.front()) && part.back() != '-' &&
           std::all_of(part.begin(), part.end(), [](char c) { return core::is_alnum(c) || c == '-'; });
  });
}

// What RFC 7489 §6.3, §6.4 asks of tags beyond those that RFC 9989 kept.
bool is_clean_7489(const Tags& tags) {
  const bool clean = tags.clean && (!tags.has("p") || tags.list[1].name == "p");
  const auto number = [&tags](std::string_view name, unsigned long long most) {
    if (!tags.has(name)) return true;
    const auto value = core::parse_number(tags.value(name));
    return value && *value <= most;
  };
  return clean && number("pct", 100) && number("ri", 0xffffffffULL) && (!tags.has("rf") || is_rf(tags.value("rf"))) &&
         (!tags.has("fo") || is_fo(tags.value("fo"))) && (!tags.has("adkim") || read_alignment(tags.value("adkim"))) &&
         (!tags.has("aspf") || read_alignment(tags.value("aspf")));
}

}  // namespace

bool is_dmarc_record(std::string_view text) {
  const auto equals = text.find('=');
  const auto end = std::min(text.find(';'), text.size());
  if (equals == std::string_view::npos || equals > end || text.empty() || core::to_lower(text.front()) != 'v') {
    return false;
  }
  // RFC 9989 §4.8 dmarc-version: the value is case-sensitive.
  return core::trim(text.substr(1, equals - 1)).empty() &&
         core::trim(text.substr(equals + 1, end - equals - 1)) == "DMARC1";
}

std::optional<DmarcRecord> parse_dmarc_record(std::string_view text, Dialect dialect) {
  if (!is_dmarc_record(text) || text.size() > kMaxDmarcRecord) return std::nullopt;
  const bool strict = dialect == Dialect::rfc7489;
  const auto tags = read_tags(text);
  if (strict && (!is_printable(text) || tags.list.size() < 2 || !is_clean_7489(tags))) return std::nullopt;

  DmarcRecord record;
  record.text = core::printable(text);
  const bool rua_clean = !tags.has("rua") || read_uris(tags.value("rua"), record.rua);
  const bool ruf_clean = !tags.has("ruf") || read_uris(tags.value("ruf"), record.ruf);
  if (strict && !(rua_clean && ruf_clean)) return std::nullopt;

  const auto p = read_policy(tags.value("p"));
  record.sp = read_policy(tags.value("sp"));
  if (!strict) record.np = read_policy(tags.value("np"));
  const bool bad = !p || (tags.has("sp") && !record.sp) || (!strict && tags.has("np") && !record.np);
  if (bad) {
    // RFC 9989 §4.10.1, RFC 7489 §6.6.3: as if it were "p=none" when reports are wanted.
    record.sp = record.np = std::nullopt;
    record.usable = !record.rua.empty();
    if (strict && !record.usable) return std::nullopt;
  } else {
    record.p = *p;
  }
  record.adkim = read_alignment(tags.value("adkim")).value_or(Alignment::relaxed);
  record.aspf = read_alignment(tags.value("aspf")).value_or(Alignment::relaxed);
  if (is_fo(tags.value("fo"))) record.fo = std::string(tags.value("fo"));
  if (strict) {
    record.testing = core::parse_number(tags.value("pct")) == 0ULL;
  } else {
    record.testing = core::iequals(tags.value("t"), "y");
    if (core::iequals(tags.value("psd"), "y")) record.psd = Psd::yes;
    if (core::iequals(tags.value("psd"), "n")) record.psd = Psd::no;
  }
  return record;
}

Selection select_dmarc_record(std::span<const std::string> texts) {
  Selection selection;
  for (const auto& text : texts) {
    if (!is_dmarc_record(text)) continue;
    if (selection.found != Found::none) return {Found::several, {}};
    selection = {Found::one, text};
  }
  return selection;
}

}  // namespace auth
