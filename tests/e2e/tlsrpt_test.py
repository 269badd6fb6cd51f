"""TLS reports (RFC 8460): what was seen is shown, kept over a restart, and sent through our own queue or by HTTPS to
whoever asks for it, also when the way there has no good TLS."""
import base64
import email
import gzip
import json
import unittest

from lib import netns
from lib.case import Case, main, message
from lib.mailworld import Place, World
from lib.wait import wait_until


@unittest.skipIf(netns.missing(), netns.missing())
class TlsReports(Case):
    def setUp(self):
        super().setUp()
        self.posted = []

        def take(connection):
            connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        self.world = self.keep(World({
            "mailed": Place("valid", dane="mismatch",
                            more='_smtp._tls.mx.mailed.test. TXT "v=TLSRPTv1; rua=mailto:tls@reports.test"'),
            "posted": Place("expired", sts=(["mx.posted.test"], {}),
                            more='_smtp._tls.posted.test. TXT "v=TLSRPTv1; rua=https://sink.test/v1?a=b"\nsink.test. A 127.0.0.1'),
            "silent": Place("valid"),
            "reports": Place("self-signed", dane="mismatch"),
        }))
        self.world.policy_host.pages["sink.test"] = take
        self.daemon = self.onward(self.world.settings(), dns=self.world.dns, domains=self.world.rules())
        for name in ("mailed", "mailed", "posted", "silent"):
            client = self.daemon.client()
            client.transaction("sender@origin.test", f"{name}@fwd.test", message())
            client.close()

    def results(self):
        out = json.loads(self.daemon.run("tlsrpt", "show", "--json").stdout)
        return {one["domain"]: one["policies"][0] for one in out}

    def check(self, found):
        self.assertEqual(set(found), {"mx.mailed.test", "posted.test", "silent.test"})
        mailed = found["mx.mailed.test"]
        self.assertEqual(mailed["policy"]["policy-type"], "tlsa")
        self.assertEqual(mailed["summary"], {"total-successful-session-count": 0, "total-failure-session-count": 2})
        self.assertEqual(mailed["failure-details"][0]["result-type"], "validation-failure")
        self.assertEqual(found["posted.test"]["failure-details"][0]["result-type"], "certificate-expired")
        self.assertEqual(found["posted.test"]["policy"]["policy-type"], "sts")
        self.assertEqual(found["silent.test"]["summary"]["total-successful-session-count"], 1)

    def test_shown_and_kept(self):
        self.check(self.results())
        text = self.daemon.run("tlsrpt", "show", "--domain", "posted.test").stdout
        self.assertRegex(text, r"posted\.test +sts +0 +1 +1 certificate-expired at mx\.posted\.test")
        self.assertNotIn("mailed", text)
        self.assertEqual(self.daemon.stop(), 0)
        self.daemon.start()
        self.check(self.results())

    def test_sent(self):
        """By mail: from the queue, signed, with "TLS-Required: No", so that even a broken DANE of the receiver's does not
        stop it. By HTTPS: a POST."""
        result = self.daemon.run("tlsrpt", "send")
        self.assertEqual(result.returncode, 0, result)
        host = self.world.hosts["reports"]
        wait_until(lambda: host.accepted, "the mailed report")
        sent = host.accepted[0]
        self.assertEqual((sent.sender, sent.recipients), ("", ["tls@reports.test"]))
        mail = email.message_from_bytes(sent.data)
        self.assertEqual(mail["TLS-Report-Domain"], "mx.mailed.test")
        self.assertEqual(mail["TLS-Report-Submitter"], "mx.forward.test")
        self.assertEqual(mail["TLS-Required"], "No")
        self.assertEqual(mail.get_param("report-type"), "tlsrpt")
        self.assertEqual(len(mail.get_all("DKIM-Signature")), 2)
        part = mail.get_payload()[1]
        self.assertEqual(part.get_content_type(), "application/tlsrpt+gzip")
        self.assertTrue(part.get_filename().endswith(".json.gz"), part.get_filename())
        self.judge(json.loads(gzip.decompress(base64.b64decode(part.get_payload()))), "mx.mailed.test")
        asked = [request for request in self.world.policy_host.requests if request[0] == "sink.test"]
        self.assertEqual(len(asked), 1)
        _, line, fields, body = asked[0]
        self.assertEqual(line, "POST /v1?a=b HTTP/1.1")
        self.assertEqual(fields["content-type"], "application/tlsrpt+gzip")
        self.judge(json.loads(gzip.decompress(body)), "posted.test")
        self.assertEqual({one["domain"] for one in json.loads(self.daemon.run("tlsrpt", "show", "--json").stdout)} &
                         {"mx.mailed.test", "posted.test", "silent.test"}, set(), "what was told is forgotten")

    def judge(self, report, domain):
        self.assertEqual(report["organization-name"], "mx.forward.test")
        self.assertEqual(report["contact-info"], "postmaster@mx.forward.test")
        self.assertTrue(report["date-range"]["start-datetime"].endswith("T00:00:00Z"))
        self.assertTrue(report["report-id"])
        self.assertEqual([p["policy"]["policy-domain"] for p in report["policies"]], [domain])


if __name__ == "__main__":
    netns.enter()
    main()
