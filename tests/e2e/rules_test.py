"""Rules seen from outside: drop, reject, subaddress, patterns, catch-all, deny_from, wildcard, aliases, postmaster
(interface.md §2, §6.16, §6.25, §6.27). The many details are unit tests of policy/ and app/."""
from lib.case import Case, main, message

RULES = {
    "fwd.toml": """
name = "fwd.test"
aliases = "fwd.aliases"
[[rule]]
address = "alice"
to = ["alice@inbox.test"]
deny_from = ["*@spam.test"]
[[rule]]
address = "chosen"
to = ["chosen@inbox.test"]
allow_from = ["*@friend.test", "boss@corp.test"]
[[rule]]
pattern = 'inv-(\\d+)'
to = ['billing+$1@inbox.test']
[[rule]]
address = "trash"
action = "drop"
[[rule]]
address = "old"
action = "reject"
reply = "550 5.1.6 Moved, see https://example.test"
[[rule]]
address = "off"
to = ["off@inbox.test"]
enabled = false
[[rule]]
address = "inner"
to = ["alice@fwd.test"]
""",
    "fwd.aliases": "# a comment\nsupport: first@inbox.test, second@inbox.test\nlong:\n  third@inbox.test\n",
    "wild.toml": 'name = "*.wild.test"\n[catch_all]\nto = ["all@inbox.test"]\n',
    "keep.toml": 'name = "keep.test"\nsubaddressing = "-"\nkeep_tag = true\n[[rule]]\naddress = "bob"\nto = ["bob@inbox.test"]\n',
}


class Rules(Case):
    def setUp(self):
        super().setUp()
        self.behind = self.upstream()
        self.daemon = self.onward(upstream=self.behind, domains=RULES)

    def goes_to(self, recipient, sender="sender@origin.test"):
        before = len(self.behind.accepted)
        self.assertSent(self.daemon.client(), sender, recipient, message())
        return [r for m in self.behind.accepted[before:] for r in m.recipients]

    def refused(self, recipient, code, enhanced, slug=None, sender="sender@origin.test"):
        client = self.daemon.client()
        client.mail(sender)
        self.assertReply(client.rcpt(recipient), code, enhanced, slug, recipient)
        client.close()

    def test_destinations(self):
        for recipient, destinations in (("alice@fwd.test", ["alice@inbox.test"]), ("ALICE@FWD.TEST", ["alice@inbox.test"]),
                                        ("alice+tag@fwd.test", ["alice@inbox.test"]), ("inv-42@fwd.test", ["billing+42@inbox.test"]),
                                        ("support@fwd.test", ["first@inbox.test", "second@inbox.test"]), ("long@fwd.test", ["third@inbox.test"]),
                                        ("inner@fwd.test", ["alice@inbox.test"]), ("x@a.wild.test", ["all@inbox.test"]),
                                        ("bob-tag@keep.test", ["bob-tag@inbox.test"]), ("chosen@fwd.test", None),
                                        ("postmaster@fwd.test", ["ops@inbox.test"]), ("postmaster@a.wild.test", None)):
            if destinations is not None:
                self.assertEqual(sorted(self.goes_to(recipient)), destinations, recipient)

    def test_drop(self):
        self.assertEqual(self.goes_to("trash@fwd.test"), [])
        self.assertEqual(self.daemon.wait_log(event="recipient", status="dropped")[0]["rcpt_to"].strip("<>"), "trash@fwd.test")

    def test_refusals(self):
        self.refused("old@fwd.test", 550, "5.1.6")
        self.refused("off@fwd.test", 550, "5.1.1", "unknown-recipient")
        self.refused("nobody@fwd.test", 550, "5.1.1", "unknown-recipient")
        self.refused("inv-x@fwd.test", 550, "5.1.1", "unknown-recipient")
        self.refused("xinv-1@fwd.test", 550, "5.1.1", "unknown-recipient")
        self.refused("x@wild.test", 550, "5.7.1", "relay-denied")
        self.refused("alice@fwd.test", 550, "5.7.1", "sender-denied", sender="x@spam.test")
        self.refused("chosen@fwd.test", 550, "5.7.1", "sender-denied")

    def test_allowed_sender(self):
        self.assertEqual(self.goes_to("chosen@fwd.test", "a@friend.test"), ["chosen@inbox.test"])
        self.assertEqual(self.goes_to("chosen@fwd.test", "boss@corp.test"), ["chosen@inbox.test"])

    def test_the_reject_text_is_the_operators(self):
        client = self.daemon.client()
        client.mail("sender@origin.test")
        self.assertIn("Moved, see https://example.test", client.rcpt("old@fwd.test").text)


if __name__ == "__main__":
    main()
