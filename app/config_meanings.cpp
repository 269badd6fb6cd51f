#include "app/config_meanings.hpp"

#include <array>

namespace app {
namespace {

constexpr std::string_view kIntro =
    R"(<!-- Written by `onward docs configuration` from app/config_*.cpp; do not edit. -->
# Configuration

Two kinds of files, both TOML: `onward.toml` for the daemon, and one file for each forwarded domain. Unknown keys,
wrong types and values out of range are errors, `file:line: key: what is wrong; what would be right`, and `onward
check` lists all of them. Relative paths start at the folder of the file that names them. Sizes are written `25 MiB`
(B, KiB, MiB, GiB, TiB; a plain number is octets), times `300s` (ms, s, m, h, d, w; `1h30m` too).

**Reload** (`onward reload` or SIGHUP) reads everything again. When anything is wrong the running configuration stays.
A transaction ends with the configuration it began with. In the tables, *R* means that the key needs a restart;
everything else changes with a reload.
)";

constexpr KeyMeaning kOnwardToml[] = {
    {"hostname", "0.1.0", "banner, EHLO, Received", "host name"},
    {"state_dir", "0.1.0", "see [queue-format.md](queue-format.md) · R", "folder"},
    {"admin_socket", "0.1.0", "for `onward status`, `reload`, `drain`, `stop`; 0600, the peer's uid is checked · R",
     "path"},
    {"user", "0.1.0", "dropped to after binding, when started as root · R", "user name"},
    {"threads", "0.1.0", "shards; 0: one a core · R"},
    {"domains", "0.1.0", "the domain files", "list of globs"},
    {"postmaster", "0.1.0",
     "where postmaster@ of every forwarded domain goes unless a rule says otherwise, and postmaster@ and abuse@ our "
     "own names",
     "address"},
    {"help_url", "0.1.0", "printed in refusals", "URL"},
};

constexpr KeyMeaning kListener[] = {
    {"address", "0.1.0", "`[::]` takes IPv4 too. New ports below 1024 need a restart or `fd:N`",
     "`address:port`, `fd:N`, `systemd`, `systemd:NAME`"},
    {"tls", "0.1.0", "without `[tls]` STARTTLS is not offered"},
    {"proxy_protocol", "0.3.0",
     "anything but `off`: each connection comes from one of `trusted_proxies` and begins with a PROXY header, within 5 "
     "s and before TLS; from then on the client is the one that the header names. Others get 554 5.5.0"},
    {"trusted_proxies", "0.3.0", "the proxies; required with `proxy_protocol`", "CIDRs"},
};

constexpr KeyMeaning kTls[] = {
    {"certificate", "0.1.0", "chain, leaf first. May be a symbolic link", "PEM file"},
    {"key", "0.1.0", "readable by `user`, so that a reload can read it again", "PEM file"},
    {"more", "0.1.0", "further pairs, chosen by SNI and key type", "up to 1000 `{certificate, key}`"},
    {"min_version", "0.1.0", "1.1 is for old partners and warned about"},
    {"ciphers", "0.1.0", "TLS 1.2 and older, in this order; empty: OpenSSL's default", "OpenSSL list"},
    {"ciphersuites", "0.1.0", "TLS 1.3", "OpenSSL list"},
};

constexpr KeyMeaning kLimits[] = {
    {"message_size", "0.1.0", "26214400 octets; advertised as SIZE; more is 552 5.3.4"},
    {"recipients", "0.1.0", "of one transaction; more are 452 4.5.3"},
    {"connections", "0.1.0",
     "clients at once; more are 421 4.3.2. From 80 % on the stress profile shortens timeouts (docs/operations.md). "
     "Never more than two thirds of the descriptors that the process may open (LimitNOFILE)"},
    {"connections_per_ip", "0.1.0", "per IPv4 address or IPv6 /64; more are 421 4.7.0"},
    {"memory", "0.1.0", "message data in RAM, all sessions together; then spill, then 452 4.3.1"},
    {"spill_above", "0.1.0",
     "of one message, kept in RAM before it spills to an unlinked file in `state_dir`; at most `memory`"},
    {"command_timeout", "0.1.0", "for one command line"},
    {"data_timeout", "0.1.0", "for each read inside DATA or BDAT"},
    {"received_headers", "0.1.0", "more Received fields are a loop: 554 5.4.6"},
    {"spill", "0.1.0", "disk for spilled messages, then 452 4.3.1"},
    {"ledger", "0.2.0", "copies that the [ledger](ledger.md) remembers; 64 octets of disk each, reserved at start"},
};

constexpr KeyMeaning kDns[] = {
    {"servers", "0.1.0", "asked in turn; empty: /etc/resolv.conf", "`address:port`"},
    {"timeout", "0.1.0", "for one question to one server"},
    {"attempts", "0.1.0", "rounds over the servers"},
    {"trust_ad", "0.2.0", "whose AD bit counts (DANE): `loopback`, of resolvers on this machine"},
};

constexpr KeyMeaning kSrs[] = {
    {"domain", "0.1.0", "envelope senders become SRS0=…@ this domain; its MX must point here", "domain"},
    {"secrets_file", "0.1.0", "one secret a line: the first signs, all verify", "file, 0600"},
    {"max_age", "0.1.0", "whole days; older addresses are refused"},
    {"hash", "0.1.0", "sha256: 40 bits in base32, any case; sha1: four base64 characters as postsrsd writes them"},
    {"accept_sha1_secrets", "0.1.0", "secrets of a former postsrsd: its addresses go on working", "file, 0600",
     "`\"\"`"},
};

constexpr KeyMeaning kDkim[] = {
    {"domain", "0.1.0", "d= of our signatures", "domain"},
    {"keys", "0.1.0", "PEM, RSA (2048 or more) or Ed25519, 0600; every key signs", "1–20 `{selector, file}`",
     "required"},
};

constexpr KeyMeaning kArc[] = {
    {"seal", "0.2.0",
     "seal what we forward (RFC 8617) with the first RSA key of `[dkim]`; without such a key nothing is sealed"},
    {"trusted_sealers", "0.2.0",
     "a DMARC failure is overridden when the ARC chain is intact, all of its sealers are listed here, and the first of "
     "them saw the message pass",
     "domains, d= of their seals"},
};

constexpr KeyMeaning kAccess[] = {
    {"rules", "0.3.0",
     "`match`: a network (host bits zero), `AS64500` or `country:XX`; the longest matching network decides, then the "
     "AS number, then the country, of equal ones the first. `action`: `allow` skips block lists, rates and "
     "greylisting, and nothing else; `block` is 554 5.7.1 in the banner's place, or at RCPT when an exception for a "
     "sender might still let the client in. However many rules there are, a look-up costs the same",
     "list of `{match, action}`"},
    {"geoip.country", "0.3.0",
     "MMDB file (MaxMind's GeoLite2 and the like) for rules by country; read again by a reload", "file"},
    {"geoip.asn", "0.3.0", "the same for rules by AS number", "file"},
};

constexpr KeyMeaning kDnsbl[] = {
    {"name", "0.3.0", "what replies, logs and status call the list", "a word"},
    {"zone", "0.3.0", "what is asked. It may hold your key: it is never printed", "domain"},
    {"listed", "0.3.0", "answers that mean listed", "addresses, ranges", "any"},
    {"weight", "0.3.0", "added up over all lists that list the client; negative: an allow-list"},
    {"kind", "0.3.0", "`domain`: the HELO name and the envelope sender's domain are asked about"},
};

constexpr KeyMeaning kPolicy[] = {
    {"early_talker", "0.1.0", "clients that speak before the banner: 554"},
    {"early_talker_delay", "0.1.0", "how long the banner waits for them"},
    {"rate.unknown_recipients", "0.1.0", "so many unknown recipients, then 421 4.7.0 and close", "`N/session`, `off`",
     "`20/session`"},
    {"rate.messages_per_ip", "0.3.0",
     "MAIL commands of one client (IPv4 address, IPv6 /64), refused ones too. N may come at once, then they refill "
     "evenly; more are 450 4.7.1. It bounds octets and DNS questions as well: so many times `message_size`, so many "
     "times 60",
     "`N/s`, `/min`, `/h`, `/d`, `off`", "`300/min`"},
    {"rate.recipients_per_ip", "0.3.0", "RCPT commands of one client in the same way", "the same", "`600/min`"},
    {"rate.messages_per_sender_domain", "0.3.0",
     "of all clients together, by the envelope sender's domain (anybody may write it)", "the same", "`off`"},
    {"rate.recipients_per_rule", "0.3.0",
     "of all clients together, by the rule that takes the recipient; a rule's own `rate` goes before", "the same",
     "`off`"},
    {"rate.recipients_per_destination", "0.3.0",
     "of all clients together, by the domain that mail goes on to; what the queue sends is not counted again",
     "the same", "`off`"},
    {"spf", "0.2.0",
     "`dmarc`: SPF only counts for DMARC and `require_auth`; `reject`: an SPF fail is 550 5.7.23 at RCPT, before a "
     "destination is asked"},
    {"dmarc", "0.2.0", "`enforce`: p=reject is 550 5.7.1; `monitor`: the result is only written down"},
    {"dmarc_quarantine", "0.2.0", "what p=quarantine does: a field `X-Onward-Disposition: quarantine (dmarc)`, or 550"},
    {"dmarc_discovery", "0.2.0",
     "where the policy of a subdomain is found: by RFC 9989, or by the public suffix list (RFC 7489; needs the package "
     "publicsuffix)"},
    {"require_auth", "0.2.0",
     "mail that neither SPF nor any DKIM signature vouches for is 550 5.7.26; not for the null sender"},
    {"forecast", "0.2.0",
     "will the destination's DMARC check pass? `warn` logs it for each destination; `reject`: 550 5.7.26 when the "
     "author's policy will make the destination refuse"},
    {"rdns", "0.3.0",
     "reverse DNS of the client. `reject`: 550 5.7.25; `defer`: 450 4.7.25; `warn`: it is in the log. When DNS does "
     "not answer, never more than 450"},
    {"rdns_causes", "0.3.0",
     "what counts: no PTR record; none of its names leads back; the HELO name is none of its names",
     "and `helo-mismatch`", "`[\"missing\", \"unconfirmed\"]`"},
    {"helo", "0.3.0",
     "a HELO name that is neither a full host name nor an address literal, or has no A, AAAA or MX record: 550 5.7.1"},
    {"sender_domain", "0.3.0",
     "at MAIL: an envelope sender whose domain does not exist or has no MX, A or AAAA (550 5.1.8), takes no mail (null "
     "MX, 550 5.7.27), or is an address literal of no public host (550 5.1.7); DNS trouble is 451 4.1.8"},
    {"dnsbl_threshold", "0.3.0",
     "from this sum of weights on a client is refused: 554 5.7.1 at every RCPT, postmaster's too"},
    {"greylist.mode", "0.3.0",
     "450 4.7.1 for `greylist.delay` to whoever is new, by the client's domain (from its PTR name) or network, "
     "envelope sender and rule (the address, when there is no rule for it: who is put off does not learn that). Kept "
     "in memory: a restart forgets it"},
    {"greylist.delay", "0.3.0", "how long whoever is new has to wait"},
    {"greylist.keep", "0.3.0", "so long who has passed is known"},
    {"exceptions", "0.2.0",
     "`match`: a network of clients, an envelope sender, or exactly one domain (of the envelope sender, or of the "
     "author); `skip`: `spf`, `dmarc`, `require-auth`, `forecast` `access`, `dnsbl`, `rdns`, `helo`, `sender-domain`, "
     "`early-talker` (by network only), `rate`, `greylist`; `why` is for you",
     "list of `{match, skip, why}`"},
};

constexpr KeyMeaning kQueue[] = {
    {"retry", "0.2.0", "waits between the attempts; the last one is repeated", "times from 1s",
     "`[\"1m\", \"5m\", \"15m\", \"1h\"]`"},
    {"lifetime", "0.2.0", "then the message has failed, and its sender is told"},
    {"fallback_after", "0.2.0", "temporary failures for so long: the next `fallback` of the rule is tried"},
    {"delay_notice", "0.2.0", "after so long the sender is told once that it takes time; 0: never"},
};

constexpr KeyMeaning kDelivery[] = {
    {"prefer", "0.1.0", "the other family is always the fallback"},
    {"port", "0.1.0", "of MX hosts"},
    {"connect_timeout", "0.1.0", "per address; the other family starts after 300 ms"},
    {"command_timeout", "0.1.0", "for one reply of the destination"},
    {"rcpt_patience", "0.1.0", "how long our answer to RCPT waits for the destination's; at most `deadline`"},
    {"deadline", "0.1.0", "how long our answer to the dot waits; then 451"},
    {"handoff", "0.2.0",
     "after so long without the destination's answer a message whose sender is proven becomes ours: 250, and it goes "
     "on by itself; 0: never"},
    {"tls", "0.1.0, `encrypt` and `verify` 0.2.0", "to MX hosts; see [transport-security.md](transport-security.md)"},
    {"tls_fallback", "0.2.0",
     "with `opportunistic`: clear text after a failed handshake not within a day of TLS with that host, always, or "
     "never"},
    {"tls_ca_file", "0.2.0", "whom `verify` and MTA-STS trust; empty: the system's roots", "PEM file", "`\"\"`"},
    {"dane", "0.2.0", "DANE (RFC 7672): TLS as the TLSA records of an MX host demand it; not for a `[[route]]`"},
    {"mta_sts", "0.2.0",
     "MTA-STS (RFC 8461): TLS as the policy of the destination's domain demands it; not for a `[[route]]`"},
    {"source_ipv4", "0.1.0", "what we connect from over IPv4, in turn", "up to 256 addresses, or `{address, helo}`"},
    {"source_ipv6", "0.1.0", "the same over IPv6", "up to 256 addresses, or `{address, helo}`"},
    {"connections_per_destination", "0.1.0", "over all shards; one client gets at most a quarter of them"},
    {"private_destinations", "0.1.0",
     "may MX hosts resolve to loopback or private addresses? A `[[route]]` may always"},
    {"errors", "0.1.0", "what the sender sees of a destination's text"},
    {"custody", "0.1.0, `queue` 0.2.0",
     "`queue`: mail of proven senders is kept (fsync) and answered 250 before any destination is asked"},
};

constexpr KeyMeaning kRoute[] = {
    {"domain", "0.1.0", "the destination domain whose MX look-up is replaced; `*` for all others", "domain, `*`"},
    {"via", "0.1.0", "tried in order", "1–20 of `host:port`, `[IPv6]:port`, `mx:domain`", "required"},
    {"protocol", "0.1.0", "`lmtp` (RFC 2033): a mailbox server that answers for each recipient"},
    {"tls", "0.1.0, `encrypt` and `verify` 0.2.0", "DANE and MTA-STS have no say here"},
};

constexpr KeyMeaning kMetricsLogHttps[] = {
    {"metrics.listen", "0.2.0",
     "HTTP: `/metrics`, `/healthz`, `/readyz` ([metrics.md](metrics.md)); keep it on loopback", "`host:port`, `\"\"`"},
    {"https.listen", "0.2.0", "serves the MTA-STS policies of the forwarded domains; needs `[tls]`", "`host:port`"},
    {"log.format", "0.1.0", "one line an event on stderr"},
    {"log.level", "0.1.0", "what matters less is not written"},
    {"log.activity_days", "0.2.0", "how long `onward log` can look back"},
};

constexpr KeyMeaning kDomainsToml[] = {
    {"name", "0.1.0", "`*.example.org` takes all subdomains and not example.org itself", "domain, `*.domain`"},
    {"subaddressing", "0.1.0", "`sales+x` falls back to `sales`; `\"\"` turns it off", "separator characters, `\"\"`",
     "`+`"},
    {"keep_tag", "0.1.0", "carry the tag, with its separator, to the destination's local part"},
    {"dkim", "0.1.0", "second signatures, as this domain", "list of `{selector, file}`"},
    {"aliases", "0.1.0", "bulk table: `local: dest, dest` a line, or Postfix's virtual syntax", "file", "`\"\"`"},
};

constexpr KeyMeaning kRuleAndCatchAll[] = {
    {"address", "0.1.0", "exact, in any case", "local part"},
    {"pattern", "0.1.0", "matches the whole local part", "RE2"},
    {"to", "0.1.0", "destinations; `$1`…`$9` left of a literal `@domain` for patterns", "addresses"},
    {"raw", "0.1.0", "lets captures hold `%`, `!` or `@`"},
    {"action", "0.1.0", "`drop`: 250, and nobody gets it; `reject`: `reply`. A `[catch_all]` without `to` rejects"},
    {"reply", "0.1.0", "of `reject`", "`CODE ENHANCED TEXT`", "`550 5.1.1`"},
    {"enabled", "0.1.0", "a disabled rule is as if it were not there"},
    {"allow_from", "0.1.0", "whose mail the rule takes, by the envelope sender; all others get 550 5.7.1", "globs"},
    {"deny_from", "0.1.0", "whose mail it refuses, with 550 5.7.1", "globs"},
    {"custody", "0.2.0", "for this rule", "", "that of `[delivery]`"},
    {"fallback", "0.2.0",
     "where a copy goes when its destination refuses it by policy (5.7.x), or has put it off for "
     "`queue.fallback_after`; in turn",
     "addresses"},
    {"rate", "0.3.0", "recipients the rule takes; more are 450 4.7.1", "`N/s`, `/min`, `/h`, `/d`, `off`",
     "`policy.rate`'s"},
};

constexpr KeyMeaning kExpect[] = {
    {"rcpt", "0.1.0", "an address of this domain", "address"},
    {"to", "0.1.0", "the destinations it must have; `onward check` and every reload compare", "addresses", "required"},
};

constexpr SectionMeaning kSections[] = {
    {ConfigKind::main, "## onward.toml", "", "", kOnwardToml, ""},
    {ConfigKind::main, "### [[listener]]", "listener", "", kListener, ""},
    {ConfigKind::main, "### [tls] (inbound; absent: no TLS)", "tls", "", kTls, ""},
    {ConfigKind::main, "### [limits]", "limits", "", kLimits, ""},
    {ConfigKind::main, "### [dns]", "dns", "", kDns, ""},
    {ConfigKind::main, "### [srs]", "srs", "", kSrs, ""},
    {ConfigKind::main, "### [dkim] (absent: we do not sign)", "dkim", "", kDkim, ""},
    {ConfigKind::main, "### [arc]", "arc", "", kArc, ""},
    {ConfigKind::main, "### [access]", "access", "", kAccess, ""},
    {ConfigKind::main, "### [[dnsbl]]", "dnsbl",
     "All lists are asked at once when a client connects, and awaited at RCPT. Each is tested (RFC 5782 §5) at start, "
     "before\nits first verdict, and every 30 minutes; one that lists nobody or everybody, answers 127.255.255.0/24 or "
     "outside of\n127.0.0.0/8, or goes silent is out for at least five minutes, and lists nobody. `onward status` says "
     "how they are.",
     kDnsbl, ""},
    {ConfigKind::main, "### [policy]", "policy", "", kPolicy, ""},
    {ConfigKind::main, "### [queue]", "queue", "", kQueue, ""},
    {ConfigKind::main, "### [delivery]", "delivery", "", kDelivery, ""},
    {ConfigKind::main, "### [[route]]", "route", "", kRoute, ""},
    {ConfigKind::main, "### [metrics], [log], [https]", "", "", kMetricsLogHttps, ""},
    {ConfigKind::domain, "## domains/*.toml", "", "", kDomainsToml, ""},
    {ConfigKind::domain, "### [[rule]] and [catch_all]", "rule",
     "`[catch_all]` takes every key but `address` and `pattern`.", kRuleAndCatchAll,
     "The order is: exact address, the same without its tag, patterns from the top, catch-all. A destination inside "
     "a\nforwarded domain is resolved again, at most 10 deep; cycles are errors that print the cycle. Destinations "
     "that are\nnamed twice get one copy."},
    {ConfigKind::domain, "### [[expect]]", "expect", "", kExpect, ""},
};

}  // namespace

std::string_view configuration_intro() {
  return kIntro;
}

std::span<const SectionMeaning> configuration_meanings() {
  return kSections;
}

}  // namespace app
