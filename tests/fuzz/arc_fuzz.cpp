// links: auth
// A message with whatever ARC fields the fuzzer writes, and a key record of its making: the verifier always comes to a
// verdict, the same for every slicing of the body. Then two sets of ours on top: a chain that was good (or none) stays
// good and breaks with any change to them, one that was broken stays broken.
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <cstdint>
#include <string>

#include "auth/arc.hpp"
#include "auth/arc_chain.hpp"
#include "auth/dkim_sign.hpp"
#include "core/text.hpp"

namespace {

using auth::Verdict;

void require(bool ok) {
  if (!ok) __builtin_trap();
}

// Of 1,024 bits, so that signing costs little.
auth::SigningKey new_key() {
  EVP_PKEY* const made = EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{1024});
  BIO* const memory = BIO_new(BIO_s_mem());
  require(PEM_write_bio_PrivateKey(memory, made, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  char* text = nullptr;
  const auto size = BIO_get_mem_data(memory, &text);
  auto key = auth::SigningKey::parse(std::string_view(text, static_cast<std::size_t>(size)));
  BIO_free(memory);
  EVP_PKEY_free(made);
  return std::move(key.value());
}

const std::shared_ptr<const auth::SigningKey>& key() {
  static const auto made = std::make_shared<const auth::SigningKey>(new_key());
  return made;
}

// Signing costs a hundred times what reading does.
constexpr std::size_t kSealEvery = 32;
constexpr std::string_view kOurKey = "arc._domainkey.forward.example";
constexpr core::Wall::time_point kNow{std::chrono::seconds(1'700'000'000)};

struct Message {
  std::string section, body;
};

auth::ArcResult verify(const Message& message, std::string_view record, std::size_t step) {
  auth::ArcVerifier verifier(kNow);
  verifier.headers(mail::Headers::parse(message.section).value());
  for (auto rest = std::string_view(message.body); !rest.empty(); rest.remove_prefix(std::min(step, rest.size()))) {
    verifier.body(rest.substr(0, step));
  }
  require(verifier.keys().size() <= auth::kMaxArcSets + 1);
  dns::Lookup lookup;
  if (const auto early = verifier.finish(lookup)) return *early;
  require(lookup.wanted() == verifier.keys());
  for (const auto& question : verifier.keys()) {
    dns::Answer answer;
    answer.status = dns::Status::ok;
    answer.texts = {std::string(record)};
    if (question.name == kOurKey) answer.texts.push_back(key()->dns_record());
    lookup.answer(question, std::move(answer));
  }
  return verifier.finish(lookup).value();
}

std::string seal(const Message& message, const auth::ArcResult& verified) {
  static const auth::ArcSealer sealer("forward.example", "arc", key());
  const auto headers = mail::Headers::parse(message.section).value();
  const auth::SignedFields fields(headers.fields(), auth::Cover::arc);
  auth::BodyHasher hasher;
  hasher.update(message.body);
  const auto hash = hasher.finish();
  return sealer
      .seal(verified, message.body,
            {.headers = headers, .names = fields.names(), .canonical = fields.canonical(), .body = hash}, kNow)
      .value();
}

}  // namespace

// The first line is the key record; then the message.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto line = std::min(text.find('\n'), text.size());
  const auto record = text.substr(0, line);
  Message message;
  bool in_body = false;
  auto rest = text.substr(std::min(line + 1, text.size()));
  while (!rest.empty()) {  // lone LFs, so that the fuzzer need not write CRLFs
    const auto end = std::min(rest.find('\n'), rest.size());
    auto row = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!in_body && row.empty()) {
      in_body = true;
      continue;
    }
    (in_body ? message.body : message.section) += std::string(row) + "\r\n";
  }
  const auto headers = mail::Headers::parse(message.section);
  if (!headers) return 0;

  const auto chain = auth::ArcChain::parse(*headers);
  const auto before = verify(message, record, 4096);
  require((before.result == Verdict::none) == !chain.present);
  require(before.result == Verdict::none || before.result == Verdict::pass || before.result == Verdict::fail);
  require(before.reason.empty() == (before.result != Verdict::fail));
  require(before.sets <= auth::kMaxArcSets && before.sets == chain.sets.size() && before.sealers.size() == before.sets);
  require(core::printable(before.reason) == before.reason);
  const auto sliced = verify(message, record, 1);
  require(sliced.result == before.result && sliced.reason == before.reason);

  if (size % kSealEvery != 0) return 0;
  auto now = before;
  for (int hop = 0; hop < 2; ++hop) {
    const auto set = seal(message, now);
    if (set.empty()) {
      require(now.result == Verdict::fail || now.sets == auth::kMaxArcSets);
      return 0;
    }
    require(mail::Headers::parse(set).value().fields().size() == 3);
    message.section.insert(0, set);
    if (!mail::Headers::parse(message.section)) return 0;  // too large now
    const auto after = verify(message, record, 4096);
    require(after.sets == now.sets + 1);
    require(after.result == (now.result == Verdict::fail ? Verdict::fail : Verdict::pass));
    if (after.result == Verdict::pass) {
      auto changed = message;
      const auto at = size % set.find(" b=");
      if (core::is_alnum(changed.section[at])) {
        changed.section[at] = changed.section[at] == 'q' ? 'r' : 'q';
        if (core::lower(changed.section) != core::lower(message.section) && mail::Headers::parse(changed.section)) {
          require(verify(changed, record, 4096).result != Verdict::pass);
        }
      }
    }
    now = after;
  }
  return 0;
}
