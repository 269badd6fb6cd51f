"""A signed DNS on loopback: nsd with a signed root, a validating unbound in front of it that trusts its key, and what may
be wrong with DNSSEC: a zone that is not signed, and one whose signatures do not hold."""
import glob
import os
import shutil
import socket
import subprocess
import tempfile

import dnslib

from . import child
from .ports import free_port
from .wait import wait_until

# Delegations out of the signed root: without a DS nothing below is signed; with a DS of a key nobody has, all of it is forged.
UNSIGNED, BOGUS = "unsigned.test.", "bogus.test."
_LOST_KEY = "12345 13 2 " + "ab" * 32
_SOA = "SOA ns.test. hostmaster.test. 1 3600 600 86400 60"


class SignedDns:
    """One record a line, names absolute. What ends in `unsigned.test.` or `bogus.test.` is in that zone. `server` is
    the validating resolver; `plain_server` is nsd itself, which never says AD."""

    def __init__(self, records=""):
        self.folder = tempfile.mkdtemp(prefix="onward-dnssec-")
        self.nsd_port, self.port = free_port(), free_port()
        self.server, self.plain_server = f"127.0.0.1:{self.port}", f"127.0.0.1:{self.nsd_port}"
        zones = {".": [f". {_SOA}", ". NS ns.test.", "ns.test. A 127.0.0.1", f"{UNSIGNED} NS ns.test.",
                       f"{BOGUS} NS ns.test.", f"{BOGUS} DS {_LOST_KEY}"],
                 UNSIGNED: [f"{UNSIGNED} {_SOA}", f"{UNSIGNED} NS ns.test."],
                 BOGUS: [f"{BOGUS} {_SOA}", f"{BOGUS} NS ns.test."]}
        for line in filter(None, (line.strip() for line in records.splitlines())):
            owner = line.split()[0]
            zones[next((z for z in (UNSIGNED, BOGUS) if owner == z or owner.endswith("." + z)), ".")].append(line)
        for name, lines in zones.items():
            self._write(f"zone{name}", "$ORIGIN .\n$TTL 60\n" + "\n".join(lines) + "\n")
        self._sign()
        self.processes = []
        try:
            self._start_nsd(zones)
            self._start_unbound()
        except BaseException:
            self.stop()
            raise

    def _write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as f:
            f.write(text)

    def _sign(self):
        run = lambda *command: subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True)
        key = run("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", ".").stdout.strip()
        run("ldns-signzone", "-f", "zone..signed", "zone.", key)
        self.anchor = next(iter(glob.glob(os.path.join(self.folder, key + ".ds"))))

    def _start_nsd(self, zones):
        listed = "".join(f'zone:\n    name: "{name}"\n    zonefile: "zone{name}{".signed" if name == "." else ""}"\n'
                         for name in zones)
        self._write("nsd.conf", f"""
server:
    ip-address: 127.0.0.1@{self.nsd_port}
    username: ""
    chroot: ""
    database: ""
    zonesdir: "{self.folder}"
    xfrdir: "{self.folder}"
    xfrdfile: "{self.folder}/xfrd.state"
    zonelistfile: "{self.folder}/zone.list"
    pidfile: "{self.folder}/nsd.pid"
    logfile: "{self.folder}/nsd.log"
    server-count: 1
    rrl-ratelimit: 0
remote-control:
    control-enable: no
{listed}""")
        self._run("nsd", ["/usr/sbin/nsd", "-d", "-c", os.path.join(self.folder, "nsd.conf")], self.nsd_port)

    def _start_unbound(self):
        self._write("unbound.conf", f"""
server:
    interface: 127.0.0.1@{self.port}
    access-control: 127.0.0.0/8 allow
    username: ""
    chroot: ""
    directory: "{self.folder}"
    pidfile: "{self.folder}/unbound.pid"
    logfile: "{self.folder}/unbound.log"
    use-syslog: no
    num-threads: 1
    do-ip6: no
    do-not-query-localhost: no
    module-config: "validator iterator"
    trust-anchor-file: "{self.anchor}"
    local-zone: "test." nodefault
    qname-minimisation: no
    val-log-level: 2
remote-control:
    control-enable: no
stub-zone:
    name: "."
    stub-addr: 127.0.0.1@{self.nsd_port}
    stub-prime: no
""")
        self._run("unbound", ["/usr/sbin/unbound", "-d", "-c", os.path.join(self.folder, "unbound.conf")], self.port)

    def _run(self, name, command, port):
        process = child.start(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.processes.append(process)

        def ready():
            if process.poll() is not None:
                raise AssertionError(f"{name} ended:\n{self.log(name)}")
            try:
                return bool(self.ask("ns.test", "A", port).rr)
            except OSError:
                return False
        wait_until(ready, name)

    def log(self, name):
        try:
            with open(os.path.join(self.folder, name + ".log"), encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def ask(self, name, kind, port=None):
        """The resolver's answer; .header.ad says whether it vouches for it."""
        question = dnslib.DNSRecord.question(name, kind)
        question.header.ad = 1
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(1)
            s.sendto(question.pack(), ("127.0.0.1", port or self.port))
            return dnslib.DNSRecord.parse(s.recv(4096))

    def stop(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
