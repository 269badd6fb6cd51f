"""Message size: 26214400 octets pass, one more does not (interface.md §1, §4; RS-07); declared sizes are judged at MAIL."""
from lib.case import Case, main, message

LIMIT = 26214400


class Size(Case):
    def setUp(self):
        super().setUp()
        self.behind = self.upstream()
        self.daemon = self.onward(upstream=self.behind)

    def content(self, size):
        head = message(b"")
        line = b"0123456789" * 7 + b"abcdef\r\n"
        body = line * ((size - len(head)) // len(line))
        rest = size - len(head) - len(body)
        return head + body + (b"z" * (rest - 2) + b"\r\n" if rest >= 2 else b"")

    def exact(self, size):
        content = self.content(size)
        if len(content) != size:  # one octet was left over
            content = content.replace(b"Subject: a test", b"Subject: a test!")
        self.assertEqual(len(content), size)
        return content

    def test_advertised(self):
        self.assertEqual(self.daemon.client().keywords["SIZE"], [str(LIMIT)])

    def test_exactly_the_limit_passes(self):
        content = self.exact(LIMIT)
        self.assertSent(self.daemon.client(), "sender@origin.test", "alice@fwd.test", content)
        self.assertTrue(self.behind.accepted[0].data.endswith(content))

    def test_one_octet_more_does_not(self):
        client = self.daemon.client()
        result = client.transaction("sender@origin.test", "alice@fwd.test", self.exact(LIMIT + 1))
        self.assertReply(result["data"], 552, "5.3.4", "too-big")
        self.assertSent(client, "sender@origin.test", "alice@fwd.test", message())
        self.assertEqual(len(self.behind.accepted), 1)

    def test_by_bdat(self):
        client = self.daemon.client()
        for size, code in ((LIMIT, 250), (LIMIT + 1, 552)):
            content = self.exact(size)
            client.mail("sender@origin.test")
            self.assertReply(client.rcpt("alice@fwd.test"), 250)
            half = size // 2
            self.assertReply(client.bdat(content[:half], content[half:])[-1], code, "5.3.4" if code == 552 else None)

    def test_declared(self):
        client = self.daemon.client()
        self.assertReply(client.mail("sender@origin.test", f"SIZE={LIMIT + 1}"), 552, "5.3.4", "too-big")
        self.assertReply(client.mail("sender@origin.test", f"SIZE={LIMIT}"), 250)

    def test_far_above_the_limit_closes(self):
        """RS-07: above twice the limit the connection ends."""
        client = self.daemon.client()
        client.mail("sender@origin.test", "SIZE=100")
        client.rcpt("alice@fwd.test")
        self.assertReply(client.cmd("DATA"), 354)
        block = (b"x" * 76 + b"\r\n") * 10000
        try:
            for _ in range(120):  # 93 MB
                client.send(block)
            client.send(b".\r\n")
        except OSError:
            pass
        else:
            self.assertReply(client.reply(), (552, 421))
            self.assertTrue(client.at_eof())
        self.assertEqual(self.behind.attempts, [])

    def test_small_limit_from_the_configuration(self):
        upstream = self.upstream()
        onward = self.onward({"limits": {"message_size": "2 KiB"}}, upstream=upstream)
        client = onward.client()
        self.assertEqual(client.keywords["SIZE"], ["2048"])
        for size, code in ((2048, 250), (2049, 552)):
            result = client.transaction("sender@origin.test", "alice@fwd.test", self.exact(size))
            self.assertReply(result["data"], code)


if __name__ == "__main__":
    main()
