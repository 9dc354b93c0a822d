#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "penstock/rtmp/initiator.h"
#include "tests/sim/media_source.h"
#include "tests/sim/sim_network.h"
#include "tests/sim/ways.h"

namespace penstock::sim {

/// What was published under which name: players are checked against it. Failures gather here.
struct Oracle {
  std::map<uint32_t, std::unique_ptr<MediaSource>> sources;
  std::map<uint32_t, std::string> names;
  std::set<std::string> tainted;  // names under which garbage went out: it may look like media
  std::vector<std::string> failures;
  bool trace = false;
  bool calm = false;  // whoever is to be shown out is shown out soon

  MediaSource& add(const std::string& name);
  void fail(std::string text) {
    if (failures.size() < 10) failures.push_back(std::move(text));
  }
};

/// A peer of the simulated network that speaks RTMP: the bytes' way between an Initiator and a
/// SimPeer.
class RtmpPeer {
 public:
  RtmpPeer(SimNetwork& network, SimPeer peer, rtmp::InitiatorSettings settings, uint64_t seed)
      : network_(network),
        way_(std::make_unique<DirectWay>(std::move(peer))),
        name_(settings.name),
        initiator_(std::move(settings), seed),
        prng_(seed) {}
  virtual ~RtmpPeer() = default;

  /// Another way than the connection that it was made with, and whether that has RTMP's handshake
  /// in it. Before the first step() only.
  void travel_by(std::unique_ptr<Way> way, bool has_handshake);
  [[nodiscard]] const Way& way() const { return *way_; }

  /// Moves bytes and acts. False when the peer has left and will do nothing more.
  bool step();
  /// Leaves as soon as it can.
  virtual void leave() = 0;
  [[nodiscard]] bool gone() const { return gone_; }

 protected:
  virtual void act() = 0;
  virtual bool leaves_at_end() const { return true; }
  virtual void on_event(const rtmp::InitiatorEvent& event) = 0;
  /// How much of what has arrived is read this time.
  virtual size_t appetite() { return SIZE_MAX; }

  void flush();
  void read();
  void use(Bytes plain);
  void depart(bool with_reset);

  SimNetwork& network_;
  std::unique_ptr<Way> way_;
  std::string name_;
  rtmp::Initiator initiator_;
  Prng prng_;
  std::vector<uint8_t> plain_;  // of one read: memory that is kept
  bool gone_ = false;
  bool failed_ = false;  // the other side sent what an Initiator does not understand
};

/// falls_silent stays connected for ever, and does not answer an end either: it is ours to end it.
enum class PublisherEnding : uint8_t { orderly, vanishes_by_reset, falls_silent, sends_garbage };

class SimPublisher final : public RtmpPeer {
 public:
  SimPublisher(SimNetwork& network, SimPeer peer, rtmp::InitiatorSettings settings, uint64_t seed,
               Oracle& oracle, uint32_t messages, PublisherEnding ending)
      : RtmpPeer(network, std::move(peer), std::move(settings), seed),
        oracle_(oracle),
        messages_left_(messages),
        ending_(ending) {}

  void leave() override { leaving_ = true; }
  void end_by(PublisherEnding ending) { ending_ = ending; }
  [[nodiscard]] const MediaSource* source() const { return source_; }
  [[nodiscard]] bool refused() const { return refused_; }
  /// Every message that was made has been written to the network, in order, before an orderly end.
  [[nodiscard]] bool ended_orderly() const { return ended_orderly_; }

 private:
  void act() override;
  void on_event(const rtmp::InitiatorEvent& event) override;
  bool leaves_at_end() const override { return ending_ != PublisherEnding::falls_silent; }
  void end();

  Oracle& oracle_;
  MediaSource* source_ = nullptr;
  uint32_t messages_left_;
  PublisherEnding ending_;
  Instant next_at_;
  bool leaving_ = false;
  bool ending_now_ = false;
  bool refused_ = false;
  bool ended_orderly_ = false;
  Instant spoilt_at_ = Instant::never();
};

enum class PlayerSpeed : uint8_t { fast, slow, stalls };

class SimPlayer final : public RtmpPeer {
 public:
  SimPlayer(SimNetwork& network, SimPeer peer, rtmp::InitiatorSettings settings, uint64_t seed,
            Oracle& oracle, PlayerSpeed speed)
      : RtmpPeer(network, std::move(peer), std::move(settings), seed),
        oracle_(oracle),
        speed_(speed) {}

  void leave() override { leaving_ = true; }
  [[nodiscard]] PlayerSpeed speed() const { return speed_; }
  /// What was got of a source, from the first keyframe on (from the first sound where there is no
  /// video).
  struct Got {
    uint32_t first = 0;
    uint32_t last = 0;
    uint32_t count = 0;
  };
  [[nodiscard]] const std::map<uint32_t, Got>& got() const { return got_; }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  void act() override;
  void on_event(const rtmp::InitiatorEvent& event) override;
  size_t appetite() override;
  void check(const rtmp::MessageReceived& message);
  void check_order(const MediaSource& source, const MediaMark& mark);
  void fail(const std::string& what);

  Oracle& oracle_;
  PlayerSpeed speed_;
  uint32_t source_ = 0;  // that it gets now
  uint32_t last_number_ = 0;
  uint32_t last_video_ = 0;
  std::set<uint32_t> sources_seen_;
  std::set<std::pair<uint32_t, MediaKindSent>> headers_;
  std::map<uint32_t, Got> got_;
  Instant stalled_until_;
  bool leaving_ = false;
};

/// Connects and sends what is no RTMP, or not for long.
class SimNoise {
 public:
  SimNoise(SimPeer peer, uint64_t seed) : peer_(std::move(peer)), prng_(seed) {}
  void step();
  /// Half of them stay, and say nothing more.
  void leave() {
    if (prng_.chance(500)) peer_.reset();
  }

 private:
  SimPeer peer_;
  Prng prng_;
  bool begun_ = false;
};

}  // namespace penstock::sim
