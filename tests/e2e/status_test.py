"""`onward status`: JSON for scripts (interface.md §3), a page for people, and --watch on a terminal that changes its size."""
import json
import os
import pty
import re
import signal
import struct
import subprocess
import fcntl
import termios

from lib.case import main
from lib.owned import OwnedCase
from lib.wait import wait_until


class Status(OwnedCase):
    def test_json(self):
        onward = self.serve()
        self.assertEqual(self.send().code, 250)
        status = self.ask("status")
        self.assertLessEqual({"version", "uptime_s", "sessions", "accepted_total", "forwarded_total", "rejected_total", "queue",
                              "memory_bytes"}, set(status))
        self.assertLessEqual({"active", "deferred", "hold"}, set(status["queue"]))
        self.assertEqual(status["timings"]["answer_seconds"]["count"], 1)
        self.assertGreater(status["timings"]["upstream_connect_seconds"]["p99"], 0)
        # Two samples, five seconds apart.
        wait_until(lambda: "1m" in self.ask("status")["rates"].get("accepted", {}), "a rate", step=0.2)
        self.assertEqual(set(self.ask("status")["rates"]["accepted"]), {"1m", "5m", "15m"})
        self.assertEqual(onward.run("status", "--interval", "soon").returncode, 2)

    def test_the_queue_by_destination_and_age(self):
        self.serve(queue={"retry": ["1h"]})
        self.inbox.stop()
        for _ in range(3):
            self.assertEqual(self.send("queued@fwd.test").code, 250)
        wait_until(lambda: self.ask("status")["queue"]["deferred"] == 3, "three deferred")
        shape = self.ask("status")["queue"]["shape"]
        self.assertEqual(shape["ages_s"][0], 300)
        self.assertEqual([(d["domain"], d["counts"][0], sum(d["counts"])) for d in shape["domains"]], [("inbox.test", 3, 3)])
        page = self.daemon.run("status").stdout
        self.assertIn("queue      0 active, 3 deferred, 0 hold; 3 messages", page)
        self.assertRegex(page, r"(?m)^TOTAL +3 +3 +0")
        self.assertRegex(page, r"(?m)^inbox\.test +3 +3 +0")
        self.assertNotIn("\x1b", page)

    def test_watch(self):
        onward = self.serve()
        master, slave = pty.openpty()

        def size(lines, columns):
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        size(60, 80)
        watch = subprocess.Popen([onward.binary, "status", "--watch", "--interval", "10m", "-c", onward.path("onward.toml")],
                                 stdin=slave, stdout=slave, stderr=slave, env=dict(onward.environment(), TERM="xterm"))
        seen = bytearray()
        os.set_blocking(master, False)

        def screen(wanted):
            try:
                seen.extend(os.read(master, 65536))
            except BlockingIOError:
                pass
            pages = seen.decode().split("\x1b[H\x1b[2J")
            whole = len(pages) > wanted and ("connections kept" in pages[wanted] or "more lines" in pages[wanted])
            return pages[wanted] if whole else None
        try:
            first = wait_until(lambda: screen(1), "the first page")
            self.assertIn("\x1b[1ma minute", first)
            # At once, although the next look is ten minutes away.
            size(10, 40)
            watch.send_signal(signal.SIGWINCH)
            second = wait_until(lambda: screen(2), "a smaller page")
            lines = re.sub(r"\x1b\[\d*m", "", second).split("\r\n")
            self.assertLessEqual(len(lines), 10)
            self.assertLessEqual(max(len(line) for line in lines), 40)
            watch.send_signal(signal.SIGINT)
            self.assertEqual(watch.wait(30), -signal.SIGINT)
        finally:
            watch.kill()
            watch.wait()
            os.close(master)
            os.close(slave)

    def test_watch_without_a_terminal(self):
        onward = self.serve()
        watch = subprocess.Popen([onward.binary, "status", "--watch", "--json", "--interval", "200ms", "-c",
                                  onward.path("onward.toml")], stdout=subprocess.PIPE, text=True, env=onward.environment())
        try:
            for _ in range(3):
                self.assertIn("uptime_s", json.loads(watch.stdout.readline()))
            onward.stop()
            self.assertEqual(watch.wait(60), 75)
        finally:
            watch.kill()
            watch.wait()
            watch.stdout.close()


if __name__ == "__main__":
    main()
