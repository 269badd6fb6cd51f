"""smtp-commands and smtp-addresses, said to the running program: what is no command gets 5xx, what is one is not called a
syntax error, and the session stays usable. The parsers' own tables are unit tests of mail/."""
import json
import os
import unittest

from corpus_test import CONFORMANCE
from lib.case import Case, main
from lib.client import Closed

COMMANDS = os.path.join(CONFORMANCE, "smtp-commands", "stalwart-commands.jsonl")
ADDRESSES = os.path.join(CONFORMANCE, "smtp-addresses", "isemail.jsonl")
# Lenient points of the suite (GUIDE.md 2.6): either way is right. And what this server does not offer.
NOT_OFFERED = ("LHLO", "AUTH", "ATRN", "ETRN", "BURL", "EXPN")


def read(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


@unittest.skipUnless(os.path.exists(COMMANDS), "../shared/conformance is not there")
class OnTheWire(Case):
    def setUp(self):
        super().setUp()
        self.daemon = self.onward(upstream=self.upstream(), tls=True)
        self.number = 0

    def say(self, line, before=()):
        self.number += 1
        client = self.daemon.client(source=f"127.15.{self.number // 250}.{self.number % 250 + 1}")
        for first in before:
            client.cmd(first)
        client.send(line.encode("utf-8") + b"\r\n")
        try:
            return client.reply()
        except Closed:
            return None
        finally:
            client.close()

    def test_commands(self):
        wrong = []
        for case in read(COMMANDS):
            line = case["line"].rstrip("\r\n")
            verb = line.split(" ")[0].upper()
            if "\r" in line or "\n" in line or verb in NOT_OFFERED or (verb == "BDAT" and case["ok"]) or "TO:<>" in line.upper():
                continue  # a right BDAT waits for its chunk; <> is right to a parser, but nobody's address
            utf8 = not line.isascii()
            before = ["MAIL FROM:<a@origin.test>" + (" SMTPUTF8" if utf8 else "")] if verb == "RCPT" else []
            reply = self.say(line, before)
            if reply is None:
                wrong.append(f"{line!r}: no reply")
            elif not case["ok"] and reply.code < 500:
                if not self.lenient(line):
                    wrong.append(f"{line!r} is wrong, but {reply}")
            elif case["ok"] and reply.code in (500, 501) and reply.short != "501 5.5.4" and not self.lenient(line):
                wrong.append(f"{line!r} is right, but {reply}")
        self.assertEqual(wrong, [], "\n".join(wrong))

    def lenient(self, line):
        upper = line.upper()
        return any(p in upper for p in ("FROM: ", "FROM :", "TO: ", "TO :", "MAIL  ", "RCPT  ")) or "<" not in line

    def test_addresses(self):
        wrong = []
        for case in read(ADDRESSES):
            address = case["address"]
            if case["envelope_valid"] is None or any(ord(c) < 32 or ord(c) == 127 for c in address) or not address:
                continue
            reply = self.say(f"MAIL FROM:<{address}>" + ("" if address.isascii() else " SMTPUTF8"))
            if reply is None or (reply.code == 250) != case["envelope_valid"]:
                wrong.append(f"{case['id']} {address!r} valid={case['envelope_valid']}: {reply}")
        self.assertEqual(wrong, [], "\n".join(wrong))


if __name__ == "__main__":
    main()
