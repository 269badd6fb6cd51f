// What makes a message ours, or remembers that it was: made by app/, shared by all shards. Members may be null: then
// nothing is ever ours, nothing is remembered (`onward try`, tests), and no sender counts as ownable.
#pragma once

#include "queue/activity.hpp"
#include "queue/ledger.hpp"
#include "queue/runner.hpp"
#include "queue/store.hpp"

namespace forwarder {

struct Durable {
  queue::Store* store = nullptr;
  queue::Ledger* ledger = nullptr;
  queue::Runner* runner = nullptr;
  queue::ActivityLog* activity = nullptr;

  // May messages become ours now?
  bool can_own() const { return store != nullptr && runner != nullptr && !store->health().sealed; }
};

}  // namespace forwarder
