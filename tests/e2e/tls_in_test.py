"""STARTTLS and implicit TLS from our clients: TL-01, TL-02, TL-06, TL-07, TL-09, and what Received says of it (§5)."""
import socket
import ssl
import subprocess

from lib.case import Case, main, message, unfolded
from lib.certs import Certificates
from lib.client import Closed
from lib.ports import free_port
from lib.wait import wait_until


class TlsIn(Case):
    def setUp(self):
        super().setUp()
        self.behind = self.upstream()
        self.daemon = self.onward(upstream=self.behind, tls=True)

    def test_starttls(self):
        client = self.daemon.client()
        self.assertIn("STARTTLS", client.keywords)
        client.starttls()
        client.ehlo()
        self.assertNotIn("STARTTLS", client.keywords, "RFC 3207 §4.2")
        self.assertSent(client, "sender@origin.test", "alice@fwd.test", message())
        data = self.behind.accepted[0].data
        self.assertRegex(unfolded(data), r"with ESMTPS \((version=)?TLSv?1\.3\b[^)]*\)")
        self.assertReply(client.cmd("STARTTLS"), (503, 502, 554))

    def test_tls_1_2(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        client = self.daemon.client()
        client.starttls(context)
        client.ehlo()
        self.assertSent(client, "sender@origin.test", "alice@fwd.test", message())
        self.assertIn(b"TLSv1.2", self.behind.accepted[0].data)

    def test_injected_commands(self):
        """TL-01: what comes in the same segment as STARTTLS is never read as if it were encrypted."""
        client = self.daemon.client()
        client.send("STARTTLS\r\nMAIL FROM:<evil@evil.test>\r\nRCPT TO:<alice@fwd.test>\r\n")
        self.assertReply(client.reply(), 554, "5.5.0")
        self.assertTrue(client.at_eof())

    def test_mail_needs_a_new_ehlo(self):
        """TL-02"""
        client = self.daemon.client()
        client.starttls()
        self.assertReply(client.mail("sender@origin.test"), 503, "5.5.1")

    def test_starttls_in_a_transaction(self):
        """SM-09: the transaction is gone."""
        client = self.daemon.client()
        client.mail("sender@origin.test")
        reply = client.cmd("STARTTLS")
        if reply.code == 220:
            client.wrap()
            client.ehlo()
        self.assertReply(client.rcpt("alice@fwd.test"), (503, 250) if reply.code == 503 else 503)

    def test_not_offered_without_a_certificate(self):
        onward = self.onward(upstream=self.behind)
        client = onward.client()
        self.assertNotIn("STARTTLS", client.keywords)
        self.assertReply(client.cmd("STARTTLS"), (500, 502, 503))

    def test_client_hello_on_the_plain_port(self):
        """SM-13"""
        raw = socket.create_connection((self.daemon.address, self.daemon.port), 10)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with self.assertRaises((ssl.SSLError, OSError)):
            context.wrap_socket(raw)
        self.daemon.client().quit()

    def test_junk_instead_of_a_handshake(self):
        client = self.daemon.client()
        self.assertReply(client.cmd("STARTTLS"), 220)
        client.send(b"\xff" * 600)
        try:
            while True:
                client._fill()
        except Closed:
            pass
        self.daemon.client().quit()

    def test_odd_server_names(self):
        """TL-07: any SNI gets the default certificate; the log stays JSON."""
        for name in ("x" * 63 + ".test", "unknown.test", "a" * 200 + ".test"):
            client = self.daemon.client()
            try:
                client.starttls(name=name)
                client.ehlo()
                client.quit()
            except (ssl.SSLError, UnicodeError, ValueError):
                pass
        self.daemon.log()

    def test_implicit(self):
        port = free_port()
        onward = self.onward({"listener": [{"address": f"127.0.0.1:{port}", "tls": "implicit"}]}, upstream=self.behind,
                             tls=True, start=False)
        onward.port = port
        onward.start()
        client = onward.client(hello=False)
        client.wrap()
        client.hello()
        self.assertSent(client, "sender@origin.test", "alice@fwd.test", message())

    def test_a_bad_reload_keeps_the_old_pair(self):
        """TL-09"""
        for name, text in (("key.pem", ""), ("cert.pem", "rubbish\n"), ("key.pem", None)):
            with self.subTest(file=name, text=text):
                with open(self.daemon.path("tls/" + name), encoding="ascii") as f:
                    good = f.read()
                if text is None:  # a key that does not belong to the certificate
                    text = subprocess.run(["openssl", "genpkey", "-algorithm", "ED25519"], capture_output=True, text=True, check=True).stdout
                self.daemon.write("tls/" + name, text)
                result = self.daemon.run("reload")
                self.assertEqual(result.returncode, 1, result)
                self.assertIn(name.split(".")[0], result.stdout + result.stderr)
                client = self.daemon.client()
                client.starttls()
                client.quit()
                self.daemon.write("tls/" + name, good)
        self.assertEqual(self.daemon.run("reload").returncode, 0)

    def test_certificates_by_name_and_key(self):
        """SNI chooses the certificate, what the client can verify chooses its key; a client's own certificate is logged."""
        pairs = self.keep(Certificates())
        made = {"mx.forward.test": pairs.self_signed("mx.forward.test"), "other.test": pairs.self_signed("other.test"),
                "rsa": pairs.self_signed("mx.forward.test", ("rsa", "rsa_keygen_bits:2048"))}
        files = {}
        onward = self.onward(upstream=self.behind, tls=True, start=False)
        for name, pair in made.items():
            for path, kind in zip(pair, ("pem", "key")):
                with open(path, encoding="ascii") as f:
                    onward.write(f"tls/{name}.{kind}", f.read())
            files[name] = {"certificate": f"tls/{name}.pem", "key": f"tls/{name}.key"}
        onward.settings["tls"] = dict(files["mx.forward.test"], more=[files["other.test"], files["rsa"]])
        onward.write_config()
        onward.start()

        def shown(name, algorithms=""):
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            if algorithms:
                context.set_ciphers(algorithms)
            context.load_cert_chain(*made["other.test"])
            client = onward.client()
            client.starttls(context, name=name)
            der = client.socket.getpeercert(binary_form=True)
            client.ehlo()
            client.quit()
            return ssl.DER_cert_to_PEM_cert(der).split()

        def pem(name):
            with open(made[name][0], encoding="ascii") as f:
                return f.read().split()
        self.assertEqual(shown("mx.forward.test"), pem("mx.forward.test"))
        self.assertEqual(shown("other.test"), pem("other.test"))
        self.assertEqual(shown("nobody.test"), pem("mx.forward.test"))
        self.assertEqual(shown("mx.forward.test", "ECDHE-RSA-AES256-GCM-SHA384"), pem("rsa"))
        wait_until(lambda: any("other.test" in e["client_certificate"] for e in onward.log(event="session_end")),
                   "the client's certificate in the log")

    def renew(self):
        """Another certificate in the place of the daemon's; a function that tells whether it is in use."""
        client = self.daemon.client()
        client.starttls()
        before = client.socket.getpeercert(binary_form=True)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3",
                        "-keyout", self.daemon.path("tls/key.pem"), "-out", self.daemon.path("tls/cert.pem"), "-subj", "/CN=new.test"],
                       check=True, capture_output=True)

        def renewed():
            fresh = self.daemon.client()
            fresh.starttls()
            return fresh.socket.getpeercert(binary_form=True) != before
        return renewed

    def test_a_new_certificate_is_used_after_reload(self):
        renewed = self.renew()
        self.assertEqual(self.daemon.run("reload").returncode, 0)
        wait_until(renewed, "the new certificate", 10)

    def test_a_new_certificate_is_noticed(self):
        """interface.md [tls]: also when nobody says reload, as after certbot."""
        wait_until(self.renew(), "the new certificate", 40, step=0.5)


if __name__ == "__main__":
    main()
