#include <algorithm>

#include "dns/codec.hpp"
#include "dns/resolver.hpp"

namespace dns {
namespace {

constexpr std::uint32_t kTtl = 300;

}  // namespace

Answer& ZoneResolver::entry(const std::string& name, Type type) {
  Answer& answer = table_[{normal_name(name), type}];
  answer.status = Status::ok;
  answer.error.clear();
  answer.ttl = kTtl;
  answer.authenticated = signed_;
  return answer;
}

void ZoneResolver::add(std::string name, Type type, Answer answer) {
  table_[{normal_name(name), type}] = std::move(answer);
}

void ZoneResolver::add_a(const std::string& name, const std::string& address) {
  const auto ip = core::IpAddress::parse(address);
  if (ip) entry(name, ip->is_v6() ? Type::aaaa : Type::a).addresses.push_back(*ip);
}

void ZoneResolver::add_mx(const std::string& name, std::uint16_t preference, const std::string& host) {
  entry(name, Type::mx).mx.push_back({preference, normal_name(host)});
}

void ZoneResolver::add_txt(const std::string& name, const std::string& text) {
  entry(name, Type::txt).texts.push_back(text);
}

void ZoneResolver::fail(const std::string& name, Type type) {
  Answer answer;
  answer.error = "SERVFAIL";
  add(name, type, std::move(answer));
}

net::Awaitable<Answer> ZoneResolver::resolve(Question question, core::Deadline) {
  std::string name = normal_name(question.name);
  Answer answer;
  answer.ttl = kTtl;
  if (!is_query_name(name)) {
    answer.status = Status::nx_domain;
    co_return answer;
  }
  ++questions_;
  bool authenticated = true;
  std::string canonical;
  for (unsigned cnames = 0; cnames <= kMaxCnames; ++cnames) {
    if (const auto found = table_.find({name, question.type}); found != table_.end()) {
      answer = found->second;
      answer.authenticated = answer.authenticated && authenticated;
      if (!canonical.empty()) answer.canonical = canonical;
      co_return answer;
    }
    const auto cname = table_.find({name, Type::cname});
    if (cname == table_.end() || cname->second.status != Status::ok || cname->second.names.empty()) {
      const auto any = table_.lower_bound({name, Type{}});
      const bool listed = any != table_.end() && any->first.first == name;
      answer.status = listed ? Status::no_data : Status::nx_domain;
      answer.authenticated = signed_ && authenticated;
      answer.canonical = canonical;
      co_return answer;
    }
    authenticated = authenticated && cname->second.authenticated;
    name = canonical = normal_name(cname->second.names.front());
  }
  answer.error = "too many CNAMEs";
  co_return answer;
}

}  // namespace dns
