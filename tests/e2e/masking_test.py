"""Refusals name no hidden destination (UP-08, interface.md §6.10): all spellings, in the modes masked (default), full and
code-only; the whole client stream is searched."""
from lib.case import Case, main, message

RULES = """
name = "fwd.test"
[[rule]]
address = "sales"
to = ["Hidden.Person@private.test"]
[[rule]]
address = "idn"
to = ["somebody@xn--bcher-kva.test"]
"""
SPELLINGS = [
    "<Hidden.Person@private.test>: unknown",
    "<hidden.person@PRIVATE.TEST> unknown",
    '"hidden.person"@private.test unknown',
    "Hidden.Person+40private.test unknown",
    "hidden+2Eperson@private.test unknown",
    "user hidden.person@private.test. is gone",
    "550 at private.test for hidden.person@private.test",
    "rfc822;hidden.person@private.test",
]


class Masking(Case):
    def stream(self, plan, errors=None, recipient="sales@fwd.test"):
        onward = self.onward({"delivery": {"errors": errors} if errors else {}}, upstream=self.upstream(plan),
                             domains={"fwd.test.toml": RULES})
        client = onward.client()
        client.transaction("sender@origin.test", recipient, message())
        return client.received.decode("ascii")

    def test_masked_is_the_default(self):
        for stage in ("rcpt", "dot"):
            for text in SPELLINGS:
                with self.subTest(stage=stage, text=text):
                    stream = self.stream({stage: "550 5.1.1 " + text}).lower()
                    for secret in ("private.test", "hidden.person", "hidden+2eperson"):
                        self.assertNotIn(secret, stream)
                    self.assertIn("sales@fwd.test", stream)

    def test_over_several_lines(self):
        stream = self.stream({"rcpt": "550-5.1.1 The account\r\n550-5.1.1 hidden.person@private.test\r\n550 5.1.1 at private.test is gone"})
        self.assertNotIn("private.test", stream.lower())
        self.assertIn("fwd.test", stream)

    def test_our_srs_address_is_hidden(self):
        plan = {"mail": lambda s, line: b"550 5.1.8 " + line[10:].split(b">")[0] + b"> does not exist\r\n"}
        stream = self.stream(plan)
        self.assertNotIn("SRS0", stream)

    def test_idn_domain(self):
        for text in ("<somebody@xn--bcher-kva.test> no", "somebody@b\xfccher.test no"):
            stream = self.stream({"rcpt": ("550 5.1.1 " + text).encode("utf-8") + b"\r\n"}, recipient="idn@fwd.test")
            self.assertNotIn("cher", stream.lower(), text)

    def test_full(self):
        self.assertIn("Hidden.Person@private.test", self.stream({"rcpt": "550 5.1.1 Hidden.Person@private.test unknown"}, "full"))

    def test_code_only(self):
        stream = self.stream({"rcpt": "550 5.1.1 secret words for Hidden.Person"}, "code-only")
        self.assertIn("550 5.1.1", stream)
        self.assertNotIn("secret words", stream)


if __name__ == "__main__":
    main()
