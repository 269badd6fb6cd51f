"""A byte-exact SMTP client: chooses every octet and where the segments are cut, and holds every reply to the grammar.

A reply that is not exactly one well-formed group (RFC 5321 §4.2: same code on each line, CRLF, at most 512 octets a line,
printable ASCII) raises, so that every test is also a test of what leaves Onward (UP-01)."""
import re
import select
import socket
import ssl
import struct
import time

from .wait import LIMIT

_LINE = re.compile(rb"^([2-5][0-9]{2})(?:([ -])([\t\x20-\x7e]*))?$")
_TAG = re.compile(r"\[([a-z0-9-]+) ([A-Za-z0-9_-]+)\]$")


class Reply:
    def __init__(self, code, lines, raw):
        self.code, self.lines, self.raw = code, lines, raw

    @property
    def enhanced(self):
        match = re.match(r"([245]\.\d{1,3}\.\d{1,3})( |$)", self.lines[0])
        return match.group(1) if match else ""

    @property
    def text(self):
        return "\n".join(self.lines)

    @property
    def slug(self):
        match = _TAG.search(self.lines[-1])
        return match.group(1) if match else ""

    @property
    def id(self):
        match = _TAG.search(self.lines[-1])
        return match.group(2) if match else ""

    @property
    def short(self):
        return f"{self.code} {self.enhanced}".strip()

    def __repr__(self):
        return f"<{self.code} {' / '.join(self.lines)}>"


class Closed(Exception):
    """The server closed or reset the connection where a reply was due."""


class Client:
    def __init__(self, host, port, source=None, timeout=LIMIT):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect((host, port))
        self.buffer = b""
        self.received = b""  # everything the server ever said

    # --- octets -----------------------------------------------------------------------------------------------------
    def send(self, data, cuts=None):
        """Sends `data`, in the segments that `cuts` (offsets) say; cuts=1 sends octet by octet."""
        if isinstance(data, str):
            data = data.encode("latin-1")
        if cuts is None:
            self.socket.sendall(data)
            return
        if isinstance(cuts, int):
            cuts = range(cuts, len(data), cuts)
        last = 0
        for cut in list(cuts) + [len(data)]:
            self.socket.sendall(data[last:cut])
            last = cut

    def _fill(self):
        try:
            data = self.socket.recv(65536)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            raise Closed("reset")
        if not data:
            raise Closed("closed")
        self.buffer += data
        self.received += data

    def line(self):
        while b"\r\n" not in self.buffer:
            if len(self.buffer) > 512:
                raise AssertionError(f"a reply line without end: {self.buffer[:80]!r}")
            self._fill()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def reply(self):
        code, lines, raw = None, [], b""
        while True:
            line = self.line()
            raw += line + b"\r\n"
            match = _LINE.match(line)
            if not match or len(line) > 510:
                raise AssertionError(f"not a reply line: {line[:600]!r}")
            this, more, text = match.groups()
            if code is not None and this != code:
                raise AssertionError(f"codes differ within one reply: {raw!r}")
            code = this
            lines.append((text or b"").decode("ascii"))
            if more != b"-":
                return Reply(int(code), lines, raw)

    def cmd(self, line):
        self.send((line if isinstance(line, bytes) else line.encode()) + b"\r\n")
        return self.reply()

    def at_eof(self, limit=LIMIT):
        """True when the server closes within the limit without saying anything more."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if self.buffer:
                return False
            try:
                self._fill()
            except Closed:
                return True
            except (TimeoutError, socket.timeout):
                return False
        return False

    def quiet(self, seconds):
        """True when nothing comes for `seconds`: used only to show that an answer is NOT given early."""
        if self.buffer:
            return False
        return not select.select([self.socket], [], [], seconds)[0]

    # --- verbs ------------------------------------------------------------------------------------------------------
    def hello(self, name="client.test", verb="EHLO"):
        """Banner and EHLO; the keywords are in self.keywords."""
        banner = self.reply()
        if banner.code != 220:
            raise AssertionError(f"banner: {banner}")
        self.ehlo(name, verb)
        return self

    def ehlo(self, name="client.test", verb="EHLO"):
        reply = self.cmd(f"{verb} {name}")
        if reply.code != 250:
            raise AssertionError(f"{verb}: {reply}")
        self.keywords = {line.split(" ")[0].upper(): line.split(" ")[1:] for line in reply.lines[1:]}
        return reply

    def starttls(self, context=None, name="mx.forward.test"):
        reply = self.cmd("STARTTLS")
        if reply.code != 220:
            raise AssertionError(f"STARTTLS: {reply}")
        if self.buffer:
            raise AssertionError("octets after the answer to STARTTLS")
        self.wrap(context, name)
        return reply

    def wrap(self, context=None, name="mx.forward.test"):
        if context is None:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket, server_hostname=name)

    def mail(self, sender, *parameters):
        return self.cmd(" ".join((f"MAIL FROM:<{sender}>",) + parameters))

    def rcpt(self, recipient, *parameters):
        return self.cmd(" ".join((f"RCPT TO:<{recipient}>",) + parameters))

    def data(self, message):
        """DATA, the dot-stuffed message, the dot. The reply to DATA when it is no 354."""
        reply = self.cmd("DATA")
        if reply.code != 354:
            return reply
        self.send(stuff(message) + b".\r\n")
        return self.reply()

    def bdat(self, *chunks):
        """All chunks pipelined, the last one marked LAST; the replies."""
        wire = b""
        for number, chunk in enumerate(chunks):
            last = b" LAST" if number == len(chunks) - 1 else b""
            wire += b"BDAT %d%s\r\n" % (len(chunk), last) + chunk
        self.send(wire)
        return [self.reply() for _ in chunks]

    def transaction(self, sender, recipients, message):
        """MAIL, every RCPT, DATA, content. Returns {"mail":, "rcpt": [..], "data": reply or None}."""
        result = {"mail": self.mail(sender), "rcpt": [], "data": None}
        if result["mail"].code != 250:
            return result
        result["rcpt"] = [self.rcpt(r) for r in ([recipients] if isinstance(recipients, str) else recipients)]
        if any(r.code in (250, 251) for r in result["rcpt"]):
            result["data"] = self.data(message)
        return result

    def quit(self):
        reply = self.cmd("QUIT")
        self.close()
        return reply

    def close(self):
        self.socket.close()

    def reset(self):
        """RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def stuff(message):
    """Dot-stuffing (RFC 5321 §4.5.2); a final CRLF is added when missing."""
    if message.startswith(b"."):
        message = b"." + message
    message = message.replace(b"\r\n.", b"\r\n..")
    if message and not message.endswith(b"\r\n"):
        message += b"\r\n"
    return message
