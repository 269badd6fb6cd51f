// What we say of our own when there is no word of an upstream's: every trouble has its reason in mail/reasons.
#include "forwarder/answer.hpp"

#include <gtest/gtest.h>

#include "forwarder/trouble.hpp"
#include "mail/reasons.hpp"

namespace forwarder {
namespace {

using core::Errc;

void expect_declared(const mail::Reply& reply) {
  EXPECT_TRUE(mail::is_declared(slug_for(reply), reply.code, reply.enhanced)) << slug_for(reply) << reply.to_log();
}

TEST(Answer, every_trouble_of_ours_has_a_declared_reason) {
  for (const auto stage : {Stage::dns, Stage::connect, Stage::greeting, Stage::hello, Stage::starttls, Stage::tls,
                           Stage::mail, Stage::rcpt, Stage::data, Stage::body, Stage::dot, Stage::rset}) {
    for (int error = static_cast<int>(Errc::timed_out); error <= static_cast<int>(Errc::io); ++error) {
      Trouble trouble;
      trouble.stage = stage;
      trouble.error = core::make_error_code(static_cast<Errc>(error));
      expect_declared(judge(trouble).reply);
    }
  }
  for (const auto cause :
       {TlsCause::configuration, TlsCause::memory, TlsCause::sts, TlsCause::dane, TlsCause::sender}) {
    for (const auto refusal : {TlsRefusal::temporary, TlsRefusal::liftable, TlsRefusal::permanent}) {
      const auto reply = judge_tls(cause, refusal).reply;
      EXPECT_EQ(slug_for(reply), "tls");
      expect_declared(reply);
    }
  }
}

}  // namespace
}  // namespace forwarder
