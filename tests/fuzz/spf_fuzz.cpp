// links: auth
// Records of a stranger. The first octet chooses the client, the next ones who is asked for what; the rest is cut at
// line feeds into texts that the questions are answered with in turn. Every evaluation ends within its bounds, and the
// order in which answers arrive changes nothing.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "auth/spf.hpp"
#include "core/text.hpp"
#include "mail/header.hpp"

namespace {

void require(bool condition) {
  if (!condition) __builtin_trap();
}

struct World {
  std::uint8_t flags = 0, salt = 0;
  core::IpAddress client;
  std::vector<std::string_view> texts;

  // The same question has the same answer, whenever it is asked.
  dns::Answer resolve(const dns::Question& question) const {
    require(!question.name.empty() && question.name.size() <= 253 && question.name == core::lower(question.name));
    dns::Answer answer;
    unsigned hash = salt;
    for (const char c : question.name) hash = hash * 31 + static_cast<unsigned char>(c);
    if (hash % 13 == 5) return answer;
    answer.status = hash % 7 == 3 ? dns::Status::nx_domain : dns::Status::ok;
    if (answer.status == dns::Status::nx_domain) return answer;
    const auto count = hash % 11 == 1 ? 2U : 1U;
    for (unsigned i = 0; i < count; ++i) {
      if (question.type == dns::Type::txt && !texts.empty())
        answer.texts.emplace_back(texts[(hash + i) % texts.size()]);
      if (question.type == dns::Type::a || question.type == dns::Type::aaaa) {
        answer.addresses.push_back(hash % 3 == 0 ? client : core::IpAddress());
      }
    }
    if (question.type == dns::Type::mx) {
      for (unsigned i = 0; i < hash % 12; ++i) {
        answer.mx.push_back(
            {static_cast<std::uint16_t>(i % 3), i == 7 ? "" : "mx" + std::to_string(hash % 64 + i) + ".test"});
      }
    }
    if (question.type == dns::Type::ptr) {
      for (unsigned i = 0; i < hash % 15; ++i) answer.names.push_back("h" + std::to_string(i) + ".example.org");
    }
    return answer;
  }

  auth::SpfResult run(const auth::SpfInput& input, bool one_at_a_time) const {
    dns::Lookup lookup;
    for (std::size_t round = 0; round <= auth::kSpfMaxQuestions; ++round) {
      if (auto result = auth::evaluate_spf(input, lookup)) {
        require(lookup.answered() + lookup.wanted().size() <= auth::kSpfMaxQuestions);
        return *result;
      }
      auto wanted = lookup.wanted();
      require(!wanted.empty());
      if (one_at_a_time) wanted.resize(1);
      for (const auto& question : wanted) lookup.answer(question, resolve(question));
    }
    __builtin_trap();
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  World world;
  world.flags = data[0];
  world.salt = data[1];
  static constexpr const char* kClients[] = {"192.0.2.1", "127.0.0.1", "2001:db8::1", "::ffff:10.1.2.3"};
  world.client = core::IpAddress::parse(kClients[world.flags & 3]).value().unmapped();
  std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
  auth::SpfInput input;
  input.client = world.client;
  input.receiver = "mx.example.net";
  // The first line is the sender, when asked for; the other lines are texts.
  world.texts = core::split(rest, '\n');
  const std::string first(world.texts.front());
  const auto at = first.find('@');
  input.mail_from.mailbox = {"user", "example.org"};
  input.helo = "mail.example.org";
  if ((world.flags & 4) != 0)
    input.mail_from.mailbox = {first.substr(0, at), at == std::string::npos ? first : first.substr(at + 1)};
  if ((world.flags & 8) != 0) input.mail_from = {};
  if ((world.flags & 16) != 0) input.helo = first;

  const auto result = world.run(input, false);
  const auto slow = world.run(input, true);
  require(result.result == slow.result && result.reason == slow.reason && result.explanation == slow.explanation);
  require(result.result != auth::Verdict::policy);
  require(result.explanation.size() <= auth::kSpfMaxExplanation);
  require(result.explanation == core::printable(result.explanation) && result.reason == core::printable(result.reason));
  require(result.explanation.empty() || result.result == auth::Verdict::fail);
  const auto field = auth::received_spf_field(result, input, input.receiver);
  const auto headers = mail::Headers::parse(field);
  require(headers && headers->fields().size() == 1);
  return 0;
}
