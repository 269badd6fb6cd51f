"""`onward auth` from outside: all cases of the SPF, DKIM, ARC and rspamd suites through the program itself, with DNS over
the wire, must end as they do in the unit tests, to the letter of the reason: `auth_cli.py ONWARD AUTH_TEST`. Exit code
77: no conformance folder."""
import base64
import concurrent.futures
import json
import os
import queue
import subprocess
import sys
import tempfile

from wire_dns import WireDns, Zone

HERE = os.path.dirname(os.path.abspath(__file__))
SUITES = os.path.join(HERE, "..", "..", "..", "shared", "conformance")
SPF = ("spf-openspf/cases.jsonl", "spf-openspf/cases-rfc4408.jsonl", "spf-mail-auth/cases.jsonl", "spf-blitiri/cases.jsonl")
DKIM = ("dkim-opendkim/cases.jsonl", "dkim-mail-dkim/cases.jsonl", "dkim-dkimpy/cases.jsonl", "dkim-mail-auth/cases.jsonl")
ARC, RSPAMD = "arc-valimail/validate.jsonl", "auth-rspamd/cases.jsonl"
TIME = 1_700_000_000  # as in the unit tests
WORKERS = 8           # they mostly wait
# A name that has no answer stays silent, or has an answer that is none: all the same to SPF.
FAILURES = ("TIMEOUT", "SERVFAIL", "REFUSED")
MUST_OCCUR = ("NOERROR", "NXDOMAIN", *FAILURES, "CNAME", "truncated", "odd name", "blank in a name",
              "several strings", "8-bit")


def octets(text):
    """GUIDE.md §2.1: "\\x96" stands in the JSON as U+0096 and is one octet on the wire."""
    return b"".join(bytes([ord(c)]) if ord(c) < 0x100 else c.encode("utf-8") for c in text)


def spf_zone(names, failure):
    zone = Zone()
    for name, records in names.items():
        name = name.encode("utf-8")
        zone.name(name)
        for kind, values in records.items():
            if kind == "timeout" or kind == "TIMEOUT":
                for value in values:
                    zone.fail(name, "TXT" if value == "TXT" else "*", failure)
                continue
            for value in values:
                if kind == "TXT":
                    zone.txt(name, [octets(part) for part in value])
                elif kind in ("A", "AAAA"):
                    zone.address(name, value)
                elif kind == "MX":
                    zone.host(name, "MX", value[1].encode("utf-8"), value[0])
                elif kind in ("PTR", "CNAME"):
                    zone.host(name, kind, value.encode("utf-8"))
    return zone


def txt_zone(names):
    zone = Zone()
    for name, value in names.items():
        name = name.encode("utf-8")
        if isinstance(value, str):
            zone.fail(name, "TXT", "NXDOMAIN" if value == "NODATA" else value)
        else:
            for text in value:
                zone.txt(name, [text.encode("utf-8")])
    return zone


def rspamd_zone(names):
    zone = Zone()
    for name, records in names.items():
        name = name.encode("utf-8")
        zone.name(name)
        for kind, values in records.items():
            if isinstance(values, str):
                if values != "NODATA":
                    zone.fail(name, kind, values)
                continue
            for value in values:
                if kind == "TXT":
                    zone.txt(name, [value.encode("utf-8")])
                elif kind in ("A", "AAAA"):
                    zone.address(name, value)
                elif kind == "MX":
                    preference, host = value.split(" ", 1)
                    zone.host(name, "MX", host.encode("utf-8"), int(preference))
                elif kind in ("PTR", "CNAME"):
                    zone.host(name, kind, value.encode("utf-8"))
    return zone


class Case:
    def __init__(self, file, entry, zone, arguments, message=None):
        self.file, self.id, self.zone = file, entry["id"], zone
        self.arguments, self.message = arguments, message


