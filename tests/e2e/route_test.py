"""[[route]]: `via` is tried in order, "mx:" asks another domain's MX, "*" is the smart host, and a protocol of its own."""
from lib.case import Case, main, message
from lib.ports import free_port
from lib.upstream import Close


class Route(Case):
    def test_in_order(self):
        first, second = self.upstream(addresses=("127.0.0.41",)), self.upstream(addresses=("127.0.0.42",))
        onward = self.onward({"route": [{"domain": "inbox.test", "via": first.via + second.via}]})
        for _ in range(3):
            self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())
        self.assertEqual((len(first.accepted), len(second.accepted)), (3, 0))

    def test_next_when_down(self):
        second = self.upstream(addresses=("127.0.0.42",))
        onward = self.onward({"route": [{"domain": "inbox.test", "via": [f"127.0.0.41:{free_port()}"] + second.via}]})
        self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())
        self.assertEqual(len(second.accepted), 1)

    def test_next_when_it_hangs_up_before_mail(self):
        """UP-11, §6.9"""
        first = self.upstream({"ehlo": Close()}, addresses=("127.0.0.41",))
        second = self.upstream(addresses=("127.0.0.42",))
        onward = self.onward({"route": [{"domain": "inbox.test", "via": first.via + second.via}]})
        self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())
        self.assertEqual(len(second.accepted), 1)

    def test_ipv6_literal(self):
        behind = self.upstream(addresses=("::1",))
        onward = self.onward(upstream=behind)
        self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())
        self.assertEqual(behind.accepted[0].session.local[0], "::1")

    def test_mx_of_another_domain(self):
        behind = self.upstream(addresses=("127.0.0.43",))
        dns = self.dns("host.test. MX 10 mx.host.test.\nmx.host.test. A 127.0.0.43")
        onward = self.onward({"delivery": {"port": behind.port},
                              "route": [{"domain": "inbox.test", "via": ["mx:host.test"]}]}, dns=dns)
        self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())
        self.assertEqual(behind.accepted[0].recipients, ["alice@inbox.test"])

    def test_the_named_domain_wins_over_the_star(self):
        named, star = self.upstream(addresses=("127.0.0.41",)), self.upstream(addresses=("127.0.0.42",))
        onward = self.onward({"route": [{"domain": "*", "via": star.via}, {"domain": "inbox.test", "via": named.via}]})
        self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())
        self.assertSent(onward.client(), "sender@origin.test", "carol@fwd.test", message())
        self.assertEqual([m.recipients for m in named.accepted], [["alice@inbox.test"]])
        self.assertEqual([m.recipients for m in star.accepted], [["carol@corp.test"]])

    def test_nothing_reachable(self):
        onward = self.onward({"route": [{"domain": "*", "via": [f"127.0.0.41:{free_port()}", f"[::1]:{free_port()}"]}]})
        client = onward.client()
        client.mail("sender@origin.test")
        self.assertReply(client.rcpt("alice@fwd.test"), 451, "4.4.1", "upstream-unreachable")


if __name__ == "__main__":
    main()
