"""Destinations that differ in what protects them: each a domain with a mail host of its own, in signed DNS, with the
certificate, the TLSA records and the MTA-STS policy that the test wants. Needs a network namespace (port 443)."""
from .case import Case, message
from .certs import Certificates, context, tlsa
from .dnssec import SignedDns
from .policy_host import PolicyHost, policy
from .ports import free_port
from .upstream import Upstream


class Place:
    """One destination. certificate: None (no STARTTLS), "valid", "self-signed", "expired", "wrong-name",
    or a function of the mail host's name that gives the pair. dane: None, "match", "mismatch", or a function of the pair that gives the TLSA data, one record a line.
    sts: None, the arguments of policy(), or a function that speaks on the connection. more: records of its own, where
    {port} is the mail hosts' port. canonical: what its mail host's name is an alias of."""

    def __init__(self, certificate="valid", dane=None, sts=None, more="", zone="test", requiretls=False, plan=None, mx=None,
                 canonical=None):
        self.certificate, self.dane, self.sts, self.more = certificate, dane, sts, more
        self.zone, self.requiretls, self.plan, self.mx, self.canonical = zone, requiretls, plan, mx, canonical


class World:
    def __init__(self, places, records=""):
        self.certificates = Certificates()
        self.port = free_port()
        self.ends, self.hosts, self.domains = [self.certificates], {}, {}
        try:
            self._build(places, records)
        except BaseException:
            self.stop()
            raise

    def _build(self, places, records):
        lines, pages, served = [records], {}, {}
        other = self.certificates.issued("mta-sts.nobody.test")
        served["nobody.test"] = other
        for number, (name, place) in enumerate(places.items()):
            domain = f"{name}.{place.zone}"
            mx, address = place.mx or f"mx.{domain}", f"127.0.1.{number + 1}"
            self.domains[name] = domain
            pair = self._pair(place.certificate, mx)
            base = place.canonical or mx
            lines += [f"{domain}. MX 10 {mx}.", f"{base}. A {address}"]
            if place.canonical:
                lines.append(f"{mx}. CNAME {base}.")
            if place.dane:
                data = place.dane(pair) if callable(place.dane) else tlsa(pair if place.dane == "match" else other)
                lines += [f"_{self.port}._tcp.{base}. TLSA {one}" for one in data.splitlines()]
            if place.sts is not None:
                host = f"mta-sts.{domain}"
                lines += [f'_mta-sts.{domain}. TXT "v=STSv1; id=1;"', f"{host}. A 127.0.0.1"]
                pages[host] = place.sts if callable(place.sts) else policy(*place.sts[0], **place.sts[1])
                served[host] = self.certificates.issued(host)
            lines.append(place.more.replace("{port}", str(self.port)))
            keywords = Upstream.DEFAULT + (("REQUIRETLS",) if place.requiretls else ())
            self.hosts[name] = Upstream(place.plan, addresses=(address,), port=self.port, keywords=keywords, name=mx,
                                        tls=context(pair) if pair else None)
            self.ends.append(self.hosts[name])
        self.policy_host = PolicyHost(pages, served)
        self.ends.append(self.policy_host)
        self.dns = SignedDns("\n".join(lines))
        self.ends.append(self.dns)

    def _pair(self, kind, mx):
        if kind is None:
            return None
        if callable(kind):
            return kind(mx)
        if kind == "self-signed":
            return self.certificates.self_signed(mx)
        if kind == "wrong-name":
            return self.certificates.issued("another.test")
        return self.certificates.issued(mx, expired=kind == "expired")

    def rules(self):
        return {"fwd.test.toml": 'name = "fwd.test"\n' + "".join(
            f'[[rule]]\naddress = "{name}"\nto = ["user@{domain}"]\n' for name, domain in self.domains.items())}

    def settings(self, **delivery):
        return {"delivery": {"port": self.port, "dane": True, "mta_sts": True, "private_destinations": True,
                             "tls_ca_file": self.certificates.authority, **delivery}}

    @property
    def violations(self):
        return [f"{name}: {what}" for name, host in self.hosts.items() for what in host.violations]

    def stop(self):
        for end in reversed(self.ends):
            end.stop()


def said_in_clear(upstream, since=0):
    """The octets of a mail transaction that the host was told without TLS, from its session number `since` on."""
    found = b""
    for session in upstream.sessions[since:]:
        for line in session.clear.split(b"\r\n"):
            if line and not line.upper().startswith((b"EHLO ", b"HELO ", b"STARTTLS", b"QUIT", b"RSET", b"NOOP")):
                found += line + b"\r\n"
    return found


class WorldCase(Case):
    """Onward before a World; self.at is the world."""
    CLIENTS_TLS = False

    def start(self, places, **delivery):
        self.at = self.keep(World(places))
        return self.onward(self.at.settings(**delivery), dns=self.at.dns, domains=self.at.rules(), tls=self.CLIENTS_TLS)

    def send(self, onward, name):
        """The reply to the content, or to RCPT when that was refused."""
        client = onward.client()
        result = client.transaction("sender@origin.test", f"{name}@fwd.test", message())
        client.close()
        return result["data"] or result["rcpt"][0]
