#include <openssl/evp.h>

#include <algorithm>
#include <new>
#include <unordered_map>

#include "auth/arc.hpp"
#include "auth/arc_chain.hpp"
#include "auth/authentication_results.hpp"
#include "auth/dkim_verify_key.hpp"
#include "core/digest.hpp"
#include "core/text.hpp"

namespace auth {
namespace {

// SHA-256 of a text that grows: each seal covers what the one before it covered and more, so that hashing every one
// from the start would cost the square of the number of sets.
class GrowingHash {
 public:
  GrowingHash() : whole_(EVP_MD_CTX_new()), copy_(EVP_MD_CTX_new()) {
    must(whole_ && copy_ && EVP_DigestInit_ex2(whole_.get(), EVP_sha256(), nullptr) == 1);
  }
  void add(std::string_view octets) { must(EVP_DigestUpdate(whole_.get(), octets.data(), octets.size()) == 1); }
  // Of everything so far and `last`, which is not kept.
  core::Digest with(std::string_view last) {
    core::Digest digest{};
    must(EVP_MD_CTX_copy_ex(copy_.get(), whole_.get()) == 1 &&
         EVP_DigestUpdate(copy_.get(), last.data(), last.size()) == 1 &&
         EVP_DigestFinal_ex(copy_.get(), digest.data(), nullptr) == 1);
    return digest;
  }

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
  };
  // OpenSSL fails here only without memory.
  static void must(bool ok) {
    if (!ok) throw std::bad_alloc();
  }
  std::unique_ptr<EVP_MD_CTX, Free> whole_, copy_;
};

std::string canonical(Canon canon, std::string_view raw) {
  std::string out;
  append_canonical_header(canon, raw, out);
  return out;
}

// The fields that h= names, each name from the bottom up (RFC 6376 §5.4.2), and the signature's own. Linear in both,
// however often a name is repeated.
core::Digest signed_digest(const mail::Headers& headers, const ArcSet& set, Canon canon) {
  std::unordered_map<std::string, std::vector<const mail::HeaderField*>> by_name;
  for (const auto& field : headers.fields()) {
    if (&field != set.signature_field) by_name[core::lower(field.name)].push_back(&field);
  }
  core::Sha256 hash;
  for (const auto name : core::split(set.signature.names, ':')) {
    const auto found = by_name.find(core::lower(name));
    if (found == by_name.end() || found->second.empty()) continue;
    hash.update(canonical(canon, found->second.back()->raw));
    found->second.pop_back();
  }
  hash.update(canonical(canon, without_signature(*set.signature_field)));
  return hash.finish();
}

// One signature that is to be checked when its key is there.
struct Pending {
  std::string what;  // for the reason
  SignatureField key;
  core::Digest digest{};
};

// RSA verifications for one message. Fifty sets want fifty-one, when each name has one key as it should.
constexpr unsigned kMaxChecks = 128;

// Why it does not verify, "" when it does. `checks`: how many verifications may still be made.
std::string check(const Pending& signature, const dns::Answer& answer, unsigned& checks) {
  const auto choice = choose_keys(answer, signature.key, kMinArcKeyBits);
  if (choice.verdict == Verdict::temperror) return signature.what + ": DNS: " + choice.reason;
  if (choice.usable.empty()) return signature.what + ": " + choice.reason;
  for (const auto& key : choice.usable) {
    if (checks == 0) return signature.what + ": too many keys to try";
    --checks;
    if (is_signed_with(key, signature.key, core::as_text(signature.digest))) return {};
  }
  return signature.what + ": the signature is wrong";
}

// The first set's ARC-Authentication-Results: did its sealer see the message authenticated?
bool says_passed(const mail::HeaderField& field) {
  const auto value = field.value();
  const auto end = value.find(';');  // "i=1;"
  if (end == std::string_view::npos) return false;
  const auto said = parse_authentication_results(value.substr(end + 1));
  if (!said) return false;
  bool passed = false;
  for (const auto& one : said->results) {
    if (one.method == "dmarc") return one.result == "pass";
    passed |= (one.method == "spf" || one.method == "dkim") && one.result == "pass";
  }
  return passed;
}

}  // namespace

struct ArcVerifier::Impl {
  explicit Impl(core::Wall::time_point at) : now(at) {}

  // One meaning of the newest ARC-Message-Signature.
  struct Candidate {
    std::size_t body;  // index in `bodies`
    core::Digest digest;
  };
  struct Body {
    Canon canon;
    BodyHasher hasher;
    BodyHash hash{};
  };

  void fail(std::string reason) {
    result.result = Verdict::fail;
    result.reason = std::move(reason);
    done = true;
    bodies.clear();
    questions.clear();
  }
  std::size_t body_of(Canon canon) {
    for (std::size_t i = 0; i < bodies.size(); ++i) {
      if (bodies[i].canon == canon) return i;
    }
    bodies.push_back({.canon = canon, .hasher = BodyHasher(canon)});
    return bodies.size() - 1;
  }
  void want_key(const SignatureField& key) {
    const auto question = key.question();
    if (std::find(questions.begin(), questions.end(), question) == questions.end()) questions.push_back(question);
  }
  void read(const mail::Headers& headers);
  void take_seals(const std::vector<ArcSet>& sets);
  // The body is all there: which meanings of the signature fit it. False: none.
  bool check_body();

