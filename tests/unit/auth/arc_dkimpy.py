"""A second opinion on ARC: reads lines of JSON, {"message": base64, "records": {NAME: TXT}}, and prints for each what
dkimpy says: none, pass or fail. Run by arc_seal_test.cpp. Exit code 77: dkimpy is not installed."""
import base64
import json
import logging
import sys

try:
    import dkim
except ImportError:
    sys.exit(77)

logging.disable(logging.CRITICAL)
for line in sys.stdin:
    case = json.loads(line)

    def txt(name, timeout=5, records=case["records"]):
        return records.get(name.decode().rstrip(".").lower(), "").encode()

    cv, _, _ = dkim.arc_verify(base64.b64decode(case["message"]), dnsfunc=txt)
    print((cv or b"fail").decode())  # None: a seal said cv=fail before
