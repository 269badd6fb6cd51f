"""A scripted SMTP and LMTP server: what a next hop may do to us, right or wrong.

A plan says for each stage what to do: connect, ehlo, helo, lhlo, starttls, mail, rcpt, data, body (the first octets
of the content are here), dot, bdat, rset, quit. What it may say:

    "250 2.1.0 ok"            a reply; CRLF is added when it has none; bytes go out as they are
    ["250-a", "250 b"]        several things in a row
    Wait(0.5) Until(event)    a pause before what follows in the list
    Close() Reset() Silence() FIN, RST, or nothing until the client gives up
    Turns(a, b, c)            a the first time, then b, then c for ever
    lambda session, line: ... computes one of these

Everything is recorded: the commands of each connection, and each message whose dot we answered with 2xx, in octets. Rules
that every client must keep are checked always; `violations` must stay empty: line ends (SM-03), nothing sent between the dot and our answer
(UP-09), no pipelining and no parameters that were not offered."""
import re
import socket
import ssl
import struct
import threading
import time

from .ports import free_port
from .wait import LIMIT, wait_until


class Wait:
    def __init__(self, seconds):
        self.seconds = seconds


class Until:
    def __init__(self, event):
        self.event = event


class Close:
    pass


class Reset:
    pass


class Silence:
    pass


class Turns:
    def __init__(self, *actions):
        self.actions, self.next, self.lock = actions, 0, threading.Lock()

    def take(self):
        with self.lock:
            action = self.actions[min(self.next, len(self.actions) - 1)]
            self.next += 1
            return action


class _Ended(Exception):
    pass


class Message:
    """One accepted (or refused) content. `data` is unstuffed; `wire` is as it came."""

    def __init__(self, session, mail, rcpts, data, wire, verb):
        self.session, self.mail, self.rcpts, self.data, self.wire, self.verb = session, mail, rcpts, data, wire, verb
        self.accepted = False

    @property
    def sender(self):
        return re.match(rb"MAIL FROM:<([^>]*)>", self.mail, re.I).group(1).decode("utf-8")

    @property
    def recipients(self):
        return [re.match(rb"RCPT TO:<(.*)>", r, re.I).group(1).decode("utf-8") for r in self.rcpts]


