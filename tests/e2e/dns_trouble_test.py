"""DNS that fails or lies: 451 4.4.3 and never a 5xx (DN-02, DN-03, DN-05, interface.md §4), and no crash."""
import dnslib

from lib.case import Case, main, message

RULES = "name = 'fwd.test'\n[[rule]]\naddress = 'trouble'\nto = ['user@trouble.test']\n"


def answer(request, *records, rcode=0, tc=0):
    reply = request.reply()
    reply.header.rcode, reply.header.tc = rcode, tc
    for name, kind, data in records:
        reply.add_answer(*dnslib.RR.fromZone(f"{name} 60 {kind} {data}"))
    return reply


class DnsTrouble(Case):
    def relay(self, respond, port=1):
        """respond(request, name, type, over_tcp) -> list of packets."""
        dns = self.hostile_dns(lambda request, tcp: respond(request, str(request.q.qname).rstrip(".").lower(),
                                                            dnslib.QTYPE[request.q.qtype], tcp))
        self.nameserver = dns
        return self.onward({"delivery": {"port": port}, "dns": {"servers": [dns.server], "timeout": "1s", "attempts": 2}},
                           domains={"fwd.test.toml": RULES})

    def verdict(self, onward, name="trouble"):
        client = onward.client()
        client.mail("sender@origin.test")
        reply = client.rcpt(f"{name}@fwd.test")
        client.close()
        return reply

    def test_errors(self):
        """DN-05"""
        for name, respond in {
            "servfail": lambda q, n, t, tcp: [answer(q, rcode=2).pack()],
            "refused": lambda q, n, t, tcp: [answer(q, rcode=5).pack()],
            "silence": lambda q, n, t, tcp: [],
            "truncated, no TCP answer": lambda q, n, t, tcp: [] if tcp else [answer(q, tc=1).pack()],
            "half a header": lambda q, n, t, tcp: [q.pack()[:7]],
            "bad pointer": lambda q, n, t, tcp: [answer(q).pack()[:12].replace(b"\0\0", b"\0\1", 1) + b"\xc0\xff" + b"\0\x0f\0\1" * 9],
            "short MX": lambda q, n, t, tcp: [self.short_mx(q)],
            "noise": lambda q, n, t, tcp: [q.pack()[:2] + b"\x81\x80" + bytes(range(256))],
        }.items():
            with self.subTest(name):
                onward = self.relay(respond)
                self.assertReply(self.verdict(onward), 451, "4.4.3")

    def short_mx(self, request):
        wire = answer(request, (str(request.q.qname), "MX", "10 m.test.")).pack()
        if request.q.qtype != dnslib.QTYPE.MX:
            return answer(request, rcode=2).pack()
        cut = wire.rindex(b"\0\x0a\x01m") - 2  # RDLENGTH in front of the preference
        return wire[:cut] + b"\0\1\0"

    def test_cname_loops(self):
        """DN-03: stop after a few."""
        chain = self.relay(lambda q, n, t, tcp: [answer(q, (n + ".", "CNAME", "x" + n[-60:] + ".")).pack()])
        self.assertReply(self.verdict(chain), 451, "4.4.3")
        self.assertLess(len(self.nameserver.questions), 60)
        loop = self.relay(lambda q, n, t, tcp: [answer(q, (n + ".", "CNAME", n + ".")).pack()])
        self.assertReply(self.verdict(loop), 451, "4.4.3")

    def test_wrong_answers_are_ignored(self):
        """DN-02: wrong id, wrong question; then the right one."""
        behind = self.upstream(addresses=("127.0.0.95",))

        def respond(q, n, t, tcp):
            wrong_id = answer(q, (n + ".", "A", "127.0.0.96"))
            wrong_id.header.id ^= 1
            other = dnslib.DNSRecord.question("other.test", t)
            other.header.id = q.header.id
            wrong_question = answer(other, ("other.test.", "A", "127.0.0.96"))
            right = {"MX": answer(q, (n + ".", "MX", "10 mx.right.test.")), "A": answer(q, (n + ".", "A", "127.0.0.95"))}.get(t, answer(q))
            return [wrong_id.pack(), wrong_question.pack(), right.pack()]
        onward = self.relay(respond, behind.port)
        self.assertReply(self.verdict(onward), 250)

    def test_truncated_then_tcp(self):
        behind = self.upstream(addresses=("127.0.0.95",))

        def respond(q, n, t, tcp):
            if not tcp:
                return [answer(q, tc=1).pack()]
            return [{"MX": answer(q, (n + ".", "MX", "10 mx.tcp.test.")), "A": answer(q, (n + ".", "A", "127.0.0.95"))}.get(t, answer(q)).pack()]
        onward = self.relay(respond, behind.port)
        self.assertReply(self.verdict(onward), 250)
        self.assertIn("tcp", {how for _, _, how in self.nameserver.questions})

    def test_answers_are_kept(self):
        """The cache: the second message asks nothing again."""
        behind = self.upstream(addresses=("127.0.0.95",))
        onward = self.relay(lambda q, n, t, tcp: [{"MX": answer(q, (n + ".", "MX", "10 mx.kept.test.")),
                                                   "A": answer(q, (n + ".", "A", "127.0.0.95"))}.get(t, answer(q)).pack()], behind.port)
        self.assertReply(self.verdict(onward), 250)
        before = len([q for q in self.nameserver.questions if q[1] in ("MX", "A")])
        for _ in range(3):
            self.assertSent(onward.client(), "sender@origin.test", "trouble@fwd.test", message())
        self.assertEqual(len([q for q in self.nameserver.questions if q[1] in ("MX", "A")]), before)

    def test_second_server(self):
        dead = self.hostile_dns(lambda q, tcp: [])
        good = self.dns("trouble.test. MX 10 mx.trouble.test.\nmx.trouble.test. A 127.0.0.95\n")
        behind = self.upstream(addresses=("127.0.0.95",))
        onward = self.onward({"delivery": {"port": behind.port}, "dns": {"servers": [dead.server, good.server], "timeout": "1s"}},
                             domains={"fwd.test.toml": RULES})
        self.assertReply(self.verdict(onward), 250)


if __name__ == "__main__":
    main()
