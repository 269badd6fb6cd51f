"""An HTTPS server for MTA-STS policies: what mta-sts.DOMAIN serves is what `pages` says by host name, as
(status, content type, body) or a function that speaks on the TLS socket itself."""
import socket
import ssl
import threading

from .wait import LIMIT


class PolicyHost:
    def __init__(self, pages, certificates, address="127.0.0.1", port=443):
        """certificates: {host: (certificate file, key file)}; the first is for every other name."""
        self.pages, self.requests = pages, []
        self.contexts = {}
        for name, pair in certificates.items():
            self.contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.contexts[name].load_cert_chain(*pair)
        first = next(iter(self.contexts.values()))

        def choose(connection, name, _):
            connection.context = self.contexts.get(name, first)
        self.front = first
        first.sni_callback = choose
        self.socket = socket.create_server((address, port), backlog=64)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection):
        connection.settimeout(LIMIT)
        try:
            with self.front.wrap_socket(connection, server_side=True) as secure:
                data = b""
                while b"\r\n\r\n" not in data:
                    more = secure.recv(65536)
                    if not more:
                        return
                    data += more
                head, body = data.split(b"\r\n\r\n", 1)
                lines = head.decode("latin-1").split("\r\n")
                fields = {k.strip().lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}
                while len(body) < int(fields.get("content-length", "0")):
                    more = secure.recv(65536)
                    if not more:
                        return
                    body += more
                host = fields.get("host", "")
                self.requests.append((host, lines[0], fields, body))
                page = self.pages.get(host, (404, "text/plain", ""))
                if callable(page):
                    page(secure)
                    return
                status, kind, text = page
                octets = text.encode()
                secure.sendall(f"HTTP/1.1 {status} Said\r\nContent-Type: {kind}\r\nContent-Length: {len(octets)}\r\n"
                               "Connection: close\r\n\r\n".encode() + octets)
                secure.unwrap()
        except (OSError, ssl.SSLError):
            pass

    def hosts(self):
        return [host for host, *_ in self.requests]

    def stop(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()


def policy(*mx, mode="enforce", max_age=86400):
    return 200, "text/plain", (f"version: STSv1\r\nmode: {mode}\r\n" + "".join(f"mx: {m}\r\n" for m in mx) +
                               f"max_age: {max_age}\r\n")
