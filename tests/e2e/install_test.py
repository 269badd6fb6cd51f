"""`cmake --install`: what is put where, judged by those who read it: systemd (units, sysusers, tmpfiles), man, and the
shells' completion: bash, zsh, fish."""
import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile

from lib import child
from lib.case import Case, main
from lib.onward import BINARY
from lib.ports import free_port
from lib.wait import wait_until

BUILD = os.path.dirname(os.path.abspath(BINARY))
FILES = {"bin/onward", "share/onward/onward.rules.yml", "share/onward/grafana-onward.json", "share/onward/example/onward.toml",
         "share/onward/example/domains/example.org.toml", "share/doc/onward/README.md", "share/doc/onward/operations.md",
         "share/doc/onward/metrics.md", "share/doc/onward/LICENSE", "share/man/man1/onward.1", "share/man/man5/onward.toml.5",
         "share/bash-completion/completions/onward", "share/zsh/site-functions/_onward",
         "share/fish/vendor_completions.d/onward.fish", "lib/sysusers.d/onward.conf", "lib/tmpfiles.d/onward.conf",
         "lib/systemd/system/onward.service", "lib/systemd/system/onward.socket"}

# Completes the line $3 in a shell at a terminal, with the functions of the folder $1: what it offers goes into the file $2.
ZSH = r"""
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D
compadd() {
  local -a found
  (( \${@[(I)-[OAD]]} )) || { builtin compadd -O found \"\$@\"; print -rl -- \$found >>$2 }
  builtin compadd \"\$@\"
}
finished() { print >$2.end }
told() { comppostfuncs=(finished); zle complete-word }
zle -N told; bindkey '^X' told; print >$2.ready"
until [[ -e $2.ready ]]; do zpty -r -t shell seen; sleep 0.02; done
zpty -w -n shell "$3"$'\x18'
until [[ -e $2.end ]]; do zpty -r -t shell seen; sleep 0.02; done
zpty -d shell
"""


def run(*command, **arguments):
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **arguments)


