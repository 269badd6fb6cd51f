"""Upstream sessions are kept and used again for the same next hop, for a bounded time, with at most
`connections_per_destination` of them (RS-12), and source addresses come from the pool."""
import threading

from lib.case import Case, main, message
from lib.upstream import Turns, Until
from lib.wait import wait_until


class Reuse(Case):
    def test_kept(self):
        upstream = self.upstream()
        onward = self.onward(upstream=upstream)
        for number in range(5):
            client = onward.client()
            self.assertSent(client, f"s{number}@origin.test", "alice@fwd.test", message())
            client.quit()
        self.assertEqual(len(upstream.sessions), 1)
        self.assertEqual(len(upstream.accepted), 5)

    def test_given_up_after_a_while(self):
        upstream = self.upstream()
        onward = self.onward(upstream=upstream)
        self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())
        wait_until(lambda: upstream.sessions[0].ended, "the kept session to end", 25)
        self.assertEqual(upstream.verbs()[-1], "QUIT")
        self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())

    def test_not_after_421(self):
        upstream = self.upstream({"dot": Turns("421 4.3.2 closing", "250 2.0.0 ok")})
        onward = self.onward(upstream=upstream)
        client = onward.client()
        self.assertReply(client.transaction("sender@origin.test", "alice@fwd.test", message())["data"], 451)
        self.assertSent(client, "sender@origin.test", "alice@fwd.test", message())
        self.assertEqual(len(upstream.sessions), 2)

    def test_cap(self):
        """RS-12: a tarpit gets three connections, not twelve; another destination is unaffected."""
        release = threading.Event()
        slow, quick = self.upstream({"dot": [Until(release), "250 2.0.0 ok"]}), self.upstream()
        onward = self.onward({"delivery": {"connections_per_destination": 3},
                              "route": [{"domain": "inbox.test", "via": slow.via}, {"domain": "corp.test", "via": quick.via}]})
        results = []

        def send(number):
            results.append(onward.client(source=f"127.{20 + number}.0.1").transaction("s@origin.test", "alice@fwd.test", message()))
        threads = [threading.Thread(target=send, args=(n,)) for n in range(12)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(slow.attempts) >= 3, "three at the tarpit")
        self.assertSent(onward.client(source="127.50.0.1"), "sender@origin.test", "carol@fwd.test", message())
        self.assertLessEqual(len([s for s in slow.sessions if not s.ended]), 3)
        release.set()
        for thread in threads:
            thread.join(60)
        for result in results:
            final = result["data"] or result["rcpt"][0]
            self.assertIn(final.code, (250, 451), final)
        self.assertEqual(len(slow.accepted), sum(bool(r["data"]) and r["data"].code == 250 for r in results))

    def test_source_pool(self):
        upstream = self.upstream()
        onward = self.onward({"delivery": {"source_ipv4": [{"address": "127.0.0.201", "helo": "out1.forward.test"}]}}, upstream=upstream)
        self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())
        self.assertEqual(upstream.sessions[0].peer[0], "127.0.0.201")
        self.assertEqual(upstream.sessions[0].commands[0], b"EHLO out1.forward.test")


if __name__ == "__main__":
    main()
