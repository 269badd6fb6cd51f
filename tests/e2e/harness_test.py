"""The harness itself: a real client (swaks) against the scripted upstream, and proof that what the other tests rely on
(violations, ledger, reply grammar) does notice what is wrong. Onward is not involved."""
import subprocess

from lib.case import Case, main, message
from lib.client import Client
from lib.upstream import Close, Ledger, Reset, Turns, Upstream


class Harness(Case):
    def server(self, plan=None, **arguments):
        """An upstream whose violations are expected, so not checked at the end."""
        server = Upstream(plan, **arguments)
        self.addCleanup(server.stop)
        return server

    def test_swaks_delivers_byte_for_byte(self):
        server = self.upstream()
        body = "Subject: x\n\n.dot\n..two\nend\n"
        subprocess.run(["swaks", "--server", f"127.0.0.1:{server.port}", "--from", "a@origin.test", "--to", "b@inbox.test",
                        "--data", "-"], input=body, text=True, check=True, capture_output=True)
        self.assertEqual(server.accepted[0].data.replace(b"\r\n", b"\n").decode().rstrip("\n"), body.rstrip("\n"))
        self.assertEqual(server.accepted[0].sender, "a@origin.test")
        self.assertEqual(server.accepted[0].recipients, ["b@inbox.test"])

    def test_upstream_notices_wrong_line_ends(self):
        for wrong in (b"a\nb\r\n", b"a\rb\r\n", b"a\0b\r\n"):
            server = self.server()
            client = Client("127.0.0.1", server.port).hello()
            self.assertReply(client.transaction("a@origin.test", "b@inbox.test", wrong)["data"], 250)
            self.assertIn("bare CR, bare LF or NUL in the content", server.violations)

    def test_upstream_notices_talking_after_the_dot(self):
        server = self.server()
        client = Client("127.0.0.1", server.port).hello()
        client.mail("a@origin.test")
        client.rcpt("b@inbox.test")
        self.assertReply(client.cmd("DATA"), 354)
        client.send("x: y\r\n\r\n.\r\nQUIT\r\n")
        self.assertReply(client.reply(), 250)
        self.assertIn("something was sent between the dot and its reply", server.violations)

    def test_upstream_notices_what_was_not_offered(self):
        server = self.server(keywords=())
        client = Client("127.0.0.1", server.port).hello()
        client.send("MAIL FROM:<a@origin.test> SIZE=1\r\nRCPT TO:<b@inbox.test>\r\n")
        client.reply(), client.reply()
        self.assertTrue(any("SIZE=1 was not offered" in v for v in server.violations), server.violations)
        self.assertTrue(any("PIPELINING was not offered" in v for v in server.violations), server.violations)

    def test_plan(self):
        server = self.server({"mail": Turns("451 4.3.0 later", "250 2.1.0 ok"), "rcpt": ["550-no\r\n", "550 never"],
                              "data": Close(), "rset": Reset()})
        client = Client("127.0.0.1", server.port).hello()
        self.assertReply(client.mail("a@origin.test"), 451)
        self.assertReply(client.mail("a@origin.test"), 250)
        self.assertEqual(client.rcpt("b@inbox.test").lines, ["no", "never"])
        client.send("DATA\r\n")
        self.assertTrue(client.at_eof())

    def test_client_refuses_what_is_no_reply(self):
        for wrong in ("250-a\r\n550 b\r\n", "25 x\r\n", "250 \xff\r\n", "250 a\nb\r\n", "250 " + "x" * 600 + "\r\n"):
            server = self.server({"connect": wrong.encode("latin-1")})
            with self.assertRaises(AssertionError):
                Client("127.0.0.1", server.port).reply()

    def test_ledger(self):
        ledger, server = Ledger(), self.upstream()
        client = Client("127.0.0.1", server.port).hello()
        tokens = [ledger.token() for _ in range(4)]
        for token in (tokens[0], tokens[1], tokens[1], tokens[3]):
            client.transaction("a@origin.test", "b@inbox.test", message(token=token))
        for token, code in zip(tokens, (250, 250, 250, 550)):
            ledger.tell(token, code)
        self.assertEqual(ledger.count(server.accepted), {"lost": [tokens[2]], "kept": [tokens[3]], "dup": [tokens[1]]})


if __name__ == "__main__":
    main()
