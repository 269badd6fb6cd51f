#include "auth/dkim_verify_spy.hpp"

#include <dlfcn.h>
#include <sys/types.h>

#include <set>

#define _Bool bool
extern "C" {
#include <opendkim/dkim.h>
}
#undef _Bool

#include "core/text.hpp"

DkimSpy dkim_spy;

namespace {
std::set<const DKIM*> known;
}

// The program's own symbol comes before that of the shared library, which is called in turn.
extern "C" DKIM_STAT dkim_header(DKIM* handle, u_char* text, size_t size) {
  const std::string field(reinterpret_cast<char*>(text), size);
  if (known.insert(handle).second) dkim_spy.first_fields.push_back(field);
  if (core::istarts_with(field, "dkim-signature:")) ++dkim_spy.signatures;
  static const auto real = reinterpret_cast<decltype(&dkim_header)>(dlsym(RTLD_NEXT, "dkim_header"));
  return real(handle, text, size);
}

extern "C" DKIM_STAT dkim_free(DKIM* handle) {
  known.erase(handle);
  static const auto real = reinterpret_cast<decltype(&dkim_free)>(dlsym(RTLD_NEXT, "dkim_free"));
  return real(handle);
}