class Session:
    """One connection, in a thread of its own."""

    def __init__(self, upstream, connection, peer, local):
        self.upstream, self.socket, self.peer, self.local = upstream, connection, peer, local
        self.buffer = b""
        self.commands = []
        self.tls = False
        self.clear = bytearray()  # all that came before TLS, or without it; its beginning, where contents are not kept whole
        self.extended = False
        self.mail, self.rcpts, self.accepted_rcpts = None, [], []
        self.chunks = b""
        self.ended = False
        self.pending = None

    # --- octets
    def fill(self):
        try:
            data = self.socket.recv(262144)
        except (OSError, ValueError):
            raise _Ended
        if not data:
            raise _Ended
        if not self.tls and (self.upstream.keep_content is None or len(self.clear) < self.upstream.keep_content):
            self.clear += data
        self.buffer += data

    def line(self):
        while b"\n" not in self.buffer:
            self.fill()
        line, self.buffer = self.buffer.split(b"\n", 1)
        if not line.endswith(b"\r") or b"\r" in line[:-1] or b"\0" in line:
            self.violation(f"command line with wrong line end: {line!r}")
        return line.rstrip(b"\r")

    def violation(self, what):
        self.upstream.violations.append(what)

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            raise _Ended

    def more_waiting(self):
        """Did the client send more already?"""
        if self.buffer:
            return True
        if self.tls:
            if self.socket.pending():
                return True
            return False
        try:
            self.socket.setblocking(False)
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        except OSError:
            return False
        finally:
            self.socket.setblocking(True)
            self.socket.settimeout(self.upstream.timeout)

    # --- the plan
    def act(self, stage, line=b"", default="250 2.0.0 ok"):
        """Does what the plan says for `stage`; returns the code of the last reply sent (0: none)."""
        plan = self.upstream.plans.get(self.local[0], self.upstream.plan)
        return self.do(plan.get(stage, default), line)

    def do(self, action, line):
        if callable(action):
            return self.do(action(self, line), line)
        if isinstance(action, Turns):
            return self.do(action.take(), line)
        if isinstance(action, (list, tuple)):
            code = 0
            for part in action:
                code = self.do(part, line) or code
            return code
        if isinstance(action, Wait):
            end = time.monotonic() + action.seconds
            while time.monotonic() < end and not self.upstream.stopping.is_set():
                time.sleep(0.005)
            return 0
        if isinstance(action, Until):
            while not action.event.is_set() and not self.upstream.stopping.is_set():
                action.event.wait(0.02)
            return 0
        if isinstance(action, Close):
            raise _Ended
        if isinstance(action, Reset):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise _Ended
        if isinstance(action, Silence):
            while True:  # until the client leaves
                self.fill()
                self.buffer = b""
        if action is None:
            return 0
        if isinstance(action, str):
            action = action.encode("latin-1")
            if not action.endswith(b"\r\n"):
                action += b"\r\n"
        if action.strip():
            last = action.rstrip(b"\r\n").rsplit(b"\r\n", 1)[-1]
            code = int(last[:3]) if re.match(rb"[0-9]{3}([ -]|$)", last) else 0
        else:
            code = 0
        if self.pending and 200 <= code < 300 and code != 221:
            self.pending(code)  # recorded before the client can know
        self.send(action)
        return code

    def reset_transaction(self):
        self.mail, self.rcpts, self.accepted_rcpts, self.chunks, self.bdat = None, [], [], b"", False

    def check_unpipelined(self, verb):
        keywords = self.upstream.keywords
        if not (self.extended and "PIPELINING" in keywords) and self.more_waiting():
            self.violation(f"{verb}: more was sent before our reply, PIPELINING was not offered")

    # --- the dialogue
    def run(self):
        self.reset_transaction()
        try:
            if self.upstream.implicit_tls:
                self.start_tls()
            self.act("connect", default=f"220 {self.upstream.name} ESMTP")
            while True:
                line = self.line()
                self.commands.append(line)
                if not self.command(line):
                    return
        except _Ended:
            pass
        finally:
            try:
                self.socket.close()
            except OSError:
                pass
            self.ended = True

    def start_tls(self):
        try:
            self.socket = self.upstream.tls.wrap_socket(self.socket, server_side=True)
        except (OSError, ssl.SSLError):
            raise _Ended
        self.tls = True

    def command(self, line):
        verb = line.split(b" ", 1)[0].upper()
        offered = self.upstream.keywords if self.extended else []
        if verb in (b"EHLO", b"LHLO"):
            if (verb == b"LHLO") != self.upstream.lmtp:
                self.do("500 5.5.1 wrong protocol", line)
                return True
            self.check_unpipelined("EHLO")
            keywords = [k for k in self.upstream.keywords if k != ("STARTTLS" if self.tls else "REQUIRETLS")]
            lines = [self.upstream.name] + keywords
            reply = "".join(f"250{'-' if i < len(lines) - 1 else ' '}{k}\r\n" for i, k in enumerate(lines))
            self.reset_transaction()
            self.extended = self.act(verb.decode().lower(), line, reply) == 250
        elif verb == b"HELO":
            self.reset_transaction()
            self.extended = False
            self.act("helo", line, f"250 {self.upstream.name}")
        elif verb == b"STARTTLS":
            if self.more_waiting():
                self.violation("octets sent before the answer to STARTTLS")
            if self.act("starttls", line, "220 2.0.0 go ahead") == 220:
                self.start_tls()
                self.extended = False
                self.reset_transaction()
        elif verb == b"MAIL":
            self.check_parameters(line, offered)
            if self.mail is not None:
                self.violation("MAIL within a transaction")
            self.check_unpipelined("MAIL")
            if 200 <= self.act("mail", line, "250 2.1.0 ok") < 300:
                self.mail = line
        elif verb == b"RCPT":
            self.check_unpipelined("RCPT")
            if 200 <= self.act("rcpt", line, "250 2.1.5 ok" if self.mail else "503 5.5.1 no MAIL") < 300:
                self.rcpts.append(line)
        elif verb == b"DATA":
            self.check_unpipelined("DATA")
            code = self.act("data", line, "354 go ahead" if self.rcpts else "554 5.5.1 no recipients")
            if code == 354:
                self.content()
        elif verb == b"BDAT":
            if "CHUNKING" not in offered:
                self.violation("BDAT was not offered")
            self.chunk(line)
        elif verb == b"RSET":
            self.reset_transaction()
            self.act("rset", line, "250 2.0.0 ok")
        elif verb == b"NOOP":
            self.act("noop", line)
        elif verb == b"QUIT":
            self.act("quit", line, "221 2.0.0 bye")
            return False
        else:
            self.act("unknown", line, "500 5.5.2 what?")
        return True

    def check_parameters(self, line, offered):
        parameters = line.split(b">", 1)[-1].decode("utf-8", "replace").upper().split()
        names = [k.split(" ")[0] for k in offered]
        need = {"SIZE": "SIZE", "BODY": "8BITMIME", "SMTPUTF8": "SMTPUTF8", "RET": "DSN", "ENVID": "DSN"}
        for parameter in parameters:
            keyword = need.get(parameter.split("=")[0], parameter)
            if keyword not in names:
                self.violation(f"parameter {parameter} was not offered")

    def content(self):
        """Everything up to CRLF.CRLF, read in one buffer; only the new part is searched."""
        if not self.buffer:
            self.fill()
        self.act("body", default=None)
        wire = self.buffer
        self.buffer = b""
        parts, tail = [wire], b"\r\n" + wire
        while True:
            at = tail.find(b"\r\n.\r\n")
            if at >= 0:
                break
            self.fill()
            parts.append(self.buffer)
            tail = tail[-4:] + self.buffer
            self.buffer = b""
        wire = b"".join(parts)
        end = (b"\r\n" + wire).find(b"\r\n.\r\n", max(0, len(wire) - len(tail) - 8))
        if end < 0:
            end = (b"\r\n" + wire).find(b"\r\n.\r\n")
        rest = wire[end + 3:]
        wire = wire[:end]  # the dot's own CRLF belongs to the content
        self.buffer = rest
        data = wire[1:] if wire.startswith(b".") else wire
        data = data.replace(b"\r\n.", b"\r\n")
        if wire.startswith(b".") or b"\r\n." in wire:
            for stuffed in re.finditer(rb"(?:\A|\r\n)\.(?!\.)", wire):
                self.violation(f"a line with a single dot: {wire[stuffed.start():stuffed.start() + 20]!r}")
                break
        self.take(data, wire, "DATA")

    def chunk(self, line):
        match = re.match(rb"BDAT (\d+)( LAST)?$", line, re.I)
        if not match:
            self.violation(f"not BDAT: {line!r}")
            raise _Ended
        size, last = int(match.group(1)), bool(match.group(2))
        parts, have = [self.buffer], len(self.buffer)
        while have < size:
            self.buffer = b""
            self.fill()
            parts.append(self.buffer)
            have += len(self.buffer)
        whole = b"".join(parts)
        self.chunks += whole[:size]
        self.buffer = whole[size:]
        if last:
            self.take(self.chunks, self.chunks, "BDAT")
        else:
            self.act("bdat", line, "250 2.0.0 chunk" if self.rcpts else "503 5.5.1 no recipients")

    def take(self, data, wire, verb):
        ends = wire.count(b"\r\n")  # counting is fast, which a pattern is not with 25 MiB
        if wire.count(b"\n") != ends or wire.count(b"\r") != ends or b"\0" in wire:
            self.violation("bare CR, bare LF or NUL in the content")
        keep = self.upstream.keep_content
        message = Message(self, self.mail or b"", list(self.rcpts), data[:keep], wire[:keep], verb)
        self.upstream.attempts.append(message)
        if self.upstream.lmtp:
            message.rcpts = []
        for rcpt in self.rcpts if self.upstream.lmtp else [b""]:
            if self.upstream.strict and self.more_waiting():
                self.violation("something was sent between the dot and its reply")

            def accept(_, rcpt=rcpt):
                self.pending = None
                if rcpt:
                    message.rcpts.append(rcpt)
                if not message.accepted:
                    message.accepted = True
                    self.upstream.accepted.append(message)

            self.pending = accept
            self.act("dot", rcpt, "250 2.0.0 taken")
            self.pending = None
        self.reset_transaction()


