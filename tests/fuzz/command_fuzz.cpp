// links: mail
// A command line gives a command whose parts are valid, or an error that can be sent as it is.
#include <cstddef>
#include <cstdint>

#include "core/text.hpp"
#include "mail/command.hpp"
#include "mail/utf8.hpp"

namespace {

void check(bool good) {
  if (!good) __builtin_trap();
}

void check_mailbox(const mail::Mailbox& mailbox, mail::Utf8 utf8) {
  const auto again = mail::parse_mailbox(mailbox.to_string(), utf8);
  check(again.has_value() && *again == mailbox);
}

void check_command(const mail::Command& command, const mail::CommandContext& context) {
  if (const auto* mail = std::get_if<mail::MailCommand>(&command)) {
    const auto utf8 = mail->smtputf8 ? mail::Utf8::yes : mail::Utf8::no;
    if (!mail->from.null()) check_mailbox(mail->from.mailbox, utf8);
    check(mail->envid.size() <= 100 && core::printable(mail->envid) == mail->envid);
    check(context.offered_requiretls || !mail->requiretls);
    check(context.extended || (!mail->size && !mail->smtputf8 && mail->envid.empty()));
  } else if (const auto* rcpt = std::get_if<mail::RcptCommand>(&command)) {
    const auto utf8 = context.smtputf8 ? mail::Utf8::yes : mail::Utf8::no;
    if (!rcpt->to.is_bare_postmaster()) check_mailbox(rcpt->to.mailbox, utf8);
    check(mail::is_plain_utf8(rcpt->orcpt) && rcpt->orcpt.size() <= 500);
    check(rcpt->orcpt.empty() == rcpt->orcpt_type.empty());
    if (const auto orcpt = mail::encode_orcpt(rcpt->orcpt_type, rcpt->orcpt); !orcpt.empty()) {
      const auto again = mail::parse_command("RCPT TO:<a@b> ORCPT=" + orcpt, {.extended = true});
      const auto* repeated = std::get_if<mail::RcptCommand>(std::get_if<mail::Command>(&again));
      check(repeated != nullptr && repeated->orcpt == rcpt->orcpt && repeated->orcpt_type == rcpt->orcpt_type);
    }
  } else if (const auto* helo = std::get_if<mail::HeloCommand>(&command)) {
    check(!helo->domain.empty() && core::printable(helo->domain) == helo->domain);
  } else if (const auto* bdat = std::get_if<mail::BdatCommand>(&command)) {
    check(bdat->size <= INT64_MAX);
  } else if (const auto* vrfy = std::get_if<mail::VrfyCommand>(&command)) {
    check(mail::is_plain_utf8(vrfy->argument) && !vrfy->argument.empty());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const mail::CommandContext context{
      .extended = (data[0] & 1) != 0, .offered_requiretls = (data[0] & 4) != 0, .smtputf8 = (data[0] & 8) != 0};
  const std::string_view line(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto parsed = mail::parse_command(line, context);
  if (const auto* error = std::get_if<mail::CommandError>(&parsed)) {
    check(error->reply.permanent() && error->reply.enhanced.klass == 5);
    check(error->close == (error->reply.code == 554));
  } else {
    check(line.find_first_of(std::string_view("\0\r\n", 3)) == std::string_view::npos);
    check_command(std::get<mail::Command>(parsed), context);
  }
  const auto decoded = mail::decode_xtext(mail::encode_xtext(line));
  check(decoded.has_value() && *decoded == line);
  if (const auto once = mail::decode_xtext(line); once.has_value()) {
    check(*mail::decode_xtext(mail::encode_xtext(*once)) == *once);
  }
  return 0;
}
