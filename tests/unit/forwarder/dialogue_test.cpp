// The SMTP client against scripted peers: every script is also run octet by octet, cut at each octet of each reply, and
// with each octet of each reply made wrong. No failure may ever read as an acceptance.
#include "forwarder/dialogue.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "forwarder/trouble.hpp"

namespace forwarder {
namespace {

using Dialogue = ClientDialogue;
using Kind = ClientDialogue::Kind;
using namespace std::string_literals;

constexpr const char* kHelo = "mx.forward.example";
const std::string kEhlo = "EHLO mx.forward.example\r\n";

mail::Mailbox box(const std::string& local) {
  return {local, "dest.example"};
}

MailParameters from_a() {
  MailParameters parameters;
  parameters.from.mailbox = {"a", "sender.example"};
  return parameters;
}

// A conversation: what we do, what must leave, what the peer says (one reply a step) and what a failure of it is blamed
// on.
class Script {
 public:
  explicit Script(Kind kind = Kind::smtp) : kind_(kind) {}

  Script& act(std::function<void(Dialogue&)> action) {
    steps_.push_back({.action = std::move(action)});
    return *this;
  }
  Script& expect(std::string output) {
    return act([output = std::move(output)](Dialogue& d) {
      std::string all;
      for (auto part = d.take_output(); !part.empty(); part = d.take_output()) all += part;
      EXPECT_EQ(all, output);
    });
  }
  Script& expect_nothing() { return expect(""); }
  Script& peer(Stage stage, std::string reply) {
    steps_.push_back({.reply = std::move(reply), .stage = stage});
    return *this;
  }

  // The usual beginnings.
  Script& greeted() {
    return expect_nothing().peer(Stage::greeting, "220 dest.example ESMTP\r\n").act([](Dialogue& d) {
      ASSERT_TRUE(d.greeting_reply());
      d.hello();
    });
  }
  Script& introduced(const std::string& keywords) {
    return greeted().expect(kind_ == Kind::lmtp ? "LHLO mx.forward.example\r\n" : kEhlo).peer(Stage::hello, keywords);
  }

  // As it is, octet by octet, and in all ways to cut each reply in two.
  void check() const {
    run([](Dialogue& d, const std::string& reply) { ASSERT_TRUE(d.receive(reply)); });
    run([](Dialogue& d, const std::string& reply) {
      for (const char c : reply) ASSERT_TRUE(d.receive(std::string(1, c)));
    });
    for (std::size_t cut = 1; cut < 200; ++cut) {
      run([cut](Dialogue& d, const std::string& reply) {
        ASSERT_TRUE(d.receive(std::string_view(reply).substr(0, cut)));
        if (cut < reply.size()) ASSERT_TRUE(d.receive(std::string_view(reply).substr(cut)));
      });
    }
  }

  // The peer breaks off within each reply, and says something else at each octet of it.
  void check_failure_at_every_step() const {
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      if (steps_[i].reply.empty()) continue;
      SCOPED_TRACE("reply " + steps_[i].reply + " at step " + std::to_string(i));
      break_off_within(i);
      garble(i);
    }
  }

 private:
  struct Step {
    std::function<void(Dialogue&)> action = {};
    std::string reply = {};
    Stage stage = Stage::greeting;
  };

  template <class Feed>
  Dialogue run(Feed feed, std::size_t end = std::string::npos) const {
    Dialogue d(kind_, kHelo);
    for (std::size_t i = 0; i < std::min(end, steps_.size()); ++i) {
      if (steps_[i].action) {
        steps_[i].action(d);
        continue;
      }
      EXPECT_EQ(d.stage(), steps_[i].stage) << "before " << steps_[i].reply;
      EXPECT_GT(d.awaiting(), 0U);
      feed(d, steps_[i].reply);
    }
    return d;
  }

  Dialogue until(std::size_t step) const {
    return run([](Dialogue& d, const std::string& reply) { EXPECT_TRUE(d.receive(reply)); }, step);
  }

  static std::size_t positives(const Dialogue& d) {
    return static_cast<std::size_t>(
        std::ranges::count_if(d.final_replies(), [](const mail::Reply& r) { return r.positive(); }));
  }

  // However it failed, what it means is defined, and is no acceptance.
  void expect_defined_failure(const Dialogue& d, const Step& step, core::Errc error, std::size_t accepted) const {
    EXPECT_EQ(d.stage(), step.stage);
    EXPECT_EQ(positives(d), accepted);
    EXPECT_TRUE(d.stage() != Stage::dot || !d.final_replies_complete());
    Trouble trouble;
    trouble.stage = d.stage();
    trouble.error = make_error_code(error);
    const auto judgement = judge(trouble);
    EXPECT_EQ(judgement.fate, d.stage() == Stage::dot ? mail::Fate::unknown : mail::Fate::deferred);
    EXPECT_EQ(judgement.reply.code, 451);
    EXPECT_EQ(judgement.reply.enhanced.klass, 4);
  }

  void break_off_within(std::size_t i) const {
    const auto& step = steps_[i];
    for (std::size_t cut = 0; cut < step.reply.size(); ++cut) {
      auto d = until(i);
      const auto accepted = positives(d);
      ASSERT_TRUE(d.receive(std::string_view(step.reply).substr(0, cut)));
      expect_defined_failure(d, step, core::Errc::closed, accepted);
    }
  }

  void garble(std::size_t i) const {
    const auto& step = steps_[i];
    for (std::size_t at = 0; at < step.reply.size(); ++at) {
      for (const char wrong : {'\0', '\n', '\r', 'X', '1', '2', '3', '6', '9', '-', '\xff'}) {
        auto octets = step.reply;
        octets[at] = wrong;
        auto d = until(i);
        const auto accepted = positives(d);
        if (d.receive(octets)) {
          // Still a reply, or the start of one, and perhaps of another code: consent only when it says so.
          if (positives(d) > accepted) {
            EXPECT_EQ(octets.front(), '2') << octets;
            EXPECT_EQ(step.stage, Stage::dot);
          }
          continue;
        }
        if (positives(d) > accepted) {
          ADD_FAILURE() << "accepted by a broken reply: " << octets;
        }
        EXPECT_EQ(d.stage(), step.stage) << octets;
        EXPECT_FALSE(d.receive("250 ok\r\n")) << "after an error the connection is dead";
        EXPECT_EQ(d.take_output(), "");
      }
    }
  }

