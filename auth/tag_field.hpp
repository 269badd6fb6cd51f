// Writes a header field that is a tag list ("v=1; a=rsa-sha256; ..."), folded at about 76 columns where RFC 6376 §3.2
// allows folding white space. For DKIM-Signature and the ARC fields. Pure.
#pragma once

#include <string>
#include <string_view>

namespace auth {

class TagField {
 public:
  // "Name:"; tags follow in the order of the calls.
  explicit TagField(std::string_view name) : text_(name), column_(name.size() + 1) { text_ += ':'; }

  // A value that is kept in one piece.
  TagField& tag(std::string_view name, std::string_view value) { return write(name, value, Breaks::none); }
  // "a:b:c", may be folded before a colon.
  TagField& list(std::string_view name, std::string_view value) { return write(name, value, Breaks::colons); }
  // base64, may be folded anywhere.
  TagField& base64(std::string_view name, std::string_view value) { return write(name, value, Breaks::anywhere); }

  // The field so far, without a final CRLF. To be signed when the last tag was base64("b", "").
  const std::string& text() const { return text_; }
  // Gives the empty last tag its value and ends the field: the whole field with its CRLF.
  std::string finish(std::string_view base64_value) &&;

 private:
  enum class Breaks { none, colons, anywhere };
  TagField& write(std::string_view name, std::string_view value, Breaks breaks);
  void append(std::string_view value, Breaks breaks);
  void fold();

  std::string text_;
  std::size_t column_;
  bool first_ = true;
};

}  // namespace auth
