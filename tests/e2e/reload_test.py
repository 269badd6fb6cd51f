"""Reload by SIGHUP and by `onward reload` (OP-01): a bad configuration changes nothing and says file and line; a
transaction keeps the snapshot it began with. Under load: reload_loop_test.py."""
import json

from lib.case import Case, main, message
from lib.onward import FORWARDED
from lib.wait import wait_until

NEW = FORWARDED.replace('to = ["alice@inbox.test"]', 'to = ["alice2@inbox.test"]')


class Reload(Case):
    def setUp(self):
        super().setUp()
        self.behind = self.upstream()
        self.daemon = self.onward(upstream=self.behind)

    def destination(self):
        self.assertSent(self.daemon.client(), "sender@origin.test", "alice@fwd.test", message())
        return self.behind.accepted[-1].recipients[0]

    def read(self, name):
        with open(self.daemon.path(name), encoding="utf-8") as f:
            return f.read()

    def test_command(self):
        self.assertEqual(self.destination(), "alice@inbox.test")
        self.daemon.write("domains/fwd.test.toml", NEW)
        result = self.daemon.run("reload")
        self.assertEqual(result.returncode, 0, result)
        self.assertEqual(self.destination(), "alice2@inbox.test")

    def test_sighup(self):
        self.daemon.write("domains/fwd.test.toml", NEW)
        self.daemon.hup()
        wait_until(lambda: self.destination() == "alice2@inbox.test", "the new rules", step=0.05)

    def test_bad_configurations_keep_the_old_one(self):
        good = self.read("onward.toml")
        for name, text, where in (("onward.toml", good + "\n[nonsense\n", "onward.toml:"), ("onward.toml", good + "\nwhat = 1\n", "onward.toml:"),
                                  ("onward.toml", good[:len(good) // 2], "onward.toml"), ("domains/fwd.test.toml", "name = 5\n", "fwd.test.toml:1"),
                                  ("domains/fwd.test.toml", FORWARDED + '\n[[rule]]\npattern = "("\nto = ["a@b.test"]\n', "fwd.test.toml:"),
                                  ("onward.toml", good.replace("keys/srs.secrets", "keys/absent"), "keys/absent")):
            with self.subTest(text=text[-40:]):
                keep = self.read(name)
                self.daemon.write(name, text)
                result = self.reload_over_the_socket(good)
                self.assertEqual(result.returncode, 1, result)
                self.assertIn(where, result.stdout + result.stderr)
                self.assertEqual(self.destination(), "alice@inbox.test")
                self.daemon.write(name, keep)
        self.assertEqual(self.daemon.run("reload").returncode, 0)

    def reload_over_the_socket(self, good):
        """The command itself reads a good copy, to find the socket; the daemon reads the broken one."""
        self.daemon.write("copy.toml", good)
        return self.daemon.run("reload", "-c", self.daemon.path("copy.toml"), config=False)

    def test_a_transaction_keeps_its_snapshot(self):
        client = self.daemon.client()
        client.mail("sender@origin.test")
        self.daemon.write("domains/fwd.test.toml", NEW)
        self.assertEqual(self.daemon.run("reload").returncode, 0)
        self.assertReply(client.rcpt("alice@fwd.test"), 250)
        self.assertReply(client.data(message()), 250)
        self.assertEqual(self.behind.accepted[-1].recipients, ["alice@inbox.test"])
        self.assertSent(client, "sender@origin.test", "alice@fwd.test", message())
        self.assertEqual(self.behind.accepted[-1].recipients, ["alice2@inbox.test"])

    def diff(self, *arguments):
        return self.daemon.run("check", "--diff", *arguments)

    def test_diff(self):
        """What a reload would change, as the daemon sees it; nothing is changed by asking."""
        self.assertEqual(self.diff().stdout, "a reload would change nothing\n")
        keep = self.read("onward.toml")
        self.daemon.write("domains/fwd.test.toml", NEW)
        self.daemon.write("keys/srs.secrets", "another secret that is long enough\n")
        self.daemon.write("onward.toml", keep.replace("threads = 1", "threads = 2"))
        run = self.diff()
        self.assertEqual(run.returncode, 0, run)
        changes = run.stdout.splitlines()
        self.assertEqual([line.rsplit("/", 1)[-1] for line in changes],
                         ["onward.toml: threads: 1 -> 2",
                          'fwd.test.toml: rule[alice].to: ["alice@inbox.test"] -> ["alice2@inbox.test"]',
                          "srs.secrets: changed"])
        self.assertNotIn("another secret", run.stdout + run.stderr)
        self.assertIn("threads changes with the next restart only", run.stderr)
        self.assertEqual(len(json.loads(self.diff("--json").stdout)["changes"]), 3)
        self.assertEqual(self.destination(), "alice@inbox.test")
        self.assertEqual(self.daemon.run("reload").returncode, 0)
        self.assertEqual(self.diff().stdout, "a reload would change nothing\n")
        self.assertEqual(self.destination(), "alice2@inbox.test")

    def test_diff_of_mistakes_and_of_two_files(self):
        keep = self.read("onward.toml")
        self.daemon.write("other.toml", keep.replace('hostname = "mx.forward.test"', 'hostname = "mx2.forward.test"'))
        run = self.diff(self.daemon.path("other.toml"))
        self.assertEqual(run.returncode, 0, run)
        self.assertIn('onward.toml: hostname: "mx2.forward.test" -> "mx.forward.test"\n', run.stdout)
        self.daemon.write("domains/fwd.test.toml", "name = 5\n")
        run = self.diff()
        self.assertEqual((run.returncode, run.stdout), (1, ""))
        self.assertIn("fwd.test.toml:1: name:", run.stderr)
        self.daemon.write("domains/fwd.test.toml", FORWARDED)
        self.daemon.stop()
        self.assertEqual(self.diff().returncode, 75)


if __name__ == "__main__":
    main()
