#include "net/http.hpp"

#include <algorithm>

#include "core/text.hpp"

namespace net {
namespace {

using core::Errc;

constexpr std::size_t kMaxChunkLine = 256;
constexpr std::string_view kEnd = "\r\n\r\n";

// RFC 9110 §5.6.2
bool is_token(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return core::is_alnum(c) || kMarks.find(c) != std::string_view::npos;
  });
}

bool is_printable(std::string_view text) {
  return std::ranges::all_of(text,
                             [](char c) { return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f); });
}

// Lines between CRLFs up to the empty one; nothing when a line has a bare CR or LF in it.
std::optional<std::vector<std::string_view>> lines_of(std::string_view head) {
  std::vector<std::string_view> lines;
  while (!head.starts_with("\r\n")) {
    const auto end = head.find("\r\n");
    if (end == std::string_view::npos) return std::nullopt;
    const auto line = head.substr(0, end);
    if (!is_printable(line)) return std::nullopt;
    lines.push_back(line);
    head.remove_prefix(end + 2);
  }
  return lines;
}

// "Name: value"; obsolete folding is no field (RFC 9112 §5.2).
std::optional<std::pair<std::string, std::string>> parse_field(std::string_view line) {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) return std::nullopt;
  return std::pair(core::lower(line.substr(0, colon)), std::string(core::trim(line.substr(colon + 1))));
}

std::optional<std::uint64_t> parse_hex(std::string_view text) {
  if (text.empty() || text.size() > 15) return std::nullopt;
  std::uint64_t value = 0;
  for (const char c : text) {
    const char l = core::to_lower(c);
    if (!core::is_digit(c) && (l < 'a' || l > 'f')) return std::nullopt;
    value = value * 16 + static_cast<std::uint64_t>(core::is_digit(c) ? c - '0' : l - 'a' + 10);
  }
  return value;
}

}  // namespace

std::string_view HttpResponse::field(std::string_view name) const {
  const auto found = std::ranges::find_if(fields_, [&](const auto& field) { return core::iequals(field.first, name); });
  return found == fields_.end() ? std::string_view() : std::string_view(found->second);
}

core::Result<HttpResponse::Progress> HttpResponse::feed(std::string_view octets) {
  if (state_ == State::whole) return Progress::whole;
  pending_ += octets;
  for (;;) {
    const auto made = step();
    if (!made) {
      body_.clear();
      return made.error();
    }
    if (state_ == State::whole) return Progress::whole;
    if (*made == Step::starved) return Progress::unfinished;
  }
}

core::Result<void> HttpResponse::finish() {
  if (state_ == State::to_end) state_ = State::whole;
  if (state_ != State::whole) return Errc::protocol;
  return {};
}

bool HttpResponse::grow(std::uint64_t octets) {
  return octets <= max_body_ - std::min(max_body_, body_.size());
}

// A line off the front of what has come; false: it is not whole yet.
bool HttpResponse::take_line(std::string& line) {
  const auto end = pending_.find("\r\n");
  if (end == std::string::npos) return false;
  line = pending_.substr(0, end);
  pending_.erase(0, end + 2);
  return true;
}

core::Result<HttpResponse::Step> HttpResponse::step() {
  switch (state_) {
    case State::head:
      return take_head();
    case State::to_end:
      if (!grow(pending_.size())) return Errc::exhausted;
      body_ += pending_;
      pending_.clear();
      return Step::starved;
    case State::body:
    case State::chunk: {
      const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(left_, pending_.size()));
      body_.append(pending_, 0, n);
      pending_.erase(0, n);
      left_ -= n;
      if (left_ > 0) return Step::starved;
      state_ = state_ == State::body ? State::whole : State::chunk_end;
      return Step::taken;
    }
    case State::chunk_end:
      if (pending_.size() < 2) return Step::starved;
      if (!pending_.starts_with("\r\n")) return Errc::protocol;
      pending_.erase(0, 2);
      state_ = State::chunk_size;
      return Step::taken;
    case State::chunk_size:
      return take_chunk_size();
    case State::trailer: {
      std::string line;
      if (!take_line(line)) return pending_.size() > kMaxHttpHead ? core::Result<Step>(Errc::protocol) : Step::starved;
      trailer_ += line.size();
      if (trailer_ > kMaxHttpHead) return Errc::protocol;
      if (line.empty()) state_ = State::whole;
      return Step::taken;
    }
    case State::whole:
      break;
  }
  return Step::starved;
}

