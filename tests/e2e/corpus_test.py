"""Every message of ../shared/conformance/corpus through one Onward: it arrives unchanged below what we add, or is refused
with the reply its defect calls for. Signatures that held before still hold behind us: those with known keys (the DKIM
suites, and every fourth message signed here by dkimpy) by verification, the others by what they cover.

    corpus_test.py --table FILE    also writes the counts as a table (docs/corpus.md)
"""
import base64
import collections
import concurrent.futures
import hashlib
import json
import os
import re
import sys
import unittest

import dkim
import dkim.canonicalization
import dkim.util

from lib import keys
from lib.case import Case

CONFORMANCE = os.environ.get("ONWARD_CONFORMANCE", os.path.join(os.path.dirname(__file__), "../../../shared/conformance"))
CORPUS = os.path.join(CONFORMANCE, "corpus")
RULES = 'name = "fwd.test"\n[[rule]]\npattern = "m([0-9]+)"\nto = ["m$1@inbox.test"]\n'
WORKERS = 8


def crlf(data):
    """As it goes onto the wire: lone LF and CR become CRLF, and the last line ends."""
    data = re.sub(rb"\r\n|\r|\n", b"\r\n", data)
    return data if data.endswith(b"\r\n") or not data else data + b"\r\n"


def defect(data):
    """What is wrong with a message, by rules written here from RFC 5322 and threats.md, not taken from the program."""
    if b"\0" in data:
        return "NUL"
    if data.startswith(b"\r\n"):
        section = b""
    else:
        end = data.find(b"\r\n\r\n")
        section = data if end < 0 else data[:end + 2]
    fields = received = 0
    for number, line in enumerate(section.split(b"\r\n")[:-1]):
        if line[:1] in (b" ", b"\t"):
            if number == 0 or not line.strip(b" \t"):
                return "malformed header"
            continue
        name, colon, _ = line.partition(b":")
        if not colon or not name or any(c <= 32 or c >= 127 for c in name):
            return "malformed header"
        fields += 1
        received += name.lower() == b"received"
    if len(section) > 256 * 1024 or fields > 1000:
        return "header too large"
    if received > 50:
        return "more than 50 Received"
    if len(data) > 26214400:
        return "too big"
    return None


REFUSAL = {"NUL": "550 5.6.0", "malformed header": "550 5.6.0", "header too large": "552 5.3.4", "more than 50 Received": "554 5.4.6",
           "too big": "552 5.3.4"}
OURS = {"dkim-signature", "delivered-to", "received", "authentication-results"}


def covered(data):
    """For each DKIM signature of a message, the octets it covers (its fields and its body), or None where that can't be
    said. A list from the top."""
    try:
        headers, body = dkim.rfc822_parse(data)
    except (dkim.MessageFormatError, IndexError):
        return []
    out = []
    for name, value in headers:
        if name.lower() != b"dkim-signature":
            continue
        try:
            tags = dkim.util.parse_tag_value(value)
            policy = dkim.canonicalization.CanonicalizationPolicy.from_c_value(tags.get(b"c", b"simple/simple"))
            names = [n.strip().lower() for n in tags[b"h"].split(b":")]
            chosen = dkim.select_headers(policy.canonicalize_headers(headers), names)
            digest = hashlib.sha256(policy.canonicalize_body(body)[:int(tags[b"l"]) if b"l" in tags else None]).digest()
            out.append((tags.get(b"b"), tuple(chosen), digest))
        except (dkim.DKIMException, dkim.util.InvalidTagValueList, dkim.canonicalization.InvalidCanonicalizationPolicyError,
                KeyError, ValueError):
            out.append(None)
    return out


def passing(data, dns, skip=0):
    """Which signatures of a message verify: their b= values. `skip`: our own ones on top."""
    out = []
    try:
        verifier = dkim.DKIM(data, minkey=512)
        count = len([1 for n, _ in verifier.headers if n.lower() == b"dkim-signature"])
    except dkim.DKIMException:
        return out
    for index in range(skip, count):
        try:
            if dkim.DKIM(data, minkey=512).verify(idx=index, dnsfunc=dns):
                out.append(index - skip)
        except Exception:  # dkimpy raises all sorts of things on hostile messages; none of them is a pass
            pass
    return out


class Sent:
    def __init__(self, name, origin, data):
        self.name, self.origin, self.data = name, origin, data
        self.dns, self.before = None, []
        self.reply = self.arrived = None


def load():
    """The corpus, every fourth message once more with signatures of dkimpy, and the messages of the DKIM suites."""
    out = []
    with open(os.path.join(CORPUS, "index.jsonl"), encoding="utf-8") as f:
        index = [json.loads(line) for line in f]
    for entry in index:
        with open(os.path.join(CORPUS, entry["path"]), "rb") as f:
            out.append(Sent(entry["path"], entry["origin"], crlf(f.read())))
    with open(os.path.join(keys.folder(), "ow1.ed25519.pem"), encoding="ascii") as f:
        seed = base64.b64encode(base64.b64decode("".join(f.read().splitlines()[1:-1]))[-32:])
    dns = keys.dkim_dns()
    for sent in out[::4]:
        if defect(sent.data) is None:
            simple = len(out) % 2 == 0
            try:
                field = dkim.sign(sent.data, b"ow1e", b"forward.test", seed, signature_algorithm=b"ed25519-sha256",
                                  canonicalize=(b"simple", b"simple") if simple else (b"relaxed", b"relaxed"))
            except (dkim.DKIMException, ValueError, IndexError):  # no From, for example
                continue
            copy = Sent(sent.name + " (signed here)", "signed here by dkimpy", field + sent.data)
            copy.dns = dns
            out.append(copy)
    for suite in sorted(d for d in os.listdir(CONFORMANCE) if d.startswith("dkim-")):
        with open(os.path.join(CONFORMANCE, suite, "cases.jsonl"), encoding="utf-8") as f:
            for case in map(json.loads, f):
                copy = Sent(case["id"], suite, crlf(base64.b64decode(case["raw_b64"])))
                records = {k.rstrip(".").lower(): v[0] for k, v in case["dns"].items() if isinstance(v, list) and v}
                copy.dns = keys.dkim_dns(records)
                out.append(copy)
    return out


