#include "auth/dkim_verify.hpp"

#include <openssl/err.h>
#include <sys/types.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <new>
#include <stdexcept>

#define _Bool bool  // dkim.h is C
extern "C" {
#include <opendkim/dkim.h>
}
#undef _Bool

#include "auth/canonical.hpp"
#include "auth/dkim_verify_field.hpp"
#include "auth/dkim_verify_key.hpp"
#include "core/random.hpp"
#include "core/text.hpp"

namespace auth {
namespace {

constexpr std::size_t kShownSignature = 8;  // RFC 6008 §4
constexpr unsigned kMaxAuthorDomains = 8;

struct FreeHandle {
  void operator()(DKIM* handle) const noexcept { dkim_free(handle); }
};
using Handle = std::unique_ptr<DKIM, FreeHandle>;

u_char* octets(const char* text) {
  return reinterpret_cast<u_char*>(const_cast<char*>(text));  // it only reads, but does not say so
}

std::string_view text_of(const unsigned char* text) {
  return text == nullptr ? std::string_view() : reinterpret_cast<const char*>(text);
}

// A name that no h= can list.
std::string make_pad() {
  core::SystemRandom random;
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string pad = "x-pad-";
  for (auto bits = random.next(); pad.size() < 22; bits >>= 4) pad += kDigits[bits & 15];
  return pad + ": 1";
}

// Everything in From that looks like the domain of an address. Good enough to say which signatures matter most; who the
// author is, DMARC decides.
std::vector<std::string> author_domains(const mail::Headers& headers) {
  std::vector<std::string> domains;
  for (const auto* from : headers.all("from")) {
    const auto value = from->value();
    for (auto at = value.find('@'); at != std::string_view::npos && domains.size() < kMaxAuthorDomains;
         at = value.find('@', at + 1)) {
      const auto rest = value.substr(at + 1);
      const auto end = std::find_if(rest.begin(), rest.end(),
                                    [](char c) { return !core::is_alnum(c) && c != '-' && c != '.' && c != '_'; });
      domains.push_back(core::lower(rest.substr(0, static_cast<std::size_t>(end - rest.begin()))));
    }
  }
  return domains;
}

std::size_t common_labels(std::string_view a, std::string_view b) {
  const auto x = core::split(a, '.'), y = core::split(b, '.');
  const auto [end, _] = std::mismatch(x.rbegin(), x.rend(), y.rbegin(), y.rend());
  const auto common = static_cast<std::size_t>(end - x.rbegin());
  return common == x.size() && x.size() == y.size() ? common + 1 : common;  // the same name comes first
}

struct CountingSink final : ByteSink {
  void write(std::string_view canonical) override { octets += canonical.size(); }
  std::uint64_t octets = 0;
};

// How long the canonical body is: libopendkim counts no further than l=.
struct BodyLength {
  explicit BodyLength(Canon canon) : canonical(canon) {}
  BodyCanonicalizer canonical;
  CountingSink count;
};

struct Signature {
  SignatureField field;
  std::size_t place = 0;  // from the top
  std::size_t rank = 0;   // labels in common with the author
  KeyChoice keys;
  std::size_t key = 0;  // the one that libopendkim was given
  // The verdict, once there is one.
  Verdict verdict = Verdict::none;
  std::string reason;

  bool open() const { return verdict == Verdict::none; }
  void settle(Verdict result, std::string_view why) {
    if (!open()) return;
    verdict = result;
    reason = why;
  }
};

// One message as libopendkim sees it. Signatures of the same s= and d= are kept in lanes of their own, because it would
// use the key of the first for the others, whichever of several keys that was.
struct Lane {
  Handle handle;
  std::vector<Signature*> own;
  std::vector<Signature*> listed;  // in the order of its list; with those that are only there to be covered

