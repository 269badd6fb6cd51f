"""Certificates for TLS servers: an authority of our own, what it signs, and what it does not."""
import hashlib
import os
import shutil
import ssl
import subprocess
import tempfile


def _openssl(*arguments, cwd=None, data=None):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=cwd, input=data).stdout


_CONFIG = """
[ca]
default_ca = here
[here]
dir = .
database = ./index.txt
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
x509_extensions = server
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
[server]
basicConstraints = CA:FALSE
"""


class Certificates:
    """`authority` is the file to trust. Every pair is (certificate file, key file)."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="onward-certs-")
        self._write("ca.cnf", _CONFIG)
        self._write("index.txt", "")
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                 "-keyout", self.path("ca.key"), "-out", self.path("ca.pem"), "-subj", "/CN=Onward test authority",
                 "-addext", "basicConstraints=critical,CA:TRUE")
        self.authority = self.path("ca.pem")
        self.count = 0

    def path(self, name):
        return os.path.join(self.folder, name)

    def _write(self, name, text):
        with open(self.path(name), "w", encoding="ascii") as f:
            f.write(text)

    def _files(self):
        self.count += 1
        return self.path(f"{self.count}.pem"), self.path(f"{self.count}.key")

    def self_signed(self, name, key=("ec", "ec_paramgen_curve:P-256")):
        certificate, secret = self._files()
        _openssl("req", "-x509", "-newkey", key[0], "-pkeyopt", key[1], "-nodes", "-days", "30", "-keyout", secret,
                 "-out", certificate, "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")
        return certificate, secret

    def issued(self, name, *others, expired=False):
        certificate, secret = self._files()
        names = ",".join(f"DNS:{n}" for n in (name, *others))
        request = _openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                           secret, "-subj", f"/CN={name}", "-addext", f"subjectAltName={names}")
        dates = ["-startdate", "20200101000000Z", "-enddate", "20210101000000Z"] if expired else ["-days", "30"]
        _openssl("ca", "-batch", "-notext", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-in", "/dev/stdin",
                 "-out", certificate, *dates, cwd=self.folder, data=request)
        return certificate, secret

    def chained(self, name, *others, expired=False):
        """As issued(), and the server sends our authority's certificate along."""
        pair = self.issued(name, *others, expired=expired)
        with open(pair[0], "a", encoding="ascii") as chain, open(self.authority, encoding="ascii") as authority:
            chain.write(authority.read())
        return pair

    def stop(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def context(pair):
    """For a server."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*pair)
    return made


def tlsa(pair, usage=3, selector=1, matching=1):
    """The record's data for this certificate."""
    if selector == 1:
        public = _openssl("x509", "-in", pair[0], "-noout", "-pubkey")
        data = _openssl("pkey", "-pubin", "-outform", "DER", data=public)
    else:
        data = _openssl("x509", "-in", pair[0], "-outform", "DER")
    if matching:
        data = hashlib.new({1: "sha256", 2: "sha512"}[matching], data).digest()
    return f"{usage} {selector} {matching} {data.hex()}"
