"""The queue seen from outside: custody = "queue", retries, restarts, fallback, and every command that looks at or changes
it (interface.md §3, §6.2, §6.19)."""
import contextlib
import os
import shutil
import sqlite3
import subprocess
import threading
import time

from lib.case import main, message
from lib.owned import SENDER, STRANGER, OwnedCase
from lib.upstream import Reset, Turns
from lib.wait import wait_until


class Queue(OwnedCase):
    def test_custody_queue(self):
        """Accepted by the rule alone, on disk at 250, delivered as it was stored."""
        held = threading.Event()
        self.inbox.plan["connect"] = lambda session, line: held.wait(10) and "220 inbox.test" or "220 inbox.test"
        self.serve()
        content = message(sender=SENDER)
        reply = self.send("queued@fwd.test", content=content)
        self.assertReply(reply, 250, "2.0.0")
        self.assertIn("queued", reply.text)
        self.assertEqual(self.inbox.accepted, [], "nobody has it yet")
        jobs = self.queue()
        self.assertEqual([job["sender"] for job in jobs], [SENDER])
        self.assertEqual(set(jobs[0]) & {"id", "queue", "created", "next_attempt", "attempts", "sender", "recipients", "size"},
                         {"id", "queue", "created", "next_attempt", "attempts", "sender", "recipients", "size"})
        one = jobs[0]["recipients"][0]
        self.assertEqual((one["address"], one["destination"]), ("queued@fwd.test", "alice@inbox.test"))
        self.assertIn("state", one)
        self.assertIn("last_reply", one)
        held.set()
        arrived = self.inbox.wait_accepted(1)[0]
        fields = self.assertOriginalKept(content, arrived.data)
        self.assertIn("DKIM-Signature", [name for name, _ in fields])
        self.assertTrue(arrived.sender.startswith("SRS0="))
        self.wait_queue(0)
        wait_until(lambda: [r["status"] for r in self.log()] == ["queued", "delivered"], "both rows of the activity log")
        self.assertEqual(len(self.inbox.accepted), 1)

    def test_a_stranger_takes_the_in_session_path(self):
        """interface.md §6.2: we never own unproven mail."""
        self.inbox.plan["rcpt"] = Turns("550 5.1.1 nobody", "250 2.1.5 ok")
        self.serve()
        self.assertReply(self.send("queued@fwd.test", STRANGER), 550, "5.1.1", "upstream")
        self.assertReply(self.send("queued@fwd.test", STRANGER), 250)
        self.assertEqual(len(self.inbox.accepted), 1)
        self.assertReply(self.send("queued@fwd.test", ""), 250, note="nor bounces")
        self.assertEqual(self.queue(), [])

    def test_daemon_wide_custody_and_large_messages(self):
        self.serve(delivery={"custody": "queue"}, limits={"spill_above": "16 KiB"})
        content = message("0123456789abcdef\r\n" * 20_000, sender=SENDER)
        self.assertReply(self.send("bob@fwd.test", content=content), 250)
        self.assertOriginalKept(content, self.inbox.wait_accepted(1)[0].data)
        self.wait_queue(0)
        bodies = os.path.join(self.daemon.path("state"), "bodies")
        wait_until(lambda: not [f for _, _, files in os.walk(bodies) for f in files], "the body file to go")

    def test_retries_send_the_same_octets(self):
        """I5: same Received, same signatures."""
        self.inbox.plan["dot"] = Turns("451 4.7.1 later", "451 4.7.1 later", "250 2.0.0 ok")
        self.serve()
        self.assertReply(self.send("queued@fwd.test"), 250)
        self.inbox.wait_accepted(1)
        self.wait_queue(0)
        self.assertEqual(len(self.inbox.attempts), 3)
        self.assertEqual(len({attempt.data for attempt in self.inbox.attempts}), 1)
        rows = self.log()
        self.assertEqual(sorted(r["status"] for r in rows), ["deferred", "deferred", "delivered", "queued"])
        deferred = [r for r in rows if r["status"] == "deferred"][0]
        self.assertEqual(deferred["upstream"]["reply"], "451 4.7.1 later")

    def test_killed_and_started_again(self):
        """Every 250 is kept across SIGKILL, and delivered once."""
        self.inbox.plan["connect"] = Reset()
        self.serve()
        ids = [self.send("queued@fwd.test") for _ in range(5)]
        self.assertEqual([r.code for r in ids], [250] * 5)
        self.daemon.process.kill()
        self.daemon.process.wait()
        del self.inbox.plan["connect"]
        self.daemon.start()
        self.inbox.wait_accepted(5)
        self.wait_queue(0)
        self.assertEqual(len(self.inbox.accepted), 5)

    def test_sigterm_leaves_the_queue_as_it_is(self):
        self.inbox.plan["dot"] = "451 4.2.1 not now"
        self.serve(queue={"retry": ["1h"]})
        self.assertReply(self.send("queued@fwd.test"), 250)
        wait_until(lambda: self.queue()[0]["attempts"] == 1, "the first attempt")
        self.assertEqual(self.daemon.stop(), 0)
        self.daemon.start()
        job = self.queue()[0]
        self.assertEqual((job["queue"], job["attempts"]), ("deferred", 1))
        del self.inbox.plan["dot"]
        self.assertEqual(self.ask("queue", "retry", job["id"])["recipients"], 1)
        self.inbox.wait_accepted(1)

    def test_backup_under_load(self):
        """DU-14: docs/operations.md's two commands, while mail comes in; restored on a machine that has nothing else."""
        self.inbox.plan["connect"] = "421 4.3.2 not now"
        self.serve(queue={"retry": ["1h"]})
        told, stop = [], threading.Event()

        def load():
            with self.daemon.client() as client:
                while not stop.is_set():
                    content = message(sender=SENDER) + b"x\r\n" * (40_000 if len(told) % 3 else 10)
                    self.assertReply(self.send("queued@fwd.test", content=content, client=client), 250)
                    told.append(content)
        thread = threading.Thread(target=load)
        thread.start()
        wait_until(lambda: len(told) >= 20, "some mail")
        owed = list(told)
        with contextlib.closing(sqlite3.connect(self.daemon.path("state/queue.db"))) as db:
            db.execute("VACUUM INTO ?", (self.daemon.path("backup.db"),))
        shutil.copytree(self.daemon.path("state/bodies"), self.daemon.path("backup"))
        stop.set()
        thread.join()
        self.assertEqual(self.daemon.stop(), 0)
        shutil.rmtree(self.daemon.path("state"))
        os.mkdir(self.daemon.path("state"), 0o700)
        shutil.move(self.daemon.path("backup.db"), self.daemon.path("state/queue.db"))
        shutil.move(self.daemon.path("backup"), self.daemon.path("state/bodies"))
        os.chmod(self.daemon.path("state/queue.db"), 0o600)
        self.daemon.write_config()  # gives all of it to the daemon's user
        self.inbox.plan.clear()
        self.daemon.start()
        self.daemon.run("queue", "retry", "--all")
        self.wait_queue(0)
        arrived = b"".join(m.data for m in self.inbox.accepted)
        self.assertEqual([c for c in owed if c not in arrived], [])

    def test_second_process(self):
        """DU-08"""
        self.serve()
        second = self.daemon.run("serve")
        self.assertEqual(second.returncode, 75, second.stderr)
        self.assertEqual(len(second.stderr.strip().splitlines()), 1, second.stderr)

    # --- commands

    def test_hold_release_delete_fail(self):
        self.inbox.plan["dot"] = "451 4.2.1 not now"
        self.serve(queue={"retry": ["1h"]})
        for _ in range(3):
            self.assertReply(self.send("queued@fwd.test"), 250)
        wait_until(lambda: all(j["attempts"] == 1 for j in self.wait_queue(3)), "three attempts")
        first, second, third = [job["id"] for job in self.queue()]
        self.assertEqual(self.ask("queue", "hold", first, "--reason", "to be looked at")["recipients"], 1)
        self.assertEqual(self.ask("queue", "show", first)["recipients"][0]["hold_reason"], "to be looked at")
        self.assertEqual([j["id"] for j in self.queue("--state", "hold")], [first])
        del self.inbox.plan["dot"]
        self.ask("queue", "retry", "--all")
        self.inbox.wait_accepted(2)  # held mail stays held
        self.assertEqual([j["id"] for j in self.wait_queue(1)], [first])
        self.assertEqual(self.ask("queue", "release", "--to", "inbox.test")["recipients"], 1)
        self.inbox.wait_accepted(3)  # its time had come long ago
        self.wait_queue(0)
        self.ask("queue", "show", "nosuchmessage-1", code=1)
        self.ask("queue", "retry", "nosuchmessage-1", code=1)
        self.assertEqual(self.daemon.run("queue", "delete").returncode, 2, "not everything by accident")
        self.assertEqual(self.origin.accepted, [])

        self.inbox.plan["dot"] = "451 4.2.1 not now"
        for _ in range(2):
            self.assertReply(self.send("queued@fwd.test"), 250)
        wait_until(lambda: all(j["attempts"] == 1 for j in self.wait_queue(2)), "two attempts")
        gone, failed = [job["id"] for job in self.queue()]
        self.assertEqual(self.ask("queue", "delete", gone)["recipients"], 1)
        self.assertEqual(self.ask("queue", "fail", failed)["recipients"], 1)
        self.assertEqual(self.origin.wait_accepted(1)[0].sender, "", "a report for the failed one, none for the deleted")
        self.wait_queue(0)
        self.assertEqual(len(self.origin.accepted), 1)
        text = self.daemon.run("queue", "list")
        self.assertEqual((text.returncode, text.stdout), (0, "the queue is empty\n"))

    def test_hold_rules_catch_what_comes(self):
        self.serve()
        rule = self.ask("queue", "rules", "add", "--to", "inbox.test", "--reason", "their server is being moved")["rule"]
        self.assertReply(self.send("queued@fwd.test"), 250)
        job = self.wait_queue(1)[0]
        self.assertEqual((job["queue"], job["recipients"][0]["hold_reason"]), ("hold", "their server is being moved"))
        self.assertEqual(self.ask("queue", "rules", "list")["rules"][0]["to"], "inbox.test")
        self.assertEqual(self.inbox.accepted, [])
        self.ask("queue", "rules", "remove", str(rule))
        self.inbox.wait_accepted(1)
        self.ask("queue", "rules", "remove", "999", code=1)

    def test_log_trace_ledger(self):
        self.serve()
        content = message(sender=SENDER, subject="find me")
        message_id = [line for line in content.decode().split("\r\n") if line.startswith("Message-ID")][0].split(": ")[1]
        with self.daemon.client() as client:
            reply = self.send("alice@fwd.test", content=content, client=client)
            identity = reply.text.split("id ")[-1]
            entry = self.ask("ledger", "list")[0]
            self.assertEqual((entry["state"], entry["id"]), ("2XX", identity))
            self.assertEqual(self.ask("ledger", "show", entry["fingerprint"][:8])[0]["fingerprint"], entry["fingerprint"])
            self.ask("ledger", "show", "0123456789", code=1)
            self.assertReply(self.send("nobody@fwd.test", client=client), 550)
            self.assertEqual(self.ask("ledger", "list"), [], "the client has gone on: it knows")
        row = self.log("--id", identity)[0]
        for key in ("time", "id", "session", "message_id", "client_ip", "helo", "mail_from", "rcpt_to", "destination", "subject",
                    "size", "status", "spf", "dkim", "dmarc", "arc", "dnsbl", "reply", "upstream", "error"):
            self.assertIn(key, row)
        self.assertEqual((row["status"], row["message_id"], row["subject"]), ("forwarded", message_id, "find me"))
        self.assertEqual(row["upstream"]["reply"][:3], "250")
        self.assertEqual(row["upstream"]["address"], f"127.0.0.1:{self.inbox.port}")
        for query in (["--id", row["session"]], ["--id", message_id], ["--rcpt", "ALICE@fwd.test"], ["--from", SENDER],
                      ["--since", "1h"], ["--status", "forwarded"]):
            self.assertIn(identity, [r["id"] for r in self.log(*query)], query)
        self.assertEqual(self.log("--status", "bounced"), [])
        self.assertEqual([r["rcpt_to"] for r in self.log("--status", "rejected")], ["nobody@fwd.test"])
        trace = self.ask("trace", identity)
        self.assertEqual(trace["log"][0]["id"], identity)
        self.assertEqual(self.ask("trace", message_id)["log"][0]["id"], identity)
        self.assertIn("find me", self.daemon.run("trace", row["session"]).stdout)
        self.assertEqual(self.daemon.run("trace", "nothing-1").returncode, 1)
        self.assertIn("forwarded", self.daemon.run("log").stdout)

    def test_log_follow(self):
        self.serve()
        follower = subprocess.Popen([self.daemon.binary, "log", "--follow", "--json", "-c", self.daemon.path("onward.toml")],
                                    stdout=subprocess.PIPE, text=True, env=self.daemon.environment())
        try:
            self.send("alice@fwd.test")
            self.assertIn('"status":"forwarded"', follower.stdout.readline())
            self.send("nobody@fwd.test")
            self.assertIn('"status":"rejected"', follower.stdout.readline())
        finally:
            follower.kill()
            follower.wait()

    def test_status_counts(self):
        self.inbox.plan["connect"] = Reset()
        self.serve(queue={"retry": ["1h"]})
        self.send("queued@fwd.test")
        wait_until(lambda: self.ask("status")["queue"]["deferred"] == 1, "the message to be put off")
        status = self.ask("status")
        self.assertEqual((status["queue"]["hold"], status["queued_total"]), (0, 1))

    # --- fallback

    def test_fallback_at_each_stage(self):
        """After a policy refusal (5.7.x), never after another one."""
        self.serve()
        for stage in ("rcpt", "dot"):
            for sender in (SENDER, STRANGER):
                with self.subTest(stage=stage, sender=sender):
                    self.inbox.plan = {stage: "550 5.7.1 we do not like it"}
                    before = len(self.corp.accepted)
                    self.assertReply(self.send("spare@fwd.test", sender), 250)
                    self.assertEqual(self.corp.wait_accepted(before + 1)[-1].recipients, ["carol@corp.test"])
        self.inbox.plan = {"rcpt": "550 5.1.1 nobody"}
        self.assertReply(self.send("spare@fwd.test"), 550, "5.1.1")
        self.assertEqual(self.queue(), [])
        self.inbox.plan, self.corp.plan = {"dot": "550 5.7.1 no"}, {"dot": "550 5.7.1 alice@inbox.test carol@corp.test no"}
        reply = self.send("spare@fwd.test")
        self.assertReply(reply, 550, "5.7.1", "upstream")
        self.assertNotIn("inbox.test", reply.text)
        self.assertNotIn("corp.test", reply.text)

    def test_fallback_from_the_queue(self):
        rules = 'name = "fwd.test"\n[[rule]]\naddress = "q"\nto = ["alice@inbox.test"]\ncustody = "queue"\nfallback = ["carol@corp.test"]\n'
        self.inbox.plan["dot"] = "550 5.7.1 policy"
        self.serve(queue={"fallback_after": "2s"}, domains=rules)
        self.assertReply(self.send("q@fwd.test"), 250)
        self.corp.wait_accepted(1)
        self.inbox.plan = {"connect": Reset(), "mail": Reset()}
        began = time.monotonic()
        self.assertReply(self.send("q@fwd.test"), 250)
        self.corp.wait_accepted(2)
        self.assertGreaterEqual(time.monotonic() - began, 1.5, "fallback_after of temporary failures")
        self.wait_queue(0)
        self.assertEqual(self.origin.accepted, [])


if __name__ == "__main__":
    main()
