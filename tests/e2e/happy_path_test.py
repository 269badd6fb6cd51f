"""One message, swaks -> Onward -> Postfix: it arrives unchanged below what we add (interface.md §5), from an SRS sender,
with signatures that dkimpy verifies."""
import re
import subprocess
import unittest

import dkim

from lib import keys, postfix
from lib.case import Case, added_fields, main, message
from lib.wait import wait_until


class HappyPath(Case):
    def check(self, sent, received, sender):
        fields = self.assertOriginalKept(sent, received)
        self.assertRegex(sender, r"^SRS0=[a-z0-9A-Z]+=[^=]+=origin\.test=sender@srs\.test$")
        names = [name.lower() for name, _ in fields]
        order = [n for n in names if n in ("dkim-signature", "delivered-to", "received")]
        self.assertEqual(order, ["dkim-signature", "dkim-signature", "delivered-to", "received"], "top first: §5")
        self.assertNotIn("message-id", names)
        received_field = [v for n, v in fields if n.lower() == "received"][0]
        self.assertRegex(received_field, r"^from \S+ \(.*\[127\.\d+\.\d+\.\d+\]\)\s+by mx\.forward\.test\s+with ESMTP\s+id \S+"
                                         r"[^;]*;\s+\w{3}, +\d+ \w{3} \d{4} [0-9:]{8} [+-]\d{4}")
        for index in (0, 1):
            self.assertTrue(dkim.verify(received, dnsfunc=keys.dkim_dns(), logger=None) if index == 0 else
                            dkim.DKIM(received).verify(idx=index, dnsfunc=keys.dkim_dns()), f"signature {index}")
        signed = [v for n, v in fields if n == "DKIM-Signature"]
        for signature in signed:
            tags = dict(t.strip().split("=", 1) for t in re.sub(r"\s", "", signature).rstrip(";").split(";"))
            self.assertEqual(tags["d"], "forward.test")
            self.assertEqual(tags["c"], "relaxed/relaxed")
            self.assertEqual(int(tags["x"]) - int(tags["t"]), 14 * 86400, "interface.md §6.29")
            self.assertNotIn("l", tags)
            names = tags["h"].lower().split(":")
            for name in ("from", "to", "subject", "date", "message-id"):
                self.assertEqual(names.count(name), 2, f"{name} is oversigned")

    def test_swaks_to_the_scripted_upstream(self):
        upstream = self.upstream()
        onward = self.onward(upstream=upstream)
        sent = message("First\r\n.dot\r\n..two dots\r\n\r\nlast\r\n", token="token-000001")
        run = subprocess.run(["swaks", "--server", f"{onward.address}:{onward.port}", "--ehlo", "client.test",
                              "--from", "sender@origin.test", "--to", "alice@fwd.test", "--data", "-"],
                             input=sent, capture_output=True)
        self.assertEqual(run.returncode, 0, run.stdout.decode() + run.stderr.decode())
        arrived = upstream.wait_accepted(1)[0]
        self.assertEqual(arrived.recipients, ["alice@inbox.test"])
        data = arrived.data
        if data.endswith(b"\r\n\r\n") and not sent.endswith(b"\r\n\r\n"):
            sent += b"\r\n"  # swaks ends the message with a line of its own
        self.check(sent, data, arrived.sender)
        line = onward.wait_log(event="delivery")[0]  # one line tells what became of it
        self.assertEqual(line["status"], "forwarded")

    @unittest.skipIf(postfix.usable(), postfix.usable())
    def test_through_postfix(self):
        server = self.keep(postfix.Postfix())
        onward = self.onward(upstream=server)
        sent = message("To Postfix.\r\n.\r\nafter the dot\r\n" + "x" * 900 + "\r\n")
        reply = self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", sent)
        self.assertEqual(reply.enhanced[:4], "2.0.")
        arrived = wait_until(lambda: server.messages("alice@inbox.test"), "delivery by Postfix")
        sender, data = arrived[0]
        # Postfix's own Received is on top.
        own = re.match(rb"Received: from mx\.forward\.test .*?\r\n(?![ \t])", data, re.S)
        self.assertTrue(own, data[:200])
        self.check(sent, data[own.end():], sender)

    def test_one_message_per_recipient_of_one_group(self):
        upstream = self.upstream()
        onward = self.onward(upstream=upstream)
        self.assertSent(onward.client(), "sender@origin.test", ["alice@fwd.test", "bob@fwd.test"], message())
        arrived = upstream.wait_accepted(1)
        self.assertEqual(len(arrived), 1)
        self.assertEqual(arrived[0].recipients, ["alice@inbox.test", "bob@inbox.test"])
        fields = dict(added_fields(arrived[0].data.split(b"\r\nFrom:")[0] + b"\r\n"))
        self.assertNotRegex(fields["Received"], r"\bfor <", "no `for` when there is more than one recipient (§5)")


if __name__ == "__main__":
    main()
