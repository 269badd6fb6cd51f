"""smtp-responses: 206 real refusals of large providers, said by the scripted upstream at RCPT: the client hears the same
class, 421 as 451, never our own closing, and one clean reply (interface.md §4, UP-05, UP-06)."""
import json
import os
import re
import unittest

from corpus_test import CONFORMANCE
from lib.case import Case, main

FILE = os.path.join(CONFORMANCE, "smtp-responses", "activecampaign-replies.jsonl")
RULES = 'name = "fwd.test"\n[[rule]]\npattern = "r([0-9]+)"\nto = ["r$1@inbox.test"]\n'


@unittest.skipUnless(os.path.exists(FILE), "../shared/conformance is not there")
class Responses(Case):
    def test_providers_replies(self):
        with open(FILE, encoding="utf-8") as f:
            cases = [json.loads(line) for line in f]
        said = []
        for case in cases:
            text = re.sub(r"^smtp;\s*", "", case["text"])
            text = re.sub(r"^[245]\d\d[ -]", "", text).replace("\r", " ").replace("\n", " ")
            said.append(f"{case['code']} {text}")
        upstream = self.upstream({"rcpt": lambda s, line: (said[int(re.search(rb"r(\d+)@", line).group(1))] + "\r\n").encode("utf-8")})
        onward = self.onward({"delivery": {"connections_per_destination": 50}}, upstream=upstream, domains={"fwd.test.toml": RULES})
        wrong = []
        for number, case in enumerate(cases):
            client = onward.client(source=f"127.14.{number // 250}.{number % 250 + 1}")
            client.mail("sender@origin.test")
            reply = client.rcpt(f"r{number}@fwd.test")  # lib/client.py holds its form
            client.close()
            note = f"{said[number][:160]!r} -> {reply}"
            about_us = reply.short == "451 4.7.0" and ("127.0.0.1" in said[number] or "mx.forward.test" in said[number])
            want = 451 if case["code"] == 421 else case["code"]
            if reply.code != want and not about_us:
                wrong.append(f"should be {want}: {note}")
            if reply.enhanced and reply.enhanced[0] != str(reply.code)[0]:
                wrong.append(f"class of the enhanced code: {note}")
            if reply.slug != "upstream":
                wrong.append(f"slug: {note}")
        self.assertEqual(wrong, [], "\n".join(wrong[:30]))


if __name__ == "__main__":
    main()
