// What the tests of queue share: an io_context that is run until a coroutine ends, a folder, messages, and a store in
// it.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "queue/sqlite_store.hpp"

namespace queue::testing {

namespace asio = boost::asio;
using namespace std::chrono_literals;

// Where the tests' coroutines run. It outlives every store, as a shard does: a store's thread may still be on its way
// back from handing an answer over when that answer has long been used.
inline asio::io_context& shard() {
  static asio::io_context context{1};
  return context;
}

// Runs the coroutine `test()` to its end; fails the test when that takes more than `limit`.
inline void run(std::function<Awaitable<void>()> test, std::chrono::seconds limit = 60s) {
  static bool inside = false;
  if (std::exchange(inside, true)) throw std::logic_error("run() within run()");
  bool done = false;
  std::exception_ptr failure;
  asio::co_spawn(shard(), test(), [&](std::exception_ptr e) {
    failure = e;
    done = true;
    shard().stop();
  });
  shard().restart();
  shard().run_for(limit);
  inside = false;
  ASSERT_TRUE(done) << "the test hangs";
  if (failure) std::rethrow_exception(failure);
}

// Runs a coroutine that has a result.
template <class T>
T wait_for(Awaitable<T> work) {
  std::optional<T> result;
  run([&]() -> Awaitable<void> { result.emplace(co_await std::move(work)); });
  return std::move(*result);
}

// Waits until `condition` holds, at most 45 s (run() gives up after 60), letting other handlers run.
inline Awaitable<bool> eventually(std::function<bool()> condition) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  const auto end = core::Steady::now() + 45s;
  while (core::Steady::now() < end) {
    if (condition()) co_return true;
    timer.expires_after(1ms);
    co_await timer.async_wait(asio::use_awaitable);
  }
  co_return condition();
}

