// The files that interface.md §2 shows, as they stand there: whatever this version does not have is refused by exactly
// these messages, and nothing else is. Together with the files of conf/.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "app/support.hpp"

namespace app::test {
namespace {

constexpr const char* kMain = R"(hostname     = "mx.forward.example"   # banner, EHLO, Received; required
state_dir    = "/var/lib/onward"
admin_socket = "/run/onward/admin.sock"
user         = "onward"               # dropped to after binding, when started as root
threads      = 0                      # 0: one per core
domains      = ["domains/*.toml"]
postmaster   = "ops@gmail.example"    # where postmaster@<any forwarded domain> goes unless a rule says otherwise
help_url     = "https://forward.example/postmaster"   # printed in refusals

[[listener]]
address         = "[::]:25"           # "host:port"; [::] is dual stack; "fd:N"/"systemd" for socket activation
tls             = "starttls"          # none | starttls | implicit
proxy_protocol  = "off"               # off | v1 | v2 | auto; anything but off needs trusted_proxies
trusted_proxies = []                  # CIDRs

[tls]                                 # inbound; absent: STARTTLS is not offered
certificate = "tls/fullchain.pem"     # reloaded on `onward reload` and when the file changes
key         = "tls/key.pem"
more        = []                      # further {certificate, key} pairs, chosen by SNI and key type
min_version = "1.2"                   # 1.1 (legacy profile: needs @SECLEVEL=0, set for you, warned about) | 1.2 | 1.3
ciphers     = ""                      # ordered, TLS<=1.2;  ciphersuites = "" for 1.3

[limits]
message_size       = "25 MiB"         # 26214400, advertised as SIZE
recipients         = 100
connections        = 10000
connections_per_ip = 50               # per IPv4, per IPv6 /64
memory             = "512 MiB"        # bytes of message data held in RAM over all sessions; beyond: spill, then 452
spill_above        = "256 KiB"        # one message's part kept in RAM before it spills to an unlinked file
command_timeout    = "300s"
data_timeout       = "180s"           # per read inside DATA/BDAT
received_headers   = 50
spill              = "10 GiB"         # disk for spilled messages, then 452 4.3.1
ledger             = 1000000          # fingerprints kept (promise.md C.5)

[dns]
servers  = []                         # "127.0.0.1:5353"; empty: /etc/resolv.conf
timeout  = "5s"
attempts = 2
trust_ad = "loopback"                 # loopback | always | never: when the AD bit counts (DANE)

[srs]
domain       = "forward.example"      # envelope senders become SRS0=...@this domain; its MX must point here
secrets_file = "keys/srs.secrets"     # one secret a line: first signs, all verify
max_age      = "21d"
hash         = "sha256"               # sha256 (40 bits or more, base32) | sha1 (4 base64 characters, as postsrsd and libsrs2 write it)
accept_sha1_secrets = ""              # file of a former postsrsd's secrets: its addresses keep working for max_age

[dkim]                                # our own signature on every message that leaves
domain = "forward.example"
keys   = [ {selector = "ow1", file = "keys/ow1.rsa.pem"}, {selector = "ow1e", file = "keys/ow1.ed25519.pem"} ]

[arc]
seal = true                           # with [dkim]'s first RSA key
trusted_sealers = []                  # d= domains whose intact chain may override a DMARC failure

[access]                              # first match wins: longest prefix, then asn, then country
rules = [ {match = "192.0.2.0/24", action = "allow"}, {match = "AS64500", action = "block"}, {match = "country:XX", action = "block"} ]
geoip = { country = "GeoLite2-Country.mmdb", asn = "GeoLite2-ASN.mmdb" }

[[dnsbl]]
name    = "zen"
zone    = "zen.spamhaus.org"
listed  = ["127.0.0.2-127.0.0.11"]    # answers that mean listed; 127.255.255.0/24 is always a resolver error, never a listing
weight  = 1                           # negative: an allow-list
kind    = "ip"                        # ip | domain (HELO name, MAIL FROM domain)
[policy]
dnsbl_threshold = 1
spf             = "dmarc"             # off | dmarc (only as DMARC input) | reject (reject on fail)
dmarc           = "enforce"           # off | monitor | enforce
dmarc_quarantine = "tag"              # tag | reject
require_auth    = "spf-or-dkim"       # none | spf-or-dkim
dmarc_discovery = "tree-walk"         # tree-walk (RFC 9989) | psl (RFC 7489)
forecast        = "warn"              # off | warn | reject: will the destination's DMARC check pass?
rdns            = "warn"              # off | warn | defer | reject  (missing PTR, PTR without forward match)
helo            = "warn"              # off | warn | reject          (HELO not a FQDN/literal, or unresolvable)
rdns_causes     = ["missing", "unconfirmed"]   # also "helo-mismatch"
sender_domain   = "reject"            # off | reject: MAIL FROM domain that does not exist or cannot receive
early_talker    = "reject"            # off | reject
early_talker_delay = "0s"
rate            = { messages_per_ip = "300/min", recipients_per_ip = "600/min", unknown_recipients = "20/session", messages_per_sender_domain = "off", recipients_per_rule = "off" }
greylist        = { mode = "off", delay = "5m", keep = "30d" }
exceptions      = []                  # {match = address|CIDR|domain, skip = ["dmarc", "require-auth", ...], why = "..."}

[delivery]
prefer           = "ipv6"             # ipv6 | ipv4 ; the other family is always the fallback
port             = 25
connect_timeout  = "10s"              # per address; a second family is raced after 300ms
command_timeout  = "60s"
rcpt_patience    = "25s"              # how long a RCPT waits for the upstream's verdict (promise.md C.3)
handoff          = "20s"              # promise.md C.3.6
deadline         = "540s"
tls              = "opportunistic"    # none | opportunistic | encrypt | verify
tls_fallback     = "remembered"       # remembered (no clear text within a day of valid TLS) | always | never; opportunistic only
tls_ca_file      = ""                 # empty: the system's roots
dane             = true
mta_sts          = true               # MX next hops only; policy fetched from public addresses, no redirects, 64 KiB, 10s
source_ipv4      = []                 # pools; each may be {address=..., helo=...}
source_ipv6      = []
connections_per_destination = 20
private_destinations = false          # may destinations resolve to loopback/private addresses?
errors           = "masked"           # full | masked | code-only: what the sender sees of upstream text
custody          = "inline"           # inline | queue : inline = in-session; queue = accept, then deliver

[[route]]                             # overrides MX lookup for a destination domain ("*" for all: smart host)
domain   = "inbox.example"
via      = ["[::1]:2526", "127.0.0.1:2526"]   # tried in order; "mx:host.example" for another domain's MX
protocol = "smtp"                     # smtp | lmtp
tls      = "opportunistic"

[queue]
retry    = ["1m", "5m", "15m", "1h"]  # then the last, repeated
lifetime = "5d"
fallback_after = "4h"                 # temporary failures older than this go to the rule's fallback, if it has one
delay_notice = "0"

[https]                               # off unless listen is set: serves /.well-known/mta-sts.txt of the forwarded domains
listen = ""

[metrics]
listen = "127.0.0.1:9254"             # Prometheus text at /metrics, liveness /healthz, readiness /readyz
[log]
format = "json"                       # json | text, one line an event on stderr
level  = "info"
activity_days = 30                    # how long `onward log` can look back
)";

constexpr const char* kDomain = R"(name          = "example.org"         # "*.example.org" takes all subdomains
subaddressing = "+"                   # "sales+x" falls back to rule "sales"; "" turns it off
keep_tag      = false                 # carry the tag to the destination's local part
dkim          = [ {selector = "ow1", file = "keys/example.org.pem"} ]   # optional second signature as this domain
aliases       = "example.org.aliases" # optional bulk table: "local: dest, dest" a line (Postfix virtual syntax also read)

[[rule]]
address = "sales"                     # exact local part, case-insensitive
to      = ["alice@gmail.example", "bob@corp.example"]

[[rule]]
pattern = 'inv-(\d+)'                 # RE2, anchored at both ends
to      = ['billing+$1@corp.example']
deny_from = ["*@spam.example"]        # allow_from / deny_from: globs on the envelope sender
custody   = "inline"                  # overrides [delivery]
rate      = "off"                     # "100/h": recipients a rule accepts
fallback  = []                        # destinations after a permanent policy refusal by the first ones

[[rule]]
address = "old"
action  = "reject"                    # forward (default when `to` is set) | drop | reject
reply   = "550 5.1.6 Moved, see https://example.org"
enabled = true

[catch_all]
action = "reject"                     # the default: 550 5.1.1

[[expect]]                            # tests of the rules, run by `onward check`
rcpt = "sales+promo@example.org"
to   = ["alice@gmail.example", "bob@corp.example"]
)";

