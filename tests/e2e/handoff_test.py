"""Late upstreams and several destinations of a sender that is ownable: what becomes ours, what the sender hears, and that
every destination gets one copy (promise.md C.3.6, C.4; UP-15, LP-05, LP-06, LP-09)."""
import email
import email.policy
import time

from lib.case import main, message
from lib.owned import SENDER, STRANGER, OwnedCase
from lib.upstream import Reset, Wait
from lib.wait import wait_until


class Handoff(OwnedCase):
    def report(self, count=1):
        arrived = self.origin.wait_accepted(count)[-1]
        self.assertEqual((arrived.sender, arrived.recipients), ("", [SENDER]))
        return email.message_from_bytes(arrived.data, policy=email.policy.default)

    def test_late_upstream(self):
        """C.3.6: 250 after `handoff`, the living delivery goes on, one copy."""
        self.inbox.plan["dot"] = [Wait(3), "250 2.0.0 taken"]
        self.serve()
        began = time.monotonic()
        reply = self.send()
        took = time.monotonic() - began
        self.assertReply(reply, 250)
        self.assertIn("queued", reply.text)
        self.assertTrue(0.9 < took < 2.5, took)
        job = self.queue()[0]
        self.assertEqual((job["queue"], job["recipients"][0]["state"]), ("active", "owned-dot"))
        self.inbox.wait_accepted(1)
        self.wait_queue(0)
        self.assertEqual(len(self.inbox.attempts), 1)
        wait_until(lambda: [r["status"] for r in self.log()] == ["queued", "delivered"], "both rows")

    def test_late_while_streaming(self):
        self.inbox.plan["data"] = [Wait(3), "354 go"]
        self.serve()
        began = time.monotonic()
        self.assertReply(self.send(), 250)
        self.assertLess(time.monotonic() - began, 2.5)
        self.inbox.wait_accepted(1)
        self.wait_queue(0)
        self.assertEqual(len(self.inbox.accepted), 1)

    def test_late_refusal(self):
        """UP-15: FAILED and a report, in one commit."""
        self.inbox.plan["dot"] = [Wait(2.5), "550 5.7.1 alice@inbox.test is not taking this"]
        self.serve()
        self.assertReply(self.send(), 250)
        report = self.report()
        self.assertEqual(report.get_content_type(), "multipart/report")
        self.assertEqual(report["Auto-Submitted"], "auto-replied")
        text = report.as_string()
        self.assertIn("Final-Recipient: rfc822; alice@fwd.test", text)
        self.assertIn("Status: 5.7.1", text)
        self.assertNotIn("inbox.test", text, "LP-08")
        self.assertIn("DKIM-Signature", report)
        self.wait_queue(0)
        wait_until(lambda: [r["status"] for r in self.log("--rcpt", "alice@fwd.test")] == ["queued", "bounced"], "the rows")

    def test_late_and_a_stranger(self):
        """Not ownable: it waits; nothing is ever ours (LP-06)."""
        self.inbox.plan["dot"] = [Wait(3), "250 2.0.0 taken"]
        self.serve()
        began = time.monotonic()
        reply = self.send(sender=STRANGER)
        self.assertReply(reply, 250)
        self.assertNotIn("queued", reply.text)
        self.assertGreater(time.monotonic() - began, 2.5)
        self.inbox.plan["dot"] = [Wait(3), "550 5.7.1 no"]
        self.assertReply(self.send(sender=STRANGER), 550, "5.7.1")
        self.assertEqual(self.origin.accepted, [])

    def test_no_reports_to_strangers(self):
        """LP-06: forged senders, every kind of failure, no report."""
        self.serve(delivery={"deadline": "3s", "rcpt_patience": "2s"})
        for stage, said in (("rcpt", "550 5.1.1 no"), ("dot", "550 5.7.1 no"), ("dot", Reset()), ("data", "451 4.2.0 no"),
                            ("dot", [Wait(4), "550 5.0.0 late"])):
            self.inbox.plan = {stage: said}
            for rcpt in ("alice@fwd.test", "team@fwd.test", "queued@fwd.test"):
                reply = self.send(rcpt, STRANGER)
                self.assertGreaterEqual(reply.code, 400)
        self.assertEqual(self.queue(), [])
        self.assertEqual(self.origin.accepted, [])

    def test_fan_out(self):
        """An ownable sender may have several destination groups in one transaction."""
        self.serve()
        self.assertReply(self.send(["alice@fwd.test", "carol@fwd.test"]), 250)
        self.assertEqual((len(self.inbox.accepted), len(self.corp.accepted)), (1, 1))
        client = self.daemon.client()
        self.assertReply(client.mail(STRANGER), 250)
        self.assertReply(client.rcpt("alice@fwd.test"), 250)
        self.assertReply(client.rcpt("carol@fwd.test"), 452, "4.5.3", "one-destination", "a stranger has one group")

    def test_one_takes_it_one_says_later(self):
        self.corp.plan["dot"] = "451 4.2.0 later"
        self.serve()
        self.assertReply(self.send("team@fwd.test"), 250)
        self.assertEqual(len(self.inbox.accepted), 1)
        job = self.wait_queue(1)[0]
        self.assertEqual([r["destination"] for r in job["recipients"]], ["carol@corp.test"])
        del self.corp.plan["dot"]
        self.corp.wait_accepted(1)
        self.wait_queue(0)
        self.assertEqual((len(self.inbox.accepted), len(self.corp.accepted)), (1, 1))

    def test_one_takes_it_one_refuses(self):
        self.corp.plan["dot"] = "550 5.7.1 carol@corp.test does not want it"
        self.serve()
        self.assertReply(self.send("team@fwd.test"), 250)
        text = self.report().as_string()
        self.assertIn("Final-Recipient: rfc822; team@fwd.test", text)
        self.assertNotIn("corp.test", text)
        self.wait_queue(0)

    def test_both_refuse(self):
        self.corp.plan["dot"] = self.inbox.plan["dot"] = "550 5.7.1 no"
        self.serve()
        self.assertReply(self.send("team@fwd.test"), 550, "5.7.1", "upstream")
        self.assertEqual((self.queue(), self.origin.accepted), ([], []))

    def test_later_and_refused_stay_with_the_client(self):
        self.corp.plan["dot"], self.inbox.plan["dot"] = "550 5.7.1 no", "451 4.2.0 later"
        self.serve()
        self.assertReply(self.send("team@fwd.test"), 451)
        self.assertEqual((self.queue(), self.origin.accepted), ([], []))

    def test_one_is_down(self):
        """C.4.1: a group that is not ready in time is late."""
        self.corp.plan["connect"] = Wait(30)
        self.serve(delivery={"handoff": "2s", "rcpt_patience": "1s"})
        began = time.monotonic()
        reply = self.send("team@fwd.test")
        self.assertReply(reply, 250)
        self.assertLess(time.monotonic() - began, 6)
        self.assertEqual(len(self.inbox.accepted), 1)
        self.assertEqual([r["destination"] for r in self.wait_queue(1)[0]["recipients"]], ["carol@corp.test"])
        began = time.monotonic()
        self.assertEqual(self.daemon.stop(), 0)
        self.assertLess(time.monotonic() - began, 20, "DU-15: it does not wait for who has no dot of ours")
        self.corp.plan.clear()
        self.daemon.start()
        self.ask("queue", "retry", "--all")
        self.wait_queue(0)
        self.assertEqual((len(self.inbox.accepted), len(self.corp.accepted)), (1, 1))

    # --- RFC 3461

    def test_notify(self):
        self.corp.plan["dot"] = "550 5.7.1 no"
        self.serve()
        self.assertIn("DSN", self.daemon.client().keywords)
        self.assertReply(self.send("team@fwd.test", parameters=("NOTIFY=NEVER",)), 250)
        self.assertReply(self.send("alice@fwd.test", parameters=("NOTIFY=SUCCESS", "ORCPT=rfc822;Alice+2BX@old.test")), 250)
        report = self.report()
        text = report.as_string()
        self.assertIn("Action: relayed", text)
        self.assertIn("Original-Recipient: rfc822; Alice+X@old.test", text)
        self.assertEqual(len(self.origin.accepted), 1, "none for NEVER")
        client = self.daemon.client()
        self.assertReply(client.mail(SENDER, "RET=HDRS", "ENVID=qq+2B314"), 250)
        self.assertReply(client.rcpt("team@fwd.test", "NOTIFY=FAILURE,DELAY"), 250)
        self.assertReply(client.data(message(sender=SENDER, subject="the subject")), 250)
        text = self.report(2).as_string()
        self.assertIn("Original-Envelope-Id: qq+314", text)
        self.assertIn("Subject: the subject", text)
        self.assertNotIn("Hello.", text)

    def test_double_bounces_are_counted(self):
        """LP-07"""
        self.origin.plan["rcpt"] = "550 5.1.1 nobody"
        self.inbox.plan["dot"] = [Wait(1.5), "550 5.7.1 no"]
        self.serve()
        self.assertReply(self.send(), 250)
        wait_until(lambda: self.ask("status")["counters"]["double_bounces_total"] == 1, "the double bounce")
        self.wait_queue(0)

    def test_expiry(self):
        self.inbox.plan["dot"] = "451 4.2.0 later"
        self.serve(queue={"lifetime": "3s", "delay_notice": "1s"})
        self.assertReply(self.send("queued@fwd.test"), 250)
        delayed = self.report().as_string()
        self.assertIn("Action: delayed", delayed)
        failed = self.report(2).as_string()
        self.assertIn("Action: failed", failed)
        self.wait_queue(0)
        self.assertEqual(len(self.origin.accepted), 2)

    def test_errors_full_names_the_destination(self):
        self.inbox.plan["dot"] = [Wait(1.5), "550 5.7.1 alice@inbox.test no"]
        self.serve(delivery={"errors": "full"})
        self.assertReply(self.send(), 250)
        self.assertIn("alice@inbox.test", self.report().as_string())


if __name__ == "__main__":
    main()
