"""The program under test: writes its configuration into a folder, starts it, reads its log, stops it, and insists that it
ended well (exit code 0, every log line one JSON object, no sanitizer report)."""
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile

from . import child, keys
from .client import Client
from .ports import free_port
from .wait import LIMIT, wait_until

BINARY = os.environ.get("ONWARD_BIN", os.path.join(os.path.dirname(__file__), "../../../build/dev/onward"))

# Secrets that must never show up in any output (OP-05).
SRS_SECRET = "canary-srs-Aeng8shoo9quohph"
CANARIES = [SRS_SECRET]


def toml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {toml(v)}" for k, v in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def write_toml(settings):
    """{"hostname": .., "srs": {..}, "listener": [{..}, ..]} as TOML text."""
    top, sections = [], []
    for key, value in settings.items():
        if value is None:
            continue
        if isinstance(value, dict):
            sections.append(f"\n[{key}]\n" + "".join(f"{k} = {toml(v)}\n" for k, v in value.items()))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for entry in value:
                sections.append(f"\n[[{key}]]\n" + "".join(f"{k} = {toml(v)}\n" for k, v in entry.items()))
        else:
            top.append(f"{key} = {toml(value)}\n")
    return "".join(top) + "".join(sections)


def merge(base, extra):
    out = dict(base)
    for key, value in extra.items():
        out[key] = {**out[key], **value} if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


FORWARDED = """
name = "fwd.test"
[[rule]]
address = "alice"
to = ["alice@inbox.test"]
[[rule]]
address = "bob"
to = ["bob@inbox.test"]
[[rule]]
address = "carol"
to = ["carol@corp.test"]
[[rule]]
address = "team"
to = ["alice@inbox.test", "carol@corp.test"]
[[rule]]
address = "trash"
action = "drop"
[[rule]]
address = "old"
action = "reject"
reply = "550 5.1.6 Moved away"
"""


