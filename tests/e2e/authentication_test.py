"""Incoming mail is authenticated as it passes: real DNS (nsd), messages signed and sealed by dkimpy, clients told apart by
their addresses. What is refused never reaches the next hop; what passes carries our results and our ARC set."""
import contextlib
import json
import os
import re
import sqlite3
import tempfile
import time
import unittest

import dkim
import dnslib

from lib import keys, opendkim, postfix
from lib.case import Case, added_fields, main, message
from lib.client import Client
from lib.wait import wait_until

GOOD, STRANGER = "127.0.0.2", "127.0.0.9"
ON = {"policy": {"spf": "dmarc", "dmarc": "enforce", "require_auth": "spf-or-dkim", "forecast": "warn"}, "arc": {"seal": True}}


def txt(name, text):
    return f'{name}. TXT ' + " ".join(f'"{text[i:i + 200]}"' for i in range(0, len(text), 200))


def zone():
    key = keys.dkim_txt()["ow1._domainkey.forward.test"]
    records = [
        "author.test. MX 10 mx.author.test.", "mx.author.test. A 127.0.0.2",
        txt("author.test", "v=spf1 ip4:127.0.0.2 -all"), txt("_dmarc.author.test", "v=DMARC1; p=reject"),
        txt("sel._domainkey.author.test", key),
        txt("quar.test", "v=spf1 ip4:127.0.0.2 -all"), txt("_dmarc.quar.test", "v=DMARC1; p=quarantine"),
        txt("soft.test", "v=spf1 ip4:127.0.0.2 ~all"), txt("_dmarc.soft.test", "v=DMARC1; p=none"),
        txt("hard.test", "v=spf1 -all exp=why.hard.test"), txt("why.hard.test", "%{d} never writes from %{i}"),
        txt("sel._domainkey.list.test", key), txt("list.test", "v=spf1 ip4:127.0.0.3 -all"),
        txt("sel._domainkey.relay.test", key),
        txt("srs.test", "v=spf1 ip4:127.0.0.1 -all"),
        txt("nopolicy.test", "v=spf1 ip4:127.0.0.2 -all"), "empty.test. A 127.0.0.2",
    ]
    return "\n".join(records + [txt(name, text) for name, text in keys.dkim_txt().items()])


def private_key():
    with open(os.path.join(keys.folder(), "ow1.rsa.pem"), "rb") as f:
        return f.read()


def mail_from(author, body="Hello.\r\n", extra=""):
    return message(body, sender=author, extra=extra)


def signed(content, domain="author.test", **arguments):
    return dkim.sign(content, b"sel", domain.encode(), private_key(), canonicalize=(b"relaxed", b"relaxed"), **arguments) + content


def sealed(content, domain, results):
    """The message as a forwarder of `domain` would hand it on, whose Authentication-Results are `results`."""
    content = f"Authentication-Results: mx.{domain}; {results}\r\n".encode() + content
    return b"".join(dkim.arc_sign(content, b"sel", domain.encode(), private_key(), f"mx.{domain}".encode(),
                                  linesep=b"\r\n")) + content


def dnsfunc():
    key = keys.dkim_txt()["ow1._domainkey.forward.test"]
    return keys.dkim_dns({f"sel._domainkey.{d}": key for d in ("author.test", "list.test", "relay.test")})


