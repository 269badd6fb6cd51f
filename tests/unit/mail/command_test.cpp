#include "mail/command.hpp"

#include <gtest/gtest.h>

#include <set>

#include "mail/jsonl.hpp"

namespace mail {
namespace {

using namespace std::string_literals;

const CommandContext kEhlo{.extended = true, .offered_requiretls = true};

std::variant<Command, CommandError> parse(std::string_view line, const CommandContext& context = kEhlo) {
  return parse_command(line, context);
}

// The command, which must be of type C.
template <class C>
C get(std::string_view line, const CommandContext& context = kEhlo) {
  const auto parsed = parse(line, context);
  const auto* command = std::get_if<Command>(&parsed);
  EXPECT_TRUE(command != nullptr && std::holds_alternative<C>(*command)) << line;
  return command != nullptr && std::holds_alternative<C>(*command) ? std::get<C>(*command) : C{};
}

// "501 5.5.4", with "close" after it when the connection must end; "ok" for a command.
std::string refusal(std::string_view line, const CommandContext& context = kEhlo) {
  const auto parsed = parse(line, context);
  const auto* error = std::get_if<CommandError>(&parsed);
  if (error == nullptr) return "ok";
  return std::to_string(error->reply.code) + " " + error->reply.enhanced.to_string() + (error->close ? " close" : "");
}

TEST(Command, verbs) {
  get<DataCommand>("DATA");
  get<DataCommand>("data  \t ");
  get<RsetCommand>("RsEt");
  get<QuitCommand>("QUIT ");
  get<StartTlsCommand>("StartTLS");
  get<NoopCommand>("NOOP");
  get<NoopCommand>("NOOP anything at all");
  get<HelpCommand>("HELP");
  get<HelpCommand>("help DATA");
  for (const auto* line : {"DATA now", "RSET x", "QUIT x", "STARTTLS x"}) EXPECT_EQ(refusal(line), "501 5.5.4") << line;
  for (const auto* line : {"", " ", " NOOP", "\tNOOP", "X", "DATA_", "NOOPX", "\x01", "MAILFROM<a@b>", "\xff\xfe"}) {
    EXPECT_EQ(refusal(line), "500 5.5.2") << line;
  }
}

TEST(Command, helo) {
  EXPECT_EQ(get<HeloCommand>("HELO a.example").domain, "a.example");
  EXPECT_FALSE(get<HeloCommand>("HELO a.example").extended);
  EXPECT_TRUE(get<HeloCommand>("ehlo [IPv6:::1]").extended);
  EXPECT_EQ(get<HeloCommand>("EHLO  my pc_1 ").domain, "my pc_1") << "kept as given";
  EXPECT_EQ(refusal("HELO"), "501 5.5.4");
  EXPECT_EQ(refusal("EHLO "), "501 5.5.4");
  EXPECT_EQ(refusal("EHLO a\x01"), "501 5.5.4");
}

TEST(Command, mail_with_all_parameters) {
  const auto mail =
      get<MailCommand>("MAIL FROM:<a@x.org> SIZE=12345 BODY=8BITMIME SMTPUTF8 REQUIRETLS RET=HDRS ENVID=QQ+2B314 ");
  EXPECT_EQ(mail.from.to_string(), "a@x.org");
  EXPECT_EQ(mail.size, 12345U);
  EXPECT_EQ(mail.body, Body::eight_bit);
  EXPECT_TRUE(mail.smtputf8);
  EXPECT_TRUE(mail.requiretls);
  EXPECT_EQ(mail.ret, MailCommand::Ret::headers);
  EXPECT_EQ(mail.envid, "QQ+314");
  const auto plain = get<MailCommand>("mail from: <>");
  EXPECT_TRUE(plain.from.null());
  EXPECT_FALSE(plain.size.has_value());
  EXPECT_EQ(plain.body, Body::unspecified);
  EXPECT_EQ(get<MailCommand>("MAIL FROM:<> body=7bit ret=full").ret, MailCommand::Ret::full);
}

TEST(Command, mail_syntax) {
  EXPECT_EQ(get<MailCommand>("MAIL  FROM:<@a,@b:u@d>").from.to_string(), "u@d");
  EXPECT_EQ(get<MailCommand>(R"(MAIL FROM:<"@a,@b:<user>"@d>)").from.mailbox.unquoted_local(), "@a,@b:<user>");
  EXPECT_EQ(get<MailCommand>(R"(MAIL FROM:<"a\">b"@d> SIZE=1)").size, 1U);
  for (const auto* line : {"MAIL", "MAIL ", "MAIL FROM", "MAIL TO:<a@b>", "MAIL FROM <a@b>", "MAIL FROM :<a@b>"}) {
    EXPECT_EQ(refusal(line), "501 5.5.4") << line;
  }
  for (const auto* line : {"MAIL FROM:", "MAIL FROM:a@b", "MAIL FROM:<a@b", "MAIL FROM:<a@b>x", "MAIL FROM:<a>",
                           "MAIL FROM:<a@b>>", "MAIL FROM:<a b@c>", "MAIL FROM:<\"a@b>", "MAIL FROM:< >"}) {
    EXPECT_EQ(refusal(line), "501 5.1.7") << line;
  }
}

TEST(Command, rcpt) {
  const auto rcpt = get<RcptCommand>("RCPT TO:<b@y.org> NOTIFY=success,Delay ORCPT=rfc822;Bob+2Bx@Example.COM");
  EXPECT_EQ(rcpt.to.to_string(), "b@y.org");
  EXPECT_EQ(rcpt.notify, (Notify{.given = true, .success = true, .delay = true}));
  EXPECT_EQ(rcpt.orcpt_type, "rfc822");
  EXPECT_EQ(rcpt.orcpt, "Bob+x@Example.COM");
  EXPECT_TRUE(get<RcptCommand>("RCPT TO:<b@y> NOTIFY=NEVER").notify.never);
  EXPECT_TRUE(get<RcptCommand>("RCPT TO:<PostMaster>").to.is_bare_postmaster());
  EXPECT_EQ(get<RcptCommand>(R"(RCPT TO:<b@y> ORCPT=utf-8;\x{E9}t\x{1F600}@y)").orcpt, "\xc3\xa9t\xf0\x9f\x98\x80@y");
  EXPECT_EQ(refusal("RCPT TO:<>"), "501 5.1.3");
  EXPECT_EQ(refusal("RCPT TO:<u@us>@t"), "501 5.1.3");
  EXPECT_EQ(refusal("RCPT TO:u@us"), "501 5.1.3");
  EXPECT_EQ(refusal("RCPT FROM:<u@us>"), "501 5.5.4");
  EXPECT_EQ(refusal("RCPT"), "501 5.5.4");
}

TEST(Threats, RL_06_parameters) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"MAIL FROM:<> SIZE=1 SIZE=1", "501 5.5.4"},
      {"MAIL FROM:<> size=1 SIZE=2", "501 5.5.4"},
      {"MAIL FROM:<> RET=HDRS RET=FULL", "501 5.5.4"},
      {"RCPT TO:<a@b> NOTIFY=NEVER NOTIFY=NEVER", "501 5.5.4"},
      {"MAIL FROM:<> SIZE", "501 5.5.4"},
      {"MAIL FROM:<> SIZE=", "501 5.5.4"},
      {"MAIL FROM:<> SIZE=-1", "501 5.5.4"},
      {"MAIL FROM:<> SIZE=+1", "501 5.5.4"},
      {"MAIL FROM:<> SIZE=1x", "501 5.5.4"},
      {"MAIL FROM:<> SIZE=123456789012345678901", "501 5.5.4"},
      {"MAIL FROM:<> SIZE=1=2", "501 5.5.4"},
      {"MAIL FROM:<> =1", "501 5.5.4"},
      {"MAIL FROM:<> -X=1", "501 5.5.4"},
      {"MAIL FROM:<> X_Y=1", "501 5.5.4"},
      {"MAIL FROM:<> BODY=BINARYMIME", "555 5.5.4"},
      {"MAIL FROM:<> BODY=9BIT", "501 5.5.4"},
      {"MAIL FROM:<> BODY", "501 5.5.4"},
      {"MAIL FROM:<> SMTPUTF8=YES", "501 5.5.4"},
      {"MAIL FROM:<> REQUIRETLS=1", "501 5.5.4"},
      {"MAIL FROM:<> RET=NONE", "501 5.5.4"},
      {"MAIL FROM:<> ENVID=", "501 5.5.4"},
      {"MAIL FROM:<> ENVID=a+00b", "501 5.5.4"},
      {"MAIL FROM:<> ENVID=a+0D+0Ab", "501 5.5.4"},
      {"MAIL FROM:<> ENVID=a+4", "501 5.5.4"},
      {"MAIL FROM:<> ENVID=a+zz", "501 5.5.4"},
      {"MAIL FROM:<> ENVID=" + std::string(101, 'a'), "501 5.5.4"},
      {"RCPT TO:<a@b> ORCPT=rfc822;a+0D+0Ab", "501 5.5.4"},
      {"RCPT TO:<a@b> ORCPT=rfc822;" + std::string(500, 'a'), "501 5.5.4"},
      {"RCPT TO:<a@b> ORCPT=rfc822", "501 5.5.4"},
      {"RCPT TO:<a@b> ORCPT=;x", "501 5.5.4"},
      {"RCPT TO:<a@b> ORCPT=rfc822;", "501 5.5.4"},
      {R"(RCPT TO:<a@b> ORCPT=utf-8;\x{D800})", "501 5.5.4"},
      {R"(RCPT TO:<a@b> ORCPT=utf-8;\x{110000})", "501 5.5.4"},
      {R"(RCPT TO:<a@b> ORCPT=utf-8;\x{A})", "501 5.5.4"},
      {R"(RCPT TO:<a@b> ORCPT=utf-8;\x{}x)", "501 5.5.4"},
      {R"(RCPT TO:<a@b> ORCPT=utf-8;\x{41)", "501 5.5.4"},
      {R"(RCPT TO:<a@b> ORCPT=utf-8;\q)", "501 5.5.4"},
      {"RCPT TO:<a@b> NOTIFY=NEVER,DELAY", "501 5.5.4"},
      {"RCPT TO:<a@b> NOTIFY=", "501 5.5.4"},
      {"RCPT TO:<a@b> NOTIFY=SUCCESS,", "501 5.5.4"},
      {"RCPT TO:<a@b> NOTIFY=ALWAYS", "501 5.5.4"},
      {"MAIL FROM:<> AUTH=<>", "555 5.5.4"},
      {"MAIL FROM:<> AUTH=" + std::string(1500, 'a'), "555 5.5.4"},
      {"MAIL FROM:<> NOTIFY=NEVER", "555 5.5.4"},
      {"RCPT TO:<a@b> SIZE=1", "555 5.5.4"},
      {"MAIL FROM:<> UNKNOWN", "555 5.5.4"},
  };
  for (const auto& [line, expected] : rows) EXPECT_EQ(refusal(line), expected) << line;
  // At the limits.
  EXPECT_EQ(get<MailCommand>("MAIL FROM:<> SIZE=18446744073709551615").size, UINT64_MAX);
  EXPECT_EQ(get<MailCommand>("MAIL FROM:<> SIZE=99999999999999999999").size, UINT64_MAX) << "20 digits: too big, legal";
  EXPECT_EQ(get<MailCommand>("MAIL FROM:<> ENVID=" + std::string(100, 'a')).envid.size(), 100U);
}

