"""A recursive server on loopback that serves the DNS world of one conformance case at a time: UDP with truncation, TCP,
long TXT records in several strings, octets above 0x7f, odd characters in names, CNAMEs, and names that fail or stay
silent. Written by hand, because the usual libraries do not let all of that through."""
import socket
import struct
import threading

TYPES = {"A": 1, "CNAME": 5, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28}
NAMES = {number: name for name, number in TYPES.items()}
RCODES = {"NOERROR": 0, "SERVFAIL": 2, "NXDOMAIN": 3, "REFUSED": 5}
UDP_LIMIT = 1232
STRING = 200


def wire_name(name):
    out = b""
    for label in filter(None, name.split(b".")):
        out += bytes([len(label)]) + label
    return out + b"\0"


def can_be_sent(name):
    return all(0 < len(label) < 64 for label in name.split(b".")) and len(name) < 254


class Zone:
    """Unlisted name: NXDOMAIN; listed name without the type: NODATA. `fails` maps a type, or "*" for those that are not
    listed, to SERVFAIL, REFUSED, NXDOMAIN or TIMEOUT."""

    def __init__(self):
        self.records, self.fails, self.counts = {}, {}, {}

    def name(self, name):
        return self.records.setdefault(name.lower().rstrip(b"."), {})

    def add(self, name, kind, rdata):
        self.name(name).setdefault(kind, []).append(rdata)

    def txt(self, name, strings):
        parts = [s[i:i + STRING] for s in strings for i in range(0, max(len(s), 1), STRING)] or [b""]
        self.add(name, "TXT", b"".join(bytes([len(part)]) + part for part in parts))
        self.count("several strings" if len(parts) > 1 else "one string")
        self.count("8-bit", any(octet > 0x7f for part in parts for octet in part))

    def address(self, name, text):
        family = socket.AF_INET6 if ":" in text else socket.AF_INET
        self.add(name, "AAAA" if ":" in text else "A", socket.inet_pton(family, text))

    def host(self, name, kind, target, preference=None):
        if not can_be_sent(target.rstrip(b".")) and target:
            return
        prefix = b"" if preference is None else struct.pack("!H", preference)
        self.add(name, kind, prefix + wire_name(target))

    def has(self, kind):
        return any(kind in records for records in self.records.values())

    def fail(self, name, kind, how):
        self.name(name)
        self.fails.setdefault(name.lower().rstrip(b"."), {})[kind] = how

    def count(self, what, happened=True):
        self.counts[what] = self.counts.get(what, 0) + bool(happened)

    def answer(self, name, kind, follow):
        """(rcode or TIMEOUT, [(owner, type, rdata)])"""
        chain = []
        for _ in range(12):
            records = self.records.get(name)
            if records is None:
                return "NXDOMAIN", chain
            if kind in records:
                return "NOERROR", chain + [(name, kind, rdata) for rdata in records[kind]]
            fails = self.fails.get(name, {})
            how = fails.get(kind, fails.get("*"))
            if how is not None:
                return how, [] if how == "TIMEOUT" else chain
            if "CNAME" not in records:
                return "NOERROR", chain
            target = read_name(records["CNAME"][0], 0)[0].lower()
            chain.append((name, "CNAME", records["CNAME"][0]))
            if not follow:
                return "NOERROR", chain
            name = target
        return "SERVFAIL", []


def read_name(data, at):
    labels = []
    while data[at] != 0:
        labels.append(data[at + 1:at + 1 + data[at]])
        at += 1 + data[at]
    return b".".join(labels), at + 1


class WireDns:
    """One for each worker; `zone` is replaced between cases. `follow`: whether CNAMEs come with what they lead to."""

    def __init__(self):
        self.zone, self.follow, self.seen = Zone(), True, {}
        while True:
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind(("127.0.0.1", 0))
            self.port = self.udp.getsockname()[1]
            self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                self.tcp.bind(("127.0.0.1", self.port))
                break
            except OSError:
                self.udp.close()
                self.tcp.close()
        self.tcp.listen(64)
        self.server = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._serve_udp, daemon=True).start()
        threading.Thread(target=self._serve_tcp, daemon=True).start()

    def _note(self, what):
        self.seen[what] = self.seen.get(what, 0) + 1

    def _response(self, query, limit):
        """The message, or None: silence."""
        name, end = read_name(query, 12)
        kind, asked = struct.unpack("!H", query[end:end + 2])[0], query[12:end + 4]
        rcode, records = self.zone.answer(name.lower(), NAMES.get(kind, "?"), self.follow)
        self._note(rcode)
        if any(not (chr(octet).isalnum() or octet in b"-_.") for octet in name):
            self._note("odd name")
        if any(octet == 0x20 for octet in name):
            self._note("blank in a name")
        if records and records[0][1] == "CNAME":
            self._note("CNAME")
        if rcode == "TIMEOUT":
            return None
        body = b"".join(wire_name(owner) + struct.pack("!HHIH", TYPES[t], 1, 60, len(rdata)) + rdata
                        for owner, t, rdata in records)
        whole = query[:2] + struct.pack("!HHHHH", 0x8180 | RCODES[rcode], 1, len(records), 0, 0) + asked + body
        if len(whole) <= limit:
            return whole
        self._note("truncated")
        return query[:2] + struct.pack("!HHHHH", 0x8380, 1, 0, 0, 0) + asked

    def _serve_udp(self):
        while True:
            try:
                query, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            response = self._response(query, UDP_LIMIT)
            if response is not None:
                self.udp.sendto(response, peer)

    def _serve_tcp(self):
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection):
        with connection:
            connection.settimeout(10)
            try:
                data = b""
                while len(data) < 2 or len(data) < 2 + struct.unpack("!H", data[:2])[0]:
                    more = connection.recv(4096)
                    if not more:
                        return
                    data += more
                response = self._response(data[2:], 65535)
                if response is not None:
                    connection.sendall(struct.pack("!H", len(response)) + response)
            except OSError:
                pass

    def stop(self):
        self.udp.close()
        self.tcp.close()
