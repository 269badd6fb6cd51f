"""Tests with a sender that is proven (SPF), so that its mail may become Onward's own: DNS, two next hops, the queue's
commands."""
import json

from .case import Case, message
from .onward import FORWARDED
from .ports import release
from .wait import wait_until

ZONE = """
origin.test. TXT "v=spf1 ip4:127.0.0.0/8 -all"
origin.test. A 127.0.0.1
stranger.test. A 127.0.0.1
"""
SENDER = "sender@origin.test"
STRANGER = "sender@stranger.test"
RULES = FORWARDED + """
[[rule]]
address = "queued"
to = ["alice@inbox.test"]
custody = "queue"
[[rule]]
address = "spare"
to = ["alice@inbox.test"]
fallback = ["carol@corp.test"]
"""


class OwnedCase(Case):
    """inbox.test and corp.test are two upstreams, origin.test (where DSNs go) a third."""

    def setUp(self):
        super().setUp()
        self.start_servers()

    def start_servers(self):
        self.names = self.dns(ZONE)
        self.inbox, self.corp, self.origin = self.upstream(), self.upstream(), self.upstream()

    def renew(self):
        """Ends all servers and begins anew: for a test of many rounds."""
        self._end()
        release()
        self.start_servers()

    def serve(self, delivery=None, queue=None, start=True, domains=None, **more):
        settings = {"policy": {"spf": "dmarc"},
                    "delivery": {"handoff": "1s", **(delivery or {})},
                    "queue": {"retry": ["1s"], **(queue or {})},
                    "route": [{"domain": "corp.test", "via": self.corp.via}, {"domain": "origin.test", "via": self.origin.via},
                              {"domain": "*", "via": self.inbox.via}], **more}
        self.daemon = self.onward(settings, dns=self.names, domains={"fwd.test.toml": domains or RULES}, start=start)
        return self.daemon

    def send(self, rcpt="alice@fwd.test", sender=SENDER, content=None, client=None, parameters=()):
        """The reply to the dot (or to the last command that was refused)."""
        content = content or message(sender=sender)
        own = client is None
        client = client or self.daemon.client()
        reply = client.mail(sender)
        for one in [rcpt] if isinstance(rcpt, str) else rcpt:
            if reply.code == 250:
                reply = client.rcpt(one, *parameters)
        if reply.code == 250:
            reply = client.data(content)
        if own:
            client.quit()
        return reply

    # --- the queue as its commands show it
    def ask(self, *arguments, code=0):
        run = self.daemon.run(*arguments, "--json")
        self.assertEqual(run.returncode, code, run.stdout + run.stderr)
        return json.loads(run.stdout) if run.stdout else None

    def queue(self, *arguments):
        return self.ask("queue", "list", *arguments)

    def wait_queue(self, count, limit=30):
        wait_until(lambda: len(self.queue()) == count, f"{count} messages in the queue", limit)
        return self.queue()

    def log(self, *arguments):
        """Rows of `onward log`."""
        run = self.daemon.run("log", "--json", *arguments)
        self.assertEqual(run.returncode, 0, run.stderr)
        return [json.loads(line) for line in run.stdout.splitlines()]
