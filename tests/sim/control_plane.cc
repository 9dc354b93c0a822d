#include "tests/sim/control_plane.h"

namespace penstock::sim {

using control::Command;
using control::CommandKind;

void SimControl::write_state(const control::TunableValues& values) {
  values_ = values;
  // With a list of keys that names nobody every publish is asked; without, none is.
  const bool opinion = mode_ != ControlMode::answers && mode_ != ControlMode::absent;
  if (opinion && prng_.chance(500)) admission_ = control::AdmissionMode::keys;
  control::WantedState state;
  state.epoch = ++epoch_;
  state.tunables = values;
  state.admission = admission_;
  state.keys_hash = control::fnv1a({});
  region_.wanted().state.write(state);
}

void SimControl::step(Instant now) {
  if (mode_ == ControlMode::absent) return;
  if (mode_ == ControlMode::dies) {
    if (dies_at_.ns == 0) dies_at_ = now.after_ms(prng_.below(4000));
    dead_ = now >= dies_at_ && now < dies_at_.after_ms(3000);
  }
  if (dead_) return;
  region_.header().control_heartbeat_ns.set(now.ns);
  for (uint32_t worker = 0; worker < region_.plan().workers; ++worker) {
    take_requests(worker, now);
    if (mode_ == ControlMode::moody && prng_.chance(20)) meddle(worker, now);
    control::StreamRow ended[8];
    while (region_.worker(worker).ended.pop(ended) > 0) {
    }
  }
  if (mode_ == ControlMode::mute) return answers_.clear();
  for (size_t left = answers_.size(); left > 0; --left) {
    const Answer answer = answers_.front();
    answers_.pop_front();
    if (answer.at > now || !region_.worker(answer.worker).commands.push(answer.command)) {
      answers_.push_back(answer);
    }
  }
}

void SimControl::take_requests(uint32_t worker, Instant now) {
  control::VerdictRequest request;
  while (region_.worker(worker).verdicts.pop({&request, 1}) == 1) {
    Answer answer;
    answer.worker = worker;
    answer.command.kind = CommandKind::verdict;
    answer.command.connection_id = request.connection_id;
    answer.command.request_id = request.request_id;
    answer.command.allowed = mode_ != ControlMode::moody || !prng_.chance(150);
    answer.at = now.after_ms(prng_.below(mode_ == ControlMode::moody ? 900 : 30));
    answers_.push_back(answer);
    if (mode_ == ControlMode::moody && prng_.chance(200)) answers_.push_back(answer);
  }
}

/// Commands that hit, commands that miss, and numbers that no control plane would send.
void SimControl::meddle(uint32_t worker, Instant now) {
  Command command;
  switch (prng_.below(6)) {
    case 0: {
      control::StreamRow row;
      const uint64_t used = region_.worker(worker).stream_slots_used.observe();
      if (used == 0 || !region_.streams(worker)[prng_.below(used)].read(row)) return;
      command.kind = CommandKind::kick_stream;
      command.stream_id = row.stream_id;
      break;
    }
    case 1: {
      control::ConnectionRow row;
      const uint64_t used = region_.worker(worker).connection_slots_used.observe();
      if (used == 0 || !region_.connections(worker)[prng_.below(used)].read(row)) return;
      command.kind = prng_.chance(300) ? CommandKind::kick_connection : CommandKind::trace;
      command.allowed = 1;
      command.connection_id = row.connection_id;
      break;
    }
    case 2: {  // a live tunable changes; some values are out of their range and must be refused
               // whole
      control::TunableValues values = values_;
      const size_t which = prng_.below(control::tunable_count);
      const control::TunableInfo& info = control::tunable_table[which];
      if (!info.live) return;
      values[which] = prng_.chance(500)   ? info.fallback
                      : prng_.chance(500) ? info.max + 1
                                          : values_[which];
      control::WantedState state;
      state.epoch = ++epoch_;
      state.tunables = values;
      state.admission = admission_;
      state.keys_hash = control::fnv1a({});
      region_.wanted().state.write(state);
      return;
    }
    default:
      prng_.fill({reinterpret_cast<uint8_t*>(&command), sizeof command});
      command.kind = static_cast<CommandKind>(prng_.below(7));
      break;
  }
  static_cast<void>(now);
  static_cast<void>(region_.worker(worker).commands.push(command));
}

}  // namespace penstock::sim
