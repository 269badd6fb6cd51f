// DSNs: who gets one, what stands in it, and what no octet of a peer or a sender can do to it (LP-08). Python's email
// package reads every one of them (dsn_parse.py).
#include "queue/dsn.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/random.hpp"
#include "core/text.hpp"
#include "mail/header.hpp"

namespace queue {
namespace {

using nlohmann::json;
using Ret = mail::MailCommand::Ret;

constexpr std::string_view kHeader =
    "From: Carol <carol@origin.test>\r\nTo: sales@fwd.test\r\nSubject: Offer\r\nMessage-ID: <1@origin.test>\r\n";
constexpr std::string_view kBody = "Hello.\r\n\r\n--onward-UNIQUE-0\r\n.\r\nBye.\r\n";

core::Wall::time_point at(std::int64_t unix_seconds) {
  return core::Wall::time_point(core::Seconds(unix_seconds));
}

mail::ReversePath sender(std::string_view address) {
  mail::ReversePath path;
  path.mailbox = *mail::parse_mailbox(address, mail::Utf8::yes);
  return path;
}

DsnRecipient refused(std::string address = "sales@fwd.test") {
  DsnRecipient recipient;
  recipient.address = std::move(address);
  recipient.status = {5, 1, 1};
  recipient.reply = mail::Reply(550, {5, 1, 1}, "<sales@fwd.test> unknown");
  recipient.from_peer = true;
  recipient.last_attempt = at(1'800'000'060);
  return recipient;
}

DsnReport report() {
  DsnReport r;
  r.hostname = "mx.forward.test";
  r.sender = sender("carol@origin.test");
  r.trace = "abcdefghij-1";
  r.unique = "UNIQUE";
  r.arrival = at(1'800'000'000);
  r.now = at(1'800'000'100);
  r.recipients.push_back(refused());
  r.header = kHeader;
  r.body = kBody;
  r.size = kHeader.size() + 2 + kBody.size();
  return r;
}

// What Python reads in each of them, in their order.
std::vector<json> parse(const std::vector<Dsn>& dsns) {
  std::string folder = testing::TempDir() + "onward-dsn-XXXXXX";
  EXPECT_NE(::mkdtemp(folder.data()), nullptr);
  for (std::size_t i = 0; i < dsns.size(); ++i) {
    std::array<char, 80> name{};
    std::snprintf(name.data(), name.size(), "/%06zu-%s-%s", i, dsns[i].eight_bit ? "8bit" : "7bit",
                  dsns[i].smtputf8 ? "utf8" : "ascii");
    std::ofstream(folder + name.data(), std::ios::binary) << dsns[i].content;
  }
  const std::string command = "/usr/bin/python3 " ONWARD_SOURCE_DIR "/tests/unit/queue/dsn_parse.py " + folder;
  FILE* pipe = ::popen(command.c_str(), "r");
  std::string text;
  std::array<char, 65536> block{};
  for (std::size_t n = 0; (n = std::fread(block.data(), 1, block.size(), pipe)) > 0;) text.append(block.data(), n);
  EXPECT_EQ(::pclose(pipe), 0);
  std::filesystem::remove_all(folder);
  std::vector<json> parsed;
  for (const auto line : core::split(text, '\n')) {
    if (!line.empty()) parsed.push_back(json::parse(line));
  }
  EXPECT_EQ(parsed.size(), dsns.size());
  parsed.resize(dsns.size());
  return parsed;
}
json parse(const Dsn& dsn) {
  return parse(std::vector<Dsn>{dsn}).front();
}

// Values of fields of that name, in order.
std::vector<std::string> values(const json& fields, std::string_view name) {
  std::vector<std::string> found;
  for (const auto& field : fields) {
    if (core::iequals(field[0].get<std::string>(), name)) found.push_back(field[1]);
  }
  return found;
}
std::string value(const json& fields, std::string_view name) {
  const auto all = values(fields, name);
  EXPECT_EQ(all.size(), 1U) << name << " in " << fields;
  return all.empty() ? std::string() : all.front();
}
std::string latin1_to_octets(const std::string& utf8) {
  std::string octets;
  for (std::size_t i = 0; i < utf8.size(); ++i) {
    const auto c = static_cast<unsigned char>(utf8[i]);
    octets += c < 0x80 ? utf8[i] : static_cast<char>((c & 3) << 6 | (static_cast<unsigned char>(utf8[++i]) & 0x3f));
  }
  return octets;
}
std::string returned(const json& parsed) {
  return latin1_to_octets(parsed["original"].get<std::string>());
}
bool says(const json& parsed, std::string_view text) {
  auto words = mail::unfold(parsed["text"].get<std::string>());
  return words.find(text) != std::string::npos;
}

// ---- who gets one

TEST(DsnRules, notify) {
  struct Case {
    mail::Notify notify;
    bool failure, delay, success;
  };
  for (const auto& [notify, failure, delay, success] : std::initializer_list<Case>{
           {{}, true, true, false},
           {{.given = true, .never = true}, false, false, false},
           {{.given = true, .success = true}, false, false, true},
           {{.given = true, .failure = true}, true, false, false},
           {{.given = true, .delay = true}, false, true, false},
           {{.given = true, .success = true, .failure = true, .delay = true}, true, true, true},
       }) {
    EXPECT_EQ(wants_dsn(notify, DsnEvent::failure), failure) << mail::to_string(notify);
    EXPECT_EQ(wants_dsn(notify, DsnEvent::delay), delay) << mail::to_string(notify);
    EXPECT_EQ(wants_dsn(notify, DsnEvent::success), success) << mail::to_string(notify);
  }
  const std::vector<mail::Notify> all{{}, {.given = true, .never = true}, {.given = true, .success = true}, {}};
  EXPECT_EQ(dsn_recipients(sender("a@b.test"), all, DsnEvent::failure), (std::vector<std::size_t>{0, 3}));
  EXPECT_EQ(dsn_recipients(sender("a@b.test"), all, DsnEvent::success), (std::vector<std::size_t>{2}));
  // LP-07: never to a null sender.
  EXPECT_TRUE(dsn_recipients({}, all, DsnEvent::failure).empty());
}

// ---- what it says

TEST(Dsn, a_failure) {
  auto r = report();
  r.envid = "QQ314 x";
  r.recipients[0].orcpt_type = "rfc822";
  r.recipients[0].orcpt = "Sales@FWD.test";
  r.help_url = "https://forward.test/help";
  const auto dsn = make_dsn(r);
  EXPECT_FALSE(dsn.smtputf8);
  EXPECT_FALSE(dsn.eight_bit);
  const auto parsed = parse(dsn);
  const auto& header = parsed["header"];
  EXPECT_EQ(value(header, "From"), "Mail Delivery System <postmaster@mx.forward.test>");
  EXPECT_NE(dsn.content.find("\r\nTo: <carol@origin.test>\r\n"), std::string::npos);
  EXPECT_EQ(value(header, "Subject"), "Your message could not be delivered");
  EXPECT_EQ(value(header, "Auto-Submitted"), "auto-replied");
  EXPECT_EQ(value(header, "References"), "<1@origin.test>");
  EXPECT_EQ(value(header, "Message-ID"), "<UNIQUE.dsn@mx.forward.test>");
  EXPECT_EQ(value(header, "Date"), "Fri, 15 Jan 2027 08:01:40 +0000");
  EXPECT_EQ(value(header, "MIME-Version"), "1.0");
  EXPECT_EQ(parsed["types"], json({"text/plain", "message/delivery-status", "text/rfc822-headers"}));
  EXPECT_EQ(parsed["encodings"], json({"7bit", "7bit", "7bit"}));

  const auto& message = parsed["status"][0];
  EXPECT_EQ(value(message, "Reporting-MTA"), "dns; mx.forward.test");
  EXPECT_EQ(value(message, "Original-Envelope-Id"), "QQ314 x");
  EXPECT_EQ(value(message, "Arrival-Date"), "Fri, 15 Jan 2027 08:00:00 +0000");
  ASSERT_EQ(parsed["status"].size(), 2U);
  const auto& recipient = parsed["status"][1];
  EXPECT_EQ(value(recipient, "Original-Recipient"), "rfc822; Sales@FWD.test");
  EXPECT_EQ(value(recipient, "Final-Recipient"), "rfc822; sales@fwd.test");
  EXPECT_EQ(value(recipient, "Action"), "failed");
  EXPECT_EQ(value(recipient, "Status"), "5.1.1");
  EXPECT_EQ(value(recipient, "Diagnostic-Code"), "smtp; 550 5.1.1 <sales@fwd.test> unknown");
  EXPECT_EQ(value(recipient, "Last-Attempt-Date"), "Fri, 15 Jan 2027 08:01:00 +0000");
  EXPECT_EQ(value(recipient, "Final-Log-ID"), "abcdefghij-1");
  EXPECT_TRUE(values(recipient, "Remote-MTA").empty());
  EXPECT_TRUE(values(recipient, "Will-Retry-Until").empty());

  EXPECT_TRUE(says(parsed, "This is the mail server mx.forward.test."));
  EXPECT_TRUE(says(parsed, "could not be delivered to: <sales@fwd.test>"));
  EXPECT_TRUE(says(parsed, "The receiving server refused it and said: 550 5.1.1 <sales@fwd.test> unknown"));
  EXPECT_TRUE(says(parsed, "What to do: The address does not exist there"));
  EXPECT_TRUE(says(parsed, "with this reference: abcdefghij-1"));
  EXPECT_TRUE(says(parsed, "https://forward.test/help"));
  EXPECT_TRUE(says(parsed, "The header of your message is attached."));
  EXPECT_EQ(returned(parsed), std::string(kHeader));
}

TEST(Dsn, each_action_and_cause) {
  auto r = report();
  r.recipients.clear();
  const auto add = [&r](std::string address, DsnAction action, mail::EnhancedCode status) -> DsnRecipient& {
    auto recipient = refused(std::move(address));
    recipient.action = action;
    recipient.status = status;
    r.recipients.push_back(std::move(recipient));
    return r.recipients.back();
  };
  add("refused@fwd.test", DsnAction::failed, {5, 7, 1}).from_peer = false;
  add("maybe@fwd.test", DsnAction::failed, {5, 4, 2}).cause = DsnCause::maybe_delivered;
  add("expired@fwd.test", DsnAction::failed, {4, 4, 1}).cause = DsnCause::expired;
  auto& silent = add("silent@fwd.test", DsnAction::failed, {5, 4, 7});
  silent.cause = DsnCause::expired;
  silent.reply.reset();
  silent.last_attempt.reset();
  add("late@fwd.test", DsnAction::delayed, {4, 4, 1}).retry_until = at(1'800'400'000);
  add("relayed@fwd.test", DsnAction::relayed, {2, 0, 0}).reply.reset();
  add("expanded@fwd.test", DsnAction::expanded, {5, 0, 0}).reply.reset();  // no class for it
  const auto parsed = parse(make_dsn(r));
  const std::vector<std::array<std::string, 3>> expected{
      {"rfc822; refused@fwd.test", "failed", "5.7.1"},    {"rfc822; maybe@fwd.test", "failed", "5.4.2"},
      {"rfc822; expired@fwd.test", "failed", "4.4.1"},    {"rfc822; silent@fwd.test", "failed", "5.4.7"},
      {"rfc822; late@fwd.test", "delayed", "4.4.1"},      {"rfc822; relayed@fwd.test", "relayed", "2.0.0"},
      {"rfc822; expanded@fwd.test", "expanded", "2.0.0"},
  };
  ASSERT_EQ(parsed["status"].size(), expected.size() + 1);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto& block = parsed["status"][i + 1];
    EXPECT_EQ(value(block, "Final-Recipient"), expected[i][0]);
    EXPECT_EQ(value(block, "Action"), expected[i][1]);
    EXPECT_EQ(value(block, "Status"), expected[i][2]);
  }
  EXPECT_TRUE(value(parsed["status"][1], "Diagnostic-Code").starts_with("x-onward; 550 "));
  EXPECT_EQ(value(parsed["status"][5], "Will-Retry-Until"), "Tue, 19 Jan 2027 23:06:40 +0000");
  // promise.md C.3.7: what may have arrived is said to.
  EXPECT_TRUE(says(parsed, "<maybe@fwd.test> The receiving server was given the whole message three times"));
  EXPECT_TRUE(says(parsed, "The message may have arrived, perhaps more than once."));
  EXPECT_TRUE(says(parsed, "<silent@fwd.test> We tried for as long as we do, and had no answer."));
  EXPECT_TRUE(says(parsed, "We go on trying until Tue, 19 Jan 2027 23:06:40 +0000."));
  EXPECT_TRUE(says(parsed, "was taken by the server of the recipient"));
  EXPECT_TRUE(says(parsed, "was passed on to the addresses behind this one"));
  EXPECT_EQ(value(parsed["header"], "Subject"), "Your message could not be delivered");
}

TEST(Dsn, subject) {
  const auto subject = [](std::vector<std::pair<DsnAction, DsnCause>> all) {
    auto r = report();
    r.recipients.clear();
    for (const auto& [action, cause] : all) {
      auto recipient = refused();
      recipient.action = action;
      recipient.cause = cause;
      r.recipients.push_back(recipient);
    }
    return value(parse(make_dsn(r))["header"], "Subject");
  };
  using A = DsnAction;
  using C = DsnCause;
  EXPECT_EQ(subject({{A::delayed, C::refused}}), "Your message is delayed");
  EXPECT_EQ(subject({{A::relayed, C::refused}}), "Your message was passed on");
  EXPECT_EQ(subject({{A::delayed, C::refused}, {A::failed, C::expired}}), "Your message could not be delivered");
  EXPECT_EQ(subject({{A::failed, C::maybe_delivered}}), "Your message may not have been delivered");
  EXPECT_EQ(subject({{A::failed, C::maybe_delivered}, {A::failed, C::refused}}), "Your message could not be delivered");
}

// LP-08: what is hidden is shown only where errors = "full" says so.
TEST(Dsn, hides_what_is_hidden) {
  auto r = report();
  r.recipients[0].revealed = DsnRevealed{"alice.private@hidden.test", "mx.hidden.test"};
  r.detail = DsnDetail::full;
  const auto full = make_dsn(r);
  const auto parsed = parse(full);
  EXPECT_EQ(value(parsed["status"][1], "Final-Recipient"), "rfc822; alice.private@hidden.test");
  EXPECT_EQ(value(parsed["status"][1], "Remote-MTA"), "dns; mx.hidden.test");
  EXPECT_TRUE(says(parsed, "<sales@fwd.test>, forwarded to <alice.private@hidden.test>"));
  // Given, but not to be shown: a caller's slip must not be the sender's gain.
  for (const auto detail : {DsnDetail::masked, DsnDetail::code_only}) {
    r.detail = detail;
    EXPECT_EQ(make_dsn(r).content.find("hidden"), std::string::npos);
  }
  r.detail = DsnDetail::code_only;
  const auto bare = parse(make_dsn(r));
  EXPECT_EQ(value(bare["status"][1], "Diagnostic-Code"), "smtp; 550 5.1.1");
  EXPECT_FALSE(says(bare, "unknown"));
}

TEST(Dsn, long_replies) {
  auto r = report();
  r.recipients[0].reply->lines.clear();
  for (int i = 0; i < 30; ++i)
    r.recipients[0].reply->lines.push_back(std::string(600, static_cast<char>('a' + i % 26)));
  const auto parsed = parse(make_dsn(r));
  const auto diagnostic = value(parsed["status"][1], "Diagnostic-Code");
  EXPECT_TRUE(diagnostic.starts_with("smtp; 550-5.1.1 aaaa"));
  EXPECT_LT(diagnostic.size(), 20U * 520);  // RFC 5321 §4.5.3.1.5, at most 20 lines
}

// ---- what comes back of the message

TEST(Dsn, the_whole_message_only_when_asked_for_and_failed_and_small) {
  const auto with = [](auto change) {
    auto r = report();
    r.ret = Ret::full;
    change(r);
    return parse(make_dsn(r));
  };
  const auto whole = std::string(kHeader) + "\r\n" + std::string(kBody);
  const auto full = with([](DsnReport&) {});
  EXPECT_EQ(full["types"][2], "message/rfc822");
  EXPECT_EQ(returned(full), whole);
  EXPECT_TRUE(says(full, "Your message is attached."));
  for (const auto ret : {Ret::unspecified, Ret::headers}) {
    EXPECT_EQ(with([ret](DsnReport& r) { r.ret = ret; })["types"][2], "text/rfc822-headers");
  }
  // RFC 3461 §4.3
  const auto delayed = with([](DsnReport& r) { r.recipients[0].action = DsnAction::delayed; });
  EXPECT_EQ(delayed["types"][2], "text/rfc822-headers");
  EXPECT_TRUE(says(delayed, "The header of your message is attached."));
  const auto absent = with([](DsnReport& r) { r.body = {}; });
  EXPECT_EQ(absent["types"][2], "text/rfc822-headers");
  EXPECT_TRUE(says(absent, "too large to be returned"));
}

TEST(Dsn, fifty_kilobytes_at_most) {
  for (const std::size_t more : {0U, 1U}) {
    auto r = report();
    r.ret = Ret::full;
    std::string body;
    while (kHeader.size() + 2 + body.size() < kMaxReturned - 80) body += std::string(70, 'x') + "\r\n";
    body += std::string(kMaxReturned + more - kHeader.size() - 2 - body.size() - 2, 'y') + "\r\n";
    r.body = body;
    r.size = kHeader.size() + 2 + body.size();
    ASSERT_EQ(r.size, kMaxReturned + more);
    const auto parsed = parse(make_dsn(r));
    EXPECT_EQ(parsed["types"][2], more == 0 ? "message/rfc822" : "text/rfc822-headers");
  }
  // A header above it is cut at a field.
  auto r = report();
  std::string header;
  for (int i = 0; header.size() < kMaxReturned + 5000; ++i) {
    header += "X-" + std::to_string(i) + ": some text\r\n\tfolded\r\n";
  }
  r.header = header;
  r.size = header.size() + 2;
  const auto back = returned(parse(make_dsn(r)));
  EXPECT_LE(back.size(), kMaxReturned);
  EXPECT_GT(back.size(), kMaxReturned - 50);
  EXPECT_TRUE(header.starts_with(back));
  EXPECT_TRUE(back.ends_with("folded\r\n"));
  const std::string one = "X: " + std::string(2 * kMaxReturned, 'x') + "\r\n";
  r.header = one;
  EXPECT_EQ(returned(parse(make_dsn(r))), "");
}

TEST(Dsn, eight_bit_originals) {
  const std::string utf8_header = std::string(kHeader) + "X-Name: J\xc3\xbcrgen\r\n";
  const std::string latin1_header = std::string(kHeader) + "X-Name: J\xfcrgen\r\n";
  const std::string long_line = std::string(kHeader) + "X-Long: " + std::string(1500, 'x') + "\r\n";
  const std::string eight_body =
      "Gr\xfc\xdf"
      "e\r\n";
  struct Case {
    std::string header, body;
    Ret ret;
    std::string type, encoding;
  };
  const std::vector<Case> cases{
      {utf8_header, "", Ret::headers, "message/global-headers", "quoted-printable"},
      {latin1_header, "", Ret::headers, "text/rfc822-headers", "quoted-printable"},
      {long_line, "", Ret::headers, "text/rfc822-headers", "quoted-printable"},
      {std::string(kHeader), eight_body, Ret::full, "message/rfc822", "8bit"},
      {utf8_header, eight_body, Ret::full, "message/global", "base64"},
      {latin1_header, eight_body, Ret::full, "text/rfc822-headers", "quoted-printable"},
      {long_line, eight_body, Ret::full, "text/rfc822-headers", "quoted-printable"},
      {std::string(kHeader), "no line end", Ret::full, "message/rfc822", "7bit"},
      {"", "", Ret::headers, "text/rfc822-headers", "7bit"},
  };
  for (const auto& each : cases) {
    auto r = report();
    r.header = each.header;
    r.body = each.body;
    r.size = each.header.size() + 2 + each.body.size();
    r.ret = each.ret;
    const auto parsed = parse(make_dsn(r));
    EXPECT_EQ(parsed["types"][2], each.type);
    EXPECT_EQ(parsed["encodings"][2], each.encoding) << each.type;
    const bool whole = each.type == "message/rfc822" || each.type == "message/global";
    EXPECT_EQ(returned(parsed), whole ? each.header + "\r\n" + each.body : each.header) << each.type;
  }
}

// RFC 6533: in ASCII as long as the sender's own address is, in UTF-8 where it is not.
TEST(Dsn, addresses_that_are_not_ascii) {
  const std::string address = "j\xc3\xbcrgen+x@fwd.test";
  auto r = report();
  r.recipients[0] = refused(address);
  r.recipients[0].orcpt_type = "utf-8";
  r.recipients[0].orcpt = address;
  const auto ascii = make_dsn(r);
  EXPECT_FALSE(ascii.smtputf8);
  EXPECT_FALSE(ascii.eight_bit);
  auto parsed = parse(ascii);
  EXPECT_EQ(parsed["types"][1], "message/delivery-status");
  EXPECT_EQ(value(parsed["status"][1], "Final-Recipient"), R"(utf-8; j\x{FC}rgen\x{2B}x@fwd.test)");
  EXPECT_EQ(value(parsed["status"][1], "Original-Recipient"), R"(utf-8; j\x{FC}rgen\x{2B}x@fwd.test)");
  EXPECT_TRUE(says(parsed, "<" + address + ">"));

  r.sender = sender("\xc3\xa9ric@origin.test");
  const auto utf8 = make_dsn(r);
  EXPECT_TRUE(utf8.smtputf8);
  EXPECT_TRUE(utf8.eight_bit);
  EXPECT_NE(utf8.content.find("\r\nTo: <\xc3\xa9ric@origin.test>\r\n"), std::string::npos);
  parsed = parse(utf8);
  EXPECT_EQ(parsed["types"][1], "message/global-delivery-status");
  EXPECT_EQ(value(parsed["status"][1], "Final-Recipient"), "utf-8; " + address);
  EXPECT_EQ(parsed["encodings"], json({"8bit", "8bit", "7bit"}));
}

TEST(Dsn, a_message_id_is_referred_to_only_when_it_is_one) {
  for (const std::string_view field :
       {"Message-ID: 1@origin.test\r\n", "Message-ID: <a b@c>\r\n", "Message-ID: <a@b> <c@d>\r\n", "Message-ID:\r\n",
        "Message-ID: <nothing>\r\n", "Message-ID: <\xc3\xa9@b>\r\n", "X: y\r\n", ""}) {
    auto r = report();
    r.header = field;
    EXPECT_TRUE(values(parse(make_dsn(r))["header"], "References").empty()) << field;
  }
  auto r = report();
  const std::string folded = "message-id:\r\n <1.2=3@origin.test>\r\n";
  r.header = folded;
  EXPECT_EQ(value(parse(make_dsn(r))["header"], "References"), "<1.2=3@origin.test>");
}

// Real messages of some 70 mail systems (GUIDE.md §2, dsn-bounces) come back in a report as they were.
TEST(Conformance, dsn_bounces_as_originals) {
  const std::filesystem::path folder = ONWARD_CONFORMANCE "/dsn-bounces/eml";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no conformance data";
  std::vector<std::string> messages;
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder)) {
    if (file.path().extension() != ".eml") continue;
    std::ifstream in(file.path(), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    std::string wire;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\r' || text[i] == '\0') continue;
      if (text[i] == '\n') wire += '\r';
      wire += text[i];
    }
    if (wire.find("\r\n\r\n") != std::string::npos) messages.push_back(std::move(wire));
  }
  ASSERT_GT(messages.size(), 500U);
  std::vector<Dsn> dsns;
  for (const auto& message : messages) {
    auto r = report();
    const auto end = message.find("\r\n\r\n") + 2;
    r.header = std::string_view(message).substr(0, end);
    r.body = std::string_view(message).substr(end + 2);
    r.size = message.size();
    r.ret = Ret::full;
    dsns.push_back(make_dsn(r));
  }
  const auto parsed = parse(dsns);
  std::size_t whole = 0;
  for (std::size_t i = 0; i < dsns.size(); ++i) {
    const auto back = returned(parsed[i]);
    if (says(parsed[i], "Your message is attached.")) {
      ++whole;
      EXPECT_EQ(back, messages[i]);
    } else {
      EXPECT_TRUE(messages[i].starts_with(back + "\r\n"));
    }
  }
  EXPECT_GT(whole, 500U);
}

// ---- hostile octets

std::string hostile(core::Random& random, std::size_t most) {
  constexpr std::array<std::string_view, 18> kPieces{"\r\n",
                                                     "\r\n\r\n",
                                                     "\n",
                                                     "\r",
                                                     std::string_view("\0", 1),
                                                     "--onward-UNIQUE-0",
                                                     "--onward-UNIQUE-1--",
                                                     "\r\nAction: delivered\r\n",
                                                     "\x1b[2J",
                                                     "\xff\xfe",
                                                     "\xc3\xa9",
                                                     "\xe2\x80\xa8",
                                                     " ",
                                                     "\t",
                                                     "=?utf-8?q?=0d=0a?=",
                                                     ".",
                                                     "<>,;\"\\",
                                                     "Content-Type: text/html"};
  std::string out;
  while (out.size() < most) {
    switch (random.below(3)) {
      case 0:
        out += kPieces[random.below(kPieces.size())];
        break;
      case 1:
        out += static_cast<char>(random.below(256));
        break;
      default:
        out.append(random.below(40), static_cast<char>('a' + random.below(26)));
    }
    if (random.below(12) == 0) break;
  }
  return out;
}

// Whatever stands in them: one message of three parts, one block a recipient, one field a name, and no octet that is
// not announced.
TEST(Dsn, hostile_octets_break_nothing) {
  core::SeededRandom random(7);
  std::vector<Dsn> dsns;
  std::vector<std::size_t> recipients;
  for (int i = 0; i < 400; ++i) {
    DsnReport r = report();
    r.envid = random.below(2) == 0 ? hostile(random, 100) : "";
    r.trace = hostile(random, random.below(20) == 0 ? 3000 : 20);
    r.hostname = random.below(4) == 0 ? "mx" + hostile(random, 20) : "mx.forward.test";
    r.unique = random.below(2) == 0 ? hostile(random, 30) : "UNIQUE";
    r.help_url = hostile(random, 60);
    const auto utf8 = random.below(3) == 0;
    r.sender.mailbox = {utf8 ? "\xc3\xa9" : hostile(random, 30), "origin.test"};
    r.ret = static_cast<Ret>(random.below(3));
    r.detail = static_cast<DsnDetail>(random.below(3));
    const auto header =
        random.below(2) == 0 ? std::string(kHeader) + "X: " + hostile(random, 300) + "\r\n" : hostile(random, 2000);
    const auto body = hostile(random, 3000);
    r.header = header;
    r.body = body;
    r.size = header.size() + 2 + body.size() + random.below(2);
    r.recipients.clear();
    for (auto left = 1 + random.below(4); left > 0; --left) {
      DsnRecipient recipient;
      recipient.address = hostile(random, 3000);
      recipient.orcpt_type = random.below(2) == 0 ? "rfc822" : hostile(random, 10);
      recipient.orcpt = random.below(2) == 0 ? hostile(random, 400) : "";
      recipient.action = static_cast<DsnAction>(random.below(4));
      recipient.cause = static_cast<DsnCause>(random.below(3));
      recipient.status = {static_cast<std::uint16_t>(random.below(6)), static_cast<std::uint16_t>(random.below(9)), 0};
      if (random.below(4) != 0) {
        recipient.reply = mail::Reply(550, recipient.status, hostile(random, 600));
        recipient.reply->lines.push_back(hostile(random, 2000));
      }
      recipient.from_peer = random.below(2) == 0;
      if (random.below(2) == 0) recipient.revealed = DsnRevealed{hostile(random, 100), hostile(random, 50)};
      recipient.last_attempt = at(static_cast<std::int64_t>(random.below(9'000'000'000)));
      r.recipients.push_back(recipient);
    }
    recipients.push_back(r.recipients.size());
    dsns.push_back(make_dsn(r));
  }
  const auto parsed = parse(dsns);
  for (std::size_t i = 0; i < dsns.size(); ++i) {
    if (parsed[i].is_null()) continue;  // said already
    EXPECT_EQ(parsed[i]["status"].size(), recipients[i] + 1) << dsns[i].content;
    EXPECT_EQ(values(parsed[i]["header"], "Subject").size(), 1U);
    EXPECT_EQ(values(parsed[i]["header"], "Content-Type").size(), 1U);
  }
}

}  // namespace
}  // namespace queue
