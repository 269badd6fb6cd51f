#include "app/tls_reporter.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/digest.hpp"
#include "core/text.hpp"
#include "forwarder/https_get.hpp"
#include "queue/store.hpp"

namespace app {
namespace {

constexpr std::size_t kMaxAnswer = 16 * 1024;  // octets of what a receiver says to a POST

std::string day_text(forwarder::TlsDay day) {
  return fmt::format("{:%Y-%m-%d}", fmt::gmtime(core::Wall::to_time_t(day)));
}

std::string hex_of(std::string_view text) {
  return core::hex(core::as_text(core::sha256(text))).substr(0, 16);
}

// Of the TXT records at _smtp._tls.DOMAIN exactly one may be a TLSRPT record (RFC 8460 §3).
std::vector<std::string> uris_of(const std::vector<std::string>& texts) {
  const std::string* found = nullptr;
  for (const auto& text : texts) {
    if (!text.starts_with("v=TLSRPTv1")) continue;
    if (found != nullptr) return {};
    found = &text;
  }
  if (found == nullptr) return {};
  return forwarder::parse_tlsrpt_record(*found).value_or(std::vector<std::string>());
}

}  // namespace

net::Awaitable<std::string> TlsReporter::send(std::shared_ptr<const forwarder::Config> config, forwarder::TlsDay today,
                                              forwarder::TlsDay until, std::string domain) {
  if (std::exchange(sending_, true)) co_return "reports are being sent already";
  queue::TlsQuery query{std::move(domain), until.time_since_epoch().count()};
  const auto rows = co_await means_.durable.activity->query(std::move(query));
  std::string wrong;
  if (rows) {
    auto all = forwarder::by_domain(*rows);
    for (auto& one : all) {
      if (stopping_) break;
      queue::TlsReported reported{one.day.time_since_epoch().count(), one.domain};
      if (told_.contains(reported)) continue;
      const bool over = one.day < today;
      const auto sent = co_await send_one(config, std::move(one));
      if (sent == Sent::later) continue;
      if (over) told_.insert(reported);
      static_cast<void>(means_.durable.activity->record(std::move(reported)));
    }
  } else {
    wrong = "what was seen cannot be read: " + rows.error().message();
    means_.log.warn("tls_results_not_read", {{"error", rows.error().message()}});
  }
  const auto first_day = (today - std::chrono::days(queue::kTlsDaysKept)).time_since_epoch().count();
  std::erase_if(told_, [first_day](const auto& one) { return one.day < first_day; });
  sending_ = false;
  co_return wrong;
}

net::Awaitable<TlsReporter::Sent> TlsReporter::send_one(std::shared_ptr<const forwarder::Config> config,
                                                        forwarder::TlsDomainResults results) {
  dns::Question question{"_smtp._tls." + results.domain, dns::Type::txt};
  const auto deadline = core::Deadline::after(kPatience);
  const auto answer = co_await means_.resolver.resolve(std::move(question), deadline);
  if (answer.status == dns::Status::failure) co_return Sent::later;
  const auto uris = answer.status == dns::Status::ok ? uris_of(answer.texts) : std::vector<std::string>();
  if (uris.empty()) co_return Sent::nobody_asks;

  forwarder::TlsReportHeader header;
  header.organization = config->hostname;
  header.contact = "postmaster@" + config->hostname;
  header.day = results.day;
  const auto seconds = core::Wall::to_time_t(core::Wall::now());
  header.id = fmt::format("{}.{}@{}", day_text(results.day), hex_of(fmt::format("{}|{}", results.domain, seconds)),
                          config->hostname);
  const auto report =
      forwarder::compress_tls_report(forwarder::fit_tls_report(header, std::move(results.policies), kMaxOctets));
  bool any = false;
  for (std::size_t i = 0; i < std::min(uris.size(), kMaxTargets); ++i) {
    auto target = forwarder::parse_tls_report_uri(uris[i]);
    if (!target) continue;
    std::string wrong;
    if (target->mail) {
      const auto now = means_.durable.store->now();
      auto composed = forwarder::make_tls_report_mail(*config, header, results.domain, report, *target->mail,
                                                      {now, means_.durable.store->wall_of(now) / 1000});
      if (!composed) {
        wrong = composed.error().message();
      } else if (!co_await mail(std::move(*composed))) {
        wrong = "the queue does not take it now";
      }
    } else {
      wrong = co_await post(*config, std::move(*target), report);
    }
    any = any || wrong.empty();
    means_.log.info(wrong.empty() ? "tls_report_sent" : "tls_report_failed",
                    {{"domain", results.domain}, {"day", day_text(results.day)}, {"to", uris[i]}, {"error", wrong}});
  }
  co_return any ? Sent::yes : Sent::later;
}

net::Awaitable<bool> TlsReporter::mail(queue::Composed composed) {
  if (!means_.durable.can_own()) co_return false;
  queue::Changes changes;
  changes.reports.push_back(std::move(composed));
  const auto receipt = co_await means_.durable.store->commit(std::move(changes));
  if (!receipt.ok()) co_return false;
  means_.durable.runner->wake();
  co_return true;
}

// "" when it was taken.
net::Awaitable<std::string> TlsReporter::post(const forwarder::Config& config, forwarder::TlsReportTarget target,
                                              std::string report) {
  forwarder::HttpsRequest request;
  request.method = forwarder::HttpsRequest::Method::post;
  request.host = std::move(target.host);
  request.path = std::move(target.path);
  request.port = target.port;
  request.content_type = forwarder::kTlsReportType;
  request.body = std::move(report);
  request.max_octets = kMaxAnswer;
  request.private_addresses = config.delivery.private_destinations;
  const auto client = config.tls_client;
  const forwarder::HttpsMeans means{means_.resolver, *client};
  const auto answer = co_await forwarder::https_request(means, std::move(request), core::Deadline::after(kPatience));
  co_return answer.result == forwarder::HttpsAnswer::Result::ok ? std::string() : answer.why;
}

nlohmann::json show_tls_results(const std::vector<queue::TlsCount>& rows) {
  auto out = nlohmann::json::array();
  for (const auto& one : forwarder::by_domain(rows)) {
    forwarder::TlsReportHeader header;
    header.day = one.day;
    const auto whole = nlohmann::json::parse(forwarder::write_tls_report(header, one.policies));
    out.push_back({{"day", day_text(one.day)}, {"domain", one.domain}, {"policies", whole["policies"]}});
  }
  return out;
}

}  // namespace app
