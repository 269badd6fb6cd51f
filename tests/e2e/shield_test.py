"""The duplicate shield (promise.md C.5): a client that repeats a message whose answer it missed causes no second copy, and
hears what became of the first. DU-16, DU-17."""
import threading
import time

from lib.case import main, message
from lib.client import Closed
from lib.owned import SENDER, STRANGER, OwnedCase
from lib.upstream import Reset, Turns, Until, Wait
from lib.wait import wait_until


class Shield(OwnedCase):
    def begin(self, content, rcpt="alice@fwd.test", sender=STRANGER, source=None):
        """A client that has sent its dot and waits."""
        client = self.daemon.client(source=source)
        self.assertReply(client.mail(sender), 250)
        self.assertReply(client.rcpt(rcpt), 250)
        self.assertReply(client.cmd("DATA"), 354)
        client.send(content + b".\r\n")
        return client

    def test_the_answer_was_missed(self):
        """DU-16: the client is gone before our 250; its retry is answered 250 and delivered to nobody."""
        self.serve()
        for ending in ("close", "reset"):
            for sender in (SENDER, STRANGER):
                with self.subTest(ending=ending, sender=sender):
                    before = len(self.inbox.accepted)
                    answer = threading.Event()
                    self.inbox.plan["dot"] = [Until(answer), "250 2.0.0 taken"]
                    content = message(sender=sender)
                    client = self.begin(content, sender=sender)
                    wait_until(lambda: len(self.inbox.attempts) > before, "the dot at the upstream")
                    getattr(client, ending)()
                    answer.set()
                    self.inbox.wait_accepted(before + 1)
                    self.inbox.plan.clear()
                    for _ in range(3):
                        self.assertReply(self.send(sender=sender, content=content), 250)
                        break
                    self.assertEqual(len(self.inbox.accepted), before + 1)

    def test_what_was_heard_may_be_sent_again(self):
        """An entry ends when the client goes on after our 250: a deliberate repetition is a new message."""
        self.serve()
        content = message(sender=STRANGER)
        with self.daemon.client() as client:
            for count in (1, 2, 3):
                self.assertReply(self.send(sender=STRANGER, content=content, client=client), 250)
                self.assertEqual(len(self.inbox.wait_accepted(count)), count)

    def test_a_retry_joins_the_attempt_that_is_under_way(self):
        self.serve()
        for answer, code in (("250 2.0.0 taken", 250), ("550 5.7.0 no", 550), ("451 4.2.0 later", 451)):
            with self.subTest(answer=answer):
                before = len(self.inbox.attempts)
                release = threading.Event()
                self.inbox.plan["dot"] = [Until(release), answer]
                content = message(sender=STRANGER)
                first = self.begin(content)
                wait_until(lambda: len(self.inbox.attempts) == before + 1, "the dot")
                second = self.begin(content)
                self.assertTrue(second.quiet(0.3), "it waits for the first")
                release.set()
                self.assertReply(first.reply(), code)
                self.assertReply(second.reply(), code)
                self.assertEqual(len(self.inbox.attempts), before + 1, "one dot for both")
                first.close()
                second.close()
                self.inbox.plan.clear()

    def test_joined_and_the_first_one_leaves(self):
        """The answer is journalled for the second one also when nobody waits for it any more (C.3.6)."""
        self.serve()
        release = threading.Event()
        self.inbox.plan["dot"] = [Until(release), "250 2.0.0 taken"]
        content = message(sender=STRANGER)
        first = self.begin(content)
        wait_until(lambda: self.inbox.attempts, "the dot")
        first.reset()
        second = self.begin(content)
        release.set()
        self.assertReply(second.reply(), 250)
        self.assertEqual(len(self.inbox.accepted), 1)

    def test_mixed_outcomes_reach_only_what_is_missing(self):
        """C.4, not ownable: one took it, one said later; the retry goes to the second one only."""
        self.corp.plan["dot"] = Turns("451 4.2.0 later", "451 4.2.0 later", "250 2.0.0 taken")
        self.serve()
        content = message(sender=STRANGER)
        self.assertReply(self.send("team@fwd.test", STRANGER, content), 451)
        self.assertReply(self.send("team@fwd.test", STRANGER, content), 451)
        self.assertReply(self.send("team@fwd.test", STRANGER, content), 250)
        self.assertEqual((len(self.inbox.accepted), len(self.corp.accepted)), (1, 1))
        self.assertEqual(len(self.corp.attempts), 3)

    def test_a_repetition_of_what_was_half_delivered(self):
        """The second transaction has a row for the copy that the first one delivered: it ends with the others."""
        answer = threading.Event()
        self.corp.plan["dot"] = [Until(answer), "550 5.7.1 no"]
        self.serve()
        content = message(sender=SENDER)
        client = self.begin(content, "team@fwd.test", SENDER)
        wait_until(lambda: "2XX" in [e["state"] for e in self.ask("ledger", "list")], "remembered while the other is late")
        self.daemon.process.kill()
        self.daemon.process.wait()
        client.close()
        answer.set()
        self.daemon.start()
        self.assertReply(self.send("team@fwd.test", SENDER, content), 250)
        self.origin.wait_accepted(1)
        self.wait_queue(0)
        self.assertEqual((len(self.inbox.accepted), len(self.corp.accepted)), (1, 0))

    def test_later_before_the_dot_does_not_hold_the_others_back(self):
        self.corp.plan["rcpt"] = Turns("451 4.2.0 later", "250 2.1.5 ok")
        self.serve()
        content = message(sender=STRANGER)
        self.assertReply(self.send("team@fwd.test", STRANGER, content), 451)
        self.assertEqual((len(self.inbox.accepted), len(self.corp.accepted)), (1, 0))
        self.assertReply(self.send("team@fwd.test", STRANGER, content), 250)
        self.assertEqual((len(self.inbox.accepted), len(self.corp.accepted)), (1, 1))

    def test_three_unknowns_are_the_end(self):
        """DU-17, C.3.7: an upstream that takes the message and never answers gets it at most three times, with care."""
        self.inbox.plan["dot"] = Reset()
        self.inbox.keywords += ["CHUNKING"]
        self.serve()
        content = message(sender=STRANGER)
        for _ in range(3):
            self.assertReply(self.send(sender=STRANGER, content=content), 451, "4.4.2")
        reply = self.send(sender=STRANGER, content=content)
        self.assertReply(reply, 554, "5.4.2")
        self.assertIn("may have arrived", reply.text)
        self.assertEqual(len(self.inbox.attempts), 3)
        careful = [s for s in self.inbox.sessions if any(c.upper().startswith(b"DATA") for c in s.commands)]
        self.assertGreaterEqual(len(careful), 2, "the second and third by DATA, not BDAT")
        self.assertTrue(self.daemon.log(event="dup_possible"))
        self.assertEqual(len(self.daemon.log(event="dup_possible")), 2, "announced before each further dot")

    def test_a_restamped_retry(self):
        """Key 2: a sender that makes new trace fields and a new boundary date is known by Message-ID, From, To, Date, Subject, body."""
        self.serve()
        content = message(sender=STRANGER)
        answer = threading.Event()
        self.inbox.plan["dot"] = [Until(answer), "250 2.0.0 taken"]
        client = self.begin(b"Received: from a by b; Sat, 28 Nov 2026 10:00:00 +0000\r\n" + content)
        wait_until(lambda: self.inbox.attempts, "the dot")
        client.reset()
        answer.set()
        self.inbox.wait_accepted(1)
        self.inbox.plan.clear()
        self.assertReply(self.send(sender=STRANGER, content=b"Received: from a by b; Sat, 28 Nov 2026 10:30:00 +0000\r\n" + content), 250)
        self.assertEqual(len(self.inbox.accepted), 1)
        other = content.replace(b"Subject: a test", b"Subject: another")
        self.assertReply(self.send(sender=STRANGER, content=other), 250)
        self.assertEqual(len(self.inbox.accepted), 2)

    def test_owned_mail_is_not_taken_twice(self):
        self.inbox.plan["connect"] = Reset()
        self.serve(queue={"retry": ["1h"]})
        content = message(sender=SENDER)
        answered = [self.begin(content, "queued@fwd.test", SENDER) for _ in range(4)]
        for client in answered:
            self.assertReply(client.reply(), 250)
            client.reset()
        self.assertEqual(len(self.queue()), 1)

    def test_survives_sigkill(self):
        self.serve()
        content = message(sender=STRANGER)
        client = self.daemon.client()
        self.assertReply(self.send(sender=STRANGER, content=content, client=client), 250)
        self.daemon.process.kill()
        self.daemon.process.wait()
        self.daemon.start()
        self.assertReply(self.send(sender=STRANGER, content=content), 250)
        self.assertEqual(len(self.inbox.accepted), 1)

    def test_the_ledger_is_bounded(self):
        self.serve(limits={"ledger": 1000})
        for _ in range(3):
            with self.daemon.client() as client:
                for _ in range(400):
                    self.assertReply(client.mail(STRANGER), 250)
                    self.assertReply(client.rcpt("alice@fwd.test"), 250)
                    self.assertReply(client.data(message(sender=STRANGER)), 250)
        self.assertLessEqual(self.ask("status")["queue"]["ledger"]["entries"], 1000)


if __name__ == "__main__":
    main()
