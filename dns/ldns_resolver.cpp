// How a question travels: resolve() looks into the cache, joins the Job that already asks the same, or starts one. A
// Job is a coroutine of its own: it goes from server to server, follows CNAMEs, fills the cache and wakes its waiters,
// who may have left meanwhile. Jobs hold the Impl, not the resolver; once the resolver is gone (`closed`) they touch
// nothing else.
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <exception>
#include <fstream>
#include <unordered_map>
#include <utility>

#include "dns/cache.hpp"
#include "dns/codec.hpp"
#include "dns/resolv_conf.hpp"
#include "dns/resolver.hpp"
#include "net/address.hpp"
#include "net/signal.hpp"

namespace dns {
namespace {

namespace asio = boost::asio;
using asio::ip::udp;
using core::Deadline;
using core::Error;
using Kind = Response::Kind;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr unsigned kMaxForeign = 10;             // per query, then TCP (DN-02)
constexpr core::Milliseconds kMaxTotal{60'000};  // one question, whatever the settings multiply to
constexpr core::Seconds kFailureTtl{5};          // RFC 2308 §7: a dead zone is not asked for by every message
constexpr std::size_t kCacheOctetsPerEntry = 1024;
constexpr std::size_t kMaxMessage = 65535;
constexpr std::size_t kDatagram = 4096;  // we announce 1232; what is longer ends in `malformed`
constexpr std::uint16_t kPort = 53;
constexpr unsigned kMaxConfFile = 65536;

struct Server {
  core::IpAddress address;
  std::uint16_t port = kPort;
};

std::vector<Server> servers_of(ResolverSettings& settings) {
  std::vector<Server> servers;
  for (const auto& server : settings.servers) {
    const auto ip = core::IpAddress::parse(server.host);
    if (ip) servers.push_back({*ip, server.port != 0 ? server.port : kPort});
  }
  if (settings.servers.empty()) {
    std::ifstream file(settings.resolv_conf);
    std::string text(kMaxConfFile, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(file.gcount()));
    const auto conf = parse_resolv_conf(text);
    for (const auto& ip : conf.servers) servers.push_back({ip, kPort});
    const ResolverSettings defaults;
    if (conf.timeout && settings.timeout == defaults.timeout) settings.timeout = core::Seconds(*conf.timeout);
    if (conf.attempts && settings.attempts == defaults.attempts) settings.attempts = *conf.attempts;
  }
  if (servers.empty()) servers.push_back({*core::IpAddress::parse("127.0.0.1"), kPort});
  return servers;
}

Answer failure(std::string error) {
  Answer answer;
  answer.error = std::move(error);
  return answer;
}

// One datagram exchange, shared with the handler of its timer.
struct Exchange {
  explicit Exchange(const asio::any_io_executor& executor) : socket(executor), timer(executor) {}
  udp::socket socket;
  asio::steady_timer timer;
  bool timed_out = false;

  void arm(const std::shared_ptr<Exchange>& self, Deadline deadline) {
    timer.expires_at(deadline.time());
    timer.async_wait([self](const Error& ec) {
      if (ec) return;
      self->timed_out = true;
      Error ignored;
      self->socket.cancel(ignored);
    });
  }
};

// A question under way and those who wait for it.
struct Job {
  explicit Job(Question q) : question(std::move(q)) {}
  const Question question;
  bool done = false;
  Answer answer;
  std::vector<net::Signal*> waiters;
  // What to break off when the resolver goes.
  std::shared_ptr<Exchange> exchange;
  net::Stream* stream = nullptr;

  void finish(Answer result) {
    if (std::exchange(done, true)) return;
    answer = std::move(result);
    for (auto* waiter : waiters) waiter->notify();
  }
};

// A waiter on the list of its job, for as long as its coroutine waits.
class Waiting {
 public:
  Waiting(std::shared_ptr<Job> job, const asio::any_io_executor& executor) : signal(executor), job_(std::move(job)) {
    job_->waiters.push_back(&signal);
  }
  Waiting(const Waiting&) = delete;
  ~Waiting() { std::erase(job_->waiters, &signal); }
  net::Signal signal;

 private:
  std::shared_ptr<Job> job_;
};

std::string framed(const std::string& query) {
  return std::string{static_cast<char>(query.size() >> 8), static_cast<char>(query.size() & 0xff)} + query;
}

struct QuestionHash {
  std::size_t operator()(const Question& question) const noexcept {
    return std::hash<std::string>()(question.name) * 31 + static_cast<std::size_t>(question.type);
  }
};

}  // namespace

struct LdnsResolver::Impl : std::enable_shared_from_this<Impl> {
  // How one try at one server ended: a Response to act upon, or none came.
  struct Try {
    enum class End { response, timeout, unreachable, flooded };
    End end = End::unreachable;
    Response response;
  };

