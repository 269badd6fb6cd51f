"""Who may talk to us, and how much: access rules with MMDB files, reverse DNS and HELO, the sender's domain, rates,
greylisting, and loops that take our marks off. Real DNS (nsd); clients are told apart by their addresses."""
import json
import os
import time

from lib import mmdb
from lib.case import Case, main, message
from lib.client import Client
from lib.wait import wait_until

GOOD, NONAME, LIAR, SLOW = "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"
ZONE = """
2.0.0.127.in-addr.arpa. PTR mail.good.test.
mail.good.test. A 127.0.0.2
4.0.0.127.in-addr.arpa. PTR liar.test.
liar.test. A 127.0.0.99
good.test. MX 10 mail.good.test.
address.test. A 127.0.0.2
null.test. MX 0 .
empty.test. TXT "nothing"
"""


class Admission(Case):
    def setUp(self):
        super().setUp()
        self.names = self.dns(ZONE)
        self.behind = self.upstream()

    def serve(self, start=True, domains=None, **settings):
        self.daemon = self.onward(settings, upstream=self.behind, dns=self.names, domains=domains, start=start)
        return self.daemon

    def offer(self, source=GOOD, sender="a@good.test", helo="mail.good.test", rcpt="alice@fwd.test"):
        """The first reply that is no 250, or the one to RCPT."""
        client = self.daemon.client(source=source, hello=False)
        try:
            banner = client.reply()
            if banner.code != 220:
                self.assertTrue(client.at_eof())
                return banner
            client.ehlo(helo)
            reply = client.mail(sender)
            return reply if reply.code != 250 else client.rcpt(rcpt)
        finally:
            client.close()

    def reload(self, code=0):
        self.daemon.write_config()
        ran = self.daemon.run("reload")
        self.assertEqual(ran.returncode, code, ran.stdout + ran.stderr)
        return ran.stdout + ran.stderr

    def status(self):
        return json.loads(self.daemon.run("status", "--json").stdout)

    def route(self, source, *arguments):
        return json.loads(self.daemon.run("route", "alice@fwd.test", "--ip", source, "--json", *arguments).stdout)

    # --- access

    def database(self, name, octets):
        path = self.daemon.path(name)
        with open(path + ".new", "wb") as f:
            f.write(octets)
        os.chmod(path + ".new", 0o644)
        os.replace(path + ".new", path)

    def test_access(self):
        self.serve(start=False, access={"geoip": {"country": "country.mmdb", "asn": "asn.mmdb"}, "rules": [
            {"match": "127.0.7.0/24", "action": "block"}, {"match": "127.0.7.128/25", "action": "allow"},
            {"match": "AS64500", "action": "block"}, {"match": "country:XX", "action": "block"},
            {"match": "AS64501", "action": "allow"}]})
        self.database("country.mmdb", mmdb.country({"127.0.8.0/23": "XX", "127.0.10.0/24": "YY"}))
        self.database("asn.mmdb", mmdb.asn({"127.0.9.0/24": 64501, "127.0.11.0/24": 64500}))
        self.daemon.start()
        reply = self.offer("127.0.7.1")
        self.assertReply(reply, 554, "5.7.1", "access")
        self.assertIn("Refer to https://forward.test/help [access", reply.text)
        self.assertReply(self.offer("127.0.7.129"), 250)  # the longer prefix
        self.assertReply(self.offer("127.0.8.1"), 554, "5.7.1", "access")  # the country
        self.assertReply(self.offer("127.0.9.1"), 250)  # the AS number before the country
        self.assertReply(self.offer("127.0.10.1"), 250)
        self.assertReply(self.offer("127.0.11.1"), 554, "5.7.1", "access")
        self.assertReply(self.offer("127.0.11.1"), 554, "5.7.1", "access")
        self.assertTrue(self.daemon.wait_log(event="access_blocked", client_ip="127.0.11.1", access="AS64500"))
        # No next hop has heard of those who are blocked (promise.md C.3.1).
        self.assertEqual(len([c for c in self.behind.commands if c.startswith(b"RCPT")]), 3)
        hits = {one["match"]: one["hits"] for one in self.status()["admission"]["access"]}
        self.assertEqual(hits, {"AS64500": 2, "127.0.7.0/24": 1, "127.0.7.128/25": 1, "country:XX": 1, "AS64501": 1})
        self.assertRegex(self.daemon.run("status").stdout, r"access +AS64500 +block +2 hits")
        out = self.route("127.0.8.1")
        self.assertEqual((out["access"], out["client"]["country"]), ("block: country:XX", "XX"))
        self.assertIn("554 5.7.1", out["client"]["replies"]["connect"])
        self.assertEqual(self.route("127.0.12.1")["access"], "no rule")
        # A newer file counts after a reload, and the counters go on.
        self.database("country.mmdb", mmdb.country({"127.0.10.0/24": "XX"}))
        self.reload()
        self.assertReply(self.offer("127.0.8.1"), 250)
        self.assertReply(self.offer("127.0.10.1"), 554, "5.7.1", "access")
        hits = {one["match"]: one["hits"] for one in self.status()["admission"]["access"]}
        self.assertEqual(hits["country:XX"], 2)
        # One that is no database keeps the old configuration.
        self.database("country.mmdb", b"not one")
        self.assertIn("country.mmdb is no MMDB file", self.reload(code=1))
        self.assertReply(self.offer("127.0.10.1"), 554, "5.7.1", "access")

    def test_access_exceptions(self):
        """A block that the sender's name may lift is said at RCPT."""
        self.serve(access={"rules": [{"match": "127.0.7.0/24", "action": "block"}]}, policy={"exceptions": [
            {"match": "partner.test", "skip": ["access"], "why": "a test"}]})
        client = self.daemon.client(source="127.0.7.1")
        self.assertReply(client.mail("a@stranger.test"), 250)
        self.assertReply(client.rcpt("alice@fwd.test"), 554, "5.7.1", "access")
        self.assertReply(client.cmd("RSET"), 250)
        self.assertReply(client.mail("a@partner.test"), 250)
        self.assertReply(client.rcpt("alice@fwd.test"), 250)

    def test_access_needs_its_database(self):
        self.serve(start=False, access={"rules": [{"match": "country:XX", "action": "block"}]})
        check = self.daemon.run("check")
        self.assertEqual(check.returncode, 1)
        self.assertRegex(check.stdout + check.stderr, r"onward\.toml:\d+: access\.rules: country:XX needs a database")
        self.daemon.settings["access"]["geoip"] = {"country": "none.mmdb"}
        self.daemon.write_config()
        check = self.daemon.run("check")
        self.assertRegex(check.stdout + check.stderr, r"access\.geoip\.country: .*none\.mmdb: No such file")

    # --- names

    def test_reverse_dns(self):
        self.serve(policy={"rdns": "reject"})
        self.assertReply(self.offer(GOOD), 250)
        self.assertReply(self.offer(NONAME), 550, "5.7.25", "rdns")
        self.assertReply(self.offer(LIAR), 550, "5.7.25", "rdns")
        self.assertIn("liar.test", self.offer(LIAR).text)
        self.assertEqual([self.daemon.wait_log(event="admission", client_ip=ip)[0]["rdns"] for ip in (GOOD, NONAME, LIAR)],
                         ["pass", "missing", "unconfirmed"])
        self.daemon.settings["policy"]["rdns_causes"] = ["unconfirmed"]
        self.reload()
        self.assertReply(self.offer(NONAME), 250)
        self.assertReply(self.offer(LIAR), 550, "5.7.25", "rdns")
        self.daemon.settings["policy"].update({"rdns": "defer", "rdns_causes": ["missing", "helo-mismatch"]})
        self.reload()
        self.assertReply(self.offer(NONAME), 450, "4.7.25", "rdns")
        self.assertReply(self.offer(LIAR, helo="liar.test"), 250)
        self.assertReply(self.offer(GOOD, helo="other.test"), 450, "4.7.25", "rdns")
        self.daemon.settings["policy"]["rdns"] = "warn"
        self.reload()
        self.assertReply(self.offer(NONAME, helo="warned.test"), 250)
        self.assertEqual(self.daemon.wait_log(event="admission", helo="warned.test")[0]["rdns"], "missing")
        out = self.route(LIAR)["client"]
        self.assertEqual((out["rdns"], out["replies"]), ("unconfirmed", {}))

    def test_reverse_dns_in_received(self):
        """The comment in Received stays what it was: a name that leads back."""
        self.serve()
        for source, name in ((GOOD, "mail.good.test"), (LIAR, "unknown")):
            client = self.daemon.client(source=source)
            self.assertSent(client, "a@good.test", "alice@fwd.test", message())
            client.close()
            received = self.behind.accepted[-1].data.split(b"Received: ")[1].split(b"\r\n")[0].decode()
            self.assertIn(f"({name} [{source}])", received)

    def test_dns_trouble_is_never_final(self):
        """DN-05: a resolver that does not answer puts off, and refuses nobody for good."""
        self.daemon = self.onward({"policy": {"rdns": "reject"}, "dns": {"timeout": "1s", "attempts": 1}}, upstream=self.behind)
        self.assertReply(self.offer(GOOD), 450, "4.7.25", "rdns-temperror")
        self.daemon.settings["policy"] = {**self.daemon.settings["policy"], "rdns": "off", "helo": "reject"}
        self.reload()
        self.assertReply(self.offer(GOOD), 451, "4.4.3", "helo-temperror")
        self.daemon.settings["policy"].update({"helo": "off", "sender_domain": "reject"})
        self.reload()
        self.assertReply(self.offer(GOOD), 451, "4.1.8", "sender-domain-temperror")

    def test_helo(self):
        self.serve(policy={"helo": "reject"})
        for name, code in (("mail.good.test", 250), ("address.test", 250), ("[127.0.0.2]", 250), ("nowhere.test", 550),
                           ("localhost", 550), ("127.0.0.2", 550)):
            reply = self.offer(helo=name)
            self.assertReply(reply, code, note=name)
            if code == 550:
                self.assertReply(reply, 550, "5.7.1", "helo")
        self.daemon.settings["policy"]["helo"] = "warn"
        self.reload()
        self.assertReply(self.offer(helo="localhost"), 250)
        self.assertTrue(self.daemon.wait_log(event="admission", helo="localhost", action="accept", helo_check="malformed"))

    def test_sender_domain(self):
        """interface.md §6.7: at MAIL."""
        self.serve(policy={"sender_domain": "reject"})
        for sender, code, enhanced in (("a@good.test", 250, None), ("a@address.test", 250, None), ("", 250, None),
                                       ("a@nowhere.test", 550, "5.1.8"), ("a@empty.test", 550, "5.1.8"),
                                       ("a@null.test", 550, "5.7.27"), ("a@[127.0.0.1]", 550, "5.1.7"),
                                       ("a@[IPv6:::1]", 550, "5.1.7"), ("a@[10.0.0.1]", 550, "5.1.7")):
            client = self.daemon.client(source=GOOD)
            reply = client.mail(sender)
            self.assertReply(reply, code, enhanced, note=sender)
            if code != 250:
                self.assertEqual(reply.slug, "sender-domain")
                self.assertReply(client.rcpt("alice@fwd.test"), 503)
            client.close()
        self.assertEqual(len(self.daemon.log(event="sender_refused", status="rejected")), 6)
        self.assertIn("550 5.1.8", self.route(GOOD, "--from", "a@nowhere.test")["client"]["replies"]["mail"])

    # --- rates

    def test_rates(self):
        self.serve(policy={"rate": {"messages_per_ip": "3/h", "recipients_per_ip": "off"}})
        # Refused messages count.
        client = self.daemon.client(source=GOOD)
        self.assertSent(client, "a@good.test", "alice@fwd.test", message())
        self.assertReply(client.mail("a@good.test"), 250)
        self.assertReply(client.rcpt("nobody@fwd.test"), 550)
        self.assertReply(client.cmd("RSET"), 250)
        self.assertReply(self.offer(GOOD, rcpt="nobody@fwd.test"), 550)
        self.assertReply(client.mail("a@good.test"), 450, "4.7.1", "rate")
        self.assertReply(self.offer(GOOD), 450, "4.7.1", "rate")
        self.assertReply(self.offer(NONAME), 250)
        # The count survives a reload; a new limit counts at once.
        self.reload()
        self.assertReply(self.offer(GOOD), 450, "4.7.1", "rate")
        self.daemon.settings["policy"]["rate"] = {"messages_per_ip": "off", "recipients_per_ip": "2/h"}
        self.reload()
        self.assertReply(self.offer(GOOD), 250)
        self.assertReply(self.offer(GOOD), 250)
        self.assertReply(self.offer(GOOD), 450, "4.7.1", "rate")
        self.daemon.settings["access"] = {"rules": [{"match": GOOD, "action": "allow"}]}
        self.reload()
        self.assertReply(self.offer(GOOD), 250)
        self.assertGreaterEqual(self.status()["counters"]["rate_limited_total"], 4)
        self.assertGreaterEqual(self.status()["admission"]["rates"]["counted"], 1)

    def test_rates_of_senders_and_rules(self):
        rules = ('name = "fwd.test"\n[[rule]]\naddress = "alice"\nto = ["alice@inbox.test"]\n'
                 '[[rule]]\naddress = "slow"\nto = ["slow@inbox.test"]\nrate = "1/h"\n'
                 '[[rule]]\naddress = "free"\nto = ["free@inbox.test"]\nrate = "off"\n')
        self.serve(domains={"fwd.toml": rules}, policy={"rate": {
            "messages_per_ip": "off", "recipients_per_ip": "off", "messages_per_sender_domain": "6/h", "recipients_per_rule": "2/h"}})
        self.assertReply(self.offer(rcpt="slow@fwd.test"), 250)
        self.assertReply(self.offer(rcpt="slow@fwd.test"), 450, "4.7.1", "rate")
        self.assertReply(self.offer(rcpt="alice@fwd.test"), 250)
        self.assertReply(self.offer(rcpt="alice@fwd.test"), 250)
        self.assertReply(self.offer(NONAME, rcpt="alice@fwd.test"), 450, "4.7.1", "rate")
        self.assertReply(self.offer(rcpt="free@fwd.test"), 250)
        self.assertReply(self.offer(rcpt="free@fwd.test"), 450, "4.7.1", "rate")  # the seventh message of good.test
        self.assertReply(self.offer(sender="a@address.test", rcpt="free@fwd.test"), 250)

    def test_rates_of_destinations(self):
        """All rules that lead to one domain share its rate, also when the queue takes the message; others go on."""
        rules = ('name = "fwd.test"\n[[rule]]\naddress = "alice"\nto = ["alice@inbox.test"]\n'
                 '[[rule]]\naddress = "bob"\nto = ["bob@INBOX.test"]\ncustody = "queue"\n'
                 '[[rule]]\naddress = "carol"\nto = ["carol@corp.test"]\n')
        self.serve(domains={"fwd.toml": rules}, policy={"rate": {
            "messages_per_ip": "off", "recipients_per_ip": "off", "recipients_per_destination": "2/h"}})
        self.assertReply(self.offer(rcpt="alice@fwd.test"), 250)
        self.assertReply(self.offer(rcpt="bob@fwd.test"), 250)
        reply = self.offer(NONAME, rcpt="alice@fwd.test")
        self.assertReply(reply, 450, "4.7.1", "rate")
        self.assertNotIn("inbox", reply.text)
        self.assertReply(self.offer(rcpt="bob@fwd.test"), 450, "4.7.1", "rate")
        self.assertReply(self.offer(rcpt="carol@fwd.test"), 250)

    def test_greylisting(self):
        self.serve(policy={"greylist": {"mode": "on", "delay": "1s", "keep": "1d"}})
        first = self.offer()
        self.assertReply(first, 450, "4.7.1", "greylist")
        self.assertReply(self.offer(rcpt="nobody@fwd.test"), 450, "4.7.1", "greylist")
        self.assertReply(self.offer(rcpt="x@elsewhere.test"), 550, "5.7.1", "relay-denied")
        wait_until(lambda: self.offer().code == 250, "the delay", step=0.2)
        # Another address of the same name's domain is known, another sender is not.
        self.assertReply(self.offer(), 250)
        self.assertReply(self.offer(sender="b@good.test"), 450, "4.7.1", "greylist")
        self.reload()
        self.assertReply(self.offer(), 250)

    # --- loops

    def test_a_loop_that_takes_our_marks_off(self):
        """LP-04: the same Message-ID, recipient and body more than 20 times an hour, from a peer that strips all we add."""
        self.serve()
        content = message("The same again.\r\n")
        client = self.daemon.client(source=GOOD)
        for turn in range(20):
            self.assertSent(client, "a@good.test", "alice@fwd.test", content)
            arrived = self.behind.wait_accepted(turn + 1)[-1].data
            content = b"X-Turn: %d\r\n" % turn + arrived[arrived.index(b"\r\nFrom:") + 2:]
        result = client.transaction("a@good.test", "alice@fwd.test", content)
        self.assertReply(result["data"], 554, "5.4.6", "loop")
        self.assertSent(client, "a@good.test", "bob@fwd.test", content)
        self.assertSent(client, "a@good.test", "alice@fwd.test", message("Something else.\r\n"))
        self.assertEqual(len(self.behind.accepted), 22)
        self.assertEqual(self.status()["counters"]["loops_total"], 1)

    # --- descriptors

    def test_few_descriptors(self):
        """RS-09: with 64 descriptors there are few sessions; the others hear 421, mail goes on, and nobody spins."""
        self.serve(start=False)
        self.daemon.binary = self.limited(self.daemon.binary, 64)
        self.daemon.start()
        self.assertTrue(self.daemon.wait_log(event="few_descriptors"))
        held, refused = [], 0
        for number in range(60):
            client = Client(self.daemon.address, self.daemon.port, f"127.0.20.{number % 50 + 1}")
            reply = client.reply()
            if reply.code == 220:
                held.append(client)
            else:
                self.assertReply(reply, 421, "4.3.2")
                refused += 1
                client.close()
        self.assertGreater(refused, 0)
        self.assertGreater(len(held), 3)
        client = held[0]
        client.ehlo("mail.good.test")
        self.assertSent(client, "a@good.test", "alice@fwd.test", message())
        before = self.cpu()
        begin = time.monotonic()
        for _ in range(200):
            client = Client(self.daemon.address, self.daemon.port, "127.0.21.1")
            self.assertReply(client.reply(), 421, "4.3.2")
            client.close()
        elapsed = time.monotonic() - begin
        print(f"while full: {(self.cpu() - before) / elapsed:.0%} CPU for {200 / elapsed:.0f} refusals a second")
        for client in held:
            client.close()

    def limited(self, binary, files):
        path = self.daemon.path("limited")
        with open(path, "w", encoding="ascii") as f:
            f.write(f'#!/bin/sh\nulimit -n {files}\nexec "{binary}" "$@"\n')
        os.chmod(path, 0o755)
        return path

    def cpu(self):
        with open(f"/proc/{self.daemon.process.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
