// The thread that answers lists and counts by a connection that can only read, so that an operator's question never
// waits for mail, nor mail for it. Each question is short, lest it keep the log from beginning anew (threats DU-10).
// For the folder's own use.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "queue/bodies.hpp"
#include "queue/completion.hpp"
#include "queue/sqlite_tables.hpp"

namespace queue {

// The statements of a connection that only reads.
class Views {
 public:
  Views(sqlite::Connection& db, const Timeline& timeline);
  Listed list(const Filter& filter, const Page& page) { return scanner_.scan(filter, page, timeline_.now()); }
  core::Result<Job> find(const std::string& id);
  std::vector<Shape> shape(const std::vector<core::Milliseconds>& age_bounds, std::size_t most);
  Statistics statistics();
  Fingerprints fingerprints(const Page& page);
  // Errors: not_found.
  core::Result<Bodies::Known> body(MessageKey message);
  bool refers_to(const std::string& body_file);

 private:
  const Timeline& timeline_;
  Scanner scanner_;
  sqlite::Statement shape_, statistics_, totals_, fingerprints_, body_, file_;
};

class ReadOperation {
 public:
  virtual ~ReadOperation() = default;
  virtual void run(Views& views) = 0;
  virtual void finish() = 0;
  virtual void fail(core::Error error) = 0;
};

// T is a core::Result.
template <class T, class F>
class ReadCall final : public ReadOperation {
 public:
  ReadCall(F call, Completion<T> completion) : call_(std::move(call)), completion_(std::move(completion)) {}
  void run(Views& views) override { answer_.emplace(call_(views)); }
  void finish() override { completion_.complete(std::move(*answer_)); }
  void fail(core::Error error) override { completion_.complete(T(error)); }

 private:
  F call_;
  Completion<T> completion_;
  std::optional<T> answer_;
};

class Reader {
 public:
  static constexpr std::size_t kMaxWaiting = 1000;

  Reader(std::unique_ptr<sqlite::Connection> db, const Timeline& timeline,
         std::function<void(const sqlite::Failure&)> on_failure);
  ~Reader();
  void start();
  void post(std::unique_ptr<ReadOperation> operation);
  void close();  // blocks

 private:
  void work();
  std::unique_ptr<sqlite::Connection> db_;
  std::function<void(const sqlite::Failure&)> on_failure_;
  std::unique_ptr<Views> views_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::unique_ptr<ReadOperation>> waiting_;
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace queue
