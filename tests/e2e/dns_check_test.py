"""`onward dns records` and `dns check` (issue "Operating it"): what is printed, served by a real nsd, passes every check;
and each fault of a table, one at a time, is named by the right check with the right status and by no other."""
import json
import re
from concurrent.futures import ThreadPoolExecutor

from lib.case import Case, main
from lib.dns import Dns
from lib.onward import merge, write_toml

V4, V6 = "198.18.0.25", "2001:db8::25"  # ours, as the world sees them
PROXY4, PROXY6 = "104.16.1.1", "2606:4700::1111"
WHOLE = ["--address", V4, "--address", V6]

FORWARDED = """
name = "fwd.test"
dkim = [ {selector = "d1", file = "../keys/ow1.rsa.pem"} ]
[[rule]]
address = "alice"
to = ["alice@inbox.test"]
"""
PTR4 = "25.0.18.198.in-addr.arpa."
PTR6 = "5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa."
SPF = f"v=spf1 ip4:{V4} ip6:{V6} -all"


def strings(text):
    return " ".join(f'"{text[i:i + 255]}"' for i in range(0, len(text), 255))


def txt(owner, text):
    return f"{owner} TXT {strings(text)}"


def spf(text, owner="fwd.test."):
    """Replaces the SPF record of `owner`."""
    return [("-", owner + " 3600 IN TXT"), ("+", txt(owner, text))]


def mx(*targets, owner="fwd.test."):
    return [("-", owner + " 3600 IN MX")] + [("+", f"{owner} MX {target}") for target in targets]


def dkim(change):
    """Replaces the text of our domain's key record by change(text)."""
    return [("dkim", change)]


def dmarc(text, owner="_dmarc.fwd.test."):
    return [("-", owner + " 3600 IN TXT")] + ([("+", txt(owner, text))] if text else [])


def swap(text, at):
    """Another character of the alphabet at position `at` of the value of p=."""
    at += text.index("p=") + 2
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1:]


MANY = [("+", line) for n in range(11) for line in (f"i{n}.inc.test. TXT \"v=spf1 ip4:192.0.2.{n} -all\"",)]
HOSTS = [("+", f"h{n}.inc.test. A {V4}") for n in range(12)] + [("+", f"h{n}.inc.test. AAAA {V6}") for n in range(12)]

