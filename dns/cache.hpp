// Answers by question, until their TTL ends. Bounded in entries and in octets; the least recently used goes first
// (DN-06). Belongs to one resolver, on one shard.
#pragma once

#include <list>
#include <optional>
#include <unordered_map>

#include "core/clock.hpp"
#include "dns/answer.hpp"

namespace dns {

class Cache {
 public:
  using Time = core::Steady::time_point;

  // `octets` bounds the contents of all answers and names together.
  Cache(std::size_t entries, std::size_t octets) : max_entries_(entries), max_octets_(octets) {}

  // With what is left of its TTL.
  std::optional<Answer> find(const Question& question, Time now);
  // Keeps the answer for `ttl`, at least one second, at most a day; replaces an older one. One that is too large for
  // the cache as a whole is not kept.
  void put(const Question& question, const Answer& answer, core::Seconds ttl, Time now);
  void clear();
  std::size_t size() const { return index_.size(); }
  std::size_t octets() const { return octets_; }

 private:
  struct Entry {
    Question question;
    Answer answer;
    Time until;
    std::size_t octets = 0;
  };
  struct Hash {
    std::size_t operator()(const Question& question) const noexcept {
      return std::hash<std::string>()(question.name) * 31 + static_cast<std::size_t>(question.type);
    }
  };
  using Entries = std::list<Entry>;
  void erase(Entries::iterator entry);

  std::size_t max_entries_, max_octets_;
  std::size_t octets_ = 0;
  Entries entries_;  // most recently used first
  std::unordered_map<Question, Entries::iterator, Hash> index_;
};

}  // namespace dns
