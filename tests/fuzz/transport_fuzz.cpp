// links: forwarder
// What strangers publish about TLS: MTA-STS records and policies, TLSRPT records and their URIs, TLSA data. Read or
// refused, within their limits, and what is kept on disk reads back as the same.
#include <cstddef>
#include <cstdint>

#include "forwarder/sts_store.hpp"
#include "forwarder/tls_report_mail.hpp"
#include "net/tlsa.hpp"

namespace {

void check(bool good) {
  if (!good) __builtin_trap();
}

bool is_clean(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n \0", 4)) == std::string_view::npos;
}

void read_policy(std::string_view text) {
  const auto policy = forwarder::parse_sts_policy(text);
  if (!policy) return;
  check(policy->mx.size() <= forwarder::kMaxStsHosts && policy->max_age <= forwarder::kMaxStsAge);
  for (const auto& mx : policy->mx) static_cast<void>(forwarder::sts_allows(*policy, mx));
  forwarder::StsEntry entry;
  entry.id = "id1";
  entry.policy = *policy;
  const auto kept = forwarder::read_sts_entry(forwarder::write_sts_entry("inbox.test", entry));
  check(kept && kept->second.policy.mx == policy->mx && kept->second.policy.mode == policy->mode);
}

void read_report_record(std::string_view text) {
  const auto uris = forwarder::parse_tlsrpt_record(text);
  if (!uris) return;
  for (const auto& uri : *uris) {
    const auto target = forwarder::parse_tls_report_uri(uri);
    if (target && !target->mail) check(is_clean(target->host) && is_clean(target->path) && target->port != 0);
    if (target && target->mail) check(target->mail->to_string().find_first_of("\r\n") == std::string::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 6) {
    case 0:
      read_policy(text);
      break;
    case 1:
      if (const auto id = forwarder::parse_sts_record(text)) check(!id->empty() && id->size() <= 32 && is_clean(*id));
      break;
    case 2:
      read_report_record(text);
      break;
    case 3:
      if (const auto target = forwarder::parse_tls_report_uri(text))
        check(target->mail || is_clean(target->host + target->path));
      break;
    case 4:
      if (const auto record = net::parse_tlsa(text)) check(record->data.size() + 3 == text.size());
      break;
    case 5:
      if (const auto kept = forwarder::read_sts_entry(text)) check(is_clean(kept->first));
      break;
  }
  return 0;
}
