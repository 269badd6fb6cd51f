"""scripts/kill-loop: SIGKILL at random moments under load, nothing is lost and nothing comes twice unannounced (DU-02).
ONWARD_KILLS: how often (default 200, half of them with each custody)."""
import os
import subprocess
import sys
import unittest

from lib.binary import load_script, script_path
from lib.case import main
from lib.onward import BINARY

SCRIPT = script_path("kill-loop")


class Message:
    def __init__(self, token, recipients, sender="SRS0=x@srs.test"):
        self.sender, self.recipients = sender, recipients
        self.data = f"Subject: x\r\nMessage-ID: <{token}@origin.test>\r\n\r\n".encode()


class Counting(unittest.TestCase):
    """The sums can be wrong in each way."""

    def test_sums(self):
        book = load_script("kill-loop").Book()
        book.accept(Message("good", ["alice@inbox.test"]))
        book.tell("good", ["alice@fwd.test"], 250, True)
        book.tell("lost", ["alice@fwd.test"], 250, False)
        book.tell("bounced", ["alice@fwd.test"], 250, False)
        book.accept(Message("bounced", ["sender@origin.test"], sender=""))
        book.tell("phantom", ["alice@fwd.test"], 250, True)
        book.accept(Message("phantom", ["alice@inbox.test"]))
        for _ in range(3):
            book.accept(Message("thrice", ["alice@inbox.test", "bob@inbox.test"]))
        book.tell("refused", ["alice@fwd.test"], 554, True)
        book.accept(Message("half", ["alice@inbox.test"]))
        book.tell("half", ["team@fwd.test"], 250, False)
        sums = book.sums()
        self.assertEqual(sums["lost"], ["half", "lost"])
        self.assertEqual(sums["phantom"], ["phantom"])
        self.assertEqual(dict(sums["copies"]), {"thrice": 4})


class Kills(unittest.TestCase):
    def test_kills(self):
        command = [sys.executable, SCRIPT, os.environ.get("ONWARD_KILLS", "200"), "--binary", BINARY]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        print(done.stdout)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stdout.count("lost 0, phantom 0"), 2, done.stdout)


if __name__ == "__main__":
    main()
