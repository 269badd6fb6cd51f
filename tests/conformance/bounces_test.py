"""dsn-bounces: real bounces of some 70 mail systems, sent to our SRS addresses, come back to the original sender in-session
and unchanged below what we put on top (interface.md §6.25)."""
import json
import os
import unittest

from corpus_test import CONFORMANCE, REFUSAL, crlf, defect
from lib.case import Case, main

FOLDER = os.path.join(CONFORMANCE, "dsn-bounces")


@unittest.skipUnless(os.path.exists(FOLDER), "../shared/conformance is not there")
class Bounces(Case):
    def test_bounces_come_back(self):
        upstream = self.upstream()
        onward = self.onward({"limits": {"connections_per_ip": 200}, "log": {"level": "info"}}, upstream=upstream)
        encoded = onward.run("srs", "encode", "sender@origin.test").stdout.split()[-1]
        self.assertTrue(encoded.startswith("SRS0="), encoded)
        with open(os.path.join(FOLDER, "index.jsonl"), encoding="utf-8") as f:
            index = [json.loads(line) for line in f]
        wrong, passed, refused, client = [], 0, 0, None
        for number, entry in enumerate(index):
            with open(os.path.join(FOLDER, entry["path"]), "rb") as f:
                content = crlf(f.read())
            client = client or onward.client(source=f"127.13.{number // 250}.{number % 250 + 1}")
            before = len(upstream.accepted)
            result = client.transaction("", encoded, content)
            reply = result["data"] or (result["rcpt"] or [result["mail"]])[0]
            bad = defect(content)
            if bad is not None:
                refused += 1
                if reply.short != REFUSAL[bad]:
                    wrong.append(f"{entry['path']}: {bad}, but {reply}")
                client.close()
                client = None
                continue
            if reply.code != 250:
                wrong.append(f"{entry['path']}: {reply}")
                client.close()
                client = None
                continue
            arrived = upstream.accepted[before]
            if (arrived.sender, arrived.recipients) != ("", ["sender@origin.test"]):
                wrong.append(f"{entry['path']}: {arrived.sender} {arrived.recipients}")
            if not arrived.data.endswith(content):
                wrong.append(f"{entry['path']}: changed")
            passed += 1
        print(f"bounces: {len(index)}, {passed} came back unchanged, {refused} refused for their header")
        self.assertEqual(wrong, [], "\n".join(wrong[:30]))
        self.assertGreater(passed, 500)


if __name__ == "__main__":
    main()
