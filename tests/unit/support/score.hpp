// Counts the cases of one suite of ../shared/conformance and prints, at its end, the line that scripts/conformance
// makes its table of:
//   [ SCORE    ] dmarc-mailauth, tree walk: cases 48, passed 47, overruled 1, not scored 0, failed 0
// passed     what the suite wants is what we say
// overruled  the RFC, or threats.md, wants another answer than the suite, and that is the one we give
// not scored the suite or its GUIDE.md says that the case does not count
// failed     everything else
// docs/conformance.md explains every case of the second and third kind.
#pragma once

#include <cstddef>
#include <cstdio>
#include <string>
#include <utility>

class Score {
 public:
  explicit Score(std::string suite) : suite_(std::move(suite)) {}
  ~Score() {
    std::printf("[ SCORE    ] %s: cases %zu, passed %zu, overruled %zu, not scored %zu, failed %zu\n", suite_.c_str(),
                passed_ + overruled_ + not_scored_ + failed_, passed_, overruled_, not_scored_, failed_);
  }
  Score(const Score&) = delete;
  Score& operator=(const Score&) = delete;

  // These two give `right` back, for an EXPECT_TRUE around the call.
  bool count(bool right) {
    ++(right ? passed_ : failed_);
    return right;
  }
  bool overrule(bool right) {
    ++(right ? overruled_ : failed_);
    return right;
  }
  void leave_out() { ++not_scored_; }
  std::size_t scored() const { return passed_ + overruled_ + failed_; }

 private:
  std::string suite_;
  std::size_t passed_ = 0, overruled_ = 0, not_scored_ = 0, failed_ = 0;
};
