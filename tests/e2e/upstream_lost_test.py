"""The upstream is lost after our dot: UNKNOWN (promise.md C.3.7): 451 4.4.2, `dup_possible` in the log, and no other
address is tried for it (I4)."""
from lib.case import Case, main, message
from lib.upstream import Close, Reset


class UpstreamLost(Case):
    def test_after_the_dot(self):
        for action in (Reset(), Close(), ["250-half", Close()]):
            with self.subTest(action):
                lost, other = self.upstream({"dot": action}, addresses=("127.0.0.71",)), self.upstream(addresses=("127.0.0.72",))
                onward = self.onward({"route": [{"domain": "*", "via": lost.via + other.via}]})
                result = onward.client().transaction("sender@origin.test", "alice@fwd.test", message())
                self.assertReply(result["data"], 451, "4.4.2")
                line = onward.wait_log(event="delivery")[0]
                self.assertIs(line["dup_possible"], True)
                self.assertEqual(line["status"], "deferred")
                self.assertEqual((len(lost.attempts), len(other.attempts)), (1, 0))

    def test_before_the_dot_is_no_such_case(self):
        lost = self.upstream({"body": Reset()})
        onward = self.onward(upstream=lost)
        result = onward.client().transaction("sender@origin.test", "alice@fwd.test", message(("z" * 70 + "\r\n") * 250000))
        self.assertReply(result["data"], 451)
        self.assertIs(onward.wait_log(event="delivery")[0]["dup_possible"], False)

    def test_a_kept_connection_that_died_is_replaced(self):
        """Nothing was said in it yet: a new one is opened, the client notices nothing."""
        upstream = self.upstream()
        onward = self.onward(upstream=upstream)
        client = onward.client()
        self.assertSent(client, "sender@origin.test", "alice@fwd.test", message())
        import socket
        upstream.sessions[0].socket.shutdown(socket.SHUT_RDWR)
        self.assertSent(client, "sender@origin.test", "alice@fwd.test", message())
        self.assertEqual(len(upstream.accepted), 2)


if __name__ == "__main__":
    main()