TEST(Command, parameters_need_their_extension) {
  EXPECT_EQ(refusal("MAIL FROM:<> SIZE=1", {}), "555 5.5.4");
  EXPECT_EQ(refusal("RCPT TO:<a@b> NOTIFY=NEVER", {}), "555 5.5.4");
  EXPECT_EQ(refusal("MAIL FROM:<>", {}), "ok");
  EXPECT_EQ(refusal("MAIL FROM:<> REQUIRETLS", {.extended = true}), "555 5.5.4");
  EXPECT_EQ(refusal("MAIL FROM:<> RET=FULL", {.extended = true}), "ok") << "DSN parameters are always parsed";
}

TEST(Threats, SM_10_bdat_sizes) {
  EXPECT_EQ(get<BdatCommand>("BDAT 5").size, 5U);
  EXPECT_FALSE(get<BdatCommand>("BDAT 5").last);
  EXPECT_TRUE(get<BdatCommand>("bdat 0 last ").last);
  EXPECT_EQ(get<BdatCommand>("BDAT 0").size, 0U);
  EXPECT_EQ(get<BdatCommand>("BDAT 9223372036854775807").size, 9223372036854775807U);
  for (const auto* line :
       {"BDAT", "BDAT ", "BDAT LAST", "BDAT -1", "BDAT +1", "BDAT 5 LASTX", "BDAT 5 LAST LAST", "BDAT 5 x",
        "BDAT 5LAST", "BDAT 0x5", "BDAT 9223372036854775808", "BDAT 18446744073709551615", "BDAT 18446744073709551616",
        "BDAT 340282366920938463463374607431768211456", "BDAT 5.0"}) {
    EXPECT_EQ(refusal(line), "501 5.5.4") << line;
  }
}

