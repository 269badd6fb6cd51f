#include "auth/opendkim_verifier.hpp"

#include <sys/types.h>

#include <cstring>

#define _Bool bool
extern "C" {
#include <opendkim/dkim.h>
}
#undef _Bool

#include "auth/messages.hpp"

namespace {

const std::map<std::string, std::string>* current_keys = nullptr;  // the library has no pointer for its callback here

DKIM_CBSTAT look_up(DKIM*, DKIM_SIGINFO* signature, u_char* buffer, std::size_t size) {
  const auto text = [](unsigned char* s) { return std::string(reinterpret_cast<char*>(s)); };
  const auto it =
      current_keys->find(text(dkim_sig_getselector(signature)) + "._domainkey." + text(dkim_sig_getdomain(signature)));
  if (it == current_keys->end() || it->second.size() >= size) return DKIM_CBSTAT_NOTFOUND;
  std::memcpy(buffer, it->second.c_str(), it->second.size() + 1);
  return DKIM_CBSTAT_CONTINUE;
}

u_char* octets(const char* text) {
  return reinterpret_cast<u_char*>(const_cast<char*>(text));
}

}  // namespace

struct OpenDkimVerifier::Impl {
  std::map<std::string, std::string> keys;
  std::unique_ptr<DKIM_LIB, decltype(&dkim_close)> library{dkim_init(nullptr, nullptr), dkim_close};
};

OpenDkimVerifier::OpenDkimVerifier(std::map<std::string, std::string> keys) : impl_(std::make_unique<Impl>()) {
  impl_->keys = std::move(keys);
  dkim_set_key_lookup(impl_->library.get(), look_up);
}
OpenDkimVerifier::~OpenDkimVerifier() = default;

std::string OpenDkimVerifier::verify(std::string_view message, std::string_view selector) {
  current_keys = &impl_->keys;
  DKIM_STAT status = DKIM_STAT_OK;
  const std::unique_ptr<DKIM, decltype(&dkim_free)> dkim(
      dkim_verify(impl_->library.get(), octets("test"), nullptr, &status), dkim_free);
  if (!dkim) return "no handle";
  const auto [section, body] = messages::split(message);
  const auto headers = mail::Headers::parse(section);
  if (!headers) return "bad header";
  constexpr std::string_view kPad = "x-pad-7f3a: 1";  // libraries.md §1 (f)
  dkim_header(dkim.get(), octets(kPad.data()), kPad.size());
  for (const auto& field : headers->fields()) {
    // A broken DKIM-Signature of somebody else is reported here and does not matter.
    dkim_header(dkim.get(), octets(field.raw.data()), field.raw.size() - 2);
  }
  status = dkim_eoh(dkim.get());
  // It looks at nothing in a message whose author it cannot read.
  if (status == DKIM_STAT_SYNTAX) return std::string(kNoOpinion);
  if (!body.empty()) dkim_body(dkim.get(), octets(body.data()), body.size());
  bool test_key = false;
  dkim_eom(dkim.get(), &test_key);
  DKIM_SIGINFO** signatures = nullptr;
  int count = 0;
  if (dkim_getsiglist(dkim.get(), &signatures, &count) != DKIM_STAT_OK) return "no signatures";
  for (int i = 0; i < count; ++i) {
    auto* const name = dkim_sig_getselector(signatures[i]);
    if (name == nullptr || reinterpret_cast<const char*>(name) != selector) continue;
    const bool passed = (dkim_sig_getflags(signatures[i]) & DKIM_SIGFLAG_PASSED) != 0;
    if (passed && dkim_sig_getbh(signatures[i]) == DKIM_SIGBH_MATCH && dkim_sig_geterror(signatures[i]) == 0)
      return "pass";
    const auto* error = dkim_sig_geterrorstr(dkim_sig_geterror(signatures[i]));
    return std::string(passed ? "body hash " : "") + (error != nullptr ? error : "failed");
  }
  return "signature not found";
}
