#include "controlplane/verdicts.h"

#include <algorithm>

namespace penstock::controlplane {

Verdict judge(const config::Config& config, const control::VerdictRequest& request) {
  const bool publish = request.publish != 0;
  if (!publish || config.publish == control::AdmissionMode::open)
    return {.allowed = true, .text = {}};
  if (config.publish == control::AdmissionMode::login)
    return {.allowed = false, .text = "login needed: user and password"};
  // keys is sorted (config.h). The name is compared as it came, not cleaned: cleaning makes
  // different names equal.
  const bool listed =
      std::binary_search(config.keys.begin(), config.keys.end(), request.name.view());
  if (listed) return {.allowed = true, .text = {}};
  return {.allowed = false, .text = "stream key not valid"};
}

size_t Verdicts::answer(Attachment& attachment, const config::Config& config) {
  // A quarter of a worker's ring: between rounds the loop's other work gets its turn.
  constexpr uint32_t requests_per_round_max = 256;
  size_t answered = 0;
  for (uint32_t worker = 0; worker < attachment.workers(); ++worker) {
    for (uint32_t taken = 0; taken < requests_per_round_max;) {
      const uint32_t count = attachment.region().worker(worker).verdicts.pop(requests_);
      for (uint32_t i = 0; i < count; ++i)
        tell(attachment, worker, requests_[i], judge(config, requests_[i]));
      taken += count;
      answered += count;
      if (count < requests_.size()) break;
    }
  }
  return answered;
}

void Verdicts::tell(Attachment& attachment, uint32_t worker, const control::VerdictRequest& request,
                    const Verdict& verdict) {
  control::Command command;
  command.kind = control::CommandKind::verdict;
  command.allowed = verdict.allowed ? 1 : 0;
  command.connection_id = request.connection_id;
  command.request_id = request.request_id;
  command.text.set(verdict.text);
  const bool told = attachment.order(worker, command);
  ++(verdict.allowed ? allowed_ : refused_);
  if (!told) {
    log_.write(control::LogLevel::warning,
               "verdict not delivered: the worker's command ring is full",
               {{"stream", request.name.view()},
                {"worker", worker},
                {"connection", request.connection_id}});
    return;
  }
  // Never the query: it may hold a token.
  const control::LogLevel level =
      verdict.allowed ? control::LogLevel::debug : control::LogLevel::info;
  log_.write(level, verdict.allowed ? "allowed" : "refused",
             {{"request", request.publish != 0 ? "publish" : "play"},
              {"stream", request.name.view()},
              {"connection", request.connection_id},
              {"peer", request.peer.view()},
              {"worker", worker},
              {"reason", verdict.text}});
}

}  // namespace penstock::controlplane