  Impl(asio::any_io_executor e, ResolverSettings s, core::Random& r, core::Metrics& m, const core::Clock& c)
      : executor(std::move(e)),
        settings(std::move(s)),
        servers(servers_of(settings)),
        cache(settings.cache_entries, settings.cache_entries * kCacheOctetsPerEntry),
        random(r),
        metrics(m),
        clock(c) {}

  void close() {
    closed = true;
    for (const auto& [question, job] : jobs) {
      job->finish(failure("cancelled"));
      Error ignored;
      if (job->exchange) job->exchange->socket.close(ignored);
      if (job->stream != nullptr) job->stream->cancel();
    }
    jobs.clear();
  }

  std::shared_ptr<Job> join_or_start(const Question& question) {
    if (const auto found = jobs.find(question); found != jobs.end()) return found->second;
    if (jobs.size() >= settings.in_flight) return nullptr;
    auto job = std::make_shared<Job>(question);
    jobs.emplace(question, job);
    asio::co_spawn(executor, run(shared_from_this(), job), asio::detached);
    return job;
  }

  static net::Awaitable<void> run(std::shared_ptr<Impl> impl, std::shared_ptr<Job> job) {
    Answer answer;
    try {
      answer = co_await impl->settle(*job);
    } catch (const std::exception&) {
      answer = failure("internal error");
      if (!impl->closed) impl->metrics.add(core::Counter::internal_errors);
    }
    if (impl->closed) co_return;
    impl->jobs.erase(job->question);
    const core::Seconds ttl = answer.status == Status::failure ? kFailureTtl : core::Seconds(answer.ttl);
    impl->cache.put(job->question, answer, ttl, impl->clock.steady());
    job->finish(std::move(answer));
  }

  // The final answer: follows CNAMEs that servers did not follow themselves (DN-03).
  net::Awaitable<Answer> settle(Job& job) {
    const auto attempts = std::max(settings.attempts, 1U) * static_cast<unsigned>(servers.size());
    const auto deadline = Deadline::after(std::min(settings.timeout * attempts, kMaxTotal));
    Question question = job.question;
    unsigned cnames = 0;
    bool authenticated = true;
    std::uint32_t ttl = kMaxTtl;
    for (;;) {
      auto response = co_await ask(job, question, kMaxCnames - cnames, deadline);
      Answer& answer = response.answer;
      authenticated = answer.authenticated = authenticated && answer.authenticated;
      ttl = answer.ttl = std::min(ttl, answer.ttl);
      if (response.kind != Kind::follow) {
        if (answer.canonical.empty() && question.name != job.question.name) answer.canonical = question.name;
        co_return std::move(answer);
      }
      cnames += response.cnames;  // at least one: with none left the next CNAME is a failure, and the loop ends
      question.name = std::move(response.next);
    }
  }

  // One question to the servers in turn, until one knows. Never foreign, truncated or no_edns.
  net::Awaitable<Response> ask(Job& job, const Question& question, unsigned cnames_left, Deadline deadline) {
    Response last;
    last.kind = Kind::answer;
    last.answer = failure("timeout");
    const std::size_t first = next_server++;
    for (unsigned round = 0; round < std::max(settings.attempts, 1U); ++round) {
      bool silent = false;
      for (std::size_t i = 0; i < servers.size(); ++i) {
        if (closed) co_return last;
        if (deadline.passed()) co_return last;
        const Server& server = servers[(first + i) % servers.size()];
        auto tried = co_await try_server(job, server, question, cnames_left, deadline.within(settings.timeout));
        if (closed) co_return last;
        switch (tried.end) {
          case Try::End::response:
            break;
          case Try::End::unreachable:
            last.answer = failure("server unreachable");
            continue;
          default:
            last.answer = failure("timeout");
            silent = true;
            continue;
        }
        last = std::move(tried.response);
        if (last.kind == Kind::follow) co_return last;
        if (last.kind == Kind::answer && last.answer.status != Status::failure) co_return last;
        last.kind = Kind::answer;  // SERVFAIL, REFUSED, garbage: perhaps another server knows
        last.answer.status = Status::failure;
      }
      if (!silent) co_return last;  // asking the same servers the same again is for lost packets
    }
    co_return last;
  }

