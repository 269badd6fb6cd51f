"""The commands and their exit codes (interface.md §3, §6.1): 0 ok, 1 a problem was found, 2 usage, 75 try later."""
import json
import os
import re
import socket

from lib.case import Case, main, message
from lib.onward import FORWARDED

EXPECT = FORWARDED + '\n[[expect]]\nrcpt = "alice+tag@fwd.test"\nto = ["alice@inbox.test"]\n'


class Commands(Case):
    def ok(self, result):
        self.assertEqual(result.returncode, 0, f"{result.args}: {result.stdout}{result.stderr}")
        return result.stdout

    def fails(self, result, code, text=None):
        self.assertEqual(result.returncode, code, f"{result.args}: {result.stdout}{result.stderr}")
        self.assertTrue(result.stdout + result.stderr)
        if text:
            self.assertIn(text, result.stdout + result.stderr)

    def test_usage(self):
        onward = self.onward(start=False)
        for arguments in ((), ("nonsense",), ("check", "--nonsense"), ("route",), ("srs",), ("srs", "encode"), ("dkim", "keygen")):
            self.fails(onward.run(*arguments, config=False), 2)
        self.assertIn("serve", self.ok(onward.run("--help", config=False)))
        self.assertRegex(self.ok(onward.run("--version", config=False)), r"\d+\.\d+")

    def test_check(self):
        onward = self.onward(start=False, domains={"fwd.test.toml": EXPECT})
        self.ok(onward.run("check"))
        json.loads(self.ok(onward.run("check", "--json")))
        json.loads(self.ok(onward.run("-c", onward.path("onward.toml"), "--json", "check", config=False)))
        onward.write("domains/fwd.test.toml", EXPECT.replace('to = ["alice@inbox.test"]\n', 'to = ["wrong@inbox.test"]\n', 1))
        self.fails(onward.run("check"), 1, "alice+tag@fwd.test")

    def test_check_prints_every_error(self):
        onward = self.onward(start=False)
        onward.settings["limits"] = {"recipients": 0, "command_timeout": "soon", "nonsense": 1}
        onward.settings["delivery"]["prefer"] = "ipv5"
        onward.write_config()
        result = onward.run("check")
        self.fails(result, 1)
        text = result.stdout + result.stderr
        for word in ("recipients", "command_timeout", "nonsense", "prefer"):
            self.assertRegex(text, rf"onward\.toml:\d+: .*{word}")
        self.fails(onward.run("serve"), 1, "onward.toml:")

    def test_no_configuration(self):
        onward = self.onward(start=False)
        self.fails(onward.run("check", "-c", onward.path("absent.toml"), config=False), 1, "absent.toml")

    def test_route(self):
        dns = self.dns("corp.test. MX 10 mx1.corp.test.\ncorp.test. MX 20 mx2.corp.test.\nmx1.corp.test. AAAA ::1\n"
                       "mx1.corp.test. A 127.0.0.9\nmx2.corp.test. A 127.0.0.10\n")
        behind = self.upstream()
        onward = self.onward({"route": [{"domain": "inbox.test", "via": behind.via}]}, dns=dns, start=False)
        result = json.loads(self.ok(onward.run("route", "team@fwd.test", "--from", "sender@origin.test", "--json")))
        self.assertEqual(result["address"], "team@fwd.test")
        self.assertEqual(result["action"], "forward")
        by_route, by_mx = result["destinations"]
        self.assertEqual(by_route["address"], "alice@inbox.test")
        self.assertIn(behind.via[0], json.dumps(by_route))
        self.assertTrue(by_route["srs_sender"].startswith("SRS0="))
        self.assertEqual([m["host"].rstrip(".") for m in by_mx["mx"]], ["mx1.corp.test", "mx2.corp.test"])
        self.assertEqual([m["preference"] for m in by_mx["mx"]], [10, 20])
        self.assertIn("::1", by_mx["mx"][0]["addresses"][0], "IPv6 first")
        self.assertIn("alice@inbox.test", self.ok(onward.run("route", "alice+x@fwd.test")))
        for address in ("nobody@fwd.test", "a@elsewhere.test", "old@fwd.test"):
            self.fails(onward.run("route", address), 1)
        self.fails(onward.run("route", "not an address"), 1)

    def test_srs(self):
        onward = self.onward(start=False)
        encoded = self.ok(onward.run("srs", "encode", "sender@origin.test")).strip().split()[-1]
        self.assertRegex(encoded, r"^SRS0=.*@srs\.test$")
        self.assertIn("sender@origin.test", self.ok(onward.run("srs", "decode", encoded)))
        self.fails(onward.run("srs", "decode", encoded.replace("origin", "victim")), 1)
        self.assertIn("sender@origin.test", json.dumps(json.loads(self.ok(onward.run("srs", "decode", encoded, "--json")))))

    def test_dkim_keygen(self):
        onward = self.onward(start=False)
        for kind, k in (("rsa2048", "rsa"), ("ed25519", "ed25519")):
            out = onward.path(f"keys/new.{kind}.pem")
            text = self.ok(onward.run("dkim", "keygen", "forward.test", "sel1", "--type", kind, "--out", out, config=False))
            self.assertEqual(os.stat(out).st_mode & 0o777, 0o600)
            self.assertIn("sel1._domainkey.forward.test", text)
            self.assertRegex(re.sub(r'["\s()]', "", text), rf"v=DKIM1;k={k};p=[A-Za-z0-9+/=]+")
            for string in re.findall(r'"([^"]*)"', text):
                self.assertLessEqual(len(string), 255)
            self.fails(onward.run("dkim", "keygen", "forward.test", "sel1", "--type", kind, "--out", out, config=False), 1)
        self.fails(onward.run("dkim", "keygen", "forward.test", "s", "--type", "dsa", config=False), 2)

    def test_without_a_daemon(self):
        """§6.1: exit 75 with one line."""
        onward = self.onward(start=False)
        for command in ("status", "reload", "stop", "drain"):
            result = onward.run(command)
            self.assertEqual(result.returncode, 75, f"{command}: {result}")
            self.assertEqual(len((result.stdout + result.stderr).strip().splitlines()), 1)

    def test_status(self):
        upstream = self.upstream()
        onward = self.onward(upstream=upstream)
        self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())
        onward.client().transaction("sender@origin.test", "nobody@fwd.test", message())
        status = json.loads(self.ok(onward.run("status", "--json")))
        for key in ("version", "uptime_s", "sessions", "accepted_total", "forwarded_total", "rejected_total", "queue", "memory_bytes"):
            self.assertIn(key, status)
        self.assertEqual(status["forwarded_total"], 1)
        queue = status["queue"]
        self.assertEqual((queue["active"], queue["deferred"], queue["hold"], queue["messages"]), (0, 0, 0, 0))
        self.assertFalse(queue["sealed"])
        self.assertIn("forwarded", self.ok(onward.run("status")).lower())

    def test_stop(self):
        onward = self.onward(upstream=self.upstream())
        self.ok(onward.run("stop"))
        self.assertEqual(onward.process.wait(30), 0)

    def test_second_instance(self):
        """DU-08: one state directory, one daemon: the second exits 75."""
        onward = self.onward(upstream=self.upstream())
        result = onward.run("serve")
        self.assertIn(result.returncode, (1, 75), result)

    def test_nothing_is_left_to_give_up(self):
        """OP-08: no root, no capability, no new privileges, and a filter of system calls, in each thread."""
        onward = self.onward(upstream=self.upstream())
        tasks = f"/proc/{onward.process.pid}/task"
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/status", encoding="ascii") as f:
                status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
            self.assertNotIn("0", status["Uid"].split())
            self.assertNotIn("0", status["Gid"].split())
            self.assertEqual([int(status[c], 16) for c in ("CapInh", "CapPrm", "CapEff", "CapAmb")], [0] * 4)
            self.assertEqual(status["NoNewPrivs"], "1")
            self.assertEqual(status.get("Seccomp", "2"), "2", "a kernel with filters has it")

    def test_admin_socket(self):
        """OP-04: 0600; junk does not disturb it."""
        onward = self.onward(upstream=self.upstream())
        path = onward.path("run/admin.sock")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        for junk in (b"", b"\xff" * 100, b"A" * 200000, b"\0\0\0\1x"):
            with socket.socket(socket.AF_UNIX) as raw:
                raw.settimeout(10)
                raw.connect(path)
                try:
                    raw.sendall(junk)
                    raw.shutdown(socket.SHUT_WR)
                    while raw.recv(65536):
                        pass
                except OSError:
                    pass
        self.ok(onward.run("status"))


if __name__ == "__main__":
    main()
