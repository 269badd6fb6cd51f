"""Smuggling, inbound and outbound (SM-01, SM-02, SM-03, SM-04, SM-05, SM-11): every false end of data of the collections in
../shared/conformance/smtp-smuggling and of threats.md, in one piece and cut into single octets, by DATA and by BDAT. At
most one message may ever come out, and refusing is what we do."""
import json
import os
import unittest

from lib.case import Case, main, message
from lib.client import stuff

CONFORMANCE = os.environ.get("ONWARD_CONFORMANCE", os.path.join(os.path.dirname(__file__), "../../../shared/conformance"))
SEQUENCES = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\n", b"\n.\r", b"\r.\r\n", b"\r\n.\r", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n",
             b"\r\n\0.\r\n", b"\r\n.\0\r\n"]
SMUGGLED = (b"MAIL FROM:<smuggled@evil.test>\r\nRCPT TO:<bob@fwd.test>\r\nDATA\r\n"
            b"From: <smuggled@evil.test>\r\nSubject: smuggled\r\n\r\nsmuggled\r\n.\r\n")


def collected():
    path = os.path.join(CONFORMANCE, "smtp-smuggling", "end-of-data-sequences.jsonl")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as f:
        return [bytes.fromhex(json.loads(line)["sequence_hex"]) for line in f]


