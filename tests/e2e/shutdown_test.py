"""SIGTERM (DU-15): no new data, whoever is past the dot gets the answer, nothing is lost or doubled, exit code 0."""
import signal
import threading
import time

from lib.case import Case, main, message
from lib.client import Closed
from lib.upstream import Ledger, Until
from lib.wait import wait_until


class Shutdown(Case):
    def test_idle(self):
        onward = self.onward(upstream=self.upstream())
        began = time.monotonic()
        self.assertEqual(onward.stop(), 0)
        self.assertLess(time.monotonic() - began, 10)

    def test_idle_clients_hear_421(self):
        onward = self.onward(upstream=self.upstream())
        client = onward.client()
        onward.process.send_signal(signal.SIGTERM)
        try:
            self.assertReply(client.reply(), 421, "4.3.2")
        except Closed:
            self.fail("closed without a word")
        self.assertEqual(onward.process.wait(30), 0)

    def test_past_the_dot(self):
        release = threading.Event()
        upstream = self.upstream({"dot": [Until(release), "250 2.0.0 ok"]})
        onward = self.onward(upstream=upstream)
        client = onward.client()
        client.mail("sender@origin.test")
        client.rcpt("alice@fwd.test")
        client.cmd("DATA")
        client.send(message() + b".\r\n")
        wait_until(lambda: upstream.attempts, "the dot at the upstream")
        onward.process.send_signal(signal.SIGTERM)
        release.set()
        self.assertReply(client.reply(), 250)
        self.assertEqual(onward.process.wait(30), 0)
        self.assertEqual(len(upstream.accepted), 1)

    def test_under_load(self):
        ledger, upstream = Ledger(), self.upstream()
        onward = self.onward({"threads": 2}, upstream=upstream)
        stop = threading.Event()

        def work(number):
            while not stop.is_set():
                try:
                    client = onward.client(source=f"127.12.0.{number + 1}")
                    while not stop.is_set():
                        token = ledger.token()
                        result = client.transaction(f"s{number}@origin.test", "alice@fwd.test", message(token=token))
                        final = result["data"] or (result["rcpt"] + [result["mail"]])[0]
                        ledger.tell(token, final.code)
                        if final.code >= 400:
                            return
                except (Closed, OSError, AssertionError):
                    return  # no answer: the sender would try again
        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(upstream.accepted) > 50, "some load")
        onward.process.send_signal(signal.SIGTERM)
        self.assertEqual(onward.process.wait(60), 0)
        stop.set()
        for thread in threads:
            thread.join(30)
        self.assertEqual(ledger.count(upstream.accepted), {"lost": [], "kept": [], "dup": []})


if __name__ == "__main__":
    main()
