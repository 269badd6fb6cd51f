#include "policy/geo.hpp"

#include <maxminddb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <ctime>

#include "core/text.hpp"

namespace policy {
namespace {

constexpr std::size_t kPage = 4096;

// The database's own form of an address.
sockaddr_storage socket_address(const core::IpAddress& ip) {
  sockaddr_storage storage{};
  const auto octets = ip.bytes();
  if (ip.is_v6()) {
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    std::memcpy(&six.sin6_addr, octets.data(), octets.size());
    std::memcpy(&storage, &six, sizeof six);
  } else {
    sockaddr_in four{};
    four.sin_family = AF_INET;
    std::memcpy(&four.sin_addr, octets.data(), octets.size());
    std::memcpy(&storage, &four, sizeof four);
  }
  return storage;
}

std::string text_of(const MMDB_entry_data_s& data) {
  return data.has_data && data.type == MMDB_DATA_TYPE_UTF8_STRING ? std::string(data.utf8_string, data.data_size)
                                                                  : std::string();
}

std::optional<std::string> country_code(std::string text) {
  if (text.size() != 2 || !core::is_alpha(text[0]) || !core::is_alpha(text[1])) return std::nullopt;
  for (auto& c : text) c = core::to_upper(c);
  return text;
}

}  // namespace

struct GeoDatabase::Impl {
  MMDB_s database{};
  bool open = false;

  ~Impl() {
    if (open) MMDB_close(&database);
  }
  std::optional<MMDB_entry_s> find(const core::IpAddress& ip) {
    const auto address = socket_address(ip.unmapped());
    int error = MMDB_SUCCESS;
    auto result = MMDB_lookup_sockaddr(&database, reinterpret_cast<const sockaddr*>(&address), &error);
    if (error != MMDB_SUCCESS || !result.found_entry) return std::nullopt;
    return result.entry;
  }
  // Nothing there: has_data is false.
  static MMDB_entry_data_s get(MMDB_entry_s entry, const char* key, const char* inner = nullptr) {
    MMDB_entry_data_s data{};
    const char* path[] = {key, inner, nullptr};
    if (MMDB_aget_value(&entry, &data, path) != MMDB_SUCCESS) data = {};
    return data;
  }
};

GeoDatabase::GeoDatabase(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GeoDatabase::~GeoDatabase() = default;

core::Explained<std::shared_ptr<const GeoDatabase>> GeoDatabase::open(const std::string& path) {
  auto impl = std::make_unique<Impl>();
  const int error = MMDB_open(path.c_str(), MMDB_MODE_MMAP, &impl->database);
  if (error != MMDB_SUCCESS) {
    return core::Problem{error == MMDB_IO_ERROR || error == MMDB_FILE_OPEN_ERROR
                             ? core::printable(path) + ": " + std::strerror(errno)
                             : core::printable(path) + " is no MMDB file: " + MMDB_strerror(error)};
  }
  impl->open = true;
  // Its pages are brought in now, so that no look-up waits for the disk.
  const auto* octets = static_cast<const volatile std::uint8_t*>(impl->database.file_content);
  for (std::size_t i = 0; i < static_cast<std::size_t>(impl->database.file_size); i += kPage) {
    static_cast<void>(octets[i]);
  }
  return std::shared_ptr<const GeoDatabase>(new GeoDatabase(std::move(impl)));
}

std::optional<std::string> GeoDatabase::country(const core::IpAddress& ip) const {
  const auto entry = impl_->find(ip);
  if (!entry) return std::nullopt;
  if (auto code = country_code(text_of(Impl::get(*entry, "country", "iso_code")))) return code;
  for (const auto* key : {"country_code", "country"}) {
    if (auto code = country_code(text_of(Impl::get(*entry, key)))) return code;
  }
  return std::nullopt;
}

std::optional<std::uint32_t> GeoDatabase::as_number(const core::IpAddress& ip) const {
  const auto entry = impl_->find(ip);
  if (!entry) return std::nullopt;
  const auto number = Impl::get(*entry, "autonomous_system_number");
  if (number.has_data && number.type == MMDB_DATA_TYPE_UINT32) return number.uint32;
  if (number.has_data && number.type == MMDB_DATA_TYPE_UINT16) return number.uint16;
  const auto text = text_of(Impl::get(*entry, "asn"));
  if (!text.starts_with("AS")) return std::nullopt;
  const auto parsed = core::parse_number(std::string_view(text).substr(2));
  if (!parsed || *parsed > UINT32_MAX) return std::nullopt;
  return static_cast<std::uint32_t>(*parsed);
}

std::string GeoDatabase::description() const {
  const auto& metadata = impl_->database.metadata;
  const auto built = static_cast<std::time_t>(metadata.build_epoch);
  std::tm date{};
  char text[16] = "?";
  if (::gmtime_r(&built, &date) != nullptr) std::strftime(text, sizeof text, "%Y-%m-%d", &date);
  const auto* type = metadata.database_type;
  return core::printable(type != nullptr ? type : "?") + ", built " + text;
}

}  // namespace policy
