// Who is connected: counts sessions over all shards, in all and per client network (IPv4 address, IPv6 /64), and
// refuses above the caps (RS-02). A connection that a proxy hands on counts in all at first, and for its client when
// the client is known. Thread-safe; an entry exists only while its network has a session, so the table is as
// bounded as the sessions are.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "core/ip.hpp"

namespace smtpd {

class ConnectionTable {
 public:
  enum class Refusal { none, client, global };

  // One connection's place; leaves by itself. Must not outlive the table.
  class Slot {
   public:
    Slot() = default;
    Slot(Slot&& other) noexcept
        : table_(std::exchange(other.table_, nullptr)), network_(other.network_), named_(other.named_) {}
    Slot& operator=(Slot&& other) noexcept {
      if (this != &other) {
        leave();
        table_ = std::exchange(other.table_, nullptr);
        network_ = other.network_;
        named_ = other.named_;
      }
      return *this;
    }
    ~Slot() { leave(); }
    explicit operator bool() const { return table_ != nullptr; }
    // Whose connection it is, of one that entered unnamed. False: this client has `per_client` already.
    [[nodiscard]] bool name(const core::IpAddress& client, unsigned per_client);

   private:
    friend class ConnectionTable;
    explicit Slot(ConnectionTable* table) : table_(table) {}
    void leave();
    ConnectionTable* table_ = nullptr;
    core::IpAddress network_;
    bool named_ = false;  // counted for network_
  };

  struct Limits {
    unsigned total = 0;
    unsigned per_client = 0;
  };
  struct Entry {
    Slot slot;  // empty when refused
    Refusal refusal = Refusal::none;
  };
  [[nodiscard]] Entry enter(const core::IpAddress& client, Limits limits);
  // The client is not known yet: Slot::name() follows.
  [[nodiscard]] Entry enter_unnamed(unsigned total);

  // No more than so many in all, whatever the limits say: what the process has descriptors for (RS-09). At start.
  void set_ceiling(std::size_t ceiling) { ceiling_ = ceiling; }
  std::size_t ceiling() const { return ceiling_; }

  std::size_t total() const { return total_.load(std::memory_order_relaxed); }
  std::size_t of_client(const core::IpAddress& client) const;

 private:
  static constexpr std::size_t kShards = 16;
  struct Shard {
    mutable std::mutex mutex;
    std::unordered_map<core::IpAddress, unsigned> counts;
  };
  Shard& shard(const core::IpAddress& network) { return shards_[std::hash<core::IpAddress>()(network) % kShards]; }
  const Shard& shard(const core::IpAddress& network) const {
    return shards_[std::hash<core::IpAddress>()(network) % kShards];
  }
  std::array<Shard, kShards> shards_;
  std::atomic<std::size_t> total_{0};
  std::size_t ceiling_ = SIZE_MAX;
};

}  // namespace smtpd
