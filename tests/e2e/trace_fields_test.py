"""The fields we add and the ones we remove (interface.md §5; RL-04, RL-07, LP-01, SM-05, SM-06)."""
import re

from lib.case import Case, main, message, unfolded


class TraceFields(Case):
    def setUp(self):
        super().setUp()
        self.behind = self.upstream()
        self.daemon = self.onward(upstream=self.behind)

    def relay(self, content, helo="client.test", verb="EHLO"):
        client = self.daemon.client(hello=False)
        client.hello(helo, verb)
        self.assertSent(client, "sender@origin.test", "alice@fwd.test", content)
        return self.behind.accepted[-1].data

    def test_forged_authentication_results_go(self):
        """RL-07: all that carry our host name, in any spelling; nobody else's, and never an ARC set."""
        ours = ("Authentication-Results: mx.forward.test; spf=pass\r\n"
                "authentication-results:\r\n MX.Forward.Test;\r\n dkim=pass header.d=bank.test\r\n"
                "Authentication-Results: (a comment) mx.forward.test 1; spf=pass\r\n"
                'Authentication-Results: "mx.forward.test"; spf=pass\r\n')
        others = ("Authentication-Results: mx.elsewhere.test; spf=fail\r\n"
                  "ARC-Authentication-Results: i=1; mx.forward.test; spf=pass\r\n"
                  "Received-SPF: pass\r\n")
        plain = message("x\r\n")
        head, body = plain.split(b"\r\nSubject:", 1)
        sent = head + b"\r\n" + ours.encode() + others.encode() + b"Subject:" + body
        want = head + b"\r\n" + others.encode() + b"Subject:" + body
        self.assertOriginalKept(want, self.relay(sent))

    def test_foreign_delivered_to_stays(self):
        """RL-07"""
        content = b"Delivered-To: somebody@else.test\r\nDelivered-To: token.0123456789@mx.forward.test\r\n" + message()
        self.assertOriginalKept(content, self.relay(content))

    def test_helo_names(self):
        """RL-04: whatever the client says, Received is one valid field with lines of at most 998 octets."""
        for helo in ("client.test", "[127.0.0.1]", "[IPv6:2001:db8::1]", "x)y(z", "a;b", "a\\b", '"quoted"', "under_score", "a" * 255, "(" * 200,
                     "by evil.test with SMTP id 1; Mon, 1 Jan 2024"):
            with self.subTest(helo=helo):
                client = self.daemon.client(hello=False)
                client.reply()
                reply = client.cmd(f"EHLO {helo}")
                if reply.code != 250:
                    self.assertReply(reply, 501)
                    continue
                content = message()
                self.assertSent(client, "sender@origin.test", "alice@fwd.test", content)
                fields = self.assertOriginalKept(content, self.behind.accepted[-1].data)
                received = [v for n, v in fields if n == "Received"]
                self.assertEqual(len(received), 1)
                self.assertEqual(re.sub(r"\((?:[^()\\]|\\.|\([^()]*\))*\)", "", received[0]).count(";"), 1, received[0])
                self.assertTrue(all(len(line) <= 998 for line in received[0].split("\r\n")))
                client.close()

    def test_with_clause(self):
        self.assertIn("with SMTP id", unfolded(self.relay(message(), verb="HELO")))
        self.assertIn("with ESMTP id", unfolded(self.relay(message())))

    def test_for_clause_never_names_the_destination(self):
        self.assertNotIn(b"inbox.test", self.relay(message()))

    def test_no_message_id_is_added(self):
        content = b"From: <a@b.test>\r\n\r\nno id, no date\r\n"
        data = self.relay(content)
        self.assertOriginalKept(content, data)
        self.assertNotIn(b"\nMessage-ID", data)
        self.assertNotIn(b"\nDate:", data)

    def test_received_limit(self):
        """LP-01: 50 pass, 51 do not."""
        line = "Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n"
        self.relay(message(extra=line * 50))
        result = self.daemon.client().transaction("sender@origin.test", "alice@fwd.test", message(extra=line * 51))
        self.assertReply(result["data"], 554, "5.4.6", "loop")

    def test_ambiguous_headers(self):
        """SM-06: a header block that parsers read differently is refused with 550 5.6.0, or every octet stays."""
        for head in (b"Subject: x\r\nline without colon\r\nFrom: <a@b.test>\r\n", b" leading blank\r\nFrom: <a@b.test>\r\n",
                     b"From : <a@b.test>\r\n", b"From\r\n : <a@b.test>\r\n", b"From: <a@b.test>\r\n \r\nX: y\r\n", b": empty\r\n"):
            with self.subTest(head=head):
                content = head + b"\r\nbody\r\n"
                before = len(self.behind.accepted)
                result = self.daemon.client().transaction("sender@origin.test", "alice@fwd.test", content)
                if result["data"].code == 250:
                    self.assertOriginalKept(content, self.behind.accepted[before].data)
                else:
                    self.assertReply(result["data"], 550, "5.6.0")

    def test_header_limits(self):
        """CR-06: more than 1,000 fields or more than 256 KiB: 552 5.3.4."""
        for extra in ("X-N: y\r\n" * 1100, "X-Long: " + ("z" * 70 + "\r\n ") * 4000 + "\r\n"):
            result = self.daemon.client().transaction("sender@origin.test", "alice@fwd.test", message(extra=extra))
            self.assertReply(result["data"], 552, "5.3.4")


if __name__ == "__main__":
    main()
