// onward try: takes one message through the program as it is configured, but for the next hop, which is taken to accept
// everything. What is decided is read from the same log events that the daemon writes; nothing is sent. Needs no
// daemon.
#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/config.hpp"
#include "app/explain.hpp"
#include "app/message_file.hpp"
#include "core/text.hpp"
#include "forwarder/pipeline.hpp"

namespace app {
namespace {

using nlohmann::json;

constexpr std::uint64_t kRoom = 1ULL << 30;  // octets
constexpr std::size_t kSlice = 64 * 1024;

int fail(const std::string& text) {
  fmt::print(stderr, "onward: {}\n", text);
  return kExitProblem;
}

// Long senders get a token as in the daemon, which nobody will ever look up.
class ForgetfulTokens final : public srs::TokenStore {
 public:
  core::Error put(std::string_view, std::string_view) override { return {}; }
  std::optional<std::string> find(std::string_view) override { return std::nullopt; }
};

// The events of the run, as the daemon would have logged them.
class Events final : public core::LogSink {
 public:
  void write(std::string_view line) override { lines_.emplace_back(line); }
  // Those of one kind, in order.
  json all(std::string_view event) const {
    json out = json::array();
    for (const auto& line : lines_) {
      auto parsed = json::parse(line, nullptr, false);
      if (parsed.is_discarded() || parsed.value("event", "") != event) continue;
      for (const auto* key : {"time", "level", "event", "session", "id"}) parsed.erase(key);
      out.push_back(std::move(parsed));
    }
    return out;
  }

 private:
  std::vector<std::string> lines_;
};

class Shown final : public forwarder::Rehearsal {
 public:
  void would_send(const forwarder::Order& order, const std::vector<mail::Mailbox>& recipients,
                  const forwarder::Parcel& parcel) override {
    json one;
    one["next_hop"] = order.target.key;
    one["mail_from"] = order.from.to_string();
    one["recipients"] = json::array();
    for (const auto& recipient : recipients) one["recipients"].push_back(recipient.to_string());
    const auto& message = dynamic_cast<const forwarder::ReceivedParcel&>(parcel).message();
    one["size"] = message.size();
    one["added"] = message.prefix;
    one["fields_removed"] = message.cuts.size();
    sent.push_back(std::move(one));
  }
  json sent = json::array();
};

class NobodyLeaves final : public forwarder::ClientProbe {
 public:
  bool gone() override { return false; }
};

std::string wire(const mail::Reply& reply) {
  auto text = reply.to_wire();
  if (text.ends_with("\r\n")) text.resize(text.size() - 2);
  return text;
}

// Everything the run needs, once.
class Rehearsed {
 public:
  Rehearsed(std::shared_ptr<const Config> config, forwarder::Client client)
      : config_(std::move(config)),
        client_(std::move(client)),
        resolver_(context_.get_executor(), config_->dns, random_, metrics_, clock_),
        spool_("/tmp", 1),
        engine_(context_.get_executor(), resolver_, slots_, random_, metrics_),
        pipeline_({context_.get_executor(), &engine_, &resolver_, &spool_, &memory_, &disk_, &metrics_, &clock_,
                   &dkim_library_, &admission_},
                  settings_of(*config_), core::Log(events_, core::LogFormat::json, core::LogLevel::debug)) {
    engine_.rehearse(shown_);
  }

  json run(mail::ReversePath from, std::vector<mail::ForwardPath> to, std::string message) {
    json out;
    auto work = play(std::move(from), std::move(to), std::move(message), out);
    boost::asio::co_spawn(context_, std::move(work), [](const std::exception_ptr& error) {
      if (error) std::rethrow_exception(error);
    });
    context_.run();
    out["admission"] = events_.all("admission");
    out["authentication"] = events_.all("authentication");
    out["forecast"] = events_.all("forecast");
    out["sent"] = std::move(shown_.sent);
    return out;
  }

