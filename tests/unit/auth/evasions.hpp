// From fields that show different authors to different readers (threats RL-15): espoofer's A1 to A18, "Composition
// Kills", Mailsploit and their kin. The message says bank.example somewhere; it is sent and signed by evil.example. It
// must never be a DMARC pass under p=reject, and never be read as a domain that some reader would not show.
#pragma once

#include <string>
#include <vector>

namespace evasions {

struct Evasion {
  const char* name;
  std::string header;
  // evils: read as evil.example alone, whose own mail it is; banks: bank.example is among those who are read;
  // nobodys: read, but no domain that has a policy.
  enum Expect { refused, evils, banks, nobodys } expect = refused;
};

inline std::string longest_name() {
  std::string name(60, 'a');
  for (int i = 0; i < 3; ++i) name += "." + std::string(60, 'a');
  return name;
}

inline std::string many_mailboxes(int count) {
  std::string list;
  for (int i = 0; i < count; ++i) list += (i == 0 ? "b" : ", b") + std::to_string(i) + "@bank.example";
  return list;
}

inline std::vector<Evasion> all() {
  using namespace std::string_literals;
  return {
      {"two From fields", "From: a@evil.example\r\nFrom: b@bank.example\r\n"},
      {"two From fields, the other way", "From: b@bank.example\r\nFrom: a@evil.example\r\n"},
      {"two From fields in odd case", "From: b@bank.example\r\nfROM: a@evil.example\r\n"},
      {"blank before the colon", "From : b@bank.example\r\nFrom: a@evil.example\r\n"},
      {"folded first line", " From: b@bank.example\r\nFrom: a@evil.example\r\n"},
      {"name folded from its colon", "From\r\n : b@bank.example\r\nFrom: a@evil.example\r\n"},
      {"NUL in the name", "From\0: b@bank.example\r\nFrom: a@evil.example\r\n"s},
      {"no From, but Sender", "Sender: a@evil.example\r\n"},
      {"no From, but Resent-From", "Resent-From: b@bank.example\r\nSender: a@evil.example\r\n"},
      {"From with Sender", "From: b@bank.example\r\nSender: a@evil.example\r\n", Evasion::banks},
      {"two mailboxes", "From: b@bank.example, a@evil.example\r\n", Evasion::banks},
      {"two bracketed mailboxes", "From: <a@evil.example>, <b@bank.example>\r\n", Evasion::banks},
      {"two brackets without a comma", "From: <a@evil.example> <b@bank.example>\r\n"},
      {"address before the brackets", "From: b@bank.example <a@evil.example>\r\n"},
      {"address after the brackets", "From: <a@evil.example> b@bank.example\r\n"},
      {"address after the brackets, joined", "From: <a@evil.example>b@bank.example\r\n"},
      {"route", "From: <@evil.example,@any.example:b@bank.example>\r\n"},
      {"route to evil", "From: <@bank.example:a@evil.example>\r\n"},
      {"group", "From: x: b@bank.example, a@evil.example;\r\n", Evasion::banks},
      {"group named like an address", "From: b@bank.example: a@evil.example;\r\n"},
      {"group without its end", "From: x:<a@evil.example>\r\n"},
      {"group in a group", "From: x: y: a@evil.example;;\r\n"},
      {"text after a group", "From: x: a@evil.example; b@bank.example\r\n"},
      {"comment that holds an address", "From: a@evil.example (<b@bank.example>)\r\n"},
      {"comment that closes nothing", "From: <b@bank.example(>a@evil.example\r\n"},
      {"comment in the address", "From: <b@bank.example(.evil.example)>\r\n"},
      {"comment around the at sign", "From: a(x)@evil.example\r\n"},
      {"comment that never ends", "From: a@evil.example (b@bank.example\r\n"},
      {"comment with a list in it", "From: a@evil.example (, b@bank.example, )\r\n"},
      {"quoted string that never ends", "From: \"b@bank.example <a@evil.example>\r\n"},
      {"quoted string with escapes", "From: \"x\\\" <b@bank.example>, \\\"\" <a@evil.example>\r\n"},
      {"half a character eats the backslash", "From: \"\xb1\\\" y\" <a@evil.example>\r\n"},
      {"quoted local part with an address", "From: \"b@bank.example\"@evil.example\r\n"},
      {"quoted local part with brackets", "From: \"<b>\"@evil.example\r\n"},
      {"escaped comma", "From: b@bank.example\\, a@evil.example\r\n"},
      {"stray comma", "From: , a@evil.example\r\n"},
      {"comma at the end", "From: a@evil.example,\r\n"},
      {"semicolon between", "From: b@bank.example; a@evil.example\r\n"},
      {"blank between", "From: b@bank.example a@evil.example\r\n"},
      {"two at signs", "From: b@bank.example@evil.example\r\n"},
      {"two at signs, bracketed", "From: <b@bank.example@evil.example>\r\n"},
      {"no at sign", "From: bank.example\r\n"},
      {"empty brackets", "From: b@bank.example <>\r\n"},
      {"empty brackets alone", "From: <>\r\n"},
      {"nested brackets", "From: <<b@bank.example>a@evil.example>\r\n"},
      {"blank in the address", "From: <b@bank.example a@evil.example>\r\n"},
      {"blank before the at sign", "From: b @bank.example\r\n"},
      {"blank before a dot", "From: b@bank .example\r\n"},
      {"dot at the end of the domain", "From: b@bank.example.\r\n"},
      {"dot at the end of the local part", "From: b.@bank.example\r\n"},
      {"no domain", "From: b@\r\n"},
      {"no local part", "From: @bank.example\r\n"},
      {"encoded whole address", "From: =?utf-8?b?YkBiYW5rLmV4YW1wbGU=?=\r\n"},
      {"encoded address before a comma", "From: =?utf-8?b?PGJAYmFuay5leGFtcGxlPg==?=, <a@evil.example>\r\n"},
      {"encoded word with an at sign", "From: =?utf-8?q?b@bank.example?= <a@evil.example>\r\n"},
      {"encoded local part (Mailsploit)", "From: =?utf-8?b?YkBiYW5rLmV4YW1wbGUA?=@evil.example\r\n"},
      {"encoded local part, bracketed", "From: <=?utf-8?q?b=40bank.example=00?=@evil.example>\r\n"},
      {"encoded domain", "From: b@=?utf-8?q?bank.example?=\r\n"},
      {"encoded name", "From: =?utf-8?b?YmFuay5leGFtcGxl?= <a@evil.example>\r\n", Evasion::evils},
      {"control in the name", "From: b@bank.example\x01 <a@evil.example>\r\n"},
      {"DEL in the domain", "From: b@bank.example\x7f.evil.example\r\n"},
      {"tab in the domain", "From: b@bank.example\t.evil.example\r\n"},
      {"folded domain", "From: b@bank.example\r\n .evil.example\r\n"},
      {"colon before the address", "From: From: b@bank.example\r\n"},
      {"full-width at sign",
       "From: b\xef\xbc\xa0"
       "bank.example <a@evil.example>\r\n",
       Evasion::evils},
      {"full-width dot",
       "From: b@bank\xef\xbc\x8e"
       "example.evil.example\r\n"},
      {"ideographic full stop",
       "From: b@bank\xe3\x80\x82"
       "example\r\n"},
      {"zero-width blank", "From: b@bank\xe2\x80\x8b.example\r\n"},
      {"right-to-left mark in the local part is a character", "From: b\xe2\x80\xaf@evil.example\r\n", Evasion::evils},
      {"domain that is no UTF-8", "From: b@bank\xff.example\r\n"},
      {"local part that is no UTF-8", "From: b\xff@bank.example\r\n"},
      {"literal that is none", "From: b@[bank.example]\r\n"},
      {"literal with more behind", "From: b@[192.0.2.1]bank.example\r\n"},
      {"NUL before the address", "From: b@bank.example\0 <a@evil.example>\r\n"s},
      {"NUL in the domain", "From: b@bank.example\0.evil.example\r\n"s},
      {"vertical tab between", "From: b@bank.example\x0b<a@evil.example>\r\n"},
      {"form feed between", "From: b@bank.example\x0c, a@evil.example\r\n"},
      {"no-break space in the domain", "From: b@bank.example\xc2\xa0.evil.example\r\n"},
      {"em space between", "From: b@bank.example\xe2\x80\x83<a@evil.example>\r\n"},
      {"line separator between", "From: b@bank.example\xe2\x80\xa8 a@evil.example\r\n"},
      {"bare CR between", "From: b@bank.example\rFrom: a@evil.example\r\n"},
      {"bare LF between", "From: b@bank.example\nFrom: a@evil.example\r\n"},
      {"line of blanks only", "From: b@bank.example\r\n \r\n a@evil.example\r\n"},
      {"quoted pair in the domain", "From: b@bank\\.example\r\n"},
      {"quoted pair before the at sign", "From: b\\@bank.example@evil.example\r\n"},
      {"quoted domain", "From: b@\"bank.example\"\r\n"},
      {"quoted domain before ours", "From: b@\"bank.example\".evil.example\r\n"},
      {"percent route", "From: b%bank.example@evil.example\r\n", Evasion::evils},
      {"bang path", "From: bank.example!b@evil.example\r\n", Evasion::evils},
      {"capitals", "From: B@BANK.EXAMPLE\r\n", Evasion::banks},
      {"folded before the address", "From:\r\n\tb@bank.example\r\n", Evasion::banks},
      {"no blank after the colon", "From:b@bank.example\r\n", Evasion::banks},
      {"mailbox on a second line", "From: a@evil.example,\r\n b@bank.example\r\n", Evasion::banks},
      {"the same domain twice, once in capitals", "From: b@bank.example, c@Bank.Example\r\n", Evasion::banks},
      {"bank as the display name", "From: \"b@bank.example\" <a@evil.example>\r\n", Evasion::evils},
      {"comment without an address", "From: (bank.example) a@evil.example\r\n", Evasion::evils},
      {"nested comment that hides an address", "From: (x (y) (b@bank.example)) a@evil.example\r\n"},
      {"comment in the domain", "From: b@bank.example(x).evil.example\r\n"},
      {"empty label", "From: b@bank..example\r\n"},
      {"dot in front", "From: b@.bank.example\r\n"},
      {"label of 64 octets", "From: b@" + std::string(64, 'x') + ".bank.example\r\n"},
      {"name of 260 octets", "From: b@" + longest_name() + ".bank.example\r\n"},
      {"A-label of an ASCII name", "From: b@xn--bank-.example\r\n"},
      {"upper case in a U-label", "From: b@B\xc3\x84NK.example\r\n"},
      {"decomposed U-label", "From: b@ba\xcc\x88nk.example\r\n"},
      {"soft hyphen in the domain", "From: b@ba\xc2\xadnk.example\r\n"},
      {"surrogate in UTF-8", "From: b@bank\xed\xa0\x80.example\r\n"},
      {"overlong UTF-8 dot",
       "From: b@bank\xc0\xae"
       "example\r\n"},
      {"address literal of IPv6", "From: b@[IPv6:2001:db8::1]\r\n", Evasion::nobodys},
      {"a hundred and one mailboxes", "From: " + many_mailboxes(101) + "\r\n"},
      {"a field of 300 kB", "From: " + std::string(300'000, ' ') + "b@bank.example\r\n"},
      {"a name of 200 kB before evil's address", "From: " + std::string(200'000, 'x') + " <a@evil.example>\r\n",
       Evasion::evils},
  };
}

}  // namespace evasions
