"""How long a RCPT waits (promise.md C.3.1): a slow verdict gets a provisional 250 after `rcpt_patience` and counts at the
dot; and slots are leased, not held (C.3.2): RSET after 2 s of quiet, MAIL and RCPT again at the end of data."""
import threading
import time

from lib.case import Case, main, message
from lib.ports import free_port
from lib.upstream import Silence, Turns, Until
from lib.wait import wait_until


class Patience(Case):
    def provisional(self, verdict):
        self.release = threading.Event()
        upstream = self.upstream({"rcpt": Turns([Until(self.release), verdict], verdict)})
        onward = self.onward({"delivery": {"rcpt_patience": "1s"}}, upstream=upstream)
        client = onward.client()
        client.mail("sender@origin.test")
        began = time.monotonic()
        self.assertReply(client.rcpt("alice@fwd.test"), 250)
        self.assertGreater(time.monotonic() - began, 0.7, "it did wait")
        self.release.set()
        return upstream, client

    def test_late_yes(self):
        upstream, client = self.provisional("250 2.1.5 ok")
        self.assertReply(client.data(message()), 250)
        self.assertEqual(len(upstream.accepted), 1)

    def test_late_no(self):
        upstream, client = self.provisional("550 5.1.1 unknown")
        self.assertReply(client.data(message()), 550, "5.1.1", "upstream")
        self.assertEqual(upstream.accepted, [])

    def test_late_defer(self):
        upstream, client = self.provisional("450 4.2.0 greylisted")
        self.assertReply(client.data(message()), (450, 451))
        self.assertEqual(upstream.accepted, [])

    def test_nothing_reachable_by_then(self):
        """No address answers at all: 451 4.4.1, not a provisional 250."""
        onward = self.onward({"delivery": {"rcpt_patience": "2s", "connect_timeout": "1s"},
                              "route": [{"domain": "*", "via": [f"127.0.0.61:{free_port()}"]}]})
        client = onward.client()
        client.mail("sender@origin.test")
        self.assertReply(client.rcpt("alice@fwd.test"), 451, "4.4.1")

    def test_silence_at_rcpt_with_the_client_waiting(self):
        """The deadline ends it; the client hears 451, nothing is lost."""
        upstream = self.upstream({"rcpt": Silence()})
        onward = self.onward({"delivery": {"rcpt_patience": "1s", "deadline": "3s", "command_timeout": "2s"}}, upstream=upstream)
        client = onward.client()
        client.mail("sender@origin.test")
        self.assertReply(client.rcpt("alice@fwd.test"), 250)
        self.assertReply(client.data(message()), 451)


class Lease(Case):
    def test_released_after_two_seconds(self):
        upstream = self.upstream()
        onward = self.onward(upstream=upstream)
        client = onward.client()
        client.mail("sender@origin.test")
        self.assertReply(client.rcpt("alice@fwd.test"), 250)
        began = time.monotonic()
        wait_until(lambda: b"RSET" in upstream.commands or upstream.sessions[0].ended, "the slot to be given back", 10)
        self.assertGreater(time.monotonic() - began, 1.0)
        self.assertReply(client.data(message()), 250)
        arrived = upstream.accepted
        self.assertEqual([m.recipients for m in arrived], [["alice@inbox.test"]])
        self.assertEqual(sum(v == "MAIL" for n in range(len(upstream.sessions)) for v in upstream.verbs(n)), 2)

    def test_slow_content_holds_no_slot(self):
        """While the client sends its content the one upstream slot serves somebody else."""
        upstream = self.upstream()
        onward = self.onward({"delivery": {"connections_per_destination": 1}}, upstream=upstream)
        slow = onward.client(source="127.8.0.1")
        slow.mail("sender@origin.test")
        self.assertReply(slow.rcpt("alice@fwd.test"), 250)
        self.assertReply(slow.cmd("DATA"), 354)
        slow.send("Subject: slow\r\n\r\nnot finished")
        self.assertSent(onward.client(source="127.9.0.1"), "other@origin.test", "bob@fwd.test", message())
        slow.send("\r\n.\r\n")
        self.assertReply(slow.reply(), 250)
        self.assertEqual(len(upstream.accepted), 2)

    def test_refused_at_the_repeat(self):
        """C.3.2: a repeated RCPT that is now refused is the outcome, heard after the data."""
        upstream = self.upstream({"rcpt": Turns("250 2.1.5 ok", "550 5.1.1 gone meanwhile")})
        onward = self.onward(upstream=upstream)
        client = onward.client()
        client.mail("sender@origin.test")
        self.assertReply(client.rcpt("alice@fwd.test"), 250)
        wait_until(lambda: b"RSET" in upstream.commands or upstream.sessions[0].ended, "the release", 10)
        self.assertReply(client.data(message()), 550, "5.1.1", "upstream")
        self.assertEqual(upstream.accepted, [])

    def test_some_refused_at_the_repeat(self):
        """C.3.2: not ownable and only some are refused now: no dot, 451."""
        upstream = self.upstream({"rcpt": Turns("250 2.1.5 ok", "250 2.1.5 ok", "250 2.1.5 ok", "550 5.1.1 gone meanwhile")})
        onward = self.onward(upstream=upstream)
        client = onward.client()
        client.mail("sender@origin.test")
        self.assertReply(client.rcpt("alice@fwd.test"), 250)
        self.assertReply(client.rcpt("bob@fwd.test"), 250)
        wait_until(lambda: b"RSET" in upstream.commands or upstream.sessions[0].ended, "the release", 10)
        self.assertReply(client.data(message()), 451)
        self.assertEqual(upstream.attempts, [], "no dot was sent")


if __name__ == "__main__":
    main()
