"""docs/tour.md: a walk from nothing through every command, done for real; what the program printed is the page. Keys, ids,
times and ports are replaced by others of the same length. The page is written anew with
    ONWARD_TOUR=write ONWARD_BIN=build/asan/onward python3 tests/e2e/tour_test.py
and fails as stale when the program says something else now."""
import json
import os
import pwd
import re
import shlex
import subprocess
import textwrap
import threading

from lib import keys
from lib.case import Case, main
from lib.dns import Dns
from lib.onward import Onward
from lib.ports import free_port
from lib.upstream import Until
from lib.wait import wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = os.path.join(ROOT, "docs/tour.md")
V4 = "198.18.0.25"
MAIL = (b"From: <bob@origin.test>\r\nTo: <sales@example.org>\r\nSubject: a test\r\nDate: Sat, 28 Nov 2026 12:00:00 +0000\r\n"
        b"Message-ID: <1@origin.test>\r\n\r\nHello.\r\n")
SENDER = "bob@origin.test"
HEAD = """<!-- Written by tests/e2e/tour_test.py; do not edit. -->
# A tour

Every command once, on one machine, without the Internet: the destination is a test server, DNS is a name server that
serves what `onward dns records` printed. `$` is the shell, `C:` and `S:` are the two sides of an SMTP session, `C:` a
sending server and `S:` Onward. Ids, keys and times are examples.
"""
TABLE = re.compile(r"^(connections|accepted|forwarded|queued|rejected|deferred|from queue|tried again) +\S+ +\S+ +\S+ +(\d+)$", re.M)