TEST(Threats, SM_11_nul_and_line_ends_in_commands) {
  for (const auto& line : {"NOOP\0"s, "\0NOOP"s, "MAIL FROM:<a\0@b>"s, "NOOP\rRSET"s, "NOOP\nRSET"s, "NOOP\r"s}) {
    EXPECT_EQ(refusal(line), "500 5.5.2");
  }
}

TEST(Threats, RS_04_overlong_line) {
  EXPECT_EQ(refusal("NOOP " + std::string(kMaxCommandLine - 5, 'x')), "ok");
  EXPECT_EQ(refusal("NOOP " + std::string(kMaxCommandLine - 4, 'x')), "500 5.5.2");
}

TEST(Threats, SM_13_other_protocols_and_header_lines_end_the_connection) {
  for (const auto& line : {"GET / HTTP/1.1"s, "get /"s, "POST / HTTP/1.0"s, "PUT /x"s, "CONNECT a:25 HTTP/1.1"s,
                           "HEAD /"s, "OPTIONS * x"s, "PRI * HTTP/2.0"s, "\x16\x03\x01\x02\0\x01"s, "Subject: x"s,
                           "Subject:x"s, "From : a@b"s, "X-Y-1:"s, "Host: a"s, "Received: from x"s}) {
    EXPECT_EQ(refusal(line), "554 5.5.1 close") << line;
  }
  // Not these: commands with a colon, and plain nonsense.
  EXPECT_EQ(refusal("EHLO ::1"), "ok");
  EXPECT_EQ(refusal("NOOP :x"), "ok");
  EXPECT_EQ(refusal("GETX /"), "500 5.5.2");
}