  bool is_own(const Signature* signature) const { return std::find(own.begin(), own.end(), signature) != own.end(); }
};

// One of the lane's own that still needs a verdict, or null.
Signature* find(const Lane& lane, const DKIM_SIGINFO* info) {
  DKIM_SIGINFO** list = nullptr;
  int count = 0;
  if (dkim_getsiglist(lane.handle.get(), &list, &count) != DKIM_STAT_OK) return nullptr;
  for (std::size_t i = 0; i < lane.listed.size() && i < static_cast<std::size_t>(count); ++i) {
    if (list[i] != info) continue;
    auto* const signature = lane.listed[i];
    // Belt and braces: it read the same names as we did.
    if (text_of(dkim_sig_getdomain(list[i])) != signature->field.domain ||
        text_of(dkim_sig_getselector(list[i])) != signature->field.selector)
      return nullptr;
    return lane.is_own(signature) && signature->open() ? signature : nullptr;
  }
  return nullptr;
}

// Of several keys under one name, the one that made the signature; the first when it is none of them.
std::size_t pick_key(const Signature& signature, DKIM_SIGINFO* info) {
  const auto& keys = signature.keys.usable;
  void *header_hash = nullptr, *body_hash = nullptr;
  std::size_t header_size = 0, body_size = 0;
  if (keys.size() < 2 || dkim_sig_gethashes(info, &header_hash, &header_size, &body_hash, &body_size) != DKIM_STAT_OK)
    return 0;
  const std::string_view digest(static_cast<const char*>(header_hash), header_size);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (is_signed_with(keys[i], signature.field, digest)) return i;
  }
  return 0;
}

// libopendkim asks for a key, at the end of the message.
DKIM_CBSTAT look_up(DKIM* handle, DKIM_SIGINFO* info, u_char* buffer, std::size_t size) noexcept {
  const auto& lane = *static_cast<const Lane*>(dkim_get_user_context(handle));
  auto* const signature = find(lane, info);
  if (signature == nullptr || signature->keys.usable.empty()) return DKIM_CBSTAT_NOTFOUND;
  signature->key = pick_key(*signature, info);
  const auto& record = signature->keys.usable[signature->key].record;
  if (record.size() >= size) return DKIM_CBSTAT_NOTFOUND;
  std::memcpy(buffer, record.c_str(), record.size() + 1);
  return DKIM_CBSTAT_CONTINUE;
}

// What libopendkim says at the end, said in our words (libraries.md §1 (c): each of its answers alone can mislead).
void judge(Signature& signature, DKIM_SIGINFO* info, unsigned min_key_bits) {
  using Algorithm = SignatureField::Algorithm;
  const int error = dkim_sig_geterror(info);
  const bool passed = (dkim_sig_getflags(info) & DKIM_SIGFLAG_PASSED) != 0;
  const bool body_matches = dkim_sig_getbh(info) == DKIM_SIGBH_MATCH;
  if (passed && body_matches && error == DKIM_SIGERROR_OK) {
    dkim_alg_t algorithm = DKIM_SIGN_UNKNOWN;
    unsigned bits = 0;
    const bool ed25519 = signature.field.algorithm == Algorithm::ed25519_sha256;
    const auto want = ed25519                                              ? DKIM_SIGN_ED25519SHA256
                      : signature.field.algorithm == Algorithm::rsa_sha256 ? DKIM_SIGN_RSASHA256
                                                                           : DKIM_SIGN_RSASHA1;
    const bool agreed = dkim_sig_getsignalg(info, &algorithm) == DKIM_STAT_OK && algorithm == want &&
                        (ed25519 || (dkim_sig_getkeysize(info, &bits) == DKIM_STAT_OK && bits >= min_key_bits));
    agreed ? signature.settle(Verdict::pass, "")
           : signature.settle(Verdict::permerror, "algorithm or key not accepted");
    return;
  }
  switch (error) {
    case DKIM_SIGERROR_BADSIG:
      return signature.settle(Verdict::fail, passed ? "body hash does not match" : "signature does not match");
    case DKIM_SIGERROR_TOOLARGE_L:
      return signature.settle(Verdict::permerror, "l= is larger than the body");
    case DKIM_SIGERROR_UNKNOWN:  // it did not come so far
      return signature.settle(Verdict::temperror, "internal error");
    default: {
      const char* const name = dkim_sig_geterrorstr(error);
      return signature.settle(Verdict::permerror, name == nullptr ? "internal error" : name);
    }
  }
}

}  // namespace

struct DkimLibrary::Impl {
  struct Close {
    void operator()(DKIM_LIB* open) const noexcept { dkim_close(open); }
  };
  std::unique_ptr<DKIM_LIB, Close> library;
};

