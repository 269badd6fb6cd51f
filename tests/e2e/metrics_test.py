"""metrics.listen: /metrics by promtool's judgement, /healthz, /readyz; the alert rules and the dashboard speak of metrics that
exist (threats OP-05, OP-10)."""
import http.client
import json
import os
import re
import subprocess
import tempfile
import threading

from lib.case import Case, main, message
from lib.onward import canaries
from lib.ports import free_port
from lib.upstream import Until
from lib.wait import wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def promtool(*arguments, stdin=None):
    return subprocess.run(["promtool", *arguments], input=stdin, capture_output=True, text=True, timeout=60)


def declared():
    """The names in docs/metrics.md, which a unit test holds to the tables in the code."""
    with open(os.path.join(ROOT, "docs/metrics.md"), encoding="utf-8") as f:
        return set(re.findall(r"^\| `(onward_\w+)` \|", f.read(), re.M))


def named(text):
    """The metrics that a text speaks of; a histogram by its one name."""
    return {re.sub(r"_seconds_(bucket|sum|count)$", "_seconds", name) for name in re.findall(r"\bonward_\w+", text)}


class Metrics(Case):
    def get(self, path, port, method="GET"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read().decode("utf-8"), response.headers
        finally:
            connection.close()

    def listening(self, **arguments):
        port = free_port()
        onward = self.onward({"metrics": {"listen": f"127.0.0.1:{port}"}}, upstream=self.upstream(), **arguments)
        return onward, port

    def values(self, port):
        status, text, _ = self.get("/metrics", port)
        self.assertEqual(status, 200)
        return {m[0]: float(m[1]) for m in re.findall(r"^(\w+) (\S+)$", text, re.M)}

    def test_promtool_approves(self):
        onward, port = self.listening(tls=True)
        status, text, headers = self.get("/metrics", port)
        self.assertEqual((status, headers["Content-Type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
        result = promtool("check", "metrics", stdin=text)
        self.assertEqual((result.returncode, result.stdout + result.stderr), (0, ""))
        names = named("\n".join(line for line in text.splitlines() if not line.startswith("#")))
        self.assertTrue(names)
        self.assertLessEqual(names, declared())
        self.assertEqual(set(re.findall(r"\{(\w+)=", text)), {"version", "le"}, "no other label (OP-10)")
        for canary in canaries(onward.keys):
            self.assertNotIn(canary, text)

    def test_it_counts(self):
        onward, port = self.listening()
        before = self.values(port)
        self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())
        wait_until(lambda: self.values(port)["onward_messages_forwarded_total"] == before["onward_messages_forwarded_total"] + 1,
                   "the count")
        status = json.loads(onward.run("status", "--json").stdout)
        values = self.values(port)
        for name, count in status["counters"].items():
            if name in ("messages_accepted_total", "messages_forwarded_total", "upstream_connects_total"):
                self.assertEqual(values[f"onward_{name}"], count, name)
        self.assertGreater(values["onward_start_time_seconds"], 1.6e9)
        self.assertEqual(values["onward_configuration_failed"], 0)

    def test_a_failed_reload_shows(self):
        onward, port = self.listening()
        good = onward.settings
        onward.settings = dict(good, threads="many")
        onward.write_config()
        self.assertEqual(onward.run("reload").returncode, 1)
        self.assertEqual(self.values(port)["onward_configuration_failed"], 1)
        onward.settings = good
        onward.write_config()
        self.assertEqual(onward.run("reload").returncode, 0)
        self.assertEqual(self.values(port)["onward_configuration_failed"], 0)

    def test_reload_moves_and_closes_it(self):
        onward, port = self.listening()
        other = free_port()
        onward.settings["metrics"] = {"listen": f"127.0.0.1:{other}"}
        onward.write_config()
        self.assertEqual(onward.run("reload").returncode, 0)
        self.assertEqual(self.get("/healthz", other)[0], 200)
        with self.assertRaises(ConnectionRefusedError):
            self.get("/healthz", port)
        onward.settings["metrics"] = {"listen": ""}
        onward.write_config()
        self.assertEqual(onward.run("reload").returncode, 0)
        with self.assertRaises(ConnectionRefusedError):
            self.get("/healthz", other)

    def test_ready_and_draining(self):
        port = free_port()
        release = threading.Event()
        upstream = self.upstream({"dot": [Until(release), "250 2.0.0 ok"]})
        onward = self.onward({"metrics": {"listen": f"127.0.0.1:{port}"}}, upstream=upstream)
        self.assertEqual(self.get("/readyz", port)[:2], (200, "ok\n"))
        client = onward.client()
        client.mail("sender@origin.test")
        client.rcpt("alice@fwd.test")
        client.cmd("DATA")
        client.send(message() + b".\r\n")
        wait_until(lambda: upstream.attempts, "the dot at the upstream")
        onward.run("drain")
        wait_until(lambda: self.get("/readyz", port)[:2] == (503, "draining\n"), "not ready")
        self.assertEqual(self.get("/healthz", port)[0], 200)
        release.set()
        self.assertReply(client.reply(), 250)

    def test_only_get_and_head(self):
        onward, port = self.listening()
        self.assertEqual(self.get("/metrics", port, "HEAD")[:2], (200, ""))
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            self.assertIn(self.get("/metrics", port, method)[0], (400, 405))
        self.assertEqual(self.get("/", port)[0], 404)
        self.assertEqual(self.get("/../../etc/passwd", port)[0], 404)

    def test_the_port_is_taken(self):
        onward, port = self.listening()
        second = self.onward({"metrics": {"listen": f"127.0.0.1:{port}"}}, start=False)
        result = second.run("serve")
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"metrics.listen: 127.0.0.1:{port}: Address already in use", result.stderr)

    def test_alert_rules(self):
        rules = os.path.join(ROOT, "conf/onward.rules.yml")
        result = promtool("check", "rules", rules)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        with open(rules, encoding="utf-8") as f:
            text = f.read()
        self.assertLessEqual(named(text), declared())
        with open(os.path.join(ROOT, "docs/operations.md"), encoding="utf-8") as f:
            page = f.read()
        for alert in re.findall(r"alert: (\w+)", text):
            self.assertIn(f"`{alert}`", page, "docs/operations.md says what to do about it")
        result = promtool("test", "rules", os.path.join(ROOT, "tests/e2e/onward.rules.test.yml"))
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_dashboard(self):
        with open(os.path.join(ROOT, "conf/grafana-onward.json"), encoding="utf-8") as f:
            dashboard = json.load(f)
        expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        self.assertGreater(len(expressions), 20)
        self.assertLessEqual(named(" ".join(expressions)), declared())
        boxes = [tuple(panel["gridPos"][k] for k in "xywh") for panel in dashboard["panels"]]
        for i, (x, y, w, h) in enumerate(boxes):
            self.assertLessEqual(x + w, 24)
            for a, b, c, d in boxes[:i]:
                self.assertTrue(x >= a + c or a >= x + w or y >= b + d or b >= y + h, "panels overlap")
        # promtool parses queries as rules.
        rules = [{"record": f"panel:{i}", "expr": e.replace("$__rate_interval", "5m").replace("$instance", ".*")}
                 for i, e in enumerate(expressions)]
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as f:
            json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, f)  # JSON is YAML
            f.flush()
            result = promtool("check", "rules", f.name)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)


if __name__ == "__main__":
    main()
