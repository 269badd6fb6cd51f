"""Python's email package on DSNs of ours: every file of a folder is parsed, held to the grammar, and printed as one line of
JSON, in the order of their names. Run by dsn_test.cpp. The name says what may be in it: "7bit" or "8bit", "ascii" or
"utf8" (header)."""
import base64
import email
import email.policy
import json
import os
import quopri
import re
import sys


def fail(path, what):
    sys.exit(f"{path}: {what}")


def contents(raw, message):
    """The decoded octets of each part, cut out by its boundary: the package takes every message/... for a message."""
    mark = b"\r\n--" + message.get_boundary().encode("ascii")
    pieces = (b"\r\n" + raw.split(b"\r\n\r\n", 1)[1]).split(mark)
    if pieces[0] or pieces[-1] != b"--\r\n" or not all(piece.startswith(b"\r\n") for piece in pieces[1:-1]):
        raise ValueError("the boundaries are not in order")
    out = []
    for piece in pieces[1:-1]:
        header, _, content = piece[2:].partition(b"\r\n\r\n")
        encoding = email.message_from_bytes(header)["Content-Transfer-Encoding"]
        decode = {"quoted-printable": quopri.decodestring, "base64": base64.b64decode}.get(encoding, bytes)
        out.append(decode(content))
    return out


def blocks(text):
    """The fields of a delivery status, a list a block."""
    parsed = [email.message_from_string(block) for block in text.replace("\r\n", "\n").strip("\n").split("\n\n")]
    if any(block.defects for block in parsed):
        raise ValueError("defects in a block of the delivery status")
    return [[[name, " ".join(str(value).split())] for name, value in block.items()] for block in parsed]


def check(path):
    with open(path, "rb") as f:
        raw = f.read()
    if b"\r" in raw.replace(b"\r\n", b"") or b"\n" in raw.replace(b"\r\n", b"") or b"\0" in raw:
        fail(path, "a bare CR or LF, or NUL")
    lines = raw.split(b"\r\n")
    if max(map(len, lines)) > 998:
        fail(path, "a line above 998 octets")
    header, body = raw.split(b"\r\n\r\n", 1)
    if "7bit" in path and max(body) > 127:
        fail(path, "8-bit octets in a 7-bit body")
    if "ascii" in path and max(header) > 127:
        fail(path, "8-bit octets in the header")
    message = email.message_from_bytes(raw, policy=email.policy.compat32)
    for part in [message] + message.get_payload():  # what came back may be as wrong as it likes
        if part.defects:
            fail(path, f"defects: {part.defects} in {part.get_content_type()}")
    if message.get_content_type() != "multipart/report" or message.get_param("report-type") != "delivery-status":
        fail(path, f"content type {message['Content-Type']}")
    parts = message.get_payload()
    if len(parts) != 3:
        fail(path, f"{len(parts)} parts")
    if message.preamble or (message.epilogue or "").strip():
        fail(path, "text outside of the parts")
    text, status, original = contents(raw, message)
    text = text.decode(parts[0].get_content_charset())
    status = blocks(status.decode("utf-8"))
    for name in ("Reporting-MTA", "Arrival-Date"):
        if [field for field, _ in status[0]].count(name) != 1:
            fail(path, f"{name} in the per-message fields")
    for block in status[1:]:
        for name in ("Final-Recipient", "Action", "Status"):
            if [field for field, _ in block].count(name) != 1:
                fail(path, f"{name} in the per-recipient fields")
        fields = dict(block)
        if not re.fullmatch(r"[245]\.\d{1,3}\.\d{1,3}", fields["Status"]):
            fail(path, f"Status {fields['Status']}")
    return {
        "header": [[name, " ".join(str(value).split())] for name, value in message.items() if name != "To"],
        "types": [part.get_content_type() for part in parts],
        "encodings": [part["Content-Transfer-Encoding"] for part in parts],
        "text": text,
        "status": status,
        "original": original.decode("latin-1"),
    }


def main():
    folder = sys.argv[1]
    for name in sorted(os.listdir(folder)):
        print(json.dumps(check(os.path.join(folder, name))))


if __name__ == "__main__":
    main()
