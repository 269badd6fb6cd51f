"""DANE (RFC 7672) against a signed zone through a real validating resolver, with Postfix as the destination too: forged and
unsigned answers, records that nobody can use, a key rolled over, a mail host behind an alias, who says AD (TL-04, TL-05)."""
import unittest

from lib import certs, netns, postfix
from lib.case import main
from lib.dnssec import SignedDns
from lib.mailworld import Place, World, WorldCase, said_in_clear
from lib.postfix import Postfix

NOBODY = "3 1 1 " + "ab" * 32


@unittest.skipIf(netns.missing(), netns.missing())
class Dane(WorldCase):
    def how(self, onward, name):
        self.assertReply(self.send(onward, name), 250, note=name)
        return onward.wait_log(event="delivery", rcpt_to=f"{name}@fwd.test")[-1]["upstream_tls"]

    def test_what_is_signed_and_what_is_not(self):
        onward = self.start({
            "signed": Place("self-signed", dane="match"),
            "unsigned": Place("self-signed", dane=lambda _: NOBODY, zone="unsigned.test"),
            "mxonly": Place("self-signed", dane=lambda _: NOBODY, mx="mx.elsewhere.unsigned.test"),
            "bogushost": Place("valid", mx="mx.host.bogus.test"),
        })
        self.assertIn("dane", self.how(onward, "signed"))
        self.assertNotIn("dane", self.how(onward, "unsigned"))
        self.assertNotIn("dane", self.how(onward, "mxonly"))
        reply = self.send(onward, "bogushost")
        self.assertEqual(reply.code, 451, reply)
        self.assertEqual(self.at.hosts["bogushost"].sessions, [])

    def test_forged_records(self):
        """TL-05: a host whose TLSA answer does not validate is not used; another one of the same domain is."""
        onward = self.start({
            "forged": Place("valid", more=f"forged.test. MX 20 mx.other.test.\n"
                                          f"_{{port}}._tcp.mx.forged.test. CNAME x.bogus.test.\nx.bogus.test. TLSA {NOBODY}"),
            "other": Place("self-signed", dane="match")})
        self.assertIn("dane", self.how(onward, "forged"))
        self.assertEqual(len(self.at.hosts["other"].accepted), 1)
        self.assertEqual(said_in_clear(self.at.hosts["forged"]), b"")

    def test_records(self):
        """TL-05: usages 2 and 3, selectors, matching types, two records while a key is rolled over; what cannot be used
        means encryption without verification, and one that can be used among others counts."""
        onward = self.start({
            "full": Place("self-signed", dane=lambda p: certs.tlsa(p, selector=0, matching=0)),
            "sha512": Place("self-signed", dane=lambda p: certs.tlsa(p, matching=2)),
            "rollover": Place("self-signed", dane=lambda p: NOBODY + "\n" + certs.tlsa(p)),
            "mixed": Place("self-signed", dane=lambda p: "0 1 1 " + "cd" * 32 + "\n" + certs.tlsa(p)),
            "unusable": Place("self-signed", dane=lambda _: "1 0 1 " + "cd" * 32 + "\n3 7 1 " + "cd" * 32),
            "unusableplain": Place(None, dane=lambda _: "0 0 1 " + "cd" * 32),
            "expired": Place("expired", dane="match"),
            "wrongname": Place("wrong-name", dane="match"),
        })
        for name in ("full", "sha512", "rollover", "mixed", "expired", "wrongname"):
            self.assertIn("dane", self.how(onward, name), "RFC 7672 §3.1.1: names and dates do not count with usage 3")
        self.assertRegex(self.how(onward, "unusable"), r"^TLSv1\.[23] \S+$")
        self.assertReply(self.send(onward, "unusableplain"), 451, "4.7.5", "tls")
        self.assertEqual(said_in_clear(self.at.hosts["unusableplain"]), b"")

    def test_trust_anchor(self):
        """RFC 7672 §3.1.2: usage 2 names an authority, which need not be one of our roots; it must be in the chain that the
        server sends, and then the name and the dates count, as they do not with usage 3."""
        zone, other = self.keep(certs.Certificates()), self.keep(certs.Certificates())

        def anchor(selector, of=zone):
            return lambda _: certs.tlsa((of.authority,), 2, selector, 1)

        onward = self.start({
            "tacert": Place(zone.chained, dane=anchor(0)),
            "takey": Place(zone.chained, dane=anchor(1)),
            "tadomain": Place(lambda mx: zone.chained(mx.removeprefix("mx.")), dane=anchor(1)),
            "tanew": Place(zone.chained, dane=lambda pair: anchor(1, other)(pair) + "\n" + anchor(0)(pair)),
            "taname": Place(lambda _: zone.chained("another.test"), dane=anchor(0)),
            "takeyname": Place(lambda _: zone.chained("another.test"), dane=anchor(1)),
            "taexpired": Place(lambda mx: zone.chained(mx, expired=True), dane=anchor(1)),
            "taabsent": Place(zone.issued, dane=anchor(0)),
            "takeyabsent": Place(zone.issued, dane=anchor(1)),
            "taother": Place(zone.chained, dane=anchor(1, other)),
            "taleaf": Place(zone.chained, dane=lambda pair: certs.tlsa(pair, 2, 1, 1)),
        })
        for name in ("tacert", "takey", "tadomain", "tanew"):
            self.assertIn("dane", self.how(onward, name), name)
        nothing, wrong = "certificate: no matching DANE TLSA records", "certificate: hostname mismatch"
        for name, fault in (("taname", wrong), ("takeyname", wrong), ("taexpired", "certificate: certificate has expired"),
                            ("taabsent", nothing), ("takeyabsent", nothing), ("taother", nothing), ("taleaf", nothing)):
            self.assertReply(self.send(onward, name), 451, "4.7.5", "tls", name)
            self.assertTrue(onward.wait_log(event="tls_not_used", upstream_host=f"mx.{name}.test", policy="dane", error=fault))
            self.assertEqual(self.at.hosts[name].attempts, [], name)
            self.assertEqual(said_in_clear(self.at.hosts[name]), b"", name)

    def test_an_alias(self):
        """RFC 7672 §2.2.3: records at the end of the alias."""
        onward = self.start({"plain": Place("self-signed", dane="match", mx="alias.plain.test", canonical="real.pool.test")})
        self.assertIn("dane", self.how(onward, "plain"))
        told = onward.run("route", "plain@fwd.test")
        self.assertRegex(told.stdout, r"TLS dane: DANE: 1 usable TLSA records? at _\d+\._tcp\.real\.pool\.test")

    def test_whose_word_counts(self):
        """dns.trust_ad: with "never" the resolver's AD is nothing, and so there is no DANE."""
        world = self.at = self.keep(World({"bad": Place("valid", dane="mismatch")}))
        for trust, code in (("never", 250), ("loopback", 451), ("always", 451)):
            settings = world.settings() | {"dns": {"servers": [world.dns.server], "trust_ad": trust}}
            onward = self.onward(settings, dns=world.dns, domains=world.rules())
            self.assertEqual(self.send(onward, "bad").code, code, trust)

    def test_dane_turned_off(self):
        onward = self.start({"bad": Place("valid", dane="mismatch")}, dane=False)
        self.assertReply(self.send(onward, "bad"), 250)

    @unittest.skipIf(postfix.usable(), postfix.usable())
    def test_postfix(self):
        """The destination is Postfix with a certificate of its own, known by its TLSA record alone; then by a wrong one."""
        pairs = self.keep(certs.Certificates())
        pair, other = pairs.self_signed("mx.post.test"), pairs.self_signed("mx.post.test")
        behind = self.keep(Postfix(("post.test", "bad.test"), {
            "smtpd_tls_security_level": "may", "smtpd_tls_loglevel": "1",
            "smtpd_tls_chain_files": f"{pair[1]}, {pair[0]}"}))
        dns = self.keep(SignedDns(f"""
            post.test. MX 10 mx.post.test.
            bad.test. MX 10 mx.bad.test.
            mx.post.test. A 127.0.0.1
            mx.bad.test. A 127.0.0.1
            _{behind.port}._tcp.mx.post.test. TLSA {certs.tlsa(pair)}
            _{behind.port}._tcp.mx.bad.test. TLSA {certs.tlsa(other)}"""))
        rules = 'name = "fwd.test"\n' + "".join(
            f'[[rule]]\naddress = "{n}"\nto = ["user@{n}.test"]\n' for n in ("post", "bad"))
        onward = self.onward({"delivery": {"port": behind.port, "dane": True}}, dns=dns, domains={"fwd.test.toml": rules})
        self.assertIn("dane", self.how(onward, "post"))
        self.assertReply(self.send(onward, "bad"), 451, "4.7.5", "tls")
        self.assertEqual(len(behind.messages("user@post.test")), 1)
        self.assertEqual(len(behind.messages("user@bad.test")), 0)
        self.assertIn("TLS connection established", behind.log())


if __name__ == "__main__":
    netns.enter()
    main()
