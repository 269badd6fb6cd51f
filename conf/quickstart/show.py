#!/usr/bin/python3
"""Shows the message that scripts/quickstart sent as the destination received it, and judges it.

The judge is not Onward: Debian's dkimpy verifies the signatures, with the public keys taken from the DNS records that
`onward dkim keygen` printed. Prints one PASS or FAIL line a check; exit 0 only when all pass.

    show.py SENT.eml RECEIVED.eml ENVELOPE.json SENDER RECIPIENT SRS_DOMAIN SIGNER RECORD_FILE...
"""
import json
import re
import sys

import dkim

COLOUR = sys.stdout.isatty()


def paint(text, code):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def read(path):
    with open(path, "rb") as file:
        return file.read()


def fields(message):
    """The header fields as (name, whole field) in their order, folded lines kept."""
    header = message.split(b"\r\n\r\n", 1)[0]
    return [(field.split(b":", 1)[0].decode("latin-1").lower(), field.decode("latin-1"))
            for field in re.split(rb"\r\n(?![ \t])", header)]


def public_keys(paths):
    """selector._domainkey.domain -> record, out of zone-file lines: the quoted strings are one value."""
    keys = {}
    for path in paths:
        text = read(path).decode("ascii")
        name = re.search(r"([\w-]+\._domainkey\.[\w.-]+?)\.?\s", text)
        value = "".join(re.findall(r'"([^"]*)"', text))
        if not name or "p=" not in value:
            sys.exit(f"show.py: no DKIM record in {path}")
        keys[name.group(1)] = value
    return keys


def show(envelope, message, original_length):
    added = len(message) - original_length
    print()
    print(f"  envelope sender     {paint(envelope['mail_from'], '1;33')}")
    print(f"  envelope recipient  {paint(', '.join(envelope['rcpt_tos']), '1;33')}")
    print(f"  came over TLS       {'yes' if envelope['tls'] else 'no'}")
    print()
    position = 0
    for line in message.split(b"\r\n"):
        text = line.decode("utf-8", "replace")
        text = text if len(text) <= 116 else text[:113] + "..."
        mark = paint("+", "32") if position < added else " "
        print(f"  {mark} {paint(text, '32') if position < added else text}".rstrip())
        position += len(line) + 2
    print(f"  ({paint('+', '32')} = added by Onward; everything else is what the sender wrote, octet for octet)")
    print()


def main():
    if len(sys.argv) < 9:
        sys.exit(__doc__)
    sent, message, envelope = read(sys.argv[1]), read(sys.argv[2]), json.loads(read(sys.argv[3]))
    sender, recipient, srs_domain, signer = sys.argv[4:8]
    keys = public_keys(sys.argv[8:])
    sent = re.sub(rb"\r?\n", b"\r\n", sent)

    show(envelope, message, len(sent))
    failed = []

    def check(passed, what):
        print(f"  {paint('PASS', '1;32') if passed else paint('FAIL', '1;31')}  {what}")
        if not passed:
            failed.append(what)

    local_part, _, domain = sender.partition("@")
    srs = re.fullmatch(rf"SRS0=[^=]+=[^=]+={re.escape(domain)}={re.escape(local_part)}@{re.escape(srs_domain)}",
                       envelope["mail_from"] or "", re.IGNORECASE)
    check(srs, f"the envelope sender {sender} was rewritten to our domain (SRS), so SPF will pass there")
    check(envelope["rcpt_tos"] == [recipient], f"the rule sent it to {recipient}")
    check(message.endswith(sent), "header and body of the sender left octet for octet")
    added = fields(message[:len(message) - len(sent)] + b"\r\n") if message.endswith(sent) else fields(message)
    check("received" in [name for name, _ in added], "a Received field says who handed it to us")

    ours = [i for i, field in enumerate(f for n, f in fields(message) if n == "dkim-signature")
            if f"d={signer};" in field.replace(" ", "")]
    check(len(ours) == len(keys), f"{len(keys)} DKIM signatures of {signer} are there")
    for index in ours:
        verifier = dkim.DKIM(message)
        asked = []

        def answer(name, timeout=5):
            asked.append(name.decode().rstrip("."))
            return keys.get(asked[-1], "").encode()

        try:
            good, why = verifier.verify(idx=index, dnsfunc=answer), "the signature does not match"
        except dkim.DKIMException as error:
            good, why = False, str(error)
        kind = verifier.signature_fields.get(b"a", b"?").decode() if verifier.signature_fields else "?"
        check(good, f"DKIM {kind}, key {asked[-1] if asked else '?'}: verified by dkimpy" + ("" if good else f": {why}"))
    sys.exit(1 if failed else 0)


main()
