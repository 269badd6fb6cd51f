"""IPv6 first, IPv4 when that fails or is slow (UP-11, DN-13), and IPv4 in the same session when the IPv6 address is
refused by policy, at MAIL, RCPT and the final dot (interface.md §6.8)."""
import time

from lib.case import Case, main, message
from lib.upstream import Close, Silence, Upstream

RECORDS = "inbox.test. MX 10 mx.inbox.test.\nmx.inbox.test. AAAA ::1\nmx.inbox.test. A 127.0.0.31\n"


class Family(Case):
    def both(self, plans=None, addresses=("::1", "127.0.0.31"), delivery=None, settings=None):
        self.behind = self.upstream(addresses=addresses, plans=plans)
        base = {"delivery": {"port": self.behind.port, "connect_timeout": "3s", "command_timeout": "3s", **(delivery or {})}}
        base.update(settings or {})
        return self.onward(base, dns=self.dns(RECORDS))

    def families(self):
        return [m.session.local[0] for m in self.behind.accepted]

    def test_ipv6_first(self):
        onward = self.both()
        for _ in range(3):
            self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())
        self.assertEqual(set(self.families()), {"::1"})

    def test_ipv4_when_preferred(self):
        onward = self.both(delivery={"prefer": "ipv4"})
        self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())
        self.assertEqual(self.families(), ["127.0.0.31"])

    def test_ipv4_when_ipv6_is_refused(self):
        onward = self.both(addresses=("127.0.0.31",))
        self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())
        self.assertEqual(self.families(), ["127.0.0.31"])

    def test_ipv4_when_ipv6_hangs_up(self):
        """UP-11: FIN instead of a banner."""
        onward = self.both({"::1": {"connect": Close()}})
        self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())
        self.assertEqual(self.families(), ["127.0.0.31"])

    def test_ipv4_when_ipv6_has_no_banner(self):
        """UP-11"""
        onward = self.both({"::1": {"connect": Silence()}}, delivery={"command_timeout": "2s"})
        self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())
        self.assertEqual(self.families(), ["127.0.0.31"])

    def test_black_hole(self):
        """DN-13: 2001:db8::/32 leads nowhere (or is unreachable at once); IPv4 answers within 3 s all the same."""
        self.behind = self.upstream(addresses=("127.0.0.31",))
        onward = self.onward({"delivery": {"port": self.behind.port, "connect_timeout": "10s"}},
                             dns=self.dns(RECORDS.replace("::1", "2001:db8::1")))
        client = onward.client()
        client.mail("sender@origin.test")
        began = time.monotonic()
        self.assertReply(client.rcpt("alice@fwd.test"), 250)
        self.assertLess(time.monotonic() - began, 3)

    REFUSALS = [
        ("5.7.25", "550 5.7.25 [2001:db8::1] The sending IP does not have a PTR record setup"),
        ("Gmail's 5.7.1", "550-5.7.1 [2001:db8::1] Our system has detected that this message does not meet IPv6 sending\r\n"
                          "550 5.7.1 guidelines regarding PTR records and authentication. https://support.example/"),
        ("4.7.x", "450 4.7.1 reverse DNS lookup failed for your address"),
    ]

    def policy(self, stage, refusal):
        onward = self.both({"::1": {stage: refusal}})
        self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message("The same message.\r\n"))
        self.assertEqual(self.families(), ["127.0.0.31"])
        return onward

    def test_policy_refusal_at_mail(self):
        for name, refusal in self.REFUSALS:
            with self.subTest(name):
                self.policy("mail", refusal)

    def test_policy_refusal_at_rcpt(self):
        for name, refusal in self.REFUSALS:
            with self.subTest(name):
                self.policy("rcpt", refusal)

    def test_policy_refusal_at_the_dot(self):
        for name, refusal in self.REFUSALS:
            with self.subTest(name):
                self.policy("dot", refusal)
                self.assertEqual(len(self.behind.attempts), 2)
                self.assertEqual(self.behind.attempts[0].data, self.behind.attempts[1].data, "the same message")

    def test_the_family_is_remembered(self):
        onward = self.policy("dot", self.REFUSALS[0][1])
        before = len(self.behind.attempts)
        self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())
        self.assertEqual(len(self.behind.attempts), before + 1, "IPv6 was not tried again")
        self.assertEqual(self.families()[-1], "127.0.0.31")

    def test_other_refusals_are_not_about_the_family(self):
        onward = self.both({"::1": {"rcpt": "550 5.1.1 no such user"}})
        client = onward.client()
        client.mail("sender@origin.test")
        self.assertReply(client.rcpt("alice@fwd.test"), 550, "5.1.1", "upstream")
        self.assertNotIn("127.0.0.31", [s.local[0] for s in self.behind.sessions if s.rcpts])

    def test_both_families_refuse(self):
        self.behind = Upstream({"dot": self.REFUSALS[0][1]}, addresses=("::1", "127.0.0.31"))
        self.keep(self.behind)
        onward = self.onward({"delivery": {"port": self.behind.port}}, dns=self.dns(RECORDS))
        result = onward.client().transaction("sender@origin.test", "alice@fwd.test", message())
        self.assertReply(result["data"], (550, 451), note="one final reply after both")
        self.assertEqual(self.families(), [])
        self.assertEqual(len(self.behind.attempts), 2)


if __name__ == "__main__":
    main()