class TemporaryFolder {
 public:
  // memory: where syncs cost nothing, when there is such a place.
  enum class On { disk, memory };
  explicit TemporaryFolder(On on = On::disk) {
    std::filesystem::path parent = std::filesystem::temp_directory_path();
    if (on == On::memory && ::access("/dev/shm", W_OK) == 0) parent = "/dev/shm";
    std::string name = parent / "onward-queue-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    ::chmod(path_.c_str(), 0700);
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string path() const { return path_.string(); }
  std::string file(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// Stands still until it is moved; read by the store's threads meanwhile.
class SharedClock final : public core::Clock {
 public:
  core::Steady::time_point steady() const override {
    return core::Steady::time_point(std::chrono::hours(1)) + core::Milliseconds(steady_);
  }
  core::Wall::time_point wall() const override { return core::Wall::time_point(core::Milliseconds(wall_)); }
  void advance(core::Milliseconds by) {
    steady_ += by.count();
    wall_ += by.count();
  }
  void jump(core::Milliseconds by) { wall_ += by.count(); }  // somebody sets the clock

 private:
  std::atomic<std::int64_t> steady_{0}, wall_{1'700'000'000'000};
};

inline Recipient recipient(const std::string& destination = "alice@inbox.example") {
  Recipient r;
  r.address.mailbox = {"sales", "example.org"};
  r.rule = "example.org/sales";
  r.domain = "example.org";
  const auto at = destination.rfind('@');
  r.destination = {destination.substr(0, at), destination.substr(at + 1)};
  r.hop = r.destination.domain;
  return r;
}

// A message of `size` octets that expires in five days.
inline NewMessage message(const Store& store, const std::string& id, std::uint64_t size,
                          const std::string& destination = "alice@inbox.example") {
  NewMessage m;
  m.envelope.id = id;
  m.envelope.sender.mailbox = {"bob", "sender.example"};
  m.envelope.srs_sender.mailbox = {"SRS0=abcd=XY=sender.example=bob", "forward.example"};
  m.envelope.size = size;
  m.envelope.expires = store.now() + core::Milliseconds(24h * 5).count();
  m.recipients.push_back(recipient(destination));
  return m;
}

// Octets of a message, different for each `seed`.
inline std::string octets(std::size_t size, unsigned seed = 0) {
  std::string text = "Subject: test " + std::to_string(seed) + "\r\n\r\n";
  while (text.size() < size) text += "line " + std::to_string(text.size() * (seed + 1)) + "\r\n";
  text.resize(size);
  return text;
}

// Gives its octets in slices of `slice`.
class SlicedSource final : public OctetSource {
 public:
  SlicedSource(std::string octets, std::size_t slice) : octets_(std::move(octets)), slice_(slice) {}
  Awaitable<core::Result<std::string_view>> next() override {
    const auto part = std::string_view(octets_).substr(at_, slice_);
    at_ += part.size();
    co_return part;
  }

 private:
  std::string octets_;
  std::size_t slice_, at_ = 0;
};

inline Awaitable<core::Result<std::string>> read_all(Body& body) {
  std::string text;
  for (;;) {
    auto slice = co_await body.next();
    if (!slice) co_return slice.error();
    if (slice->empty()) co_return text;
    text += *slice;
  }
}

// Alerts come from the store's threads.
class Alerts {
 public:
  std::function<void(const StoreAlert&)> sink() {
    return [this](const StoreAlert& alert) {
      const std::scoped_lock lock(mutex_);
      alerts_.push_back(alert);
    };
  }
  std::size_t count(StoreAlert::Kind kind) const {
    const std::scoped_lock lock(mutex_);
    return static_cast<std::size_t>(
        std::count_if(alerts_.begin(), alerts_.end(), [&](const auto& alert) { return alert.kind == kind; }));
  }

 private:
  mutable std::mutex mutex_;
  std::vector<StoreAlert> alerts_;
};

// A store in a folder that can be closed and opened again.
class Place {
 public:
  using In = TemporaryFolder::On;
  explicit Place(In in = In::memory) : folder(in) { settings.folder = folder.path(); }

  void adopt(std::unique_ptr<Store> store) { store_ = std::move(store); }

  // Fails the test when it cannot be opened.
  Store& open() {
    auto opened = open_store(settings, *files, clock);
    if (auto* const failure = std::get_if<OpenFailure>(&opened)) throw std::runtime_error(failure->text);
    store_ = std::move(std::get<std::unique_ptr<Store>>(opened));
    return *store_;
  }
  OpenFailure refuse() {
    auto opened = open_store(settings, *files, clock);
    if (auto* const failure = std::get_if<OpenFailure>(&opened)) return *failure;
    throw std::runtime_error("could be opened");
  }
  void close() { store_.reset(); }
  Store& reopen() {
    close();
    return open();
  }
  Store& store() { return *store_; }

  Receipt put(const std::string& id, const std::string& text, const std::string& to = "alice@inbox.example") {
    return put(message(*store_, id, text.size(), to), text);
  }
  Receipt put(NewMessage m, const std::string& text) {
    SlicedSource source(text, 40'000);
    return wait_for(store_->put(std::move(m), source));
  }
  core::Result<std::string> read(MessageKey key) {
    return wait_for([](Store& store, MessageKey which) -> Awaitable<core::Result<std::string>> {
      auto body = co_await store.open_body(which);
      if (!body) co_return body.error();
      co_return co_await read_all(**body);
    }(*store_, key));
  }
  Leased lease(LeaseRequest request = {.most = 100, .lease_for = 30min, .per_hop = 100}) {
    auto leased = wait_for(store_->lease_due(std::move(request)));
    EXPECT_TRUE(leased) << leased.error().message();
    return leased ? std::move(*leased) : Leased();
  }
  Receipt commit(Changes changes) { return wait_for(store_->commit(std::move(changes))); }
  // For all recipients of the work.
  template <class What>
  Receipt settle(const Work& work, What what) {
    Changes changes;
    for (const auto& r : work.job.recipients) changes.changes.push_back({work.job.key, r.number, work.lease, what});
    return commit(std::move(changes));
  }
  std::vector<Job> list(Filter filter = {}) {
    std::vector<Job> jobs;
    Page page{0, 1000};
    do {
      auto listed = wait_for(store_->list(filter, page));
      EXPECT_TRUE(listed);
      for (auto& job : listed->jobs) jobs.push_back(std::move(job));
      page.after = listed->after;
    } while (page.after != 0);
    return jobs;
  }
  Statistics statistics() { return *wait_for(store_->statistics()); }
  std::vector<std::string> body_files() { return *posix_files().list(folder.file("bodies")); }
  // Files are removed after the answers, so this is waited for.
  bool bodies_are_gone() {
    return wait_for(eventually([this] { return body_files().empty(); }));
  }

  TemporaryFolder folder;
  SharedClock clock;
  StoreSettings settings;
  Files* files = &posix_files();

 private:
  std::unique_ptr<Store> store_;
};

}  // namespace queue::testing
