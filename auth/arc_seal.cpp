#include <algorithm>
#include <chrono>
#include <utility>

#include "auth/arc.hpp"
#include "auth/arc_chain.hpp"
#include "auth/tag_field.hpp"

namespace auth {
namespace {

struct Place {
  unsigned instance = 1;
  ArcStatus cv = ArcStatus::none;
};

// Where our set goes, if anywhere. What is said to have passed must look so from here, too.
std::optional<Place> next_place(const ArcChain& chain, const ArcResult& verified) {
  if (!chain.present) return verified.result == Verdict::none ? std::optional(Place()) : std::nullopt;
  if (!chain.may_grow()) return std::nullopt;
  const auto next = static_cast<unsigned>(chain.sets.size()) + 1;
  if (verified.result == Verdict::fail) return Place{next, ArcStatus::fail};
  const bool good = verified.result == Verdict::pass && chain.problem.empty() && verified.sets == chain.sets.size();
  return good ? std::optional(Place{next, ArcStatus::pass}) : std::nullopt;
}

std::string_view to_string(ArcStatus status) {
  switch (status) {
    case ArcStatus::none:
      return "none";
    case ArcStatus::pass:
      return "pass";
    case ArcStatus::fail:
      break;
  }
  return "fail";
}

void append_set(const ArcSet& set, std::string& out) {
  for (const auto* field : {set.results_field, set.signature_field, set.seal_field}) {
    append_canonical_header(Canon::relaxed, field->raw, out);
  }
}

}  // namespace

struct ArcSealer::Tag {
  std::string_view name;
  std::string value;
};

ArcSealer::ArcSealer(std::string domain, std::string selector, std::shared_ptr<const SigningKey> key, ArcForm form)
    : domain_(std::move(domain)), selector_(std::move(selector)), key_(std::move(key)), form_(form) {}

// `tags` without b=; `covered`: the canonical fields that the signature covers beside its own.
core::Result<std::string> ArcSealer::sign_field(std::string_view name, std::vector<Tag> tags,
                                                std::string_view covered) const {
  std::string own;
  if (form_ == ArcForm::folded) {
    TagField field(name);
    for (const auto& tag : tags) {
      if (tag.name == "h") {
        field.list(tag.name, tag.value);
      } else if (tag.name == "bh") {
        field.base64(tag.name, tag.value);
      } else {
        field.tag(tag.name, tag.value);
      }
    }
    field.base64("b", "");
    append_canonical_header(Canon::relaxed, field.text(), own);
    const auto signature = key_->sign({covered, own});
    if (!signature) return signature.error();
    return std::move(field).finish(*signature);
  }
  tags.push_back({"b", ""});
  std::sort(tags.begin(), tags.end(), [](const Tag& a, const Tag& b) { return a.name < b.name; });
  std::string text = std::string(name) + ":";
  std::size_t value_at = 0;
  for (const auto& tag : tags) {
    text += (&tag == &tags.front() ? " " : "; ") + std::string(tag.name) + "=" + tag.value;
    if (tag.name == "b") value_at = text.size();
  }
  append_canonical_header(Canon::relaxed, text, own);
  const auto signature = key_->sign({covered, own});
  if (!signature) return signature.error();
  return text.insert(value_at, *signature) + "\r\n";
}

core::Result<std::string> ArcSealer::seal(const ArcResult& verified, std::string_view results,
                                          const ArcMessage& message, core::Wall::time_point now) const {
  if (key_->type() != KeyType::rsa) return core::Errc::malformed;
  const auto chain = ArcChain::parse(message.headers);
  const auto place = next_place(chain, verified);
  if (!place) return std::string();

  const auto instance = std::to_string(place->instance);
  const auto time = std::to_string(std::chrono::duration_cast<core::Seconds>(now.time_since_epoch()).count());
  const auto own_results =
      mail::make_field("ARC-Authentication-Results", "i=" + instance + "; " + mail::unfold(results));
  const auto signature = sign_field("ARC-Message-Signature",
                                    {{"i", instance},
                                     {"a", "rsa-sha256"},
                                     {"c", "relaxed/relaxed"},
                                     {"d", domain_},
                                     {"s", selector_},
                                     {"t", time},
                                     {"h", std::string(message.names)},
                                     {"bh", message.body.to_base64()}},
                                    message.canonical);
  if (!signature) return signature.error();

  std::string covered;
  if (place->cv == ArcStatus::pass) {
    for (const auto& set : chain.sets) append_set(set, covered);
  }
  append_canonical_header(Canon::relaxed, own_results, covered);
  append_canonical_header(Canon::relaxed, *signature, covered);
  const auto seal = sign_field("ARC-Seal",
                               {{"i", instance},
                                {"a", "rsa-sha256"},
                                {"t", time},
                                {"cv", std::string(to_string(place->cv))},
                                {"d", domain_},
                                {"s", selector_}},
                               covered);
  if (!seal) return seal.error();
  return *seal + *signature + own_results;
}

}  // namespace auth
