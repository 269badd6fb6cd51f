"""Keys and certificates, made once for a process: DKIM keys with their TXT records, and a certificate for TLS."""
import atexit
import base64
import os
import shutil
import ssl
import subprocess
import tempfile

_folder = None


def _openssl(*arguments):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout


def folder():
    global _folder
    if _folder is None:
        _folder = tempfile.mkdtemp(prefix="onward-e2e-keys-")
        atexit.register(shutil.rmtree, _folder, ignore_errors=True)
        rsa, ed = os.path.join(_folder, "ow1.rsa.pem"), os.path.join(_folder, "ow1.ed25519.pem")
        _openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", rsa)
        _openssl("genpkey", "-algorithm", "ED25519", "-out", ed)
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                 "-keyout", os.path.join(_folder, "key.pem"), "-out", os.path.join(_folder, "cert.pem"),
                 "-subj", "/CN=mx.forward.test", "-addext", "subjectAltName=DNS:mx.forward.test,DNS:inbox.test")
        for name in os.listdir(_folder):
            os.chmod(os.path.join(_folder, name), 0o600)
    return _folder


def dkim_txt():
    """{query name: TXT record} for both of our selectors at forward.test."""
    rsa = _openssl("pkey", "-in", os.path.join(folder(), "ow1.rsa.pem"), "-pubout", "-outform", "DER")
    ed = _openssl("pkey", "-in", os.path.join(folder(), "ow1.ed25519.pem"), "-pubout", "-outform", "DER")[-32:]
    return {
        "ow1._domainkey.forward.test": "v=DKIM1; k=rsa; p=" + base64.b64encode(rsa).decode(),
        "ow1e._domainkey.forward.test": "v=DKIM1; k=ed25519; p=" + base64.b64encode(ed).decode(),
    }


def dkim_dns(extra=None):
    """A dnsfunc for dkimpy."""
    records = dict(dkim_txt(), **(extra or {}))

    def ask(name, timeout=5):
        name = name.decode() if isinstance(name, bytes) else name
        text = records.get(name.rstrip(".").lower())
        return text.encode() if text is not None else None
    return ask


def tls_server():
    """A context for a scripted upstream."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(folder(), "cert.pem"), os.path.join(folder(), "key.pem"))
    return context
