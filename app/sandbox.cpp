#include "app/sandbox.hpp"

#include <fmt/format.h>
#include <seccomp.h>
#include <sys/prctl.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

namespace app {
namespace {

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kSanitized = true;  // looks into itself by ptrace, and runs a symbolizer, when it ends
#else
constexpr bool kSanitized = false;
#endif

// Answered EPERM. A list of what is forbidden, not of what is allowed: libc and OpenSSL may take to new calls, and a
// mail server that ends because of one loses more than it wins.
constexpr std::array kForbidden{
    // other programs
    SCMP_SYS(execve), SCMP_SYS(execveat),
    // other processes
    SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(kcmp), SCMP_SYS(pidfd_getfd),
    // the kernel
    SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(userfaultfd), SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register), SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(keyctl),
    SCMP_SYS(syslog), SCMP_SYS(reboot), SCMP_SYS(acct), SCMP_SYS(quotactl), SCMP_SYS(iopl), SCMP_SYS(ioperm),
    // the shape of the system
    SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(setns), SCMP_SYS(unshare),
    SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(sethostname), SCMP_SYS(setdomainname), SCMP_SYS(settimeofday),
    SCMP_SYS(clock_settime), SCMP_SYS(clock_adjtime), SCMP_SYS(adjtimex), SCMP_SYS(mknod), SCMP_SYS(mknodat)};

struct Release {
  void operator()(void* filter) const { seccomp_release(filter); }
};

core::Explained<void> problem(int code) {
  return core::Problem{fmt::format("the filter of system calls cannot be set up: {}; does this kernel have seccomp?",
                                   std::strerror(-code))};
}

}  // namespace

core::Explained<void> give_up_privileges() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return problem(-errno);
  if (!kSanitized) static_cast<void>(::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
  const std::unique_ptr<void, Release> filter(seccomp_init(SCMP_ACT_ALLOW));
  if (!filter) return problem(-ENOMEM);
  if (const int code = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1); code != 0) return problem(code);
  for (const int call : kForbidden) {
    if (kSanitized && (call == SCMP_SYS(ptrace) || call == SCMP_SYS(execve))) continue;
    // A call that this architecture does not have is no gap.
    if (const int code = seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(EPERM), call, 0); code != 0 && code != -EDOM) {
      return problem(code);
    }
  }
  if (const int code = seccomp_load(filter.get()); code != 0) return problem(code);
  return {};
}

}  // namespace app
