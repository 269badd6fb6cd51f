"""scripts/reload-loop: a configuration is taken while mail passes, and nothing is dropped, lost or doubled (OP-01).
ONWARD_RELOADS: how often (default 40)."""
import json
import os
import subprocess
import sys
import unittest

from lib.binary import load_script, script_path
from lib.case import main
from lib.onward import BINARY

SCRIPT = script_path("reload-loop")


class Message:
    def __init__(self, token):
        self.data = f"Subject: x\r\nMessage-ID: <{token}@origin.test>\r\n\r\n".encode()


class Counting(unittest.TestCase):
    """The sums can be wrong in each way."""

    def test_sums(self):
        book = load_script("reload-loop").Book()
        for token, versions, hops in (("good", {"first"}, ["inbox.test"]), ("either", {"first", "second"}, ["corp.test"]),
                                      ("missing", {"first"}, []), ("astray", {"second"}, ["inbox.test"]),
                                      ("twice", {"first"}, ["inbox.test", "corp.test"])):
            book.tell(token, versions, 0.1)
            for hop in hops:
                book.accept(hop, Message(token))
        book.accept("inbox.test", Message("unasked"))
        self.assertEqual(book.sums(), {"missing": ["missing"], "twice": ["twice"], "astray": ["astray"],
                                       "unasked": ["unasked"]})

    def test_versions(self):
        """Which version a message must follow, by the time of its MAIL."""
        versions = load_script("reload-loop").Versions("first")
        versions.changes = [[0, 0, "first"], [10, 12, "second"], [20, 22, "first"], [30, float("inf"), "second"]]
        for since, until, names, number in ((5, 6, {"first"}, 0), (5, 11, {"first", "second"}, None),
                                            (11, 11.5, {"first", "second"}, None), (13, 14, {"second"}, 1),
                                            (11, 21, {"first", "second"}, None), (23, 24, {"first"}, 2),
                                            (31, 99, {"first", "second"}, None)):
            self.assertEqual(versions.between(since, until), (names, number), (since, until))


class Reloads(unittest.TestCase):
    def test_under_load(self):
        count = int(os.environ.get("ONWARD_RELOADS", "40"))
        command = [sys.executable, SCRIPT, str(count), "--json", "--binary", BINARY]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        result = json.loads(done.stdout)
        print({name: value for name, value in result.items() if value not in (0, [])})
        self.assertEqual((result["reloads"], result["seen_in_mail"]), (count, count))
        self.assertEqual(result["messages"], result["told_250"])
        self.assertGreater(result["sessions_of_the_closed_listener"], 0)


if __name__ == "__main__":
    main()