  // UDP first; TCP when it is cut or forged; without EDNS0 when the server stumbles over it.
  net::Awaitable<Try> try_server(Job& job, const Server& server, const Question& question, unsigned cnames_left,
                                 Deadline deadline) {
    const auto begun = core::Steady::now();
    Try tried = co_await ask_udp(job, server, question, cnames_left, Edns::yes, deadline);
    if (closed) co_return tried;
    Edns edns = Edns::yes;
    if (tried.end == Try::End::response && tried.response.kind == Kind::no_edns) {
      edns = Edns::no;
      tried = co_await ask_udp(job, server, question, cnames_left, edns, deadline);
      if (closed) co_return tried;
    }
    const bool truncated = tried.end == Try::End::response && tried.response.kind == Kind::truncated;
    if (truncated || tried.end == Try::End::flooded) {
      tried = co_await ask_tcp(job, server, question, cnames_left, edns, deadline);
      if (closed) co_return tried;
    }
    metrics.timings().add(core::Timing::dns, core::Steady::now() - begun);
    if (tried.end == Try::End::timeout) metrics.add(core::Counter::dns_timeouts);
    const bool trusted = settings.trust_ad == TrustAd::always ||
                         (settings.trust_ad == TrustAd::loopback && server.address.is_loopback());
    if (!trusted) tried.response.answer.authenticated = false;  // DN-10
    co_return tried;
  }

  // A socket of its own for each query: the kernel gives it a random port, and only the server's packets (DN-01).
  net::Awaitable<Try> ask_udp(Job& job, const Server& server, const Question& question, unsigned cnames_left, Edns edns,
                              Deadline deadline) {
    Try tried;
    const auto id = static_cast<std::uint16_t>(random.next());
    const std::string query = encode_query(question, id, edns);
    const auto exchange = std::make_shared<Exchange>(executor);
    const udp::endpoint to(net::to_asio(server.address), server.port);
    Error ec;
    exchange->socket.open(to.protocol(), ec);
    if (!ec) exchange->socket.connect(to, ec);
    if (!ec) exchange->socket.native_non_blocking(true, ec);
    if (ec) co_return tried;
    metrics.add(core::Counter::dns_queries);
    if (::send(exchange->socket.native_handle(), query.data(), query.size(), MSG_NOSIGNAL) < 0) co_return tried;
    exchange->arm(exchange, deadline);
    job.exchange = exchange;
    unsigned foreign = 0;
    for (;;) {
      std::tie(ec) = co_await exchange->socket.async_wait(udp::socket::wait_read, kAwait);
      if (closed || exchange->timed_out || !exchange->socket.is_open()) {
        tried.end = Try::End::timeout;
        break;
      }
      if (!receive(*exchange, question, id, cnames_left, tried)) break;
      if (tried.end == Try::End::timeout) continue;  // a false alarm of the kernel: nothing was there
      if (tried.response.kind != Kind::foreign) break;
      metrics.add(core::Counter::dns_bad_answers);
      if (++foreign > kMaxForeign) {
        tried.end = Try::End::flooded;
        break;
      }
    }
    exchange->timer.cancel();
    job.exchange.reset();
    co_return tried;
  }