 private:
  net::Awaitable<void> play(mail::ReversePath from, std::vector<mail::ForwardPath> to, std::string message, json& out) {
    mail::MailCommand mail;
    mail.from = std::move(from);
    mail.size = message.size();
    mail.body = core::has_8bit(message) ? mail::Body::eight_bit : mail::Body::unspecified;
    mail.smtputf8 = !mail.from.null() && !mail.from.mailbox.is_ascii();
    for (const auto& path : to) mail.smtputf8 = mail.smtputf8 || !path.mailbox.is_ascii();
    auto welcome = pipeline_.welcome(client_);
    client_.visit = welcome.visit.get();
    if (welcome.refusal) {
      out["connect"] = {{"reply", wire(*welcome.refusal)}};
      out["reply"] = wire(*welcome.refusal);
      out["code"] = welcome.refusal->code;
      co_return;
    }
    auto verdict = co_await pipeline_.mail(client_, std::move(mail), 1);
    out["mail"] = {{"reply", wire(verdict.reply)}};
    out["reply"] = wire(verdict.reply);
    out["code"] = verdict.reply.code;
    if (!verdict.transaction) co_return;
    auto& transaction = *verdict.transaction;
    for (auto& path : to) {
      mail::RcptCommand rcpt;
      rcpt.to = path;
      const auto reply = co_await transaction.rcpt(std::move(rcpt));
      out["rcpt"].push_back({{"address", path.to_string()}, {"reply", wire(reply)}});
      out["reply"] = wire(reply);
      out["code"] = reply.code;
    }
    if (transaction.accepted_recipients() == 0) co_return;
    const auto reply = co_await send(transaction, message);
    out["data"] = {{"reply", wire(reply)}};
    out["reply"] = wire(reply);
    out["code"] = reply.code;
    verdict.transaction.reset();
    engine_.pool().clear();
  }

  net::Awaitable<mail::Reply> send(forwarder::Transaction& transaction, std::string_view message) {
    if (auto refusal = transaction.begin_data()) co_return std::move(*refusal);
    while (!message.empty()) {
      const auto slice = message.substr(0, kSlice);
      message.remove_prefix(slice.size());
      transaction.inbox() += slice;
      if (transaction.absorb() == forwarder::Transaction::Absorb::spill) co_await transaction.spill();
    }
    NobodyLeaves probe;
    co_return co_await transaction.end_of_data(probe);
  }

  // Greylisting puts off whoever comes for the first time, and here everybody does: what would follow is of interest.
  static std::shared_ptr<const forwarder::Config> settings_of(const Config& config) {
    auto settings = std::make_shared<forwarder::Config>(config.forwarding);
    settings->admission.greylist.on = false;
    return settings;
  }