TEST(Threats, SM_14_eight_bit_without_smtputf8) {
  EXPECT_EQ(refusal("MAIL FROM:<\xc3\xa9@x>"), "553 5.6.7");
  EXPECT_EQ(refusal("MAIL FROM:<a@\xc3\xa9> SIZE=1"), "553 5.6.7");
  EXPECT_EQ(refusal("RCPT TO:<\xc3\xa9@x>"), "553 5.6.7");
  EXPECT_EQ(refusal("RCPT TO:<a@x> ORCPT=utf-8;\xc3\xa9"), "553 5.6.7");
  EXPECT_EQ(refusal("VRFY \xc3\xa9"), "553 5.6.7");
  EXPECT_EQ(refusal("EHLO \xc3\xa9"), "501 5.5.4");
  EXPECT_EQ(refusal("NOOP \xc3\xa9"), "501 5.5.4");
  EXPECT_EQ(get<MailCommand>("MAIL FROM:<\xc3\xa9@x> SMTPUTF8").from.mailbox.local, "\xc3\xa9");
  EXPECT_EQ(refusal("MAIL FROM:<\xc3@x> SMTPUTF8"), "501 5.1.7") << "no UTF-8";
  auto utf8 = kEhlo;
  utf8.smtputf8 = true;
  EXPECT_EQ(get<RcptCommand>("RCPT TO:<\xc3\xa9@x>", utf8).to.mailbox.local, "\xc3\xa9");
  EXPECT_EQ(get<RcptCommand>("RCPT TO:<a@x> ORCPT=utf-8;\xc3\xa9", utf8).orcpt, "\xc3\xa9");
  EXPECT_EQ(get<VrfyCommand>("VRFY \xc3\xa9 SMTPUTF8").argument, "\xc3\xa9");
}

TEST(Threats, RL_14_known_but_not_implemented) {
  EXPECT_EQ(get<VrfyCommand>("VRFY someone").argument, "someone");
  EXPECT_EQ(refusal("VRFY"), "501 5.5.4");
  for (const auto* line : {"EXPN list", "ETRN x", "TURN", "SEND FROM:<a@b>", "SOML FROM:<a@b>", "SAML FROM:<a@b>",
                           "AUTH PLAIN x", "XCLIENT NAME=x", "xforward ADDR=x", "ATRN x", "BURL x"}) {
    const auto verb = get<UnimplementedCommand>(line).verb;
    EXPECT_EQ(verb, std::string(line).substr(0, verb.size()));
  }
}

TEST(Xtext, both_ways) {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  const auto encoded = encode_xtext(all);
  for (const char c : encoded) EXPECT_TRUE(c > ' ' && c <= '~' && c != '=');
  EXPECT_EQ(decode_xtext(encoded).value(), all);
  EXPECT_EQ(encode_xtext("a+b=c d"), "a+2Bb+3Dc+20d");
  EXPECT_EQ(decode_xtext("a+2bc").value(), "a+c");
  for (const auto* bad : {"+", "a+2", "+2", "+G0", "a b", "a=b", "\xc3\xa9", "+-1", "++2B"}) {
    EXPECT_FALSE(decode_xtext(bad)) << bad;
  }
}

