"""DNS block lists against a real rbldnsd: IPv4, IPv6 and names, weights and allow-lists, the exact reply (interface.md §4,
§6.14), lists that cannot be believed (DN-09), and that the key in a zone's name is never printed (OP-05)."""
import json

from lib.case import Case, main, message
from lib.rbldnsd import Rbldnsd, Unbound
from lib.wait import wait_until

LISTED, CLEAN, WHITE, ALSO = "127.0.0.9", "127.0.0.8", "127.0.0.7", "127.0.0.6"
KEY = "k7canaryz4"  # a customer's key, as DQS puts it into the zone
LISTS = {
    f"{KEY}.zen.bl.test": {"ip4set": f":127.0.0.4:listed\n127.0.0.2\n{LISTED}\n{WHITE}\n{ALSO}\n",
                           "ip6trie": ":127.0.0.4:listed\n::1\n::ffff:7f00:2\n"},
    "bar.bl.test": {"ip4set": f":127.0.0.9:listed\n127.0.0.2\n{LISTED}\n"},
    "white.bl.test": {"ip4set": f":127.0.5.1:good\n127.0.0.2\n{WHITE}\n"},
    "dbl.bl.test": {"dnset": ":127.0.1.2:bad name\ntest\n.bad.test\n"},
    "empty.bl.test": {"ip4set": ":127.0.0.2:listed\n10.99.99.99\n"},
    "all.bl.test": {"ip4set": ":127.0.0.2:listed\n0.0.0.0/1\n"},
    "refused.bl.test": {"ip4set": ":127.255.255.254:open resolver\n0.0.0.0/1\n"},
    "parked.bl.test": {"ip4set": ":192.0.2.80:parked\n0.0.0.0/1\n"},
}
ZEN = {"name": "zen", "zone": f"{KEY}.zen.bl.test", "listed": ["127.0.0.2-127.0.0.11"]}
BAR = {"name": "bar", "zone": "bar.bl.test"}
WHITELIST = {"name": "white", "zone": "white.bl.test", "weight": -1}
NAMES = {"name": "dbl", "zone": "dbl.bl.test", "kind": "domain"}


