"""Three destinations behind one address, each of which takes the message, says later, says no, breaks the connection after
the dot, or is late: all 125 combinations, for a sender that is proven and for a stranger; then the same with a SIGKILL at
each kill point. promise.md C.4, threats DU-18, LP-09.

ONWARD_MATRIX=all: each combination with each kill point, one at a time (two hours); ONWARD_MATRIX=K/N: the Kth of N parts of
that, to be run side by side; otherwise a sample of them."""
import collections
import email
import itertools
import os
import random
import signal
import subprocess
import threading

from kill_points_test import kill_points
from lib.case import main, message
from lib.client import Client, Closed
from lib.owned import SENDER, STRANGER, OwnedCase
from lib.upstream import Reset, Until, Wait
from lib.wait import LIMIT, wait_until

# taken, later, refused, broken off after the dot (the destination has it), late
COMBINATIONS = ["".join(c) for c in itertools.product("abcrt", repeat=3)]
HOSTS = ("one.test", "two.test", "three.test")
RULES = """
name = "fwd.test"
[[rule]]
pattern = '([abcrt])([abcrt])([abcrt])-(\\w+)'
to = ['$1-$4@one.test', '$2-$4@two.test', '$3-$4@three.test']
"""
KILLED = -signal.SIGKILL
TRIES = 25


class Destinations:
    """What each of the three does with the message of each token, and what it has taken."""

    def __init__(self, late):
        self.late = late  # what "t" waits for
        self.taken = collections.Counter()  # (host, token): copies
        self.tries = collections.Counter()
        self.lock = threading.Lock()

    def plan(self, host):
        def dot(session, _):
            fate, token = session.rcpts[0].split(b"<")[1].split(b"@")[0].decode().split("-")
            with self.lock:
                self.tries[host, token] += 1
                first = self.tries[host, token] == 1
                if fate == "c":
                    return "550 5.7.1 no"
                if first and fate == "b":
                    return "451 4.2.0 later"
                if first and fate == "t":
                    return [self.late, lambda *_: self.take(host, token)]
            taken = self.take(host, token)
            return Reset() if first and fate == "r" else taken
        return {"dot": dot}

    def take(self, host, token):
        self.taken[host, token] += 1
        return "250 2.0.0 taken"


def expected(combination, ownable):
    """promise.md C.4, the first reply."""
    fates = set(combination)
    if fates == {"a"}:
        return 250
    if fates == {"c"}:
        return 550
    if ownable:
        return 250 if fates & {"a", "t"} else 451
    return 451 if fates & {"b", "r", "t"} else 554


class One:
    """One message and its client."""

    def __init__(self, combination, ownable, number):
        self.combination, self.ownable = combination, ownable
        self.token = f"{number}{'o' if ownable else 's'}{random.getrandbits(32):x}"
        self.sender = SENDER if ownable else STRANGER
        self.content = message(sender=self.sender, token=self.token)
        self.message_id = email.message_from_bytes(self.content)["Message-ID"]
        self.source = f"127.0.{1 + number // 200}.{1 + number % 200}"
        self.replies = []

    @property
    def answer(self):
        return self.replies[-1].code if self.replies else 0

    @property
    def done(self):
        return self.answer == 250 or self.answer >= 500

    def send(self, daemon):
        client = Client(daemon.address, daemon.port, self.source, LIMIT * 2)
        with client:
            client.hello()
            reply = client.mail(self.sender)
            if reply.code == 250:
                reply = client.rcpt(f"{self.combination}-{self.token}@fwd.test")
            if reply.code == 250:
                reply = client.data(self.content)
            self.replies.append(reply)
            client.quit()


