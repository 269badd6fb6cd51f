// links: srs
// Two ways in: any text as the local part of a recipient (it must not crash, and nothing may come back that we did not
// make), and any valid sender forwarded and turned back, by a second forwarder in between as well.
#include <cstddef>
#include <cstdint>
#include <map>

#include "core/text.hpp"
#include "srs/loop_token.hpp"
#include "srs/rewriter.hpp"

namespace {

void require(bool ok) {
  if (!ok) __builtin_trap();
}

class Tokens final : public srs::TokenStore {
 public:
  core::Error put(std::string_view token, std::string_view address) override {
    kept_[std::string(token)] = std::string(address);
    return {};
  }
  std::optional<std::string> find(std::string_view token) override {
    const auto it = kept_.find(std::string(token));
    return it == kept_.end() ? std::nullopt : std::optional(it->second);
  }

 private:
  std::map<std::string, std::string> kept_;
};

srs::Rewriter rewriter(const char* domain, const char* secret, srs::Hash hash, Tokens& tokens) {
  srs::Rewriter::Settings s;
  s.domain = domain;
  s.secrets.emplace_back(std::string(secret));
  s.hash = hash;
  return {std::move(s), &tokens};
}

const core::Wall::time_point kNow{std::chrono::seconds(1'763'697'733)};

void there_and_back(const mail::Mailbox& sender, srs::Hash hash) {
  Tokens first_tokens, second_tokens;
  const auto first = rewriter("first.example", "one", hash, first_tokens);
  const auto second = rewriter("second.example", "two", hash, second_tokens);
  const auto once = first.forward({sender}, kNow);
  require(once.has_value() && mail::parse_mailbox(once->to_string()).has_value());
  const auto twice = second.forward(*once, kNow);
  require(twice.has_value() && mail::parse_mailbox(twice->to_string()).has_value());
  if (core::iequals(sender.domain, "first.example")) return;  // left alone

  // An SRS1 that names one of the two as its first forwarder leads to an SRS0 that was never made there.
  const auto names = core::lower(sender.local);
  const bool forged =
      names.find("first.example") != std::string::npos || names.find("second.example") != std::string::npos;
  const auto original = first.reverse(once->mailbox.local, kNow);
  require(original.has_value() || forged);
  require(!original || srs::looks_like_srs(sender.local) || *original == sender);
  if (forged || core::iequals(sender.domain, "second.example")) return;

  // The bounce of the second hop goes to the first, and from there to the sender; an SRS1 of the first comes back as
  // the SRS0 of the one before it.
  const auto back = second.reverse(twice->mailbox.local, kNow);
  require(back.has_value());
  require(*back == once->mailbox || core::istarts_with(once->mailbox.unquoted_local(), "SRS1"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto hash : {srs::Hash::sha256, srs::Hash::sha1}) {
    Tokens tokens;
    const auto ours = rewriter("first.example", "one", hash, tokens);
    const auto back = ours.reverse(text, kNow);
    // 40 or 24 bits of hash: what the fuzzer finds here is a hole, not luck.
    if (hash == srs::Hash::sha256) require(!back.has_value());
    if (const auto sender = mail::parse_mailbox(text, mail::Utf8::yes)) there_and_back(*sender, hash);
  }
  std::vector<core::Secret> secrets;
  secrets.emplace_back(std::string("one"));
  const srs::LoopToken loop(secrets, "first.example");
  require(!loop.verify(text, {"sales", "example.org"}));
  return 0;
}
