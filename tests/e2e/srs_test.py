"""SRS both ways (interface.md §6.25, RL-03, RL-08..RL-12): the sender is rewritten, a bounce to it comes back to the
original sender in-session, and everything else at the SRS domain is refused."""
import re
import subprocess
import unittest

from lib import postfix
from lib.case import Case, main, message
from lib.onward import SRS_SECRET
from lib.wait import wait_until


class Srs(Case):
    def setUp(self):
        super().setUp()
        self.behind = self.upstream()
        self.daemon = self.onward(upstream=self.behind)

    def rewritten(self, sender, onward=None):
        before = len(self.behind.accepted)
        self.assertSent((onward or self.daemon).client(source="127.3.0.1"), sender, "alice@fwd.test", message())
        return self.behind.accepted[before].sender

    def bounce(self, to, sender="", source="127.3.0.2"):
        client = self.daemon.client(source=source)
        result = client.transaction(sender, to, message("a bounce\r\n"))
        client.close()
        return result["data"] or (result["rcpt"] or [result["mail"]])[0]

    def test_and_back(self):
        for sender in ("sender@origin.test", "MiXed.Case@Origin.test", "with+tag=equals@origin.test", '"quoted local"@origin.test',
                       "x" * 64 + "@origin.test", "a@" + ".".join(["d" * 60] * 3) + ".test"):
            with self.subTest(sender):
                srs = self.rewritten(sender)
                local, domain = srs.rsplit("@", 1)
                self.assertEqual(domain, "srs.test")
                self.assertLessEqual(len(local), 64)
                self.assertReply(self.bounce(srs), 250)
                back = self.behind.accepted[-1]
                self.assertEqual(back.sender, "", "a bounce stays a bounce")
                got_local, got_domain = back.recipients[0].rsplit("@", 1)
                want_local, want_domain = sender.rsplit("@", 1)
                self.assertEqual((got_local, got_domain.lower()), (want_local, want_domain.lower()), "§6.18: the case stays")

    def test_null_sender_stays_null(self):
        self.assertEqual(self.rewritten(""), "")

    def test_case_smashed_and_other_separators(self):
        """RL-12, §6.25"""
        srs = self.rewritten("sender@origin.test")
        for form in (srs.lower(), srs.upper(), srs.replace("SRS0=", "SRS0-"), srs.replace("SRS0=", "SRS0+")):
            self.assertReply(self.bounce(form), 250, note=form)
        self.assertEqual({m.recipients[0].lower() for m in self.behind.accepted[1:]}, {"sender@origin.test"})

    def test_forged(self):
        """RL-08: every octet of the hash counts."""
        srs = self.rewritten("sender@origin.test")
        match = re.match(r"SRS0=([^=]+)=(.*)", srs)
        hashed, rest = match.groups()
        self.assertGreaterEqual(len(hashed), 8, "at least 40 bits in base32")
        before = len(self.behind.accepted)
        for at in range(len(hashed)):
            wrong = hashed[:at] + ("A" if hashed[at].upper() != "A" else "B") + hashed[at + 1:]
            self.assertReply(self.bounce(f"SRS0={wrong}={rest}", source=f"127.3.1.{at + 1}"), 550, "5.1.1", note=wrong)
        for form in (f"SRS0={hashed[:4]}={rest}", f"SRS0=={rest}", "SRS0=@srs.test", "SRS0@srs.test", "SRS0=a=b=c=d@srs.test",
                     srs.replace("origin.test", "victim.test"), srs.replace("=sender@", "=other@")):
            self.assertReply(self.bounce(form, source="127.3.2.1"), (550, 501), note=form)
        self.assertEqual(len(self.behind.accepted), before)

    def test_not_for_ordinary_senders(self):
        """RL-11: bounces only."""
        srs = self.rewritten("sender@origin.test")
        self.assertReply(self.bounce(srs, sender="somebody@else.test"), 550, "5.7.1")

    def test_other_addresses_at_the_srs_domain(self):
        for address in ("nobody@srs.test", "sender=origin.test@srs.test"):
            self.assertReply(self.bounce(address), 550)
        for address in ("postmaster@srs.test", "abuse@srs.test", "postmaster@mx.forward.test", "abuse@mx.forward.test"):
            self.assertReply(self.bounce(address, sender="a@origin.test"), 250, note="§6.25")
            self.assertEqual(self.behind.accepted[-1].recipients, ["ops@inbox.test"])

    def test_srs1(self):
        """A sender that another forwarder rewrote becomes SRS1, and its bounce goes to that first forwarder (§6.18)."""
        foreign = "SRS0=abcd=XY=origin.test=sender@first.test"
        srs = self.rewritten(foreign)
        self.assertRegex(srs, r"^SRS1=[^=]+=first\.test==abcd=XY=origin\.test=sender@srs\.test$")
        self.assertReply(self.bounce(srs), 250)
        self.assertEqual(self.behind.accepted[-1].recipients, [foreign])
        third = "SRS1=zzzz=first.test==abcd=XY=origin.test=sender@second.test"
        srs = self.rewritten(third)
        self.assertRegex(srs, r"^SRS1=[^=]+=first\.test==abcd=XY=origin\.test=sender@srs\.test$")

    def test_foreign_srs1_is_no_open_redirect(self):
        """RL-10"""
        for form in ("SRS1=abcd=victim.test==XYZ=AB=origin.test=user@srs.test", "SRS1=abcdabcd=victim.test==x@srs.test"):
            self.assertReply(self.bounce(form), (550, 501), note=form)

    def test_our_own_srs_address_as_sender(self):
        """An address of ours that comes round again is not wrapped for ever."""
        srs = self.rewritten("sender@origin.test")
        again = self.rewritten(srs)
        self.assertLessEqual(len(again.rsplit("@", 1)[0]), 64)

    def test_old_secrets_verify(self):
        srs = self.rewritten("sender@origin.test")
        self.daemon.write("keys/srs.secrets", "a-new-secret-that-signs-now\n" + SRS_SECRET + "\n")
        reload = self.daemon.run("reload")
        self.assertEqual(reload.returncode, 0, reload.stderr)
        self.assertReply(self.bounce(srs), 250)
        self.assertNotEqual(srs, self.rewritten("sender@origin.test"))
        self.daemon.write("keys/srs.secrets", "a-new-secret-that-signs-now\n")
        self.assertEqual(self.daemon.run("reload").returncode, 0)
        self.assertReply(self.bounce(srs, source="127.3.4.1"), 550)

    @unittest.skipIf(subprocess.run(["/usr/bin/python3", "-c", "import SRS"], capture_output=True).returncode, "python3-srs is not installed")
    def test_pysrs_reads_our_sha1_addresses(self):
        """hash = "sha1": what we write a postsrsd reads with the same secret."""
        upstream = self.upstream()
        onward = self.onward({"srs": {"hash": "sha1"}}, upstream=upstream)
        self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message())
        import SRS
        srs = upstream.accepted[0].sender
        self.assertEqual(SRS.new(secret=SRS_SECRET, maxage=21).reverse(srs).lower(), "sender@origin.test")


