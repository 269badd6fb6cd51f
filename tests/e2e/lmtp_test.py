"""LMTP next hops (RFC 2033): LHLO, one reply for each recipient after the dot, a second recipient of an LMTP group is put
off with 452 4.5.3 while the sender is not ownable (promise.md C.4), and only what was delivered counts (I1)."""
from lib.case import Case, main, message


class Lmtp(Case):
    def test_delivery(self):
        behind = self.upstream(lmtp=True)
        onward = self.onward(upstream=behind)
        self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())
        self.assertEqual(behind.verbs()[0], "LHLO")
        self.assertEqual(behind.accepted[0].recipients, ["alice@inbox.test"])
        self.assertTrue(behind.accepted[0].sender.startswith("SRS0="))

    def test_refusals(self):
        for stage, text, code, enhanced in (("rcpt", "550 5.1.1 no mailbox", 550, "5.1.1"), ("dot", "552 5.2.2 full", 552, "5.2.2"),
                                            ("dot", "452 4.2.2 over quota", 452, "4.2.2")):
            with self.subTest(stage=stage, text=text):
                behind = self.upstream({stage: text}, lmtp=True)
                onward = self.onward(upstream=behind)
                result = onward.client().transaction("sender@origin.test", "alice@fwd.test", message())
                reply = result["data"] if stage == "dot" else result["rcpt"][0]
                self.assertReply(reply, code, enhanced, "upstream")
                self.assertEqual(behind.accepted, [])

    def test_second_recipient_comes_in_a_transaction_of_its_own(self):
        behind = self.upstream(lmtp=True)
        onward = self.onward(upstream=behind)
        client = onward.client()
        client.mail("sender@origin.test")
        self.assertReply(client.rcpt("alice@fwd.test"), 250)
        self.assertReply(client.rcpt("bob@fwd.test"), 452, "4.5.3")
        self.assertReply(client.data(message()), 250)
        self.assertSent(client, "sender@origin.test", "bob@fwd.test", message())
        self.assertEqual([m.recipients for m in behind.accepted], [["alice@inbox.test"], ["bob@inbox.test"]])

    def test_an_alias_with_two_lmtp_recipients(self):
        """C.4: not ownable; one 2xx and one 4xx is a 451, one 2xx and one 5xx is a 554 5.6.0 with a line each."""
        domain = 'name = "fwd.test"\n[[rule]]\naddress = "team"\nto = ["alice@inbox.test", "bob@inbox.test"]\n'
        for second, code, enhanced in (("250 2.0.0 ok", 250, None), ("451 4.2.0 busy", 451, None), ("550 5.2.1 off", 554, "5.6.0")):
            with self.subTest(second):
                behind = self.upstream({"dot": lambda s, line, second=second: second if b"bob@" in line else "250 2.0.0 ok"},
                                       lmtp=True)
                onward = self.onward(upstream=behind, domains={"fwd.test.toml": domain})
                result = onward.client().transaction("sender@origin.test", "team@fwd.test", message())
                self.assertReply(result["rcpt"][0], 250)
                self.assertReply(result["data"], code, enhanced)
                self.assertNotIn("inbox.test", result["data"].text, "the destinations are hidden (UP-08)")


if __name__ == "__main__":
    main()
