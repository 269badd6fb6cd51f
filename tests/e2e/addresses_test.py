"""Clients with addresses of their own, IPv4 and IPv6, on a dual-stack listener: each is judged by the address it has (no
trust for loopback, IPv4-mapped is IPv4), in SPF, in the log and in Received."""
import unittest

from lib import netns
from lib.case import Case, main, message, unfolded

FOUR, SIX = "192.0.2.2", "2001:db8::2"
OTHER_FOUR, OTHER_SIX = "192.0.2.99", "2001:db8::99"


@unittest.skipIf(netns.missing(), netns.missing())
class Addresses(Case):
    def test_spf_by_family(self):
        names = self.dns(f"""
            author.test. TXT "v=spf1 ip4:{FOUR} ip6:{SIX} -all"
            _dmarc.author.test. TXT "v=DMARC1; p=reject"
            local.test. TXT "v=spf1 ip4:127.0.0.0/8 -all"
            2.2.0.192.in-addr.arpa. PTR mx.author.test.
            mx.author.test. A {FOUR}
            mx.author.test. AAAA {SIX}
            2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR mx.author.test.
            """)
        behind = self.upstream()
        daemon = self.onward({"policy": {"spf": "dmarc", "dmarc": "enforce", "require_auth": "spf-or-dkim"}},
                             upstream=behind, dns=names, start=False)
        daemon.settings["listener"][0]["address"] = f"[::]:{daemon.port}"
        daemon.write_config()
        daemon.start()
        for family, source, good in (("127.0.0.1", FOUR, True), ("127.0.0.1", OTHER_FOUR, False), ("::1", SIX, True),
                                     ("::1", OTHER_SIX, False)):
            with self.subTest(source=source):
                daemon.address = family
                client = daemon.client(source=source)
                content = message(sender="ann@author.test")
                reply = client.transaction("ann@author.test", "alice@fwd.test", content)["data"]
                client.close()
                if not good:
                    self.assertReply(reply, 550, "5.7.1", "dmarc")
                    continue
                self.assertReply(reply, 250)
                fields = dict(self.assertOriginalKept(content, behind.accepted[-1].data))
                self.assertIn("spf=pass", fields["Authentication-Results"])
                self.assertIn(f"client-ip={source}" if "." in source else f'client-ip="{source}"', unfolded(fields["Received-SPF"]))
                literal = f"[{source}]" if "." in source else f"[IPv6:{source}]"
                self.assertIn(f"(mx.author.test {literal})", unfolded(fields["Received"]))
                daemon.wait_log(event="delivery", client_ip=source)
        daemon.address = "127.0.0.1"
        client = daemon.client(source="127.0.0.1")  # interface.md §6.4: loopback is judged like everybody
        reply = client.transaction("x@local.test", "alice@fwd.test", message(sender="x@local.test"))["data"]
        self.assertReply(reply, 250)
        self.assertIn(b"spf=pass smtp.mailfrom=local.test", behind.accepted[-1].data)
        self.assertEqual(len(behind.accepted), 3)


if __name__ == "__main__":
    netns.enter(f"{FOUR}/32", f"{OTHER_FOUR}/32", f"{SIX}/128", f"{OTHER_SIX}/128")
    main()
