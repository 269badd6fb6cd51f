"""DNS on loopback: a real nsd for everything that is well-formed, and a small scripted server for what is not."""
import os
import shutil
import socket
import subprocess
import tempfile
import threading

import dnslib

from . import child
from .ports import free_port
from .wait import wait_until


class Dns:
    """nsd, authoritative for the root, so that every name not in `records` is NXDOMAIN. One record a line, as in a zone
    file, names absolute: "inbox.test. MX 10 mx1.inbox.test." """

    def __init__(self, records=""):
        self.folder = tempfile.mkdtemp(prefix="onward-nsd-")
        self.port = free_port()
        self.server = f"127.0.0.1:{self.port}"
        with open(os.path.join(self.folder, "root.zone"), "w", encoding="utf-8") as f:
            f.write("$ORIGIN .\n$TTL 60\n. SOA ns.test. hostmaster.test. 1 3600 600 86400 60\n. NS ns.test.\n"
                    "ns.test. A 127.0.0.1\n" + "\n".join(line.strip() for line in records.splitlines()) + "\n")
        with open(os.path.join(self.folder, "nsd.conf"), "w", encoding="utf-8") as f:
            f.write(f"""
server:
    ip-address: 127.0.0.1@{self.port}
    username: ""
    chroot: ""
    database: ""
    zonesdir: "{self.folder}"
    xfrdir: "{self.folder}"
    xfrdfile: "{self.folder}/xfrd.state"
    zonelistfile: "{self.folder}/zone.list"
    pidfile: "{self.folder}/nsd.pid"
    logfile: "{self.folder}/log"
    server-count: 1
    rrl-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: "."
    zonefile: "root.zone"
""")
        self.process = child.start(["/usr/sbin/nsd", "-d", "-c", os.path.join(self.folder, "nsd.conf")],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._ready, "nsd")

    def _log(self):
        try:
            with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def _ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"nsd ended:\n{self._log()}")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.2)
            s.sendto(dnslib.DNSRecord.question("ns.test", "A").pack(), ("127.0.0.1", self.port))
            try:
                answer = dnslib.DNSRecord.parse(s.recv(4096))
            except OSError:
                return False
            if not answer.rr:
                raise AssertionError(f"nsd does not serve its zone:\n{self._log()}")
            return True

    def stop(self):
        child.stop(self.process)
        shutil.rmtree(self.folder, ignore_errors=True)


class HostileDns:
    """answer(request: DNSRecord, over_tcp: bool) -> list of datagrams/messages in octets to send back (maybe none)."""

    def __init__(self, answer):
        self.answer, self.port = answer, free_port()
        self.server = f"127.0.0.1:{self.port}"
        self.questions = []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind(("127.0.0.1", self.port))
        self.tcp.listen(64)
        threading.Thread(target=self._serve_udp, daemon=True).start()
        threading.Thread(target=self._serve_tcp, daemon=True).start()

    def _serve_udp(self):
        while True:
            try:
                data, peer = self.udp.recvfrom(65535)
            except OSError:
                return
            request = dnslib.DNSRecord.parse(data)
            self.questions.append((str(request.q.qname), dnslib.QTYPE[request.q.qtype], "udp"))
            for packet in self.answer(request, False):
                self.udp.sendto(packet, peer)

    def _serve_tcp(self):
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._one_tcp, args=(connection,), daemon=True).start()

    def _one_tcp(self, connection):
        with connection:
            connection.settimeout(10)
            try:
                data = b""
                while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
                    more = connection.recv(65535)
                    if not more:
                        return
                    data += more
                request = dnslib.DNSRecord.parse(data[2:])
                self.questions.append((str(request.q.qname), dnslib.QTYPE[request.q.qtype], "tcp"))
                for packet in self.answer(request, True):
                    connection.sendall(len(packet).to_bytes(2, "big") + packet)
            except OSError:
                return

    def stop(self):
        self.udp.close()
        try:
            self.tcp.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.tcp.close()
