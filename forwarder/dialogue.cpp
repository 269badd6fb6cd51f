#include "forwarder/dialogue.hpp"

#include <algorithm>
#include <utility>

#include "core/text.hpp"

namespace forwarder {
namespace {

constexpr std::size_t kMaxKeywords = 64;                     // UP-12
constexpr std::size_t kMaxHelloLines = kMaxKeywords + 1;     // the greeting line comes first
constexpr std::size_t kMaxHelloText = kMaxHelloLines * 512;  // RFC 5321 §4.5.3.1.5
constexpr std::size_t kMaxLimitDigits = 6;  // RFC 9422 §3: a value has one to six digits, no leading zero

bool is_refusal(const mail::Reply& reply) {
  return reply.transient() || reply.permanent();
}
bool is_verdict(const mail::Reply& reply) {
  return reply.positive() || is_refusal(reply);
}

std::vector<std::string_view> words(std::string_view line) {
  std::vector<std::string_view> result;
  for (const auto word : core::split(line, ' ')) {
    if (!word.empty()) result.push_back(word);
  }
  return result;
}

// RFC 9422 §3: "RCPTMAX=100"; what does not fit its grammar is passed over.
void read_limit(std::string_view word, Capabilities& capabilities) {
  const auto equals = word.find('=');
  if (equals == std::string_view::npos) return;
  const auto digits = word.substr(equals + 1);
  if (digits.size() > kMaxLimitDigits || digits.starts_with('0')) return;
  const auto number = core::parse_number(digits);
  if (!number) return;
  const auto name = word.substr(0, equals);
  if (core::iequals(name, "RCPTMAX")) capabilities.rcpt_max = static_cast<unsigned>(*number);
  if (core::iequals(name, "MAILMAX")) capabilities.mail_max = static_cast<unsigned>(*number);
}

// RFC 1870 §3: SIZE alone or SIZE 0 states no limit.
void read_size(const std::vector<std::string_view>& line, Capabilities& capabilities) {
  if (line.size() == 1) {
    capabilities.size = true;
  } else if (const auto number = core::parse_number(line[1]); number && line.size() == 2) {
    capabilities.size = true;
    capabilities.size_limit = *number;
  }
}

}  // namespace

std::string_view to_string(Stage stage) {
  switch (stage) {
    case Stage::dns:
      return "dns";
    case Stage::connect:
      return "connect";
    case Stage::greeting:
      return "greeting";
    case Stage::hello:
      return "hello";
    case Stage::starttls:
      return "starttls";
    case Stage::tls:
      return "tls";
    case Stage::mail:
      return "mail";
    case Stage::rcpt:
      return "rcpt";
    case Stage::data:
      return "data";
    case Stage::body:
      return "body";
    case Stage::dot:
      return "dot";
    case Stage::rset:
      return "rset";
  }
  return "unknown";
}

Capabilities parse_capabilities(const mail::Reply& ehlo) {
  Capabilities result;
  result.extended = true;
  // The first line is the server's name and greeting, never a keyword (RFC 5321 §4.1.1.1).
  const auto end = std::min(ehlo.lines.size(), kMaxHelloLines);
  for (std::size_t i = 1; i < end; ++i) {
    const auto line = words(ehlo.lines[i]);
    if (line.empty()) continue;
    const auto is = [&](std::string_view keyword) { return core::iequals(line[0], keyword); };
    if (is("PIPELINING")) result.pipelining = true;
    if (is("8BITMIME")) result.eight_bit = true;
    if (is("SMTPUTF8")) result.smtputf8 = true;
    if (is("STARTTLS")) result.starttls = true;
    if (is("CHUNKING")) result.chunking = true;
    if (is("DSN")) result.dsn = true;
    if (is("REQUIRETLS")) result.requiretls = true;
    if (is("SIZE")) read_size(line, result);
    if (is("LIMITS")) std::for_each(line.begin() + 1, line.end(), [&](auto word) { read_limit(word, result); });
  }
  return result;
}

ClientDialogue::ClientDialogue(Kind kind, std::string helo) : kind_(kind), helo_(std::move(helo)) {
  Command greeting{.octets = "", .stage = Stage::greeting};
  greeting.sent = true;
  commands_.push_back(std::move(greeting));
}

// ---- commands

void ClientDialogue::queue(std::string octets, Stage stage, std::size_t index) {
  // Names and addresses come here checked. Should a control octet ever slip through, nothing is sent rather than a
  // second command (RL-02).
  if (std::ranges::any_of(octets, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; })) {
    failed_ = true;
    return;
  }
  octets += "\r\n";
  commands_.push_back({.octets = std::move(octets), .stage = stage, .index = index, .transaction = transaction_});
}

