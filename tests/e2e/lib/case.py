"""The test case they all derive from: makes servers and clients, and takes everything down at the end, Onward first and
with its own questions asked (exit code, log, sanitizer, upstream's list of violations)."""
import email.utils
import os
import random
import re
import unittest

from .client import Client
from .dns import Dns, HostileDns
from .onward import Onward
from .upstream import Upstream


def message(body="Hello.\r\n", sender="sender@origin.test", token=None, extra="", subject="a test"):
    """A small, well-formed message in octets."""
    body = body.encode("utf-8") if isinstance(body, str) else body
    token = f"X-Token: {token}\r\n" if token else ""
    return (f"From: <{sender}>\r\nTo: <someone@fwd.test>\r\nSubject: {subject}\r\n"
            f"Date: {email.utils.formatdate()}\r\nMessage-ID: <{random.getrandbits(64):x}@origin.test>\r\n"
            f"{token}{extra}\r\n").encode("utf-8") + body


class Case(unittest.TestCase):
    maxDiff = 4000

    def setUp(self):
        self._ends = []
        self.addCleanup(self._end)  # not tearDown: it also runs when a setUp of ours fails half-way

    def onward(self, settings=None, start=True, end_limit=60, **arguments):
        onward = Onward(settings, **arguments)
        onward.end_limit = end_limit
        self._ends.append(onward)
        return onward.start() if start else onward

    def upstream(self, plan=None, **arguments):
        upstream = Upstream(plan, **arguments)
        self._ends.append(upstream)
        return upstream

    def dns(self, records=""):
        dns = Dns(records)
        self._ends.append(dns)
        return dns

    def hostile_dns(self, answer):
        dns = HostileDns(answer)
        self._ends.append(dns)
        return dns

    def keep(self, server):
        """Something with stop(), to be stopped at the end."""
        self._ends.append(server)
        return server

    def _end(self):
        wrong = []
        began, self._ends = self._ends, []
        ends = sorted(began, key=lambda e: not isinstance(e, Onward))  # Onward while its upstreams still answer
        for end in ends:
            if isinstance(end, Onward):
                found = end.check_end(end.end_limit)
                if (found or self._failed()) and os.environ.get("ONWARD_E2E_LOG"):
                    print(end.log_text())
                wrong += found
                end.remove()
            else:
                end.stop()
                wrong += getattr(end, "violations", [])
        if wrong:
            self.fail("at the end:\n" + "\n".join(wrong))

    def _failed(self):
        outcome = getattr(self._outcome, "result", None)
        return bool(outcome and (outcome.failures or outcome.errors))

    # --- assertions
    def assertReply(self, reply, code, enhanced=None, slug=None, note=""):
        """`code` may be a tuple of codes."""
        codes = code if isinstance(code, tuple) else (code,)
        self.assertIn(reply.code, codes, f"{note} {reply}")
        if enhanced is not None:
            allowed = enhanced if isinstance(enhanced, tuple) else (enhanced,)
            self.assertIn(reply.enhanced, allowed, f"{note} {reply}")
        if slug is not None:
            self.assertEqual(reply.slug, slug, f"{note} {reply}")
            self.assertTrue(reply.id, f"{note} no trace id: {reply}")

    def assertSent(self, client, sender, recipients, content):
        result = client.transaction(sender, recipients, content)
        self.assertReply(result["mail"], 250)
        for reply in result["rcpt"]:
            self.assertReply(reply, 250)
        self.assertReply(result["data"], 250)
        return result["data"]

    def assertOriginalKept(self, sent, received, note=""):
        """What arrived is what was sent, with whole fields on top."""
        self.assertTrue(received.endswith(sent), f"{note} the original octets are not at the end of what arrived")
        added = received[:len(received) - len(sent)]
        self.assertTrue(added.endswith(b"\r\n"), f"{note} {added[-80:]!r}")
        fields = added_fields(added)
        self.assertTrue(fields, note)
        return fields


def unfolded(text):
    """Folding white space as single blanks."""
    return re.sub(r"\r\n[ \t]+", " ", text.decode("utf-8", "replace") if isinstance(text, bytes) else text)


def added_fields(block):
    """[(name, value)] of a header block, unfolded; raises when it is none."""
    fields = []
    for line in block.split(b"\r\n")[:-1]:
        if line[:1] in (b" ", b"\t"):
            fields[-1][1] += b"\r\n" + line
            continue
        name, colon, value = line.partition(b":")
        if not colon or not name or any(c <= 32 or c > 126 for c in name):
            raise AssertionError(f"not a header field: {line!r}")
        fields.append([name, value])
    return [(n.decode(), v.decode("utf-8", "replace").strip()) for n, v in fields]


def main():
    unittest.main(verbosity=2, warnings="ignore")
