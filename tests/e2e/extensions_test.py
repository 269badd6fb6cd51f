"""8BITMIME, SMTPUTF8 and the parameters of MAIL and RCPT (interface.md §6.12, §6.23, §6.24, §6.29; RL-06; RFC 9422)."""
from lib.case import Case, main, message, unfolded


class Extensions(Case):
    def test_advertised(self):
        onward = self.onward(upstream=self.upstream())
        client = onward.client()
        for keyword in ("PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", "DSN", "LIMITS"):
            self.assertIn(keyword, client.keywords)
        self.assertIn("RCPTMAX=100", client.keywords["LIMITS"] if isinstance(client.keywords["LIMITS"], list) else [])
        self.assertEqual(client.ehlo(verb="HELO").lines[1:], [])

    def test_8bit_to_an_upstream_without_8bitmime(self):
        """§6.12: as it is; re-encoding would break signatures."""
        content = message("Gr\u00fc\u00dfe\r\n".encode("latin-1"))
        for keywords in (("PIPELINING",), ("PIPELINING", "8BITMIME")):
            upstream = self.upstream(keywords=keywords)
            onward = self.onward(upstream=upstream)
            client = onward.client()
            client.mail("sender@origin.test", "BODY=8BITMIME")
            client.rcpt("alice@fwd.test")
            self.assertReply(client.data(content), 250)
            self.assertOriginalKept(content, upstream.accepted[0].data)
            self.assertEqual(b"BODY=8BITMIME" in upstream.accepted[0].mail, "8BITMIME" in keywords)

    def test_smtputf8(self):
        """An upstream with SMTPUTF8 gets it when it is needed; one without: 550 5.6.7."""
        header = "From: <s\u00e9nder@origin.test>\r\nSubject: \u00fcber\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n\r\nx\r\n".encode()
        for keywords, code in ((("PIPELINING", "8BITMIME", "SMTPUTF8"), 250), (("PIPELINING", "8BITMIME"), 550)):
            upstream = self.upstream(keywords=keywords)
            onward = self.onward(upstream=upstream)
            client = onward.client()
            client.send("MAIL FROM:<s\u00e9nder@origin.test> SMTPUTF8\r\n".encode())
            self.assertReply(client.reply(), 250)
            reply = client.rcpt("alice@fwd.test")
            if reply.code == 250:
                reply = client.data(header)
            self.assertReply(reply, code, "5.6.7" if code == 550 else None)
            self.assertEqual(len(upstream.accepted), int(code == 250))
            if code == 250:
                self.assertIn(b"SMTPUTF8", upstream.accepted[0].mail)
                self.assertRegex(unfolded(upstream.accepted[0].data), r"with UTF8SMTP\b", "§5")

    def test_smtputf8_session_with_a_plain_message(self):
        """§6.29: the need is decided by the message, so an ASCII one goes to any upstream."""
        upstream = self.upstream(keywords=("PIPELINING",))
        onward = self.onward(upstream=upstream)
        client = onward.client()
        client.mail("sender@origin.test", "SMTPUTF8")
        self.assertReply(client.rcpt("alice@fwd.test"), 250)
        self.assertReply(client.data(message()), 250)
        self.assertNotIn(b"SMTPUTF8", upstream.accepted[0].mail)

    def test_utf8_sender_with_an_ascii_message(self):
        """§6.29: a UTF-8 MAIL FROM may travel as an ASCII SRS token."""
        upstream = self.upstream(keywords=("PIPELINING",))
        onward = self.onward(upstream=upstream)
        client = onward.client()
        client.send("MAIL FROM:<s\u00e9nder@origin.test> SMTPUTF8\r\n".encode())
        self.assertReply(client.reply(), 250)
        reply = client.rcpt("alice@fwd.test")
        reply = client.data(message()) if reply.code == 250 else reply
        self.assertIn(reply.short[:9].strip(), ("250 2.0.0", "550 5.6.7"), reply)
        if reply.code == 250:
            self.assertTrue(upstream.accepted[0].mail.isascii())

    def test_parameters(self):
        """RL-06, §6.23"""
        onward = self.onward(upstream=self.upstream())
        for line, short in (("MAIL FROM:<a@b.test> SIZE=1 SIZE=2", "501 5.5.4"), ("MAIL FROM:<a@b.test> SIZE=x", "501 5.5.4"),
                            ("MAIL FROM:<a@b.test> BODY=BINARYMIME", "555 5.5.4"), ("MAIL FROM:<a@b.test> BODY=WHAT", "501 5.5.4"),
                            ("MAIL FROM:<a@b.test> FOO=BAR", "555 5.5.4"), ("MAIL FROM:<a@b.test> ENVID=a+00b", "501 5.5.4"),
                            ("MAIL FROM:<a@b.test> SMTPUTF8=1", "501 5.5.4"), ("MAIL FROM:<a@b.test>x", "501 5.5.4")):
            client = onward.client()
            self.assertIn(client.cmd(line).short, (short, "555 5.5.4", "501 5.1.7"), line)
            client.close()
        for line in ("RCPT TO:<alice@fwd.test> FOO=BAR", "RCPT TO:<alice@fwd.test> NOTIFY=WHAT", "RCPT TO:<alice@fwd.test> ORCPT=rfc822;a+0Db"):
            client = onward.client()
            client.mail("a@b.test")
            self.assertIn(client.cmd(line).short, ("555 5.5.4", "501 5.5.4"), line)
            client.close()

    def test_hidden_things_do_not_go_upstream(self):
        """§6.24: NOTIFY, ORCPT and ENVID are parsed; they are not passed where the destination is hidden."""
        upstream = self.upstream(keywords=("PIPELINING", "DSN"))
        onward = self.onward(upstream=upstream)
        client = onward.client()
        self.assertReply(client.mail("a@b.test", "RET=HDRS", "ENVID=x1"), 250)
        self.assertReply(client.rcpt("alice@fwd.test", "NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;alice@fwd.test"), 250)
        self.assertReply(client.data(message()), 250)
        self.assertNotIn(b"SUCCESS", b" ".join(upstream.commands))


if __name__ == "__main__":
    main()