void ClientDialogue::hello() {
  hello_reply_.reset();
  helo_sent_ = false;
  queue((kind_ == Kind::lmtp ? "LHLO " : "EHLO ") + helo_, Stage::hello);
}

void ClientDialogue::starttls() {
  starttls_.reset();
  queue("STARTTLS", Stage::starttls);
}

void ClientDialogue::tls_started() {
  handshake_due_ = false;
  capabilities_ = {};
  hello_reply_.reset();
  parser_.reset();
  mid_reply_ = false;
  next_ = Stage::hello;
}

void ClientDialogue::mail(const MailParameters& parameters) {
  forget_transaction();
  std::string line = "MAIL FROM:<" + parameters.from.to_string() + ">";
  if (capabilities_.size && parameters.size > 0) line += " SIZE=" + std::to_string(parameters.size);
  if (capabilities_.eight_bit && parameters.eight_bit) line += " BODY=8BITMIME";
  if (parameters.smtputf8) line += " SMTPUTF8";
  if (parameters.requiretls) line += " REQUIRETLS";
  if (capabilities_.dsn) {
    if (parameters.ret == mail::MailCommand::Ret::full) line += " RET=FULL";
    if (parameters.ret == mail::MailCommand::Ret::headers) line += " RET=HDRS";
    if (!parameters.envid.empty()) line += " ENVID=" + mail::encode_xtext(parameters.envid);
  }
  queue(std::move(line), Stage::mail);
}

std::size_t ClientDialogue::rcpt(const mail::Mailbox& to, const RcptParameters& parameters) {
  rcpt_.emplace_back();
  std::string line = "RCPT TO:<" + to.to_string() + ">";
  if (capabilities_.dsn) {
    if (parameters.notify.given) line += " NOTIFY=" + mail::to_string(parameters.notify);
    if (const auto orcpt = mail::encode_orcpt(parameters.orcpt_type, parameters.orcpt); !orcpt.empty()) {
      line += " ORCPT=" + orcpt;
    }
  }
  queue(std::move(line), Stage::rcpt, rcpt_.size() - 1);
  return rcpt_.size() - 1;
}

void ClientDialogue::data() {
  queue("DATA", Stage::data);
}

void ClientDialogue::bdat(std::uint64_t octets, bool last) {
  // RFC 3030 §2: the LAST chunk's answer is the message's answer, as for the dot.
  body_mode_ = last ? BodyMode::none : BodyMode::chunks;
  queue("BDAT " + std::to_string(octets) + (last ? " LAST" : ""), last ? Stage::dot : Stage::body);
}

void ClientDialogue::dot() {
  body_mode_ = BodyMode::none;
  // Before everything that was held back while the body was being sent.
  const auto unsent = std::ranges::find_if(commands_, [](const Command& command) { return !command.sent; });
  Command dot{.octets = "", .stage = Stage::dot, .transaction = transaction_};
  dot.sent = true;
  commands_.insert(unsent, std::move(dot));
}

void ClientDialogue::rset() {
  rset_.reset();
  // RFC 3030 §2 lets RSET come between chunks. In the body of DATA it would be text: there only closing helps.
  if (body_mode_ == BodyMode::chunks) body_mode_ = BodyMode::none;
  queue("RSET", Stage::rset);
}

void ClientDialogue::quit() {
  queue("QUIT", Stage::rset);
  if (!failed_) commands_.back().quit = true;
}

void ClientDialogue::forget_transaction() {
  ++transaction_;
  mail_.reset();
  rcpt_.clear();
  data_.reset();
  body_.reset();
  final_.clear();
  final_complete_ = false;
}

void ClientDialogue::use_plain_features() {
  plain_ = true;
  capabilities_.pipelining = capabilities_.chunking = false;
}

// ---- octets

