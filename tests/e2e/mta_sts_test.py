"""MTA-STS (RFC 8461) with a real HTTPS server: what is fetched and what is not, kept over restarts, never loosened by a
fetch that fails, and seen by `onward route`."""
import os
import threading
import unittest

from lib import netns
from lib.case import main
from lib.mailworld import Place, World, WorldCase, said_in_clear
from lib.policy_host import policy
from lib.wait import wait_until


@unittest.skipIf(netns.missing(), netns.missing())
class MtaSts(WorldCase):
    def test_kept_and_not_loosened(self):
        """The policy is fetched once, known after a restart, and in force when its host says something else, nothing, or
        is gone; `onward route` says so."""
        onward = self.start({"kept": Place("self-signed", sts=(["mx.kept.test"], {}))})
        for _ in range(3):
            self.assertReply(self.send(onward, "kept"), 451, "4.7.5", "tls")
        self.assertEqual(self.at.policy_host.hosts(), ["mta-sts.kept.test"])
        self.assertEqual(onward.stop(), 0)
        self.assertTrue(os.path.exists(onward.path("state/mta-sts/kept.test")))
        self.at.policy_host.stop()
        onward.start()
        self.assertReply(self.send(onward, "kept"), 451, "4.7.5", "tls")
        self.assertEqual(said_in_clear(self.at.hosts["kept"]), b"")
        told = onward.run("route", "kept@fwd.test")
        self.assertIn("TLS mta-sts: MTA-STS (enforce): the certificate must be for mx.kept.test", told.stdout)
        self.assertIn("MTA-STS      enforce, policy 1", told.stdout)

    def test_what_is_no_policy(self):
        """Whatever the host says that is no policy means that there is none yet: mail goes, and the log says why."""
        page = lambda status, kind, text: lambda connection: connection.sendall(
            f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n{text}".encode())
        good = policy("mx.elsewhere.test")[2]
        redirect = lambda connection: connection.sendall(
            b"HTTP/1.1 302 Found\r\nLocation: https://mta-sts.good.test/.well-known/mta-sts.txt\r\nContent-Length: 0\r\n\r\n")
        places = {"redirect": redirect, "html": page(200, "text/html", good), "missing": page(404, "text/plain", good),
                  "large": page(200, "text/plain", good + "x" * 70000), "broken": page(200, "text/plain", "mode: enforce\r\n"),
                  "garbage": lambda connection: connection.sendall(b"\x00" * 100)}
        onward = self.start({name: Place("valid", sts=said) for name, said in places.items()})
        for name in places:
            self.assertReply(self.send(onward, name), 250, note=name)
            self.assertTrue(onward.wait_log(event="mta_sts_fetch_failed", domain=f"{name}.test"), name)
        self.assertNotIn("mta-sts.good.test", self.at.policy_host.hosts(), "no redirect is followed")

    def test_the_hosts_certificate(self):
        """A policy host that is not who it says: no policy, and certificate-not-trusted or the like in the report."""
        onward = self.start({"forged": Place("valid", sts=(["mx.elsewhere.test"], {}))})
        pair = self.at.certificates.self_signed("mta-sts.forged.test")
        self.at.policy_host.contexts["mta-sts.forged.test"].load_cert_chain(*pair)
        self.assertReply(self.send(onward, "forged"), 250)
        self.assertEqual(self.at.policy_host.requests, [], "nothing was asked")
        report = onward.run("tlsrpt", "show", "--domain", "forged.test", "--json").stdout
        self.assertIn("sts-webpki-invalid", report)

    def test_private_addresses(self):
        """The sender chooses whose policy we ask for: not at an address of our own network."""
        onward = self.start({"inside": Place("valid", sts=(["mx.elsewhere.test"], {}))}, private_destinations=False)
        self.assertReply(self.send(onward, "inside"), 550, "5.4.4", note="its mail host is private as well")
        self.assertEqual(self.at.policy_host.requests, [])
        self.assertTrue(onward.wait_log(event="mta_sts_fetch_failed", error="mta-sts.inside.test has no public address"))

    def test_one_fetch_for_many(self):
        gate = threading.Event()

        def slow(connection):
            gate.wait(10)
            status, kind, text = policy("mx.many.test")
            connection.sendall(f"HTTP/1.1 {status} OK\r\nContent-Type: {kind}\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())

        onward = self.start({"many": Place("valid", sts=slow)})
        clients = [onward.client() for _ in range(8)]
        for client in clients:
            client.mail("sender@origin.test")
            client.send("RCPT TO:<many@fwd.test>\r\n")
        wait_until(lambda: self.at.policy_host.requests, "the first question")
        gate.set()
        for client in clients:
            self.assertReply(client.reply(), 250)
        self.assertEqual(len(self.at.policy_host.requests), 1)

    def test_turned_off(self):
        onward = self.start({"off": Place("self-signed", sts=(["mx.elsewhere.test"], {}))}, mta_sts=False)
        self.assertReply(self.send(onward, "off"), 250)
        self.assertEqual(self.at.policy_host.requests, [])

    def test_our_own_policy(self):
        """[https]: the policy of the domains we forward, and nothing else."""
        import http.client
        import ssl
        world = self.at = self.keep(World({}))
        world.policy_host.stop()
        pair = world.certificates.issued("mx.forward.test", "mta-sts.fwd.test")
        settings = {"https": {"listen": "127.0.0.1:443"}, "tls": {"certificate": pair[0], "key": pair[1]}}
        onward = self.onward(settings, dns=world.dns, start=False)
        for name in pair:
            os.chmod(name, 0o644)
        os.chmod(world.certificates.folder, 0o755)
        onward.start()
        trust = ssl.create_default_context(cafile=world.certificates.authority)

        def ask(host, path="/.well-known/mta-sts.txt", method="GET"):
            import socket
            with socket.create_connection(("127.0.0.1", 443), 10) as raw, \
                    trust.wrap_socket(raw, server_hostname="mta-sts.fwd.test") as secure:
                secure.sendall(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                response = http.client.HTTPResponse(secure, method=method)
                response.begin()
                return response.status, response.getheader("Content-Type"), response.read().decode()

        status, kind, text = ask("mta-sts.fwd.test")
        self.assertEqual((status, kind.split(";")[0]), (200, "text/plain"))
        self.assertEqual(text, "version: STSv1\r\nmode: enforce\r\nmx: mx.forward.test\r\nmax_age: 604800\r\n")
        self.assertEqual(ask("mta-sts.fwd.test", method="HEAD")[::2], (200, ""))
        for host, path, method, code in (("fwd.test", "/.well-known/mta-sts.txt", "GET", 404),
                                         ("mta-sts.other.test", "/.well-known/mta-sts.txt", "GET", 404),
                                         ("mta-sts.fwd.test", "/", "GET", 404),
                                         ("mta-sts.fwd.test", "/../../etc/passwd", "GET", 404),
                                         ("mta-sts.fwd.test", "/.well-known/mta-sts.txt", "POST", 405)):
            self.assertEqual(ask(host, path, method)[0], code, (host, path, method))
        self.assertIn("https.listen", self.onward({"https": {"listen": "127.0.0.1:443"}}, start=False).run("check").stderr)


if __name__ == "__main__":
    netns.enter()
    main()