# (what, edits of the good zone, {check: status} of all that do not pass, words of the details)
FAULTS = [
    # --- MX
    ("no MX", mx(), {"mx": "fail"}, ["no MX record"]),
    ("null MX", mx("0 ."), {"mx": "fail"}, ["null MX"]),
    ("null MX beside another", mx("0 .", "10 mx.forward.test."), {"mx": "fail"}, ["null MX"]),
    ("Cloudflare's MX", mx("13 amir.mx.cloudflare.net.", "86 linda.mx.cloudflare.net."),
     {"mx": "fail", "mx-foreign": "fail"}, ["Cloudflare Email Routing"]),
    ("Cloudflare's MX first", mx("5 route1.mx.cloudflare.net.", "10 mx.forward.test."),
     {"mx": "fail", "mx-foreign": "fail"}, ["route1.mx.cloudflare.net (5, Cloudflare Email Routing) first"]),
    ("ImprovMX as a backup", mx("10 mx.forward.test.", "20 mx2.improvmx.com."),
     {"mx": "warn", "mx-foreign": "fail"}, ["ImprovMX"]),
    ("Forward Email", mx("0 mx1.forwardemail.net."), {"mx": "fail", "mx-foreign": "fail"}, ["Forward Email"]),
    ("SimpleLogin", mx("10 mx1.simplelogin.co."), {"mx": "fail", "mx-foreign": "fail"}, ["SimpleLogin"]),
    ("addy.io", mx("10 mail.anonaddy.me.", "20 mail2.anonaddy.me."), {"mx": "fail", "mx-foreign": "fail"}, ["addy.io"]),
    ("somebody else's host", mx("10 mx.other.test.") + [("+", "mx.other.test. A 198.18.9.9")], {"mx": "fail"},
     ["mx.other.test (10)", "not to mx.forward.test"]),
    ("a backup that is not us", mx("10 mx.forward.test.", "20 mx.other.test.") + [("+", "mx.other.test. A 198.18.9.9")],
     {"mx": "warn"}, ["mx.other.test (20) also takes mail"]),
    ("an address as target", mx("10 198.18.0.25."), {"mx": "fail", "mx-address": "fail"}, ["an MX record needs a name"]),
    ("a target without address", mx("10 mx.forward.test.", "20 gone.forward.test."), {"mx": "warn", "mx-address": "fail"},
     ["gone.forward.test has no address"]),
    ("an alias as target", mx("10 in.fwd.test.") + [("+", "in.fwd.test. CNAME mx.forward.test.")], {"mx-address": "fail"},
     ["alias (CNAME) of mx.forward.test"]),
    ("a target with a stranger's address, too", mx("10 in.fwd.test.") +
     [("+", f"in.fwd.test. A {V4}"), ("+", "in.fwd.test. A 198.18.7.7")], {"mx-address": "fail"}, ["198.18.7.7"]),
    ("a proxied target", mx("10 in.fwd.test.") + [("+", f"in.fwd.test. A {PROXY4}"), ("+", f"in.fwd.test. AAAA {PROXY6}")],
     {"mx": "fail", "mx-proxy": "fail"}, [PROXY4, PROXY6, "Cloudflare's proxy"]),
    ("a domain that is not there", [("-", "fwd.test."), ("-", "_dmarc.fwd.test."), ("-", "_smtp._tls.fwd.test."),
                                    ("-", "d1._domainkey.fwd.test.")],
     {"mx": "fail", "spf": "warn", "dkim": "fail", "dmarc": "warn", "tls-rpt": "warn"}, ["does not exist in DNS"]),
    ("a short TTL", [("-", "fwd.test. 3600 IN MX"), ("+", "fwd.test. 5 IN MX 10 mx.forward.test.")], {"ttl": "warn"},
     ["fwd.test MX may be kept for 5 s only"]),
    # --- SPF
    ("no SPF", [("-", "fwd.test. 3600 IN TXT")], {"spf": "warn"}, ["no SPF record"]),
    ("two SPF records", [("+", txt("fwd.test.", "v=spf1 include:other.test ~all"))], {"spf": "fail"}, ["2 SPF records"]),
    ("a mistyped version", spf("v=spf1;ip4:198.18.0.25 -all"), {"spf": "fail"}, ['begin with "v=spf1 "']),
    ("a syntax error", spf(f"v=spf1 ip4:198.18.0.256 ip6:{V6} -all"), {"spf": "fail"},
     ["syntax error in ip4:198.18.0.256"]),
    ("ptr in SPF", spf(f"v=spf1 ip4:{V4} ip6:{V6} ptr -all"), {"spf": "warn"}, ["should not be used"]),
    ("the IPv6 address is missing", spf(f"v=spf1 ip4:{V4} -all"), {"spf-egress": "warn"}, [V6, "fail"]),
    ("the IPv4 address is missing", spf(f"v=spf1 ip6:{V6} ~all"), {"spf-egress": "warn"}, [V4, "softfail"]),
    ("the SRS domain leaves IPv6 out", spf(f"v=spf1 ip4:{V4} -all", "srs.test."), {"srs-spf-egress": "fail"}, [V6]),
    ("the SRS domain has no SPF", [("-", "srs.test. 3600 IN TXT")], {"srs-spf": "fail"}, ["no SPF record"]),
    ("the host name's own SPF", [("-", "mx.forward.test. 3600 IN TXT")], {"host-spf": "fail"}, ["mx.forward.test has no SPF"]),
    ("the host name's SPF leaves IPv4 out", spf(f"v=spf1 ip6:{V6} -all", "mx.forward.test."), {"host-spf-egress": "fail"}, [V4]),
    ("+all", spf(f"v=spf1 ip4:{V4} ip6:{V6} +all"), {"spf-all": "fail"}, ["everybody may send"]),
    ("?all", spf(f"v=spf1 ip4:{V4} ip6:{V6} ?all"), {"spf-all": "warn"}, ["?all"]),
    ("no all", spf(f"v=spf1 ip4:{V4} ip6:{V6}"), {"spf-all": "warn"}, ["does not end in"]),
    ("a redirect to a record without all", spf("v=spf1 redirect=r.test") + [("+", txt("r.test.", f"v=spf1 ip4:{V4} ip6:{V6}"))],
     {"spf-all": "warn"}, ["does not end in"]),
    ("eleven includes", spf("v=spf1 " + " ".join(f"include:i{n}.inc.test" for n in range(11)) + f" ip4:{V4} ip6:{V6} -all") +
     MANY, {"spf-lookups": "fail", "spf-egress": "warn"}, ["11 terms"]),
    ("eleven look-ups, most of them nested", spf(f"v=spf1 ip4:{V4} ip6:{V6} include:n.inc.test -all") +
     [("+", txt("n.inc.test.", "v=spf1 " + " ".join(f"a:h{n}.inc.test" for n in range(10)) + " -all"))] + HOSTS,
     {"spf-lookups": "fail"}, ["11 terms"]),
    ("an include that goes round", spf(f"v=spf1 ip4:{V4} ip6:{V6} include:fwd.test -all"), {"spf-lookups": "fail"},
     ["at least 30 terms"]),
    ("three voids", spf(f"v=spf1 a:x1.test a:x2.test mx:x3.test ip4:{V4} ip6:{V6} -all"),
     {"spf-lookups": "fail", "spf-egress": "warn"}, ["3 questions without an answer for IPv4", "x1.test, x2.test, x3.test"]),
    ("voids for IPv6 only", spf(f"v=spf1 a:h4a.test a:h4b.test a:h4c.test ip6:{V6} -all") +
     [("+", f"h4{c}.test. A {V4}") for c in "abc"], {"spf-lookups": "fail", "spf-egress": "warn"},
     ["3 questions without an answer for IPv6"]),
    ("an include without a record", spf(f"v=spf1 ip4:{V4} ip6:{V6} include:gone.test -all"), {"spf-lookups": "fail"},
     ["include:gone.test has no SPF record"]),
    ("a stale include of Cloudflare", spf(f"v=spf1 ip4:{V4} ip6:{V6} include:_spf.mx.cloudflare.net -all") +
     [("+", txt("_spf.mx.cloudflare.net.", "v=spf1 ip4:104.30.0.0/20 ~all"))], {"spf-foreign": "warn"},
     ["include:_spf.mx.cloudflare.net lets Cloudflare Email Routing"]),
    ("a stale include of addy.io", spf(f"v=spf1 ip4:{V4} ip6:{V6} include:spf.anonaddy.me -all") +
     [("+", txt("spf.anonaddy.me.", "v=spf1 ip4:192.0.2.1 -all"))], {"spf-foreign": "warn"}, ["addy.io"]),
    # --- DKIM
    ("no key", [("-", "d1._domainkey.fwd.test.")], {"dkim": "fail"}, ["d1._domainkey.fwd.test has no TXT record"]),
    ("the key under another selector", [("-", "d1._domainkey.fwd.test."), ("+", txt("d2._domainkey.fwd.test.", "v=DKIM1; p=AAAA"))],
     {"dkim": "fail"}, ["has no TXT record"]),
    ("one wrong character", dkim(lambda text: swap(text, 100)), {"dkim": "fail"}, ["character 101 of 392"]),
    ("a key cut at 255", dkim(lambda text: text[:255]), {"dkim": "fail"}, ["ends after 237 of 392"]),
    ("something after the key", dkim(lambda text: text + "AAAA"), {"dkim": "fail"}, ["goes on after character 392"]),
    ("a revoked key", dkim(lambda text: "v=DKIM1; k=rsa; p="), {"dkim": "fail"}, ["revokes"]),
    ("another type", dkim(lambda text: text.replace("k=rsa", "k=ed25519")), {"dkim": "fail"}, ["verifiers will not use it"]),
    ("only SHA-1", dkim(lambda text: text.replace("k=rsa", "k=rsa; h=sha1")), {"dkim": "fail"}, ["not for this hash"]),
    ("a key that is only tested", dkim(lambda text: text.replace("k=rsa", "k=rsa; t=y")), {"dkim": "warn"}, ["t=y"]),
    ("no key record at all", dkim(lambda text: "hello"), {"dkim": "fail"}, ["is no key record"]),
    ("two key records", [("+", txt("d1._domainkey.fwd.test.", "v=DKIM1; p="))], {"dkim": "fail"}, ["2 TXT records"]),
    ("our own signing key is not there", [("-", "ow1e._domainkey.forward.test.")], {"signer-dkim": "fail"},
     ["ow1e._domainkey.forward.test has no TXT record"]),
    # --- DMARC
    ("no DMARC", dmarc(""), {"dmarc": "warn"}, ["no DMARC record"]),
    ("two DMARC records", [("+", txt("_dmarc.fwd.test.", "v=DMARC1; p=none"))], {"dmarc": "fail"}, ["several"]),
    ("a bad DMARC policy", dmarc("v=DMARC1; p=bounce"), {"dmarc": "fail"}, ["has an error"]),
    ("no DMARC version", dmarc("p=reject"), {"dmarc": "fail"}, ["must begin with"]),
    ("p=none", dmarc("v=DMARC1; p=none; rua=mailto:postmaster@fwd.test"), {"dmarc": "warn"}, ["p=none"]),
    ("reports to strangers", dmarc("v=DMARC1; p=reject; rua=mailto:dmarc@reports.test"), {"dmarc-reports": "warn"},
     ["reports.test has not said"]),
    # --- transport
    ("no TLS-RPT", [("-", "_smtp._tls.fwd.test.")], {"tls-rpt": "warn"}, ["not published"]),
    ("TLS-RPT without rua", [("-", "_smtp._tls.fwd.test."), ("+", txt("_smtp._tls.fwd.test.", "v=TLSRPTv1;"))],
     {"tls-rpt": "fail"}, ["needs rua="]),
    ("MTA-STS without id", [("+", txt("_mta-sts.fwd.test.", "v=STSv1;")), ("+", f"mta-sts.fwd.test. A {V4}")],
     {"mta-sts": "fail"}, ["id="]),
    ("MTA-STS without a host", [("+", txt("_mta-sts.fwd.test.", "v=STSv1; id=1;"))], {"mta-sts": "fail"},
     ["mta-sts.fwd.test has no address"]),
    ("MTA-STS that nobody here serves", [("+", txt("_mta-sts.fwd.test.", "v=STSv1; id=1;")), ("+", f"mta-sts.fwd.test. A {V4}")],
     {"mta-sts": "warn"}, ["not served here"]),
    ("TLSA of another key, unsigned", [("+", "_25._tcp.mx.forward.test. TLSA 3 1 1 " + "ab" * 32)], {"tlsa": "fail"},
     ["no TLSA record is that of our certificate's key", "without DNSSEC"]),
    # --- the host
    ("the host is proxied", [("-", "mx.forward.test. 3600 IN A "), ("+", f"mx.forward.test. A {PROXY4}")],
     {"host-proxy": "fail", "mx-proxy": "fail", "srs-mx-proxy": "fail", "ptr-forward": "fail"}, [PROXY4]),
    ("the host has a stranger's address", [("+", "mx.forward.test. A 198.18.7.7")],
     {"host-address": "fail", "mx-address": "fail", "srs-mx-address": "fail"}, ["198.18.7.7, which is not this machine's"]),
    ("the host has no AAAA", [("-", "mx.forward.test. 3600 IN AAAA")], {"host-address": "warn", "ptr-forward": "fail"},
     ["no AAAA record", f"does not lead back to {V6}"]),
    ("no PTR for IPv6", [("-", PTR6)], {"ptr": "fail"}, [f"{V6} has no PTR record"]),
    ("the provider's PTR", [("-", PTR4), ("+", PTR4 + " PTR static-25.hoster.test.")], {"ptr": "fail"},
     ["is called static-25.hoster.test, but we say mx.forward.test"]),
    ("two PTR names", [("+", PTR4 + " PTR www.forward.test.")], {"ptr": "warn"}, ["2 names"]),
    ("bounces go elsewhere", mx("10 route2.mx.cloudflare.net.", owner="srs.test."),
     {"srs-mx": "fail", "srs-mx-foreign": "fail"}, ["Cloudflare Email Routing"]),
]


