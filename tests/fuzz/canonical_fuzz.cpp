// links: auth
// The body canonicaliser, fed in slices of sizes taken from the input, against the naive one; and header fields, of
// which the relaxed form must not change when it is made again.
#include <cstddef>
#include <cstdint>

#include "auth/canonical.hpp"
#include "tests/unit/auth/naive_canonical.hpp"

namespace {

struct Collect final : auth::ByteSink {
  void write(std::string_view octets) override { text += octets; }
  std::string text;
};

void require(bool ok) {
  if (!ok) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t step = data[0] % 70U + 1;  // over the eight octets that are looked at together, and under
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  for (const auto canon : {auth::Canon::simple, auth::Canon::relaxed}) {
    const auto want = naive::body(canon == auth::Canon::relaxed, text);
    Collect sink;
    auth::BodyCanonicalizer canonical(canon);
    auth::BodyHasher hasher(canon);
    for (auto rest = text; !rest.empty(); rest.remove_prefix(rest.size() < step ? rest.size() : step)) {
      canonical.update(rest.substr(0, step), sink);
      hasher.update(rest.substr(0, step));
    }
    canonical.finish(sink);
    require(sink.text == want);
    const auto hash = hasher.finish();
    require(hash.length == want.size() && hash.digest == core::sha256(want));
  }

  std::string once, twice;
  auth::append_canonical_header(auth::Canon::relaxed, text, once);
  auth::append_canonical_header(auth::Canon::relaxed, once, twice);
  require(once == twice || once.find('\r') != std::string::npos);  // CRs that stood apart may meet an LF
  return 0;
}