  // One datagram, not waiting. False: the server is not there (ICMP).
  static bool receive(Exchange& exchange, const Question& question, std::uint16_t id, unsigned cnames_left,
                      Try& tried) {
    std::array<char, kDatagram> octets;
    const auto n = ::recv(exchange.socket.native_handle(), octets.data(), octets.size(), MSG_DONTWAIT);
    if (n < 0) {
      const bool nothing = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
      tried.end = nothing ? Try::End::timeout : Try::End::unreachable;
      return nothing;
    }
    tried.end = Try::End::response;
    tried.response = decode_response({octets.data(), static_cast<std::size_t>(n)}, question, id, cnames_left);
    return true;
  }

  // RFC 7766; one query a connection.
  net::Awaitable<Try> ask_tcp(Job& job, const Server& server, const Question& question, unsigned cnames_left, Edns edns,
                              Deadline deadline) {
    Try tried;
    const auto id = static_cast<std::uint16_t>(random.next());
    const std::string query = framed(encode_query(question, id, edns));
    metrics.add(core::Counter::dns_queries);
    auto connected = co_await net::connect(server.address, server.port, std::nullopt, deadline);
    if (closed || !connected) {
      if (!connected && connected.error() == core::Errc::timed_out) tried.end = Try::End::timeout;
      co_return tried;
    }
    net::Stream& stream = **connected;
    job.stream = &stream;
    auto octets = co_await exchange_tcp(stream, query, deadline);
    job.stream = nullptr;
    if (closed) co_return tried;
    if (!octets) {
      if (octets.error() == core::Errc::timed_out) tried.end = Try::End::timeout;
      co_return tried;
    }
    tried.end = Try::End::response;
    tried.response = decode_response(*octets, question, id, cnames_left);
    if (tried.response.kind == Kind::foreign || tried.response.kind == Kind::truncated) {
      if (tried.response.kind == Kind::foreign) metrics.add(core::Counter::dns_bad_answers);
      tried.response.kind = Kind::malformed;
      tried.response.answer.error = "bad response by TCP";
    }
    co_return tried;
  }

  static net::Awaitable<core::Result<std::string>> exchange_tcp(net::Stream& stream, const std::string& query,
                                                                Deadline deadline) {
    const auto sent = co_await stream.write(query, deadline);
    if (!sent) co_return sent.error();
    stream.set_buffer_limit(2 + kMaxMessage);
    for (;;) {
      const auto have = stream.buffered();
      if (have.size() >= 2) {
        const auto size =
            static_cast<std::size_t>(static_cast<unsigned char>(have[0]) << 8 | static_cast<unsigned char>(have[1]));
        if (have.size() >= 2 + size) co_return std::string(have.substr(2, size));
      }
      const auto got = co_await stream.fill(deadline);
      if (!got) co_return got.error();
    }
  }

  const asio::any_io_executor executor;
  ResolverSettings settings;
  const std::vector<Server> servers;
  Cache cache;
  std::unordered_map<Question, std::shared_ptr<Job>, QuestionHash> jobs;
  std::size_t next_server = 0;
  bool closed = false;
  // Not to be touched once `closed`.
  core::Random& random;
  core::Metrics& metrics;
  const core::Clock& clock;
};

LdnsResolver::LdnsResolver(asio::any_io_executor executor, ResolverSettings settings, core::Random& random,
                           core::Metrics& metrics, const core::Clock& clock)
    : impl_(std::make_shared<Impl>(std::move(executor), std::move(settings), random, metrics, clock)) {}

LdnsResolver::~LdnsResolver() {
  impl_->close();
}

void LdnsResolver::flush_cache() {
  impl_->cache.clear();
}

net::Awaitable<Answer> LdnsResolver::resolve(Question question, core::Deadline deadline) {
  const auto impl = impl_;  // the resolver may go while we wait
  question.name = normal_name(question.name);
  if (!is_query_name(question.name)) {
    Answer none;
    none.status = Status::nx_domain;
    co_return none;
  }
  if (auto known = impl->cache.find(question, impl->clock.steady())) {
    impl->metrics.add(core::Counter::dns_cache_hits);
    co_return std::move(*known);
  }
  const auto job = impl->join_or_start(question);
  if (!job) co_return failure(std::string(kTooManyInFlight));
  Waiting waiting(job, impl->executor);
  if (!job->done) co_await waiting.signal.wait(deadline);
  co_return job->done ? job->answer : failure("timeout");
}

}  // namespace dns
