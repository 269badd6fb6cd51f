"""PROXY protocol: a real HAProxy in front, with version 1 and 2, with and without TLS, and raw octets for whatever no
HAProxy sends (OP-07). What is logged, counted and written into Received is the client, not the proxy."""
import os
import ssl
import struct
import subprocess
import tempfile
import time

from lib import child
from lib.case import Case, added_fields, main, message
from lib.client import Client, Closed
from lib.ports import free_port
from lib.wait import wait_until

CLIENT = "127.0.0.5"
V2 = b"\r\n\r\n\0\r\nQUIT\n"


def v2(source, port=12345, command=0x21):
    octets = bytes(int(part) for part in source.split("."))
    body = octets + bytes([127, 0, 0, 1]) + struct.pack(">HH", port, 25)
    return V2 + bytes([command, 0x11]) + struct.pack(">H", len(body)) + body


class HaProxy:
    """haproxy in TCP mode: one frontend port, one server."""

    def __init__(self, server_port, options, check=""):
        self.folder = tempfile.mkdtemp(prefix="onward-haproxy-")
        self.port = free_port()
        with open(os.path.join(self.folder, "haproxy.cfg"), "w", encoding="ascii") as f:
            f.write(f"""
global
    maxconn 200
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout check 20s
frontend mail
    bind 127.0.0.1:{self.port}
    default_backend onward
backend onward
    {check}
    server one 127.0.0.1:{server_port} {options}
""")
        self.process = child.start(["/usr/sbin/haproxy", "-db", "-f", os.path.join(self.folder, "haproxy.cfg")],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def client(self, source=CLIENT):
        def connect():
            if self.process.poll() is not None:
                raise AssertionError("haproxy ended")
            try:
                return Client("127.0.0.1", self.port, source)
            except ConnectionRefusedError:
                return None
        return wait_until(connect, "haproxy")

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class Proxy(Case):
    def serve(self, mode="auto", tls="none", trusted=("127.0.0.1/32",), **policy):
        self.behind = self.upstream()
        self.daemon = self.onward(start=False, upstream=self.behind, tls=tls != "none",
                                  settings={"policy": policy} if policy else None)
        # A door of its own for the proxy; the harness watches the other one.
        self.port = free_port()
        self.daemon.settings["listener"].append({"address": f"127.0.0.1:{self.port}", "tls": tls, "proxy_protocol": mode,
                                                 "trusted_proxies": list(trusted)})
        self.daemon.write_config()
        self.daemon.start()
        return self.daemon

    def raw(self, source=None):
        return Client("127.0.0.1", self.port, source)

    def received(self):
        fields = added_fields(self.behind.wait_accepted(1)[-1].data.split(b"\r\n\r\n")[0] + b"\r\n")
        return dict(fields)["Received"]

    def check_haproxy(self, options, mode):
        self.serve(mode)
        proxy = self.keep(HaProxy(self.port, options))
        client = proxy.client().hello()
        self.assertSent(client, "sender@origin.test", "alice@fwd.test", message())
        client.quit()
        self.assertIn(f"[{CLIENT}]", self.received())
        self.assertTrue(self.daemon.wait_log(event="delivery", client_ip=CLIENT))
        self.assertTrue(self.daemon.wait_log(event="session_end", client_ip=CLIENT))
        self.assertEqual(self.daemon.log(event="delivery", client_ip="127.0.0.1"), [])

    def test_haproxy_version_1(self):
        self.check_haproxy("send-proxy", "v1")

    def test_haproxy_version_2(self):
        self.check_haproxy("send-proxy-v2", "v2")

    def test_haproxy_version_2_with_tlvs(self):
        """CRC32c, a unique id and more: checked, or skipped."""
        self.check_haproxy("send-proxy-v2 proxy-v2-options crc32c,unique-id", "auto")

    def test_health_checks(self):
        """LOCAL: the proxy's own connection; HAProxy sends it for its checks, and takes us as up."""
        self.serve("v2")
        # One that waits for our banner: a bare check resets its connection at once, and its octets may go with it.
        proxy = self.keep(HaProxy(self.port, "send-proxy-v2 check check-send-proxy inter 1s fall 1 rise 1",
                                  "option smtpchk EHLO proxy.test"))
        wait_until(lambda: self.daemon.log(event="proxied", local=True, client_ip="127.0.0.1"), "a health check")
        client = proxy.client().hello()
        client.quit()
        self.assertTrue(self.daemon.wait_log(event="proxied", local=False, client_ip=CLIENT))

    def test_tls_comes_after_the_header(self):
        """Implicit TLS: header and handshake may come in one segment."""
        self.serve("auto", tls="implicit")
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing)
        client = self.raw()
        with self.assertRaises(ssl.SSLWantReadError):
            session.do_handshake()
        client.send(v2(CLIENT) + outgoing.read())
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                client.send(outgoing.read())
                incoming.write(client.socket.recv(65536))
        client.send(outgoing.read())
        wait_until(lambda: self.daemon.log(event="tls"), "the handshake")
        client.close()
        self.assertTrue(self.daemon.wait_log(event="session_end", client_ip=CLIENT))

    def test_starttls_through_haproxy(self):
        self.serve("v2", tls="starttls")
        proxy = self.keep(HaProxy(self.port, "send-proxy-v2"))
        client = proxy.client().hello()
        client.starttls()
        client.ehlo()
        self.assertSent(client, "sender@origin.test", "alice@fwd.test", message())
        self.assertIn(f"[{CLIENT}]", self.received())

    def test_caps_and_spf_are_of_the_client(self):
        """Two clients behind one proxy have their own caps."""
        self.serve()
        self.daemon.settings["limits"] = {"connections_per_ip": 1}
        self.daemon.write_config()
        self.assertEqual(self.daemon.run("reload").returncode, 0)
        one = self.raw()
        one.send(v2("192.0.2.1"))
        one.hello()
        again = self.raw()
        again.send(v2("192.0.2.1"))
        self.assertReply(again.reply(), 421, "4.7.0", "connections")
        other = self.raw()
        other.send(v2("192.0.2.2"))
        other.hello()
        for client in (one, again, other):
            client.close()

    def test_what_is_no_header(self):
        """OP-07: malformed, long or late (5 s): closed without a word. From an untrusted peer: never parsed, 554."""
        self.serve("auto", trusted=("127.0.0.1/32", "::1/128"))
        silent, begun = self.raw(), time.monotonic()
        for octets in (b"EHLO client.test\r\n", b"PROXY TCP4 1.2.3.4\r\n", b"PROXY " + b"x" * 200, V2 + b"\x41\x11\0\x0c" + b"x" * 12,
                       V2 + b"\x21\x11\xff\xff", b"GET / HTTP/1.1\r\n\r\n"):
            client = self.raw()
            client.send(octets)
            self.assertTrue(client.at_eof(10), octets)
            self.assertEqual(client.received, b"", octets)
            client.close()
        with self.assertRaises(Closed):
            silent.reply()
        self.assertGreater(time.monotonic() - begun, 4)
        self.assertLess(time.monotonic() - begun, 25)
        silent.close()
        stranger = self.raw("127.0.0.9")
        stranger.send(b"PROXY TCP4 127.0.0.1 127.0.0.1 12345 25\r\n")
        self.assertReply(stranger.reply(), 554, "5.5.0", "proxy")
        self.assertTrue(stranger.at_eof())
        stranger.close()
        # The ordinary door never reads one.
        client = self.daemon.client(hello=False)
        client.send(b"PROXY TCP4 127.0.0.1 127.0.0.1 12345 25\r\n")
        reply = client.reply()
        self.assertReply(reply if reply.code != 220 else client.reply(), 554, "5.5.0")
        self.assertTrue(client.at_eof())
        self.assertEqual(self.daemon.log(event="proxied"), [])

    def test_version_as_configured(self):
        self.serve("v1")
        client = self.raw()
        client.send(v2(CLIENT))
        self.assertTrue(client.at_eof())
        self.assertEqual(client.received, b"")
        client.close()

    def test_needs_trusted_proxies(self):
        self.serve()
        del self.daemon.settings["listener"][1]["trusted_proxies"]
        self.daemon.write_config()
        check = self.daemon.run("check")
        self.assertEqual(check.returncode, 1)
        self.assertRegex(check.stdout + check.stderr, r"onward\.toml:\d+: listener\.proxy_protocol: needs trusted_proxies")


if __name__ == "__main__":
    main()
