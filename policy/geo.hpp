// Where an address is: its country and AS number out of MMDB files (MaxMind's format, by libmaxminddb). A file is read
// when it is opened and looked at afterwards without waiting; a newer one counts after a reload. Immutable,
// thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/ip.hpp"
#include "core/secret_file.hpp"

namespace policy {

class GeoDatabase {
 public:
  // Blocking file I/O. The error says what is wrong with the file.
  static core::Explained<std::shared_ptr<const GeoDatabase>> open(const std::string& path);
  ~GeoDatabase();
  GeoDatabase(const GeoDatabase&) = delete;

  // ISO 3166, two upper-case letters: `country.iso_code` (GeoLite2), or a text `country` or `country_code`.
  std::optional<std::string> country(const core::IpAddress& ip) const;
  // `autonomous_system_number` (GeoLite2), or a text `asn` of the form "AS64500".
  std::optional<std::uint32_t> as_number(const core::IpAddress& ip) const;
  // "GeoLite2-ASN, built 2026-08-01"; for `onward status`.
  std::string description() const;

 private:
  struct Impl;
  explicit GeoDatabase(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace policy
