"""onward auth: SPF, DKIM, DMARC and ARC of a message file with real DNS (nsd); signatures made by dkimpy."""
import json
import os
import subprocess
import tempfile

import dkim
from lib import keys
from lib.case import Case, main

BODY = b"From: Alice <alice@author.test>\r\nTo: bob@fwd.test\r\nSubject: hello\r\nDate: Sat, 21 Nov 2026 04:00:00 +0000\r\n\r\nhello\r\n"


def zone():
    text = keys.dkim_txt()["ow1._domainkey.forward.test"]
    strings = " ".join('"' + text[i:i + 200] + '"' for i in range(0, len(text), 200))
    return f"""
        author.test. TXT "v=spf1 ip4:192.0.2.0/24 -all"
        author.test. MX 10 mx.author.test.
        mx.author.test. A 192.0.2.1
        _dmarc.author.test. TXT "v=DMARC1; p=reject"
        sel._domainkey.author.test. TXT {strings}
        loose.test. TXT "v=spf1 include:author.test ?all"
        long.test. TXT "v=spf1 exists:%{{i}}.x.test a:a.test a:b.test a:c.test -all" """


class Auth(Case):
    def setUp(self):
        super().setUp()
        self.dns_server = self.dns(zone())
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def run_auth(self, *arguments, code=0):
        result = subprocess.run([os.environ["ONWARD_BIN"], "auth", *arguments, "--json", "--dns-server",
                                 self.dns_server.server if hasattr(self.dns_server, "server") else self.dns_server],
                                capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode, code, result.stderr)
        return json.loads(result.stdout) if code == 0 else result.stderr

    def message(self, data):
        path = os.path.join(self.folder.name, "m.eml")
        with open(path, "wb") as f:
            f.write(data)
        return path

    def signed(self):
        with open(os.path.join(keys.folder(), "ow1.rsa.pem"), "rb") as f:
            key = f.read()
        return dkim.sign(BODY, b"sel", b"author.test", key, canonicalize=(b"relaxed", b"relaxed")) + BODY

    def test_all_pass(self):
        out = self.run_auth("--ip", "192.0.2.7", "--helo", "mx.author.test", "--mail-from", "alice@author.test",
                            self.message(self.signed()))
        self.assertEqual(out["spf"]["result"], "pass")
        self.assertEqual([(d["domain"], d["selector"], d["result"]) for d in out["dkim"]], [("author.test", "sel", "pass")])
        self.assertEqual((out["dmarc"]["result"], out["dmarc"]["policy"], out["dmarc"]["disposition"]), ("pass", "reject", "none"))
        self.assertEqual(out["arc"]["result"], "none")

    def test_line_ends_of_the_file_do_not_matter(self):
        out = self.run_auth("--ip", "198.51.100.1", "--mail-from", "x@elsewhere.test",
                            self.message(self.signed().replace(b"\r\n", b"\n")))
        self.assertEqual(out["dkim"][0]["result"], "pass")
        self.assertEqual(out["dmarc"]["result"], "pass")

    def test_changed_body_and_foreign_client(self):
        out = self.run_auth("--ip", "198.51.100.1", "--mail-from", "alice@author.test",
                            self.message(self.signed().replace(b"hello\r\n", b"hullo\r\n")))
        self.assertEqual(out["spf"]["result"], "fail")
        self.assertEqual(out["dkim"][0]["result"], "fail")
        self.assertEqual((out["dmarc"]["result"], out["dmarc"]["disposition"]), ("fail", "reject"))

    def test_spf_alone(self):
        for ip, sender, result in (("192.0.2.7", "a@loose.test", "pass"), ("198.51.100.1", "a@loose.test", "neutral"),
                                   ("192.0.2.7", "a@none.test", "none"), ("192.0.2.7", "a@long.test", "permerror")):
            with self.subTest(sender=sender, ip=ip):
                self.assertEqual(self.run_auth("spf", "--ip", ip, "--mail-from", sender)["spf"]["result"], result)

    def test_mistakes(self):
        self.assertIn("no IP address", self.run_auth("--ip", "nonsense", self.message(BODY), code=1))
        self.assertIn("cannot be read", self.run_auth("--ip", "192.0.2.1", "/nonexistent.eml", code=1))
        self.run_auth("--ip", "192.0.2.1", code=2)


if __name__ == "__main__":
    main()