class Dnsbl(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lists = Rbldnsd(LISTS)
        cls.addClassCleanup(cls.lists.stop)

    def setUp(self):
        super().setUp()
        names = self.dns("good.test. MX 10 mx.good.test.\nmx.good.test. A 127.0.0.8")
        # Nothing answers for what lies below dead.bl.test.
        self.resolver = self.keep(Unbound({".": names.port, "bl.test.": self.lists.port, "dead.bl.test.": 9}))
        self.behind = self.upstream()

    def serve(self, *lists, address="127.0.0.1", start=True, **settings):
        policy = settings.pop("policy", {})
        self.daemon = self.onward({"dnsbl": [dict(one) for one in lists], "policy": policy, **settings}, upstream=self.behind,
                                  dns=self.resolver, address=address, start=start)
        return self.daemon

    def offer(self, source, sender="a@good.test", helo="client.good.test", rcpt="alice@fwd.test"):
        client = self.daemon.client(source=source, hello=False)
        client.hello(helo)
        self.assertReply(client.mail(sender), 250)
        reply = client.rcpt(rcpt)
        client.close()
        return reply

    def state(self, name):
        status = json.loads(self.daemon.run("status", "--json").stdout)
        return {one["name"]: one for one in status["admission"]["dnsbl"]}[name]

    def test_listed(self):
        self.serve(ZEN, BAR)
        # Tested at start, before any client (RFC 5782 §5).
        for name in ("zen", "bar"):
            self.daemon.wait_log(event="dnsbl_good", dnsbl=name)
        reply = self.offer(LISTED)
        self.assertReply(reply, 554, "5.7.1", "dnsbl")
        self.assertEqual(reply.text, f"5.7.1 {LISTED} found on one or more DNSBLs (zen, bar). "
                                     f"Refer to https://forward.test/help [dnsbl {reply.id}]")
        self.assertReply(self.offer(LISTED, rcpt="postmaster@fwd.test"), 554, "5.7.1", "dnsbl")
        self.assertReply(self.offer(LISTED, rcpt="nobody@fwd.test"), 554, "5.7.1", "dnsbl")
        self.assertReply(self.offer(LISTED, rcpt="x@elsewhere.test"), 554, "5.7.1", "dnsbl")
        self.assertReply(self.offer(CLEAN), 250)
        entry = self.daemon.wait_log(event="recipient", status="rejected")[0]
        self.assertEqual((entry["dnsbl"], entry["client_ip"]), ("zen, bar", LISTED))
        self.assertEqual(self.daemon.wait_log(event="admission", client_ip=CLEAN)[0]["dnsbl"], "")
        # No next hop has heard of the listed client (promise.md C.3.1).
        self.assertEqual(len(self.behind.sessions), 1)
        self.assertEqual(self.state("zen")["state"], "good")
        self.assertEqual(self.state("zen")["listings"], 4)

    def test_ipv6(self):
        self.serve(ZEN, address="::1")
        reply = self.offer("::1")
        self.assertReply(reply, 554, "5.7.1", "dnsbl")
        self.assertIn("::1 found on one or more DNSBLs (zen)", reply.text)

    def test_weights(self):
        self.serve(ZEN, BAR, WHITELIST, policy={"dnsbl_threshold": 1})
        self.assertReply(self.offer(LISTED), 554, "5.7.1", "dnsbl")
        self.assertReply(self.offer(WHITE), 250)
        self.assertEqual(self.daemon.wait_log(event="admission", client_ip=WHITE)[0]["dnsbl_score"], 0)
        self.daemon.settings["policy"]["dnsbl_threshold"] = 3
        self.daemon.write_config()
        self.assertEqual(self.daemon.run("reload").returncode, 0)
        self.assertReply(self.offer(LISTED), 250)

    def test_names(self):
        self.serve(NAMES)
        self.assertReply(self.offer(CLEAN), 250)
        reply = self.offer(CLEAN, sender="a@mail.bad.test")
        self.assertReply(reply, 554, "5.7.1", "dnsbl")
        self.assertIn("mail.bad.test found on one or more DNSBLs (dbl)", reply.text)
        self.assertReply(self.offer(CLEAN, helo="bad.test"), 554, "5.7.1", "dnsbl")
        self.assertReply(self.offer(CLEAN, sender="", helo="[127.0.0.8]"), 250)

    def test_who_is_not_asked_about(self):
        self.serve(ZEN, access={"rules": [{"match": LISTED, "action": "allow"}]},
                   policy={"exceptions": [{"match": WHITE, "skip": ["dnsbl"], "why": "a test"},
                                          {"match": "partner.test", "skip": ["dnsbl"], "why": "a test"}]})
        self.assertReply(self.offer(LISTED), 250)
        self.assertReply(self.offer(WHITE), 250)
        self.assertReply(self.offer(ALSO, sender="a@partner.test"), 250)
        self.assertReply(self.offer(ALSO), 554, "5.7.1", "dnsbl")

    def test_lists_that_cannot_be_believed(self):
        """DN-09: dead, empty, wild, refused, parked: nobody is rejected, the zone is out, log and status say so."""
        names = ("dead", "empty", "all", "refused", "parked")
        self.serve(*({"name": name, "zone": f"{name}.bl.test"} for name in names), ZEN)
        for name in names:
            self.daemon.wait_log(event="dnsbl_out", dnsbl=name)
        self.assertReply(self.offer(CLEAN), 250)
        self.assertReply(self.offer(LISTED), 554, "5.7.1", "dnsbl")
        self.assertIn("DNSBLs (zen).", self.offer(LISTED).text)
        for name in names:
            told = self.state(name)
            self.assertEqual(told["state"], "broken", told)
            self.assertTrue(told["problem"], told)
        self.assertIn("127.255.255.254", self.state("refused")["problem"])
        status = self.daemon.run("status").stdout
        self.assertRegex(status, r"block list +dead +broken")
        counters = json.loads(self.daemon.run("status", "--json").stdout)["counters"]
        self.assertEqual(counters["dnsbl_outages_total"], len(names))

    def test_the_key_is_never_printed(self):
        self.serve(ZEN, {"name": "broken", "zone": f"{KEY}.dead.bl.test"})
        self.daemon.wait_log(event="dnsbl_out", dnsbl="broken")
        client = self.daemon.client(source=LISTED)
        client.mail("a@good.test")
        self.assertReply(client.rcpt("alice@fwd.test"), 554, "5.7.1", "dnsbl")
        told = client.received.decode()
        told += "".join(self.daemon.run(*command).stdout for command in (
            ("status",), ("status", "--json"), ("check",), ("route", "alice@fwd.test", "--ip", LISTED),
            ("route", "alice@fwd.test", "--ip", LISTED, "--json")))
        self.daemon.settings["dnsbl"][0]["weight"] = 1000
        self.daemon.write_config()
        for command in (("check",), ("reload",)):
            ran = self.daemon.run(*command)
            self.assertEqual(ran.returncode, 1)
            told += ran.stdout + ran.stderr
        self.assertIn("zen", told)
        self.assertNotIn(KEY, told)
        self.assertNotIn(KEY, self.daemon.log_text())

    def test_route_explains(self):
        self.serve(ZEN, {"name": "dead", "zone": "dead.bl.test"}, start=False)
        out = json.loads(self.daemon.run("route", "alice@fwd.test", "--ip", LISTED, "--json").stdout)["client"]
        lists = {one["name"]: one for one in out["dnsbl"]}
        self.assertTrue(lists["zen"]["listed"])
        self.assertEqual(lists["dead"]["state"], "broken")
        self.assertIn("554 5.7.1", out["replies"]["rcpt"])
        out = json.loads(self.daemon.run("route", "alice@fwd.test", "--ip", CLEAN, "--json").stdout)["client"]
        self.assertFalse(out["dnsbl"][0]["listed"])
        self.assertEqual(out["replies"], {})

    def test_a_list_that_is_mended(self):
        """A reload forgets nothing of a zone, and a new one is tested before it counts."""
        self.serve(BAR)
        self.assertReply(self.offer(LISTED), 554, "5.7.1", "dnsbl")
        self.daemon.settings["dnsbl"] = [{"name": "all", "zone": "all.bl.test"}, BAR]
        self.daemon.write_config()
        self.assertEqual(self.daemon.run("reload").returncode, 0)
        wait_until(lambda: self.daemon.log(event="dnsbl_out", dnsbl="all"), "the new zone's test")
        self.assertIn("DNSBLs (bar).", self.offer(LISTED).text)
        self.assertReply(self.offer(CLEAN), 250)


if __name__ == "__main__":
    main()