  core::Wall::time_point now;
  ArcResult result;
  bool done = true;  // no chain until one is seen
  bool body_done = false;
  ArcMessageSignature newest;
  std::vector<Candidate> candidates;
  std::vector<Body> bodies;
  std::vector<Pending> seals;  // newest first
  std::vector<dns::Question> questions;
};

void ArcVerifier::Impl::read(const mail::Headers& headers) {
  auto chain = ArcChain::parse(headers);
  done = !chain.present;
  if (done) return;
  result.sets = static_cast<unsigned>(chain.sets.size());
  for (const auto& set : chain.sets) result.sealers.push_back(core::lower(set.seal.key.domain));
  if (!chain.problem.empty()) return fail(std::move(chain.problem));

  result.first_passed = says_passed(*chain.sets.front().results_field);
  const auto& last = chain.sets.back();
  newest = last.signature;
  const auto seconds = std::chrono::duration_cast<core::Seconds>(now.time_since_epoch()).count();
  if (newest.expires && seconds > 0 && *newest.expires < static_cast<std::uint64_t>(seconds)) {
    return fail("the newest ARC-Message-Signature has expired");
  }
  for (const auto canon : newest.canons) {
    candidates.push_back({.body = body_of(canon.body), .digest = signed_digest(headers, last, canon.header)});
  }
  want_key(newest.key);
  take_seals(chain.sets);
}

// RFC 8617 §5.1.1: a seal covers all sets up to its own, in relaxed form: results, signature, seal; its own seal
// without b= and line end.
void ArcVerifier::Impl::take_seals(const std::vector<ArcSet>& sets) {
  GrowingHash hash;
  for (const auto& set : sets) {
    hash.add(canonical(Canon::relaxed, set.results_field->raw));
    hash.add(canonical(Canon::relaxed, set.signature_field->raw));
    seals.push_back({.what = "i=" + std::to_string(seals.size() + 1) + " ARC-Seal",
                     .key = set.seal.key,
                     .digest = hash.with(canonical(Canon::relaxed, without_signature(*set.seal_field)))});
    hash.add(canonical(Canon::relaxed, set.seal_field->raw));
  }
  std::reverse(seals.begin(), seals.end());
  for (const auto& seal : seals) want_key(seal.key);
}

bool ArcVerifier::Impl::check_body() {
  if (!body_done) {
    body_done = true;
    for (auto& body : bodies) body.hash = body.hasher.finish();
    std::erase_if(candidates, [this](const Candidate& candidate) {
      const auto& hash = bodies[candidate.body].hash;
      return newest.body_hash != core::as_text(hash.digest) || newest.length.value_or(hash.length) != hash.length;
    });
  }
  return !candidates.empty();
}

ArcVerifier::ArcVerifier(core::Wall::time_point now) : impl_(std::make_unique<Impl>(now)) {}
ArcVerifier::ArcVerifier(ArcVerifier&&) noexcept = default;
ArcVerifier& ArcVerifier::operator=(ArcVerifier&&) noexcept = default;
ArcVerifier::~ArcVerifier() = default;

void ArcVerifier::headers(const mail::Headers& headers) {
  impl_->read(headers);
}

void ArcVerifier::body(std::string_view slice) {
  for (auto& body : impl_->bodies) body.hasher.update(slice);
}

const std::vector<dns::Question>& ArcVerifier::keys() const {
  return impl_->questions;
}

std::optional<ArcResult> ArcVerifier::finish(dns::Lookup& lookup) {
  auto& impl = *impl_;
  if (!impl.done && !impl.check_body()) impl.fail("the body is not the one that was signed");
  if (impl.done) return impl.result;

  bool missing = false;
  for (const auto& question : impl.questions) missing |= lookup.ask(question) == nullptr;
  if (missing) return std::nullopt;

  // RFC 8617 §5.2: the newest message signature, then the seals, newest first. The first that is wrong decides.
  const auto name = "i=" + std::to_string(impl.result.sets) + " ARC-Message-Signature";
  unsigned checks = kMaxChecks;
  std::string problem;
  for (const auto& candidate : impl.candidates) {
    problem = check({.what = name, .key = impl.newest.key, .digest = candidate.digest},
                    *lookup.ask(impl.newest.key.question()), checks);
    if (problem.empty()) break;
  }
  for (auto seal = impl.seals.begin(); problem.empty() && seal != impl.seals.end(); ++seal) {
    problem = check(*seal, *lookup.ask(seal->key.question()), checks);
  }
  if (problem.empty()) {
    impl.result.result = Verdict::pass;
    impl.done = true;
  } else {
    impl.fail(std::move(problem));
  }
  return impl.result;
}

}  // namespace auth
