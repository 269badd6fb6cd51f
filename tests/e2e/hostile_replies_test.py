"""Upstream replies that break the grammar or try to smuggle: the client gets exactly one clean reply (UP-01, UP-02, UP-03,
UP-10, UP-14, UP-16, SM-03). lib/client.py checks each reply's form."""
import threading

from lib.case import Case, main, message
from lib.upstream import Close, Reset, Turns, Until, Wait

# UP-03, UP-01, §6.10: protocol errors. 451 4.5.0, never 2xx.
BROKEN = {
    "code changes": b"250-ok\r\n550 no\r\n",
    "two digits": b"25 ok\r\n",
    "099": b"099 ok\r\n",
    "6xx": b"650 what\r\n",
    "25x": b"25x ok\r\n",
    "empty line": b"\r\n",
    "bare LF": b"250 ok\n",
    "bare LF inside": b"250 ok\n250 ok\r\n",
    "bare CR inside": b"250 o\rk\r\n",
    "no separator": b"250ok\r\n",
    "text first": b"ok 250\r\n",
    "64 KiB and more": b"".join(b"250-%s\r\n" % (b"x" * 500) for _ in range(140)) + b"250 ok\r\n",
    "one endless line": b"250 " + b"x" * 70000 + b"\r\n",
}
# Refusals with odd octets: passed with our code on each line, only what is printable (UP-01, UP-16).
DIRTY = {
    "NUL": b"550 5.1.1 a\0b\r\n",
    "ESC": b"550 5.1.1 a\x1b[31mb\r\n",
    "C1": b"550 5.1.1 a\x9bb\r\n",
    "UTF-8": "550 5.1.1 Empf\u00e4nger \u202eunbekannt\r\n".encode(),
    "8-bit": b"550 5.1.1 \xff\xfe\r\n",
    "long line": b"550 5.1.1 " + b"y" * 3000 + b"\r\n",
    "a reply within a line": b"550 5.1.1 no 250 ok\r\n",
}


class HostileReplies(Case):
    def final(self, onward):
        client = onward.client()
        result = client.transaction("sender@origin.test", "alice@fwd.test", message())
        reply = result["data"] or result["rcpt"][0]
        self.assertReply(client.cmd("NOOP"), 250, note="the session goes on, in step")
        client.close()
        return reply

    def test_broken_replies(self):
        for stage in ("connect", "ehlo", "mail", "rcpt", "data", "dot"):
            wrong = []
            plan = {}
            upstream = self.upstream(plan)
            onward = self.onward({"delivery": {"command_timeout": "3s"}}, upstream=upstream)
            for name, reply in BROKEN.items():
                if stage == "data":
                    reply = reply.replace(b"250", b"354")
                plan[stage] = reply
                got = self.final(onward)
                if got.short != "451 4.5.0":
                    wrong.append(f"{stage}, {name}: {got}")
            self.assertEqual(wrong, [], "\n".join(wrong))
            self.assertEqual(upstream.accepted if stage != "dot" else [], [])

    def test_dirty_refusals(self):
        for stage in ("rcpt", "dot"):
            plan = {}
            onward = self.onward(upstream=self.upstream(plan))
            for name, reply in DIRTY.items():
                with self.subTest(stage=stage, name=name):
                    plan[stage] = reply
                    self.assertReply(self.final(onward), 550, "5.1.1", "upstream")

    def test_at_most_20_lines(self):
        """§6.10"""
        lines = b"".join(b"550-5.1.1 line %d\r\n" % n for n in range(99)) + b"550 5.1.1 last\r\n"
        onward = self.onward(upstream=self.upstream({"rcpt": lines}))
        reply = self.final(onward)
        self.assertReply(reply, 550, "5.1.1", "upstream")
        self.assertLessEqual(len(reply.lines), 20)

    def test_one_octet_at_a_time_has_one_deadline(self):
        """UP-02: a reply that trickles is cut off by one deadline for the whole of it."""
        slow = [part for n in range(200) for part in (b"250-x\r\n", Wait(0.3))]
        onward = self.onward({"delivery": {"command_timeout": "2s", "rcpt_patience": "20s"}}, upstream=self.upstream({"rcpt": slow}))
        client = onward.client()
        client.mail("sender@origin.test")
        self.assertReply(client.rcpt("alice@fwd.test"), 451)

    def test_a_million_octets_do_not_stay_in_memory(self):
        """UP-02"""
        flood = b"".join(b"250-%s\r\n" % (b"z" * 1000) for _ in range(8000))
        plan = {"rcpt": flood}
        onward = self.onward(upstream=self.upstream(plan))
        self.assertReply(self.final(onward), 451, "4.5.0")
        before = onward.rss()
        for _ in range(5):
            self.assertReply(self.final(onward), 451, "4.5.0")
        self.assertLess(onward.rss() - before, 6 << 20)

    def test_the_next_message_is_not_answered_by_leftovers(self):
        """UP-14: an extra reply waits in a kept connection: it is given up, never read as an answer."""
        sent = threading.Event()
        upstream = self.upstream({"dot": Turns(["250 2.0.0 ok\r\n", "550 5.1.1 extra\r\n",
                                                lambda s, line: sent.set()], "250 2.0.0 ok")})
        onward = self.onward(upstream=upstream)
        client = onward.client()
        self.assertSent(client, "sender@origin.test", "alice@fwd.test", message())
        self.assertTrue(sent.wait(10))
        for _ in range(2):
            self.assertSent(client, "sender@origin.test", "alice@fwd.test", message())
        self.assertEqual(len(upstream.accepted), 3)

    def test_answers_before_the_dot(self):
        """UP-10: the content is larger than all buffers and the upstream reads no further, so the dot cannot have been sent:
        an early 5xx or 4xx passes, an early 2xx is never acceptance, an end is an end."""
        for said, code, enhanced in (("550 5.7.1 stop, spam", 550, "5.7.1"), ("451 4.3.0 stop", 451, "4.3.0"),
                                     ("421 4.3.2 closing", 451, "4.3.2"), ("250 2.0.0 have it already", 451, "4.5.0"),
                                     ("354 more", 451, "4.5.0"), (Close(), 451, ("4.4.2", "4.4.1")), (Reset(), 451, ("4.4.2", "4.4.1"))):
            with self.subTest(said=said):
                never = threading.Event()
                upstream = self.upstream({"body": [said, Until(never)]})
                onward = self.onward({"delivery": {"command_timeout": "10s"}}, upstream=upstream)
                client = onward.client()
                client.mail("sender@origin.test")
                client.rcpt("alice@fwd.test")
                reply = client.data(message(("x" * 76 + "\r\n") * 200000))
                self.assertReply(reply, code, enhanced)
                self.assertEqual(upstream.accepted, [])
                never.set()


if __name__ == "__main__":
    main()