class Authentication(Case):
    def setUp(self):
        super().setUp()
        self.names = self.dns(zone())
        self.behind = self.upstream()

    def serve(self, policy=None, arc=None, dns=None):
        settings = {"policy": {**ON["policy"], **(policy or {})}, "arc": {**ON["arc"], **(arc or {})}}
        self.daemon = self.onward(settings, upstream=self.behind, dns=dns or self.names)
        return self.daemon

    def send(self, sender, content, source=STRANGER, rcpt="alice@fwd.test"):
        client = self.daemon.client(source=source)
        result = client.transaction(sender, rcpt, content)
        client.close()
        return result["data"] if result.get("data") else result["rcpt"][0] if result["rcpt"] else result["mail"]

    def last(self, count):
        return self.behind.wait_accepted(count)[-1]

    # --- what passes

    def test_what_is_written_on_top(self):
        """interface.md §5: the order from the top, and each field says what was found."""
        self.serve()
        content = signed(mail_from("ann@author.test"))
        self.assertReply(self.send("ann@author.test", content, GOOD), 250)
        arrived = self.last(1).data
        fields = self.assertOriginalKept(content, arrived)
        self.assertEqual([name for name, _ in fields],
                         ["ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results", "DKIM-Signature", "DKIM-Signature",
                          "Authentication-Results", "Received-SPF", "Delivered-To", "Received"])
        values = dict(fields)
        results = re.sub(r"\s+", " ", values["Authentication-Results"])
        self.assertTrue(results.startswith("mx.forward.test; "), results)
        for part in ("spf=pass", "smtp.mailfrom=author.test", "dkim=pass", "header.d=author.test", "dmarc=pass",
                     "header.from=author.test"):
            self.assertIn(part, results)
        self.assertTrue(values["Received-SPF"].startswith("pass "), values["Received-SPF"])
        self.assertIn("i=1; mx.forward.test; spf=pass", re.sub(r"\s+", " ", values["ARC-Authentication-Results"]))
        # Somebody else's verifier: our signatures, the sender's own, and our ARC set.
        for index in range(3):
            self.assertTrue(dkim.DKIM(arrived).verify(idx=index, dnsfunc=dnsfunc()), f"signature {index}")
        self.assertEqual(dkim.arc_verify(arrived, dnsfunc=dnsfunc())[0], b"pass")
        log = self.daemon.wait_log(event="delivery")[0]
        self.assertEqual([log[k] for k in ("spf", "dkim", "dmarc", "arc", "forecast")], ["pass", "pass", "pass", "none", "pass"])
        ahead = self.daemon.wait_log(event="forecast")[0]
        self.assertEqual((ahead["our_spf"], ahead["dmarc"], ahead["dkim_aligned"]), ("pass", "pass", True))
        self.assertTrue(self.daemon.wait_log(event="authentication")[0]["ownable"])

    def test_signature_alone_and_spf_alone(self):
        self.serve()
        self.assertReply(self.send("ann@author.test", signed(mail_from("ann@author.test")), STRANGER), 250)
        self.assertReply(self.send("ann@author.test", mail_from("ann@author.test"), GOOD), 250)
        self.assertReply(self.send("bounce@nopolicy.test", mail_from("who@nopolicy.test"), GOOD), 250)

    @unittest.skipIf(postfix.usable(), postfix.usable())
    def test_from_postfix_signed_by_opendkim(self):
        """What most of the world sends with: Postfix and the opendkim milter."""
        self.serve()
        for canonicalization in ("relaxed/simple", "simple/relaxed"):
            signer = self.keep(opendkim.OpenDkim("author.test", "sel", canonicalization))
            sender = self.keep(postfix.Postfix(settings={
                "smtpd_milters": signer.milter, "milter_default_action": "tempfail",
                "relayhost": f"[{self.daemon.address}]:{self.daemon.port}", "smtp_host_lookup": "native",
                "smtp_bind_address": STRANGER}))
            with Client(sender.address, sender.port) as client:
                client.hello("ann.author.test")
                content = mail_from("ann@author.test", "Signed by opendkim.\r\n\r\n \r\nlast  line \r\n\r\n")
                self.assertSent(client, "ann@author.test", "alice@fwd.test", content)
            arrived = self.last(1 if canonicalization == "relaxed/simple" else 2).data
            self.assertIn(b"dkim=pass header.d=author.test", arrived, canonicalization)
            self.assertIn(b"dmarc=pass", arrived)

    def test_signed_while_it_arrives_in_slices_and_large(self):
        self.serve()
        content = signed(mail_from("ann@author.test", "0123456789abcdef\r\n" * 60_000))
        self.assertReply(self.send("ann@author.test", content), 250)
        arrived = self.last(1).data
        self.assertOriginalKept(content, arrived)
        self.assertIn(b"dkim=pass", arrived[:4096])
        self.assertEqual(dkim.arc_verify(arrived, dnsfunc=dnsfunc())[0], b"pass")

    # --- what is refused

    def sightings(self):
        with contextlib.closing(sqlite3.connect(f"file:{self.daemon.path('state/activity.db')}?mode=ro", uri=True)) as db:
            return db.execute("SELECT policy_domain, author, client_ip, disposition, dkim, spf, envelope_from, count FROM dmarc").fetchall()

    def test_dmarc(self):
        self.serve()
        reply = self.send("ann@author.test", mail_from("ann@author.test"))
        self.assertReply(reply, 550, "5.7.1", "dmarc")
        self.assertIn("author.test", reply.text)
        spoofed = signed(mail_from("ann@author.test"), "list.test")  # a good signature of somebody else
        self.assertReply(self.send("bounce@list.test", spoofed, "127.0.0.3"), 550, "5.7.1", "dmarc")
        self.assertReply(self.send("", mail_from("ann@author.test")), 550, "5.7.1", "dmarc", "a bounce to an ordinary address")
        broken = signed(mail_from("ann@author.test")).replace(b"Hello.", b"Hullo.")
        self.assertReply(self.send("ann@author.test", broken), 550, "5.7.1", "dmarc")
        self.assertEqual(self.behind.accepted, [])
        log = self.daemon.wait_log(event="recipient", status="rejected")[0]
        self.assertEqual((log["spf"], log["dkim"], log["dmarc"]), ("fail", "none", "fail"))
        # For the aggregate reports to come: collected by the domain whose policy it is.
        wait_until(lambda: ("author.test", "author.test", "127.0.0.3", "reject", "fail", "fail", "list.test", 1) in
                   self.sightings(), "a row of what was seen")

    def test_quarantine(self):
        self.serve()
        content = signed(mail_from("x@quar.test"), "list.test")
        self.assertReply(self.send("b@list.test", content, "127.0.0.3"), 250)
        values = dict(self.assertOriginalKept(content, self.last(1).data))
        self.assertEqual(values["X-Onward-Disposition"], "quarantine (dmarc)")
        self.assertIn("dmarc=fail", values["Authentication-Results"])
        self.assertTrue(self.daemon.wait_log(event="delivery", quarantine=True))
        self.daemon.settings["policy"]["dmarc_quarantine"] = "reject"
        self.daemon.write_config()
        self.assertEqual(self.daemon.run("reload").returncode, 0)
        another = signed(mail_from("x@quar.test"), "list.test")
        self.assertReply(self.send("b@list.test", another, "127.0.0.3"), 550, "5.7.1", "dmarc", "after a reload")

    def test_monitor_only_reports(self):
        self.serve({"dmarc": "monitor", "require_auth": "none"})
        content = mail_from("ann@author.test")
        self.assertReply(self.send("ann@author.test", content), 250)
        values = dict(self.assertOriginalKept(content, self.last(1).data))
        self.assertIn("dmarc=fail", values["Authentication-Results"])
        self.assertNotIn("X-Onward-Disposition", values)

    def test_no_authentication(self):
        self.serve()
        for sender, author, source in (("x@empty.test", "x@empty.test", STRANGER), ("x@soft.test", "x@soft.test", STRANGER),
                                       ("x@gone.test", "y@gone.test", STRANGER)):
            self.assertReply(self.send(sender, mail_from(author), source), 550, "5.7.26", "unauthenticated", sender)
        part = signed(mail_from("x@empty.test"), "list.test", length=True) + b"appended\r\n"
        self.assertReply(self.send("x@empty.test", part), 550, "5.7.26", "unauthenticated", "CR-03: l= below the body")
        self.assertEqual(self.behind.accepted, [])
        self.assertReply(self.send("", mail_from("mailer-daemon@empty.test")), 250, note="not for the null sender")

    def test_spf_refuses_before_anybody_is_asked(self):
        """promise.md C.3.1: no upstream is contacted for a client we refuse."""
        self.serve({"spf": "reject"})
        reply = self.send("x@hard.test", mail_from("x@hard.test"))
        self.assertReply(reply, 550, "5.7.23", "spf")
        self.assertIn("hard.test never writes from 127.0.0.9", reply.text)
        self.assertEqual(self.behind.sessions, [])
        self.assertReply(self.send("x@soft.test", mail_from("x@soft.test")), 550, "5.7.26", "unauthenticated")
        self.assertReply(self.send("ann@author.test", mail_from("ann@author.test"), GOOD), 250)

    def test_who_is_the_author(self):
        """interface.md §6.7, RL-15."""
        self.serve()
        good = signed(mail_from("ann@author.test"))
        two_fields = b"From: <ceo@quar.test>\r\n" + good
        two_domains = mail_from("ann@author.test").replace(b"From: <ann@author.test>", b"From: <ann@author.test>, <x@soft.test>")
        none = mail_from("ann@author.test").replace(b"From:", b"X-From:")
        odd = mail_from("ann@author.test").replace(b"From: <ann@author.test>", b"From: <ann@author.test")
        for content in (two_fields, two_domains, none, odd):
            self.assertReply(self.send("ann@author.test", content, GOOD), 550, "5.7.1", "bad-from", content[:60])
        same = signed(mail_from("ann@author.test").replace(b"From: <ann@author.test>", b"From: <ann@author.test>, <bob@author.test>"))
        self.assertReply(self.send("ann@author.test", same), 250, note="several mailboxes of one domain")
        self.assertReply(self.send("", none), 250, note="not for the null sender")
        self.assertEqual(len(self.behind.accepted), 2)

    def test_exceptions(self):
        self.serve({"exceptions": [{"match": "127.0.0.8/32", "skip": ["dmarc", "require-auth"], "why": "the old list server"},
                                   {"match": "quar.test", "skip": ["require-auth"]}]})
        self.assertReply(self.send("ann@author.test", mail_from("ann@author.test"), "127.0.0.8"), 250)
        self.assertReply(self.send("ann@author.test", mail_from("ann@author.test")), 550, "5.7.1", "dmarc")
        content = mail_from("x@quar.test")
        self.assertReply(self.send("x@quar.test", content), 250)
        self.assertIn("X-Onward-Disposition", dict(self.assertOriginalKept(content, self.last(2).data)))

    # --- bounces to our SRS addresses

    def test_bounces_come_back(self):
        """interface.md §6.21: the HMAC is the proof; DMARC is reported, not enforced."""
        self.serve({"spf": "reject"})
        address = self.daemon.run("srs", "encode", "ann@author.test").stdout.strip().split()[-1]
        content = mail_from("postmaster@author.test")
        self.assertReply(self.send("", content, rcpt=address), 250)
        values = dict(self.assertOriginalKept(content, self.last(1).data))
        self.assertIn("dmarc=fail", values["Authentication-Results"])
        self.assertEqual(self.last(1).recipients, ["ann@author.test"])

    # --- ARC

    def test_trusted_sealers(self):
        self.serve(arc={"trusted_sealers": ["list.test"]})
        through = sealed(mail_from("ann@author.test", "Hello, with a footer.\r\n"), "list.test",
                         "spf=pass smtp.mailfrom=author.test; dkim=pass header.d=author.test; dmarc=pass header.from=author.test")
        self.assertReply(self.send("bounces@list.test", through, "127.0.0.3"), 250)
        arrived = self.last(1).data
        self.assertEqual(dkim.arc_verify(arrived, dnsfunc=dnsfunc())[0], b"pass")
        self.assertTrue(arrived.startswith(b"ARC-Seal: i=2;"), arrived[:80])
        self.assertTrue(self.daemon.wait_log(event="authentication", overridden=True))
        forged = sealed(mail_from("ann@author.test"), "list.test", "spf=fail; dkim=none; dmarc=fail header.from=author.test")
        self.assertReply(self.send("bounces@list.test", forged, "127.0.0.3"), 550, "5.7.1", "dmarc", "it failed there too")
        stranger = sealed(mail_from("ann@author.test"), "relay.test", "spf=pass; dkim=pass; dmarc=pass header.from=author.test")
        self.assertReply(self.send("bounces@list.test", stranger, "127.0.0.3"), 550, "5.7.1", "dmarc", "nobody trusts relay.test")

    def test_a_broken_chain_is_never_sealed_as_good(self):
        self.serve({"dmarc": "monitor", "require_auth": "none"})
        broken = sealed(mail_from("x@soft.test"), "list.test", "spf=pass; dkim=pass").replace(b"Hello.", b"Hullo.")
        self.assertReply(self.send("x@soft.test", broken, GOOD), 250)
        arrived = self.last(1).data
        self.assertIn(b"cv=fail", arrived[:2000])
        self.assertNotEqual(dkim.arc_verify(arrived, dnsfunc=dnsfunc())[0], b"pass")
        again = arrived
        self.assertReply(self.send("x@soft.test", again, GOOD), 554, "5.4.6", "loop", "our own token")

    def test_sealing_can_be_off(self):
        self.serve(arc={"seal": False})
        self.assertReply(self.send("ann@author.test", signed(mail_from("ann@author.test"))), 250)
        self.assertNotIn(b"ARC-Seal", self.last(1).data)

    # --- the forecast

    def test_forecast(self):
        """A sender that relies on SPF alone, with p=reject: no destination that checks will take it from us."""
        self.serve()
        self.assertReply(self.send("ann@author.test", mail_from("ann@author.test"), GOOD), 250)
        ahead = self.daemon.wait_log(event="forecast", dmarc="fail-reject")[0]
        self.assertEqual((ahead["author"], ahead["policy"], ahead["our_spf"]), ("author.test", "reject", "pass"))
        self.daemon.settings["policy"]["forecast"] = "reject"
        self.daemon.write_config()
        self.assertEqual(self.daemon.run("reload").returncode, 0)
        reply = self.send("ann@author.test", mail_from("ann@author.test"), GOOD)
        self.assertReply(reply, 550, "5.7.26", "forecast")
        self.assertIn("author.test", reply.text)
        self.assertReply(self.send("ann@author.test", signed(mail_from("ann@author.test")), GOOD), 250)
        self.assertReply(self.send("x@quar.test", mail_from("x@quar.test"), GOOD), 250, note="a junk folder is no refusal")
        # A signature that covers a field we must cut does not survive.
        content = b"Authentication-Results: mx.forward.test; dkim=pass\r\n" + mail_from("ann@author.test")
        covered = signed(content, include_headers=[b"from", b"subject", b"authentication-results"])
        self.assertReply(self.send("ann@author.test", covered, GOOD), 550, "5.7.26", "forecast")

    # --- DNS in trouble

    def troubled(self, name, rcode=dnslib.RCODE.SERVFAIL):
        """The zone above, but for one name, for which the server fails (or is silent: rcode None)."""
        records = {}
        for line in zone().splitlines():
            owner, kind, data = line.split(None, 2)
            records.setdefault((owner.lower(), kind), []).append(dnslib.RR.fromZone(f"{owner} 60 IN {kind} {data}")[0])

        def answer(request, _):
            owner = str(request.q.qname).lower()
            reply = request.reply()
            if owner == name + ".":
                if rcode is None:
                    return []
                reply.header.rcode = rcode
                return [reply.pack()]
            found = records.get((owner, dnslib.QTYPE[request.q.qtype]), [])
            for record in found:
                reply.add_answer(record)
            if not found and not any(known == owner for known, _ in records):
                reply.header.rcode = dnslib.RCODE.NXDOMAIN
            return [reply.pack()]
        return self.hostile_dns(answer)

    def test_temporary_failures_decide_only_where_they_can(self):
        self.serve(dns=self.troubled("_dmarc.author.test"))
        self.assertReply(self.send("x@soft.test", mail_from("ann@author.test"), GOOD), 451, "4.7.1", "dmarc-temperror")
        self.assertReply(self.send("ann@author.test", mail_from("ann@author.test"), GOOD), 250, note="whatever the record says, it passes")

    def test_spf_and_key_in_trouble(self):
        self.serve(dns=self.troubled("author.test"))
        self.assertReply(self.send("ann@author.test", mail_from("x@nopolicy.test")), 451, "4.7.24", "spf-temperror")
        self.assertReply(self.send("ann@author.test", signed(mail_from("ann@author.test"))), 250, note="the signature is enough")
        self.serve(dns=self.troubled("sel._domainkey.author.test"))
        self.assertReply(self.send("x@empty.test", signed(mail_from("x@empty.test"))), 451, "4.7.1", "dkim-temperror")

    def test_silent_dns_costs_five_seconds(self):
        """DN-08: five seconds after the dot it is over, and others are served meanwhile."""
        self.serve(dns=self.troubled("sel._domainkey.author.test", None))
        slow = self.daemon.client(source=STRANGER)
        for line in ("MAIL FROM:<x@empty.test>", "RCPT TO:<alice@fwd.test>"):
            self.assertReply(slow.cmd(line), 250)
        self.assertReply(slow.cmd("DATA"), 354)
        began = time.monotonic()
        slow.send(signed(mail_from("x@empty.test")) + b".\r\n")
        self.assertReply(self.send("x@nopolicy.test", mail_from("x@nopolicy.test"), GOOD), 250)
        self.assertLess(time.monotonic() - began, 4, "nobody else waits")
        self.assertReply(slow.reply(), 451, "4.7.1", "dkim-temperror")
        self.assertLess(time.monotonic() - began, 9)

    # --- onward try

    def test_try_says_what_would_happen(self):
        self.serve({"forecast": "reject"})
        cases = [("ann@author.test", signed(mail_from("ann@author.test")), GOOD, "alice@fwd.test"),
                 ("ann@author.test", mail_from("ann@author.test"), STRANGER, "alice@fwd.test"),
                 ("ann@author.test", mail_from("ann@author.test"), GOOD, "alice@fwd.test"),
                 ("x@empty.test", mail_from("x@empty.test"), STRANGER, "alice@fwd.test"),
                 ("ann@author.test", signed(mail_from("ann@author.test")), GOOD, "nobody@fwd.test"),
                 ("", mail_from("", extra=""), STRANGER, "old@fwd.test")]
        with tempfile.TemporaryDirectory() as folder:
            for number, (sender, content, source, rcpt) in enumerate(cases):
                path = os.path.join(folder, f"{number}.eml")
                with open(path, "wb") as f:
                    f.write(content)
                arguments = ["try", "--ip", source, "--helo", "client.test", "--from", sender or "<>", "--to", rcpt, path]
                run = self.daemon.run(*arguments, "--json")
                self.assertTrue(run.stdout, run.stderr)
                told = json.loads(run.stdout)
                real = self.send(sender, content, source, rcpt)
                with self.subTest(case=number):
                    blind = re.compile(r"\[([a-z-]+) [^ ]+\]|id \S+")
                    self.assertEqual(blind.sub(r"[\1]", told["reply"]), blind.sub(r"[\1]", real.raw.decode().strip()))
                    self.assertEqual(run.returncode, 0 if real.code == 250 else 1)
                    shown = self.daemon.run(*arguments)
                    self.assertEqual(shown.returncode, run.returncode, shown.stderr)
                    self.assertIn(told["reply"].split("\r\n")[0][:40], shown.stdout)
                if real.code == 250:
                    names = [name for name, _ in added_fields(told["sent"][0]["added"].encode())]
                    self.assertEqual(names, [name for name, _ in self.assertOriginalKept(content, self.behind.accepted[-1].data)])
        self.assertEqual(len(self.behind.accepted), 1, "a dry run sends nothing")


if __name__ == "__main__":
    main()
