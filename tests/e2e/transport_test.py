"""What a destination's protection and our own mode come to: every upstream mode against every kind of destination, with
signed DNS (nsd, unbound), real certificates and a real HTTPS server. The table goes into docs/transport-security.md
(ONWARD_WRITE_DOCS=1 writes it, otherwise it must be there). Asserted at the destination: where clear text is forbidden,
not one octet of a transaction comes without TLS (TL-04)."""
import os
import unittest

from lib import netns
from lib.case import Case, main, message
from lib.mailworld import Place, World, said_in_clear

MODES = ("none", "opportunistic", "encrypt", "verify")
PLACES = {
    "plain": ("no STARTTLS", Place(None)),
    "selfsigned": ("self-signed certificate", Place("self-signed")),
    "valid": ("valid certificate", Place("valid")),
    "expired": ("expired certificate", Place("expired")),
    "wrongname": ("certificate for another name", Place("wrong-name")),
    "danematch": ("DANE, record matches", Place("self-signed", dane="match")),
    "danemismatch": ("DANE, record does not match", Place("valid", dane="mismatch")),
    "danestripped": ("DANE, no STARTTLS", Place(None, dane=lambda _: "3 1 1 " + "ab" * 32)),
    "stsmatch": ("MTA-STS enforce, host and certificate match", Place("valid", sts=(["mx.stsmatch.test"], {}))),
    "stsmismatch": ("MTA-STS enforce, host not in the policy", Place("valid", sts=(["mx.other.test"], {}))),
    "stscertificate": ("MTA-STS enforce, self-signed certificate",
                       Place("self-signed", sts=(["*.stscertificate.test"], {}))),
    "stsstripped": ("MTA-STS enforce, no STARTTLS", Place(None, sts=(["mx.stsstripped.test"], {}))),
    "ststesting": ("MTA-STS testing, host not in the policy",
                   Place("valid", sts=(["mx.other.test"], {"mode": "testing"}))),
}
CLEAR, TLS, REFUSED = "clear text", "TLS, any certificate", "451 4.7.5, nothing sent"
ROOTS, DANE, STS = "TLS, verified", "TLS, verified by DANE", "TLS, verified for MTA-STS"
POLICIES = {"danematch": DANE, "danemismatch": REFUSED, "danestripped": REFUSED, "stsmatch": STS,
            "stsmismatch": REFUSED, "stscertificate": REFUSED, "stsstripped": REFUSED}
EXPECTED = {
    "none": {name: CLEAR for name in PLACES},
    "opportunistic": {name: TLS for name in PLACES} | {"plain": CLEAR} | POLICIES,
    "encrypt": {name: TLS for name in PLACES} | {"plain": REFUSED} | POLICIES,
    "verify": {name: ROOTS for name in PLACES} | POLICIES |
              dict.fromkeys(("plain", "selfsigned", "expired", "wrongname"), REFUSED),
}
DOCUMENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/transport-security.md")
BEGIN, END = "<!-- made by tests/e2e/transport_test.py: begin -->\n", "<!-- made by tests/e2e/transport_test.py: end -->\n"


def table(seen):
    lines = ["| Destination | " + " | ".join(f"`{mode}`" for mode in MODES) + " |", "|---" * (len(MODES) + 1) + "|"]
    for name, (title, _) in PLACES.items():
        lines.append(f"| {title} | " + " | ".join(seen[mode][name] for mode in MODES) + " |")
    return "\n".join(lines) + "\n"


@unittest.skipIf(netns.missing(), netns.missing())
class Transport(Case):
    def one(self, onward, world, name):
        """What became of one message to this destination, as a cell of the table."""
        host = world.hosts[name]
        sessions, accepted = len(host.sessions), len(host.accepted)
        client = onward.client()
        result = client.transaction("sender@origin.test", f"{name}@fwd.test", message(token="secret-" + name))
        client.close()
        reply = result["data"] or result["rcpt"][0]
        got = host.accepted[accepted:]
        clear = said_in_clear(host, sessions)
        if reply.code != 250:
            self.assertReply(reply, 451, "4.7.5", "tls", name)
            self.assertEqual((got, clear), ([], b""), f"{name}: nothing may be said in clear text (TL-04)")
            return REFUSED
        self.assertEqual(len(got), 1, name)
        if not got[0].session.tls:
            self.assertIn(b"secret-" + name.encode(), clear)
            return CLEAR
        self.assertEqual(clear, b"", name)
        said = onward.wait_log(event="delivery", rcpt_to=f"{name}@fwd.test")[-1]["upstream_tls"]
        return {"dane": DANE, "mta-sts": STS, "verified": ROOTS}.get(said.split()[-1], TLS)

    def test_every_mode_with_every_destination(self):
        world = self.keep(World({name: place for name, (_, place) in PLACES.items()}))
        seen = {}
        for mode in MODES:
            onward = self.onward(world.settings(tls=mode), dns=world.dns, domains=world.rules())
            seen[mode] = {name: self.one(onward, world, name) for name in PLACES}
        self.assertEqual(seen, EXPECTED)
        with open(DOCUMENT, encoding="utf-8") as f:
            before, rest = f.read().split(BEGIN)
        _, after = rest.split(END)
        if os.environ.get("ONWARD_WRITE_DOCS"):
            with open(DOCUMENT, "w", encoding="utf-8") as f:
                f.write(before + BEGIN + table(seen) + END + after)
        else:
            self.assertEqual(rest[:rest.index(END)], table(seen), "run this test with ONWARD_WRITE_DOCS=1")


if __name__ == "__main__":
    netns.enter()
    main()
