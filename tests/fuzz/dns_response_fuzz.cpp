// links: dns
// A response from a stranger: the first octet chooses the question's type, the rest is the packet; its id and question
// are made ours half of the time, so that the fuzzer gets past the first checks. What the codec lets through must be
// fit to use.
#include <cstddef>
#include <cstdint>
#include <string>

#include "dns/codec.hpp"

namespace {

void require(bool condition) {
  if (!condition) __builtin_trap();
}

bool same(const dns::Answer& a, const dns::Answer& b) {
  return a.status == b.status && a.authenticated == b.authenticated && a.ttl == b.ttl && a.addresses == b.addresses &&
         a.mx == b.mx && a.names == b.names && a.texts == b.texts && a.raw == b.raw && a.error == b.error;
}

void check(const dns::Response& response, const dns::Question& question) {
  using Kind = dns::Response::Kind;
  const dns::Answer& answer = response.answer;
  require(response.cnames <= dns::kMaxCnames + 1);
  require(answer.ttl <= dns::kMaxTtl);
  require(answer.addresses.size() <= dns::kMaxRecords && answer.mx.size() <= dns::kMaxRecords);
  require(answer.names.size() <= dns::kMaxRecords && answer.texts.size() <= dns::kMaxRecords);
  require(answer.raw.size() <= dns::kMaxRecords);
  for (const auto& mx : answer.mx) require(mx.host.empty() || dns::is_host_name(mx.host));
  if (question.type == dns::Type::ptr) {
    require(answer.names.size() <= dns::kMaxPtrNames);
    for (const auto& name : answer.names) require(dns::is_host_name(name));
  }
  for (const auto& ip : answer.addresses) require(ip.is_v6() == (question.type == dns::Type::aaaa));
  if (response.kind == Kind::follow) {
    require(dns::is_query_name(response.next) && response.cnames > 0 && answer.status == dns::Status::failure);
  }
  if (response.kind != Kind::answer) require(answer.status == dns::Status::failure);
  if (answer.status == dns::Status::ok) {
    require(answer.addresses.size() + answer.mx.size() + answer.names.size() + answer.texts.size() + answer.raw.size() >
            0);
  } else {
    require(answer.addresses.empty() && answer.mx.empty() && answer.texts.empty() && answer.raw.empty());
  }
  if (response.kind == Kind::answer && answer.status == dns::Status::failure) require(!answer.error.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  static constexpr dns::Type kTypes[] = {dns::Type::a,   dns::Type::cname, dns::Type::ptr, dns::Type::mx,
                                         dns::Type::txt, dns::Type::aaaa,  dns::Type::tlsa};
  const dns::Question question{"x.example", kTypes[(data[0] & 0x7f) % std::size(kTypes)]};
  std::string packet(reinterpret_cast<const char*>(data) + 1, size - 1);
  constexpr std::uint16_t kId = 0x1234;
  if ((data[0] & 0x80) == 0 && packet.size() >= 12) {
    packet[0] = 0x12;
    packet[1] = 0x34;
    packet[2] = static_cast<char>((packet[2] & 0x07) | 0x80);
    packet[4] = 0;
    packet[5] = 1;
    const auto query = dns::encode_query(question, kId, dns::Edns::no);
    packet.insert(12, query.substr(12));
  }
  const auto response = dns::decode_response(packet, question, kId);
  check(response, question);
  const auto again = dns::decode_response(packet, question, kId);
  require(again.kind == response.kind && again.next == response.next && same(again.answer, response.answer));

  // Any octets as a name: asked for exactly when fit, and then our own query is no response.
  const dns::Question odd{dns::normal_name(packet.substr(0, 260)), question.type};
  const auto query = dns::encode_query(odd, kId);
  require(query.empty() != dns::is_query_name(odd.name));
  require(query.size() <= 12 + 255 + 4 + 11);
  require(dns::decode_response(query, odd, kId).kind == dns::Response::Kind::foreign);
  if (!query.empty()) {
    auto echo = query;
    echo[2] = static_cast<char>(echo[2] | 0x80);
    require(dns::decode_response(echo, odd, kId).answer.status == dns::Status::no_data);
  }
  return 0;
}
