"""What an upstream says at each stage, and what the client hears (interface.md §4, §6.9, §6.22; UP-04..UP-07, UP-10, UP-11).

One Onward and one upstream serve the whole table: each case has a recipient of its own, whose name selects the plan."""
import concurrent.futures
import re
import threading

from lib.case import Case, main, message
from lib.upstream import Close, Reset, Silence

MULTI_550 = "550-5.1.1 The user is unknown\r\n550-5.1.1 to all of us\r\n550 5.1.1 and to the last line"

# stage, what the upstream says, (code, enhanced) for the client, a text that must or must not be in the reply
CASES = [
    # The plain codes at each stage: passed on with their enhanced code.
    ("mail", "450 4.2.0 greylisted", 450, "4.2.0", "greylisted"),
    ("mail", "451 4.3.0 try later", 451, "4.3.0", "try later"),
    ("mail", "452 4.3.1 no space", 452, "4.3.1", "no space"),
    ("mail", "550 5.1.8 sender unknown", 550, "5.1.8", "sender unknown"),
    ("mail", "552 5.3.4 too big for us", 552, "5.3.4", None),
    ("mail", "554 5.6.0 no", 554, "5.6.0", None),
    ("rcpt", "450 4.2.1 mailbox busy", 450, "4.2.1", "mailbox busy"),
    ("rcpt", "451 4.7.1 greylisted", 451, "4.7.1", "greylisted"),
    ("rcpt", "452 4.2.2 mailbox full", 452, "4.2.2", "mailbox full"),
    ("rcpt", "550 5.1.1 unknown user", 550, "5.1.1", "unknown user"),
    ("rcpt", "551 5.7.1 elsewhere", 551, "5.7.1", "elsewhere"),
    ("rcpt", "552 5.2.2 full", 552, "5.2.2", "full"),
    ("rcpt", "553 5.1.3 bad mailbox", 553, "5.1.3", "bad mailbox"),
    ("rcpt", "554 5.7.1 spam source", 554, "5.7.1", "spam source"),
    ("rcpt", MULTI_550, 550, "5.1.1", "and to the last line"),
    ("data", "451 4.3.0 not now", 451, "4.3.0", "not now"),
    ("data", "452 4.3.1 no space", 452, "4.3.1", "no space"),
    ("data", "550 5.7.1 not you", 550, "5.7.1", "not you"),
    ("data", "554 5.5.1 no", 554, "5.5.1", None),
    ("dot", "450 4.7.0 defer", 450, "4.7.0", "defer"),
    ("dot", "451 4.3.0 not now", 451, "4.3.0", "not now"),
    ("dot", "452 4.2.2 quota", 452, "4.2.2", "quota"),
    ("dot", "550 5.7.1 content refused", 550, "5.7.1", "content refused"),
    ("dot", "552 5.3.4 too large", 552, "5.3.4", "too large"),
    ("dot", "554 5.7.1 spam", 554, "5.7.1", "spam"),
    ("dot", "554-5.7.1 line one\r\n554-5.7.1 line two\r\n554 5.7.1 line three", 554, "5.7.1", "line two"),
    # UP-05: the closing codes are never announced as ours.
    ("mail", "421 4.7.0 too many connections", 451, "4.7.0", None),
    ("rcpt", "421 4.3.2 going down", 451, "4.3.2", None),
    ("data", "421 4.3.2 going down", 451, "4.3.2", None),
    ("dot", "421 4.3.0 going down", 451, "4.3.0", "going down"),
    ("mail", "521 5.3.2 no mail here", 451, "4.4.2", None),
    ("rcpt", "521 5.3.2 no mail here", 451, "4.4.2", None),
    ("dot", "521 5.3.2 no mail here", 451, "4.4.2", None),
    ("mail", "221 2.0.0 bye", 451, "4.4.2", None),
    ("rcpt", "221 2.0.0 bye", 451, "4.4.2", None),
    ("dot", "221 2.0.0 bye", 451, "4.4.2", None),
    # UP-06: an enhanced code that does not fit its reply becomes X.0.0; none: X.0.0.
    ("rcpt", "550 2.1.5 fine", 550, "5.0.0", None),
    ("rcpt", "550 5.1000.1 out of range", 550, "5.0.0", None),
    ("rcpt", "450 5.1.1 wrong class", 450, "4.0.0", None),
    ("rcpt", "550 no code at all", 550, "5.0.0", "no code at all"),
    ("rcpt", "550-5.1.1 first line\r\n550 2.0.0 stale", 550, "5.1.1", None),
    # UP-04: what cannot be at this stage.
    ("rcpt", "354 go ahead", 451, "4.5.0", None),
    ("mail", "354 go ahead", 451, "4.5.0", None),
    ("data", "250 2.0.0 ok", 451, "4.5.0", None),
    ("dot", "354 more please", 451, "4.5.0", None),
    # §6.22: about us, not about the message. (The upstream sees 127.0.0.1 and mx.forward.test.)
    ("mail", "550 5.7.1 mx.forward.test is on our block list", 451, "4.7.0", None),
    ("rcpt", "554 5.7.1 Service unavailable; client [127.0.0.1] blocked", 451, "4.7.0", None),
    ("dot", "550 5.7.1 127.0.0.1 has a poor reputation", 451, "4.7.0", None),
    # UP-11: the connection ends.
    ("mail", Close(), 451, ("4.4.1", "4.4.2"), None),
    ("mail", Reset(), 451, ("4.4.1", "4.4.2"), None),
    ("rcpt", Close(), 451, ("4.4.1", "4.4.2"), None),
    ("rcpt", Reset(), 451, ("4.4.1", "4.4.2"), None),
    ("rcpt", Silence(), 451, ("4.4.1", "4.4.2"), None),
    ("data", Close(), 451, ("4.4.1", "4.4.2"), None),
    ("data", Silence(), 451, ("4.4.1", "4.4.2"), None),
    ("dot", Close(), 451, "4.4.2", None),
    ("dot", Reset(), 451, "4.4.2", None),
]
AT_DATA = ("data", "dot")
CATCH_ALL = 'name = "fwd.test"\n[[rule]]\npattern = "c([0-9]+)"\nto = ["c$1@inbox.test"]\n'