@unittest.skipIf(postfix.usable(), postfix.usable())
class RealBounce(Case):
    def test_a_bounce_of_postfix_comes_back(self):
        """Postfix takes the message, cannot deliver it, and sends its DSN to our SRS address; we relay it to the sender."""
        origin = self.upstream(addresses=("127.0.0.81",))
        onward = self.onward(start=False)
        broken = self.upstream({"dot": "550 5.2.0 mailbox is broken"}, lmtp=True, strict=False)
        server = self.keep(postfix.Postfix(settings={"virtual_transport": f"lmtp:inet:127.0.0.1:{broken.port}",
                                                     "relayhost": f"[127.0.0.1]:{onward.port}"}))
        onward.settings["route"] = [{"domain": "inbox.test", "via": server.via}, {"domain": "origin.test", "via": origin.via}]
        onward.write_config()
        onward.start()
        self.assertSent(onward.client(), "sender@origin.test", "alice@fwd.test", message("will bounce\r\n"))
        wait_until(lambda: origin.accepted, "the bounce at the original sender")
        bounce = origin.accepted[0]
        self.assertEqual((bounce.sender, bounce.recipients), ("", ["sender@origin.test"]))
        self.assertIn(b"multipart/report", bounce.data)
        self.assertIn(b"will bounce", bounce.data)


if __name__ == "__main__":
    main()