  Kind kind_;
  std::vector<Step> steps_;
};

const std::string kPlainEhlo = "250 dest.example\r\n";
const std::string kFullEhlo =
    "250-dest.example greets you\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-CHUNKING\r\n250 "
    "SMTPUTF8\r\n";
const std::string kPipeliningEhlo = "250-dest.example\r\n250 PIPELINING\r\n";

void check_all(const Script& script) {
  script.check();
  script.check_failure_at_every_step();
}

// ---- whole conversations

TEST(Dialogue, one_message_without_pipelining) {
  check_all(Script()
                .introduced(kPlainEhlo)
                .act([](Dialogue& d) {
                  EXPECT_TRUE(d.reusable());
                  EXPECT_TRUE(d.capabilities().extended);
                  d.mail(from_a());
                  d.rcpt(box("b"));
                  d.rcpt(box("c"));
                  d.data();
                  EXPECT_EQ(d.awaiting(), 4U);
                })
                .expect("MAIL FROM:<a@sender.example>\r\n")
                .peer(Stage::mail, "250 2.1.0 ok\r\n")
                .expect("RCPT TO:<b@dest.example>\r\n")
                .peer(Stage::rcpt, "250 2.1.5 ok\r\n")
                .expect("RCPT TO:<c@dest.example>\r\n")
                .peer(Stage::rcpt, "550-5.1.1 no\r\n550 5.1.1 such user\r\n")
                .expect("DATA\r\n")
                .peer(Stage::data, "354 go\r\n")
                .act([](Dialogue& d) {
                  EXPECT_EQ(d.accepted_recipients(), 1U);
                  EXPECT_EQ(d.rcpt_replies()[1]->lines.size(), 2U);
                  EXPECT_EQ(d.stage(), Stage::body);
                  d.dot();
                  d.quit();
                  EXPECT_FALSE(d.final_replies_complete());
                })
                .expect_nothing()
                .peer(Stage::dot, "250 2.0.0 queued\r\n")
                .act([](Dialogue& d) {
                  EXPECT_TRUE(d.final_replies_complete());
                  ASSERT_EQ(d.final_replies().size(), 1U);
                  EXPECT_TRUE(d.final_replies()[0].positive());
                })
                .expect("QUIT\r\n"));
}

TEST(Dialogue, pipelining_sends_a_group_and_stops_behind_DATA) {
  check_all(Script()
                .introduced(kFullEhlo)
                .act([](Dialogue& d) {
                  auto parameters = from_a();
                  parameters.size = 77;
                  parameters.eight_bit = true;
                  d.mail(parameters);
                  d.rcpt(box("b"));
                  d.rcpt(box("c"));
                  d.data();
                  d.rset();  // must wait behind DATA (RFC 2920 §3.1)
                })
                .expect("MAIL FROM:<a@sender.example> SIZE=77 BODY=8BITMIME\r\nRCPT TO:<b@dest.example>\r\n"
                        "RCPT TO:<c@dest.example>\r\nDATA\r\n")
                .peer(Stage::mail, "250 ok\r\n")
                .peer(Stage::rcpt, "450 4.2.1 later\r\n")
                .expect_nothing()
                .peer(Stage::rcpt, "250 ok\r\n")
                .peer(Stage::data, "354 go\r\n")
                .expect_nothing()  // in the body a command would be text
                .act([](Dialogue& d) { d.dot(); })
                .expect_nothing()
                .peer(Stage::dot, "550-5.7.1 Spam\r\n550 5.7.1 go away\r\n")
                .act([](Dialogue& d) {
                  EXPECT_TRUE(d.final_replies_complete());
                  EXPECT_EQ(d.final_replies().at(0).code, 550);
                })
                .expect("RSET\r\n")
                .peer(Stage::rset, "250 2.0.0 flushed\r\n")
                .act([](Dialogue& d) {
                  EXPECT_TRUE(d.rset_reply());
                  EXPECT_TRUE(d.reusable());
                }));
}

TEST(Dialogue, two_transactions_on_one_connection) {
  check_all(Script()
                .introduced(kPipeliningEhlo)
                .act([](Dialogue& d) {
                  d.mail(from_a());
                  d.rcpt(box("b"));
                })
                .expect("MAIL FROM:<a@sender.example>\r\nRCPT TO:<b@dest.example>\r\n")
                .peer(Stage::mail, "250 ok\r\n")
                .peer(Stage::rcpt, "550 no\r\n")
                .act([](Dialogue& d) {
                  d.rset();
                  d.mail({});
                  EXPECT_FALSE(d.mail_reply());
                  EXPECT_EQ(d.rcpt(box("c")), 0U);
                })
                .expect("RSET\r\nMAIL FROM:<>\r\nRCPT TO:<c@dest.example>\r\n")
                .peer(Stage::rset, "250 ok\r\n")
                .peer(Stage::mail, "250 ok\r\n")
                .peer(Stage::rcpt, "250 ok\r\n")
                .act([](Dialogue& d) { EXPECT_EQ(d.accepted_recipients(), 1U); }));
}

TEST(Dialogue, STARTTLS_forgets_what_was_known) {
  check_all(Script()
                .introduced("250-dest.example\r\n250-PIPELINING\r\n250 STARTTLS\r\n")
                .act([](Dialogue& d) {
                  EXPECT_TRUE(d.capabilities().starttls);
                  d.starttls();
                })
                .expect("STARTTLS\r\n")
                .peer(Stage::starttls, "220 2.0.0 ready\r\n")
                .act([](Dialogue& d) {
                  EXPECT_EQ(d.stage(), Stage::tls);
                  EXPECT_FALSE(d.reusable());
                  d.tls_started();
                  EXPECT_FALSE(d.capabilities().pipelining);  // RFC 3207 §4.2
                  EXPECT_FALSE(d.hello_reply());
                  d.hello();
                })
                .expect(kEhlo)
                .peer(Stage::hello, kPlainEhlo)
                .act([](Dialogue& d) {
                  EXPECT_FALSE(d.capabilities().pipelining);
                  EXPECT_FALSE(d.capabilities().starttls);
                  EXPECT_TRUE(d.reusable());
                }));
}

TEST(Dialogue, a_refused_STARTTLS_leaves_the_session_as_it_was) {
  check_all(Script()
                .introduced("250-dest.example\r\n250-PIPELINING\r\n250 STARTTLS\r\n")
                .act([](Dialogue& d) { d.starttls(); })
                .expect("STARTTLS\r\n")
                .peer(Stage::starttls, "454 4.7.0 not now\r\n")
                .act([](Dialogue& d) {
                  EXPECT_EQ(d.starttls_reply()->code, 454);
                  EXPECT_TRUE(d.capabilities().pipelining);
                  EXPECT_TRUE(d.reusable());
                }));
}

// interface.md §6.9
TEST(Dialogue, HELO_follows_a_server_that_does_not_know_EHLO) {
  for (const auto* refusal : {"500 what\r\n", "502 5.5.1 no\r\n", "504-5.5.4 no\r\n504 5.5.4 no\r\n"}) {
    check_all(Script()
                  .greeted()
                  .expect(kEhlo)
                  .peer(Stage::hello, refusal)
                  .act([](Dialogue& d) { EXPECT_FALSE(d.hello_reply()); })
                  .expect("HELO mx.forward.example\r\n")
                  .peer(Stage::hello, "250-dest.example\r\n250 PIPELINING\r\n")
                  .act([](Dialogue& d) {
                    EXPECT_TRUE(d.hello_reply()->positive());
                    EXPECT_FALSE(d.capabilities().extended);
                    EXPECT_FALSE(d.capabilities().pipelining);
                    auto parameters = from_a();
                    parameters.size = 10;
                    parameters.eight_bit = true;
                    d.mail(parameters);
                  })
                  .expect("MAIL FROM:<a@sender.example>\r\n"));
  }
}

TEST(Dialogue, other_refusals_of_EHLO_and_of_HELO_are_final) {
  for (const auto* refusal :
       {"550 5.7.1 go away\r\n", "421 4.3.2 closing\r\n", "450 no\r\n", "554 no\r\n", "501 no\r\n"}) {
    check_all(Script()
                  .greeted()
                  .expect(kEhlo)
                  .peer(Stage::hello, refusal)
                  .act([](Dialogue& d) {
                    EXPECT_TRUE(d.hello_reply());
                    EXPECT_FALSE(d.reusable());
                  })
                  .expect_nothing());
  }
  check_all(Script()
                .greeted()
                .expect(kEhlo)
                .peer(Stage::hello, "502 no\r\n")
                .expect("HELO mx.forward.example\r\n")
                .peer(Stage::hello, "502 no\r\n")
                .act([](Dialogue& d) { EXPECT_EQ(d.hello_reply()->code, 502); })
                .expect_nothing());
}

TEST(Dialogue, LHLO_has_no_fallback) {
  check_all(Script(Kind::lmtp)
                .introduced("500 what\r\n")
                .act([](Dialogue& d) { EXPECT_EQ(d.hello_reply()->code, 500); })
                .expect_nothing());
}

// RFC 2033 §4.2
TEST(Dialogue, LMTP_answers_once_for_each_accepted_recipient) {
  check_all(Script(Kind::lmtp)
                .introduced(kPipeliningEhlo)
                .act([](Dialogue& d) {
                  d.mail(from_a());
                  for (const auto* name : {"b", "c", "d"}) d.rcpt(box(name));
                  d.data();
                })
                .expect("MAIL FROM:<a@sender.example>\r\nRCPT TO:<b@dest.example>\r\nRCPT TO:<c@dest.example>\r\n"
                        "RCPT TO:<d@dest.example>\r\nDATA\r\n")
                .peer(Stage::mail, "250 ok\r\n")
                .peer(Stage::rcpt, "250 ok\r\n")
                .peer(Stage::rcpt, "550 no\r\n")
                .peer(Stage::rcpt, "250 ok\r\n")
                .peer(Stage::data, "354 go\r\n")
                .act([](Dialogue& d) {
                  d.dot();
                  d.quit();
                  EXPECT_EQ(d.awaiting(), 3U);
                })
                .expect_nothing()
                .peer(Stage::dot, "250 2.0.0 <b> done\r\n")
                .act([](Dialogue& d) {
                  EXPECT_EQ(d.awaiting(), 2U);
                  EXPECT_FALSE(d.final_replies_complete());
                })
                .expect_nothing()
                .peer(Stage::dot, "452 4.2.2 <d> is full\r\n")
                .act([](Dialogue& d) {
                  EXPECT_TRUE(d.final_replies_complete());
                  ASSERT_EQ(d.final_replies().size(), 2U);
                  EXPECT_EQ(d.final_replies()[1].code, 452);
                })
                .expect("QUIT\r\n"));
}

TEST(Dialogue, LMTP_by_chunks_with_replies_to_RCPT_still_out) {
  check_all(Script(Kind::lmtp)
                .introduced("250-dest.example\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
                .act([](Dialogue& d) {
                  d.mail(from_a());
                  d.rcpt(box("b"));
                  d.rcpt(box("c"));
                  d.bdat(5, true);
                })
                .expect("MAIL FROM:<a@sender.example>\r\nRCPT TO:<b@dest.example>\r\nRCPT TO:<c@dest.example>\r\n"
                        "BDAT 5 LAST\r\n")
                // What is lost now may have been taken.
                .peer(Stage::dot, "250 ok\r\n")
                .peer(Stage::dot, "250 ok\r\n")
                .peer(Stage::dot, "250 ok\r\n")
                .act([](Dialogue& d) { EXPECT_EQ(d.awaiting(), 2U); })
                .peer(Stage::dot, "250 ok\r\n")
                .act([](Dialogue& d) { EXPECT_FALSE(d.final_replies_complete()); })
                .peer(Stage::dot, "250 ok\r\n")
                .act([](Dialogue& d) { EXPECT_TRUE(d.final_replies_complete()); }));
}

// RFC 3030
TEST(Dialogue, BDAT_in_chunks) {
  check_all(Script()
                .introduced(kFullEhlo)
                .act([](Dialogue& d) {
                  d.mail(from_a());
                  d.rcpt(box("b"));
                })
                .expect("MAIL FROM:<a@sender.example>\r\nRCPT TO:<b@dest.example>\r\n")
                .peer(Stage::mail, "250 ok\r\n")
                .peer(Stage::rcpt, "250 ok\r\n")
                .act([](Dialogue& d) {
                  d.bdat(1000, false);
                  d.bdat(0, false);
                  // Each chunk's octets belong right behind its command.
                  EXPECT_EQ(d.take_output(), "BDAT 1000\r\n");
                  EXPECT_EQ(d.take_output(), "BDAT 0\r\n");
                })
                .peer(Stage::body, "250 1000 octets\r\n")
                .peer(Stage::body, "250 0 octets\r\n")
                .act([](Dialogue& d) {
                  EXPECT_EQ(d.stage(), Stage::body);
                  EXPECT_FALSE(d.reusable());
                  d.bdat(18446744073709551615U, true);
                })
                .expect("BDAT 18446744073709551615 LAST\r\n")
                .act([](Dialogue& d) { d.quit(); })
                .expect_nothing()
                .peer(Stage::dot, "250 ok\r\n")
                .act([](Dialogue& d) { EXPECT_TRUE(d.final_replies_complete()); })
                .expect("QUIT\r\n"));
}

TEST(Dialogue, a_refused_chunk_then_RSET) {
  check_all(Script()
                .introduced(kFullEhlo)
                .act([](Dialogue& d) {
                  d.mail(from_a());
                  d.rcpt(box("b"));
                  d.bdat(10, false);
                })
                .expect("MAIL FROM:<a@sender.example>\r\nRCPT TO:<b@dest.example>\r\nBDAT 10\r\n")
                .peer(Stage::mail, "250 ok\r\n")
                .peer(Stage::rcpt, "250 ok\r\n")
                .peer(Stage::body, "552 5.3.4 too much\r\n")
                .act([](Dialogue& d) {
                  ASSERT_TRUE(d.body_reply());
                  EXPECT_EQ(d.body_reply()->code, 552);
                  d.rset();
                })
                .expect("RSET\r\n")
                .peer(Stage::rset, "250 ok\r\n")
                .act([](Dialogue& d) {
                  d.forget_transaction();
                  EXPECT_FALSE(d.body_reply());
                  EXPECT_TRUE(d.reusable());
                }));
}

TEST(Dialogue, a_message_with_a_refused_chunk_cannot_be_accepted) {
  Dialogue d(Kind::smtp, kHelo);
  ASSERT_TRUE(d.receive("220 hi\r\n"));
  d.hello();
  d.take_output();
  ASSERT_TRUE(d.receive(kFullEhlo));
  d.mail(from_a());
  d.rcpt(box("b"));
  d.bdat(10, false);
  d.take_output();
  d.bdat(10, true);
  EXPECT_EQ(d.take_output(), "BDAT 10 LAST\r\n");
  ASSERT_TRUE(d.receive("250 ok\r\n250 ok\r\n452 4.3.1 full\r\n"));
  EXPECT_FALSE(d.receive("250 accepted\r\n"));
  EXPECT_TRUE(d.final_replies().empty());
  EXPECT_EQ(d.stage(), Stage::dot);
}

// ---- details

// What was said up to 354, for tests of what comes next.
Dialogue in_body(Kind kind = Kind::smtp) {
  Dialogue d(kind, kHelo);
  EXPECT_TRUE(d.receive("220 hi\r\n"));
  d.hello();
  d.take_output();
  EXPECT_TRUE(d.receive(kPipeliningEhlo));
  d.mail(from_a());
  d.rcpt(box("b"));
  d.data();
  d.take_output();
  EXPECT_TRUE(d.receive("250 ok\r\n250 ok\r\n354 go\r\n"));
  EXPECT_EQ(d.stage(), Stage::body);
  return d;
}

Dialogue at_rest() {
  Dialogue d(Kind::smtp, kHelo);
  EXPECT_TRUE(d.receive("220 hi\r\n"));
  d.hello();
  d.take_output();
  EXPECT_TRUE(d.receive(kFullEhlo));
  EXPECT_TRUE(d.reusable());
  return d;
}

TEST(Dialogue, MAIL_says_only_what_is_offered_and_needed) {
  struct Case {
    const char* ehlo;
    std::uint64_t size;
    bool eight_bit, utf8;
    const char* parameters;
  };
  for (const auto& [ehlo, size, eight_bit, utf8, parameters] : std::initializer_list<Case>{
           {"250-x\r\n250-SIZE\r\n250 8BITMIME\r\n", 5, true, false, " SIZE=5 BODY=8BITMIME"},
           {"250-x\r\n250-SIZE\r\n250 8BITMIME\r\n", 0, false, false, ""},
           {"250-x\r\n250 8BITMIME\r\n", 5, true, false, " BODY=8BITMIME"},
           {"250-x\r\n250 SIZE 10\r\n", 5, true, false, " SIZE=5"},
           {"250 x\r\n", 5, true, false, ""},
           {"250-x\r\n250 SIZE junk\r\n", 5, false, false, ""},
           {"250-x\r\n250 SMTPUTF8\r\n", 0, false, true, " SMTPUTF8"},
           {"250-x\r\n250-SIZE\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n", 9, true, true, " SIZE=9 BODY=8BITMIME SMTPUTF8"},
       }) {
    Dialogue d(Kind::smtp, kHelo);
    ASSERT_TRUE(d.receive("220 hi\r\n"));
    d.hello();
    d.take_output();
    ASSERT_TRUE(d.receive(ehlo));
    auto from = from_a();
    from.size = size;
    from.eight_bit = eight_bit;
    from.smtputf8 = utf8;
    d.mail(from);
    EXPECT_EQ(d.take_output(), std::string("MAIL FROM:<a@sender.example>") + parameters + "\r\n");
  }
}

// RFC 3461 §4: said when the peer offers DSN and the caller has something to say, in the caller's meaning.
TEST(Dialogue, DSN_parameters_only_where_they_are_offered) {
  auto from = from_a();
  from.ret = mail::MailCommand::Ret::headers;
  from.envid = "QQ 1+4";
  RcptParameters to;
  to.notify = {.given = true, .success = true, .failure = true};
  to.orcpt_type = "rfc822";
  to.orcpt = "Bob+x@fwd.example";
  for (const bool offered : {true, false}) {
    Dialogue d(Kind::smtp, kHelo);
    ASSERT_TRUE(d.receive("220 hi\r\n"));
    d.hello();
    d.take_output();
    ASSERT_TRUE(d.receive(offered ? "250-x\r\n250-PIPELINING\r\n250 DSN\r\n" : "250-x\r\n250 PIPELINING\r\n"));
    d.mail(from);
    d.rcpt(box("b"), to);
    d.rcpt(box("c"));
    d.rcpt(box("d"), {.notify = {.given = true, .never = true}, .orcpt_type = {}, .orcpt = {}});
    const std::string with =
        "MAIL FROM:<a@sender.example> RET=HDRS ENVID=QQ+201+2B4\r\n"
        "RCPT TO:<b@dest.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob+2Bx@fwd.example\r\n"
        "RCPT TO:<c@dest.example>\r\nRCPT TO:<d@dest.example> NOTIFY=NEVER\r\n";
    const std::string without =
        "MAIL FROM:<a@sender.example>\r\nRCPT TO:<b@dest.example>\r\nRCPT TO:<c@dest.example>\r\n"
        "RCPT TO:<d@dest.example>\r\n";
    EXPECT_EQ(d.take_output(), offered ? with : without);
  }
  from.ret = mail::MailCommand::Ret::full;
  from.envid.clear();
  Dialogue d(Kind::lmtp, kHelo);
  ASSERT_TRUE(d.receive("220 hi\r\n"));
  d.hello();
  d.take_output();
  ASSERT_TRUE(d.receive("250-x\r\n250 DSN\r\n"));
  d.mail(from);
  EXPECT_EQ(d.take_output(), "MAIL FROM:<a@sender.example> RET=FULL\r\n");
  // An ORCPT that would be too long for the peer, or that is none, is left out; nothing else is.
  to.orcpt.assign(600, 'a');
  to.notify = {};
  ASSERT_TRUE(d.receive("250 ok\r\n"));
  d.rcpt(box("b"), to);
  EXPECT_EQ(d.take_output(), "RCPT TO:<b@dest.example>\r\n");
}

TEST(Dialogue, plain_features_whatever_is_offered) {
  for (const bool before : {true, false}) {
    Dialogue d(Kind::smtp, kHelo);
    if (before) d.use_plain_features();
    ASSERT_TRUE(d.receive("220 hi\r\n"));
    d.hello();
    d.take_output();
    ASSERT_TRUE(d.receive(kFullEhlo));
    if (!before) d.use_plain_features();
    EXPECT_FALSE(d.capabilities().pipelining);
    EXPECT_FALSE(d.capabilities().chunking);
    EXPECT_TRUE(d.capabilities().size);
    d.mail(from_a());
    d.rcpt(box("b"));
    EXPECT_EQ(d.take_output(), "MAIL FROM:<a@sender.example>\r\n");
    EXPECT_EQ(d.take_output(), "");
    // And after STARTTLS too.
    d.tls_started();
    EXPECT_FALSE(d.capabilities().chunking);
  }
}

TEST(Dialogue, capabilities) {
  const auto parse = [](std::vector<std::string> lines) {
    mail::Reply reply;
    reply.code = 250;
    reply.lines = std::move(lines);
    return parse_capabilities(reply);
  };
  const auto c = parse({"PIPELINING", "pipelining", "  8BitMime  ", "size 35882577", "StartTLS", "CHUNKING foo", "DSN",
                        "REQUIRETLS", "SMTPUTF8", "LIMITS RCPTMAX=100 mailmax=20 RCPTDOMAINMAX=1", "", "X-UNKNOWN"});
  EXPECT_TRUE(c.extended && c.pipelining && c.eight_bit && c.starttls && c.chunking && c.dsn && c.requiretls &&
              c.smtputf8);
  EXPECT_TRUE(c.size);
  EXPECT_EQ(c.size_limit, 35882577U);
  EXPECT_EQ(c.rcpt_max, 100U);
  EXPECT_EQ(c.mail_max, 20U);

  EXPECT_FALSE(parse({"PIPELINING"}).pipelining) << "the first line is the server's name";
  EXPECT_FALSE(parse({}).pipelining);
  EXPECT_FALSE(parse({"x", "XPIPELINING", "PIPELINING=1", "SIZE=100", "AUTH PIPELINING"}).pipelining);
  EXPECT_FALSE(parse({"x", "SIZE=100"}).size);
}

TEST(Threats, UP_12_junk_in_EHLO) {
  const auto parse = [](std::vector<std::string> lines) {
    mail::Reply reply;
    reply.code = 250;
    lines.insert(lines.begin(), "dest.example");
    reply.lines = std::move(lines);
    return parse_capabilities(reply);
  };
  for (const auto* size :
       {"SIZE junk", "SIZE -1", "SIZE 1 2", "SIZE 99999999999999999999999", "SIZE 0x10", "SIZE 1.5"}) {
    EXPECT_FALSE(parse({size}).size) << size;
    EXPECT_EQ(parse({size}).size_limit, 0U) << size;
  }
  EXPECT_TRUE(parse({"SIZE 0"}).size);
  EXPECT_TRUE(parse({"SIZE"}).size);
  EXPECT_EQ(parse({"SIZE 10", "SIZE junk"}).size_limit, 10U);
  // RFC 9422 §3: one to six digits, no leading zero.
  for (const auto* limits : {"LIMITS", "LIMITS RCPTMAX", "LIMITS RCPTMAX=", "LIMITS RCPTMAX=x", "LIMITS RCPTMAX=0",
                             "LIMITS RCPTMAX=01", "LIMITS RCPTMAX=1000000", "LIMITS RCPTMAX=-1", "LIMITS =5"}) {
    EXPECT_EQ(parse({limits}).rcpt_max, 0U) << limits;
  }
  EXPECT_EQ(parse({"LIMITS RCPTMAX=x MAILMAX=999999"}).mail_max, 999999U);

  // The 64th keyword counts, the 65th does not; through the parser as well as here.
  for (const auto& [before, offered] : {std::pair{63, true}, {64, false}, {10'000, false}}) {
    std::vector<std::string> lines(static_cast<std::size_t>(before), "XJUNK");
    lines.emplace_back("PIPELINING");
    EXPECT_EQ(parse(lines).pipelining, offered) << before;
  }
  for (const auto& [before, offered] : {std::pair{63, true}, {64, false}, {1'000, false}}) {
    Dialogue d(Kind::smtp, kHelo);
    ASSERT_TRUE(d.receive("220 hi\r\n"));
    d.hello();
    d.take_output();
    std::string reply = "250-dest.example\r\n";
    for (int i = 0; i < before; ++i) reply += "250-XJUNK" + std::string(40, 'x') + "\r\n";
    ASSERT_TRUE(d.receive(reply + "250 PIPELINING\r\n"));
    EXPECT_EQ(d.capabilities().pipelining, offered) << before;
  }
  // Other replies keep to the usual size.
  auto d = at_rest();
  d.mail(from_a());
  d.take_output();
  std::string reply;
  for (int i = 0; i < 100; ++i) reply += "550-5.7.1 no\r\n";
  ASSERT_TRUE(d.receive(reply + "550 5.7.1 no\r\n"));
  EXPECT_EQ(d.mail_reply()->lines.size(), mail::ReplyParser::kMaxKeptLines);
}

TEST(Threats, UP_02_endless_replies_are_cut_off) {
  for (const auto& part : {"250-"s + std::string(1000, 'x') + "\r\n", std::string(1000, '2'), "250-\r\n"s}) {
    auto d = at_rest();
    d.mail(from_a());
    d.take_output();
    std::size_t fed = 0;
    while (d.receive(part)) {
      fed += part.size();
      ASSERT_LE(fed, mail::ReplyParser::kMaxOctets);
    }
    EXPECT_EQ(d.stage(), Stage::mail);
    EXPECT_FALSE(d.mail_reply());
  }
}

// What each awaited reply can be instead; `blamed` on the command it answers.
struct Awaiting {
  const char* name;
  std::function<Dialogue()> make;
  Stage stage;
};

std::vector<Awaiting> all_awaiting() {
  const auto after = [](auto act) {
    return [act] {
      auto d = at_rest();
      act(d);
      d.take_output();
      return d;
    };
  };
  return {
      {"greeting", [] { return Dialogue(Kind::smtp, kHelo); }, Stage::greeting},
      {"EHLO", after([](Dialogue& d) { d.hello(); }), Stage::hello},
      {"STARTTLS", after([](Dialogue& d) { d.starttls(); }), Stage::starttls},
      {"MAIL", after([](Dialogue& d) { d.mail(from_a()); }), Stage::mail},
      {"RCPT", after([](Dialogue& d) { d.rcpt(box("b")); }), Stage::rcpt},
      {"DATA", after([](Dialogue& d) { d.data(); }), Stage::data},
      {"BDAT", after([](Dialogue& d) { d.bdat(1, false); }), Stage::body},
      {"BDAT LAST", after([](Dialogue& d) { d.bdat(1, true); }), Stage::dot},
      {"dot",
       [] {
         auto d = in_body();
         d.dot();
         return d;
       },
       Stage::dot},
      {"LMTP dot",
       [] {
         auto d = in_body(Kind::lmtp);
         d.dot();
         return d;
       },
       Stage::dot},
      {"RSET", after([](Dialogue& d) { d.rset(); }), Stage::rset},
  };
}

TEST(Threats, UP_03_broken_replies_at_every_command) {
  for (const auto& awaiting : all_awaiting()) {
    for (const auto& reply : {"250-a\r\n550 b\r\n"s,
                              "25\r\n"s,
                              "099 x\r\n"s,
                              "199 x\r\n"s,
                              "600 x\r\n"s,
                              "25x y\r\n"s,
                              "\r\n"s,
                              "2500 x\r\n"s,
                              "250ok\r\n"s,
                              " 250 ok\r\n"s,
                              "250 ok\n"s,
                              "250 ok\r"s + "x"s,
                              "250\tok\r\n"s,
                              "-250 ok\r\n"s,
                              "ok\r\n"s,
                              "250-a\r\n\r\n"s,
                              "250-a\r\n25 b\r\n"s,
                              "354-a\r\n250 b\r\n"s,
                              "\xb2\xb5\xb0 ok\r\n"s,
                              "\0\0\0 ok\r\n"s}) {
      SCOPED_TRACE(std::string(awaiting.name) + ": " + reply);
      auto d = awaiting.make();
      const auto result = d.receive(reply);
      ASSERT_FALSE(result);
      EXPECT_EQ(result.error(), make_error_code(core::Errc::protocol));
      EXPECT_EQ(d.stage(), awaiting.stage);
      EXPECT_TRUE(d.final_replies().empty());
      EXPECT_FALSE(d.final_replies_complete());
    }
  }
}

TEST(Threats, UP_04_replies_that_cannot_be) {
  for (const auto& awaiting : all_awaiting()) {
    const bool data = awaiting.stage == Stage::data;
    const std::vector<std::string> wrong =
        data ? std::vector<std::string>{"200 ok", "250 ok", "251 ok", "300 ok", "334 ok", "353 x", "355 x"}
             : std::vector<std::string>{"300 ok", "334 ok", "354 go ahead"};
    for (const auto& reply : wrong) {
      SCOPED_TRACE(std::string(awaiting.name) + ": " + reply);
      auto d = awaiting.make();
      ASSERT_FALSE(d.receive(reply + "\r\n"));
      EXPECT_EQ(d.stage(), awaiting.stage);
      EXPECT_TRUE(d.final_replies().empty());
    }
    for (const auto* right : {"421 4.3.2 bye\r\n", "450 no\r\n", "550 no\r\n", "521 no\r\n"}) {
      SCOPED_TRACE(std::string(awaiting.name) + ": " + right);
      auto d = awaiting.make();
      EXPECT_TRUE(d.receive(right));
    }
  }
}

// UP-05, UP-09: "closing" in place of an answer is no success, and QUIT's reply is not the dot's.
TEST(Threats, UP_05_221_is_never_a_success) {
  for (const auto& awaiting : all_awaiting()) {
    SCOPED_TRACE(awaiting.name);
    auto d = awaiting.make();
    ASSERT_TRUE(d.receive("221 2.0.0 bye\r\n"));
    EXPECT_FALSE(d.reusable());
    EXPECT_EQ(d.accepted_recipients(), awaiting.stage == Stage::dot && awaiting.name != "BDAT LAST"s ? 1U : 0U);
    for (const auto& reply : d.final_replies()) {
      EXPECT_EQ(reply.code, 421);
      EXPECT_EQ(reply.enhanced, (mail::EnhancedCode{4, 4, 2}));
    }
    for (const auto& slot : {d.greeting_reply(), d.hello_reply(), d.starttls_reply(), d.mail_reply(), d.data_reply()}) {
      EXPECT_FALSE(slot && slot->code == 221);
    }
  }
  auto d = at_rest();
  d.quit();
  EXPECT_EQ(d.take_output(), "QUIT\r\n");
  EXPECT_TRUE(d.receive("221 2.0.0 bye\r\n"));
  EXPECT_EQ(d.awaiting(), 0U);
}

TEST(Threats, UP_09_nothing_is_sent_after_the_dot_until_its_answer_is_complete) {
  for (const auto kind : {Kind::smtp, Kind::lmtp}) {
    auto d = in_body(kind);
    d.rset();
    d.quit();
    EXPECT_EQ(d.take_output(), "") << "in the body";
    d.dot();
    d.mail(from_a());
    const std::string answer = "250-2.0.0 nearly\r\n250-2.0.0 all\r\n250 2.0.0 of it\r\n";
    for (std::size_t i = 0; i < answer.size(); ++i) {
      EXPECT_EQ(d.take_output(), "") << "after " << i << " octets of the answer";
      EXPECT_EQ(d.stage(), Stage::dot);
      // mail() began a new transaction: the old one's answer has nobody to go to and ends the session.
      const auto result = d.receive(answer.substr(i, 1));
      EXPECT_EQ(result.has_value(), i + 1 < answer.size());
    }
    EXPECT_EQ(d.take_output(), "");
  }
  auto d = in_body();
  d.quit();
  d.dot();
  EXPECT_EQ(d.take_output(), "");
  ASSERT_TRUE(d.receive("250-x\r\n250 ok\r"));
  EXPECT_EQ(d.take_output(), "");
  ASSERT_TRUE(d.receive("\n"));
  EXPECT_TRUE(d.final_replies_complete());
  EXPECT_EQ(d.take_output(), "QUIT\r\n");
}

TEST(Threats, UP_10_answers_before_the_dot) {
  for (const auto* refusal : {"552 5.3.4 too big\r\n", "451 4.3.0 disk\r\n", "421 4.3.2 closing\r\n"}) {
    auto d = in_body();
    ASSERT_TRUE(d.receive(refusal));
    ASSERT_TRUE(d.body_reply());
    EXPECT_EQ(std::to_string(d.body_reply()->code), std::string(refusal).substr(0, 3));
    EXPECT_TRUE(d.receive("421 4.3.2 closing\r\n"));
    EXPECT_EQ(std::to_string(d.body_reply()->code), std::string(refusal).substr(0, 3)) << "the first counts";
    EXPECT_FALSE(d.reusable());
    EXPECT_EQ(d.take_output(), "");
    // Whoever sends the dot all the same cannot get an acceptance any more.
    d.dot();
    EXPECT_FALSE(d.receive("250 ok\r\n"));
    EXPECT_TRUE(d.final_replies().empty());
  }
  for (const auto* early : {"250 ok\r\n", "354 more\r\n", "200 x\r\n"}) {
    auto d = in_body();
    EXPECT_FALSE(d.receive(early));
    EXPECT_EQ(d.stage(), Stage::body);
    EXPECT_FALSE(d.body_reply());
  }
  // It began before the dot and ends behind it: not the dot's answer.
  const std::string early = "250 2.0.0 ok\r\n";
  for (std::size_t cut = 1; cut < early.size(); ++cut) {
    auto d = in_body();
    ASSERT_TRUE(d.receive(early.substr(0, cut)));
    d.dot();
    EXPECT_FALSE(d.receive(early.substr(cut)));
    EXPECT_TRUE(d.final_replies().empty());
    EXPECT_EQ(d.stage(), Stage::dot);
  }
  // In the same segment as 354.
  Dialogue d = at_rest();
  d.mail(from_a());
  d.rcpt(box("b"));
  d.data();
  d.take_output();
  EXPECT_FALSE(d.receive("250 ok\r\n250 ok\r\n354 go\r\n250 thanks\r\n"));
}

TEST(Threats, UP_14_replies_that_nobody_awaits) {
  for (const auto* extra : {"250 ok\r\n", "550 no\r\n", "220 again\r\n", "354 go\r\n", "451 x\r\n"}) {
    {
      auto d = at_rest();
      EXPECT_FALSE(d.receive(extra));
      EXPECT_FALSE(d.reusable());
      EXPECT_EQ(d.stage(), Stage::mail) << "nothing was sent yet";
    }
    {  // right behind the answer
      auto d = at_rest();
      d.mail(from_a());
      d.take_output();
      EXPECT_FALSE(d.receive("250 ok\r\n"s + extra));
    }
    {  // queued but not sent: not awaited yet
      auto d = at_rest();
      d.mail(from_a());
      EXPECT_FALSE(d.receive(extra));
      EXPECT_FALSE(d.mail_reply());
    }
    {  // behind the final answer
      auto d = in_body();
      d.dot();
      EXPECT_FALSE(d.receive("250 ok\r\n"s + extra));
      EXPECT_TRUE(d.final_replies_complete()) << "what was answered stays answered";
      EXPECT_EQ(d.final_replies().size(), 1U);
      EXPECT_FALSE(d.reusable());
      EXPECT_EQ(d.stage(), Stage::mail) << "the dot has its answer: nothing is unknown";
    }
  }
  // The first octets of one are enough to be out of step.
  auto d = at_rest();
  ASSERT_TRUE(d.receive("25"));
  EXPECT_FALSE(d.reusable());
  d.mail(from_a());
  d.take_output();
  EXPECT_FALSE(d.receive("0 ok\r\n"));
  EXPECT_FALSE(d.mail_reply());
}

TEST(Dialogue, a_421_while_nothing_is_awaited_announces_the_end) {
  auto d = at_rest();
  ASSERT_TRUE(d.receive("421-4.4.2 idle\r\n421 4.4.2 bye\r\n"));
  ASSERT_TRUE(d.closing_reply());
  EXPECT_EQ(d.closing_reply()->lines.size(), 2U);
  EXPECT_FALSE(d.reusable());
  EXPECT_FALSE(d.receive("250 ok\r\n"));
  // As an answer it is the answer.
  auto e = at_rest();
  e.mail(from_a());
  e.take_output();
  ASSERT_TRUE(e.receive("421 4.3.2 bye\r\n"));
  EXPECT_EQ(e.mail_reply()->code, 421);
  EXPECT_FALSE(e.closing_reply());
  EXPECT_FALSE(e.reusable());
  // It began before MAIL left and ended behind it: a refusal all the same.
  auto f = at_rest();
  ASSERT_TRUE(f.receive("421 4.3"));
  f.mail(from_a());
  f.take_output();
  ASSERT_TRUE(f.receive(".2 bye\r\n"));
  EXPECT_EQ(f.mail_reply()->code, 421);
}

TEST(Threats, TL_03_nothing_in_clear_text_behind_STARTTLS) {
  for (const auto* injected : {"250 ok\r\n", "2", "\r\n", "421 bye\r\n", "250-PIPELINING\r\n250 SIZE\r\n"}) {
    for (const bool same_segment : {true, false}) {
      auto d = at_rest();
      d.starttls();
      d.take_output();
      if (same_segment) {
        EXPECT_FALSE(d.receive("220 ready\r\n"s + injected));
      } else {
        ASSERT_TRUE(d.receive("220 ready\r\n"));
        EXPECT_FALSE(d.receive(injected));
      }
      EXPECT_EQ(d.stage(), Stage::tls);
      EXPECT_EQ(d.take_output(), "");
    }
  }
  // Nothing of ours leaves in clear text either.
  auto d = at_rest();
  d.starttls();
  d.take_output();
  d.hello();
  ASSERT_TRUE(d.receive("220 ready\r\n"));
  EXPECT_EQ(d.take_output(), "");
}

TEST(Threats, RL_02_control_octets_never_leave) {
  for (const auto& bad : {"a\r\nRCPT TO:<x@y>"s, "a\nb"s, "a\0b"s, "a\x7f"s}) {
    auto d = at_rest();
    d.rcpt({bad, "dest.example"});
    d.quit();
    EXPECT_EQ(d.take_output(), "");
    EXPECT_FALSE(d.receive("250 ok\r\n"));
  }
}

// A transaction that was given up with replies still out.
TEST(Dialogue, replies_to_a_forgotten_transaction_go_nowhere) {
  auto d = at_rest();
  d.mail(from_a());
  d.rcpt(box("b"));
  d.rcpt(box("c"));
  d.take_output();
  d.rset();
  d.forget_transaction();
  EXPECT_EQ(d.awaiting(), 4U);
  d.mail(from_a());
  d.rcpt(box("d"));
  d.take_output();
  ASSERT_TRUE(d.receive("250 old\r\n250 old\r\n250 old\r\n250 reset\r\n"));
  EXPECT_FALSE(d.mail_reply());
  EXPECT_EQ(d.accepted_recipients(), 0U);
  ASSERT_TRUE(d.receive("250 new\r\n550 new\r\n"));
  EXPECT_EQ(d.mail_reply()->lines[0], "new");
  EXPECT_EQ(d.rcpt_replies().at(0)->code, 550);
  EXPECT_EQ(d.awaiting(), 0U);
  // A 354 would make the peer wait for a body that nobody sends.
  auto e = at_rest();
  e.mail(from_a());
  e.rcpt(box("b"));
  e.data();
  e.take_output();
  e.forget_transaction();
  EXPECT_FALSE(e.receive("250 ok\r\n250 ok\r\n354 go\r\n"));
}

TEST(Dialogue, every_stage_has_a_name) {
  for (const auto stage : {Stage::dns, Stage::connect, Stage::greeting, Stage::hello, Stage::starttls, Stage::tls,
                           Stage::mail, Stage::rcpt, Stage::data, Stage::body, Stage::dot, Stage::rset}) {
    EXPECT_NE(to_string(stage), "unknown");
  }
}

}  // namespace
}  // namespace forwarder