class Install(Case):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="onward-install-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        os.chmod(cls.folder, 0o755)
        cls.prefix = os.path.join(cls.folder, "opt")
        cls.installed = run("cmake", "--install", BUILD, "--prefix", cls.prefix)

    def at(self, name):
        return os.path.join(self.prefix, name)

    def read(self, name):
        with open(self.at(name), encoding="utf-8") as f:
            return f.read()

    def test_files(self):
        self.assertEqual(self.installed.returncode, 0, self.installed.stderr)
        found = {os.path.relpath(os.path.join(folder, name), self.prefix)
                 for folder, _, names in os.walk(self.prefix) for name in names}
        self.assertLessEqual(FILES, found)
        extra = {name for name in found - FILES if not re.fullmatch(r"share/doc/onward/[\w-]+\.md", name)}
        self.assertEqual(extra, set())
        self.assertRegex(run(self.at("bin/onward"), "--version").stdout, r"^onward \d")

    def test_units(self):
        for name in ("onward.service", "onward.socket"):
            # A unit that systemd does not understand whole is told on stderr, whatever the exit code.
            result = run("systemd-analyze", "verify", "--man=no", self.at(f"lib/systemd/system/{name}"))
            self.assertEqual((result.returncode, result.stderr), (0, ""), name)
        self.assertIn(f"ExecStart={self.at('bin/onward')} serve\n", self.read("lib/systemd/system/onward.service"))
        # 0 (best) to 100; as it is now it comes to 16.
        result = run("systemd-analyze", "security", "--offline=true", "--threshold=20", self.at("lib/systemd/system/onward.service"))
        self.assertEqual(result.returncode, 0, result.stdout)

    def test_account_and_folders(self):
        root = os.path.join(self.folder, "root")
        os.makedirs(os.path.join(root, "etc"))
        result = run("systemd-sysusers", f"--root={root}", self.at("lib/sysusers.d/onward.conf"))
        self.assertEqual(result.returncode, 0, result.stderr)
        with open(os.path.join(root, "etc/passwd"), encoding="utf-8") as f:
            self.assertRegex(f.read(), r"(?m)^onward:x:\d+:\d+:Onward mail forwarder:/var/lib/onward:/usr/sbin/nologin$")
        if os.geteuid() != 0:
            return  # folders of other users are root's to make
        result = run("systemd-tmpfiles", "--create", f"--root={root}", self.at("lib/tmpfiles.d/onward.conf"))
        self.assertEqual(result.returncode, 0, result.stderr)
        modes = {name: oct(stat.S_IMODE(os.stat(os.path.join(root, name)).st_mode))
                 for name in ("etc/onward", "etc/onward/domains", "etc/onward/keys", "var/lib/onward", "run/onward")}
        self.assertEqual(modes, {"etc/onward": "0o755", "etc/onward/domains": "0o755", "etc/onward/keys": "0o700",
                                 "var/lib/onward": "0o700", "run/onward": "0o700"})

    def test_socket_activation(self):
        """As onward.socket does it: the descriptor comes by name, and waits before the program runs."""
        port = free_port()
        onward = self.onward({"listener": [{"address": "systemd:smtp", "tls": "none"}]}, start=False)
        self.assertIn("FileDescriptorName=smtp\n", self.read("lib/systemd/system/onward.socket"))
        onward.log_file = open(onward.path("log"), "ab")
        onward.port = port
        onward.process = child.start(["systemd-socket-activate", "-l", f"127.0.0.1:{port}", "--fdname=smtp"] +
                                     [f"--setenv={k}" for k in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")] +
                                     [onward.binary, "serve", "-c", onward.path("onward.toml")],
                                     stdout=onward.log_file, stderr=subprocess.DEVNULL, env=onward.environment())

        def greeted():
            try:
                with socket.create_connection(("127.0.0.1", port), 30) as probe:
                    return probe.recv(3) == b"220"
            except ConnectionRefusedError:
                return False
        wait_until(greeted, "a greeting through the socket")

    def test_manual_pages(self):
        for name in ("share/man/man1/onward.1", "share/man/man5/onward.toml.5"):
            result = run("groff", "-man", "-Tutf8", "-ww", "-z", self.at(name))
            self.assertEqual((result.returncode, result.stderr), (0, ""), name)
        with open(self.at("share/man/man1/onward.1"), encoding="utf-8") as f:
            page = subprocess.run(["groff", "-man", "-Tascii", "-P-cbou"], stdin=f, capture_output=True, text=True, timeout=60)
        for words in ("onward queue list", "--to", "onward dkim keygen DOMAIN SELECTOR", "EXIT STATUS", "75: no daemon"):
            self.assertIn(words, page.stdout)

    def bash(self, *words):
        script = (f". {self.at('share/bash-completion/completions/onward')}; COMP_WORDS=({' '.join(repr(w) for w in words)}); "
                  "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _onward; printf '%s\\n' \"${COMPREPLY[@]}\"")
        result = run("bash", "--norc", "-uc", script)
        self.assertEqual((result.returncode, result.stderr), (0, ""), words)
        return set(result.stdout.split())

    def zsh(self, *words):
        """What Tab would offer in a shell at a terminal."""
        with tempfile.TemporaryDirectory() as folder:
            result = run("zsh", "-fc", ZSH, "zsh", self.at("share/zsh/site-functions"), os.path.join(folder, "out"), " ".join(words),
                         cwd=self.here())
            self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""), words)
            with open(os.path.join(folder, "out"), encoding="utf-8") as f:
                return set(f.read().split())

    def fish(self, *words):
        script = f"source {self.at('share/fish/vendor_completions.d/onward.fish')}; complete -C {' '.join(words)!r}"
        result = run("fish", "--no-config", "-c", script, cwd=self.here())
        self.assertEqual((result.returncode, result.stderr), (0, ""), words)
        return {line.split("\t")[0] for line in result.stdout.splitlines()}

    def here(self):
        """A folder with one file."""
        path = os.path.join(self.folder, "here")
        os.makedirs(path, exist_ok=True)
        with open(os.path.join(path, "m.eml"), "w", encoding="utf-8"):
            return path

    def judge(self, complete):
        self.assertLessEqual({"serve", "queue", "dns", "setup"}, complete("onward", ""))
        self.assertNotIn("docs", complete("onward", ""), "hidden")
        self.assertIn("--version", complete("onward", "--v"))
        self.assertEqual(complete("onward", "que"), {"queue"})
        self.assertLessEqual({"list", "show", "retry"}, complete("onward", "-c", "x.toml", "queue", ""))
        self.assertEqual(complete("onward", "queue", "list", "--st"), {"--state"})
        self.assertEqual(complete("onward", "queue", "list", "--state", ""), {"active", "deferred", "hold"})
        self.assertEqual(complete("onward", "dns", "records", "example.org", "--format", ""), {"zone", "json", "cloudflare"})

    def test_bash_completion(self):
        self.judge(self.bash)
        self.assertEqual(self.bash("onward", "-c", ""), set(), "bash itself offers file names")

    def test_zsh_completion(self):
        result = run("zsh", "-n", self.at("share/zsh/site-functions/_onward"))
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.judge(self.zsh)
        self.judge_files(self.zsh)

    def test_fish_completion(self):
        result = run("fish", "--no-execute", self.at("share/fish/vendor_completions.d/onward.fish"))
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.judge(self.fish)
        self.judge_files(self.fish)
        script = f"source {self.at('share/fish/vendor_completions.d/onward.fish')}; complete -C 'onward recov'"
        self.assertEqual(run("fish", "--no-config", "-c", script).stdout,
                         "recover\tcheck and repair state_dir after damage, saying what was lost\n")

    def judge_files(self, complete):
        self.assertEqual(complete("onward", "-c", ""), {"m.eml"})
        self.assertEqual(complete("onward", "import", "csv", ""), {"m.eml"})
        self.assertEqual(complete("onward", "auth", ""), {"spf", "m.eml"})
        self.assertNotIn("m.eml", complete("onward", "queue", ""))


if __name__ == "__main__":
    main()
