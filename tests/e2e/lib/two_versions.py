"""A configuration in two versions that differ in what a reload can change, and the ways in which it is broken
(scripts/reload-loop). In the second version every rule leads to another next hop, large messages spill, a second DKIM key
signs, the certificate and its key are others, and there is a listener more."""
import hashlib
import ssl
import threading
import time

from .certs import Certificates
from .onward import merge, write_toml
from .ports import free_port

VERSIONS = ("first", "second")
HOPS = {"first": "inbox.test", "second": "corp.test"}  # where the rules of a version lead


class TwoVersions:
    """`onward`: not started yet. `hops`: the next hops by domain. `rules`: so many that no mail is for."""

    def __init__(self, onward, hops, rules):
        self.onward, self.hops, self.rules = onward, hops, rules
        self.pairs = Certificates()
        self.second_port = free_port()
        self.files, self.certificates = {}, {}  # of each version: texts by path; SHA-256 of the certificate
        base = merge(onward.settings, {
            "threads": 2, "log": {"level": "info"}, "limits": {"connections_per_ip": 1000},
            "policy": {"spf": "dmarc"}, "queue": {"retry": ["1s"]},
            "route": [{"domain": name, "via": hop.via} for name, hop in hops.items()]})
        keys = base["dkim"]["keys"]
        listeners = base["listener"] + [{"address": f"127.0.0.1:{self.second_port}", "tls": "none"}]
        self.make("first", merge(base, {"dkim": {"keys": keys[:1]}}))
        self.make("second", merge(base, {"limits": {"spill_above": "4 KiB"}, "listener": listeners}))
        onward.settings = base
        onward.write_config()
        self.write("first")
        # The command finds the socket here, whatever is in the daemon's own file.
        onward.write("command.toml", self.files["first"]["onward.toml"])

    def make(self, name, settings):
        certificate, key = (read(path) for path in self.pairs.self_signed("mx.forward.test"))
        self.files[name] = {"onward.toml": write_toml(settings), "tls/cert.pem": certificate, "tls/key.pem": key,
                            "domains/fwd.test.toml": self.domain(HOPS[name])}
        self.certificates[name] = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest()

    def domain(self, hop):
        others = "".join(f'[[rule]]\naddress = "other{n}"\nto = ["somebody{n}@{hop}"]\n' for n in range(self.rules))
        return (f'name = "fwd.test"\n[[rule]]\naddress = "alice"\nto = ["alice@{hop}"]\n'
                f'[[rule]]\naddress = "queued"\nto = ["queued@{hop}"]\ncustody = "queue"\n{others}'
                f'[[expect]]\nrcpt = "alice@fwd.test"\nto = ["alice@{hop}"]\n')

    def write(self, name, **instead):
        """`instead`: other texts, by the first word of the file's name."""
        for path, text in self.files[name].items():
            self.onward.write(path, instead.get(path.split("/")[-1].split(".")[0], text))

    def break_it(self, name, turn):
        """Writes the version with a mistake in it; what the refusal must name."""
        main, rules = self.files[name]["onward.toml"], self.files[name]["domains/fwd.test.toml"]
        other = self.files[VERSIONS[1 - VERSIONS.index(name)]]
        taken = next(iter(self.hops.values())).port
        kinds = [({"onward": main[:main.index("secrets_file") + 20]}, "onward.toml:"),
                 ({"fwd": rules + "what = 1\n"}, "fwd.test.toml:"),
                 ({"onward": main + "\n[nonsense\n"}, "onward.toml:"),
                 ({"key": other["tls/key.pem"]}, "tls/"),
                 ({"onward": main.replace("keys/srs.secrets", "keys/absent")}, "keys/absent"),
                 ({"fwd": rules + '[[rule]]\npattern = "("\nto = ["a@b.test"]\n'}, "fwd.test.toml:"),
                 ({"onward": main + f'[[listener]]\naddress = "127.0.0.1:{taken}"\ntls = "none"\n'}, str(taken)),
                 ({"fwd": rules + '[[expect]]\nrcpt = "alice@fwd.test"\nto = ["nobody@inbox.test"]\n'}, "fwd.test.toml:"),
                 ({"cert": ""}, "tls/cert.pem"),
                 ({"fwd": rules[:rules.index("alice@") + 3]}, "fwd.test.toml:")]
        change, where = kinds[turn % len(kinds)]
        self.write(name, **change)
        return where

    def stop(self):
        self.pairs.stop()


class Versions:
    """Which version was in force when. A change is not told apart while its reload is at work."""

    def __init__(self, name):
        self.lock = threading.Lock()
        self.changes = [[0.0, 0.0, name]]  # [begin, end, version]
        self.proved = [0]                  # messages that show it, for each change

    def begin(self, name):
        with self.lock:
            self.changes.append([time.monotonic(), float("inf"), name])
            self.proved.append(0)

    def end(self):
        with self.lock:
            self.changes[-1][1] = time.monotonic()

    def between(self, since, until):
        """The versions that may have been in force, and the number of the change when there is one only."""
        with self.lock:
            names = set()
            for number in range(len(self.changes) - 1, -1, -1):
                begin, end, name = self.changes[number]
                if begin < until:
                    names.add(name)
                    if end <= since:
                        return names, number if len(names) == 1 else None
        return names, None

    def prove(self, number):
        with self.lock:
            if number is not None:
                self.proved[number] += 1


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()