struct DkimVerifier::Impl {
  Impl(DKIM_LIB* shared, const DkimSettings& wanted) : library(shared), settings(wanted) {}

  void read(const mail::Headers& headers);
  void choose();
  void open_lanes(const mail::Headers& headers);
  bool feed(Lane& lane, const mail::Headers& headers);
  void give_up(Lane& lane, Verdict verdict, std::string_view reason);
  void find_keys(dns::Lookup& lookup);
  void conclude(Lane& lane);
  void feed_body(std::string_view slice);
  bool covers_whole_body(const SignatureField& field) const;
  DkimResult result_of(const Signature& signature) const;

  DKIM_LIB* library;
  DkimSettings settings;
  std::deque<Signature> signatures;  // from the top; they stay where they are
  std::deque<Lane> lanes;            // these too
  std::array<std::unique_ptr<BodyLength>, 2> lengths;
  std::array<char, 2> tail{'\r', '\n'};
};

DkimLibrary::DkimLibrary(core::Wall::time_point clock) : impl_(std::make_unique<Impl>()) {
  impl_->library.reset(dkim_init(nullptr, nullptr));
  if (!impl_->library) throw std::bad_alloc();
  auto* const library = impl_->library.get();
  // Handles of signatures that it cannot read are of no use: those are never fed.
  u_int flags = DKIM_LIBFLAGS_DELAYSIGPROC;
  // Times are ours to judge, x= strictly; it must not be stricter, whatever its own clock says. (It takes this off t=
  // without sign: a t= in the first day of 1970 is the future to it.)
  const auto offset = std::chrono::duration_cast<core::Seconds>(clock - core::Wall::now());
  std::uint64_t drift = static_cast<std::uint64_t>(std::abs(offset.count()) + kFutureTolerance.count());
  u_int key_bits = 0;  // ours too, in bits and not in octets
  const bool ok =
      dkim_options(library, DKIM_OP_SETOPT, DKIM_OPTS_FLAGS, &flags, sizeof flags) == DKIM_STAT_OK &&
      dkim_options(library, DKIM_OP_SETOPT, DKIM_OPTS_CLOCKDRIFT, &drift, sizeof drift) == DKIM_STAT_OK &&
      dkim_options(library, DKIM_OP_SETOPT, DKIM_OPTS_MINKEYBITS, &key_bits, sizeof key_bits) == DKIM_STAT_OK &&
      dkim_set_key_lookup(library, look_up) == DKIM_STAT_OK;
  if (!ok) throw std::runtime_error("libopendkim does not take its options");
}
DkimLibrary::~DkimLibrary() = default;

DkimVerifier::DkimVerifier(DkimLibrary& library, const DkimSettings& settings)
    : impl_(std::make_unique<Impl>(library.impl_->library.get(), settings)) {}
DkimVerifier::DkimVerifier(DkimVerifier&&) noexcept = default;
DkimVerifier& DkimVerifier::operator=(DkimVerifier&&) noexcept = default;
DkimVerifier::~DkimVerifier() = default;

void DkimVerifier::headers(const mail::Headers& headers) {
  impl_->read(headers);
  impl_->choose();
  impl_->open_lanes(headers);
}

void DkimVerifier::Impl::read(const mail::Headers& headers) {
  const auto authors = author_domains(headers);
  for (const auto& header : headers.fields()) {
    if (!core::iequals(header.name, DKIM_SIGNHEADER)) continue;
    auto& signature = signatures.emplace_back();
    signature.place = signatures.size();
    signature.field = read_signature(header.value(), {settings.now, settings.allow_rsa_sha1});
    if (!signature.field.live()) signature.settle(signature.field.verdict, signature.field.reason);
    const auto domain = core::lower(signature.field.domain);
    for (const auto& author : authors) signature.rank = std::max(signature.rank, common_labels(domain, author));
  }
}

