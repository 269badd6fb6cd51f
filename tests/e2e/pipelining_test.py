"""PIPELINING (RFC 2920) and the state of a session: SM-07, SM-08, SM-09, SM-12, SM-13, SM-14; whole dialogues in one
segment, octet by octet, and out of order."""
import socket

from lib.case import Case, main, message
from lib.client import stuff


class Pipelining(Case):
    def setUp(self):
        super().setUp()
        self.behind = self.upstream()
        self.daemon = self.onward(upstream=self.behind)

    def test_batches(self):
        client = self.daemon.client()
        for cuts in (None, 1, [10], [50, 51]):
            client.send(b"MAIL FROM:<sender@origin.test>\r\nRCPT TO:<alice@fwd.test>\r\nRCPT TO:<nobody@fwd.test>\r\nDATA\r\n", cuts)
            self.assertEqual([client.reply().code for _ in range(4)], [250, 250, 550, 354])
            client.send(stuff(message("x\r\n")) + b".\r\nNOOP\r\nRSET\r\n", cuts)
            self.assertEqual([client.reply().code for _ in range(3)], [250, 250, 250])
        client.send("NOOP\r\nQUIT\r\n")
        self.assertEqual([client.reply().code for _ in range(2)], [250, 221])
        self.assertTrue(client.at_eof())
        self.assertEqual(len(self.behind.accepted), 4)

    def test_several_messages_in_one_session(self):
        client = self.daemon.client()
        for number in range(20):
            self.assertSent(client, f"s{number}@origin.test", "alice@fwd.test", message(f"number {number}\r\n"))
        self.assertEqual([m.data.splitlines()[-1] for m in self.behind.accepted], [b"number %d" % n for n in range(20)])

    def test_data_without_recipients(self):
        """SM-08, §6.6: pipelined DATA after every RCPT was refused is 554; what follows are commands again."""
        client = self.daemon.client()
        client.send("MAIL FROM:<sender@origin.test>\r\nRCPT TO:<nobody@fwd.test>\r\nDATA\r\n")
        self.assertEqual([client.reply().code for _ in range(2)], [250, 550])
        self.assertReply(client.reply(), 554, "5.5.1")
        client.send(".\r\n")
        self.assertReply(client.reply(), (500, 503, 554))
        self.assertEqual(self.behind.sessions, [])

    def test_order(self):
        """§6.6, RFC 5321 §4.1.4"""
        client = self.daemon.client(hello=False)
        client.reply()
        self.assertReply(client.mail("sender@origin.test"), 503, "5.5.1")
        client.ehlo()
        self.assertReply(client.rcpt("alice@fwd.test"), 503, "5.5.1")
        self.assertReply(client.cmd("DATA"), 503, "5.5.1")
        self.assertReply(client.mail("sender@origin.test"), 250)
        self.assertReply(client.cmd("DATA"), 554, "5.5.1")

    def test_reset(self):
        """SM-09: after any of these the transaction is empty."""
        def refused_content(c):
            c.cmd("DATA")
            c.send("a\nb\r\n.\r\n")
            self.assertReply(c.reply(), 550)
        for name, act in (("a second MAIL", lambda c: self.assertReply(c.mail("other@origin.test"), 503, "5.5.1")), ("RSET", lambda c: c.cmd("RSET")), ("EHLO", lambda c: c.ehlo()), ("HELO", lambda c: c.ehlo(verb="HELO")),
                          ("content", refused_content), ("a message", lambda c: c.data(message()))):
            with self.subTest(name):
                client = self.daemon.client()
                client.mail("sender@origin.test")
                client.rcpt("alice@fwd.test")
                act(client)
                self.assertReply(client.rcpt("alice@fwd.test"), 503, "5.5.1")
                self.assertReply(client.cmd("DATA"), 503, "5.5.1")
                client.close()

    def test_rset_reaches_the_upstream(self):
        """A refused or forgotten transaction leaves nothing behind in the kept session."""
        client = self.daemon.client()
        client.mail("sender@origin.test")
        client.rcpt("bob@fwd.test")
        client.cmd("RSET")
        self.assertSent(client, "sender@origin.test", "alice@fwd.test", message())
        self.assertEqual([m.recipients for m in self.behind.accepted], [["alice@inbox.test"]])

    def test_bytes_before_the_banner(self):
        """SM-07, interface.md [policy] early_talker: whoever does not wait for the banner is sent away."""
        onward = self.onward({"policy": {"early_talker_delay": "1s"}}, upstream=self.behind)
        client = onward.client(hello=False)
        client.send("EHLO early.test\r\n")
        self.assertReply(client.reply(), 554, "5.5.0")
        self.assertTrue(client.at_eof())

    def test_bytes_behind_data(self):
        """SM-07: content in the same segment as DATA, before the 354."""
        client = self.daemon.client()
        client.mail("sender@origin.test")
        client.rcpt("alice@fwd.test")
        client.send("DATA\r\nSubject: x\r\n\r\nearly\r\n.\r\n")
        self.assertReply(client.reply(), 554, "5.5.0")
        self.assertTrue(client.at_eof())
        self.assertEqual(self.behind.attempts, [])

    def test_wrong_line_ends(self):
        """SM-12"""
        for end in ("\n", "\r"):
            client = self.daemon.client()
            client.send(f"NOOP{end}NOOP\r\n")
            self.assertReply(client.reply(), 500, "5.5.2")
            client.close()

    def test_other_protocols(self):
        """SM-13"""
        for line in ("GET / HTTP/1.1", "POST / HTTP/1.0", "CONNECT a:25 HTTP/1.1", "Subject: x"):
            with self.subTest(line):
                client = self.daemon.client()
                client.send(line + "\r\nHost: a\r\n\r\n")
                self.assertReply(client.reply(), 554, "5.5.1")
                self.assertTrue(client.at_eof())

    def test_nul_and_8_bit_in_commands(self):
        """SM-11, SM-14"""
        client = self.daemon.client()
        client.send(b"NO\0OP\r\n")
        self.assertReply(client.reply(), 500, "5.5.2")
        client.send("MAIL FROM:<s\u00e9nder@origin.test>\r\n".encode())
        self.assertIn(client.reply().short, ("553 5.6.7", "501 5.5.4"))
        client.mail("sender@origin.test")
        client.send("RCPT TO:<al\u00efce@fwd.test>\r\n".encode())
        self.assertIn(client.reply().short, ("553 5.6.7", "501 5.5.4"))

    def test_a_line_without_end(self):
        """RS-04: refused at 2,048 octets, 500 5.5.2 and close."""
        client = self.daemon.client()
        try:
            for _ in range(200):
                client.send(b"A" * 10000)
        except OSError:
            pass
        try:
            self.assertReply(client.reply(), 500, "5.5.2")
        except Exception as error:  # the reply may be lost to the RST that unread octets cause
            self.assertIn(type(error).__name__, ("Closed", "TimeoutError"))

    def test_too_many_errors(self):
        """RL-13, RS-03: 20 errors: 421 4.7.0 and close; slow from the 10th on."""
        client = self.daemon.client()
        reply = None
        for _ in range(30):
            reply = client.cmd("FOO")
            if reply.code == 421:
                break
        self.assertReply(reply, 421, "4.7.0")
        self.assertTrue(client.at_eof())


if __name__ == "__main__":
    main()