class DnsCheck(Case):
    def setUp(self):
        super().setUp()
        self.program = self.onward(start=False, tls=True, domains={"fwd.test.toml": FORWARDED})
        self.zone = self.printed("fwd.test")

    def printed(self, *arguments):
        """The lines that `dns records` tells to publish."""
        result = self.program.run("dns", "records", *arguments, *WHOLE)
        self.assertEqual(result.returncode, 0, result.stderr)
        return [line for line in result.stdout.splitlines() if line and not line.startswith(";")]

    def edited(self, edits):
        lines = list(self.zone)
        for kind, what in edits:
            if kind == "-":
                kept = [line for line in lines if not line.startswith(what)]
                self.assertLess(len(kept), len(lines), f"nothing begins with {what}")
                lines = kept
            elif kind == "+":
                lines.append(what)
            else:
                owner = "d1._domainkey.fwd.test."
                at = next(i for i, line in enumerate(lines) if line.startswith(owner))
                text = what("".join(re.findall(r'"([^"]*)"', lines[at])))
                lines[at] = txt(owner, text)
        return "\n".join(lines)

    def check(self, records, *arguments):
        """With a name server and a configuration of its own: several run side by side."""
        dns = Dns(records)
        try:
            name = f"{dns.port}.toml"
            self.program.write(name, write_toml(merge(self.program.settings, {"dns": {"servers": [dns.server]}})))
            return self.program.run("dns", "check", *arguments, *WHOLE, "-c", self.program.path(name), config=False)
        finally:
            dns.stop()

    def report(self, result):
        report = json.loads(result.stdout)
        self.assertEqual(set(report), {"domain", "score", "checks"})
        for check in report["checks"]:
            self.assertEqual(set(check), {"name", "status", "detail", "fix"})
            self.assertIn(check["status"], ("pass", "warn", "fail"))
            self.assertTrue(check["detail"], check)
            self.assertEqual(check["status"] == "pass", check["fix"] == "", check)
        names = [check["name"] for check in report["checks"]]
        self.assertEqual(len(names), len(set(names)))
        return report

    def test_what_is_printed_is_what_is_wanted(self):
        result = self.check("\n".join(self.zone), "fwd.test", "--json")
        report = self.report(result)
        self.assertEqual([c for c in report["checks"] if c["status"] != "pass"], [])
        self.assertEqual((report["domain"], report["score"], result.returncode), ("fwd.test", 100, 0))

    def test_every_fault_is_named(self):
        self.assertGreaterEqual(len(FAULTS), 40)
        self.assertEqual(len({title for title, *_ in FAULTS}), len(FAULTS))
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda fault: self.check(self.edited(fault[1]), "fwd.test", "--json"), FAULTS))
        for (title, _, expected, words), result in zip(FAULTS, results):
            with self.subTest(title):
                report = self.report(result)
                found = {c["name"]: c["status"] for c in report["checks"] if c["status"] != "pass"}
                self.assertEqual(found, expected, report["checks"])
                details = " | ".join(c["detail"] for c in report["checks"] if c["status"] != "pass")
                for word in words:
                    self.assertIn(word, details)
                self.assertLess(report["score"], 100)
                self.assertEqual(result.returncode, 1 if "fail" in expected.values() else 0)

    def test_the_fix_is_the_cure(self):
        """A zone-file line that is told puts it right."""
        for title, edits in (("egress", spf(f"v=spf1 ip4:{V4} ~all", "srs.test.")), ("key", dkim(lambda text: swap(text, 7))),
                             ("ptr", [("-", PTR4)])):
            with self.subTest(title):
                report = self.report(self.check(self.edited(edits), "fwd.test", "--json"))
                bad = [c for c in report["checks"] if c["status"] != "pass"]
                self.assertEqual(len(bad), 1)
                line = re.sub(r"^at whoever gave you the address: ", "", bad[0]["fix"])
                owner = line.split(" ")[0]
                kind = line.split(" ")[3]
                kept = [l for l in self.edited(edits).splitlines() if not re.match(re.escape(owner) + r"( \d+ IN)? " + kind, l)]
                after = self.check("\n".join(kept + [line]), "fwd.test", "--json")
                self.assertEqual((after.returncode, self.report(after)["score"]), (0, 100))

    def test_dns_that_does_not_answer(self):
        """SERVFAIL is a failure of its own, and not the absence of records."""
        def answer(request, over_tcp):
            reply = request.reply()
            reply.header.rcode = 2
            return [reply.pack()]
        dns = self.hostile_dns(answer)
        self.program.settings["dns"]["servers"] = [dns.server]
        self.program.write_config()
        report = self.report(self.program.run("dns", "check", "fwd.test", "--json", *WHOLE))
        failed = {c["name"] for c in report["checks"] if "DNS failure (SERVFAIL)" in c["detail"]}
        self.assertEqual(failed, {"mx", "spf", "dkim", "dmarc", "mta-sts", "tls-rpt", "dnssec", "host-address", "ptr", "host-spf",
                                  "host-dnssec", "tlsa", "srs-mx", "srs-spf", "signer-dkim", "signer-dmarc"})

    def test_hostile_octets(self):
        """OP-06: what DNS says does not disturb a terminal."""
        records = self.edited(spf("v=spf1 \\027[31mred\\010 -all"))
        result = self.check(records, "fwd.test")
        self.assertEqual(result.returncode, 1)
        self.assertNotIn("\x1b", result.stdout)
        self.assertNotIn("\x08", result.stdout)
        self.assertIn("syntax error in ?[31mred?", result.stdout)

    def test_all(self):
        self.program.write("domains/wild.toml", 'name = "*.wild.test"\n[[rule]]\naddress = "a"\nto = ["a@inbox.test"]\n')
        zone = "\n".join(self.printed())
        result = self.check(zone, "--all", "--json")
        self.assertEqual(result.returncode, 0, result.stdout)
        reports = json.loads(result.stdout)
        self.assertEqual([r["domain"] for r in reports], ["mx.forward.test", "*.wild.test", "fwd.test"])
        self.assertEqual([r["score"] for r in reports], [100, 100, 100], result.stdout)
        text = self.check(zone, "--all")
        self.assertEqual(text.returncode, 0)
        self.assertIn("3 names, 0 with failures", text.stdout)
        broken = self.check(zone.replace("*.wild.test. 3600 IN MX 10 mx", "*.wild.test. 3600 IN MX 10 nx"), "--all")
        self.assertEqual(broken.returncode, 1)
        self.assertIn("3 names, 1 with failures", broken.stdout)

    def test_which_names(self):
        zone = "\n".join(self.zone)
        for name in ("fwd.test.", "FWD.TEST", "srs.test", "mx.forward.test", "forward.test"):
            result = self.check(zone, name, "--json")
            self.assertIn(result.returncode, (0, 1), result.stderr)
            self.assertEqual(self.report(result)["domain"], name.lower().rstrip("."))
        self.assertEqual(self.report(self.check(zone, "--json"))["domain"], "mx.forward.test")
        for arguments, code in ((("elsewhere.test",), 1), (("fwd.test", "--all"), 2), (("--address", "x"), 2)):
            self.assertEqual(self.program.run("dns", "check", *arguments).returncode, code, arguments)
        self.assertEqual(self.program.run("dns", "records", "--format", "tinydns").returncode, 2)

    def test_formats(self):
        as_json = json.loads(self.program.run("dns", "records", "fwd.test", "--json", *WHOLE).stdout)
        self.assertEqual(as_json, json.loads(self.program.run("dns", "records", "fwd.test", "--format", "json", *WHOLE).stdout))
        self.assertIn({"name": "fwd.test", "type": "MX", "ttl": 3600, "value": "mx.forward.test", "priority": 10},
                      [{k: v for k, v in record.items() if k not in ("why", "optional")} for record in as_json])
        self.assertEqual({r["type"] for r in as_json}, {"MX", "TXT", "A", "AAAA", "PTR", "TLSA", "CNAME"})
        posts = json.loads(self.program.run("dns", "records", "fwd.test", "--format", "cloudflare", *WHOLE).stdout)["posts"]
        self.assertTrue(posts)
        for post in posts:
            self.assertTrue(post["name"].endswith("fwd.test"), post)
            self.assertFalse(post["proxied"])
            self.assertNotEqual(post["type"], "PTR")
            if post["type"] == "TXT":
                self.assertTrue(all(len(s) <= 255 for s in re.findall(r'"([^"]*)"', post["content"])))
        key = next(p for p in posts if p["name"].startswith("d1."))
        self.assertEqual(len(re.findall(r'"[^"]*"', key["content"])), 2)


if __name__ == "__main__":
    main()
