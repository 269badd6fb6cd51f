// Signs messages for dkim_sign_verify.py: `dkim_sign_tool OUT COUNT FILE...` makes an RSA and an Ed25519 key, signs
// COUNT generated messages and the FILEs with both, and writes OUT/NNNN.eml and OUT/records ("name TXT" a line). Files
// that Onward would not relay (NUL, no header) are left out; how many were signed is printed.
#include <cstdio>
#include <fstream>
#include <memory>

#include "auth/dkim_sign.hpp"
#include "tests/unit/auth/messages.hpp"

namespace {

class Tool {
 public:
  explicit Tool(std::string out) : out_(std::move(out)) {
    add("rsa", auth::NewKey::rsa2048);
    add("ed", auth::NewKey::ed25519);
  }

  void sign(const std::string& message) {
    const auto [section, body] = messages::split(message);
    const auto headers = mail::Headers::parse(section);
    if (!headers || message.find('\0') != std::string::npos) return;
    auth::BodyHasher hasher;
    hasher.update(body);
    const auto hash = hasher.finish();
    const auth::SignedFields fields(headers->fields());
    std::ofstream file(fmt_name(count_++), std::ios::binary);
    for (const auto& signer : signers_) file << signer.sign(fields, hash, core::Wall::now()).value();
    file << message;
  }
  std::size_t count() const { return count_; }

 private:
  void add(const std::string& selector, auth::NewKey type) {
    const auto pem = auth::generate_key(type);
    auto key = std::make_shared<const auth::SigningKey>(auth::SigningKey::parse(pem.value().view()).value());
    std::ofstream(out_ + "/records", std::ios::app)
        << selector << "._domainkey.forward.example " << key->dns_record() << '\n';
    signers_.emplace_back("forward.example", selector, std::move(key));
  }
  std::string fmt_name(std::size_t number) const {
    const auto digits = std::to_string(number);
    return out_ + "/" + std::string(5 - std::min<std::size_t>(5, digits.size()), '0') + digits + ".eml";
  }

  std::string out_;
  std::vector<auth::Signer> signers_;
  std::size_t count_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  Tool tool(argv[1]);
  messages::Generator generator(11);
  for (int i = std::stoi(argv[2]); i > 0; --i) tool.sign(generator.next());
  for (int i = 3; i < argc; ++i) {
    std::ifstream in(argv[i], std::ios::binary);
    tool.sign(messages::to_wire(std::string(std::istreambuf_iterator<char>(in), {})));
  }
  std::printf("%zu\n", tool.count());
  return 0;
}