class Onward:
    """settings: merged over the defaults section by section. domains: {file name: TOML}. Not started until start()."""

    def __init__(self, settings=None, domains=None, address="127.0.0.1", tls=False, upstream=None, dns=None, binary=None):
        self.binary = binary or BINARY
        self.folder = tempfile.mkdtemp(prefix="onward-e2e-")
        self.address, self.port = address, free_port()
        self.process = None
        self.failpoints = ""  # for the next start (core/failpoint.hpp)
        self.clients = []
        self.keys = keys.folder()
        self.user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        for name in ("domains", "keys", "tls", "state", "run"):
            os.mkdir(os.path.join(self.folder, name), 0o700)
        for name in ("ow1.rsa.pem", "ow1.ed25519.pem"):
            shutil.copy(os.path.join(self.keys, name), os.path.join(self.folder, "keys", name))
        for name in ("cert.pem", "key.pem"):
            shutil.copy(os.path.join(self.keys, name), os.path.join(self.folder, "tls", name))
        self.write("keys/srs.secrets", SRS_SECRET + "\n")
        shown = f"[{address}]" if ":" in address else address
        base = {
            "hostname": "mx.forward.test",
            "state_dir": "state",
            "admin_socket": os.path.join(self.folder, "run", "admin.sock"),
            "user": self.user,
            "threads": 1,
            "domains": ["domains/*.toml"],
            "postmaster": "ops@inbox.test",
            "help_url": "https://forward.test/help",
            "listener": [{"address": f"{shown}:{self.port}", "tls": "starttls" if tls else "none"}],
            "dns": {"servers": [dns.server] if dns else [f"127.0.0.1:{free_port()}"], "timeout": "2s"},
            "srs": {"domain": "srs.test", "secrets_file": "keys/srs.secrets"},
            "dkim": {"domain": "forward.test", "keys": [
                {"selector": "ow1", "file": "keys/ow1.rsa.pem"}, {"selector": "ow1e", "file": "keys/ow1.ed25519.pem"}]},
            # The tests' senders are strangers without DNS, and all come from this machine; what is tested here is forwarding.
            "policy": {"spf": "off", "dmarc": "off", "require_auth": "none", "forecast": "off", "rdns": "off",
                       "helo": "off", "sender_domain": "off",
                       "rate": {"messages_per_ip": "off", "recipients_per_ip": "off"}},
            "arc": {"seal": False},
            "metrics": {"listen": ""},
            "delivery": {"private_destinations": True, "dane": False, "mta_sts": False},
            "log": {"format": "json", "level": "debug"},
        }
        if tls:
            base["tls"] = {"certificate": "tls/cert.pem", "key": "tls/key.pem"}
        if upstream is not None:
            base["route"] = [{"domain": "*", "via": upstream.via, "protocol": "lmtp" if upstream.lmtp else "smtp"}]
        self.settings = merge(base, settings or {})
        self.domains = {"fwd.test.toml": FORWARDED} if domains is None else domains
        self.write_config()

    # --- files
    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text, mode=0o600):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(self.path(name), mode)
        if os.geteuid() == 0:
            owner = pwd.getpwnam(self.user)
            os.chown(self.path(name), owner.pw_uid, owner.pw_gid)

    def write_config(self):
        self.write("onward.toml", write_toml(self.settings))
        for name, text in self.domains.items():
            self.write(os.path.join("domains", name), text)
        if os.geteuid() == 0:  # what the daemon reads again after it has dropped root must be its own
            owner = pwd.getpwnam(self.user)
            for path, _, names in os.walk(self.folder):
                for name in [""] + names:
                    os.chown(os.path.join(path, name), owner.pw_uid, owner.pw_gid)

    # --- running
    def environment(self):
        env = dict(os.environ)
        env["ASAN_OPTIONS"] = f"log_path={self.folder}/sanitizer:exitcode=99:detect_leaks=1:detect_stack_use_after_return=0"
        env["UBSAN_OPTIONS"] = f"log_path={self.folder}/sanitizer:print_stacktrace=1:exitcode=99"
        env["TSAN_OPTIONS"] = f"log_path={self.folder}/sanitizer:exitcode=99"
        if self.failpoints:
            env["ONWARD_FAILPOINTS"] = self.failpoints
        return env

    def start(self):
        if not os.path.exists(self.binary):
            raise AssertionError(f"no program at {self.binary}: build it, or set ONWARD_BIN")
        self.log_file = open(self.path("log"), "ab")
        self.process = child.start([self.binary, "serve", "-c", self.path("onward.toml")], stdout=self.log_file,
                                   stderr=self.log_file, env=self.environment())
        self.failpoints = ""
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"onward ended at start ({self.process.returncode}):\n{self.log_text()}")
            try:
                with socket.create_connection((self.address, self.port), LIMIT) as probe:
                    if any(listener["tls"] == "implicit" for listener in self.settings["listener"]):
                        return True
                    return probe.recv(3) == b"220"  # the port is open before all the rest is ready
            except OSError:
                return False
        wait_until(ready, "the listener")
        return self

    def client(self, source=None, hello=True, timeout=LIMIT):
        client = Client(self.address, self.port, source, timeout)
        self.clients.append(client)
        return client.hello() if hello else client

    def run(self, *arguments, stdin=None, config=True):
        """One command; returns CompletedProcess with text. config=True adds -c."""
        command = [self.binary] + list(arguments) + (["-c", self.path("onward.toml")] if config else [])
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=LIMIT * 2, env=self.environment())

    def hup(self):
        self.process.send_signal(signal.SIGHUP)

    def rss(self):
        """Resident set in octets, now."""
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def log_text(self):
        try:
            with open(self.path("log"), encoding="utf-8", errors="surrogateescape") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def log(self, **match):
        """The complete log lines as objects, those whose fields equal `match`."""
        text = self.log_text()
        text = text[:text.rfind("\n") + 1]
        out = []
        for line in text.split("\n")[:-1]:
            try:
                entry = json.loads(line)
            except ValueError:
                raise AssertionError(f"not one JSON object a line (OP-06): {line!r}")
            if not isinstance(entry, dict):
                raise AssertionError(f"not a JSON object (OP-06): {line!r}")
            if all(entry.get(k) == v for k, v in match.items()):
                out.append(entry)
        return out

    def wait_log(self, limit=LIMIT, **match):
        return wait_until(lambda: self.log(**match), f"a log line with {match}", limit)

    # --- the end
    def sanitizer(self):
        text = ""
        for name in sorted(os.listdir(self.folder)):
            if name.startswith("sanitizer"):
                with open(self.path(name), encoding="utf-8", errors="replace") as f:
                    text += f.read()
        return text

    def stop(self, limit=LIMIT):
        """SIGTERM, then SIGKILL when that takes too long. Returns the exit code."""
        if self.process is None:
            return 0
        code = self.process.poll()
        if code is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                code = self.process.wait(limit)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                code = "killed: did not end after SIGTERM"
        self.log_file.close()
        self.process = None
        return code

    def check_end(self, limit=LIMIT):
        """Stops it and returns everything that is wrong with how it ran."""
        wrong = []
        for client in self.clients:
            client.close()
        started = self.process is not None
        code = self.stop(limit)
        if started and code != 0:
            wrong.append(f"exit code {code}")
        report = self.sanitizer()
        if report:
            wrong.append(report)
        if started and self.settings["log"].get("format") == "json":
            try:
                self.log()
            except AssertionError as error:
                wrong.append(str(error))
        if started:
            text = self.log_text()
            wrong += [f"a secret in the log (OP-05): {c}" for c in canaries(self.keys) if c in text]
        return wrong

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def canaries(folder):
    """The SRS secret and a line out of the middle of each private key."""
    out = list(CANARIES)
    for name in ("ow1.rsa.pem", "ow1.ed25519.pem", "key.pem"):
        with open(os.path.join(folder, name), encoding="ascii") as f:
            lines = [line.strip() for line in f if not line.startswith("-----")]
        out.append(lines[len(lines) // 2])
    return out