TEST(Examples, the_interfaces_onward_toml_but_for_what_is_not_there_yet) {
  const auto parsed = parse(kMain);
  std::vector<std::string> keys;
  for (const auto& e : parsed.report.errors) {
    keys.push_back(e.key);
    EXPECT_THAT(e.message, ::testing::StartsWith("this version does not have that yet; leave it out")) << e.to_string();
    EXPECT_NE(e.line, 0U) << e.to_string();
  }
  EXPECT_THAT(keys, ::testing::IsEmpty());
  EXPECT_EQ(lines(parsed.report.warnings), "") << "all that is on by default was written, and told as errors";
  EXPECT_EQ(parsed.text.config.listeners.size(), 1U);
  EXPECT_EQ(parsed.text.dkim.keys.size(), 2U);
  EXPECT_EQ(parsed.text.config.forwarding.next_hops.size(), 1U);
}

TEST(Examples, the_interfaces_domain_file) {
  Report report;
  const auto domain = parse_domain(kDomain, "domains/example.org.toml", report);
  EXPECT_EQ(lines(report.errors), "");
  EXPECT_EQ(domain.spec.name, "example.org");
  EXPECT_EQ(domain.spec.rules.size(), 4U);
  EXPECT_EQ(domain.dkim.size(), 1U);
  EXPECT_EQ(domain.aliases.value, "example.org.aliases");
  ASSERT_EQ(domain.expectations.size(), 1U);
  EXPECT_EQ(domain.expectations[0].rcpt.value, "sales+promo@example.org");
}

std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

TEST(Examples, the_files_of_conf) {
  const std::string conf = ONWARD_SOURCE_DIR "/conf/";
  EXPECT_EQ(mistakes(slurp(conf + "onward.toml")), "");
  Report report;
  const auto domain = parse_domain(slurp(conf + "domains/example.org.toml"), "example.org.toml", report);
  EXPECT_EQ(lines(report.errors), "");
  EXPECT_FALSE(domain.spec.rules.empty());
}

}  // namespace
}  // namespace app::test