// CR-01: no more than so many, those that say something about the author first.
void DkimVerifier::Impl::choose() {
  std::vector<Signature*> live;
  for (auto& signature : signatures) {
    if (signature.open()) live.push_back(&signature);
  }
  if (live.size() <= settings.max_signatures) return;
  std::sort(live.begin(), live.end(),
            [](const auto* a, const auto* b) { return a->rank != b->rank ? a->rank > b->rank : a->place < b->place; });
  for (std::size_t i = settings.max_signatures; i < live.size(); ++i)
    live[i]->settle(Verdict::neutral, "not checked: too many signatures");
}

void DkimVerifier::Impl::open_lanes(const mail::Headers& headers) {
  for (auto& signature : signatures) {
    if (!signature.open()) continue;
    const auto question = signature.field.question();
    auto lane = std::find_if(lanes.begin(), lanes.end(), [&](const Lane& candidate) {
      return std::none_of(candidate.own.begin(), candidate.own.end(),
                          [&](const auto* other) { return other->field.question() == question; });
    });
    if (lane == lanes.end()) lane = lanes.emplace(lanes.end());
    lane->own.push_back(&signature);
    if (signature.field.length) {
      auto& length = lengths[static_cast<std::size_t>(signature.field.body_canon)];
      if (!length) length = std::make_unique<BodyLength>(signature.field.body_canon);
    }
  }
  for (auto& lane : lanes) {
    if (!feed(lane, headers)) give_up(lane, Verdict::temperror, "internal error");
  }
  // Not one by one: libopendkim holds pointers to those that remain.
  if (std::none_of(lanes.begin(), lanes.end(), [](const Lane& lane) { return lane.handle != nullptr; })) lanes.clear();
}

// False: it has no memory, or its list of signatures is not what we gave it.
bool DkimVerifier::Impl::feed(Lane& lane, const mail::Headers& headers) {
  // A signature may cover other signatures; then those must be there to be hashed, as far as they do no harm.
  const bool covered = std::any_of(lane.own.begin(), lane.own.end(),
                                   [](const auto* signature) { return signature->field.covers_signatures; });
  std::size_t room = settings.max_signatures;
  for (const auto& signature : signatures) room -= std::min<std::size_t>(room, signature.open() ? 1 : 0);

  DKIM_STAT status = DKIM_STAT_OK;
  lane.handle.reset(dkim_verify(library, octets("-"), nullptr, &status));
  if (!lane.handle || dkim_set_user_context(lane.handle.get(), &lane) != DKIM_STAT_OK) return false;
  // Before all else, for every message: without it a crafted h= makes libopendkim write past an array.
  const auto pad = make_pad();
  if (dkim_header(lane.handle.get(), octets(pad.data()), pad.size()) != DKIM_STAT_OK) return false;

  auto next = signatures.begin();
  for (const auto& header : headers.fields()) {
    Signature* signature = nullptr;
    if (core::iequals(header.name, DKIM_SIGNHEADER)) {
      signature = &*next++;
      const bool own = lane.is_own(signature);
      if (!own && !(covered && signature->field.harmless && (signature->open() || room > 0))) continue;
      if (!own && !signature->open()) --room;
    }
    status = dkim_header(lane.handle.get(), octets(header.raw.data()), header.raw.size() - 2);
    if (status == DKIM_STAT_OK && signature != nullptr) lane.listed.push_back(signature);
    // One that it cannot read is not in its list; if it is ours we do not agree on what is readable.
    if (status == DKIM_STAT_SYNTAX && signature != nullptr) signature->settle(Verdict::neutral, "syntax error");
    if (status != DKIM_STAT_OK && status != DKIM_STAT_SYNTAX) return false;
  }
  status = dkim_eoh(lane.handle.get());
  if (status == DKIM_STAT_SYNTAX) {
    give_up(lane, Verdict::permerror, "the author cannot be read");
    return true;
  }
  if (status == DKIM_STAT_NOSIG) {
    give_up(lane, Verdict::neutral, "syntax error");
    return true;
  }
  DKIM_SIGINFO** list = nullptr;
  int count = 0;
  return status == DKIM_STAT_OK && dkim_getsiglist(lane.handle.get(), &list, &count) == DKIM_STAT_OK &&
         static_cast<std::size_t>(count) == lane.listed.size();
}

void DkimVerifier::Impl::give_up(Lane& lane, Verdict verdict, std::string_view reason) {
  lane.handle.reset();
  for (auto* signature : lane.own) {
    if (signature->open()) signature->settle(verdict, reason);
  }
}