class Sanitised:
    """The same text each time, of the same shape."""

    def __init__(self):
        self.words, self.ids = [], {}

    def always(self, text, shown):
        self.words.append((text, shown))

    def id(self, found):
        return self.ids.setdefault(found.group(0), f"session{len(self.ids) + 1:03}")

    def __call__(self, text):
        for word, shown in self.words:
            text = text.replace(word, shown)
        text = re.sub(r"\b[a-z0-9]{10}(?=-\d+\b)", self.id, text)
        for real, shown in self.ids.items():
            text = text.replace(real, shown)
        text = re.sub(r"\d{4}-\d\d-\d\d([T ])\d\d:\d\d:\d\d(\.\d+)?", r"2026-11-28\g<1>12:00:00\2", text)
        text = re.sub(r"(12:00:00)\.\d{3}", r"\1.000", text)
        text = re.sub(r"\d{4}-\d\d-\d\d\b(?![T ]12:00:00)", "2026-11-28", text)
        text = re.sub(r"\w{3}, \d+ \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "Sat, 28 Nov 2026 12:00:00 +0000", text)
        text = re.sub(r"SRS0=\w+=\w\w=", "SRS0=ABCDEFGH=AB=", text)
        text = re.sub(r"[A-Za-z0-9+/]{40,}=*", "MIIBIjANBgkqhkiG9w0B...", text)
        text = re.sub(r'(\.\.\."?( ")?MIIBIjANBgkqhkiG9w0B)+', "", text)
        text = re.sub(r"\b[0-9a-f]{20,64}\b", lambda found: ("0123456789abcdef" * 4)[:len(found.group(0))], text)
        text = re.sub(r"\bt=1\d{9}", "t=1795867200", text)
        text = re.sub(r"(session\d{3}-\d+)-[a-z0-9]{7}\b", r"\1-fabcdef", text)
        text = re.sub(r"fwd-\w{16}", "fwd-abcdefghijklmnop", text)
        text = re.sub(r"\b([36])\d\d\d (B|octets)", r"\g<1>150 \2", text)
        # What the program cannot do yet is no part of the tour.
        return "".join(line for line in text.splitlines(True) if "not active in this version" not in line).rstrip("\n")


class Tour(Case):
    def setUp(self):
        super().setUp()
        self.clean, self.out = Sanitised(), []
        self.frame = self.onward(start=False)
        if os.geteuid() == 0:
            os.chmod(self.frame.folder, 0o755)
        self.folder = self.frame.path("etc")
        self.config = os.path.join(self.folder, "onward.toml")
        self.port, self.dns_port = free_port(), None
        self.clean.always(self.folder, "/etc/onward")
        self.clean.always(self.frame.user, "onward")
        self.clean.always(f"127.0.0.1:{self.port}", "127.0.0.1:2525")

    def title(self, text):
        self.out.append(f"\n## {text}\n")

    def say(self, text):
        self.out.append("\n" + textwrap.fill(text, 118) + "\n")

    def block(self, text):
        self.out.append("\n" + "".join(f"    {line}\n" if line else "\n" for line in text.rstrip("\n").split("\n")))

    def run_it(self, command, code=0, keep=None, edit=lambda text: text):
        """One command, as it is shown; only `keep` lines of what it prints."""
        words = shlex.split(command.replace("USER", self.frame.user).replace("FOLDER", self.folder))
        run = subprocess.run([self.frame.binary, *words[1:], *(["-c", self.config] if words[1] != "import" else [])],
                             capture_output=True, text=True, timeout=120, env=self.frame.environment(), cwd=self.folder_or_root())
        code = run.returncode if code is None else code
        self.assertEqual(run.returncode, code, f"{command}\n{run.stdout}{run.stderr}")
        lines = (run.stdout + run.stderr).rstrip("\n").split("\n")
        if keep and len(lines) > keep:
            lines = lines[:keep] + ["..."]
        shown = "$ " + self.clean(command.replace("USER", "onward").replace("FOLDER", "/etc/onward"))
        text = edit(self.clean("\n".join(line.rstrip() for line in lines)))
        self.block(shown + ("\n" + text if text else "") + (f"\n$ echo $?\n{code}" if code else ""))
        return run.stdout

    def folder_or_root(self):
        return self.folder if os.path.isdir(self.folder) else "/"

    def talk(self, sender, rcpt, expected, leave=None):
        """One transaction, shown. leave: called behind the final dot; the client goes when it returns, and hears nothing."""
        client = self.daemon.client(hello=False)
        lines = []

        def hear():
            reply = client.reply()
            lines.extend("S: " + line for line in reply.raw.decode().rstrip("\r\n").split("\r\n"))
            return reply

        def tell(line):
            lines.append("C: " + line)
            client.send(line.encode() + b"\r\n")
            return hear()
        hear()
        tell("EHLO client.origin.test")
        del lines[2:]
        lines.append("S: 250-mx.forward.test ...")
        tell(f"MAIL FROM:<{sender}>")
        last = tell(f"RCPT TO:<{rcpt}>")
        if last.code == 250:
            tell("DATA")
            lines.extend(["C: Subject: a test", "C: ...", "C: ."])
            client.send(MAIL + b".\r\n")
            if leave is not None:
                leave()
                client.close()
                lines.append("(the connection is lost)")
                self.block(self.clean("\n".join(lines)))
                return last
            last = hear()
        self.assertEqual(last.code, expected, lines)
        client.quit()
        self.block(self.clean("\n".join(lines)))
        return last

    def publish(self):
        """A name server with what `dns records` prints, and the world around."""
        run = subprocess.run([self.frame.binary, "dns", "records", "--address", V4, "-c", self.config], capture_output=True,
                             text=True, timeout=60, env=self.frame.environment())
        printed = [line for line in run.stdout.splitlines() if line and not line.startswith(";")]
        self.names = self.keep(Dns("\n".join(printed) + """
origin.test. TXT "v=spf1 ip4:127.0.0.1 -all"
origin.test. A 127.0.0.1
inbox.test. MX 10 mx.inbox.test.
mx.inbox.test. A 127.0.0.1
"""))
        self.clean.always(self.names.server, "127.0.0.1:53")

    def start(self):
        self.daemon = self.onward(start=False)
        self.daemon.path = lambda name: self.config if name == "onward.toml" else Onward.path(self.daemon, name)
        self.daemon.port = self.port
        self.daemon.start()

    def test_tour(self):
        self.title("From nothing to a checked configuration")
        self.run_it("onward setup --hostname mx.forward.test --domain example.org --local-part sales --to alice@inbox.test "
                    f"--user USER --listen 127.0.0.1:{self.port} --address {V4}")
        self.run_it("onward check")
        self.publish()
        self.say("The records are published; a name server and a destination of this tour take the place of the Internet:")
        inbox = self.upstream(tls=keys.tls_server())
        self.clean.always(inbox.via[0], "127.0.0.1:2526")
        for before in ("= ", "delivery.port: added: "):
            self.clean.always(f"{before}{inbox.port}", f"{before}2526")
        copy(self.config, os.path.join(self.folder, "before.toml"))
        more = (f'\n[dns]\nservers = ["{self.names.server}"]\n\n[delivery]\nport                 = {inbox.port}\nprivate_destinations = true\n\n'
                '[queue]\nretry = ["10m"]\n\n[metrics]\nlisten = ""\n')
        with open(self.config, "a", encoding="utf-8") as f:
            f.write(more)
        with open(os.path.join(self.folder, "domains/example.org.toml"), "a", encoding="utf-8") as f:
            f.write('\n[[rule]]\naddress = "info"\nto = ["alice@inbox.test"]\ncustody = "queue"\n')
        self.block(self.clean("$ cat >>onward.toml" + more))
        self.block('$ cat >>domains/example.org.toml\n[[rule]]\naddress = "info"\nto = ["alice@inbox.test"]\ncustody = "queue"')
        self.run_it("onward check --diff before.toml")
        self.run_it(f"onward dns check example.org --address {V4}")
        self.run_it("onward dns records example.org --format cloudflare", keep=8)

        self.title("Asking without sending")
        self.run_it("onward route sales+promo@example.org --from bob@origin.test --ip 127.0.0.1")
        with open(os.path.join(self.folder, "m.eml"), "wb") as f:
            f.write(MAIL)
        self.run_it("onward try --ip 127.0.0.1 --helo client.origin.test --from bob@origin.test --to sales@example.org m.eml", keep=19)
        self.run_it(f"onward auth --ip 127.0.0.1 --helo client.origin.test --mail-from bob@origin.test --dns-server {self.names.server} m.eml")
        self.run_it(f"onward auth spf --ip 192.0.2.9 --mail-from bob@origin.test --dns-server {self.names.server}", code=None)
        address = self.run_it("onward srs encode bob@origin.test").split()[-1]
        self.run_it(f"onward srs decode {address}")
        self.run_it("onward dkim keygen example.org ow1 --type ed25519 --out keys/example.org.pem")
        with open(os.path.join(self.folder, "virtual"), "w", encoding="utf-8") as f:
            f.write("# sales people\nteam@example.net ann@inbox.test, ben@inbox.test\nlocal@example.net |/usr/bin/program\n")
        self.run_it("onward import postfix virtual", code=1)
        with open(os.path.join(self.folder, "list.csv"), "w", encoding="utf-8") as f:
            f.write("alias,destination\nteam@example.net,ann@inbox.test\n")
        self.run_it("onward import csv list.csv")
        with open(os.path.join(self.folder, "rules.json"), "w", encoding="utf-8") as f:
            json.dump({"result": [{"name": "team", "enabled": True,
                                   "matchers": [{"type": "literal", "field": "to", "value": "team@example.net"}],
                                   "actions": [{"type": "forward", "value": ["ann@inbox.test"]}]}]}, f)
        self.run_it("onward import cloudflare rules.json")

        self.title("Serving")
        self.run_it("onward status", code=75)
        self.block("$ onward serve &")
        if os.geteuid() == 0:  # state_dir is beside the configuration here
            owner = pwd.getpwnam(self.frame.user)
            for name in ("", "keys/example.org.pem"):
                os.chown(os.path.join(self.folder, name), owner.pw_uid, owner.pw_gid)
        self.start()
        self.say("A message is forwarded while its sender waits:")
        self.talk(SENDER, "sales@example.org", 250)
        self.say("What the destination got on top of it:")
        fields = re.sub(r"\r\n[ \t]+", " ", inbox.accepted[0].data.decode()).split("\r\n")
        self.block(self.clean("\n".join(field[:76] + ("..." if len(field) > 76 else "")
                                        for field in fields[:fields.index("")] if not field.startswith(("From", "To", "Sub", "Date", "Mess")))))
        self.say("A sender loses its connection before it hears the answer. The destination has the message all the same, and the "
                 "delivery ledger knows:")
        answer = threading.Event()
        inbox.plan["dot"] = [Until(answer), "250 2.0.0 taken"]
        self.talk(SENDER, "sales@example.org", 354, leave=lambda: wait_until(lambda: len(inbox.attempts) > 1, "the final dot"))
        answer.set()
        inbox.wait_accepted(2)
        inbox.plan.clear()
        wait_until(lambda: " 2XX " in self.ask("ledger", "list"), "the ledger's entry")
        listed = self.run_it("onward ledger list", edit=self.age)
        fingerprint = listed.split("\n")[1][:8]
        self.clean.always(fingerprint, "01234567")
        self.run_it(f"onward ledger show {fingerprint}", edit=self.age)
        self.say("The sender's next attempt is answered, and is no second copy:")
        self.talk(SENDER, "sales@example.org", 250)
        self.assertEqual(len(inbox.accepted), 2)
        self.say("One is refused:")
        self.talk(SENDER, "absent@example.org", 550)
        self.say("The destination goes down. The sender hears it, keeps the message and tries again:")
        inbox.stop()
        self.talk(SENDER, "sales@example.org", 451)
        self.say("The rule for info says `custody = \"queue\"`, and SPF proves this sender: the message becomes Onward's, to deliver or "
                 "to report.")
        self.talk(SENDER, "info@example.org", 250)
        wait_until(lambda: "deferred" in self.ask("queue", "list"), "the first attempt")

        self.title("Looking and steering")
        self.run_it("onward status", edit=self.status)
        listed = self.run_it("onward queue list")
        job = re.search(r"\b[a-z0-9]{10}-\d+\b", listed).group(0)
        self.run_it(f"onward queue show {job}")
        self.run_it(f"onward queue hold {job}")
        self.run_it(f"onward queue release {job}")
        self.run_it(f"onward queue retry {job}")
        wait_until(lambda: "deferred" in self.ask("queue", "list"), "the second attempt")
        self.run_it("onward queue rules add --to inbox.test --reason 'they move house' --for 2h")
        self.run_it("onward queue rules list")
        self.run_it("onward queue rules remove 1")
        self.run_it("onward log --since 1h")
        self.run_it("onward log --rcpt absent@example.org --status rejected --json")
        self.run_it(f"onward trace {job}", keep=14)
        self.say("How TLS went with each destination, for reports (RFC 8460) to those that ask for them:")
        self.run_it("onward tlsrpt show")
        self.run_it("onward tlsrpt send")
        self.run_it(f"onward queue fail {job}")
        self.say("Its sender is told: the report is mail of ours, in the same queue.")
        wait_until(lambda: "<>" in self.ask("queue", "list"), "the report")
        wait_until(lambda: "deferred" in self.ask("queue", "list"), "its first attempt")
        self.run_it("onward queue list")
        self.run_it("onward queue delete --all")
        self.run_it("onward queue list")
        self.run_it("onward queue show nonsense-1", code=1)
        self.run_it("onward check --diff")
        self.run_it("onward reload")
        self.run_it("onward drain")
        wait_until(lambda: self.daemon.process.poll() is not None, "the end")
        self.run_it("onward recover")
        self.block("$ onward serve &")
        self.start()
        self.run_it("onward stop")
        wait_until(lambda: self.daemon.process.poll() is not None, "the end")
        page = HEAD + "".join(self.out)
        for path in self.commands():
            self.assertIn(f"\n    $ onward {path}", page, "a command that the tour leaves out")
        self.compare(page)

    def commands(self):
        """All that do something, as bash's completion has them."""
        completion = subprocess.run([self.frame.binary, "docs", "bash"], capture_output=True, text=True, timeout=60, check=True,
                                    env=self.frame.environment()).stdout
        paths = re.findall(r"^    '([a-z ]+)'\) words='([a-z ]*)", completion, re.M)
        return [path for path, words in paths if not words.strip() or path == "auth"]

    def ask(self, *arguments):
        return subprocess.run([self.frame.binary, *arguments, "-c", self.config], capture_output=True, text=True, timeout=60,
                              env=self.frame.environment()).stdout

    @staticmethod
    def age(text):
        return re.sub(r"(?m)( 12:00:00) +\d+s +", r"\1  0s   ", text)

    @staticmethod
    def status(text):
        """What depends on the moment."""
        text = TABLE.sub(lambda m: f"{m[1]:<11}  0.4   0.4  0.4{'7' if m[1] == 'connections' else m[2]:>8}", text)
        text = re.sub(r"(?m)^a minute .*$", "a minute      1m    5m  15m  in all", text)
        text = re.sub(r"(?m)^onward +\S+ on (.*), up .*$", r"onward     1.0.0 on \1, up 7s", text)
        text = re.sub(r"(?m)^memory .*$", "memory     0.0 of 512 MiB; spilled 0.0 MiB of 10 GiB; pressure 0", text)
        text = re.sub(r"(?m)^seconds .*$", "seconds    50 %    95 %    99 %  measured", text)
        text = re.sub(r"(?m)^(answer|connect|DNS) +(<=|-).* (\d+)$", lambda m: f"{m[1]:<7}  <=0.05  <=0.05  <=0.05         9", text)
        text = re.sub(r"(?m)^sessions .*$", "sessions   0", text)
        text = re.sub(r"(?m)^upstream .*(\n +mx:.*)*$", "upstream   0 connections kept", text)
        return re.sub(r"(?m)^DNS check .*\n", "", text)

    def compare(self, page):
        if os.environ.get("ONWARD_TOUR") == "write":
            with open(PAGE, "w", encoding="utf-8") as f:
                f.write(page)
        with open(PAGE, encoding="utf-8") as f:
            self.assertEqual(f.read().split("\n"), page.split("\n"), "stale: see the head of this test")


def copy(source, target):
    with open(source, encoding="utf-8") as f, open(target, "w", encoding="utf-8") as g:
        g.write(f.read())


if __name__ == "__main__":
    main()
