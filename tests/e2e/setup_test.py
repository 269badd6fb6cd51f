"""`onward setup`: from nothing to a checked configuration; never over anything; by flags, or asked for on a terminal."""
import json
import os
import pty
import pwd
import stat
import subprocess

from lib.case import Case, main, message
from lib.onward import Onward
from lib.ports import free_port
from lib.wait import wait_until


class Setup(Case):
    def setUp(self):
        super().setUp()
        self.frame = self.onward(start=False)  # folder, user, program
        self.config = self.frame.path("fresh/onward.toml")
        if os.geteuid() == 0:  # keys belong to `user`, who must get at them
            os.chmod(self.frame.folder, 0o755)

    def setup(self, *more, config=None):
        return self.frame.run("setup", "-c", config or self.config, "--hostname", "mx.forward.test", "--domain", "Example.org",
                              "--to", "alice@inbox.test", "--user", self.frame.user, *more, config=False)

    def tree(self):
        out = {}
        for folder, _, names in os.walk(os.path.dirname(self.config)):
            for name in names:
                path = os.path.join(folder, name)
                with open(path, "rb") as f:
                    out[os.path.relpath(path, os.path.dirname(self.config))] = (oct(stat.S_IMODE(os.stat(path).st_mode)), f.read())
        return out

    def test_from_nothing(self):
        run = self.setup()
        self.assertEqual(run.returncode, 0, run.stderr)
        tree = self.tree()
        self.assertEqual({name: mode for name, (mode, _) in tree.items()},
                         {"onward.toml": "0o644", "domains/example.org.toml": "0o644", "keys/srs.secrets": "0o600",
                          "keys/ow1.rsa.pem": "0o600", "keys/ow1.ed25519.pem": "0o600"})
        owner = os.stat(self.frame.path("fresh/keys/srs.secrets")).st_uid
        self.assertEqual(owner, pwd.getpwnam(self.frame.user).pw_uid)
        self.assertGreaterEqual(len(tree["keys/srs.secrets"][1]), 64)
        for secret in (tree["keys/srs.secrets"][1].decode().strip(), tree["keys/ow1.ed25519.pem"][1].decode().split("\n")[1]):
            self.assertNotIn(secret, run.stdout + run.stderr)
        for line in ("Publish in DNS:", "mx.forward.test.", "_domainkey", "_dmarc", "Then:", "onward serve -c"):
            self.assertIn(line, run.stdout)
        check = self.frame.run("check", "-c", self.config, config=False)
        self.assertEqual((check.returncode, check.stdout), (0, "configuration ok: 1 domain, 0 addresses\n"), check.stderr)
        route = self.frame.run("route", "anybody@example.org", "--json", "-c", self.config, config=False)
        self.assertEqual(json.loads(route.stdout)["destinations"][0]["address"], "alice@inbox.test")

    def test_never_over_anything(self):
        self.assertEqual(self.setup().returncode, 0)
        before = self.tree()
        again = self.setup()
        self.assertEqual(again.returncode, 1)
        self.assertIn("File exists; nothing was changed", again.stderr)
        self.assertEqual(self.tree(), before)
        os.remove(self.config)  # all or nothing: keys are there, so no new onward.toml either
        self.assertEqual(self.setup().returncode, 1)
        self.assertFalse(os.path.exists(self.config))

    def test_json_and_flags(self):
        run = self.setup("--local-part", "sales", "--srs-domain", "srs.forward.test", "--listen", "127.0.0.1:2525", "--json",
                         "--address", "192.0.2.25")
        self.assertEqual(run.returncode, 0, run.stderr)
        told = json.loads(run.stdout)
        self.assertEqual(set(told), {"config", "files", "records", "next"})
        self.assertEqual(len(told["files"]), 5)
        self.assertIn("192.0.2.25", run.stdout)
        self.assertTrue(all(os.path.exists(name) for name in told["files"]))

    def test_bad_answers(self):
        for flags, what in ((("--hostname", "mx"), "is no full host name"), (("--to", "alice"), "is no mail address"),
                            (("--listen", "25"), "is no address"), (("--certificate", "x.pem"), "belong together")):
            good = {"--hostname": "mx.forward.test", "--domain": "example.org", "--to": "alice@inbox.test"}
            good[flags[0]] = flags[1]
            run = self.frame.run("setup", "-c", self.config, *[word for pair in good.items() for word in pair], config=False)
            self.assertEqual(run.returncode, 2, run.stderr)
            self.assertIn(what, run.stderr)
            self.assertFalse(os.path.exists(os.path.dirname(self.config)))
        absent = self.setup("--certificate", "absent.pem", "--key", "absent.pem")
        self.assertEqual(absent.returncode, 1)
        self.assertIn("nothing was changed", absent.stderr)
        self.assertFalse(os.path.exists(os.path.dirname(self.config)))

    def test_asked_on_a_terminal(self):
        master, slave = pty.openpty()
        run = subprocess.Popen([self.frame.binary, "setup", "-c", self.config, "--user", self.frame.user], stdin=slave,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.frame.environment())
        os.write(master, b"mx\nmx.forward.test\nexample.org\n\nalice@inbox.test\n")
        out, err = run.communicate(timeout=60)
        os.close(master)
        os.close(slave)
        self.assertEqual(run.returncode, 0, err)
        self.assertIn("mx is no full host name", err)
        self.assertIn("(* for all) [*]:", err)
        self.assertIn("Publish in DNS:", out)

    def test_it_serves(self):
        upstream, port = self.upstream(), free_port()
        self.assertEqual(self.setup("--listen", f"127.0.0.1:{port}").returncode, 0)
        with open(self.config, "a", encoding="utf-8") as f:  # what a test's network needs
            f.write(f'\n[[route]]\ndomain = "*"\nvia = ["{upstream.via[0]}"]\n[policy]\nrequire_auth = "none"\n'
                    f'dmarc = "off"\n[metrics]\nlisten = ""\n[dns]\nservers = ["{self.dns("origin.test. A 127.0.0.1").server}"]\n')
        folder = os.path.dirname(self.config)
        os.chown(folder, pwd.getpwnam(self.frame.user).pw_uid, -1)  # state_dir is made in it
        fresh = self.onward(start=False)
        fresh.path = lambda name: os.path.join(folder, name) if name == "onward.toml" else Onward.path(fresh, name)
        fresh.port = port
        fresh.start()
        self.assertSent(fresh.client(), "sender@origin.test", "anybody@example.org", message())
        wait_until(lambda: upstream.accepted, "the message")
        self.assertEqual(upstream.accepted[0].recipients, ["alice@inbox.test"])


if __name__ == "__main__":
    main()
