#include "queue/filter.hpp"

#include "core/text.hpp"

namespace queue {
namespace {

// "a@b" the address, "@b" or "b" all of a domain.
bool is_address(std::string_view wanted, std::string_view address) {
  if (wanted.empty()) return true;
  const auto at = address.rfind('@');
  const auto domain = at == std::string_view::npos ? std::string_view() : address.substr(at + 1);
  if (wanted.front() == '@') return core::iequals(wanted.substr(1), domain);
  if (core::iequals(wanted, address)) return true;
  return wanted.find('@') == std::string_view::npos && core::iequals(wanted, domain);
}

bool glob(std::string_view pattern, std::string_view text) {
  return pattern.empty() || core::glob_match(pattern, text);
}

}  // namespace

std::string sender_text(const mail::ReversePath& sender) {
  return sender.null() ? "<>" : sender.to_string();
}

bool matches(const Filter& filter, const Envelope& envelope, Time now) {
  if (!filter.id.empty() && filter.id != envelope.id) return false;
  if (filter.older_than.count() > 0 && now - envelope.created <= filter.older_than.count()) return false;
  return is_address(filter.sender, sender_text(envelope.sender));
}

bool matches(const Filter& filter, const Recipient& recipient) {
  if (!filter.to_domain.empty() && !core::iequals(filter.to_domain, recipient.destination.domain)) return false;
  if (!filter.hop.empty() && filter.hop != recipient.hop) return false;
  if (!filter.queue.empty() && filter.queue != queue_of(recipient)) return false;
  return is_address(filter.recipient, recipient.address.to_string());
}

bool matches(const HoldRule& rule, const Envelope& envelope, const Recipient& recipient, Time now) {
  if (rule.expires != 0 && rule.expires <= now) return false;
  return glob(rule.to_domain, recipient.destination.domain) && glob(rule.sender, sender_text(envelope.sender)) &&
         glob(rule.recipient, recipient.address.to_string());
}

}  // namespace queue