@unittest.skipUnless(os.path.exists(CORPUS), "../shared/conformance is not there")
class Corpus(Case):
    table_file = None

    def test_corpus(self):
        upstream = self.upstream(keywords=("PIPELINING", "8BITMIME", "SIZE 104857600", "SMTPUTF8"))
        onward = self.onward({"threads": 2, "limits": {"connections_per_ip": 100}, "log": {"level": "info"}}, upstream=upstream,
                             domains={"fwd.test.toml": RULES})
        sent = load()
        for message in sent:
            if message.dns:
                message.before = passing(message.data, message.dns)

        def work(worker):
            client, source = None, 0
            for number in range(worker, len(sent), WORKERS):
                if client is None:
                    source += 1
                    client = onward.client(source=f"127.{worker + 100}.{source // 250}.{source % 250 + 1}")
                result = client.transaction(f"n{number}@origin.test", f"m{number}@fwd.test", sent[number].data)
                sent[number].reply = result["data"] or (result["rcpt"] or [result["mail"]])[0]
                if sent[number].reply.code != 250:  # refusals slow a session down (RL-13): take a new one
                    client.close()
                    client = None
            if client is not None:
                client.quit()
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(work, range(WORKERS)))
        wrong, doubles = [], collections.Counter()
        for message in upstream.accepted:
            number = int(re.match(r"m(\d+)@", message.recipients[0]).group(1))
            doubles[number] += 1
            sent[number].arrived = message.data
        wrong += [f"{sent[n].name}: delivered {count} times" for n, count in doubles.items() if count > 1]
        table = collections.defaultdict(collections.Counter)
        for message in sent:
            self.judge(message, table[message.origin], wrong)
        self.report(table, sent)
        self.assertEqual(wrong, [], f"{len(wrong)} of {len(sent)}:\n" + "\n".join(wrong[:40]))
        self.assertGreater(sum(row["signatures"] for row in table.values()), 100, "signatures were really checked")

    def judge(self, message, row, wrong):
        row["messages"] += 1
        bad = defect(message.data)
        if bad is not None:
            row["refused"] += 1
            row[bad] += 1
            if message.reply.short != REFUSAL[bad] or message.arrived is not None:
                wrong.append(f"{message.name}: {bad}, but {message.reply}")
            return
        if message.reply.code != 250:
            wrong.append(f"{message.name}: nothing wrong with it, but {message.reply}")
            return
        if message.arrived is None:
            wrong.append(f"{message.name}: 250 and not delivered")
            return
        try:
            fields = self.assertOriginalKept(message.data, message.arrived)
        except AssertionError as error:
            wrong.append(f"{message.name}: {error}")
            return
        strange = [n for n, _ in fields if n.lower() not in OURS]
        if strange:
            wrong.append(f"{message.name}: fields added: {strange}")
        row["unchanged"] += 1
        own = sum(n.lower() == "dkim-signature" for n, _ in fields)
        before, after = covered(message.data), covered(message.arrived)[own:]
        if before != after:
            wrong.append(f"{message.name}: what the signatures cover changed")
        row["signatures"] += len([b for b in before if b is not None])
        if message.dns:
            still = passing(message.arrived, message.dns, own)
            row["verified"] += len(message.before)
            if still != message.before:
                wrong.append(f"{message.name}: verified {message.before} before and {still} behind us")

    def report(self, table, sent):
        head = ("messages", "unchanged", "refused", "malformed header", "signatures", "verified")
        lines = ["| origin | " + " | ".join(head) + " |", "| --- |" + " ---: |" * len(head)]
        total = collections.Counter()
        for origin in sorted(table):
            total.update(table[origin])
            lines.append(f"| {origin} | " + " | ".join(str(table[origin][h]) for h in head) + " |")
        lines.append("| **all** | " + " | ".join(f"**{total[h]}**" for h in head) + " |")
        print("\n".join(lines))
        if self.table_file:
            refusals = collections.Counter(m.reply.short for m in sent if m.reply.code != 250)
            with open(self.table_file, "w", encoding="utf-8") as f:
                f.write(TEXT.format(table="\n".join(lines), count=len(sent),
                                    refusals="\n".join(f"- `{r}`: {n}" for r, n in sorted(refusals.items()))))


TEXT = """# The corpus, relayed

Made by `tests/e2e/corpus_test.py --table docs/corpus.md`: {count} messages of `../shared/conformance` go through one Onward
and are compared octet by octet at the other end.

- *unchanged*: everything the client sent arrived as it was, below the fields we put on top.
- *refused*: the header is no header (a line without a colon, a first line that is folded, a blank before the colon): mail
  systems read such messages in different ways, so nobody could say what a signature or a policy covers (threats SM-06).
- *signatures*: DKIM signatures whose covered octets (chosen fields and body) were compared before and after.
- *verified*: signatures that dkimpy could verify with their keys before, and did verify behind us. All of them did.

{table}

Replies to the refused ones:

{refusals}
"""


if __name__ == "__main__":
    if "--table" in sys.argv:
        at = sys.argv.index("--table")
        Corpus.table_file = sys.argv[at + 1]
        del sys.argv[at:at + 2]
    unittest.main(verbosity=2, warnings="ignore")
