"""Block lists on loopback: a real rbldnsd, and a real unbound in front of it and of nsd, because Onward asks one kind of
resolver for everything. `lists`: {zone: {dataset type: text}}, in rbldnsd's own formats."""
import os
import shutil
import socket
import tempfile

import dnslib

from . import child
from .ports import free_port
from .wait import wait_until


def answers(port, name, kind="A"):
    """The A records of `name`, or None when nothing came."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.5)
        s.sendto(dnslib.DNSRecord.question(name, kind).pack(), ("127.0.0.1", port))
        try:
            return [str(rr.rdata) for rr in dnslib.DNSRecord.parse(s.recv(4096)).rr]
        except OSError:
            return None


class _Server:
    def __init__(self, name):
        self.name, self.port = name, free_port()
        self.server = f"127.0.0.1:{self.port}"
        self.folder = tempfile.mkdtemp(prefix=f"onward-{name}-")
        os.chmod(self.folder, 0o755)  # the servers drop root

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        os.chmod(path, 0o644)
        return path

    def start(self, command, ready):
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.process = child.start(command, stdout=log, stderr=log)

        def check():
            if self.process.poll() is not None:
                with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as f:
                    raise AssertionError(f"{self.name} ended: {f.read()}")
            return ready()
        wait_until(check, self.name)

    def stop(self):
        child.stop(self.process)
        shutil.rmtree(self.folder, ignore_errors=True)


class Rbldnsd(_Server):
    def __init__(self, lists):
        super().__init__("rbldnsd")
        arguments, number = [], 0
        for zone, datasets in lists.items():
            for kind, text in datasets.items():
                number += 1
                name = f"list{number}"
                self.write(name, text.strip() + "\n")
                arguments.append(f"{zone}:{kind}:{name}")
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        first = next(iter(lists))
        self.start(["/usr/sbin/rbldnsd", "-n", *user, "-b", f"127.0.0.1/{self.port}", "-w", self.folder, "-t", "1", "-c", "1s",
                    *arguments], lambda: answers(self.port, f"9.9.9.9.{first}") is not None)


class Unbound(_Server):
    """Asks `stubs` ({zone: port}) for what lies below these zones. Keeps nothing, so that changes are seen at once."""

    def __init__(self, stubs, probe="ns.test."):
        super().__init__("unbound")
        zones = "".join(f'stub-zone:\n  name: "{zone}"\n  stub-addr: 127.0.0.1@{port}\n' for zone, port in stubs.items())
        path = self.write("unbound.conf", f"""
server:
  interface: 127.0.0.1@{self.port}
  username: ""
  chroot: ""
  directory: "{self.folder}"
  pidfile: "{self.folder}/unbound.pid"
  use-syslog: no
  do-daemonize: no
  do-not-query-localhost: no
  module-config: "iterator"
  num-threads: 1
  cache-max-ttl: 0
  cache-max-negative-ttl: 0
  qname-minimisation: no
  aggressive-nsec: no
  target-fetch-policy: "0 0 0 0 0"
  outbound-msg-retry: 1
  local-zone: "test." nodefault
  local-zone: "127.in-addr.arpa." nodefault
  local-zone: "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa." nodefault
remote-control:
  control-enable: no
{zones}""")
        self.start(["/usr/sbin/unbound", "-d", "-c", path], lambda: bool(answers(self.port, probe)))
