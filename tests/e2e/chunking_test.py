"""CHUNKING (RFC 3030) on both sides: BDAT from the client, BDAT to the upstream, all four ways; errors of BDAT (SM-10)."""
from lib.case import Case, main, message

CHUNKING = ("PIPELINING", "8BITMIME", "SIZE 104857600", "CHUNKING")


class Chunking(Case):
    def test_offered(self):
        onward = self.onward(upstream=self.upstream())
        client = onward.client()
        self.assertIn("CHUNKING", client.keywords)
        self.assertNotIn("BINARYMIME", client.keywords, "§6.23")

    def test_all_four_ways(self):
        content = message("line\r\n.\r\n..\r\n" * 2000)
        for keywords in (CHUNKING, CHUNKING[:-1]):
            upstream = self.upstream(keywords=keywords)
            onward = self.onward(upstream=upstream)
            client = onward.client()
            self.assertSent(client, "sender@origin.test", "alice@fwd.test", content)
            client.mail("sender@origin.test")
            client.rcpt("alice@fwd.test")
            third = len(content) // 3
            replies = client.bdat(content[:third], content[third:2 * third], content[2 * third:])
            self.assertEqual([r.code for r in replies], [250, 250, 250])
            client.mail("sender@origin.test")
            client.rcpt("alice@fwd.test")
            self.assertReply(client.bdat(content, b"")[-1], 250, note="BDAT 0 LAST")
            for arrived in upstream.wait_accepted(3):
                self.assertOriginalKept(content, arrived.data)
                self.assertEqual(arrived.verb, "BDAT" if "CHUNKING" in keywords else "DATA")

    def test_one_octet_chunks(self):
        upstream = self.upstream()
        onward = self.onward(upstream=upstream)
        client = onward.client()
        content = message("tiny\r\n")
        client.mail("sender@origin.test")
        client.rcpt("alice@fwd.test")
        self.assertReply(client.bdat(*[content[i:i + 1] for i in range(len(content))])[-1], 250)
        self.assertOriginalKept(content, upstream.accepted[0].data)

    def test_no_final_line_end(self):
        """§6.6: a BDAT message without a final CRLF gets one when it is relayed by DATA, and stays as it is by BDAT."""
        content = message("no end")
        for keywords, want in ((CHUNKING[:-1], content + b"\r\n"), (CHUNKING, content)):
            upstream = self.upstream(keywords=keywords)
            onward = self.onward(upstream=upstream)
            client = onward.client()
            client.mail("sender@origin.test")
            client.rcpt("alice@fwd.test")
            self.assertReply(client.bdat(content)[-1], 250)
            self.assertOriginalKept(want, upstream.accepted[0].data)

    def test_bdat_0_is_legal(self):
        """§6.6"""
        upstream = self.upstream()
        onward = self.onward(upstream=upstream)
        client = onward.client()
        client.mail("sender@origin.test")
        client.rcpt("alice@fwd.test")
        self.assertReply(client.cmd("BDAT 0"), 250)
        self.assertReply(client.bdat(message())[-1], 250)
        self.assertEqual(len(upstream.accepted), 1)

    def test_errors(self):
        """SM-10, §6.6"""
        upstream = self.upstream()
        onward = self.onward(upstream=upstream)
        for size in ("18446744073709551616", "-1", "x", "5 LASTX", ""):
            client = onward.client()
            client.mail("sender@origin.test")
            client.rcpt("alice@fwd.test")
            self.assertIn(client.cmd(f"BDAT {size}").short, ("501 5.5.4", "552 5.3.4", "500 5.5.2"), size)
            client.close()
        client = onward.client()
        client.mail("sender@origin.test")
        self.assertReply(client.bdat(b"abcde")[0], 554, "5.5.1", note="no recipient")
        client.cmd("RSET")
        self.assertReply(client.bdat(b"abcde")[0], 503, "5.5.1", note="no MAIL")
        client.mail("sender@origin.test")
        client.rcpt("alice@fwd.test")
        client.send("BDAT 5\r\nabcde")
        self.assertReply(client.reply(), 250)
        self.assertReply(client.cmd("DATA"), 503, "5.5.1", note="DATA after BDAT")
        self.assertEqual(upstream.attempts, [])

    def test_refusals_in_a_pipeline_of_chunks(self):
        """Chunks of a refused transaction are swallowed, each gets its answer, the session stays in step."""
        onward = self.onward(upstream=self.upstream())
        client = onward.client()
        client.send(b"MAIL FROM:<sender@origin.test>\r\nRCPT TO:<nobody@fwd.test>\r\nBDAT 5\r\nabcdeBDAT 6 LAST\r\nNOOP\r\nNOOP\r\n")
        self.assertEqual([client.reply().code for _ in range(2)], [250, 550])
        for _ in range(2):
            self.assertIn(client.reply().code, (503, 554))
        self.assertReply(client.reply(), 250)

    def test_upstream_refuses_a_chunk(self):
        for text, code, enhanced in (("552 5.3.4 too much", 552, "5.3.4"), ("451 4.3.0 later", 451, "4.3.0")):
            upstream = self.upstream({"bdat": text, "dot": text}, keywords=CHUNKING)
            onward = self.onward(upstream=upstream)
            result = onward.client().transaction("sender@origin.test", "alice@fwd.test", message("x" * 70 + "\r\n" * 400000))
            self.assertReply(result["data"], code, enhanced, "upstream")
            self.assertEqual(upstream.accepted, [])


if __name__ == "__main__":
    main()
