#include "forwarder/tls_report_mail.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cassert>
#include <new>

#include "core/digest.hpp"
#include "core/text.hpp"
#include "forwarder/next_hop.hpp"

namespace forwarder {
namespace {

constexpr std::size_t kLine = 76;  // of base64
constexpr std::size_t kMaxUri = 2000;
constexpr std::size_t kMaxDetails = 1024;  // of a policy

int hex_value(char c) {
  if (core::is_digit(c)) return c - '0';
  const char low = core::to_lower(c);
  return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

// Nothing: a control, or a broken escape.
std::optional<std::string> unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = hex_value(text[i + 1]), low = hex_value(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return std::nullopt;
    out += c;
  }
  return out;
}

std::optional<TlsReportTarget> parse_mailto(std::string_view rest) {
  const auto address = unescape(rest.substr(0, rest.find('?')));
  if (!address) return std::nullopt;
  auto path = mail::parse_forward_path("<" + *address + ">", mail::Utf8::no);
  if (!path || path->is_bare_postmaster() || path->mailbox.domain.starts_with('[')) return std::nullopt;
  TlsReportTarget target;
  target.mail = std::move(path->mailbox);
  return target;
}

// "//host[:port]/path[?query]"
std::optional<TlsReportTarget> parse_https(std::string_view rest) {
  if (!rest.starts_with("//")) return std::nullopt;
  rest.remove_prefix(2);
  rest = rest.substr(0, rest.find('#'));
  const auto slash = rest.find_first_of("/?");
  auto authority = rest.substr(0, slash);
  TlsReportTarget target;
  if (const auto colon = authority.find(':'); colon != std::string_view::npos) {
    const auto port = core::parse_number(authority.substr(colon + 1));
    if (!port || *port == 0 || *port > 65'535) return std::nullopt;
    target.port = static_cast<std::uint16_t>(*port);
    authority = authority.substr(0, colon);
  }
  const bool named = !authority.empty() && authority.size() <= 253 &&
                     std::ranges::all_of(authority, [](char c) { return core::is_alnum(c) || c == '-' || c == '.'; });
  if (!named || core::IpAddress::parse(authority)) return std::nullopt;
  target.host = core::lower(authority);
  target.path = slash == std::string_view::npos ? "/" : std::string(rest.substr(slash));
  if (target.path.front() != '/') target.path.insert(0, "/");
  return target;
}

std::string lines_of_base64(std::string_view octets) {
  const auto text = core::base64_encode(octets);
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += kLine) out += text.substr(at, kLine) + "\r\n";
  return out;
}

std::string letters_of(std::string_view text) {
  static constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz012345";
  std::string out;
  for (const auto octet : core::sha256(text)) out += kLetters[octet & 31];
  return out;
}

}  // namespace

std::optional<TlsReportTarget> parse_tls_report_uri(std::string_view uri) {
  constexpr std::string_view kMail = "mailto:", kHttps = "https:";
  const bool visible = std::ranges::all_of(uri, [](char c) { return c > 0x20 && c < 0x7f; });
  if (!visible || uri.size() > kMaxUri) return std::nullopt;
  if (core::istarts_with(uri, kMail)) return parse_mailto(uri.substr(kMail.size()));
  if (core::istarts_with(uri, kHttps)) return parse_https(uri.substr(kHttps.size()));
  return std::nullopt;
}

std::string fit_tls_report(const TlsReportHeader& header, std::vector<TlsPolicyResults> results, std::size_t octets) {
  for (std::size_t most = kMaxDetails;; most /= 2) {
    for (auto& one : results) {
      std::ranges::sort(one.details, [](const auto& a, const auto& b) {
        return a.second != b.second ? a.second > b.second : a.first < b.first;
      });
      if (one.details.size() > most) one.details.resize(most);
    }
    auto report = write_tls_report(header, results);
    if (report.size() <= octets || most == 0) return report;
  }
}

std::string compress_tls_report(std::string_view report) {
  constexpr int kGzip = 15 + 16, kMemory = 8;  // a gzip header; zlib's own default
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzip, kMemory, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::bad_alloc();  // the one failure that right parameters leave
  }
  std::string input(report), out(deflateBound(&stream, report.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  [[maybe_unused]] const int end = deflate(&stream, Z_FINISH);
  assert(end == Z_STREAM_END);  // there was room
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

core::Result<queue::Composed> make_tls_report_mail(const Config& config, const TlsReportHeader& header,
                                                   const std::string& domain, const std::string& compressed,
                                                   const mail::Mailbox& to, ReportTime time) {
  const auto begin = std::chrono::duration_cast<core::Seconds>(header.day.time_since_epoch()).count();
  const auto unique = letters_of(header.id + "|" + to.to_string());
  const auto boundary = "=_" + unique.substr(0, 24);
  const auto name = fmt::format("{}!{}!{}!{}.json.gz", config.hostname, domain, begin, begin + 86'399);
  std::string content;
  const auto field = [&](std::string_view key, const std::string& value) { content += mail::make_field(key, value); };
  field("From", fmt::format("TLS reports <{}>", header.contact));
  field("To", fmt::format("<{}>", to.to_string()));
  field("Subject", fmt::format("Report Domain: {} Submitter: {} Report-ID: <{}>", domain, config.hostname, header.id));
  field("Date", mail::format_date(time.wall));
  field("Message-ID", fmt::format("<{}.tlsrpt@{}>", unique, config.hostname));
  field("TLS-Report-Domain", domain);
  field("TLS-Report-Submitter", config.hostname);
  field("TLS-Required", "No");
  field("Auto-Submitted", "auto-generated");
  field("MIME-Version", "1.0");
  field("Content-Type", fmt::format("multipart/report; report-type=\"tlsrpt\"; boundary=\"{}\"", boundary));
  content += fmt::format(
      "\r\n--{0}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
      "This is a TLS report (RFC 8460) of {1}\r\nabout mail to {2}.\r\n"
      "\r\n--{0}\r\nContent-Type: {4}\r\nContent-Transfer-Encoding: base64\r\n"
      "Content-Disposition: attachment;\r\n filename=\"{3}\"\r\n\r\n",
      boundary, config.hostname, domain, name, kTlsReportType);
  content += lines_of_base64(compressed);
  content += fmt::format("\r\n--{}--\r\n", boundary);
  auto signatures = sign_own(config, content, time.wall);
  if (!signatures) return signatures.error();

  queue::Composed composed;
  composed.octets = *signatures + content;
  if (composed.octets.size() > queue::kMaxReport) return core::make_error_code(core::Errc::exhausted);
  auto& envelope = composed.message.envelope;
  envelope.id = "tlsrpt-" + unique.substr(0, 12);
  envelope.tls_optional = true;
  envelope.helo = config.hostname;
  envelope.subject = "TLS report";
  envelope.size = composed.octets.size();
  envelope.header_size = composed.octets.find("\r\n\r\n") + 2;
  envelope.created = time.now;
  envelope.expires = time.now + config.queue.schedule.lifetime.count();
  queue::Recipient row;
  row.address = mail::ForwardPath{to};
  row.rule = "report";
  row.destination = to;
  row.hop = target_for(config, to.domain).key;
  composed.message.recipients.push_back(std::move(row));
  return composed;
}

}  // namespace forwarder
