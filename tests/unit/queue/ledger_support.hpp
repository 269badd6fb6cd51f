// What the tests of the ledger share: a folder of its own, copies by number, and a coroutine run to its end.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>

#include "queue/ledger.hpp"

namespace queue::testing {

using namespace std::chrono_literals;

class Folder {
 public:
  Folder() {
    std::string name = ::testing::TempDir() + "onward-ledger-XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  Folder(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string file(std::string_view name = "ledger") const { return path_ + "/" + std::string(name); }
  std::string read(std::string_view name = "ledger") const {
    std::ifstream in(file(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write(std::string_view content, std::string_view name = "ledger") const {
    std::ofstream(file(name), std::ios::binary) << content;
  }

 private:
  std::string path_;
};

// Copy `number` with key 2 `restamped` (0: none), from `network`.
inline Copy copy_of(int number, int restamped = 0, std::uint32_t network = 1) {
  Copy copy;
  copy.fingerprint.exact = core::sha256("copy " + std::to_string(number));
  if (restamped != 0) copy.fingerprint.restamped = core::sha256("restamped " + std::to_string(restamped));
  copy.scope.network = network;
  copy.trace = "abcdefghij-" + std::to_string(number % 1000 + 1);
  return copy;
}
inline Copy row_of(int number) {
  Copy copy;
  copy.fingerprint = row_fingerprint("row " + std::to_string(number));
  copy.trace = "abcdefghij-" + std::to_string(number % 1000 + 1);
  copy.kind = Copy::Kind::row;
  return copy;
}
inline mail::Outcome outcome(mail::Fate fate, int code = 250) {
  mail::Outcome result;
  result.fate = fate;
  result.reply = mail::Reply(code, {}, "said the peer");
  result.from_peer = true;
  return result;
}

inline std::unique_ptr<Ledger> open(const std::string& path, const core::Clock& clock, std::uint32_t limit = 100,
                                    std::vector<std::string>* notes = nullptr) {
  auto opened = Ledger::open(path, limit, clock);
  if (!opened) {
    ADD_FAILURE() << opened.error().text;
    return nullptr;
  }
  if (notes != nullptr) *notes = opened->notes;
  return std::move(opened->ledger);
}

inline Flight claim(Ledger& ledger, const Copy& copy) {
  auto claimed = ledger.claim({&copy, 1});
  auto* flight = std::get_if<Flight>(&claimed);
  if (flight == nullptr) {
    ADD_FAILURE() << "not claimed";
    return {};
  }
  return std::move(*flight);
}
inline Flight send(Ledger& ledger, const Copy& copy) {
  auto flight = claim(ledger, copy);
  flight.journal_dot();
  return flight;
}
// The whole way of a copy.
inline EntryId deliver(Ledger& ledger, const Copy& copy, mail::Fate fate = mail::Fate::delivered) {
  auto flight = send(ledger, copy);
  flight.settle(0, outcome(fate));
  return flight.entry(0);
}

inline void run(boost::asio::io_context& context, std::function<boost::asio::awaitable<void>()> test) {
  bool done = false;
  boost::asio::co_spawn(context, test(), [&](std::exception_ptr failure) {
    done = true;
    context.stop();
    if (failure) std::rethrow_exception(failure);
  });
  context.restart();
  context.run_for(20s);
  ASSERT_TRUE(done) << "not done within 20 s";
}

using What = Finding::What;

}  // namespace queue::testing

namespace queue {
inline void PrintTo(Finding::What what, std::ostream* out) {
  constexpr const char* kNames[] = {"nothing", "delivered", "owned", "in_flight", "lost", "worn_out"};
  *out << kNames[static_cast<int>(what)];
}
}  // namespace queue
