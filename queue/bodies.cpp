#include "queue/bodies.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <utility>

#include "core/text.hpp"

namespace queue {
namespace {

constexpr std::size_t kSlice = std::size_t{256} * 1024;
constexpr auto kAwait = boost::asio::as_tuple(boost::asio::use_awaitable);

class InlineBody final : public Body {
 public:
  explicit InlineBody(std::string octets) : octets_(std::move(octets)) {}
  std::uint64_t size() const override { return octets_.size(); }
  Awaitable<core::Result<std::string_view>> next() override {
    co_return std::exchange(given_, true) ? std::string_view() : std::string_view(octets_);
  }

 private:
  std::string octets_;
  bool given_ = false;
};

// An open body file, and how far it has been read. Shared by the Body and a job on its way.
struct Reading {
  std::unique_ptr<File> file;
  std::uint64_t size = 0, offset = 0;
  core::Digest wanted{};
  core::Sha256 digest;
  std::string slice;
};

// The jobs run on the pool, block there, and own all they use.

Awaitable<core::Error> read_slice(std::shared_ptr<Reading> reading) {
  const auto most = static_cast<std::size_t>(std::min<std::uint64_t>(kSlice, reading->size - reading->offset));
  reading->slice.resize(most);
  const auto got = reading->file->read(reading->offset, reading->slice.data(), most);
  if (!got) co_return StoreErrc::unreadable;
  if (*got < most) co_return StoreErrc::damaged;
  reading->offset += most;
  reading->digest.update(reading->slice);
  if (reading->offset == reading->size && reading->digest.finish() != reading->wanted) co_return StoreErrc::damaged;
  co_return core::Error();
}

Awaitable<core::Error> open_file(std::shared_ptr<Reading> reading, Files& files, std::string path) {
  auto file = files.open(path);
  // A missing file is damage; a disk that does not answer may answer later.
  if (!file) {
    co_return file.error() == boost::system::errc::no_such_file_or_directory ? StoreErrc::damaged
                                                                             : StoreErrc::unreadable;
  }
  reading->file = std::move(*file);
  const auto size = reading->file->size();
  if (!size) co_return StoreErrc::unreadable;
  co_return *size == reading->size ? core::Error() : core::Error(StoreErrc::damaged);
}

Awaitable<core::Error> open_and_digest(std::shared_ptr<Reading> reading, Files& files, std::string path) {
  if (const auto error = co_await open_file(reading, files, std::move(path))) co_return error;
  while (reading->offset < reading->size) {
    if (const auto error = co_await read_slice(reading)) co_return error;
  }
  reading->offset = 0;
  co_return core::Error();
}

class FileBody final : public Body {
 public:
  FileBody(std::shared_ptr<Reading> reading, boost::asio::thread_pool& pool, Bodies::OnDamage on_damage)
      : reading_(std::move(reading)), pool_(pool), on_damage_(std::move(on_damage)) {}
  std::uint64_t size() const override { return reading_->size; }
  Awaitable<core::Result<std::string_view>> next() override {
    if (reading_->offset >= reading_->size) co_return std::string_view();
    auto job = read_slice(reading_);
    auto [exception, error] = co_await boost::asio::co_spawn(pool_, std::move(job), kAwait);
    if (exception) co_return StoreErrc::unreadable;
    if (error == StoreErrc::damaged) co_await on_damage_();
    if (error) co_return error;
    co_return std::string_view(reading_->slice);
  }

