#include "dataplane/directory.h"

namespace penstock::dataplane {

Directory::Claimed Directory::claim(std::string_view name, uint64_t stream_id, WorkerId worker) {
  Entry& entry = entries_[std::string(name)];
  if (entry.owner.stream_id != 0 && entry.owner.stream_id != stream_id) return {};
  entry.owner = {stream_id, worker};
  return {.granted = true, .number = ++claims_granted_, .interested = entry.interested};
}

void Directory::release(std::string_view name, uint64_t stream_id) {
  const std::string key(name);
  const auto found = entries_.find(key);
  if (found == entries_.end() || found->second.owner.stream_id != stream_id) return;
  found->second.owner = {};
  erase_if_unused(key);
}

Directory::Owner Directory::set_interest(std::string_view name, WorkerId worker, bool on) {
  const std::string key(name);
  Entry& entry = entries_[key];
  const uint64_t bit = uint64_t{1} << worker;
  entry.interested = on ? entry.interested | bit : entry.interested & ~bit;
  const Owner owner = entry.owner;
  erase_if_unused(key);
  return owner;
}

void Directory::erase_if_unused(const std::string& name) {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return;
  if (found->second.owner.stream_id == 0 && found->second.interested == 0) entries_.erase(found);
}

}  // namespace penstock::dataplane
