#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/load/options.h"
#include "bench/load/player.h"
#include "bench/load/publisher.h"
#include "bench/load/schedule.h"
#include "bench/load/tally.h"
#include "dataplane/engine/engine.h"

namespace penstock::load {

/// All publishers and players of a run and the loop that drives them; one thread. What is started
/// when, and when it ends, is the workload's to say.
class Generator {
 public:
  Generator(engine::Engine& engine, const Options& options, const MediaLoop& loop, Instant now);

  /// One turn: sends what is due, then waits for what comes until `wake_at` at the latest.
  void tick(Instant wake_at);

  /// `name_number` makes the stream's name; for a publisher it need not be its own number.
  void start_publisher(uint32_t publisher, uint32_t name_number);
  void start_player(uint32_t player);
  void close_publisher(uint32_t publisher);
  void close_everything();
  /// Zeroes what is counted in the window and marks who is there.
  void begin_window();
  /// Marks who is stalled, and counts the age of what they miss.
  void end_window(Instant began);

  [[nodiscard]] Instant now() const { return now_; }
  [[nodiscard]] Tally& tally() { return tally_; }
  [[nodiscard]] std::vector<Publisher>& publishers() { return publishers_; }
  [[nodiscard]] std::vector<Player>& players() { return players_; }
  /// Publishers that went live, and that ended (after failing, or being closed from either side),
  /// in the last tick.
  [[nodiscard]] const std::vector<uint32_t>& published() const { return published_; }
  [[nodiscard]] const std::vector<uint32_t>& ended() const { return ended_; }
  /// The first connection that could not be made, and why; for a run that gets nowhere.
  [[nodiscard]] const std::string& first_failure() const { return first_failure_; }
  /// Of a publisher that could not be started.
  [[nodiscard]] const std::string& first_publish_failure() const { return first_publish_failure_; }

 private:
  void on_event(const engine::EngineEvent& event);
  void on_publisher(uint32_t index, const engine::EngineEvent& event);
  void on_player(uint32_t index, const engine::EngineEvent& event);
  void on_received(Publisher& publisher, uint32_t index, Bytes bytes);
  void on_received(Player& player, uint32_t index, Bytes bytes);
  void on_lost(Link& link, const engine::EngineEvent& event);
  void fail(Link& link, std::string_view kind);
  void note_failure(Publisher& publisher, std::string_view kind);
  void schedule_next(uint32_t publisher);
  void put(uint32_t publisher, Instant due);
  void end_silent_starts();
  [[nodiscard]] StreamName name_of(uint32_t number) const;
  void own(const Link& link, uint32_t owner);

  const Options& options_;
  Publisher::Setup setup_;
  Tally tally_;
  std::vector<Publisher> publishers_;
  std::vector<Player> players_;
  std::vector<uint32_t> owners_;  // by the engine's index; players have the highest bit set
  Schedule due_;
  Schedule reading_;  // when slow players go on
  std::vector<uint32_t> published_;
  std::vector<uint32_t> ended_;
  std::vector<engine::EngineEvent> events_;
  std::string first_failure_;
  std::string first_publish_failure_;
  Instant now_;
  Instant starts_checked_;
};

}  // namespace penstock::load
