// For the tests of ARC: a message verified against records in a map, and sealed with keys that are made here.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "auth/arc.hpp"
#include "auth/dkim_sign.hpp"
#include "auth/messages.hpp"

namespace arc {

using Records = std::map<std::string, std::vector<std::string>>;

inline constexpr core::Wall::time_point kNow{std::chrono::seconds(1'700'000'000)};

inline auth::BodyHash hash_of(std::string_view body) {
  auth::BodyHasher hasher;
  hasher.update(body);
  return hasher.finish();
}

inline dns::Answer answer_of(const Records& records, const dns::Question& question) {
  dns::Answer answer;
  const auto found = records.find(question.name);
  answer.status = found == records.end() ? dns::Status::nx_domain : dns::Status::ok;
  if (found != records.end()) answer.texts = found->second;
  return answer;
}

// `step`: octets of the body in a slice.
inline auth::ArcResult verify(std::string_view wire, const Records& records, std::size_t step = 4096,
                              core::Wall::time_point now = kNow) {
  const auto [section, body] = messages::split(wire);
  auth::ArcVerifier verifier(now);
  {
    // The header may go once it has been shown.
    const std::string copy(section);
    verifier.headers(mail::Headers::parse(copy).value());
  }
  for (auto rest = body; !rest.empty(); rest.remove_prefix(std::min(step, rest.size()))) {
    verifier.body(rest.substr(0, step));
  }
  dns::Lookup lookup;
  for (const auto& question : verifier.keys()) lookup.answer(question, answer_of(records, question));
  return verifier.finish(lookup).value();  // what was announced was all
}

inline std::shared_ptr<const auth::SigningKey> new_key(auth::NewKey type = auth::NewKey::rsa2048) {
  const auto pem = auth::generate_key(type);
  return std::make_shared<const auth::SigningKey>(auth::SigningKey::parse(pem.value().view()).value());
}

inline const std::shared_ptr<const auth::SigningKey>& key() {
  static const auto made = new_key();
  return made;
}

inline const Records& published() {
  static const Records records{{"arc._domainkey.forward.example", {key()->dns_record()}}};
  return records;
}

inline auth::ArcSealer sealer() {
  return {"forward.example", "arc", key()};
}

// The set for `wire`, "" when none is made.
inline std::string new_set(std::string_view wire, const auth::ArcResult& verified,
                           const auth::ArcSealer& by = sealer()) {
  const auto [section, body] = messages::split(wire);
  const auto headers = mail::Headers::parse(section).value();
  const auth::SignedFields fields(headers.fields(), auth::Cover::arc);
  const auto hash = hash_of(body);
  return by
      .seal(verified, "mx.forward.example; spf=pass smtp.mfrom=a@sender.example; dkim=none; arc=none",
            {.headers = headers, .names = fields.names(), .canonical = fields.canonical(), .body = hash}, kNow)
      .value();
}

// Verified, and with our set on top if there is one.
inline std::string sealed(const std::string& wire, const Records& records = published()) {
  return new_set(wire, verify(wire, records)) + wire;
}

}  // namespace arc
