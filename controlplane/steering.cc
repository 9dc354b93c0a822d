#include "controlplane/steering.h"

#include <spdlog/fmt/fmt.h>

#include <utility>

#include "controlplane/clock.h"
#include "penstock/base/time.h"

namespace penstock::controlplane {
namespace {

constexpr uint64_t attach_every_ns = 100 * ns_per_ms;
// An attachment that ended sooner than this was taken over by somebody else: fighting over it helps
// nobody.
constexpr uint64_t attachment_short_ns = ns_per_s;
constexpr uint64_t mirror_every_ns = 250 * ns_per_ms;
// Reconciling without a cause heals what nobody told us of: a region that was written by somebody
// else.
constexpr uint64_t reconcile_every_ns = ns_per_s;

// Workers allow by themselves what their policy allows, and ring when they ask. Questions come
// together (a site that reconnects with new keys): while there are some we look every 2 ms, and
// nobody need ring.
constexpr uint32_t wait_busy_ms = 2;
constexpr uint32_t wait_detached_ms = 20;

}  // namespace

Steering::Steering(Parts& parts, std::string attach_path)
    : parts_(parts), attach_path_(std::move(attach_path)), verdicts_(parts.log) {}

int Steering::socket() const {
  const auto attachment = parts_.link.current();
  return attachment ? attachment->socket() : -1;
}

int Steering::bell() const {
  const auto attachment = parts_.link.current();
  return attachment ? attachment->bell() : -1;
}

uint32_t Steering::turn(uint64_t now_ns) {
  if (!parts_.link.current() && now_ns >= attach_at_ns_) try_attach(now_ns);
  const auto attachment = parts_.link.current();
  if (!attachment) {
    keep_history(now_ns);
    return wait_detached_ms;
  }
  // First: where another control process was taken instead of us, the bell is its.
  if (attachment->hung_up()) {
    lose(*attachment, now_ns);
    return wait_detached_ms;
  }
  attachment->woke_up();
  const size_t answered = steer(*attachment, now_ns);
  if (answered > 0) return wait_busy_ms;
  if (!attachment->may_sleep()) return 0;
  // The next mirror is never further away than mirror_every_ns.
  return static_cast<uint32_t>((mirror_at_ns_ - now_ns + ns_per_ms - 1) / ns_per_ms);
}

void Steering::try_attach(uint64_t now_ns) {
  attach_at_ns_ = now_ns + attach_every_ns;
  auto attached = Attachment::attach(attach_path_);
  if (!attached) {
    if (complaint_ == attached.error()) return;
    complaint_ = attached.error();
    parts_.log.write(control::LogLevel::warning, "waiting for the data plane",
                     {{"why", complaint_}});
    return;
  }
  complaint_.clear();
  Attachment& attachment = **attached;
  attachment.region().header().control_heartbeat_ns.set(now_ns);
  parts_.reconciler.adopt(attachment);
  parts_.reconciler.reconcile(attachment);
  parts_.log.set_level(parts_.reconciler.log_level());
  parts_.catalog.attach(attachment);
  parts_.link.set(*attached);
  attached_at_ns_ = now_ns;
  mirror_at_ns_ = 0;
  parts_.log.write(control::LogLevel::info, "attached to the data plane",
                   {{"pid", attachment.hello().process_id},
                    {"run", fmt::format("{:016x}", attachment.hello().run_id)},
                    {"workers", attachment.workers()},
                    {"epoch", parts_.reconciler.wanted_epoch()}});
}

size_t Steering::steer(Attachment& attachment, uint64_t now_ns) {
  attachment.region().header().control_heartbeat_ns.set(now_ns);
  const auto settings = parts_.reconciler.settings();
  const size_t answered = verdicts_.answer(attachment, settings->config);
  if (now_ns >= mirror_at_ns_) {
    mirror_at_ns_ = now_ns + mirror_every_ns;
    mirror(attachment, now_ns);
  }
  if (now_ns >= reconcile_at_ns_) {
    reconcile_at_ns_ = now_ns + reconcile_every_ns;
    parts_.reconciler.reconcile(attachment);
  }
  return answered;
}

void Steering::mirror(Attachment& attachment, uint64_t now_ns) {
  parts_.catalog.refresh(attachment, now_ns);
  parts_.rates.sample(attachment, now_ns);
  parts_.kept.look(attachment.region(), now_ns);
  keep_history(now_ns);
}

void Steering::keep_history(uint64_t now_ns) {
  const std::vector<EndedStream> ended = parts_.catalog.take_ended(now_ns, unix_ms());
  for (const EndedStream& one : ended) {
    parts_.log.write(control::LogLevel::info, "stream ended",
                     {{"stream", one.stream.name},
                      {"worker", one.stream.worker},
                      {"seconds", seconds_between(one.stream.since_unix_ms, one.ended_unix_ms)},
                      {"bytes", one.stream.bytes_received},
                      {"reason", one.reason}});
  }
  const bool written = parts_.history.add(ended);
  if (!written && !history_complained_) {
    parts_.log.write(control::LogLevel::error,
                     "the history of ended streams cannot be written to state_dir",
                     {{"hint", "is the disk full, or state_dir not writable?"}});
  }
  history_complained_ = !written;
}

void Steering::lose(Attachment& attachment, uint64_t now_ns) {
  parts_.catalog.refresh(attachment, now_ns);  // the last reports lie in the region still
  parts_.catalog.detach(now_ns);
  parts_.rates.forget();
  parts_.kept.forget();
  parts_.link.set(nullptr);
  const bool brief = now_ns - attached_at_ns_ < attachment_short_ns;
  attach_at_ns_ = now_ns + (brief ? ns_per_s : attach_every_ns);
  parts_.log.write(control::LogLevel::warning, "the data plane hung up",
                   {{"pid", attachment.hello().process_id}});
}

}  // namespace penstock::controlplane