core::Result<HttpResponse::Step> HttpResponse::take_head() {
  const auto end = pending_.find(kEnd);
  if (end == std::string::npos) {
    return pending_.size() >= kMaxHttpHead + kEnd.size() ? core::Result<Step>(Errc::protocol) : Step::starved;
  }
  if (end > kMaxHttpHead) return Errc::protocol;
  const auto lines = lines_of(std::string_view(pending_).substr(0, end + kEnd.size()));
  if (!lines || lines->empty() || lines->size() > kMaxHttpFields + 1) return Errc::protocol;
  // "HTTP/1.1 200 OK"
  const auto first = lines->front();
  const bool known = first.starts_with("HTTP/1.0 ") || first.starts_with("HTTP/1.1 ");
  const auto code = first.size() >= 12 ? core::parse_number(first.substr(9, 3)) : std::nullopt;
  if (!known || !code || *code < 100 || *code > 599 || (first.size() > 12 && first[12] != ' ')) return Errc::protocol;
  std::vector<std::pair<std::string, std::string>> fields;
  for (std::size_t i = 1; i < lines->size(); ++i) {
    auto field = parse_field((*lines)[i]);
    if (!field) return Errc::protocol;
    fields.push_back(std::move(*field));
  }
  pending_.erase(0, end + kEnd.size());
  trailer_ += end;  // interim responses count, all together
  if (trailer_ > kMaxHttpHead) return Errc::protocol;
  if (*code < 200) {
    // RFC 9110 §15.2: any number of them may come first. A change of protocol was not asked for.
    if (*code == 101) return Errc::protocol;
    return Step::taken;
  }
  status_ = static_cast<int>(*code);
  fields_ = std::move(fields);
  trailer_ = 0;
  const auto framed = choose_framing();
  if (!framed) return framed.error();
  return Step::taken;
}

// RFC 9112 §6.3, without its tolerance: two ways of saying where the body ends are one too many.
core::Result<void> HttpResponse::choose_framing() {
  std::optional<std::string> coding, length;
  for (const auto& [name, value] : fields_) {
    auto* const which = name == "transfer-encoding" ? &coding : name == "content-length" ? &length : nullptr;
    if (which == nullptr) continue;
    if (*which && **which != value) return Errc::protocol;
    *which = value;
  }
  if (coding && (length || !core::iequals(*coding, "chunked"))) return Errc::protocol;
  if (!field("content-encoding").empty() && !core::iequals(field("content-encoding"), "identity"))
    return Errc::protocol;
  if (status_ == 204 || status_ == 304) {
    state_ = State::whole;
  } else if (coding) {
    state_ = State::chunk_size;
  } else if (length) {
    const auto octets = core::parse_number(*length);
    if (!octets) return Errc::protocol;
    if (!grow(*octets)) return Errc::exhausted;
    left_ = *octets;
    state_ = State::body;
  } else {
    state_ = State::to_end;
  }
  return {};
}

core::Result<HttpResponse::Step> HttpResponse::take_chunk_size() {
  std::string line;
  if (!take_line(line)) return pending_.size() > kMaxChunkLine ? core::Result<Step>(Errc::protocol) : Step::starved;
  if (line.size() > kMaxChunkLine) return Errc::protocol;
  const auto size = parse_hex(core::trim(std::string_view(line).substr(0, line.find(';'))));
  if (!size) return Errc::protocol;
  if (*size == 0) {
    state_ = State::trailer;
    return Step::taken;
  }
  if (!grow(*size)) return Errc::exhausted;
  left_ = *size;
  state_ = State::chunk;
  return Step::taken;
}

std::optional<HttpRequest> parse_http_request(std::string_view head) {
  const auto lines = lines_of(head);
  if (!lines || lines->empty() || lines->size() > kMaxHttpFields + 1) return std::nullopt;
  const auto words = core::split(lines->front(), ' ');
  if (words.size() != 3 || !is_token(words[0]) || (words[2] != "HTTP/1.1" && words[2] != "HTTP/1.0"))
    return std::nullopt;
  HttpRequest request;
  request.method = words[0];
  auto target = words[1];
  const auto is_visible = [](char c) { return c > ' ' && c < '\x7f'; };
  if (!target.starts_with('/') || !std::ranges::all_of(target, is_visible)) return std::nullopt;
  request.path = target.substr(0, target.find('?'));
  bool named = false;
  for (std::size_t i = 1; i < lines->size(); ++i) {
    const auto field = parse_field((*lines)[i]);
    if (!field) return std::nullopt;
    const bool body = field->first == "transfer-encoding" || (field->first == "content-length" && field->second != "0");
    request.has_body = request.has_body || body;
    if (field->first != "host") continue;
    if (std::exchange(named, true)) return std::nullopt;  // RFC 9112 §3.2
    request.host = core::lower(std::string_view(field->second).substr(0, field->second.rfind(':')));
    if (request.host.ends_with('.')) request.host.pop_back();
  }
  return request;
}

}  // namespace net