 private:
  std::shared_ptr<Reading> reading_;
  boost::asio::thread_pool& pool_;
  Bodies::OnDamage on_damage_;
};

}  // namespace

bool is_lack_of_space(const core::Error& error) {
  return error == boost::system::errc::no_space_on_device || error == boost::system::errc::file_too_large ||
         (error.category() == boost::system::system_category() && error.value() == EDQUOT);
}

Bodies::Bodies(Files& files, std::string folder, unsigned threads, std::function<void(std::string_view)> at_point)
    : files_(files), folder_(std::move(folder)), at_point_(std::move(at_point)), pool_(std::max(threads, 1U)) {}

Bodies::~Bodies() {
  join();
}

void Bodies::join() {
  pool_.join();
}

Awaitable<core::Result<StoredBody>> Bodies::save(std::string id, std::uint64_t size, OctetSource& source) {
  if (size > kInlineBody) {
    co_return co_await save_file(std::move(id), size, source);
  }
  StoredBody body;
  for (;;) {
    auto slice = co_await source.next();
    if (!slice) co_return slice.error();
    if (slice->empty()) break;
    if (body.octets.size() + slice->size() > size) co_return StoreErrc::malformed;
    body.octets += *slice;
  }
  if (body.octets.size() != size) co_return StoreErrc::malformed;
  body.digest = core::sha256(body.octets);
  co_return body;
}

Awaitable<core::Result<StoredBody>> Bodies::save_file(std::string id, std::uint64_t size, OctetSource& source) {
  StoredBody body;
  body.file = std::to_string(start_) + "-" + std::to_string(++counter_) + "-" + id;
  auto file = co_await create(body.file);
  if (!file) co_return file.error();
  core::Error error;
  core::Sha256 digest;
  std::uint64_t written = 0;
  std::string block;
  for (bool end = false; !end && !error;) {
    auto slice = co_await source.next();
    if (!slice) {
      error = slice.error();
      break;
    }
    end = slice->empty();
    if (written + block.size() + slice->size() > size) {
      error = StoreErrc::malformed;
      break;
    }
    digest.update(*slice);
    block += *slice;
    if (block.empty() || (block.size() < kSlice && !end)) continue;
    const auto length = block.size();
    auto piece = std::move(block);
    block.clear();
    error = co_await append(*file, written, std::move(piece));
    written += length;
  }
  if (!error && written != size) error = StoreErrc::malformed;
  if (!error) error = co_await sync(*file);
  if (error) {
    remove({body.file});
    co_return error;
  }
  body.digest = digest.finish();
  co_return body;
}

Awaitable<Bodies::FileResult> Bodies::create(std::string name) {
  auto job = [](Files& files, std::string path) -> Awaitable<FileResult> {
    auto made = files.create(path);
    if (!made) co_return made.error();
    co_return std::shared_ptr<File>(std::move(*made));
  };
  auto work = job(files_, path(name));
  auto [exception, file] = co_await boost::asio::co_spawn(pool_, std::move(work), kAwait);
  if (exception) co_return StoreErrc::busy;
  co_return std::move(file);
}

Awaitable<core::Error> Bodies::append(std::shared_ptr<File> file, std::uint64_t offset, std::string octets) {
  auto job = [](std::shared_ptr<File> to, std::uint64_t at, std::string what) -> Awaitable<core::Error> {
    co_return to->write(at, what);
  };
  auto work = job(std::move(file), offset, std::move(octets));
  auto [exception, error] = co_await boost::asio::co_spawn(pool_, std::move(work), kAwait);
  if (exception) co_return StoreErrc::busy;
  co_return error;
}

Awaitable<core::Error> Bodies::sync(std::shared_ptr<File> file) {
  auto job = [](std::shared_ptr<File> what, Bodies& self) -> Awaitable<core::Error> {
    if (self.at_point_) self.at_point_("queue.body_written");
    if (const auto error = what->sync()) co_return error;
    if (const auto error = self.files_.sync_folder(self.folder_)) co_return error;
    if (self.at_point_) self.at_point_("queue.body_synced");
    co_return core::Error();
  };
  auto work = job(std::move(file), *this);
  auto [exception, error] = co_await boost::asio::co_spawn(pool_, std::move(work), kAwait);
  if (exception) co_return StoreErrc::busy;
  co_return error;
}

void Bodies::remove(std::vector<std::string> files) {
  boost::asio::post(pool_, [this, files = std::move(files)] {
    for (const auto& file : files) {
      if (at_point_) at_point_("queue.body_unlink");
      // What stays behind is garbage that the next start removes.
      best_effort(files_.remove(path(file)));
    }
  });
}

Awaitable<core::Result<std::unique_ptr<Body>>> Bodies::open(Known known, OnDamage on_damage) {
  if (known.stored.file.empty()) {
    if (known.stored.octets.size() != known.size || core::sha256(known.stored.octets) != known.digest) {
      co_return StoreErrc::damaged;
    }
    std::unique_ptr<Body> body = std::make_unique<InlineBody>(std::move(known.stored.octets));
    co_return body;
  }
  auto reading = std::make_shared<Reading>();
  reading->size = known.size;
  reading->wanted = known.digest;
  auto job = open_and_digest(reading, files_, path(known.stored.file));
  auto [exception, error] = co_await boost::asio::co_spawn(pool_, std::move(job), kAwait);
  if (exception) co_return StoreErrc::unreadable;
  if (error) co_return error;
  std::unique_ptr<Body> body = std::make_unique<FileBody>(std::move(reading), pool_, std::move(on_damage));
  co_return body;
}

Awaitable<core::Result<std::string>> Bodies::begin_of(Known known, std::size_t most) {
  if (known.stored.file.empty()) co_return known.stored.octets.substr(0, most);
  auto job = [](Files& files, std::string path, std::size_t size) -> Awaitable<core::Result<std::string>> {
    auto file = files.open(path);
    if (!file) co_return StoreErrc::unreadable;
    std::string text(size, '\0');
    const auto got = (*file)->read(0, text.data(), size);
    if (!got) co_return StoreErrc::unreadable;
    text.resize(*got);
    co_return text;
  };
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(most, known.size));
  auto work = job(files_, path(known.stored.file), size);
  auto [exception, text] = co_await boost::asio::co_spawn(pool_, std::move(work), kAwait);
  if (exception) co_return StoreErrc::unreadable;
  co_return std::move(text);
}

core::Result<std::vector<std::string>> Bodies::old_files() {
  auto names = files_.list(folder_);
  if (!names) return names.error();
  std::erase_if(*names, [&](const std::string& name) {
    const auto dash = name.find('-');
    const auto start = core::parse_number(std::string_view(name).substr(0, dash));
    // What has no such name is not ours to remove.
    return dash == std::string::npos || !start || *start >= static_cast<unsigned long long>(start_);
  });
  return names;
}

}  // namespace queue
