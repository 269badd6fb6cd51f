"""DKIM signatures in both directions, with RSA and Ed25519: `dkim_sign_verify.py TOOL`.

What we sign, over generated messages and over the corpus, is verified by dkimpy, Mail::DKIM (which has no Ed25519) and
libopendkim; what dkimpy and libopendkim sign, in all canonicalisations, is verified by us. A message that was changed on
the way must fail everywhere, or the test would prove nothing. ONWARD_SIGN_MESSAGES says how many messages are generated
(60)."""
import base64
import glob
import logging
import os
import subprocess
import sys
import tempfile

import dkim

HERE = os.path.dirname(os.path.abspath(__file__))
CORPUS = os.path.join(HERE, "..", "..", "..", "shared", "conformance", "corpus", "eml")
COUNT = int(os.environ.get("ONWARD_SIGN_MESSAGES", "60"))
BATCH = 200
DOMAIN = b"forward.example"
CANONS = [(header, body) for header in (b"relaxed", b"simple") for body in (b"relaxed", b"simple")]
logging.disable(logging.CRITICAL)


class Work:
    """The folder, and the tool at work in it."""

    def __init__(self, tool, out):
        self.tool, self.out = tool, out
        self.call("keys")
        with open(os.path.join(out, "records"), encoding="ascii") as f:
            self.records = dict(line.rstrip("\n").split(" ", 1) for line in f)

    def call(self, command, *arguments):
        # libopendkim leaks for every Ed25519 signature it makes (libraries.md §1 (f)).
        leaks = {"ASAN_OPTIONS": "detect_leaks=0"} if command == "opendkim-sign" else {}
        done = subprocess.run([self.tool, command, self.out, *arguments], capture_output=True, text=True, errors="replace",
                              env={**os.environ, **leaks})
        if done.returncode != 0:
            raise RuntimeError(f"{command}: {done.stderr[-2000:]}")
        return done.stdout

    def each(self, command, files):
        return "".join(self.call(command, *files[i:i + BATCH]) for i in range(0, len(files), BATCH))

    def files(self, pattern):
        return sorted(glob.glob(os.path.join(self.out, pattern)))

    def verdicts(self, command, files):
        """{file: {selector: word}}"""
        lines = [line.split(" ") for line in self.each(command, files).splitlines()]
        assert len(lines) == len(files), (command, len(lines), len(files))
        return {line[0]: dict(word.split("=", 1) for word in line[1:]) for line in lines}

    def key(self, selector):
        """As dkimpy wants it."""
        with open(os.path.join(self.out, selector + ".pem"), "rb") as f:
            pem = f.read()
        if selector == "rsa":
            return pem
        der = base64.b64decode(b"".join(line for line in pem.splitlines() if not line.startswith(b"-")))
        return base64.b64encode(der[-32:])


def read(file):
    with open(file, "rb") as f:
        return f.read()


def by_dkimpy(work, files):
    def txt(name, timeout=5):
        return work.records.get((name.decode() if isinstance(name, bytes) else name).rstrip("."), "").encode() or None

    said = {}
    for file in files:
        message, said[file] = read(file), {}
        for index, selector in enumerate(("rsa", "ed")):
            try:
                good = dkim.DKIM(message).verify(idx=index, dnsfunc=txt)
            except dkim.DKIMException:
                good = False
            said[file][selector] = "pass" if good else "fail"
    return said


def by_mail_dkim(work, files):
    said = {}
    for start in range(0, len(files), BATCH):
        done = subprocess.run(["perl", os.path.join(HERE, "dkim_sign_verify.pl"), os.path.join(work.out, "records"),
                               *files[start:start + BATCH]], capture_output=True, text=True, errors="replace", check=True)
        for line in done.stdout.splitlines():
            file, word = line.split(" ", 1)
            said[file] = {"rsa": word}
    assert sorted(said) == sorted(files)
    return said


def sign_with_dkimpy(work, files):
    """FILE.py-SELECTOR, in the four canonicalisations in turn."""
    for selector, algorithm in (("rsa", b"rsa-sha256"), ("ed", b"ed25519-sha256")):
        key = work.key(selector)
        for number, file in enumerate(files):
            message = read(file)
            field = dkim.sign(message, selector.encode(), DOMAIN, key, canonicalize=CANONS[number % 4],
                              signature_algorithm=algorithm)
            with open(f"{file}.py-{selector}", "wb") as f:
                f.write(field + message)


def changed(files):
    """Copies whose body got a word."""
    out = []
    for file in files:
        out.append(file + ".changed")
        with open(out[-1], "wb") as f:
            f.write(read(file) + b"changed\r\n")
    return out


class Table:
    def __init__(self):
        self.failed = 0

    def row(self, name, said, spoilt, selectors):
        """All of `said` pass for each selector, none of `spoilt` does. A verifier may have no opinion of a message."""
        cases = [(file, selector, words.get(selector)) for file, words in said.items() for selector in selectors]
        none = [case for case in cases if case[2] == "none"]
        wrong = [case for case in cases if case[2] not in ("pass", "none")]
        wrong += [(file, selector, "passes though it was changed") for file, words in spoilt.items()
                  for selector in selectors if words.get(selector) == "pass"]
        for case in wrong[:10]:
            print(f"{name}: {case}")
        self.failed += len(wrong)
        print(f"[ SCORE    ] {name}: cases {len(cases)}, passed {len(cases) - len(none) - len(wrong)}, overruled 0, "
              f"not scored {len(none)}, failed {len(wrong)}")


def main(tool):
    corpus = sorted(glob.glob(os.path.join(CORPUS, "*", "*")))
    table = Table()
    with tempfile.TemporaryDirectory() as out:
        work = Work(tool, out)
        work.call("messages", str(COUNT))
        plain = work.files("*.eml")
        assert len(plain) == COUNT

        work.each("sign", plain + corpus)
        ours = work.files("*.ours")
        assert len(ours) >= COUNT + len(corpus) * 9 // 10, (len(ours), len(corpus))
        spoilt = changed(ours[:20])
        for name, verify, selectors in (("dkimpy", by_dkimpy, ("rsa", "ed")), ("Mail::DKIM", by_mail_dkim, ("rsa",)),
                                        ("libopendkim", lambda w, f: w.verdicts("opendkim-verify", f), ("rsa", "ed"))):
            table.row(f"signed by us, verified by {name}", verify(work, ours), verify(work, spoilt), selectors)

        sign_with_dkimpy(work, plain)
        work.each("opendkim-sign", plain)
        for name, mark in (("dkimpy", "py"), ("libopendkim", "od")):
            said, bad = {}, {}
            for selector in ("rsa", "ed"):
                files = work.files(f"*.{mark}-{selector}*")
                assert len(files) == COUNT, (name, selector, len(files))
                said.update({file: {"one": words.get(selector)} for file, words in work.verdicts("verify", files).items()})
                bad.update({file: {"one": words.get(selector)}
                            for file, words in work.verdicts("verify", changed(files[:20])).items()})
            table.row(f"signed by {name}, verified by us", said, bad, ("one",))
    return 1 if table.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