class Outcomes(OwnedCase):
    def prepare(self, late, deadline):
        self.destinations = Destinations(late)
        hosts = [self.upstream(self.destinations.plan(host)) for host in HOSTS]
        routes = [{"domain": host, "via": upstream.via} for host, upstream in zip(HOSTS, hosts)]
        self.serve(start=False, domains=RULES, limits={"connections_per_ip": 1000},
                   delivery={"deadline": deadline, "rcpt_patience": "2s", "connections_per_destination": 1000},
                   route=routes + [{"domain": "origin.test", "via": self.origin.via}])

    def at_once(self, ones):
        """Each client says it once; a broken connection is no reply."""
        def say(one):
            try:
                one.send(self.daemon)
            except (Closed, OSError):
                pass
        threads = [threading.Thread(target=say, args=(one,)) for one in ones]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def reported(self):
        """The tokens of the original messages in the reports that have arrived, with the number of their reports."""
        return collections.Counter(one for m in self.origin.accepted for one in
                                   {line.split(b": ")[1].decode() for line in m.data.split(b"\r\n")
                                    if line.startswith(b"X-Token: ")})

    def flagged(self):
        return {entry.get("message_id") for entry in self.daemon.log()
                if entry.get("dup_possible") or entry["event"] == "dup_possible"}

    def check(self, one, flagged, reported):
        note = f"{one.combination} {one.sender} {[r.short for r in one.replies]}"
        for host, fate in zip(HOSTS, one.combination):
            copies = self.destinations.taken[host, one.token]
            if fate == "c":
                self.assertEqual(copies, 0, note)
            elif one.answer == 250 or fate == "a":
                self.assertGreaterEqual(copies, 1, f"{note}: lost at {host}")
            if copies > 1:
                self.assertIn(one.message_id, flagged, f"{note}: {copies} copies at {host} that nobody was told of")
        if one.answer == 250 and "c" in one.combination:
            self.assertTrue(one.ownable, f"{note}: 250, and one was refused")
            self.assertGreaterEqual(reported[one.token], 1, f"{note}: nobody was told of the refusal")
        if not one.ownable:
            self.assertEqual(reported[one.token], 0, f"{note}: a report to a stranger (LP-06)")

    def finish(self, ones):
        for _ in range(TRIES):
            left = [one for one in ones if not one.done]
            if not left:
                break
            if self.daemon.process.poll() is not None:
                self.revive()
            heard = sum(len(one.replies) for one in left)
            self.at_once(left)
            if sum(len(one.replies) for one in left) == heard:  # nobody hears anything
                self.dies(0.2)
        self.assertEqual([one.combination for one in ones if not one.done], [], "no answer")

    def dies(self, limit):
        try:
            self.daemon.process.wait(limit)
            return True
        except subprocess.TimeoutExpired:
            return False

    def revive(self):
        self.assertEqual(self.daemon.process.returncode, KILLED, self.daemon.log_text()[-2000:])
        self.daemon.log_file.close()
        self.daemon.start()

    def settle(self, ones):
        """Until nothing is left to do; then everything is counted."""
        try:
            self.wait_queue(0, limit=60)
        except AssertionError:  # killed after all the answers
            if not self.dies(1):
                raise
            self.revive()
            self.wait_queue(0, limit=60)
        owed = [one for one in ones if one.answer == 250 and "c" in one.combination]
        wait_until(lambda: all(self.reported()[one.token] for one in owed), "the reports")
        flagged, reported = self.flagged(), self.reported()
        for one in ones:
            self.check(one, flagged, reported)

    def test_all_combinations(self):
        release = threading.Event()
        self.addCleanup(release.set)
        self.prepare(Until(release), "4s")
        self.daemon.start()
        ones = [One(c, ownable, n) for n, (ownable, c) in enumerate(itertools.product((True, False), COMBINATIONS))]
        self.at_once(ones)
        self.assertEqual(len(ones), 250)
        for one in ones:
            self.assertEqual([r.code for r in one.replies], [expected(one.combination, one.ownable)],
                             f"{one.combination} {one.sender} {one.replies}")
            for host, fate in zip(HOSTS, one.combination):
                if not one.ownable:  # nothing of it is ours: nothing happens until it is repeated
                    self.assertEqual(self.destinations.taken[host, one.token], 1 if fate in "ar" else 0, one.combination)
        release.set()
        self.finish(ones)
        self.settle(ones)
        for one in ones:  # nobody was killed: exactly one, two where the destination had it and did not say so
            for host, fate in zip(HOSTS, one.combination):
                retried = one.answer == 250 or len(one.replies) > 1
                copies = self.destinations.taken[host, one.token]
                self.assertEqual(copies, {"a": 1, "b": 1, "c": 0, "r": 2, "t": 1}[fate] if retried else copies)

    def killed(self, ones, name, nth):
        self.prepare(Wait(1.2), "3s")
        self.daemon.failpoints = f"{name}=kill@{nth}"
        try:
            self.daemon.start()
        except AssertionError:
            self.assertEqual(self.daemon.process.returncode, KILLED)
            self.daemon.start()
        self.finish(ones)
        self.settle(ones)
        self.daemon.stop()  # the point may be one that is reached only now
        self.renew()

    def test_with_kills(self):
        points = [name for name, _ in kill_points()]
        chance = random.Random()
        matrix = os.environ.get("ONWARD_MATRIX", "").replace("all", "1/1")
        everything = bool(matrix)
        if everything:
            part, parts = (int(number) for number in matrix.split("/"))
            points = points[part - 1::parts]
        for name in points:
            groups = [[c] for c in COMBINATIONS] if everything else [chance.sample(COMBINATIONS, 8)]
            for group in groups:
                nth = 1 if everything else chance.randint(1, 4)
                with self.subTest(point=name, nth=nth, combinations=group):
                    ones = [One(c, ownable, n) for n, (c, ownable) in enumerate(itertools.product(group, (True, False)))]
                    self.killed(ones, name, nth)


if __name__ == "__main__":
    main()