std::string ClientDialogue::take_output() {
  std::string out;
  // In the body of DATA every command would become part of the message.
  if (failed_ || handshake_due_ || body_mode_ == BodyMode::data) return out;
  for (auto& command : commands_) {
    const bool chunk = !command.sent && command.octets.starts_with("BDAT ");
    if (!command.sent) {
      out += std::exchange(command.octets, {});
      command.sent = true;
    }
    if (chunk || !capabilities_.pipelining || command.quit) break;
    // RFC 2920 §3.1: MAIL, RCPT and RSET may be followed at once; RFC 3030 §4.2 adds the chunks. After the dot nothing
    // is sent until its answer is complete (UP-09).
    const auto stage = command.stage;
    if (stage != Stage::mail && stage != Stage::rcpt && stage != Stage::rset && stage != Stage::body) break;
  }
  return out;
}

core::Result<void> ClientDialogue::fail() {
  failed_ = true;
  return make_error_code(core::Errc::protocol);
}

core::Result<void> ClientDialogue::receive(std::string_view octets) {
  if (failed_) return fail();
  while (!octets.empty()) {
    if (handshake_due_) return fail();  // RFC 3207 §5, TL-03
    if (!mid_reply_) {
      mid_reply_ = true;
      early_ = !awaits_answer();
      const bool hello = !early_ && commands_.front().stage == Stage::hello;
      parser_.keep_lines(hello ? kMaxHelloLines : mail::ReplyParser::kMaxKeptLines);
      parser_.keep_text(hello ? kMaxHelloText : mail::ReplyParser::kMaxKeptText);
    }
    std::size_t consumed = 0;
    auto parsed = parser_.feed(octets, consumed);
    if (!parsed) return fail();
    octets.remove_prefix(consumed);
    if (!*parsed) return {};
    mid_reply_ = false;
    if (auto result = dispatch(std::move(**parsed)); !result) return fail();
  }
  return {};
}

std::size_t ClientDialogue::final_replies_due() const {
  // RFC 2033 §4.2: one for each recipient that was accepted; one in all when there was none.
  if (kind_ == Kind::smtp) return 1;
  return std::max<std::size_t>(accepted_recipients(), 1) - std::min(final_.size(), accepted_recipients());
}

std::size_t ClientDialogue::awaiting() const {
  std::size_t total = commands_.size();
  for (const auto& command : commands_) {
    if (command.stage == Stage::dot && command.transaction == transaction_) total += final_replies_due() - 1;
  }
  return total;
}

Stage ClientDialogue::stage() const {
  const auto dot_sent = [](const Command& command) { return command.sent && command.stage == Stage::dot; };
  if (std::ranges::any_of(commands_, dot_sent)) return Stage::dot;
  if (awaits_answer()) return commands_.front().stage;
  if (handshake_due_) return Stage::tls;
  if (body_mode_ != BodyMode::none) return Stage::body;
  return commands_.empty() ? next_ : commands_.front().stage;
}

bool ClientDialogue::reusable() const {
  return commands_.empty() && !mid_reply_ && !failed_ && !closing_ && !handshake_due_ && body_mode_ == BodyMode::none &&
         hello_reply_ && hello_reply_->positive();
}

// ---- replies

void ClientDialogue::pop(Stage next) {
  commands_.pop_front();
  next_ = next;
}

core::Result<void> ClientDialogue::unawaited(mail::Reply reply) {
  if (!is_refusal(reply)) return fail();  // UP-10, UP-14: an early 2xx is never acceptance
  if (body_mode_ != BodyMode::none) {
    if (!body_) body_ = std::move(reply);
    return {};
  }
  if (reply.code != 421) return fail();
  if (!closing_reply_) closing_reply_ = std::move(reply);
  return {};
}