class UpstreamReplies(Case):
    def test_table(self):
        """The SRS sender is what the upstream knows at MAIL: each case has its own sender and recipient with its number."""
        def say(stage, session, line):
            if stage == "mail":
                session.number = int(re.search(rb"=n(\d+)@", line).group(1))
            case = CASES[session.number] if getattr(session, "number", None) is not None else None
            if case and case[0] == stage:
                return case[1]
            return {"mail": "250 2.1.0 ok", "rcpt": "250 2.1.5 ok", "data": "354 go", "dot": "250 2.0.0 ok"}[stage]

        plan = {stage: (lambda s, line, stage=stage: say(stage, s, line)) for stage in ("mail", "rcpt", "data", "dot")}
        upstream = self.upstream(plan)
        onward = self.onward({"delivery": {"command_timeout": "3s", "rcpt_patience": "8s", "connections_per_destination": 50},
                              "limits": {"connections_per_ip": 200}},
                             upstream=upstream, domains={"fwd.test.toml": CATCH_ALL})
        lock = threading.Lock()
        wrong = []

        def one(number):
            stage, said, code, enhanced, text = CASES[number]
            client = onward.client(source=f"127.7.0.{number + 1}")
            result = client.transaction(f"n{number}@origin.test", f"c{number}@fwd.test", message("x" * 70 + "\r\n"))
            client.close()
            reply = result["data"] or result["rcpt"][0]
            note = f"{stage}: {said!r} -> {reply}"
            problems = []
            if stage in AT_DATA and result["data"] is None:
                problems.append("came at RCPT already")
            if stage not in AT_DATA and result["data"] is not None:
                problems.append("came at the end of data only")
            allowed = enhanced if isinstance(enhanced, tuple) else (enhanced,)
            if reply.code != code or reply.enhanced not in allowed:
                problems.append(f"should be {code} {enhanced}")
            if text is not None and text not in reply.text:
                problems.append(f"without the upstream's text {text!r}")
            if not reply.id:
                problems.append("no [slug id]")
            if reply.slug != "upstream" and text is not None:
                problems.append("slug is not upstream")
            if problems:
                with lock:
                    wrong.append(f"{note}: {', '.join(problems)}")

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(one, range(len(CASES))))
        self.assertEqual(wrong, [], "\n".join(wrong))
        taken = [int(re.search(r"c(\d+)@", m.recipients[0]).group(1)) for m in upstream.accepted]
        self.assertEqual([CASES[n] for n in taken], [], "nothing of this was delivered")

    def test_before_mail_nothing_bounces(self):
        """UP-07, §6.9: banner, EHLO and HELO refusals are about us: next address, then 451 4.4.0, never a 5xx."""
        for stage, said, enhanced in (("connect", "554 5.7.1 go away", "4.4.0"), ("connect", "421 4.3.2 busy", "4.4.0"),
                                      ("connect", "521 5.3.2 no mail", ("4.4.0", "4.4.2")), ("ehlo", "550 5.7.1 bad host", "4.4.0"),
                                      ("ehlo", "421 4.7.0 not now", "4.4.0"), ("connect", "354 what", "4.5.0"),
                                      ("connect", Close(), ("4.4.1", "4.4.2", "4.4.0")), ("ehlo", Close(), ("4.4.1", "4.4.2", "4.4.0")),
                                      ("connect", Silence(), ("4.4.1", "4.4.2", "4.4.0"))):
            with self.subTest(stage=stage, said=said):
                upstream = self.upstream({stage: said})
                onward = self.onward({"delivery": {"command_timeout": "2s", "rcpt_patience": "8s"}}, upstream=upstream)
                client = onward.client()
                client.mail("sender@origin.test")
                self.assertReply(client.rcpt("alice@fwd.test"), 451, enhanced)

    def test_next_address_after_a_refused_greeting(self):
        """UP-07, §6.9"""
        for plan in ({"connect": "554 5.7.1 not you"}, {"ehlo": "550 5.7.1 not you"}, {"mail": "421 4.3.2 closing"}):
            with self.subTest(plan):
                bad, good = self.upstream(plan, addresses=("127.0.0.51",)), self.upstream(addresses=("127.0.0.52",))
                onward = self.onward({"route": [{"domain": "*", "via": bad.via + good.via}]})
                self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())
                self.assertEqual(len(good.accepted), 1)

    def test_helo_after_500_to_ehlo(self):
        """§6.9"""
        for code in ("500 5.5.1 what", "502 5.5.1 not implemented", "504 5.5.4 no"):
            with self.subTest(code):
                upstream = self.upstream({"ehlo": code})
                onward = self.onward(upstream=upstream)
                self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())
                self.assertEqual(upstream.verbs()[:2], ["EHLO", "HELO"])
                self.assertNotIn(b"SIZE=", upstream.accepted[0].mail)

    def test_a_2xx_is_answered_in_our_own_words(self):
        """§6.22"""
        upstream = self.upstream({"dot": "250 2.6.0 <id@secret.inbox.test> queued as HIDDEN"})
        onward = self.onward(upstream=upstream)
        reply = self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())
        self.assertNotIn("HIDDEN", reply.text)

    def test_size_of_the_upstream(self):
        """UP-12: larger than what it takes is 552 5.3.4 before DATA; junk behind SIZE is no limit."""
        small = self.upstream(keywords=("SIZE 2000", "PIPELINING"))
        onward = self.onward(upstream=small)
        result = onward.client().transaction("sender@origin.test", "alice@fwd.test", message("x" * 4000 + "\r\n"))
        self.assertReply(result["data"] or result["rcpt"][0], 552, "5.3.4")
        self.assertNotIn(b"DATA", small.commands)

    def test_odd_keywords(self):
        """UP-12: junk SIZE, ten thousand keywords."""
        for keywords in (("SIZE x", "PIPELINING"), ("SIZE",), ("SIZE 99999999999999999999999",), ("SIZE 0",)):
            with self.subTest(keywords):
                upstream = self.upstream(keywords=keywords)
                onward = self.onward(upstream=upstream)
                self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())
        many = self.upstream(keywords=[f"X-{n}" for n in range(10000)])
        onward = self.onward(upstream=many)
        result = onward.client().transaction("sender@origin.test", "alice@fwd.test", message())
        final = result["data"] or result["rcpt"][0]
        self.assertIn(final.short, ("250 2.0.0", "451 4.5.0", "451 4.4.0"), final)


if __name__ == "__main__":
    main()
