"""SIGKILL at each kill point of threats B9, with a client that repeats its message octet for octet: DU-01. How many copies are
allowed is what the table there says. ONWARD_KILL_ROUNDS: how often each (default 1; 20 at night)."""
import os
import signal
import subprocess

from lib.case import main, message
from lib.client import Closed
from lib.owned import SENDER, STRANGER, OwnedCase
from lib.onward import BINARY
from lib.wait import wait_until

ROUNDS = int(os.environ.get("ONWARD_KILL_ROUNDS", "1"))
KILLED = -signal.SIGKILL
# Between our dot and what the ledger knows of its answer nobody can tell whether the destination has it.
UNKNOWABLE = (12, 13, 22, 23)
IN_QUEUE = range(16, 27)  # reached only by mail that is ours
MESSAGES_TO_A_CHECKPOINT = 400
TRIES = 12


def kill_points():
    run = subprocess.run([BINARY, "--list-failpoints"], capture_output=True, text=True, check=True)
    names = [line.split()[1] for line in run.stdout.splitlines()]
    return [(name, int(name[1:3])) for name in names]


class KillPoints(OwnedCase):
    def repeat(self, rcpt, sender, content):
        """A client that goes on until it is told 250 or 5xx, whatever becomes of the server meanwhile."""
        for _ in range(TRIES):
            if self.daemon.process.poll() is not None:
                self.revive()
            try:
                reply = self.send(rcpt, sender, content)
            except (Closed, OSError):
                try:
                    self.daemon.process.wait(5)
                except subprocess.TimeoutExpired:
                    self.fail("a closed connection, and the daemon lives")
                continue
            if reply.code == 250 or reply.code >= 500:
                return reply
        self.fail("no answer")

    def revive(self):
        self.assertEqual(self.daemon.process.returncode, KILLED, self.daemon.log_text()[-2000:])
        self.daemon.log_file.close()
        self.kills += 1
        self.inbox.plan.clear()  # before anybody finds the next hop dead
        self.daemon.start()

    def start_armed(self, name):
        """Dies at `name`, and not before there was a client: a few commits belong to the start."""
        for nth in range(1, 6):
            self.daemon.failpoints = f"{name}=kill@{nth}"
            try:
                return self.daemon.start()
            except AssertionError:
                self.assertEqual(self.daemon.process.returncode, KILLED)
        return self.fail("it never starts")

    def flagged(self):
        return [entry for entry in self.daemon.log() if entry.get("dup_possible") or entry["event"] == "dup_possible"]

    def case(self, name, number, size):
        self.kills = 0
        self.serve(start=False, limits={"spill_above": 65536})
        self.start_armed(name)
        before = len(self.inbox.accepted)
        queued = number in IN_QUEUE
        rcpt, sender = ("queued@fwd.test", SENDER) if queued else ("alice@fwd.test", STRANGER)
        padding = b"0123456789abcde\r\n" * (size // 17)
        sent = 0
        # A checkpoint comes when enough has been written; all other points are met by the first message. Nothing is on its
        # way out then: the checkpoint would not be the only one to be killed.
        if number == 26:
            self.inbox.plan["connect"] = "421 4.3.2 not now"
        while sent < (1 if number != 26 else MESSAGES_TO_A_CHECKPOINT) and not self.kills:
            reply = self.repeat(rcpt, sender, message(sender=sender) + padding)
            self.assertEqual(reply.code, 250, reply)
            sent += 1
        if not self.kills:  # the points after the client's 250, and those of the runner
            wait_until(lambda: self.daemon.process.poll() is not None, "the kill")
            self.revive()
        self.assertEqual(self.kills, 1)
        self.wait_queue(0)
        copies = len(self.inbox.accepted) - before
        self.assertGreaterEqual(copies, sent, "lost")
        if number in UNKNOWABLE:
            self.assertLessEqual(copies, 2)
            self.assertTrue(copies == 1 or self.flagged(), "a second copy that nobody was told of")
        else:
            self.assertEqual(copies, sent)
        self.assertTrue(all(m.data.endswith(padding) for m in self.inbox.accepted[before:]), "whole")
        self.assertReply(self.send(rcpt, sender), 250, note="it goes on as before")
        self.wait_queue(0)
        wait_until(lambda: len(self.inbox.accepted) == before + copies + 1, "the next message")
        self.assertEqual(self.daemon.stop(), 0)

    def test_each(self):
        """DU-01, DU-12, DU-19"""
        points = kill_points()
        self.assertEqual({number for _, number in points}, set(range(1, 27)))
        for round_ in range(ROUNDS):
            for name, number in points:
                with self.subTest(point=name, round=round_):
                    # What is not small goes to the disk: as a spill file, and in the queue as a file of its own.
                    size = 300_000 if number in (3, 4, 16, 17, 25) else 50_000 if number == 26 else 2_000 + round_ * 2_000
                    self.case(name, number, size)


if __name__ == "__main__":
    main()
