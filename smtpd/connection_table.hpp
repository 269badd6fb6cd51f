// Who is connected: counts sessions over all shards, in all and per client network (IPv4 address, IPv6 /64), and
// refuses above the caps (RS-02). Thread-safe; an entry exists only while its network has a session, so the table is as
// bounded as the sessions are.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
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
    Slot(Slot&& other) noexcept : table_(std::exchange(other.table_, nullptr)), network_(other.network_) {}
    Slot& operator=(Slot&& other) noexcept {
      if (this != &other) {
        leave();
        table_ = std::exchange(other.table_, nullptr);
        network_ = other.network_;
      }
      return *this;
    }
    ~Slot() { leave(); }
    explicit operator bool() const { return table_ != nullptr; }

   private:
    friend class ConnectionTable;
    Slot(ConnectionTable* table, core::IpAddress network) : table_(table), network_(network) {}
    void leave();
    ConnectionTable* table_ = nullptr;
    core::IpAddress network_;
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
};

}  // namespace smtpd
