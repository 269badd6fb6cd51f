"""STARTTLS to upstreams, opportunistic (TL-03, interface.md [delivery] tls): used when offered, not insisted on, and never
a way to put words into the encrypted session."""
from lib import keys
from lib.case import Case, main, message
from lib.mailworld import said_in_clear
from lib.upstream import Close, Turns


class TlsUpstream(Case):
    def test_used_when_offered(self):
        upstream = self.upstream(tls=keys.tls_server())
        onward = self.onward(upstream=upstream)
        self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message("secret\r\n" * 3000))
        self.assertTrue(upstream.accepted[0].session.tls)
        self.assertEqual(upstream.verbs()[:3], ["EHLO", "STARTTLS", "EHLO"])
        self.assertIn("TLS", onward.wait_log(event="delivery")[0]["upstream_tls"])

    def test_not_used_when_turned_off(self):
        upstream = self.upstream(tls=keys.tls_server())
        onward = self.onward({"delivery": {"tls": "none"}, "route": [{"domain": "*", "via": upstream.via, "tls": "none"}]})
        self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())
        self.assertFalse(upstream.accepted[0].session.tls)

    def test_replies_injected_behind_the_220(self):
        """TL-03: 451 4.7.5 for this host, never read as the answer to EHLO."""
        injected = b"220 2.0.0 go\r\n250-evil.test\r\n250 SIZE 1\r\n"
        upstream = self.upstream({"starttls": injected}, tls=keys.tls_server())
        onward = self.onward(upstream=upstream)
        client = onward.client()
        client.mail("sender@origin.test")
        self.assertReply(client.rcpt("alice@fwd.test"), 451, "4.7.5")
        self.assertEqual(upstream.accepted, [])

    def test_replies_injected_then_the_next_address(self):
        """TL-03: try the next one."""
        bad = self.upstream({"starttls": b"220 go\r\n250 ok\r\n"}, addresses=("127.0.0.91",), tls=keys.tls_server())
        good = self.upstream(addresses=("127.0.0.92",), tls=keys.tls_server())
        onward = self.onward({"route": [{"domain": "*", "via": bad.via + good.via}]})
        self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())
        self.assertEqual(len(good.accepted), 1)

    def test_refused_starttls_goes_on_in_clear_text(self):
        """Opportunistic: 4xx/5xx to STARTTLS is no reason not to deliver (RFC 3207; a policy may forbid that later)."""
        for said in ("454 4.7.0 not now", "502 5.5.1 no"):
            with self.subTest(said):
                upstream = self.upstream({"starttls": said}, tls=keys.tls_server())
                onward = self.onward(upstream=upstream)
                result = onward.client().transaction("sender@origin.test", "alice@fwd.test", message())
                self.assertReply(result["data"] or result["rcpt"][0], 250)

    def test_handshake_fails(self):
        """A hang-up instead of the handshake: another connection in clear text, or 451; never lost, never a 5xx."""
        upstream = self.upstream({"starttls": ["220 go ahead\r\n", Close()]}, tls=keys.tls_server())
        onward = self.onward(upstream=upstream)
        result = onward.client().transaction("sender@origin.test", "alice@fwd.test", message())
        final = result["data"] or result["rcpt"][0]
        self.assertReply(final, (250, 451))
        self.assertEqual(len(upstream.accepted), int(final.code == 250))

    def test_what_has_had_tls_is_remembered(self):
        """tls_fallback: no clear text within a day of TLS with this host, whether its handshake breaks, STARTTLS is
        refused or not offered any more; unless the operator, or the sender, wants it."""
        broken = ["220 go ahead\r\n", Close()]
        for fallback, trouble, extra, code in (
                ("remembered", broken, "", 451), ("remembered", "454 4.7.0 not now", "", 451), ("never", broken, "", 451),
                ("always", broken, "", 250), ("remembered", broken, "TLS-Required: No\r\n", 250),
                ("never", broken, "TLS-Required: No\r\n", 451)):
            with self.subTest(fallback=fallback, trouble=trouble, extra=extra):
                upstream = self.upstream({"dot": ["250 2.0.0 taken", Close()], "starttls": Turns("220 go ahead", trouble)},
                                         tls=keys.tls_server())
                onward = self.onward({"delivery": {"tls_fallback": fallback}}, upstream=upstream)
                client = onward.client()
                self.assertSent(client, "sender@origin.test", "alice@fwd.test", message())
                result = client.transaction("sender@origin.test", "alice@fwd.test", message(extra=extra))
                reply = result["data"] or result["rcpt"][0]
                self.assertEqual(reply.code, code, reply)
                self.assertEqual([m.session.tls for m in upstream.accepted], [True, False] if code == 250 else [True])
                if code == 451:
                    self.assertReply(reply, 451, "4.7.5", "tls")
                    self.assertEqual(said_in_clear(upstream), b"")

    def test_large_message_by_tls_and_bdat(self):
        upstream = self.upstream(tls=keys.tls_server(), keywords=("PIPELINING", "CHUNKING", "SIZE 99999999", "8BITMIME"))
        onward = self.onward(upstream=upstream)
        content = message("0123456789" * 7 + "\r\n" * 2) + (b"y" * 76 + b"\r\n") * 60000
        self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", content)
        self.assertOriginalKept(content, upstream.accepted[0].data)


if __name__ == "__main__":
    main()