  std::shared_ptr<const Config> config_;
  forwarder::Client client_;
  Events events_;
  Shown shown_;
  core::SystemRandom random_;
  forwarder::AdmissionState admission_{random_};
  core::Metrics metrics_;
  core::SystemClock clock_;
  core::Budget memory_{kRoom}, disk_{kRoom};
  auth::DkimLibrary dkim_library_;
  forwarder::Slots slots_;
  boost::asio::io_context context_{1};
  dns::LdnsResolver resolver_;
  net::Spool spool_;
  forwarder::Engine engine_;
  forwarder::Pipeline pipeline_;
};

void row(std::string_view name, std::string_view text) {
  fmt::print("{:<12} {}\n", name, core::printable(text));
}

void print_reply(std::string_view name, const std::string& reply) {
  for (const auto line : core::split(reply, '\n')) {
    row(name, line.ends_with('\r') ? line.substr(0, line.size() - 1) : line);
    name = "";
  }
}

void print_verdicts(const json& told) {
  const auto text = [&](const char* key) { return told.value(key, std::string()); };
  row("spf", fmt::format("{}  {}  {}", text("spf"), text("spf_domain"), text("spf_reason")));
  row("dkim", fmt::format("{}  {}", text("dkim"), text("dkim_signatures")));
  row("dmarc",
      fmt::format("{}  {}  policy {}  {}", text("dmarc"), text("author"), text("policy"), text("dmarc_reason")));
  row("arc", fmt::format("{}  {}", text("arc"), text("arc_reason")));
  row("ownable", told.value("ownable", false) ? "yes" : "no");
  row("verdict", text("action") + (told.value("overridden", false) ? " (trusted ARC sealers)" : ""));
}

void print_admission(const json& told) {
  const auto text = [&](const char* key) { return told.value(key, std::string()); };
  if (!text("access").empty()) row("access", text("access"));
  if (!text("dnsbl").empty()) row("dnsbl", fmt::format("{}  score {}", text("dnsbl"), told.value("dnsbl_score", 0)));
  if (!text("rdns").empty()) row("rdns", fmt::format("{}  {}", text("rdns"), text("ptr")));
  if (!text("helo_check").empty()) row("helo", fmt::format("{}  {}", text("helo_check"), text("helo")));
}

void print_text(const json& out) {
  if (out.contains("connect")) print_reply("connect", out["connect"]["reply"]);
  if (!out.contains("mail")) return;
  print_reply("mail", out["mail"]["reply"]);
  for (const auto& told : out["admission"]) print_admission(told);
  for (const auto& rcpt : out.value("rcpt", json::array())) {
    print_reply("rcpt", rcpt["reply"]);
    row("", "  " + rcpt["address"].get<std::string>());
  }
  for (const auto& told : out["authentication"]) print_verdicts(told);
  for (const auto& told : out["forecast"]) {
    row("forecast", fmt::format("{}  at {}  our SPF {}", told.value("dmarc", ""), told.value("next_hop", ""),
                                told.value("our_spf", "")));
  }
  if (out.contains("data")) print_reply("data", out["data"]["reply"]);
  for (const auto& sent : out["sent"]) {
    fmt::print("\n");
    row("would send", fmt::format("{} octets to {}", sent["size"].get<std::uint64_t>(), sent.value("next_hop", "")));
    row("mail from", "<" + sent.value("mail_from", "") + ">");
    for (const auto& recipient : sent["recipients"]) row("rcpt to", "<" + recipient.get<std::string>() + ">");
    if (sent["fields_removed"].get<std::size_t>() > 0) {
      row("removed", fmt::format("{} forged Authentication-Results", sent["fields_removed"].get<std::size_t>()));
    }
    std::string_view name = "added";
    const auto added = sent["added"].get<std::string>();
    for (const auto line : core::split(added, '\n')) {
      if (line.empty()) continue;
      row(name, line.ends_with('\r') ? line.substr(0, line.size() - 1) : line);
      name = "";
    }
  }
}

}  // namespace

int cmd_try(const GlobalOptions& global, const TryOptions& options) {
  ForgetfulTokens tokens;
  LoadOptions load;
  load.tokens = &tokens;
  auto loaded = load_config(global.config, load);
  if (const auto* errors = std::get_if<std::vector<ConfigError>>(&loaded)) {
    for (const auto& error : *errors) fmt::print(stderr, "{}\n", error.to_string());
    return kExitProblem;
  }
  forwarder::Client client;
  const auto ip = core::IpAddress::parse(options.ip);
  if (!ip) return fail("\"" + options.ip + "\" is no IP address");
  client.address = ip->unmapped();
  client.helo = options.helo.empty() ? client.address.to_literal() : options.helo;
  client.extended = true;
  client.session_id = "try";
  const auto bracketed = [](const std::string& text) { return text.starts_with('<') ? text : "<" + text + ">"; };
  const auto from = mail::parse_reverse_path(bracketed(options.from), mail::Utf8::yes);
  if (!from) return fail("\"" + options.from + "\" is no mail address");
  std::vector<mail::ForwardPath> to;
  for (const auto& text : options.to) {
    const auto path = mail::parse_forward_path(bracketed(text), mail::Utf8::yes);
    if (!path) return fail("\"" + text + "\" is no mail address");
    to.push_back(*path);
  }
  auto message = read_message(options.file);
  if (!message) return fail(message.error().text);

  Rehearsed rehearsed(std::get<std::shared_ptr<const Config>>(std::move(loaded)), std::move(client));
  const auto out = rehearsed.run(*from, std::move(to), std::move(*message));
  if (global.json) {
    fmt::print("{}\n", out.dump(2, ' ', false, json::error_handler_t::replace));
  } else {
    print_text(out);
  }
  const int code = out.value("code", 0);
  return code < 300 ? kExitOk : code < 500 ? kExitTryLater : kExitProblem;
}

}  // namespace app
