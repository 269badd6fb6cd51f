"""RL-01: the open relay tests of nmap and more; RL-02, RL-14 and the syntax errors around them. Nothing of it reaches any
upstream."""
from lib.case import Case, main

# u: a user of ours, us: our domain, t: the target, nobody's.
FORMS = [
    "relaytest%target.test@fwd.test", "target.test!relaytest@fwd.test", '"relaytest@target.test"@fwd.test', '"relaytest%target.test"',
    "relaytest@target.test@fwd.test", "@fwd.test:relaytest@target.test", "target.test!relaytest", "relaytest@target.test",
    "relaytest%target.test@[127.0.0.1]", "relaytest%target.test@mx.forward.test", '"relaytest@target.test"', "relaytest%target.test",
    "relaytest@target.test@[127.0.0.1]", "@[127.0.0.1]:relaytest@target.test", "target.test!relaytest@[127.0.0.1]",
    "target.test!relaytest@mx.forward.test", '"relaytest@target.test"@[127.0.0.1]', "@mx.forward.test:relaytest@target.test",
    "alice@[127.0.0.1]", "alice@[IPv6:::1]", "alice@fwd.test%00.target.test", "alice@mx.forward.test", "alice@localhost",
    "relaytest@target.test.", "alice@sub.fwd.test", "alice@fwd.test.target.test", "alice@xfwd.test", "alice@notfwd.test",
    "relaytest@[192.0.2.1]", "relaytest@[IPv6:2001:db8::1]", "relaytest@192.0.2.1", "relaytest@fwd.test@target.test",
    "alice%fwd.test@target.test", "@fwd.test,@target.test:relaytest@target.test", "@target.test:relaytest@target.test",
    "alice@fwd.test,relaytest@target.test", "alice@fwd.test;relaytest@target.test", "|/bin/true", "/tmp/file", "\\alice",
    "relaytest@srs.test", "abuse@target.test", "postmaster@target.test", "SRS0=a=b=target.test=relaytest@target.test",
    "alice@fwd..test", ".alice@fwd.test", "alice.@fwd.test", "ali..ce@fwd.test", "alice@-fwd.test", "alice@fwd_.test", "@fwd.test",
    "alice@", "alice @fwd.test", "ali ce@fwd.test", "alice\t@fwd.test", "alice@fwd.test\\", "al\\ice@fwd.test",
]


class OpenRelay(Case):
    def setUp(self):
        super().setUp()
        self.behind = self.upstream()
        self.daemon = self.onward(upstream=self.behind)

    def ask(self, line, number, sender="<spam@nmap.test>"):
        client = self.daemon.client(source=f"127.4.{number // 200}.{number % 200 + 1}")
        self.assertReply(client.cmd(f"MAIL FROM:{sender}"), 250)
        reply = client.cmd(line)
        client.close()
        return reply

    def test_forms(self):
        self.assertGreaterEqual(len(FORMS), 56)
        wrong = []
        for number, form in enumerate(FORMS):
            for sender in ("<spam@nmap.test>", "<>", "<alice@fwd.test>"):
                reply = self.ask(f"RCPT TO:<{form}>", number, sender)
                # A quoted or %-ed local part at our own domain is an unknown user there.
                if reply.short not in ("550 5.7.1", "501 5.1.3", "550 5.1.1", "501 5.5.4", "553 5.6.7"):
                    wrong.append(f"{sender} {form}: {reply}")
        self.assertEqual(wrong, [], "\n".join(wrong))
        self.assertEqual(self.behind.sessions, [], "no connection to any upstream")

    def test_codes(self):
        """interface.md §4: not our domain 550 5.7.1 [relay-denied], unknown recipient 550 5.1.1 [unknown-recipient]."""
        self.assertReply(self.ask("RCPT TO:<a@target.test>", 1), 550, "5.7.1", "relay-denied")
        self.assertReply(self.ask("RCPT TO:<nobody@fwd.test>", 2), 550, "5.1.1", "unknown-recipient")

    def test_source_route_is_stripped(self):
        """RFC 5321 §4.1.1.3, appendix C"""
        self.assertReply(self.ask("RCPT TO:<@relay.test,@other.test:alice@fwd.test>", 3), 250)
        self.assertEqual(self.behind.sessions[0].commands[2], b"RCPT TO:<alice@inbox.test>")

    def test_postmaster_without_domain(self):
        """RFC 5321 §4.5.1"""
        for form in ("<postmaster>", "<POSTMASTER>", "<Postmaster@fwd.test>"):
            self.assertReply(self.ask(f"RCPT TO:{form}", 4), 250, note=form)

    def test_control_characters_in_addresses(self):
        """RL-02"""
        for number, form in enumerate(('"a\\\rb"@fwd.test', '"a\\\x01b"@fwd.test', "a\x01b@fwd.test", '"a\\\nb"@fwd.test', "a\0b@fwd.test")):
            client = self.daemon.client(source=f"127.4.9.{number + 1}")
            client.mail("spam@nmap.test")
            client.send(f"RCPT TO:<{form}>\r\n")
            reply = client.reply()
            self.assertIn(reply.short, ("501 5.1.3", "501 5.1.7", "500 5.5.2", "550 5.1.1"), form)
        self.assertEqual(self.behind.sessions, [])

    def test_vrfy_and_the_like_tell_nothing(self):
        """RL-14"""
        client = self.daemon.client()
        for line, codes in (("VRFY alice", ("252 2.5.0", "252 2.0.0", "252 2.1.5", "502 5.5.1")), ("VRFY alice@fwd.test", None), ("EXPN team", None), ("ETRN fwd.test", None),
                            ("TURN", None), ("XCLIENT ADDR=127.0.0.1", None), ("XFORWARD NAME=x", None)):
            reply = client.cmd(line)
            self.assertIn(reply.code, (252, 500, 502, 550), f"{line}: {reply}")
            self.assertNotIn("inbox.test", reply.text)
        known, unknown = client.cmd("VRFY alice@fwd.test"), client.cmd("VRFY nobody@fwd.test")
        self.assertEqual(known.code, unknown.code)
        self.assertReply(client.cmd("HELP"), (211, 214, 502))


if __name__ == "__main__":
    main()
