"""The log (OP-06): one JSON object a line whatever a peer says, the trace id of the reply in the lines of its message."""
from lib.case import Case, main, message


class Logs(Case):
    def test_hostile_values(self):
        upstream = self.upstream({"rcpt": b"550 5.1.1 \x1b[2J\x00 \xe2\x80\xae evil\r\n"})
        onward = self.onward(upstream=upstream)
        for helo in ('"},{"x":"', "a\x1b[31mb", "a\\u0000", "x" * 900, "{}"):
            client = onward.client(hello=False)
            client.reply()
            client.send(b"EHLO " + helo.encode("latin-1") + b"\r\n")
            client.reply()
            client.send(b'MAIL FROM:<"a\\\\\\"b"@origin.test>\r\nRCPT TO:<alice@fwd.test>\r\nRCPT TO:<a"b@fwd.test>\r\nFOO \xff\x00\r\n')
            for _ in range(4):
                client.reply()
            client.close()
        content = b'Subject: "}\x1b[2J \xff\xe2\x80\xae\r\nMessage-ID: <"},{@x>\r\n\r\nx\r\n'
        upstream.plan.clear()
        client = onward.client()
        client.transaction("sender@origin.test", "alice@fwd.test", content)
        client.close()
        onward.wait_log(event="delivery")
        for line in onward.log_text().splitlines():
            self.assertFalse([c for c in line if ord(c) < 32 or 0x7f <= ord(c) < 0xa0 or c in "\u202e\u2028\udcff"], line)
        self.assertTrue(onward.log())

    def test_ids(self):
        onward = self.onward(upstream=self.upstream({"rcpt": "550 5.1.1 no"}))
        client = onward.client()
        client.mail("sender@origin.test")
        reply = client.rcpt("alice@fwd.test")
        client.close()
        lines = onward.wait_log(id=reply.id)
        self.assertTrue(lines)
        sessions = {line.get("session") for line in lines}
        self.assertEqual(len(sessions), 1)
        self.assertTrue(onward.log(session=sessions.pop(), event="session_end") or onward.wait_log(event="session_end"))

    def test_text_format(self):
        upstream = self.upstream()
        onward = self.onward({"log": {"format": "text"}}, upstream=upstream)
        self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message(subject="a = b \x1b[0m"))
        onward.stop()
        lines = onward.log_text().splitlines()
        self.assertTrue(any("delivery" in line for line in lines), lines)
        self.assertFalse([line for line in lines if "\x1b" in line or line.startswith("{")])

    def test_levels(self):
        upstream = self.upstream()
        onward = self.onward({"log": {"level": "error"}}, upstream=upstream)
        self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())
        self.assertEqual(onward.log(level="info") + onward.log(level="debug"), [])


if __name__ == "__main__":
    main()
