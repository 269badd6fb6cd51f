#include "mail/reasons.hpp"

#include <algorithm>

namespace mail {
namespace {

using Closes = Reason::Closes;

constexpr std::string_view kYourServerTriesAgain = "Nothing, your server tries again.";
constexpr std::string_view kTryLater = "Try again later.";
constexpr std::string_view kLookAtYourDns = "Nothing, your server tries again. If it lasts: look at your DNS servers.";

constexpr Reason kDialogue[] = {
    {"syntax",
     {{500, {5, 5, 2}}, {501, {5, 5, 4}}, {501, {5, 1, 7}}, {501, {5, 1, 3}}, {555, {5, 5, 4}}},
     "A command, an address or a parameter that the grammar of SMTP does not know.",
     "Look at the command in your log; addresses stand in `<>`, parameters only for extensions that EHLO offered."},
    {"bare-line-end", {{500, {5, 5, 2}}}, "A command ended in a bare LF or CR.", "End lines in CR LF."},
    {"line-too-long",
     {{500, {5, 5, 2}}},
     "A command line above 2,048 octets.",
     "Nothing in ordinary mail is that long; look at what your software sends.",
     Closes::always},
    {"bad-sequence",
     {{503, {5, 5, 1}}},
     "A command out of order: MAIL before EHLO, RCPT before MAIL, MAIL within a transaction, DATA after BDAT, anything "
     "but EHLO after STARTTLS. The open transaction, if any, is dropped. After a BDAT out of order with more octets "
     "than `limits.message_size` the connection closes.",
     "Start again with EHLO or MAIL.",
     Closes::sometimes},
    {"no-recipients",
     {{554, {5, 5, 1}}},
     "DATA or BDAT, but no recipient had been accepted. After BDAT with more octets than `limits.message_size` the "
     "connection closes.",
     "Look at the replies to RCPT: they say why.",
     Closes::sometimes},
    {"not-implemented",
     {{502, {5, 5, 1}}},
     "EXPN, ETRN, AUTH and others; STARTTLS where TLS is not set up.",
     "Nothing: we relay for our recipients only and need no login."},
    {"not-smtp",
     {{554, {5, 5, 1}}, {554, {5, 5, 0}, "PROXY header"}},
     "HTTP, TLS, a PROXY header or message text where a command was due.",
     "Speak SMTP. TLS starts after STARTTLS on port 25.",
     Closes::always},
    {"proxy",
     {{554, {5, 5, 0}}},
     "This port takes connections from our own proxies only.",
     "Connect to the address that the MX record names.",
     Closes::always},
    {"early-talker",
     {{554, {5, 5, 0}}},
     "Octets came before our banner.",
     "Wait for 220. Real mail servers do.",
     Closes::always},
    {"pipelining",
     {{554, {5, 5, 0}}},
     "Octets came behind EHLO, DATA or STARTTLS before we had answered (RFC 2920).",
     "Wait for the answer to these commands.",
     Closes::always},
    {"too-many-errors",
     {{421, {4, 7, 0}}},
     "More than 20 errors since the last message that went through, or more unknown recipients in the session than "
     "`policy.rate.unknown_recipients`.",
     "Clean the recipient list."},
    {"too-many-recipients",
     {{452, {4, 5, 3}}, {421, {4, 5, 3}, "above twice the limit"}},
     "More recipients than `limits.recipients` in one message.",
     "Send the rest in another message; every mail server does so by itself."},
    {"too-many-messages", {{421, {4, 7, 0}}}, "More than 1,000 messages in one session.", "Connect again."},
    {"timeout",
     {{421, {4, 4, 2}}},
     "Nothing came for `limits.command_timeout` or `limits.data_timeout`.",
     "Connect again; look at the network between us."},
    {"shutting-down", {{421, {4, 3, 2}}}, "The server is being stopped or restarted.", "Try again in a minute."},
    {"connections",
     {{421, {4, 7, 0}, "yours"}, {421, {4, 3, 2}, "all"}},
     "Too many connections from your address (IPv6: your /64), or in all.",
     "Use fewer connections, or wait."},
    {"rate",
     {{450, {4, 7, 1}}},
     "More messages or recipients in a time than this server takes from one address, from one sender's domain, for one "
     "recipient, or for the place this recipient's mail goes on to.",
     "Nothing, your server tries again; send more slowly if it lasts."},
    {"greylist",
     {{450, {4, 7, 1}}},
     "We see this sender from your network for the first time. The text says how long it takes from then on. It says "
     "nothing about whether the address exists.",
     "Nothing: every mail server tries again by itself."},
    {"memory",
     {{421, {4, 3, 2}}, {452, {4, 3, 1}}},
     "No memory, spill space or disk space is left for another message, or the queue is long.",
     "Try again later. Operator: `limits.memory`, `limits.spill`, the disk, `onward queue`."},
    {"local-error",
     {{451, {4, 3, 0}}, {451, {4, 3, 2}}},
     "Something on our side failed: a spill file, the queue, the return address, a signature. It is in our log. Or too "
     "much is on its way at the moment.",
     kTryLater},
    {"in-flight",
     {{451, {4, 4, 2}}},
     "The same message is on its way already, from an earlier attempt of yours, and nobody knows yet what came of it.",
     "Nothing: your server tries again, and hears the answer then."},
    {"client-gone",
     {{451, {4, 4, 2}}},
     "The connection was gone before the message went on; nobody reads this reply.",
     "Your server tries again."},
    {"internal-error", {{421, {4, 3, 0}}}, "A fault of ours; it is in our log.", kTryLater},
};

constexpr Reason kMessage[] = {
    {"too-big",
     {{552, {5, 3, 4}}},
     "The message is, or by SIZE= would be, above `limits.message_size`, or above what the destination takes. Above "
     "twice our limit the connection closes.",
     "Send less, or a link.",
     Closes::sometimes},
    {"bad-message",
     {{550, {5, 6, 0}}},
     "A bare CR, a bare LF or a NUL in the message.",
     "Your software breaks RFC 5321 §2.3.8: lines end in CR LF."},
    {"smuggling",
     {{550, {5, 6, 0}}},
     "The same, with SMTP commands behind it: somebody tries to smuggle a second message past a careless server.",
     "If you are the mail provider: close this hole, anybody may forge mail in your name.",
     Closes::always},
    {"bad-header",
     {{550, {5, 6, 0}}, {552, {5, 3, 4}, "too large"}},
     "The header is ambiguous (a line without colon, a blank before the colon, a folded first line) or far too large.",
     "Fix the program that writes the message."},
    {"no-utf8",
     {{553, {5, 6, 7}}, {550, {5, 6, 7}, "the destination"}},
     "A non-ASCII address without SMTPUTF8, or a message that needs SMTPUTF8 while the destination does not take it.",
     "Use an ASCII address."},
    {"loop",
     {{554, {5, 4, 6}}},
     "The message has been here before (or, without a trace of it, more than 20 times in an hour), has passed too many "
     "servers, or its destination is this server.",
     "Look at the forwardings on its way: two of them point at each other."},
};

constexpr Reason kPolicy[] = {
    {"access",
     {{554, {5, 7, 1}, "in the banner's place, or at RCPT"}},
     "A rule of this server keeps your address, network or country out.",
     "Ask the operator by another way: the text names a page.",
     Closes::sometimes},
    {"dnsbl",
     {{554, {5, 7, 1}}},
     "Your address, or a domain you use, is on the block lists that the text names in brackets.",
     "Ask these lists why, and have it removed there."},
    {"rdns",
     {{550, {5, 7, 25}}, {450, {4, 7, 25}}},
     "Your address has no PTR record, or its name does not lead back to the address, or is not your HELO name.",
     "Set the PTR record at your provider, and the name's A or AAAA record to match."},
    {"helo",
     {{550, {5, 7, 1}}},
     "Your HELO name is no full host name, or does not exist in DNS.",
     "Let your server say its own name, one that resolves."},
    {"sender-domain",
     {{550, {5, 1, 8}}, {550, {5, 7, 27}, "null MX"}, {550, {5, 1, 7}, "address literal"}},
     "Nobody could ever answer or bounce to this envelope sender: its domain does not exist, has no MX, A or AAAA "
     "record, says that it takes no mail (null MX), or is an address literal of no public host.",
     "Use a sender's domain that takes mail."},
    {"rdns-temperror", {{450, {4, 7, 25}}}, "DNS did not answer for your address.", kLookAtYourDns},
    {"helo-temperror", {{451, {4, 4, 3}}}, "DNS did not answer for your HELO name.", kLookAtYourDns},
    {"sender-domain-temperror", {{451, {4, 1, 8}}}, "DNS did not answer for your sender's domain.", kLookAtYourDns},
    {"unknown-recipient", {{550, {5, 1, 1}}}, "No such address in this domain.", "Check the spelling."},
    {"relay-denied",
     {{550, {5, 7, 1}}},
     "The domain is not forwarded here.",
     "Check the MX records of the recipient's domain."},
    {"one-destination",
     {{452, {4, 5, 3}}},
     "This recipient lives elsewhere than the ones before it. Unless SPF proves the sender we keep nothing, so one "
     "transaction goes to one place.",
     "Send it in a transaction of its own; every mail server does so by itself."},
    {"sender-denied",
     {{550, {5, 7, 1}}},
     "The recipient's owner does not want mail from this sender.",
     "Ask the recipient by another way."},
    {"spf",
     {{550, {5, 7, 23}}},
     "The envelope sender's domain says by SPF that your address does not send its mail, and this server refuses such "
     "mail.",
     "Send from an address that the SPF record names, or have the record mended."},
    {"dmarc",
     {{550, {5, 7, 1}}},
     "DMARC failed: neither SPF nor a DKIM signature of the author's domain (From) passed, and that domain asks to "
     "refuse such mail.",
     "Sign your mail with DKIM as the domain in From. If you did not send it: somebody forges your name."},
    {"bad-from",
     {{550, {5, 7, 1}}},
     "No From field, more than one, one that can be read in two ways, or authors of several domains of which one "
     "publishes a DMARC policy.",
     "Write one From field with one address."},
    {"unauthenticated",
     {{550, {5, 7, 26}}},
     "Neither SPF (for MAIL FROM) nor any DKIM signature vouches for the message.",
     "Publish an SPF record for the envelope sender's domain, or sign with DKIM."},
    {"forecast",
     {{550, {5, 7, 26}}},
     "The message relies on SPF alone. Forwarding ends SPF, and the author's DMARC policy makes the destination refuse "
     "what is left. We say so now, while you can hear it.",
     "Sign your mail with DKIM as the domain in From."},
    {"spf-temperror",
     {{451, {4, 7, 24}}},
     "DNS did not answer for your SPF record, where that decides.",
     kLookAtYourDns},
    {"dkim-temperror", {{451, {4, 7, 1}}}, "DNS did not answer for your DKIM key, where that decides.", kLookAtYourDns},
    {"dmarc-temperror",
     {{451, {4, 7, 1}}},
     "DNS did not answer for your DMARC policy, where that decides.",
     kLookAtYourDns},
    {"rejected",
     {},
     "A rule of the recipient's domain refuses mail to this address.",
     "Read the text: often it names the new address.",
     Closes::no,
     "as the rule says, for example 550 5.1.6"},
    {"srs",
     {{550, {5, 1, 1}}, {550, {5, 7, 1}}, {421, {4, 7, 0}, "more than 20 in an hour"}},
     "A bounce address that we did not make, that is too old (21 days), or that ordinary mail was sent to.",
     "Nothing: bounces of forwarded mail come back with `MAIL FROM:<>` within days."},
};

constexpr Reason kDestination[] = {
    {"upstream",
     {},
     "The destination's own server refused. We pass its answer on while you wait, with the private address taken out. "
     "What closes a connection (421, 221, 521), what is said before your message was spoken of, and what is said of "
     "our server rather than your message (our operator is told) becomes 451: your server tries again. Where some of "
     "several destinations took the message, the reply is 554 5.6.0, with a line for each.",
     "Act on the text as if that server had said it to you.",
     Closes::no,
     "the destination's code and text"},
    {"tls",
     {{451, {4, 7, 5}}, {550, {5, 7, 30}, "REQUIRETLS"}},
     "No TLS session with the destination that is good enough: for our operator, for the destination's DANE or "
     "MTA-STS, "
     "after TLS has worked before, or for REQUIRETLS (550). Nothing was sent.",
     "Nothing for 451, your server tries again. The header field `TLS-Required: No` passes over the destination's "
     "policies; without REQUIRETLS 550 does not happen."},
    {"bad-destination",
     {{550, {5, 1, 2}}, {556, {5, 1, 10}, "null MX"}},
     "The address this mail is forwarded to cannot exist: its domain does not, or takes no mail (null MX).",
     "Tell the recipient by another way: the forwarding is out of date."},
    {"upstream-unreachable",
     {{451, {4, 4, 0}},
      {451, {4, 4, 1}},
      {451, {4, 4, 2}},
      {451, {4, 4, 3}},
      {451, {4, 5, 0}},
      {550, {5, 4, 4}},
      {554, {5, 4, 2}}},
     "The destination's server or its DNS does not answer, or the connection broke. 550 5.4.4: it has no address that "
     "we "
     "may connect to. 554 5.4.2: it broke off after the end of the message in each of several attempts; the message "
     "may "
     "have arrived.",
     kYourServerTriesAgain},
};

constexpr ReasonSection kSections[] = {
    {"The dialogue", kDialogue},
    {"The message", kMessage},
    {"Who may send what to whom", kPolicy},
    {"The destination", kDestination},
};

bool may_come_with(const Reason& reason, int code, EnhancedCode enhanced) {
  if (!reason.whose.empty()) return (code / 100 == 4 || code / 100 == 5) && enhanced.klass == code / 100;
  return std::ranges::any_of(
      reason.replies, [&](const ReasonReply& reply) { return reply.code == code && reply.enhanced == enhanced; });
}

}  // namespace

std::span<const ReasonSection> reason_sections() {
  return kSections;
}

bool is_declared(std::string_view slug, int code, EnhancedCode enhanced) {
  for (const auto& section : kSections) {
    for (const auto& reason : section.reasons) {
      if (reason.slug == slug) return may_come_with(reason, code, enhanced);
    }
  }
  return false;
}

}  // namespace mail