core::Result<void> ClientDialogue::dispatch(mail::Reply reply) {
  if (reply.code == 221 && !(awaits_answer() && commands_.front().quit)) {
    // "Closing" is no success whatever was asked (UP-05, UP-09).
    reply.code = 421;
    reply.enhanced = {4, 4, 2};
  }
  closing_ = closing_ || reply.code == 421 || reply.code == 521;
  if (!awaits_answer()) return unawaited(std::move(reply));
  // It began before what it would answer was sent: as a refusal it will do, as consent it is out of step (UP-10,
  // UP-14).
  if (early_ && !is_refusal(reply)) return fail();
  const Command& command = commands_.front();
  switch (command.stage) {
    case Stage::hello:
      return hello_answered(std::move(reply));
    case Stage::data:
      return data_answered(std::move(reply));
    case Stage::dot:
      return final_answered(std::move(reply));
    default:
      break;
  }
  if (!is_verdict(reply)) return fail();  // UP-04
  const bool positive = reply.positive();
  switch (command.stage) {
    case Stage::greeting:
      greeting_ = std::move(reply);
      pop(Stage::hello);
      return {};
    case Stage::starttls:
      starttls_ = std::move(reply);
      handshake_due_ = positive;
      pop(Stage::mail);
      return {};
    case Stage::mail:
      if (!forgotten()) mail_ = std::move(reply);
      pop(Stage::rcpt);
      return {};
    case Stage::rcpt:
      if (!forgotten()) rcpt_[command.index] = std::move(reply);
      pop(Stage::rcpt);
      return {};
    case Stage::body:
      if (!positive && !body_ && !forgotten()) body_ = std::move(reply);
      pop(Stage::rcpt);
      return {};
    case Stage::rset:
      if (!command.quit) rset_ = std::move(reply);
      pop(Stage::mail);
      return {};
    default:
      return fail();
  }
}

core::Result<void> ClientDialogue::hello_answered(mail::Reply reply) {
  if (!is_verdict(reply)) return fail();
  const bool unknown_command = reply.code == 500 || reply.code == 502 || reply.code == 504;
  if (kind_ == Kind::smtp && unknown_command && !helo_sent_) {
    // RFC 5321 §3.2, interface.md §6.9: an old server. The answer to HELO takes the place of this one.
    helo_sent_ = true;
    commands_.front().octets = "HELO " + helo_ + "\r\n";
    commands_.front().sent = false;
    return {};
  }
  capabilities_ = {};
  if (reply.positive() && !helo_sent_) capabilities_ = parse_capabilities(reply);
  if (plain_) use_plain_features();
  hello_reply_ = std::move(reply);
  pop(Stage::mail);
  return {};
}

core::Result<void> ClientDialogue::data_answered(mail::Reply reply) {
  if (!is_refusal(reply) && reply.code != 354) return fail();  // UP-04
  if (reply.code == 354) {
    // Nobody is left to send the body that the peer now waits for.
    if (forgotten()) return fail();
    body_mode_ = BodyMode::data;
  }
  if (!forgotten()) data_ = std::move(reply);
  pop(Stage::rcpt);
  return {};
}

core::Result<void> ClientDialogue::final_answered(mail::Reply reply) {
  if (!is_verdict(reply) || forgotten()) return fail();
  // A message of which a part was refused cannot have been accepted whole.
  if (reply.positive() && body_) return fail();
  const auto due = final_replies_due();
  final_.push_back(std::move(reply));
  if (due > 1) return {};
  final_complete_ = true;
  pop(Stage::mail);
  return {};
}

const std::optional<mail::Reply>& ClientDialogue::greeting_reply() const {
  return greeting_;
}
const std::optional<mail::Reply>& ClientDialogue::hello_reply() const {
  return hello_reply_;
}
const std::optional<mail::Reply>& ClientDialogue::starttls_reply() const {
  return starttls_;
}
const std::optional<mail::Reply>& ClientDialogue::mail_reply() const {
  return mail_;
}
const std::vector<std::optional<mail::Reply>>& ClientDialogue::rcpt_replies() const {
  return rcpt_;
}
const std::optional<mail::Reply>& ClientDialogue::data_reply() const {
  return data_;
}
const std::optional<mail::Reply>& ClientDialogue::body_reply() const {
  return body_;
}
const std::vector<mail::Reply>& ClientDialogue::final_replies() const {
  return final_;
}
bool ClientDialogue::final_replies_complete() const {
  return final_complete_;
}
const std::optional<mail::Reply>& ClientDialogue::rset_reply() const {
  return rset_;
}
const std::optional<mail::Reply>& ClientDialogue::closing_reply() const {
  return closing_reply_;
}

std::size_t ClientDialogue::accepted_recipients() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(rcpt_, [](const auto& reply) { return reply && reply->positive(); }));
}

}  // namespace forwarder
