"""Guessing recipients (RL-13): a client that is refused or put off hears the same, at the same time, whomever it asks for, and
no next hop hears of it. Time is not measured: DNS holds back the answer that decides, and until then nobody may be answered."""
import threading

from dnslib import QTYPE, RCODE, RR

from lib.case import Case, main, message
from lib.wait import LIMIT, wait_until

STRANGER = "127.0.0.9"
WHO = {"forwarded": "alice@fwd.test", "tagged": "alice+tag@fwd.test", "several": "team@fwd.test", "dropped": "trash@fwd.test",
       "refusing": "old@fwd.test", "unknown": "nobody@fwd.test", "nobody else": "noone@fwd.test"}
ZONE = {record.split(" ")[0] + record.split(" ")[1]: record for record in (
    "2.0.0.127.bl.test. A 127.0.0.2", "9.0.0.127.bl.test. A 127.0.0.2", 'hard.test. TXT "v=spf1 -all"')}


class HeldDns:
    """The zone above; questions for `name` are not answered before open()."""

    def __init__(self, case, name):
        self.name, self.asked, self.opened = name, threading.Event(), threading.Event()
        self.server = case.hostile_dns(self.answer).server

    def answer(self, request, _):
        if str(request.q.qname) == self.name:
            self.asked.set()
            self.opened.wait(LIMIT)
        reply = request.reply()
        record = ZONE.get(str(request.q.qname) + QTYPE[request.q.qtype])
        if record:
            reply.add_answer(*RR.fromZone(record))
        else:
            reply.header.rcode = RCODE.NXDOMAIN
        return [reply.pack()]

    def open(self):
        self.opened.set()


class Guessing(Case):
    def guess(self, code, slug, settings, held=None, sender="a@hard.test", before=()):
        """Asks for each of WHO in a session of its own; the replies must be one. held: the name that decides. before: whom
        to ask for first, alone."""
        dns, behind = HeldDns(self, held), self.upstream()
        daemon = self.onward(settings, upstream=behind, dns=dns)
        if "dnsbl" in settings:
            daemon.wait_log(event="dnsbl_good")
        for address in before:
            client = daemon.client(source=STRANGER)
            client.mail(sender)
            client.rcpt(address)
            client.close()
        behind.wait_idle()
        heard = len(behind.sessions)
        clients = {}
        for kind, address in WHO.items():
            clients[kind] = daemon.client(source=STRANGER, hello=False).hello("helo.test")
            clients[kind].mail(sender)
            clients[kind].send(f"RCPT TO:<{address}>\r\n")
        if held:
            self.assertTrue(dns.asked.wait(LIMIT), "nobody asked what is to decide")
            clients["forwarded"].quiet(0.3)
            self.assertEqual([kind for kind, client in clients.items() if not client.quiet(0)], [], "answered before it was known")
            dns.open()
        replies = {kind: client.reply() for kind, client in clients.items()}
        for kind, reply in replies.items():
            self.assertReply(reply, code, None, slug, kind)
        said = {reply.text.replace(reply.id, "ID") for reply in replies.values()}
        self.assertEqual(len(said), 1, said)
        self.assertEqual(len(behind.sessions), heard, "a next hop heard of it")
        for client in clients.values():
            client.close()

    def test_block_lists(self):
        self.guess(554, "dnsbl", {"dnsbl": [{"name": "zen", "zone": "bl.test"}]}, "9.0.0.127.bl.test.")

    def test_reverse_dns(self):
        self.guess(550, "rdns", {"policy": {"rdns": "reject"}}, "9.0.0.127.in-addr.arpa.")

    def test_helo(self):
        self.guess(550, "helo", {"policy": {"helo": "reject"}}, "helo.test.")

    def test_spf(self):
        self.guess(550, "spf", {"policy": {"spf": "reject"}}, "hard.test.")

    def test_greylisting(self):
        """Also when another address of the same rule has begun to wait."""
        greylist = {"policy": {"greylist": {"mode": "on", "delay": "1h"}}}
        self.guess(450, "greylist", greylist, "9.0.0.127.in-addr.arpa.")

    def test_greylisting_goes_on(self):
        """An address that was asked for before says no more than one that was not."""
        greylist = {"policy": {"greylist": {"mode": "on", "delay": "1h"}}}
        self.guess(450, "greylist", greylist, before=(WHO["forwarded"], WHO["unknown"]))

    def test_access(self):
        self.guess(554, "access", {"access": {"rules": [{"match": f"{STRANGER}/32", "action": "block"}]},
                                   "policy": {"exceptions": [{"match": "partner.test", "skip": ["access"], "why": "a test"}]}})

    def test_rate(self):
        self.guess(450, "rate", {"policy": {"rate": {"recipients_per_ip": "1/h"}}}, before=("nobody@fwd.test",))

    def test_refused_at_mail(self):
        """There is no transaction to ask in."""
        self.guess(503, "bad-sequence", {"policy": {"rate": {"messages_per_ip": "1/h"}}}, before=("nobody@fwd.test",))
        self.guess(503, "bad-sequence", {"policy": {"sender_domain": "reject"}}, sender="a@nowhere.test")

    def test_bounces_are_no_strangers(self):
        """SPF and greylisting do not keep a bounce from an address of ours that is genuine; a forged one is refused at once."""
        dns, behind = HeldDns(self, None), self.upstream()
        daemon = self.onward({"policy": {"spf": "reject", "greylist": {"mode": "on"}}}, upstream=behind, dns=dns)
        genuine = daemon.run("srs", "encode", "a@hard.test").stdout.strip().split()[-1]
        client = daemon.client(source=STRANGER)
        self.assertSent(client, "", genuine, message())
        self.assertReply(client.mail(""), 250)
        self.assertReply(client.rcpt("SRS0=abcdefgh=aa=hard.test=a@srs.test"), 550, "5.1.1", "srs")

    def test_who_comes_again(self):
        """Then existence shows, as it must; each address for itself."""
        dns, behind = HeldDns(self, None), self.upstream()
        daemon = self.onward({"policy": {"greylist": {"mode": "on", "delay": "1s"}}}, upstream=behind, dns=dns)

        def ask(address):
            client = daemon.client(source=STRANGER)
            self.assertReply(client.mail("a@hard.test"), 250)
            reply = client.rcpt(address)
            client.close()
            return reply.code

        for address, code in ((WHO["forwarded"], 250), (WHO["dropped"], 250), (WHO["refusing"], 550), (WHO["unknown"], 550)):
            self.assertEqual(ask(address), 450, address)
            wait_until(lambda: ask(address) == code, f"{address} to be answered", step=0.2)
        self.assertEqual(ask(WHO["nobody else"]), 450)


if __name__ == "__main__":
    main()
