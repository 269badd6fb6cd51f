"""One alias, several destinations, a sender that is not ownable: promise.md C.4, interface.md §6.11. The dots go out
together, and the reply follows the table; what was promised and what arrived is compared (LP-09)."""
import itertools
import threading

from lib.case import Case, main, message
from lib.upstream import Close, Until

TEAM = 'name = "fwd.test"\n[[rule]]\naddress = "team"\nto = ["alice@inbox.test", "carol@corp.test"]\n'

DOT = {"2xx": "250 2.0.0 ok", "4xx": "451 4.3.0 later", "5xx": "550 5.7.1 refused", "unknown": Close()}


class FanOut(Case):
    def two(self, first, second, **settings):
        self.first, self.second = self.upstream(first), self.upstream(second)
        return self.onward({"route": [{"domain": "inbox.test", "via": self.first.via},
                                      {"domain": "corp.test", "via": self.second.via}], **settings},
                           domains={"fwd.test.toml": TEAM})

    def send(self, onward):
        return onward.client().transaction("sender@origin.test", "team@fwd.test", message())

    def test_all_pairs_of_outcomes(self):
        expected = {
            ("2xx", "2xx"): (250, None), ("5xx", "5xx"): (550, "5.7.1"), ("2xx", "5xx"): (554, "5.6.0"), ("5xx", "2xx"): (554, "5.6.0"),
        }
        wrong = []
        for pair in itertools.product(DOT, repeat=2):
            onward = self.two({"dot": DOT[pair[0]]}, {"dot": DOT[pair[1]]})
            result = self.send(onward)
            code, enhanced = expected.get(pair, (451, None))
            reply = result["data"]
            if reply is None or reply.code != code or (enhanced and reply.enhanced != enhanced):
                wrong.append(f"{pair}: {reply or result['rcpt']}")
            elif "inbox.test" in reply.text or "corp.test" in reply.text:
                wrong.append(f"{pair}: names a destination: {reply}")
            if code == 554 and reply is not None and not ("delivered" in reply.text and "refused" in reply.text):
                wrong.append(f"{pair}: a line each for delivered and refused: {reply}")
            taken = (len(self.first.accepted), len(self.second.accepted))
            if taken != tuple(int(o == "2xx") for o in pair):
                wrong.append(f"{pair}: delivered {taken}")
        self.assertEqual(wrong, [], "\n".join(wrong))

    def test_same_message_to_both(self):
        onward = self.two({}, {})
        self.assertReply(self.send(onward)["data"], 250)
        self.assertEqual(self.first.accepted[0].recipients, ["alice@inbox.test"])
        self.assertEqual(self.second.accepted[0].recipients, ["carol@corp.test"])

    def test_accepted_when_one_accepts(self):
        """§6.11: the refusal is settled after the data."""
        onward = self.two({"rcpt": "550 5.1.1 no such user"}, {})
        result = self.send(onward)
        self.assertReply(result["rcpt"][0], 250)
        self.assertReply(result["data"], 554, "5.6.0")
        self.assertEqual(len(self.second.accepted), 1)

    def test_refused_when_all_refuse(self):
        onward = self.two({"rcpt": "550 5.1.1 first no"}, {"rcpt": "553 5.1.3 second no"})
        reply = self.send(onward)["rcpt"][0]
        self.assertReply(reply, 550, "5.1.1", "upstream")

    def test_deferred_when_one_defers_at_rcpt(self):
        """Not ownable, at least one 4xx: 451 at the end at the latest, and nobody is told 250."""
        onward = self.two({"rcpt": "450 4.2.0 greylisted"}, {})
        result = self.send(onward)
        self.assertReply(result["data"] or result["rcpt"][0], (450, 451))

    def test_a_late_group_makes_it_451(self):
        """C.3.6: not ownable: wait to the deadline, then 451."""
        never = threading.Event()
        onward = self.two({}, {"dot": [Until(never), "250 2.0.0 ok"]}, delivery={"deadline": "4s", "rcpt_patience": "2s"})
        self.assertReply(self.send(onward)["data"], 451)
        never.set()


if __name__ == "__main__":
    main()
