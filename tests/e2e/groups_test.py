"""One transaction, one destination group, while the sender is not ownable (promise.md C.4): a second group is put off with
452 4.5.3, one group takes many recipients, verdicts are each recipient's own."""
from lib.case import Case, main, message


class Groups(Case):
    def test_second_group_is_put_off(self):
        inbox, corp = self.upstream(), self.upstream()
        onward = self.onward({"route": [{"domain": "inbox.test", "via": inbox.via}, {"domain": "corp.test", "via": corp.via}]})
        client = onward.client()
        client.mail("sender@origin.test")
        self.assertReply(client.rcpt("alice@fwd.test"), 250)
        self.assertReply(client.rcpt("carol@fwd.test"), 452, "4.5.3")
        self.assertReply(client.rcpt("bob@fwd.test"), 250, note="the first group goes on")
        self.assertReply(client.data(message()), 250)
        self.assertSent(client, "sender@origin.test", "carol@fwd.test", message())
        self.assertEqual([m.recipients for m in inbox.accepted], [["alice@inbox.test", "bob@inbox.test"]])
        self.assertEqual([m.recipients for m in corp.accepted], [["carol@corp.test"]])

    def test_each_recipient_hears_its_own_verdict(self):
        plan = {"rcpt": lambda s, line: "550 5.1.1 not bob" if b"bob@" in line else "250 2.1.5 ok"}
        upstream = self.upstream(plan)
        onward = self.onward(upstream=upstream)
        client = onward.client()
        client.mail("sender@origin.test")
        self.assertReply(client.rcpt("alice@fwd.test"), 250)
        self.assertReply(client.rcpt("bob@fwd.test"), 550, "5.1.1", "upstream")
        self.assertReply(client.data(message()), 250)
        self.assertEqual([m.recipients for m in upstream.accepted], [["alice@inbox.test"]])

    def test_100_recipients_in_one_go(self):
        """RS-05: 100 are taken, the next is 452 4.5.3."""
        upstream = self.upstream()
        domain = 'name = "fwd.test"\n[[rule]]\npattern = "u([0-9]+)"\nto = ["u$1@inbox.test"]\n'
        onward = self.onward(upstream=upstream, domains={"fwd.test.toml": domain})
        client = onward.client()
        client.send("MAIL FROM:<sender@origin.test>\r\n" + "".join(f"RCPT TO:<u{n}@fwd.test>\r\n" for n in range(101)))
        self.assertReply(client.reply(), 250)
        for number in range(100):
            self.assertReply(client.reply(), 250, note=str(number))
        self.assertReply(client.reply(), 452, "4.5.3")
        self.assertReply(client.data(message()), 250)
        self.assertEqual(upstream.accepted[0].recipients, [f"u{n}@inbox.test" for n in range(100)])

    def test_the_same_recipient_twice_is_delivered_once(self):
        upstream = self.upstream()
        onward = self.onward(upstream=upstream)
        self.assertSent(onward.client(), "sender@origin.test", ["alice@fwd.test", "ALICE@fwd.test"], message())
        self.assertEqual(upstream.accepted[0].recipients, ["alice@inbox.test"])


if __name__ == "__main__":
    main()
