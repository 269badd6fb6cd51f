// The command line (interface.md §3): subcommands, with -c and --json before or after them. Exit 2 for what cannot be
// parsed.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <map>
#include <string>

#include "app/cli_docs.hpp"
#include "app/commands.hpp"
#include "app/config_page.hpp"
#include "app/metrics_text.hpp"
#include "app/replies_text.hpp"
#include "core/failpoint.hpp"
#include "core/ip.hpp"

namespace app {
namespace {

// -c FILE and --json belong to every command, on either side of its name (interface.md §6.1).
void add_common(CLI::App& command, GlobalOptions& global) {
  command.add_option("-c,--config", global.config, "configuration file")->capture_default_str();
  command.add_flag("--json", global.json, "print JSON");
}

// CLI11's checks say what is wrong before anything is done.
std::string is_ip_address(const std::string& text) {
  return core::IpAddress::parse(text) ? std::string() : "\"" + text + "\" is no IP address";
}

void add_dns(CLI::App& dns, GlobalOptions& global, DnsOptions& options, std::function<int()>& action) {
  dns.require_subcommand(1);
  auto* records = dns.add_subcommand("records", "what to publish, as zone-file lines");
  auto* check = dns.add_subcommand("check", "compare what is published with what must be there");
  for (auto* sub : {records, check}) {
    add_common(*sub, global);
    sub->add_option("DOMAIN", options.domain, "a forwarded domain, or one of our own names");
    sub->add_option("--address", options.addresses, "a public address of this machine, when it is behind NAT")
        ->check(is_ip_address, "IP");
  }
  records->add_option("--format", options.format, "zone, json or cloudflare (for its API)")
      ->check(CLI::IsMember({"zone", "json", "cloudflare"}))
      ->capture_default_str();
  check->add_flag("--all", options.all, "our own names and every forwarded domain")->excludes("DOMAIN");
  records->callback([&] { action = [&] { return cmd_dns_records(global, options); }; });
  check->callback([&] { action = [&] { return cmd_dns_check(global, options); }; });
}

void add_setup(CLI::App& setup, GlobalOptions& global, SetupOptions& options, std::function<int()>& action) {
  setup.add_option("--hostname", options.hostname, "name of this machine in DNS");
  setup.add_option("--domain", options.domain, "the first domain to forward");
  setup.add_option("--local-part", options.local_part, "what to forward, left of the @; * for all, the default");
  setup.add_option("--to", options.to, "where its mail goes");
  setup.add_option("--postmaster", options.postmaster, "where postmaster's mail goes; default: as --to");
  setup.add_option("--srs-domain", options.srs_domain, "domain of rewritten senders; default: the host name");
  setup.add_option("--listen", options.listen, "address and port; default: [::]:25");
  setup.add_option("--certificate", options.certificate, "PEM file, with --key");
  setup.add_option("--key", options.key, "PEM file");
  setup.add_option("--user", options.user, "account to run as; default: onward");
  setup.add_option("--address", options.addresses, "a public address of this machine, when it is behind NAT")
      ->check(is_ip_address, "IP");
  setup.callback([&] { action = [&] { return cmd_setup(global, options); }; });
}

void add_import(CLI::App& import, GlobalOptions& global, ImportOptions& options, std::function<int()>& action) {
  import.require_subcommand(1);
  const auto kind = [&](const char* name, const char* help) {
    auto* sub = import.add_subcommand(name, help);
    add_common(*sub, global);
    sub->add_option("FILE", options.files)->required();
    sub->add_option("--domain", options.domain, "the domain of entries that name none");
    sub->add_option("--out", options.out, "folder to write the domain files into; without it they are printed");
    sub->callback([&action, &global, &options, name] {
      options.system = name;
      action = [&global, &options] { return cmd_import(global, options); };
    });
    return sub;
  };
  kind("postfix", "virtual, alias and regexp tables")
      ->add_option("--origin", options.origin, "the domain of destinations that have none (myorigin)");
  kind("csv", "columns address, to; with or without a header");
  kind("cloudflare", "the list of rules as Cloudflare's API gives it");
}

}  // namespace

int run_command_line(int argc, const char* const* argv) {
  CLI::App cli{"Onward, a mail forwarder: in-session relay with SRS and DKIM", "onward"};
  cli.set_version_flag("--version", std::string("onward ") + ONWARD_VERSION);
  cli.require_subcommand(1);
  GlobalOptions global;
  add_common(cli, global);
  std::function<int()> action;

  const auto command = [&](CLI::App& parent, const char* name, const char* help) {
    auto* sub = parent.add_subcommand(name, help);
    add_common(*sub, global);
    return sub;
  };
  const auto plain = [&](const char* name, const char* help, int (*run)(const GlobalOptions&)) {
    command(cli, name, help)->callback([&action, &global, run] { action = [&global, run] { return run(global); }; });
  };
  plain("serve", "run in the foreground; SIGHUP reloads, SIGTERM drains and stops", cmd_serve);
  plain("reload", "make the daemon read its configuration again", cmd_reload);
  plain("drain", "finish what is under way, take nothing new, stop", cmd_drain);
  plain("stop", "the same as drain", cmd_stop);

  CheckOptions check;
  auto* check_command = command(cli, "check", "check configuration, keys, certificates, rules and their [[expect]]");
  check_command->add_option("--diff", check.against, "what a reload would change: against the running daemon, or FILE")
      ->expected(0, 1)
      ->type_name("FILE");
  check_command->callback([&, check_command] {
    check.diff = check_command->count("--diff") > 0;
    action = [&] { return cmd_check(global, check); };
  });

  StatusOptions status;
  auto* status_command = command(cli, "status", "what the daemon is doing");
  status_command->add_flag("--watch", status.watch, "again and again, in place; Ctrl-C ends it");
  status_command->add_option("--interval", status.interval, "between two looks of --watch")->capture_default_str();
  status_command->callback([&] { action = [&] { return cmd_status(global, status); }; });

  plain("recover", "check and repair state_dir after damage, saying what was lost", cmd_recover);

  QueueFilter filter;
  auto* queue = command(cli, "queue", "the queue: what is ours to deliver");
  queue->require_subcommand(1);
  const auto narrowed = [&](CLI::App& sub, bool with_id) {
    if (with_id) sub.add_option("ID", filter.id, "one message");
    sub.add_option("--to", filter.to, "destination domain");
    sub.add_option("--sender", filter.sender, "envelope sender: an address, @domain, or <>");
    sub.add_option("--rcpt", filter.rcpt, "recipient as the client said it: an address or @domain");
    sub.add_option("--state", filter.state, "active, deferred or hold")
        ->check(CLI::IsMember({"active", "deferred", "hold"}));
    sub.add_option("--older", filter.older, "in the queue for longer than, as in 2h");
    sub.add_flag("--all", filter.all, "everything");
  };
  auto* queue_list = command(*queue, "list", "the messages in the queue");
  narrowed(*queue_list, false);
  queue_list->callback([&] { action = [&] { return cmd_queue_list(global, filter); }; });
  auto* queue_show = command(*queue, "show", "one message, with every recipient");
  queue_show->add_option("ID", filter.id)->required();
  queue_show->callback([&] { action = [&] { return cmd_queue_show(global, filter); }; });
  std::string verb;
  const auto queue_command = [&](const char* name, const char* help) {
    auto* sub = command(*queue, name, help);
    narrowed(*sub, true);
    sub->callback([&, name] {
      verb = name;
      action = [&] { return cmd_queue_touch(global, verb, filter); };
    });
    return sub;
  };
  queue_command("retry", "try again now");
  queue_command("hold", "keep back until released")->add_option("--reason", filter.reason, "for whoever wonders later");
  queue_command("release", "end a hold");
  queue_command("fail", "give up now: the sender gets a delivery report");
  queue_command("delete", "remove without a word to the sender; it is logged");
  auto* rules = command(*queue, "rules", "hold rules: what comes is held too");
  rules->require_subcommand(1);
  auto* rules_list = command(*rules, "list", "the hold rules");
  rules_list->callback([&] {
    verb = "list";
    action = [&] { return cmd_queue_rule(global, verb, filter); };
  });
  auto* rules_add = command(*rules, "add", "hold what matches, from now on");
  rules_add->add_option("--to", filter.to, "destination domain");
  rules_add->add_option("--sender", filter.sender, "glob on the envelope sender; <> for bounces");
  rules_add->add_option("--rcpt", filter.rcpt, "glob on the recipient");
  rules_add->add_option("--reason", filter.reason, "for whoever wonders later");
  rules_add->add_option("--for", filter.lasts, "ends by itself after, as in 2h");
  rules_add->callback([&] {
    verb = "add";
    action = [&] { return cmd_queue_rule(global, verb, filter); };
  });
  auto* rules_remove = command(*rules, "remove", "end a hold rule and release what it holds");
  rules_remove->add_option("RULE", filter.id, "its number")->required();
  rules_remove->callback([&] {
    verb = "remove";
    action = [&] { return cmd_queue_rule(global, verb, filter); };
  });

  LogOptions log;
  auto* log_command = command(cli, "log", "the activity log: what became of each recipient");
  log_command->add_flag("--follow", log.follow, "go on printing what happens");
  log_command->add_option("--since", log.since, "not older than, as in 1h");
  log_command->add_option("--rcpt", log.rcpt, "recipient");
  log_command->add_option("--from", log.from, "envelope sender");
  log_command->add_option("--id", log.id, "of a message or session, or a Message-ID in <>");
  log_command->add_option("--status", log.status, "what became of it")
      ->check(CLI::IsMember({"forwarded", "rejected", "deferred", "queued", "dropped", "delivered", "bounced"}));
  log_command->add_option("--most", log.most, "rows")->check(CLI::Range(1, 1000))->capture_default_str();
  log_command->callback([&] { action = [&] { return cmd_log(global, log); }; });

  std::string trace_id;
  auto* trace = command(cli, "trace", "everything known of a session or message");
  trace->add_option("ID", trace_id, "of a message or session, or a Message-ID in <>")->required();
  trace->callback([&] { action = [&] { return cmd_trace(global, trace_id); }; });

  std::string fingerprint;
  std::size_t most_entries = 100;
  auto* ledger = command(cli, "ledger", "the delivery ledger: who has had our final dot");
  ledger->require_subcommand(1);
  auto* ledger_list = command(*ledger, "list", "the newest entries");
  ledger_list->add_option("--most", most_entries, "entries")->check(CLI::Range(1, 1000))->capture_default_str();
  ledger_list->callback([&] { action = [&] { return cmd_ledger(global, "", most_entries); }; });
  auto* ledger_show = command(*ledger, "show", "entries by their fingerprint");
  ledger_show->add_option("FINGERPRINT", fingerprint, "at least four hexadecimal digits")->required();
  ledger_show->callback([&] { action = [&] { return cmd_ledger(global, fingerprint, most_entries); }; });

  std::string tls_domain;
  auto* tlsrpt = command(cli, "tlsrpt", "TLS reports (RFC 8460): what became of TLS with each destination");
  tlsrpt->require_subcommand(1);
  for (const auto& [name, help] : {std::pair{"show", "what was seen, by day and destination"},
                                   std::pair{"send", "send the reports now, today's too, to whoever asks for them"}}) {
    auto* sub = command(*tlsrpt, name, help);
    sub->add_option("--domain", tls_domain, "of this destination alone");
    sub->callback(
        [&, verb = std::string(name)] { action = [&, verb] { return cmd_tlsrpt(global, verb, tls_domain); }; });
  }

  RouteOptions route;
  auto* route_command = command(cli, "route", "explain where mail to an address would go");
  route_command->add_option("ADDRESS", route.address, "recipient")->required();
  route_command->add_option("--from", route.from, "envelope sender; <> for a bounce");
  route_command->add_option("--ip", route.ip, "address of the client");
  route_command->callback([&] { action = [&] { return cmd_route(global, route); }; });

  TryOptions rehearsed;
  auto* try_command =
      command(cli, "try", "a dry run of a whole message: every decision, the exact replies; sends nothing");
  try_command->add_option("--ip", rehearsed.ip, "address of the client")->required();
  try_command->add_option("--helo", rehearsed.helo, "what it says in EHLO");
  try_command->add_option("--from", rehearsed.from, "envelope sender; <> for a bounce")->required();
  try_command->add_option("--to", rehearsed.to, "recipient; may be repeated")->required()->allow_extra_args(false);
  try_command->add_option("FILE", rehearsed.file, "the message; - for standard input")->required();
  try_command->callback([&] { action = [&] { return cmd_try(global, rehearsed); }; });

  std::string address;
  auto* srs = command(cli, "srs", "rewrite a sender, or turn one back");
  srs->require_subcommand(1);
  const auto srs_command = [&](const char* name, const char* help,
                               int (*run)(const GlobalOptions&, const std::string&)) {
    auto* sub = command(*srs, name, help);
    sub->add_option("ADDRESS", address)->required();
    sub->callback(
        [&action, &global, &address, run] { action = [&global, &address, run] { return run(global, address); }; });
  };
  srs_command("encode", "the SRS sender for an address", cmd_srs_encode);
  srs_command("decode", "the original sender of an SRS address", cmd_srs_decode);

  AuthOptions auth;
  auto* auth_command = command(cli, "auth", "SPF, DKIM, DMARC and ARC verdicts of a message file");
  const auto auth_options = [&](CLI::App& sub) {
    sub.add_option("--ip", auth.ip, "address of the client")->required();
    sub.add_option("--helo", auth.helo, "what it said in EHLO");
    sub.add_option("--mail-from", auth.mail_from, "envelope sender; <> for a bounce");
    sub.add_option("--time", auth.time, "verify as at this time, Unix seconds");
    sub.add_option("--dns-server", auth.dns_server, "HOST:PORT; default: /etc/resolv.conf");
  };
  auto* spf_command = command(*auth_command, "spf", "SPF alone, without a message");
  auth_options(*spf_command);
  spf_command->callback([&] {
    auth.spf_only = true;
    action = [&] { return cmd_auth(global, auth); };
  });
  auth_options(*auth_command);
  // With the subcommand the outer options are not wanted; without it the file is.
  auth_command->get_option("--ip")->required(false);
  auth_command->add_option("FILE", auth.file, "the message");
  auth_command->callback([&] {
    if (!auth.spf_only && (auth.ip.empty() || auth.file.empty())) throw CLI::RequiredError("--ip and FILE");
    if (!auth.spf_only) action = [&] { return cmd_auth(global, auth); };
  });

  KeygenOptions keygen;
  auto* dkim = command(cli, "dkim", "DKIM keys");
  dkim->require_subcommand(1);
  auto* keygen_command = command(*dkim, "keygen", "make a key file (0600) and print the TXT record to publish");
  keygen_command->add_option("DOMAIN", keygen.domain)->required();
  keygen_command->add_option("SELECTOR", keygen.selector)->required();
  keygen_command->add_option("--type", keygen.type, "rsa2048 or ed25519")
      ->check(CLI::IsMember({"rsa2048", "ed25519"}))
      ->capture_default_str();
  keygen_command->add_option("--out", keygen.out, "key file; default SELECTOR.DOMAIN.pem here");
  keygen_command->callback([&] { action = [&] { return cmd_dkim_keygen(global, keygen); }; });

  DnsOptions dns;
  add_dns(*command(cli, "dns", "the records others need to find us and to believe us"), global, dns, action);

  SetupOptions setup;
  add_setup(*command(cli, "setup", "from nothing to a checked configuration and the DNS records to publish"), global,
            setup, action);

  ImportOptions import;
  add_import(*command(cli, "import", "rules of other systems as domain files"), global, import, action);

  const std::map<std::string, std::function<std::string()>> pages{{"configuration", configuration_page},
                                                                  {"metrics", metrics_page},
                                                                  {"replies", replies_page},
                                                                  {"man", [&] { return cli_man_page(cli); }},
                                                                  {"bash", [&] { return cli_bash_completion(cli); }},
                                                                  {"zsh", [&] { return cli_zsh_completion(cli); }},
                                                                  {"fish", [&] { return cli_fish_completion(cli); }}};
  std::string page;
  auto* docs = cli.add_subcommand("docs", "print a page that is made from the code")->group("");
  docs->add_option("PAGE", page)->required()->check(CLI::IsMember(pages));
  docs->callback([&] {
    action = [&] {
      std::fputs(pages.at(page)().c_str(), stdout);
      return kExitOk;
    };
  });

  bool list_failpoints = false;
  if (!core::failpoints().empty()) {
    cli.add_flag("--list-failpoints", list_failpoints, "the kill points that are compiled in, for tests")
        ->trigger_on_parse()
        ->group("");
    cli.get_option("--list-failpoints")->each([](const std::string&) {
      for (const auto& point : core::failpoints()) {
        std::printf("K%-3u %-28s %s\n", point.number, std::string(point.name).c_str(),
                    std::string(point.where).c_str());
      }
      throw CLI::Success();
    });
  }
  if (const char* plan = std::getenv("ONWARD_FAILPOINTS")) {
    if (const auto armed = core::arm_failpoints(plan); !armed) {
      std::fprintf(stderr, "onward: %s\n", armed.error().text.c_str());
      return kExitUsage;
    }
  }
  try {
    cli.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return cli.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  try {
    return action();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "onward: %s\n", error.what());
    return kExitProblem;
  }
}

}  // namespace app
