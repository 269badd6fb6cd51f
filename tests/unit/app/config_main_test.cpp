// onward.toml: every key with values that are right, wrong, and just at the border (interface.md §2).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/support.hpp"
#include "app/values.hpp"

namespace app::test {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

struct Case {
  const char* section;  // "" : top level
  const char* line;
  const char* expected;  // "" : right; otherwise part of the error
};

class MainKeys : public ::testing::TestWithParam<Case> {};

TEST_P(MainKeys, value) {
  const auto& c = GetParam();
  const std::string section = c.section, line = std::string(c.line) + "\n";
  std::string toml;
  if (section.empty()) {
    toml = main_toml(line);
  } else if (section == "srs") {
    toml = main_toml("", "",
                     "[srs]\n" + std::string(line.find("domain") == 0 ? "" : "domain = \"srs.example\"\n") +
                         (line.find("secrets_file") == 0 ? "" : "secrets_file = \"s\"\n") + line);
  } else if (section == "listener") {
    toml = main_toml(
        "", "", "[srs]\ndomain = \"srs.example\"\nsecrets_file = \"s\"\n",
        "[[listener]]\n" + std::string(line.find("address") == 0 ? "" : "address = \"127.0.0.1:25\"\n") + line);
  } else if (section == "route") {
    toml = main_toml("", "[[route]]\n" + std::string(line.find("domain") == 0 ? "" : "domain = \"d.example\"\n") +
                             (line.find("via") == 0 ? "" : "via = [\"127.0.0.1:25\"]\n") + line);
  } else {
    toml = main_toml("", "[" + section + "]\n" + line);
  }
  const auto found = mistakes(toml);
  if (*c.expected == '\0') {
    EXPECT_EQ(found, "") << toml;
  } else {
    EXPECT_THAT(found, HasSubstr(c.expected)) << toml;
    EXPECT_EQ(std::count(found.begin(), found.end(), '\n'), 1) << found;
  }
}

INSTANTIATE_TEST_SUITE_P(
    top, MainKeys,
    ::testing::Values(
        Case{"", "hostname = \"mx.forward.example\"", ""}, Case{"", "hostname = \"MX.forward.example\"", ""},
        Case{"", "hostname = \"\"", "hostname: is empty; write for example"},
        Case{"", "hostname = \"a b\"", "o.toml:3: hostname: is no host name"},
        Case{"", "hostname = \"[192.0.2.1]\"", "hostname: is no host name"},
        Case{"", "hostname = 5", "hostname: is a number; it must be a string in quotes"},
        Case{"", "state_dir = \"/var/lib/x\"", ""}, Case{"", "state_dir = \"\"", "state_dir: is empty"},
        Case{"", "admin_socket = \"run/a.sock\"", ""}, Case{"", "admin_socket = []", "admin_socket: is a list"},
        Case{"", "user = \"_mail-1\"", ""}, Case{"", "user = \"a b\"", "user: is no user name"},
        Case{"", "user = \"\"", "user: is no user name"}, Case{"", "threads = 0", ""}, Case{"", "threads = 256", ""},
        Case{"", "threads = 257", "threads: 257 is out of range; it must be from 0 to 256"},
        Case{"", "threads = -1", "threads: -1 is out of range"},
        Case{"", "threads = 1.5", "threads: is a number with a fraction"},
        Case{"", "threads = \"2\"", "threads: is a string; it must be a whole number"},
        Case{"", "domains = [\"a.toml\"]", ""},
        Case{"", "domains = \"a.toml\"", "domains: is a string; it must be a list"},
        Case{"", "domains = [1]", "domains: is a number; it must be a string or a table"},
        Case{"", "domains = [{}]", "domains: holds a table; it must be a list of strings"},
        Case{"", "postmaster = \"a@b.example\"", ""}, Case{"", "postmaster = \"a\"", "postmaster: is no mail address"},
        Case{"", "postmaster = \"a@müller.example\"", "postmaster: is no mail address"},
        Case{"", "help_url = \"\"", ""}, Case{"", "help_url = \"https://x.example/h\"", ""},
        Case{"", "help_url = \"x.example\"", "help_url: is no URL"},
        Case{"", "help_url = \"https://\"", "help_url: is no URL"},
        Case{"", "help_url = \"https://x y\"", "help_url: may hold printable ASCII"},
        Case{"", "help_ulr = \"\"", "help_ulr: unknown key; did you mean \"help_url\"?"},
        Case{"", "zzz = 1", "zzz: unknown key; known here: access, admin_socket, arc, delivery, dkim"}));

INSTANTIATE_TEST_SUITE_P(
    listener, MainKeys,
    ::testing::Values(
        Case{"listener", "address = \"[::]:25\"", ""}, Case{"listener", "address = \"0.0.0.0:0\"", ""},
        Case{"listener", "address = \"localhost:25\"", ""}, Case{"listener", "address = \"fd:3\"", ""},
        Case{"listener", "address = \"systemd\"", ""}, Case{"listener", "address = \"systemd:smtp\"", ""},
        Case{"listener", "address = \"fd:x\"", "listener.address: \"fd:x\" is no address"},
        Case{"listener", "address = \"127.0.0.1\"", "listener.address: \"127.0.0.1\" is no address"},
        Case{"listener", "address = \"127.0.0.1:65536\"", "is no address"},
        Case{"listener", "address = \"::1:25\"", "is no address"},
        Case{"listener", "address = \"mx.example:25\"", "is no address; write \"[::]:25\""},
        Case{"listener", "tls = \"none\"", ""}, Case{"listener", "tls = \"starttls\"", ""},
        Case{"listener", "tls = \"implicit\"", "listener.tls: is \"implicit\", but there is no [tls] section"},
        Case{"listener", "tls = \"startls\"",
             "listener.tls: \"startls\" is unknown; did you mean \"starttls\"? it must be one of: none, starttls, "
             "implicit"},
        Case{"listener", "proxy_protocol = \"off\"", ""},
        Case{"listener", "trusted_proxies = [\"192.0.2.0/24\", \"::1\"]", ""},
        Case{"listener", "trusted_proxies = [\"192.0.2.1/24\"]", "trusted_proxies: \"192.0.2.1/24\" is no network"},
        Case{"listener", "trusted_proxies = [\"192.0.2.0/33\"]", "trusted_proxies: \"192.0.2.0/33\" is no network"},
        Case{"listener", "port = 25", "listener.port: unknown key"}));

INSTANTIATE_TEST_SUITE_P(
    limits, MainKeys,
    ::testing::Values(
        Case{"limits", "message_size = \"25 MiB\"", ""}, Case{"limits", "message_size = 26214400", ""},
        Case{"limits", "message_size = \"1 KiB\"", ""},
        Case{"limits", "message_size = 1023",
             "limits.message_size: 1023 B is out of range; it must be from 1 KiB to 64 GiB"},
        Case{"limits", "message_size = \"25 MB\"", "limits.message_size: \"25 MB\" is no size; write a size such as"},
        Case{"limits", "message_size = -5", "limits.message_size: is a number; it must be a size"},
        Case{"limits", "message_size = true", "limits.message_size: is true or false"},
        Case{"limits", "recipients = 1", ""}, Case{"limits", "recipients = 0", "limits.recipients: 0 is out of range"},
        Case{"limits", "connections = 1000000", ""},
        Case{"limits", "connections = 1000001", "limits.connections: 1000001"},
        Case{"limits", "connections_per_ip = 1", ""}, Case{"limits", "connections_per_ip = 0", "connections_per_ip: 0"},
        Case{"limits", "memory = \"1 MiB\"", ""},
        Case{"limits", "memory = \"1023 KiB\"", "limits.memory: 1023 KiB is out of range"},
        Case{"limits", "memory = \"2 MiB\"\nspill_above = \"3 MiB\"",
             "limits.spill_above: is more than memory (2 MiB)"},
        Case{"limits", "spill_above = \"1 KiB\"", ""}, Case{"limits", "spill_above = 0", "limits.spill_above: 0 B"},
        Case{"limits", "command_timeout = \"1s\"", ""},
        Case{"limits", "command_timeout = \"999ms\"",
             "limits.command_timeout: 999ms is out of range; it must be from 1s to 1d"},
        Case{"limits", "command_timeout = \"0\"", "limits.command_timeout: 0s is out of range"},
        Case{"limits", "command_timeout = 300", "limits.command_timeout: is a number; it must be a time with a unit"},
        Case{"limits", "command_timeout = \"300\"", "limits.command_timeout: \"300\" is no time"},
        Case{"limits", "data_timeout = \"1h30m\"", ""},
        Case{"limits", "data_timeout = \"25h\"", "limits.data_timeout: 25h is out of range"},
        Case{"limits", "received_headers = 50", ""},
        Case{"limits", "received_headers = 0", "limits.received_headers: 0"}, Case{"limits", "spill = 0", ""},
        Case{"limits", "spill = \"x\"", "limits.spill: \"x\" is no size"}, Case{"limits", "ledger = 1000000", ""},
        Case{"limits", "memmory = 1", "limits.memmory: unknown key; did you mean \"memory\"?"}));

INSTANTIATE_TEST_SUITE_P(
    dns_log, MainKeys,
    ::testing::Values(
        Case{"dns", "servers = [\"127.0.0.1:5353\", \"[::1]:53\"]", ""}, Case{"dns", "servers = []", ""},
        Case{"dns", "servers = [\"127.0.0.1\"]", "dns.servers: \"127.0.0.1\" is no server"},
        Case{"dns", "servers = [\"127.0.0.1:0\"]", "is no server"},
        Case{"dns", "servers = [\"ns.example:53\"]", "is no server"}, Case{"dns", "timeout = \"1s\"", ""},
        Case{"dns", "timeout = \"61s\"", "dns.timeout: 61s is out of range"}, Case{"dns", "attempts = 1", ""},
        Case{"dns", "attempts = 11", "dns.attempts: 11"}, Case{"dns", "trust_ad = \"never\"", ""},
        Case{"dns", "trust_ad = \"always\"", ""}, Case{"dns", "trust_ad = \"loopback\"", ""},
        Case{"dns", "trust_ad = \"yes\"", "dns.trust_ad: \"yes\" is unknown"}, Case{"log", "format = \"text\"", ""},
        Case{"log", "format = \"xml\"", "log.format: \"xml\" is unknown"}, Case{"log", "level = \"debug\"", ""},
        Case{"log", "level = \"warning\"", "log.level: \"warning\" is unknown; it must be one of"},
        Case{"log", "level = \"eror\"", "did you mean \"error\"?"}, Case{"log", "activity_days = 0", ""},
        Case{"log", "activity_days = 30", ""}, Case{"log", "activity_days = -1", "log.activity_days: -1"},
        Case{"https", "listen = \"\"", ""}, Case{"https", "listen = \"[::]:443\"", "https.listen: needs certificates"},
        Case{"metrics", "listen = \"\"", ""}, Case{"metrics", "listen = \"127.0.0.1:9254\"", ""},
        Case{"metrics", "listen = \"metrics.example:9254\"",
             "metrics.listen: \"metrics.example:9254\" is no address"}));

INSTANTIATE_TEST_SUITE_P(
    srs_dkim_tls, MainKeys,
    ::testing::Values(
        Case{"srs", "domain = \"\"", "srs.domain: is empty"},
        Case{"srs", "domain = \"a b\"", "srs.domain: is no domain"}, Case{"srs", "max_age = \"1d\"", ""},
        Case{"srs", "max_age = \"365d\"", ""},
        Case{"srs", "max_age = \"23h\"", "srs.max_age: 23h is out of range; it must be from 1d to"},
        Case{"srs", "max_age = \"25h\"", "srs.max_age: must be whole days"},
        Case{"srs", "max_age = \"366d\"", "srs.max_age: 366d"}, Case{"srs", "hash = \"sha1\"", ""},
        Case{"srs", "hash = \"md5\"", "srs.hash: \"md5\" is unknown"}, Case{"srs", "accept_sha1_secrets = \"\"", ""},
        Case{"srs", "accept_sha1_secrets = 1", "srs.accept_sha1_secrets: is a number"},
        Case{"srs", "secrets_file = \"\"", "srs.secrets_file: is empty"},
        Case{"srs", "secret_file = \"\"", "did you mean \"secrets_file\"?"},
        Case{"dkim",
             "domain = \"d.example\"\nkeys = [{selector = \"a\", file = \"f\"}, {selector = \"b.c-1\", file = \"g\"}]",
             ""},
        Case{"dkim", "domain = \"d.example\"", "dkim.keys: is missing"},
        Case{"dkim", "keys = []", "dkim.domain: is missing; write for example domain = \"forward.example\""},
        Case{"dkim", "domain = \"d_x\"\nkeys = []", "dkim.domain: is no domain"},
        Case{"dkim", "domain = \"d.example\"\nkeys = [{selector = \"a\"}]", "dkim.keys.file: is missing"},
        Case{"dkim", "domain = \"d.example\"\nkeys = [{selector = \"a b\", file = \"f\"}]",
             "dkim.keys.selector: is no selector"},
        Case{"dkim",
             "domain = \"d.example\"\nkeys = [{selector = \"a\", file = \"f\"}, {selector = \"A\", file = \"g\"}]",
             "dkim.keys.selector: \"a\" is there twice"},
        Case{"dkim", "domain = \"d.example\"\nkeys = [\"a\"]",
             "dkim.keys: holds a string; it must be a list of tables"},
        Case{"dkim", "domain = \"d.example\"\nkeys = [{selector = \"a\", file = \"f\", bits = 1}]",
             "dkim.keys.bits: unknown key"},
        Case{"tls", "certificate = \"c\"\nkey = \"k\"", ""}, Case{"tls", "certificate = \"c\"", "tls.key: is missing"},
        Case{"tls", "certificate = \"c\"\nkey = \"k\"\nmore = [{certificate = \"d\", key = \"l\"}]", ""},
        Case{"tls", "certificate = \"c\"\nkey = \"k\"\nmore = [{key = \"l\"}]", "tls.more.certificate: is missing"},
        Case{"tls", "certificate = \"c\"\nkey = \"k\"\nmin_version = \"1.1\"", ""},
        Case{"tls", "certificate = \"c\"\nkey = \"k\"\nmin_version = \"1.0\"", "tls.min_version: \"1.0\" is unknown"},
        Case{"tls", "certificate = \"c\"\nkey = \"k\"\nmin_version = 1.2",
             "tls.min_version: is a number with a fraction"},
        Case{"tls", "certificate = \"c\"\nkey = \"k\"\nciphers = \"HIGH\"\nciphersuites = \"\"", ""}));

INSTANTIATE_TEST_SUITE_P(
    policy, MainKeys,
    ::testing::Values(
        Case{"policy", "early_talker = \"off\"", ""},
        Case{"policy", "early_talker = \"warn\"", "policy.early_talker: \"warn\" is unknown"},
        Case{"policy", "early_talker_delay = \"0s\"", ""}, Case{"policy", "early_talker_delay = \"2s\"", ""},
        Case{"policy", "early_talker_delay = \"2m\"",
             "policy.early_talker_delay: 2m is out of range; it must be from 1ms to 1m, or \"0s\" for off"},
        Case{"policy", "spf = \"off\"", ""}, Case{"policy", "spf = \"dmarc\"", ""},
        Case{"policy", "spf = \"on\"", "policy.spf: \"on\" is unknown"}, Case{"policy", "dmarc = \"off\"", ""},
        Case{"policy", "dmarc = \"enforce\"", ""}, Case{"policy", "require_auth = \"none\"", ""},
        Case{"policy", "require_auth = \"spf-or-dkim\"", ""}, Case{"policy", "forecast = \"off\"", ""},
        Case{"policy", "forecast = \"warn\"", ""}, Case{"policy", "rdns = \"off\"", ""},
        Case{"policy", "rdns = \"defer\"", ""}, Case{"policy", "helo = \"off\"", ""},
        Case{"policy", "helo = \"reject\"", ""}, Case{"policy", "sender_domain = \"off\"", ""},
        Case{"policy", "sender_domain = \"reject\"", ""}, Case{"policy", "dmarc_quarantine = \"tag\"", ""},
        Case{"policy", "dmarc_discovery = \"psl\"", ""}, Case{"policy", "rdns_causes = []", ""},
        Case{"policy", "rdns_causes = [\"missing\"]", ""}, Case{"policy", "dnsbl_threshold = 1", ""},
        Case{"policy", "dnsbl_threshold = 0", "policy.dnsbl_threshold: 0 is out of range"},
        Case{"policy", "rate = {}", ""}, Case{"policy", "rate = { messages_per_ip = \"off\" }", ""},
        Case{"policy", "rate = { messages_per_ip = \"300/min\" }", ""},
        Case{"policy", "rate = { recipients_per_ip = \"1/s\" }", ""},
        Case{"policy", "rate = { unknown_recipients = \"20/session\" }", ""},
        Case{"policy", "rate = { unknown_recipients = \"off\" }", ""},
        Case{"policy", "rate = { unknown_recipients = \"20/min\" }",
             "policy.rate.unknown_recipients: \"20/min\" is no rate; write for example \"20/session\""},
        Case{"policy", "rate = { mesages_per_ip = \"off\" }",
             "policy.rate.mesages_per_ip: unknown key; did you mean \"messages_per_ip\"?"},
        Case{"policy", "greylist = { mode = \"off\", delay = \"5m\", keep = \"30d\" }", ""},
        Case{"policy", "greylist = { mode = \"on\" }", ""},
        Case{"policy", "greylist = { delay = \"x\" }", "policy.greylist.delay: \"x\" is no time"},
        Case{"policy", "exceptions = []", ""},
        Case{"policy", "exceptions = [{match = \"192.0.2.0/24\", skip = [\"dmarc\"], why = \"w\"}]", ""},
        Case{"arc", "seal = false", ""}, Case{"arc", "seal = true", ""}, Case{"arc", "trusted_sealers = []", ""},
        Case{"arc", "trusted_sealers = [\"a.example\"]", ""}, Case{"access", "rules = []", ""},
        Case{"access", "rules = [{match = \"AS64500\", action = \"block\"}]", ""}, Case{"access", "geoip = {}", ""},
        Case{"access", "geoip = {asn = \"a.mmdb\"}", ""}, Case{"queue", "", ""},
        Case{"queue", "lifetime = \"5d\"", ""}));

INSTANTIATE_TEST_SUITE_P(
    delivery, MainKeys,
    ::testing::Values(
        Case{"delivery", "prefer = \"ipv4\"", ""},
        Case{"delivery", "prefer = \"v4\"", "delivery.prefer: \"v4\" is unknown"}, Case{"delivery", "port = 1", ""},
        Case{"delivery", "port = 65535", ""}, Case{"delivery", "port = 0", "delivery.port: 0"},
        Case{"delivery", "port = 65536", "delivery.port: 65536"}, Case{"delivery", "connect_timeout = \"1s\"", ""},
        Case{"delivery", "connect_timeout = \"0s\"", "delivery.connect_timeout: 0s"},
        Case{"delivery", "command_timeout = \"1h\"", ""},
        Case{"delivery", "command_timeout = \"61m\"", "delivery.command_timeout: 61m"},
        Case{"delivery", "rcpt_patience = \"1s\"", ""},
        Case{"delivery", "rcpt_patience = \"541s\"", "delivery.rcpt_patience: is more than deadline"},
        Case{"delivery", "deadline = \"25s\"", ""}, Case{"delivery", "handoff = \"0s\"", ""},
        Case{"delivery", "handoff = \"20s\"", ""}, Case{"delivery", "tls = \"none\"", ""},
        Case{"delivery", "tls = \"opportunistic\"", ""}, Case{"delivery", "tls = \"encrypt\"", ""},
        Case{"delivery", "tls = \"verify\"", ""},
        Case{"delivery", "tls = \"dane\"", "delivery.tls: \"dane\" is unknown"},
        Case{"delivery", "tls_fallback = \"always\"", ""}, Case{"delivery", "tls_fallback = \"remembered\"", ""},
        Case{"delivery", "tls_fallback = \"never\"", ""}, Case{"delivery", "tls_ca_file = \"\"", ""},
        Case{"delivery", "tls_ca_file = \"ca.pem\"", ""}, Case{"delivery", "dane = false", ""},
        Case{"delivery", "dane = true", ""},
        Case{"delivery", "dane = \"no\"", "delivery.dane: is a string; it must be true or false"},
        Case{"delivery", "mta_sts = false", ""}, Case{"delivery", "mta_sts = true", ""},
        Case{"delivery", "source_ipv4 = [\"192.0.2.1\", {address = \"192.0.2.2\", helo = \"b.example\"}]", ""},
        Case{"delivery", "source_ipv4 = [\"::1\"]", "delivery.source_ipv4: \"::1\" is no IPv4 address"},
        Case{"delivery", "source_ipv6 = [\"2001:db8::1\"]", ""},
        Case{"delivery", "source_ipv6 = [\"192.0.2.1\"]", "delivery.source_ipv6: \"192.0.2.1\" is no IPv6 address"},
        Case{"delivery", "source_ipv6 = [{helo = \"b.example\"}]", "delivery.source_ipv6.address: is missing"},
        Case{"delivery", "source_ipv4 = [{address = \"192.0.2.2\", helo = \"b b\"}]",
             "delivery.source_ipv4.helo: is no host name"},
        Case{"delivery", "connections_per_destination = 1", ""},
        Case{"delivery", "connections_per_destination = 0", "connections_per_destination: 0"},
        Case{"delivery", "private_destinations = true", ""},
        Case{"delivery", "private_destinations = 1", "private_destinations: is a number"},
        Case{"delivery", "errors = \"code-only\"", ""},
        Case{"delivery", "errors = \"code_only\"", "did you mean \"code-only\"?"},
        Case{"delivery", "custody = \"inline\"", ""}, Case{"delivery", "custody = \"queue\"", ""},
        Case{"route", "domain = \"*\"", ""}, Case{"route", "domain = \"a b\"", "route.domain: is no domain"},
        Case{"route", "via = [\"[::1]:2526\", \"mx.example:25\", \"mx:host.example\"]", ""},
        Case{"route", "via = []", "route.via: is empty"},
        Case{"route", "via = [\"host.example\"]", "route.via: \"host.example\" is no host"},
        Case{"route", "via = [\"192.0.2.256:25\"]", "is no host"},
        Case{"route", "via = [\"host.example:0\"]", "is no host"}, Case{"route", "via = [\"mx:\"]", "is no host"},
        Case{"route", "via = [\"mx:192.0.2.1:25\"]", "is no host"}, Case{"route", "protocol = \"lmtp\"", ""},
        Case{"route", "protocol = \"http\"", "route.protocol: \"http\" is unknown"},
        Case{"route", "tls = \"none\"", ""}, Case{"route", "tls = \"verify\"", ""}));

TEST(MainText, every_mistake_of_many_is_named) {
  const auto found = mistakes(main_toml("", R"(
[access]
rules = [ {match = "192.0.2.1/24", action = "allow"}, {match = "country:xx", action = "deny"}, {match = "AS1", action = "block", x = 1} ]
[[dnsbl]]
name = "zen"
zone = "zen.example"
listed = ["127.0.0.2-127.0.0.11", "127.0.0.9-127.0.0.2", "::1"]
weight = 101
kind = "url"
[[dnsbl]]
name = "zen"
zone = "a b"
[policy]
exceptions = [ {match = "a b", skip = ["dmrac"]}, {match = "x@y.example"} ]
rdns_causes = ["never"]
[queue]
retry = ["1m", "x"]
lifetime = "0s"
delay_notice = "0"
)"));
  for (const char* expected :
       {"access.rules.match: \"192.0.2.1/24\" matches nothing", "access.rules.match: \"country:xx\"",
        "access.rules.action: \"deny\" is unknown", "access.rules.x: unknown key",
        "dnsbl.listed: \"127.0.0.9-127.0.0.2\" is no range", "dnsbl.listed: \"::1\"",
        "dnsbl.weight: 101 is out of range", "dnsbl.kind: \"url\" is unknown", "dnsbl.name: \"zen\" is there twice",
        "dnsbl.zone: is no domain", "policy.exceptions.match: \"a b\" is neither",
        "policy.exceptions.skip: \"dmrac\" is no check", "policy.exceptions.skip: is missing",
        "policy.rdns_causes: \"never\" is unknown", "queue.retry: \"x\" is no time",
        "queue.lifetime: 0s is out of range"}) {
    EXPECT_THAT(found, HasSubstr(expected));
  }
  EXPECT_THAT(found, ::testing::Not(HasSubstr("delay_notice")));
}

TEST(MainText, admission_by_default) {
  using Admission = policy::AdmissionSettings;
  const auto parsed = parse(main_toml(""));
  const auto& admission = parsed.text.config.forwarding.admission;
  EXPECT_TRUE(admission.lists.empty());
  EXPECT_EQ(admission.dnsbl_threshold, 1);
  EXPECT_EQ(admission.rdns, Admission::Rdns::warn);
  EXPECT_TRUE(admission.rdns_causes.missing);
  EXPECT_TRUE(admission.rdns_causes.unconfirmed);
  EXPECT_FALSE(admission.rdns_causes.helo_mismatch);
  EXPECT_EQ(admission.helo, Admission::Helo::warn);
  EXPECT_EQ(admission.sender_domain, Admission::Sender::reject);
  EXPECT_EQ(admission.messages_per_client, (policy::RateLimit{300, std::chrono::seconds(60)}));
  EXPECT_EQ(admission.recipients_per_client, (policy::RateLimit{600, std::chrono::seconds(60)}));
  EXPECT_FALSE(admission.messages_per_sender_domain.active());
  EXPECT_FALSE(admission.recipients_per_rule.active());
  EXPECT_FALSE(admission.recipients_per_destination.active());
  EXPECT_FALSE(admission.greylist.on);
}

TEST(MainText, admission_as_written) {
  using Admission = policy::AdmissionSettings;
  const auto parsed = parse(main_toml("", R"(
[access]
rules = [ {match = "192.0.2.0/24", action = "allow"}, {match = "AS64500", action = "block"}, {match = "country:XX", action = "block"} ]
geoip = { country = "c.mmdb", asn = "a.mmdb" }
[[dnsbl]]
name = "zen"
zone = "Key.Zen.example"
listed = ["127.0.0.2-127.0.0.11", "127.0.0.20"]
[[dnsbl]]
name = "white"
zone = "white.example"
weight = -2
kind = "domain"
[policy]
dnsbl_threshold = 3
rdns = "defer"
rdns_causes = ["helo-mismatch"]
helo = "reject"
sender_domain = "off"
rate = { messages_per_ip = "5/s", recipients_per_ip = "off", unknown_recipients = "7/session", messages_per_sender_domain = "8/h", recipients_per_rule = "9/d", recipients_per_destination = "10/min" }
greylist = { mode = "on", delay = "1m", keep = "2d" }
)"));
  EXPECT_EQ(lines(parsed.report.errors), "");
  const auto& admission = parsed.text.config.forwarding.admission;
  ASSERT_EQ(parsed.text.access.rules.size(), 3U);
  EXPECT_EQ(parsed.text.access.rules[0].action, policy::AccessAction::allow);
  EXPECT_EQ(parsed.text.access.rules[1].to_string(), "AS64500");
  EXPECT_EQ(parsed.text.access.country.value, "c.mmdb");
  EXPECT_EQ(parsed.text.access.asn.value, "a.mmdb");
  ASSERT_EQ(admission.lists.size(), 2U);
  EXPECT_EQ(admission.lists[0].zone, "key.zen.example");
  EXPECT_EQ(admission.lists[0].listed.size(), 2U);
  EXPECT_EQ(admission.lists[0].weight, 1);
  EXPECT_EQ(admission.lists[1].weight, -2);
  EXPECT_EQ(admission.lists[1].kind, policy::DnsblZone::Kind::domain);
  EXPECT_EQ(admission.dnsbl_threshold, 3);
  EXPECT_EQ(admission.rdns, Admission::Rdns::defer);
  EXPECT_FALSE(admission.rdns_causes.missing);
  EXPECT_FALSE(admission.rdns_causes.unconfirmed);
  EXPECT_TRUE(admission.rdns_causes.helo_mismatch);
  EXPECT_EQ(admission.helo, Admission::Helo::reject);
  EXPECT_EQ(admission.sender_domain, Admission::Sender::off);
  EXPECT_EQ(admission.messages_per_client, (policy::RateLimit{5, std::chrono::seconds(1)}));
  EXPECT_FALSE(admission.recipients_per_client.active());
  EXPECT_EQ(parsed.text.config.smtp.unknown_recipients, 7U);
  EXPECT_EQ(admission.messages_per_sender_domain, (policy::RateLimit{8, std::chrono::seconds(3600)}));
  EXPECT_EQ(admission.recipients_per_rule, (policy::RateLimit{9, std::chrono::seconds(86400)}));
  EXPECT_EQ(admission.recipients_per_destination, (policy::RateLimit{10, std::chrono::seconds(60)}));
  EXPECT_TRUE(admission.greylist.on);
  EXPECT_EQ(admission.greylist.delay, std::chrono::minutes(1));
  EXPECT_EQ(admission.greylist.keep, std::chrono::hours(48));
}

// OP-05: a zone may hold a customer's key.
TEST(MainText, no_mistake_prints_a_zone) {
  for (const char* zone : {"SECRETKEY.zen example", "SECRETKEY..example"}) {
    const auto found = mistakes(main_toml("", "[[dnsbl]]\nname = \"zen\"\nweight = 101\nzone = \"" + std::string(zone) +
                                                  "\"\n[[dnsbl]]\nname = \"a b\"\nzone = \"SECRETKEY.example\"\n"));
    EXPECT_THAT(found, HasSubstr("dnsbl.zone: is no domain"));
    EXPECT_THAT(found, HasSubstr("dnsbl.name: is printed in replies"));
    EXPECT_THAT(found, ::testing::Not(HasSubstr("SECRETKEY")));
  }
}

TEST(MainText, values_arrive_where_they_belong) {
  const auto parsed = parse(main_toml(
      "hostname = \"MX.Example\"\nthreads = 3\nuser = \"mailer\"\nhelp_url = \"https://h.example/\"\nstate_dir = \"s\"",
      R"(
[[listener]]
address = "[::1]:2525"
tls = "none"
[limits]
message_size = "1 MiB"
recipients = 7
connections = 8
connections_per_ip = 9
memory = "4 MiB"
spill_above = "64 KiB"
command_timeout = "11s"
data_timeout = "12s"
received_headers = 13
spill = "14 MiB"
[dns]
servers = ["127.0.0.1:5353"]
timeout = "2s"
attempts = 4
[log]
format = "text"
level = "error"
[policy]
early_talker = "off"
early_talker_delay = "1500ms"
rate = { unknown_recipients = "5/session" }
[delivery]
prefer = "ipv4"
port = 2525
connect_timeout = "3s"
command_timeout = "4s"
rcpt_patience = "5s"
deadline = "6s"
tls = "none"
source_ipv4 = [{address = "192.0.2.2", helo = "B.example"}]
source_ipv6 = ["2001:db8::1"]
connections_per_destination = 15
private_destinations = true
errors = "full"
[[route]]
domain = "Inbox.example"
via = ["[::1]:2526", "mx:Host.example"]
protocol = "lmtp"
tls = "none"
)"));
  ASSERT_EQ(lines(parsed.report.errors), "");
  const auto& c = parsed.text.config;
  EXPECT_EQ(c.smtp.hostname, "mx.example");
  EXPECT_EQ(c.forwarding.hostname, "mx.example");
  EXPECT_EQ(c.smtp.help_url, "https://h.example/");
  EXPECT_EQ(c.forwarding.help_url, "https://h.example/");
  EXPECT_EQ(c.threads, 3U);
  EXPECT_EQ(c.user, "mailer");
  EXPECT_EQ(c.state_dir, "s");
  EXPECT_EQ(c.admin_socket, "/run/onward/admin.sock");
  ASSERT_EQ(c.listeners.size(), 2U);
  EXPECT_EQ(c.listeners[0].tls, smtpd::TlsMode::starttls);
  EXPECT_EQ(c.listeners[1].address, "[::1]:2525");
  EXPECT_EQ(c.listeners[1].tls, smtpd::TlsMode::none);
  EXPECT_EQ(c.smtp.message_size, 1U << 20);
  EXPECT_EQ(c.forwarding.message_size, 1U << 20);
  EXPECT_EQ(c.smtp.recipients, 7U);
  EXPECT_EQ(c.forwarding.recipients, 7U);
  EXPECT_EQ(c.smtp.connections, 8U);
  EXPECT_EQ(c.limits.connections, 8U);
  EXPECT_EQ(c.smtp.connections_per_ip, 9U);
  EXPECT_EQ(c.limits.memory, 4U << 20);
  EXPECT_EQ(c.limits.spill_above, 64U << 10);
  EXPECT_EQ(c.forwarding.spill_above, 64U << 10);
  EXPECT_EQ(c.smtp.command_timeout, 11s);
  EXPECT_EQ(c.smtp.data_timeout, 12s);
  EXPECT_EQ(c.forwarding.received_headers, 13U);
  EXPECT_EQ(c.limits.spill, 14U << 20);
  ASSERT_EQ(c.dns.servers.size(), 1U);
  EXPECT_EQ(c.dns.servers[0].to_string(), "127.0.0.1:5353");
  EXPECT_EQ(c.dns.timeout, 2s);
  EXPECT_EQ(c.dns.attempts, 4U);
  EXPECT_EQ(c.log.format, core::LogFormat::text);
  EXPECT_EQ(c.log.level, core::LogLevel::error);
  EXPECT_FALSE(c.smtp.reject_early_talkers);
  EXPECT_EQ(c.smtp.early_talker_delay, 1500ms);
  EXPECT_EQ(c.smtp.unknown_recipients, 5U);
  const auto& d = c.forwarding.delivery;
  EXPECT_EQ(d.prefer, forwarder::Family::ipv4);
  EXPECT_EQ(d.port, 2525);
  EXPECT_EQ(d.connect_timeout, 3s);
  EXPECT_EQ(d.command_timeout, 4s);
  EXPECT_EQ(d.rcpt_patience, 5s);
  EXPECT_EQ(d.deadline, 6s);
  EXPECT_EQ(d.tls, forwarder::UpstreamTls::none);
  ASSERT_EQ(d.source_ipv4.size(), 1U);
  EXPECT_EQ(d.source_ipv4[0].address.to_string(), "192.0.2.2");
  EXPECT_EQ(d.source_ipv4[0].helo, "b.example");
  ASSERT_EQ(d.source_ipv6.size(), 1U);
  EXPECT_EQ(d.source_ipv6[0].address.to_string(), "2001:db8::1");
  EXPECT_EQ(d.connections_per_destination, 15U);
  EXPECT_TRUE(d.private_destinations);
  EXPECT_EQ(d.errors, forwarder::ErrorDetail::full);
  ASSERT_EQ(c.forwarding.next_hops.size(), 1U);
  const auto& hop = c.forwarding.next_hops[0];
  EXPECT_EQ(hop.domain, "inbox.example");
  EXPECT_EQ(hop.protocol, forwarder::Protocol::lmtp);
  EXPECT_EQ(hop.tls, forwarder::UpstreamTls::none);
  ASSERT_EQ(hop.via.size(), 2U);
  EXPECT_EQ(hop.via[0].host, "::1");
  EXPECT_EQ(hop.via[0].port, 2526);
  EXPECT_TRUE(hop.via[1].mx);
  EXPECT_EQ(hop.via[1].host, "host.example");
  EXPECT_EQ(hop.via[1].port, 2525) << "an MX is asked on the port of [delivery]";
}

TEST(MainText, defaults_are_those_of_the_interface) {
  const auto parsed = parse(main_toml(""));
  ASSERT_EQ(lines(parsed.report.errors), "");
  const auto& c = parsed.text.config;
  EXPECT_EQ(c.state_dir, "/var/lib/onward");
  EXPECT_EQ(c.admin_socket, "/run/onward/admin.sock");
  EXPECT_EQ(c.user, "onward");
  EXPECT_EQ(c.smtp.message_size, 26'214'400U);
  EXPECT_EQ(c.smtp.recipients, 100U);
  EXPECT_EQ(c.smtp.connections, 10'000U);
  EXPECT_EQ(c.smtp.connections_per_ip, 50U);
  EXPECT_EQ(c.limits.memory, 512ULL << 20);
  EXPECT_EQ(c.limits.spill, 10ULL << 30);
  EXPECT_EQ(c.limits.spill_above, 256U << 10);
  EXPECT_EQ(c.smtp.command_timeout, 300s);
  EXPECT_EQ(c.smtp.data_timeout, 180s);
  EXPECT_EQ(c.forwarding.received_headers, 50U);
  EXPECT_EQ(c.dns.timeout, 5s);
  EXPECT_EQ(c.dns.attempts, 2U);
  EXPECT_EQ(parsed.text.srs.max_age, 21 * 24h);
  EXPECT_EQ(parsed.text.srs.hash, srs::Hash::sha256);
  EXPECT_TRUE(c.smtp.reject_early_talkers);
  EXPECT_EQ(c.smtp.unknown_recipients, 20U);
  const auto& d = c.forwarding.delivery;
  EXPECT_EQ(d.prefer, forwarder::Family::ipv6);
  EXPECT_EQ(d.connect_timeout, 10s);
  EXPECT_EQ(d.command_timeout, 60s);
  EXPECT_EQ(d.rcpt_patience, 25s);
  EXPECT_EQ(d.deadline, 540s);
  EXPECT_EQ(d.tls, forwarder::UpstreamTls::opportunistic);
  EXPECT_EQ(d.errors, forwarder::ErrorDetail::masked);
  EXPECT_FALSE(d.private_destinations);
  EXPECT_EQ(d.connections_per_destination, 20U);
}

TEST(MainText, sections_that_must_be_there) {
  EXPECT_THAT(mistakes(main_toml("", "", "")), HasSubstr("srs: is missing; write [srs]"));
  EXPECT_THAT(mistakes(main_toml("", "", "[srs]\n", "")), HasSubstr("listener: is missing; write [[listener]]"));
  EXPECT_THAT(mistakes("[[listener]]\naddress = \"127.0.0.1:0\"\n"), HasSubstr("o.toml: hostname: is missing"));
  EXPECT_EQ(mistakes(main_toml("listner = 1")), "o.toml:4: listner: unknown key; did you mean \"listener\"?\n");
  EXPECT_THAT(mistakes(main_toml("", "[listner]\n")),
              HasSubstr("listner: unknown section; did you mean \"listener\"?"));
  EXPECT_THAT(mistakes("srs = 1\n" + main_toml("", "", "")),
              HasSubstr("o.toml:1: srs: is a number; it must be a section: [srs] on a line of its own"));
  EXPECT_THAT(mistakes(main_toml("", "", "[srs]\ndomain=\"s.example\"\nsecrets_file=\"s\"\n",
                                 "[listener]\naddress = \"127.0.0.1:0\"\n")),
              HasSubstr("listener: is a table; it must be a list"));
}

TEST(MainText, listeners_that_would_collide) {
  const auto two = [](const std::string& a, const std::string& b) {
    return mistakes(main_toml("", "[[listener]]\naddress = \"" + a + "\"\n[[listener]]\naddress = \"" + b + "\"\n"));
  };
  EXPECT_THAT(two("[::1]:25", "[0::1]:25"),
              HasSubstr("listener.address: [::1]:25 is already taken by [::1]:25 (o.toml:10)"));
  EXPECT_THAT(two("[::]:25", "127.0.0.1:25"), HasSubstr("already taken"));
  EXPECT_THAT(two("127.0.0.1:25", "0.0.0.0:25"), HasSubstr("already taken"));
  EXPECT_THAT(two("fd:3", "fd:3"), HasSubstr("already taken"));
  EXPECT_EQ(two("[::]:25", "[::]:26"), "");
  EXPECT_EQ(two("0.0.0.0:25", "[::1]:25"), "");
  EXPECT_EQ(two("127.0.0.1:25", "127.0.0.2:25"), "");
  EXPECT_EQ(two("127.0.0.1:0", "127.0.0.1:0"), "");
}

TEST(MainText, a_proxy_needs_to_be_trusted) {
  const auto found = mistakes(main_toml("", "", "[srs]\ndomain = \"s.example\"\nsecrets_file = \"s\"\n",
                                        "[[listener]]\naddress = \"[::]:25\"\nproxy_protocol = \"v2\"\n"));
  EXPECT_THAT(found, HasSubstr("listener.proxy_protocol: needs trusted_proxies"));
  for (const auto& [word, mode] : {std::pair("v1", net::ProxyMode::v1), std::pair("v2", net::ProxyMode::v2),
                                   std::pair("auto", net::ProxyMode::either)}) {
    const auto toml = main_toml("", "", "[srs]\ndomain = \"s.example\"\nsecrets_file = \"s\"\n",
                                std::string("[[listener]]\naddress = \"[::]:25\"\nproxy_protocol = \"") + word +
                                    "\"\ntrusted_proxies = [\"192.0.2.0/24\", \"::1\"]\n");
    EXPECT_EQ(mistakes(toml), "");
    const auto parsed = parse(toml);
    ASSERT_EQ(parsed.text.config.listeners.size(), 1U);
    EXPECT_EQ(parsed.text.config.listeners[0].proxy, mode);
    EXPECT_EQ(parsed.text.config.listeners[0].proxies.size(), 2U);
  }
}

TEST(MainText, two_routes_for_one_domain) {
  EXPECT_THAT(mistakes(main_toml("",
                                 "[[route]]\ndomain=\"a.example\"\nvia=[\"h.example:25\"]\n[[route]]\ndomain=\"A."
                                 "example\"\nvia=[\"h.example:25\"]\n")),
              HasSubstr("route.domain: a.example has a route already"));
}

TEST(MainText, every_mistake_has_its_line_and_all_are_told) {
  EXPECT_EQ(mistakes("hostname = \"mx.example\"\n"
                     "thread = 1\n"
                     "domains = [\n"
                     "  \"a.toml\",\n"
                     "  5,\n"
                     "]\n"
                     "postmaster = \"ops@out.example\"\n"
                     "[[listener]]\n"
                     "address = \"here\"\n"
                     "[limits]\n"
                     "memory = \"lots\"\n"
                     "\n"
                     "recipients = 0\n"
                     "[srs]\n"
                     "domain = \"s.example\"\n"),
            "o.toml:5: domains: is a number; it must be a string or a table\n"
            "o.toml:9: listener.address: \"here\" is no address; write \"[::]:25\", \"192.0.2.1:25\", \"fd:3\" or "
            "\"systemd\"\n"
            "o.toml:13: limits.recipients: 0 is out of range; it must be from 1 to 100000\n"
            "o.toml:11: limits.memory: \"lots\" is no size; write a size such as \"25 MiB\" (B, KiB, MiB, GiB, TiB)\n"
            "o.toml:14: srs.secrets_file: is missing; write for example secrets_file = \"keys/srs.secrets\"\n"
            "o.toml:2: thread: unknown key; did you mean \"threads\"?\n");
}

TEST(MainText, syntax_errors_have_their_line) {
  EXPECT_THAT(mistakes("hostname = \"a\"\n\nx = = 1\n"), ::testing::StartsWith("o.toml:3: is no TOML: "));
  EXPECT_THAT(mistakes("a = 1\na = 2\n"), ::testing::StartsWith("o.toml:2: is no TOML: "));
  EXPECT_THAT(mistakes("[limits]\n[limits]\n"), ::testing::StartsWith("o.toml:2: is no TOML: "));
  EXPECT_THAT(mistakes("a = \"\xff\"\n"), ::testing::StartsWith("o.toml:1: is no TOML: "));
  EXPECT_THAT(mistakes(std::string("a = 1\0", 6)), ::testing::StartsWith("o.toml:1: is no TOML: "));
  EXPECT_THAT(mistakes("a = " + std::string(100'000, '[')), ::testing::StartsWith("o.toml:1: is no TOML: "));
}

// No value with a line end or control octet gets anywhere, however it is written.
TEST(Threats, OP_02_control_octets_in_values_are_refused) {
  for (const char* value : {"\"a\\nb\"", "\"a\\rb\"", "\"a\\u0000b\"", "\"a\\u001bb\"", "\"a\\u007fb\"",
                            "\"a\\u0085b\"", "\"\"\"a\nb\"\"\"", "'''a\nb'''"}) {
    for (const char* key : {"hostname", "help_url", "state_dir", "user", "postmaster"}) {
      EXPECT_THAT(mistakes(main_toml(std::string(key) + " = " + value)),
                  HasSubstr(std::string(key) + ": has a line end or control character in it"))
          << value;
    }
    EXPECT_THAT(mistakes(main_toml("domains = [" + std::string(value) + "]")), HasSubstr("domains: has a line end"));
  }
  EXPECT_THAT(mistakes(main_toml("\"ev\\nil\" = 1")), HasSubstr("ev?il: unknown key"))
      << "a key cannot break the message's line either";
  EXPECT_THAT(mistakes(main_toml("user = \"" + std::string(5000, 'x') + "\"")),
              HasSubstr("user: is longer than 4096 octets"));
}

TEST(NotYet, nothing_that_is_on_by_default_is_inactive) {
  EXPECT_EQ(lines(parse(main_toml("")).report.warnings), "");
}

TEST(MainText, what_is_legal_but_unwise_is_warned_about) {
  const auto warned = [](const std::string& toml) { return lines(parse(toml).report.warnings); };
  EXPECT_THAT(warned(main_toml("user = \"root\"")), HasSubstr("user: the daemon would stay root"));
  EXPECT_THAT(warned(main_toml("hostname = \"mx\"")), HasSubstr("hostname: has no domain"));
  EXPECT_THAT(warned("hostname = \"mx.example\"\n"), HasSubstr("postmaster: is missing"));
  EXPECT_THAT(warned("hostname = \"mx.example\"\n"), HasSubstr("domains: is missing"));
  EXPECT_THAT(warned(main_toml("", "[tls]\ncertificate=\"c\"\nkey=\"k\"\nmin_version = \"1.1\"\n")),
              HasSubstr("tls.min_version: 1.1 is for old partners"));
  EXPECT_THAT(warned(main_toml("", "[limits]\nmemory = \"1 MiB\"\nspill = 0\n")),
              HasSubstr("limits.message_size: is more than memory and more than spill"));
}

TEST(Values, nearest_word) {
  const std::vector<std::string_view> words{"memory", "message_size", "spill"};
  EXPECT_EQ(nearest("memroy", words), "memory");
  EXPECT_EQ(nearest("Memory", words), "memory");
  EXPECT_EQ(nearest("message-size", words), "message_size");
  EXPECT_EQ(nearest("spil", words), "spill");
  EXPECT_EQ(nearest("xyz", words), "");
  EXPECT_EQ(nearest(std::string(1000, 'm'), words), "");
}

TEST(Values, rates) {
  for (const char* good : {"1/s", "300/min", "5/h", "1000000000/d", "20/session", "off"})
    EXPECT_TRUE(parse_rate(good)) << good;
  for (const char* bad : {"", "0/min", "1", "/min", "1/", "1/m", "1/minute", "-1/min", "1000000001/d", " 1/min", "OFF"})
    EXPECT_FALSE(parse_rate(bad)) << bad;
  using std::chrono::seconds;
  EXPECT_EQ(limit_of(*parse_rate("7/s")), (policy::RateLimit{7, seconds(1)}));
  EXPECT_EQ(limit_of(*parse_rate("7/min")), (policy::RateLimit{7, seconds(60)}));
  EXPECT_EQ(limit_of(*parse_rate("7/h")), (policy::RateLimit{7, seconds(3600)}));
  EXPECT_EQ(limit_of(*parse_rate("7/d")), (policy::RateLimit{7, seconds(86400)}));
  EXPECT_FALSE(limit_of(*parse_rate("off")).active());
}

}  // namespace
}  // namespace app::test
