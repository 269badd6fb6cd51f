"""Our DKIM signatures, over generated messages and over the corpus, as dkimpy (RSA and Ed25519) and Mail::DKIM (RSA) see
them: `dkim_sign_verify.py TOOL`. A message that was changed on the way must fail, or the test would prove nothing. Exit
code 77: neither of the two is installed."""
import glob
import logging
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CORPUS = os.path.join(HERE, "..", "..", "..", "shared", "conformance", "corpus", "eml")
GENERATED = 400

try:
    import dkim
except ImportError:
    dkim = None
logging.disable(logging.CRITICAL)


def by_dkimpy(files, records):
    """[(file, selector)] that fail."""

    def txt(name, timeout=5):
        return records.get(name.decode().rstrip(".")) if isinstance(name, bytes) else records.get(name.rstrip("."))

    wrong = []
    for file in files:
        with open(file, "rb") as f:
            message = f.read()
        for index, selector in enumerate(("rsa", "ed")):
            try:
                good = dkim.DKIM(message).verify(idx=index, dnsfunc=txt)
            except dkim.DKIMException as error:
                good, selector = False, f"{selector}: {error}"
            if not good:
                wrong.append((file, selector))
    return wrong


def by_mail_dkim(files, records_file):
    """Likewise; None: not installed."""
    wrong = []
    for start in range(0, len(files), 200):
        done = subprocess.run(["perl", os.path.join(HERE, "dkim_sign_verify.pl"), records_file, *files[start : start + 200]],
                              capture_output=True, text=True, errors="replace")
        if done.returncode == 77:
            return None
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        answers = done.stdout.splitlines()
        assert len(answers) == len(files[start : start + 200]), done.stdout
        wrong += [tuple(line.split(" ", 1)) for line in answers if not line.endswith(" pass")]
    return wrong


def changed(file, to):
    """A copy whose body got a word."""
    with open(file, "rb") as f:
        message = f.read()
    with open(to, "wb") as f:
        f.write(message + b"changed\r\n")
    return to


def main(tool):
    corpus = sorted(glob.glob(os.path.join(CORPUS, "*", "*")))
    with tempfile.TemporaryDirectory() as out:
        count = int(subprocess.run([tool, out, str(GENERATED), *corpus], check=True, capture_output=True, text=True).stdout)
        files = sorted(glob.glob(os.path.join(out, "*.eml")))
        assert len(files) == count >= GENERATED * 9 // 10 + len(corpus) * 9 // 10, (count, len(corpus))
        records_file = os.path.join(out, "records")
        with open(records_file, "rb") as f:
            records = dict((line.split(b" ", 1)[0].decode(), line.rstrip(b"\n").split(b" ", 1)[1]) for line in f)
        spoilt = [changed(file, os.path.join(out, f"spoilt{i}")) for i, file in enumerate(files[:20])]
        opinions = 0
        failures = []
        if dkim is not None:
            opinions += 1
            failures += [f"dkimpy: {wrong}" for wrong in by_dkimpy(files, records)]
            assert len(by_dkimpy(spoilt, records)) == 2 * len(spoilt), "dkimpy passes what was changed"
        answers = by_mail_dkim(files, records_file)
        if answers is not None:
            opinions += 1
            failures += [f"Mail::DKIM: {wrong}" for wrong in answers]
            assert len(by_mail_dkim(spoilt, records_file)) == len(spoilt), "Mail::DKIM passes what was changed"
        for failure in failures[:20]:
            print(failure)
        print(f"{count} messages ({len(corpus)} files in the corpus), {opinions} verifiers, {len(failures)} failures")
        if opinions == 0:
            return 77
        return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