void DkimVerifier::body(std::string_view slice) {
  if (slice.empty() || impl_->lanes.empty()) return;
  impl_->feed_body(slice);
  for (auto& length : impl_->lengths) {
    if (length) length->canonical.update(slice, length->count);
  }
  impl_->tail = {slice.size() > 1 ? slice[slice.size() - 2] : impl_->tail[1], slice.back()};
}

void DkimVerifier::Impl::feed_body(std::string_view slice) {
  for (auto& lane : lanes) {
    if (lane.handle && dkim_body(lane.handle.get(), octets(slice.data()), slice.size()) != DKIM_STAT_OK)
      give_up(lane, Verdict::temperror, "internal error");
  }
}

std::vector<dns::Question> DkimVerifier::keys() const {
  std::vector<dns::Question> questions;
  for (const auto& signature : impl_->signatures) {
    if (!signature.open()) continue;
    auto question = signature.field.question();
    if (std::find(questions.begin(), questions.end(), question) == questions.end())
      questions.push_back(std::move(question));
  }
  return questions;
}

std::optional<std::vector<DkimResult>> DkimVerifier::finish(dns::Lookup& lookup) {
  bool missing = false;
  for (const auto& question : keys()) missing |= lookup.ask(question) == nullptr;
  if (missing) return std::nullopt;
  // libopendkim wants the last line to end; RFC 6376 §3.4.3 adds what is missing.
  if (impl_->tail != std::array{'\r', '\n'}) impl_->feed_body("\r\n");
  for (auto& length : impl_->lengths) {
    if (length) length->canonical.finish(length->count);
  }
  impl_->find_keys(lookup);
  for (auto& lane : impl_->lanes) impl_->conclude(lane);

  std::vector<DkimResult> results;
  for (const auto& signature : impl_->signatures) results.push_back(impl_->result_of(signature));
  if (results.empty()) results.emplace_back();
  return results;
}

void DkimVerifier::Impl::find_keys(dns::Lookup& lookup) {
  for (auto& signature : signatures) {
    if (!signature.open()) continue;
    signature.keys = choose_keys(*lookup.ask(signature.field.question()), signature.field, settings.min_key_bits);
    if (signature.keys.usable.empty()) signature.settle(signature.keys.verdict, signature.keys.reason);
  }
}

void DkimVerifier::Impl::conclude(Lane& lane) {
  if (!lane.handle) return;
  if (std::any_of(lane.own.begin(), lane.own.end(), [](const auto* signature) { return signature->open(); })) {
    bool test_key = false;
    dkim_eom(lane.handle.get(), &test_key);  // what it makes of all signatures together is of no interest
    DKIM_SIGINFO** list = nullptr;
    int count = 0;
    if (dkim_getsiglist(lane.handle.get(), &list, &count) != DKIM_STAT_OK) count = 0;
    for (int i = 0; i < count; ++i) {
      if (auto* const signature = find(lane, list[i])) judge(*signature, list[i], settings.min_key_bits);
    }
    ERR_clear_error();  // or the TLS session that is next on this thread would take them for its own
  }
  give_up(lane, Verdict::temperror, "internal error");
}

bool DkimVerifier::Impl::covers_whole_body(const SignatureField& field) const {
  const auto& length = lengths[static_cast<std::size_t>(field.body_canon)];
  return !field.length || (length && *field.length >= length->count.octets);
}

DkimResult DkimVerifier::Impl::result_of(const Signature& signature) const {
  const auto& field = signature.field;
  DkimResult result{.result = signature.verdict,
                    .domain = field.domain,
                    .selector = field.selector,
                    .identity = field.identity,
                    .algorithm = field.algorithm_name,
                    .reason = signature.reason,
                    .b = field.b.substr(0, kShownSignature),
                    .testing = !signature.keys.usable.empty() && signature.keys.usable[signature.key].testing,
                    .covers_results = field.covers_results,
                    .whole_body = covers_whole_body(field)};
  if (result.result == Verdict::pass && !result.whole_body) result.reason = "l= leaves part of the body unsigned";
  return result;
}

}  // namespace auth
