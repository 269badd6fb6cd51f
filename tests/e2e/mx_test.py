"""Where a message goes by DNS (nsd): MX by preference, equal preference at random, implicit MX, null MX (RFC 7505),
NXDOMAIN (interface.md §6.7), ourselves (§6.3), private addresses (UP-13), several addresses (DN-04)."""
from lib.case import Case, main, message

NAMES = ["inbox", "plain", "null", "nowhere", "text", "self", "many"] + [f"p{n}" for n in range(11)]
RULES = 'name = "fwd.test"\n' + "".join(f'[[rule]]\naddress = "{n}"\nto = ["user@{n}.test"]\n' for n in NAMES)


class Mx(Case):
    def relay(self, records, addresses, settings=None, plans=None):
        self.behind = self.upstream(addresses=addresses, plans=plans)
        delivery = {"port": self.behind.port, "connect_timeout": "2s", "command_timeout": "5s", **(settings or {})}
        return self.onward({"delivery": delivery}, dns=self.dns(records), domains={"fwd.test.toml": RULES})

    def send(self, onward, domain):
        client = onward.client()
        result = client.transaction("sender@origin.test", f"{domain}@fwd.test", message())
        client.close()
        return result

    def refused(self, onward, domain, code, enhanced, slug=None):
        reply = self.send(onward, domain)["rcpt"][0]
        self.assertReply(reply, code, enhanced, slug, domain)
        return reply

    def test_preference(self):
        onward = self.relay("""
            inbox.test. MX 20 b.inbox.test.
            inbox.test. MX 10 a.inbox.test.
            a.inbox.test. A 127.0.0.21
            b.inbox.test. A 127.0.0.22""", ("127.0.0.21", "127.0.0.22"))
        for _ in range(4):
            self.assertReply(self.send(onward, "inbox")["data"], 250)
        self.assertEqual({m.session.local[0] for m in self.behind.accepted}, {"127.0.0.21"})

    def test_next_preference_when_the_first_is_down(self):
        onward = self.relay("""
            inbox.test. MX 10 a.inbox.test.
            inbox.test. MX 20 b.inbox.test.
            a.inbox.test. A 127.0.0.21
            b.inbox.test. A 127.0.0.22""", ("127.0.0.22",))
        self.assertReply(self.send(onward, "inbox")["data"], 250)
        self.assertEqual(self.behind.accepted[0].session.local[0], "127.0.0.22")

    def test_equal_preference_is_shared(self):
        """16 sessions at once, so that none can be used again: 2^-15 that chance alone shows one host only."""
        onward = self.relay("""
            inbox.test. MX 10 a.inbox.test.
            inbox.test. MX 10 b.inbox.test.
            a.inbox.test. A 127.0.0.21
            b.inbox.test. A 127.0.0.22""", ("127.0.0.21", "127.0.0.22"), {"connections_per_destination": 64})
        for number in range(16):
            client = onward.client(source=f"127.{30 + number}.0.1")
            client.mail("sender@origin.test")
            client.send("RCPT TO:<inbox@fwd.test>\r\n")
        for client in onward.clients:
            self.assertReply(client.reply(), 250)
        self.assertEqual({s.local[0] for s in self.behind.sessions}, {"127.0.0.21", "127.0.0.22"})

    def test_implicit_mx(self):
        onward = self.relay("plain.test. A 127.0.0.23", ("127.0.0.23",))
        self.assertReply(self.send(onward, "plain")["data"], 250)

    def test_no_implicit_mx_beside_an_mx(self):
        onward = self.relay("inbox.test. A 127.0.0.23\ninbox.test. MX 10 gone.inbox.test.", ("127.0.0.23",))
        reply = self.send(onward, "inbox")["rcpt"][0]
        self.assertIn(reply.code, (451, 550), reply)
        self.assertEqual(self.behind.accepted, [])

    def test_null_mx(self):
        onward = self.relay("null.test. MX 0 .\nnull.test. A 127.0.0.23", ("127.0.0.23",))
        self.refused(onward, "null", 556, "5.1.10")
        self.assertEqual(self.behind.sessions, [])

    def test_nxdomain(self):
        onward = self.relay("", ("127.0.0.23",))
        self.refused(onward, "nowhere", 550, "5.1.2")

    def test_no_address_at_all(self):
        onward = self.relay('text.test. TXT "nothing else"', ("127.0.0.23",))
        reply = self.send(onward, "text")["rcpt"][0]
        self.assertReply(reply, (550, 451), note="no MX, A or AAAA")
        self.assertNotEqual(reply.slug, "")

    def test_mx_is_us(self):
        """UP-13, §6.3: address and port of one of our own listeners is a loop."""
        upstream = self.upstream()  # only for the port's sake
        onward = self.onward({"delivery": {"port": 1}}, start=False, domains={"fwd.test.toml": RULES},
                             dns=self.dns("self.test. MX 10 mx.self.test.\nmx.self.test. A 127.0.0.1"))
        onward.settings["delivery"]["port"] = onward.port
        onward.write_config()
        onward.start()
        self.refused(onward, "self", 554, "5.4.6", "loop")
        self.assertEqual(upstream.sessions, [])

    def test_private_addresses_are_refused(self):
        """UP-13: no SSRF through a stranger's MX."""
        records = ""
        for number, address in enumerate(("127.0.0.23", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.1.1", "0.0.0.0")):
            records += f"p{number}.test. MX 10 mx.p{number}.test.\nmx.p{number}.test. A {address}\n"
        for number, address in enumerate(("::1", "fe80::1", "fd00::1", "::ffff:127.0.0.23", "::"), start=6):
            records += f"p{number}.test. MX 10 mx.p{number}.test.\nmx.p{number}.test. AAAA {address}\n"
        onward = self.relay(records, ("127.0.0.23", "::1"), {"private_destinations": False})
        for number in range(11):
            self.refused(onward, f"p{number}", 550, "5.4.4")
        self.assertEqual(self.behind.sessions, [])

    def test_a_static_route_may_be_private(self):
        """What the operator writes into [[route]] is his own choice."""
        behind = self.upstream()
        onward = self.onward({"delivery": {"private_destinations": False}}, upstream=behind)
        client = onward.client()
        result = client.transaction("sender@origin.test", "alice@fwd.test", message())
        self.assertReply(result["rcpt"][0], (250, 550))
        if result["rcpt"][0].code == 550:
            self.assertEqual(result["rcpt"][0].enhanced, "5.4.4")

    def test_500_mx_of_100_addresses(self):
        """DN-04: the answers are bounded; the message still arrives or is refused with 4xx, in time."""
        lines = [f"many.test. MX {n % 50} m{n}.many.test." for n in range(60)]
        lines += [f"m{n}.many.test. A 127.0.1.{a}" for n in range(60) for a in range(1, 21)]
        onward = self.relay("\n".join(lines), ("127.0.0.23",), {"connect_timeout": "1s"})
        reply = self.send(onward, "many")["rcpt"][0]
        self.assertReply(reply, 451, ("4.4.1", "4.4.3"))


if __name__ == "__main__":
    main()
