"""Loops end with 554 5.4.6: two instances that point at each other (LP-02), a route to ourselves (§6.3), and aliases that
never were loaded (LP-03)."""
import json

from lib.case import Case, main, message
from lib.wait import wait_until

A = 'name = "a.test"\n[[rule]]\naddress = "user"\nto = ["user@b.test"]\n'
B = 'name = "b.test"\n[[rule]]\naddress = "user"\nto = ["user@a.test"]\n'


class Loops(Case):
    def test_two_forwarders_at_each_other(self):
        """LP-02: at most two transits."""
        soon = {"delivery": {"rcpt_patience": "3s"}}  # the RCPTs go round until the first of them is tired of waiting
        first = self.onward(soon, start=False, domains={"a.toml": A})
        second = self.onward({**soon, "hostname": "mx.second.test", "srs": {"domain": "srs2.test"}}, start=False,
                             domains={"b.toml": B})
        second.write("keys/srs.secrets", "another-secret-of-the-second\n")
        for one, other, domain in ((first, second, "b.test"), (second, first, "a.test")):
            one.settings["route"] = [{"domain": domain, "via": [f"127.0.0.1:{other.port}"]}]
            one.write("onward.toml", "")
            one.write_config()
        first.start(), second.start()
        result = first.client(source="127.6.0.1").transaction("sender@origin.test", "user@a.test", message())
        # The RCPTs chain round the loop too: whoever breaks it there may answer 4xx, but a message that was sent round
        # comes back with 554 5.4.6.
        final = result["data"] or result["rcpt"][0]
        self.assertReply(final, 554, "5.4.6")
        refused = first.log(event="delivery") + second.log(event="delivery")
        self.assertLessEqual(len(refused), 3)
        counters = [json.loads(one.run("status", "--json").stdout)["counters"] for one in (first, second)]
        # Through the first, through the second, and back at the first it ends.
        self.assertLessEqual(sum(c["messages_accepted_total"] for c in counters), 3)
        self.assertEqual(sum(c["messages_forwarded_total"] for c in counters), 0)

    def test_two_queues_at_each_other(self):
        """LP-02 where each hop has taken the message before the next one hears of it: two transits, one notice, and the
        notice goes home by SRS instead of round the loop (LP-05)."""
        pass_here = "".join(f'{name}. TXT "v=spf1 ip4:127.0.0.0/8 -all"\n{name}. A 127.0.0.1\n'
                            for name in ("origin.test", "srs.test", "srs2.test"))
        names, origin = self.dns(pass_here), self.upstream()
        settings = {"policy": {"spf": "dmarc"}, "delivery": {"custody": "queue"}, "queue": {"retry": ["1s"]}}
        first = self.onward(settings, start=False, domains={"a.toml": A}, dns=names)
        second = self.onward({**settings, "hostname": "mx.second.test", "srs": {"domain": "srs2.test"}}, start=False,
                             domains={"b.toml": B}, dns=names)
        second.write("keys/srs.secrets", "another-secret-of-the-second\n")
        for one, other, domains in ((first, second, ("b.test", "srs2.test")), (second, first, ("a.test", "srs.test"))):
            one.settings["route"] = [{"domain": domain, "via": [f"127.0.0.1:{other.port}"]} for domain in domains]
            one.settings["route"].append({"domain": "origin.test", "via": origin.via})
            one.write_config()
        first.start(), second.start()
        result = first.client().transaction("sender@origin.test", "user@a.test", message())
        self.assertReply(result["data"], 250)
        notice = origin.wait_accepted(1)[0]
        self.assertEqual((notice.sender, notice.recipients), ("", ["sender@origin.test"]))
        self.assertIn(b"5.4.6", notice.data)
        for one in (first, second):
            wait_until(lambda: json.loads(one.run("queue", "list", "--json").stdout) == [], "an empty queue")
        counters = [json.loads(one.run("status", "--json").stdout)["counters"] for one in (first, second)]
        # The message, its return and the notice at the first; the message at the second.
        self.assertEqual([c["messages_accepted_total"] for c in counters], [3, 1])
        self.assertEqual([c["loops_total"] for c in counters], [1, 0])
        self.assertEqual(len(origin.accepted), 1)

    def test_route_to_ourselves(self):
        onward = self.onward(start=False)
        onward.settings["route"] = [{"domain": "*", "via": [f"127.0.0.1:{onward.port}"]}]
        onward.write_config()
        onward.start()
        client = onward.client()
        client.mail("sender@origin.test")
        self.assertReply(client.rcpt("alice@fwd.test"), 554, "5.4.6", "loop")

    def test_cycles_are_load_errors(self):
        """LP-03: with the cycle printed."""
        cyclic = 'name = "fwd.test"\n[[rule]]\naddress = "a"\nto = ["b@fwd.test"]\n[[rule]]\naddress = "b"\nto = ["a@fwd.test"]\n'
        for text, words in ((cyclic, ("a@fwd.test", "b@fwd.test")),
                            ('name = "fwd.test"\n[[rule]]\naddress = "a"\nto = ["a@fwd.test"]\n', ("a@fwd.test -> a@fwd.test",))):
            onward = self.onward(start=False, domains={"fwd.test.toml": text})
            check = onward.run("check")
            self.assertEqual(check.returncode, 1, check)
            for word in words:
                self.assertIn(word, check.stdout + check.stderr)


if __name__ == "__main__":
    main()