class Smuggling(Case):
    def setUp(self):
        super().setUp()
        self.behind = self.upstream(keywords=("PIPELINING", "8BITMIME", "SIZE 104857600"))
        self.daemon = self.onward({"limits": {"connections_per_ip": 500}}, upstream=self.behind)
        self.number = 0

    def client(self):
        self.number += 1
        return self.daemon.client(source=f"127.5.{self.number // 250}.{self.number % 250 + 1}")

    def begin(self):
        client = self.client()
        client.mail("sender@origin.test")
        self.assertReply(client.rcpt("alice@fwd.test"), 250)
        self.assertReply(client.cmd("DATA"), 354)
        return client

    def attempt(self, sequence, cuts=None):
        """A message that goes on as a second one behind `sequence`. Returns the reply after the true end."""
        client = self.begin()
        client.send(b"Subject: outer\r\n\r\nouter" + sequence + SMUGGLED, cuts)
        reply = client.reply()
        self.assertReply(reply, 550, "5.6.0", note=repr(sequence))
        return client

    def test_false_ends(self):
        """SM-01"""
        for sequence in SEQUENCES:
            with self.subTest(sequence=sequence):
                client = self.attempt(sequence)
                self.assertTrue(client.at_eof(), "a smuggling attempt closes")
        self.assertEqual(self.behind.attempts, [], "0 messages relayed")

    def test_false_ends_octet_by_octet(self):
        """SM-02"""
        for sequence in SEQUENCES:
            with self.subTest(sequence=sequence):
                client = self.attempt(sequence, cuts=1)
                self.assertTrue(client.at_eof())
        self.assertEqual(self.behind.attempts, [])

    def test_every_single_cut(self):
        """SM-02: one cut at each place of the false end and of the true one."""
        for sequence in (b"\n.\n", b"\r\n.\r\r\n"):
            start = len(b"Subject: outer\r\n\r\nouter")
            for cut in range(start, start + len(sequence) + 1):
                self.attempt(sequence, cuts=[cut]).close()
        good = b"Subject: x\r\n\r\nbody\r\n.\r\n"
        for cut in range(1, len(good)):
            client = self.begin()
            client.send(good, [cut])
            self.assertReply(client.reply(), 250)
            client.quit()  # has seen its 250: the next message is not a repetition of this one (promise.md C.5)
        self.assertEqual(len(self.behind.accepted), len(good) - 1)
        self.assertEqual({m.data[m.data.index(b"Subject:"):] for m in self.behind.accepted}, {b"Subject: x\r\n\r\nbody\r\n"})

    @unittest.skipUnless(collected(), "../shared/conformance is not there")
    def test_collected_sequences(self):
        """SM-01: whatever SMTP-Smuggling-Tools and smtpsmug send."""
        for sequence in collected():
            with self.subTest(sequence=sequence):
                client = self.begin()
                client.send(b"Subject: outer\r\n\r\nouter" + sequence + SMUGGLED)
                reply = client.reply()
                if sequence == b"\r\n.\r\n":  # the true one: what follows are commands of the same session
                    continue
                self.assertReply(reply, 550, "5.6.0")
        self.assertFalse([m for m in self.behind.accepted if b"Subject: smuggled" in m.data and sequence != b"\r\n.\r\n"])

    def test_outbound_nothing_bare_leaves(self):
        """SM-03, SM-11: a bare CR, LF or NUL anywhere in the message: 550 5.6.0, nothing relayed; the next one is fine."""
        for bare in (b"\n", b"\r", b"\0"):
            for place in (b"Sub%sject: x\r\n\r\nbody\r\n", b"Subject: x%sy\r\n\r\nbody\r\n", b"Subject: x\r\n\r\nbo%sdy\r\n",
                          b"Subject: x\r\n\r\nbody%s\r\n", b"%sSubject: x\r\n\r\nbody\r\n"):
                client = self.begin()
                client.send(place.replace(b"%s", bare) + b"\r\n.\r\n")
                self.assertReply(client.reply(), 550, "5.6.0", note=repr(place.replace(b"%s", bare)))
                client.close()
        self.assertEqual(self.behind.attempts, [])
        self.assertSent(self.client(), "sender@origin.test", "alice@fwd.test", message())

    def test_bdat_with_dots_is_stuffed_on_the_way_out(self):
        """SM-04: the upstream has no CHUNKING; its reader finds one message with the same octets."""
        for body in (b"x\r\n.\r\n" + SMUGGLED, b".\r\n", b"..\r\n", b"x\r\n.", b"x\r\n..\r\n."):
            with self.subTest(body=body):
                before = len(self.behind.accepted)
                client = self.client()
                client.mail("sender@origin.test")
                client.rcpt("alice@fwd.test")
                content = b"Subject: b\r\n\r\n" + body
                cut = len(content) - 1
                replies = client.bdat(content[:cut], content[cut:])
                self.assertReply(replies[-1], 250)
                self.assertEqual(len(self.behind.accepted), before + 1)
                data = self.behind.accepted[-1].data
                self.assertTrue(data.endswith(content if content.endswith(b"\r\n") else content + b"\r\n"), data[-80:])

    def test_bdat_with_bare_line_ends(self):
        """SM-04: 550 5.6.0 at LAST, the transaction is gone."""
        for bad in (b"a\n.\nb\r\n", b"a\rb\r\n", b"a\0b\r\n"):
            client = self.client()
            client.mail("sender@origin.test")
            client.rcpt("alice@fwd.test")
            replies = client.bdat(b"Subject: x\r\n\r\n", bad)
            self.assertReply(replies[-1], 550, "5.6.0")
            self.assertReply(client.rcpt("bob@fwd.test"), 503, "5.5.1", note="SM-09")
        self.assertEqual(self.behind.attempts, [])

    def test_a_cr_and_lf_in_two_chunks_are_one_line_end(self):
        client = self.client()
        client.mail("sender@origin.test")
        client.rcpt("alice@fwd.test")
        self.assertReply(client.bdat(b"Subject: x\r\n\r\nline\r", b"\n.", b"\r\n")[-1], 250)
        self.assertTrue(self.behind.accepted[-1].data.endswith(b"Subject: x\r\n\r\nline\r\n.\r\n"))

    def test_edges_of_the_header(self):
        """SM-05: our fields end in CRLF and change nothing behind them."""
        for content in (b"Subject: x\r\n\r\n", b"Subject: x\r\n", b"\r\n.starts with a dot\r\n", b"\r\n", b"Subject: x\r\n\r\n" + b"y" * 100000 + b"\r\n",
                        b"Subject: x\r\n\r\n.\r\n..\r\n...\r\n"):
            with self.subTest(content=content[:60]):
                client = self.client()
                client.mail("sender@origin.test")
                client.rcpt("alice@fwd.test")
                self.assertReply(client.cmd("DATA"), 354)
                before = len(self.behind.accepted)
                client.send(stuff(content) + b".\r\n")
                reply = client.reply()
                if reply.code == 250:
                    self.assertOriginalKept(content, self.behind.accepted[before].data)
                else:
                    self.assertReply(reply, 550, "5.6.0")


if __name__ == "__main__":
    main()