// What is said of a recipient to the next server reads as what was said to us (RFC 3461 §4.1, §4.2; RFC 6533 §3).
TEST(Dsn, parameters_of_a_recipient_both_ways) {
  const std::vector<std::pair<std::string, std::string>> orcpts{
      {"rfc822;Bob+2Bx@Example.COM", ""},
      {"x400;/C+3DUS/+20S+3DJ/", ""},
      {R"(utf-8;\x{E9}t\x{1F600}@y)", ""},
      {R"(utf-8;a\x{2B}\x{3D}\x{5C}\x{20}b@y)", ""},
      {R"(UTF-8;plain@y)", ""},
      {R"(utf-8;\x{0041}@y)", "utf-8;A@y"},
      {"rfc822;" + std::string(493, 'a'), ""},
  };
  for (const auto& [said, differently] : orcpts) {
    const auto command = get<RcptCommand>("RCPT TO:<b@y> ORCPT=" + said);
    const auto again = encode_orcpt(command.orcpt_type, command.orcpt);
    EXPECT_EQ(again, differently.empty() ? said : differently);
    const auto repeated = get<RcptCommand>("RCPT TO:<b@y> ORCPT=" + again);
    EXPECT_EQ(repeated.orcpt_type, command.orcpt_type);
    EXPECT_EQ(repeated.orcpt, command.orcpt);
  }
  EXPECT_EQ(encode_orcpt("", "a@b"), "");
  EXPECT_EQ(encode_orcpt("rfc822", ""), "");
  EXPECT_EQ(encode_orcpt("utf-8", "\xff@b"), "");
  EXPECT_EQ(encode_orcpt("rfc822", std::string(494, 'a')), "");  // one octet above the limit
  EXPECT_EQ(encode_orcpt("rfc822", "a\r\nRCPT"), "rfc822;a+0D+0ARCPT");
  for (const std::string said : {"NEVER", "SUCCESS", "FAILURE", "DELAY", "SUCCESS,FAILURE,DELAY", "FAILURE,DELAY"}) {
    EXPECT_EQ(to_string(get<RcptCommand>("RCPT TO:<b@y> NOTIFY=" + said).notify), said);
  }
  EXPECT_EQ(to_string(get<RcptCommand>("RCPT TO:<b@y>").notify), "");
}

// GUIDE.md §2.6: ok:false must get 5xx; ok:true must parse, except parameters of extensions not offered. Our own rules
// take precedence in two places: RCPT has no null path (RFC 5321 §4.1.1.3), so its parameters are tried with another
// path; and a parameter given twice is refused (RL-06).
TEST(Conformance, smtp_commands_stalwart) {
  const auto cases = read_jsonl("smtp-commands/stalwart-commands.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no conformance data";
  int parsed_well = 0;
  for (const auto& each : cases) {
    auto line = each["line"].get<std::string>();
    const bool good = each["ok"].get<bool>();
    if (good && line.starts_with("RCPT TO:<>")) line.replace(8, 2, "<a@b>");
    const auto parsed = parse(line);
    const auto* error = std::get_if<CommandError>(&parsed);
    if (error == nullptr) {
      // What is not implemented is answered 502 by the session.
      const bool unimplemented = std::holds_alternative<UnimplementedCommand>(std::get<Command>(parsed));
      EXPECT_TRUE(good || unimplemented) << line;
      parsed_well += good ? 1 : 0;
      if (good && each.contains("address") && each["address"] != "" && each["verb"] == "Mail") {
        const auto& from = std::get<MailCommand>(std::get<Command>(parsed)).from.mailbox;
        EXPECT_EQ(from.unquoted_local() + "@" + from.domain, each["address"].get<std::string>());
      }
      continue;
    }
    EXPECT_TRUE(error->reply.permanent()) << line;
    if (!good) continue;
    std::set<std::string> keywords;
    bool twice = false;
    std::istringstream words(line);
    for (std::string word; words >> word;) twice |= !keywords.insert(word.substr(0, word.find('='))).second;
    EXPECT_TRUE(error->reply.code == 555 || twice) << line << " " << error->reply.to_log();
  }
  EXPECT_GT(parsed_well, 30);
}

}  // namespace
}  // namespace mail
