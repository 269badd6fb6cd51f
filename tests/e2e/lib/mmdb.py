#!/usr/bin/python3
"""Writes MMDB files for the tests (MaxMind DB File Format 2.0, which Debian has a reader of and no writer).

    mmdb.py FILE TYPE NETWORK=JSON...    e.g. mmdb.py asn.mmdb GeoLite2-ASN '192.0.2.0/24={"autonomous_system_number": 64500}'

The file is a binary tree over the bits of IPv6 addresses (IPv4 as ::a.b.c.d, as the format has it), the records' values
behind it, and the metadata at the end. Later networks win inside earlier ones, so give the wider ones first. Small files
only: one value is written for each network, without sharing."""
import ipaddress
import json
import struct
import sys
import time

MARKER = b"\xab\xcd\xefMaxMind.com"


class Uint16(int):
    """Written as the format's uint16; a plain int is its uint32."""


class Uint64(int):
    """Written as the format's uint64."""


def _control(kind, size):
    head = b"" if kind <= 7 else bytes([kind - 7])
    first = (kind if kind <= 7 else 0) << 5
    if size < 29:
        return bytes([first | size]) + head
    if size < 29 + 256:
        return bytes([first | 29]) + head + bytes([size - 29])
    return bytes([first | 30]) + head + struct.pack(">H", size - 285)


def _number(kind, value):
    octets = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return _control(kind, len(octets)) + octets


def encode(value):
    if isinstance(value, str):
        octets = value.encode()
        return _control(2, len(octets)) + octets
    if isinstance(value, Uint16):
        return _number(5, value)
    if isinstance(value, Uint64):
        return _number(9, value)
    if isinstance(value, int):
        return _number(6, value)
    if isinstance(value, dict):
        return _control(7, len(value)) + b"".join(encode(k) + encode(v) for k, v in value.items())
    if isinstance(value, list):
        return _control(11, len(value)) + b"".join(encode(v) for v in value)
    raise TypeError(f"no MMDB type for {value!r}")


def _bits(network):
    network = ipaddress.ip_network(network)
    length = network.prefixlen + (96 if network.version == 4 else 0)
    address = int(network.network_address)
    return [address >> (127 - i) & 1 for i in range(length)]


def build(kind, networks):
    """networks: {"192.0.2.0/24": value}. The file's octets."""
    tree, data = [[None, None]], b""  # a side is None, a node's index, or ("data", offset)
    for network, value in networks.items():
        node, bits = 0, _bits(network)
        for bit in bits[:-1]:
            side = tree[node][bit]
            if not isinstance(side, int):
                tree.append([side, side])  # what stood for the whole goes on standing for both halves
                side = tree[node][bit] = len(tree) - 1
            node = side
        tree[node][bits[-1]] = ("data", len(data))
        data += encode(value)
    count = len(tree)

    def record(side):
        if side is None:
            return count
        return side if isinstance(side, int) else count + 16 + side[1]

    nodes = b"".join(record(side).to_bytes(4, "big") for node in tree for side in node)
    metadata = {"node_count": count, "record_size": Uint16(32), "ip_version": Uint16(6), "database_type": kind,
                "languages": ["en"], "binary_format_major_version": Uint16(2), "binary_format_minor_version": Uint16(0),
                "build_epoch": Uint64(time.time()), "description": {"en": "made by the tests"}}
    return nodes + b"\0" * 16 + data + MARKER + encode(metadata)


def write(path, kind, networks):
    with open(path, "wb") as f:
        f.write(build(kind, networks))


def country(networks):
    """{"192.0.2.0/24": "XX"} in the form of GeoLite2-Country."""
    return build("GeoLite2-Country", {n: {"country": {"iso_code": code}} for n, code in networks.items()})


def asn(networks):
    """{"192.0.2.0/24": 64500} in the form of GeoLite2-ASN."""
    return build("GeoLite2-ASN", {n: {"autonomous_system_number": number, "autonomous_system_organization": "Example"}
                                  for n, number in networks.items()})


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    write(sys.argv[1], sys.argv[2], {n: json.loads(v) for n, v in (a.split("=", 1) for a in sys.argv[3:])})
