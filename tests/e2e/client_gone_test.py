"""The client leaves before it heard an answer: no dot is sent for it (promise.md I3, C.3.4), also when TLS ends without
close_notify (TL-08); nothing is left behind upstream."""
import threading

from lib.case import Case, main, message
from lib.upstream import Until
from lib.wait import wait_until


class ClientGone(Case):
    def leave(self, how, at, tls=False):
        release, reached = threading.Event(), threading.Event()

        def hold(session, line):
            reached.set()
            return [Until(release)]
        # Held in the middle of the relay: the upstream's 354 comes when the client has left already.
        upstream = self.upstream({"data": lambda s, line: hold(s, line) + ["354 go ahead"]})
        onward = self.onward(upstream=upstream, tls=tls)
        client = onward.client()
        if tls:
            client.starttls()
            client.ehlo()
        client.mail("sender@origin.test")
        self.assertReply(client.rcpt("alice@fwd.test"), 250)
        self.assertReply(client.cmd("DATA"), 354)
        content = message("x" * 60 + "\r\n")
        if at == "content":
            client.send(content)
        else:
            client.send(content + b".\r\n")
            self.assertTrue(reached.wait(20), "DATA at the upstream")
        if how == "reset":
            client.reset()
        else:
            if tls and how == "raw close":
                raw = client.socket.detach()
                import socket
                socket.socket(fileno=raw).close()
            else:
                client.close()
        # The client's end must have reached the daemon before the upstream goes on.
        wait_until(lambda: self.peer_closed(onward), "the daemon to see the end")
        release.set()
        upstream.wait_idle(40)
        return upstream

    def peer_closed(self, onward):
        """No established connection to the listener is left (as the kernel sees it)."""
        wanted = f"{onward.port:04X}"
        with open("/proc/net/tcp", encoding="ascii") as f:
            for line in f.readlines()[1:]:
                fields = line.split()
                if fields[1].endswith(":" + wanted) and fields[3] == "01":
                    return False
        return True

    def test_reset_after_the_dot(self):
        self.assertEqual(self.leave("reset", "dot").accepted, [])

    def test_fin_after_the_dot(self):
        self.assertEqual(self.leave("close", "dot").accepted, [])

    def test_gone_in_the_content(self):
        for how in ("reset", "close"):
            with self.subTest(how):
                self.assertEqual(self.leave(how, "content").accepted, [])

    def test_tls_without_close_notify(self):
        """TL-08: the content was not ended, so it is no message."""
        self.assertEqual(self.leave("raw close", "content", tls=True).accepted, [])


if __name__ == "__main__":
    main()