def read(file):
    with open(os.path.join(SUITES, file), encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def option(name, value):
    return [b"--" + name + b"=" + value] if value else []


def to_wire(data):
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    return data if data.endswith(b"\r\n") else data + b"\r\n"


def cases():
    for file in SPF:
        for number, entry in enumerate(read(file)):
            yield Case(file, entry, spf_zone(entry["zone"], FAILURES[number % len(FAILURES)]),
                       [b"spf", b"--ip", entry["host"].encode(), b"--time", str(TIME).encode(),
                        *option(b"helo", octets(entry["helo"])), *option(b"mail-from", octets(entry["mailfrom"]))])
    for file in DKIM:
        for entry in read(file):
            time = [b"--time", str(entry["time"]).encode()] if entry["time"] is not None else []
            yield Case(file, entry, txt_zone(entry["dns"]), [b"--ip", b"0.0.0.0", *time],
                       to_wire(base64.b64decode(entry["raw_b64"])))
    for entry in read(ARC):
        yield Case(ARC, entry, txt_zone({name: [text] for name, text in entry["txt_records"].items()}),
                   [b"--ip", b"0.0.0.0", b"--time", str(TIME).encode()], to_wire(entry["message"].encode("utf-8")))
    zones = {}
    for entry in read(RSPAMD):
        file = entry["zone_file"]
        if file not in zones:
            with open(os.path.join(SUITES, "auth-rspamd", file), encoding="utf-8") as f:
                zones[file] = rspamd_zone(json.load(f))
        yield Case(RSPAMD, entry, zones[file],
                   [b"--ip", (entry["client_ip"] or "0.0.0.0").encode(),
                    *option(b"helo", (entry["helo"] or "").encode()), *option(b"mail-from", (entry["mail_from"] or "").encode())],
                   to_wire(base64.b64decode(entry["raw_b64"])))


def in_process(auth_test, folder):
    """{(file, id): what the unit tests were told}. An id may occur twice in a file; then in its order."""
    path = os.path.join(folder, "verdicts")
    done = subprocess.run([auth_test, "--gtest_brief=1", "--gtest_filter=*Conformance*"], capture_output=True, text=True,
                          env={**os.environ, "ONWARD_VERDICTS": path})
    if done.returncode != 0:
        raise RuntimeError(done.stdout[-4000:])
    said = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            said.setdefault((entry["file"], entry["id"]), []).append(entry["said"])
    return said


def differences(want, got):
    """What the program says otherwise. Why DNS did not answer is told in other words by a zone in memory."""
    out = []
    for method, value in want.items():
        other = got.get(method)
        pairs = list(zip(value, other)) if isinstance(value, list) and isinstance(other, list) and len(value) == len(other) \
            else [(value, other)]
        for a, b in pairs:
            if isinstance(a, dict) and isinstance(b, dict):
                waived = {"reason"} if "DNS:" in a.get("reason", "") or a.get("result") == "temperror" else set()
                a = {key: text for key, text in a.items() if key not in waived}
                b = {key: b.get(key) for key in a}
            if a != b:
                out.append(f"{method}: {b}, in the unit tests {a}")
    return out


def run(onward, dns, case, follow, path):
    """(what the program says, what went wrong)"""
    dns.zone, dns.follow = case.zone, follow
    arguments = [os.fsencode(onward), b"auth", *case.arguments, b"--json", b"--dns-server", dns.server.encode()]
    if case.message is not None:
        with open(path, "wb") as file:
            file.write(case.message)
        arguments.append(os.fsencode(path))
    done = subprocess.run(arguments, capture_output=True, timeout=90)
    if done.returncode != 0:
        return None, done.stderr.decode(errors="replace")
    return json.loads(done.stdout), ""


def with_verdicts(everything, said):
    """[(case, what the unit tests say of it)], without the few whose header they refuse."""
    place, out = {}, []
    for case in everything:
        key = (case.file, case.id)
        number = place[key] = place.get(key, -1) + 1
        if key in said:
            out.append((case, said[key][number]))
    return out


def main(onward, auth_test):
    if not os.path.isdir(SUITES):
        print("skipped: ../shared/conformance is absent")
        return 77
    made = [WireDns() for _ in range(WORKERS)]
    servers = queue.Queue()
    for server in made:
        servers.put(server)
    with tempfile.TemporaryDirectory() as folder:
        everything = list(cases())
        todo = with_verdicts(everything, in_process(auth_test, folder))

        def one(number):
            server = servers.get()
            try:
                case, want = todo[number]
                problems = []
                for follow in (True, False) if case.zone.has("CNAME") else (True,):
                    got, error = run(onward, server, case, follow, os.path.join(folder, f"{number}.eml"))
                    problems += [error] if got is None else differences(want, got)
                return problems
            finally:
                servers.put(server)

        failed = 0
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            for (case, _), problems in zip(todo, pool.map(one, range(len(todo)))):
                if problems:
                    failed += 1
                    print(f"{case.file} {case.id}: " + "; ".join(problems))
    seen = {}
    for counts in [server.seen for server in made] + [case.zone.counts for case, _ in todo]:
        for what, number in counts.items():
            seen[what] = seen.get(what, 0) + number
    for server in made:
        server.stop()
    print("DNS: " + ", ".join(f"{what} {number}" for what, number in sorted(seen.items())))
    missing = [what for what in MUST_OCCUR if not seen.get(what)]
    if missing:
        print("did not occur: " + ", ".join(missing))
    print(f"[ SCORE    ] onward auth, as in the unit tests: cases {len(everything)}, passed {len(todo) - failed}, "
          f"overruled 0, not scored {len(everything) - len(todo)}, failed {failed}")
    return 1 if failed or missing or len(todo) < 700 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
