"""REQUIRETLS and "TLS-Required: No" (RFC 8689): offered within TLS only, kept to the next hop or refused 5.7.30; and the
other way round, delivered although a policy of the destination is not met (promise.md C.3.1)."""
import unittest

from lib import netns
from lib.case import main, message
from lib.mailworld import Place, World, WorldCase, said_in_clear

OPTIONAL = "TLS-Required: No\r\n"


@unittest.skipIf(netns.missing(), netns.missing())
class RequireTls(WorldCase):
    CLIENTS_TLS = True

    def client(self, onward):
        client = onward.client()
        client.starttls()
        client.ehlo()
        return client

    def send(self, client, name, required=True, extra=""):
        """The reply that counts."""
        said = " REQUIRETLS" if required else ""
        self.assertReply(client.cmd(f"MAIL FROM:<sender@origin.test>{said}"), 250)
        rcpt = client.cmd(f"RCPT TO:<{name}@fwd.test>")
        if rcpt.code != 250:
            client.cmd("RSET")
            return rcpt
        self.assertReply(client.cmd("DATA"), 354)
        client.send(message(extra=extra) + b".\r\n")
        return client.reply()

    def test_offered_within_tls_only(self):
        onward = self.start({"good": Place(dane="match", requiretls=True)})
        plain = onward.client()
        self.assertNotIn("REQUIRETLS", plain.keywords)
        self.assertReply(plain.cmd("MAIL FROM:<sender@origin.test> REQUIRETLS"), 555)
        client = self.client(onward)
        self.assertIn("REQUIRETLS", client.keywords)
        self.assertReply(client.cmd("MAIL FROM:<sender@origin.test> REQUIRETLS=1"), 501)

    def test_to_the_next_hop(self):
        onward = self.start({
            "dane": Place("self-signed", dane="match", requiretls=True),
            "sts": Place(sts=(["mx.sts.test"], {}), requiretls=True),
            "signed": Place(requiretls=True),
            "unaware": Place("self-signed", dane="match"),
            "plain": Place(None),
            "badcertificate": Place("self-signed", requiretls=True),
            "unsigned": Place(zone="unsigned.test", requiretls=True)})
        client = self.client(onward)
        for name in ("dane", "sts", "signed"):
            self.assertReply(self.send(client, name), 250, note=name)
            self.assertIn(b" REQUIRETLS", self.at.hosts[name].accepted[0].mail)
        for name, codes in (("unaware", ("5.7.30",)), ("unsigned", ("5.7.30",)), ("plain", ("4.7.5", "5.7.30")),
                            ("badcertificate", ("4.7.5",))):
            self.assertReply(self.send(client, name), (451, 550), codes, "tls", name)
            self.assertEqual(self.at.hosts[name].attempts, [], name)
            self.assertEqual(said_in_clear(self.at.hosts[name]), b"", name)
        self.assertReply(self.send(client, "plain", required=False), 250)
        self.assertNotIn(b"REQUIRETLS", self.at.hosts["plain"].accepted[0].mail)

    def test_a_session_that_was_opened_without(self):
        """The next message may ask for more than the kept session can give."""
        onward = self.start({"unsigned": Place(zone="unsigned.test", requiretls=True)})
        client = self.client(onward)
        self.assertReply(self.send(client, "unsigned", required=False), 250)
        self.assertReply(self.send(client, "unsigned"), 550, "5.7.30", "tls")
        self.assertEqual(len(self.at.hosts["unsigned"].accepted), 1)

    def test_tls_required_no(self):
        """Policies are passed over, what the operator wants is not; REQUIRETLS is stronger."""
        places = {"dane": Place(dane="mismatch", requiretls=True), "sts": Place("self-signed", sts=(["mx.else.test"], {})),
                  "stripped": Place(None, dane=lambda _: "3 1 1 " + "ab" * 32)}
        onward = self.start(places)
        client = self.client(onward)
        for name in places:
            self.assertReply(self.send(client, name, required=False), 451, "4.7.5", "tls", name)
            self.assertEqual(self.at.hosts[name].attempts, [], name)
            self.assertReply(self.send(client, name, required=False, extra=OPTIONAL), 250, note=name)
            self.assertIn(OPTIONAL.encode(), self.at.hosts[name].accepted[0].data, "it goes on (RFC 8689 §4.2)")
        self.assertReply(self.send(client, "dane", extra=OPTIONAL), 451, "4.7.5", "tls")
        self.assertReply(self.send(client, "dane", required=False), 451, "4.7.5", "tls", "the kept session is not for this one")

    def test_in_the_queue(self):
        """Both wishes stay with a message that is ours; the report about one that required TLS requires it too (§5)."""
        self.at = self.keep(World({
            "broken": Place(dane="mismatch"), "unaware": Place("self-signed", dane="match"),
            "origin": Place("self-signed", dane="match", requiretls=True,
                            more='origin.test. TXT "v=spf1 ip4:127.0.0.1 -all"')}))
        settings = self.at.settings(custody="queue") | {"policy": {"spf": "dmarc"}, "queue": {"retry": ["1s"]}}
        onward = self.onward(settings, dns=self.at.dns, domains=self.at.rules(), tls=True)
        client = self.client(onward)
        self.assertReply(self.send(client, "broken", required=False, extra=OPTIONAL), 250)
        self.assertReply(self.send(client, "unaware"), 250)
        self.assertEqual(len(self.at.hosts["broken"].wait_accepted(1)), 1)
        report = self.at.hosts["origin"].wait_accepted(1)[0]
        self.assertEqual(report.sender, "")
        self.assertIn(b" REQUIRETLS", report.mail)
        self.assertIn(b"5.7.30", report.data)
        self.assertEqual(self.at.hosts["unaware"].attempts, [])

    def test_the_operators_word_stays(self):
        onward = self.start({"plain": Place(None)}, tls="encrypt")
        self.assertReply(self.send(self.client(onward), "plain", required=False, extra=OPTIONAL), 451, "4.7.5", "tls")
        self.assertEqual(said_in_clear(self.at.hosts["plain"]), b"")


if __name__ == "__main__":
    netns.enter()
    main()