class Note:
    """Takes the place of a list (`attempts`, `accepted`) that would grow for ever: each entry is heard once."""

    def __init__(self, hear=lambda message: None):
        self.append = hear

    def __len__(self):
        return 0

    def __iter__(self):
        return iter(())


class Upstream:
    """Listens on each of `addresses` at one port. plans: {address: plan} overrides `plan` for one of them."""

    DEFAULT = ("PIPELINING", "8BITMIME", "SIZE 104857600", "ENHANCEDSTATUSCODES", "SMTPUTF8")

    def __init__(self, plan=None, addresses=("127.0.0.1",), port=None, lmtp=False, keywords=DEFAULT, tls=None,
                 implicit_tls=False, plans=None, name="inbox.test", strict=True):
        """strict=False: the client is not Onward; it may pipeline QUIT behind the dot, as Postfix does."""
        self.strict = strict
        self.plan = {} if plan is None else plan
        self.plans, self.lmtp, self.name = plans or {}, lmtp, name
        self.keywords = list(keywords)
        self.tls, self.implicit_tls = tls, implicit_tls
        if tls and not implicit_tls and "STARTTLS" not in self.keywords:
            self.keywords.append("STARTTLS")
        self.port = port or free_port()
        self.addresses = addresses
        self.timeout = LIMIT * 4
        self.keep_content = None  # octets of each content to keep, for tests that send more than we have memory for
        self.sessions, self.accepted, self.attempts, self.violations = [], [], [], []
        self.stopping = threading.Event()
        self.sockets, self.threads = [], []
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((address, self.port))
            listener.listen(512)
            self.sockets.append(listener)
            thread = threading.Thread(target=self._accept, args=(listener, address), daemon=True)
            thread.start()
            self.threads.append(thread)

    def _accept(self, listener, address):
        while not self.stopping.is_set():
            try:
                connection, peer = listener.accept()
            except OSError:
                return
            connection.settimeout(self.timeout)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = Session(self, connection, peer, (address, self.port))
            self.sessions.append(session)
            threading.Thread(target=session.run, daemon=True).start()

    @property
    def via(self):
        """For [[route]]: every address with the port."""
        return [f"[{a}]:{self.port}" if ":" in a else f"{a}:{self.port}" for a in self.addresses]

    @property
    def commands(self):
        """All commands of all connections, in order of connection."""
        return [c for s in self.sessions for c in s.commands]

    def verbs(self, session=0):
        return [c.split(b" ")[0].decode().upper() for c in self.sessions[session].commands]

    def wait_accepted(self, count, limit=LIMIT):
        wait_until(lambda: len(self.accepted) >= count, f"{count} messages at the upstream", limit)
        return self.accepted

    def wait_idle(self, limit=LIMIT):
        """Until no connection is open any more."""
        wait_until(lambda: all(s.ended for s in self.sessions), "the upstream's connections to end", limit)

    def stop(self):
        self.stopping.set()
        for listener in self.sockets:
            try:
                listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            listener.close()
        for session in list(self.sessions):
            try:
                session.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Ledger:
    """Counts every message by a token of its own: what the client was told against what the upstreams took.

    lost      told 2xx, nowhere delivered (also called phantom)
    kept      told 4xx or 5xx, and delivered all the same
    dup       delivered more than once"""

    def __init__(self):
        self.told, self.lock, self.serial = {}, threading.Lock(), 0

    def token(self):
        with self.lock:
            self.serial += 1
            return f"token-{self.serial:06d}"

    def tell(self, token, code):
        with self.lock:
            self.told[token] = code

    def count(self, messages):
        seen = {}
        for message in messages:
            for token in set(re.findall(rb"^X-Token: (token-\d{6})\r$", message.data[:65536], re.M)):
                seen[token.decode()] = seen.get(token.decode(), 0) + 1
        return {
            "lost": sorted(t for t, code in self.told.items() if 200 <= code < 300 and not seen.get(t)),
            "kept": sorted(t for t, code in self.told.items() if code >= 400 and seen.get(t)),
            "dup": sorted(t for t, n in seen.items() if n > 1),
        }
