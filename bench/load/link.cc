#include "bench/load/link.h"

#include <utility>

#include "penstock/base/assert.h"
#include "penstock/rtmp/chunk_writer.h"
#include "penstock/rtmp/handshake_digest.h"
#include "penstock/rtmp/message.h"

namespace penstock::load {
namespace {

constexpr uint32_t handshake_answer_bytes = 1 + 2 * rtmp::handshake_packet_bytes;

// What a server that never says one gets: it is librtmp's own.
constexpr uint32_t ack_window_bytes_default = 2'500'000;
// A server may not make us acknowledge more often than this.
constexpr uint32_t ack_window_bytes_min = 64 * 1024;

bool is_media(uint8_t type) {
  using namespace rtmp::message_type;
  return type == audio || type == video || type == data || type == data_amf3 || type == aggregate;
}

}  // namespace

bool Link::open(const Setup& setup, bool publish, const StreamName& name, uint32_t stream_index,
                Instant now) {
  PENSTOCK_ASSERT(state_ == LinkState::idle);
  publish_ = publish;
  stream_ended_ = false;
  stream_index_ = stream_index;
  message_stream_id_ = 1;
  unsent_bytes_ = 0;
  bytes_received_ = bytes_acknowledged_ = 0;
  ack_window_bytes_ = ack_window_bytes_default;
  own_in_flight_.clear();
  own_waiting_.clear();
  reader_ = {};
  control_ = {};
  handshake_left_ = setup.raw || setup.handshake_below ? 0 : handshake_answer_bytes;
  if (setup.raw) {
    const auto set = reader_.set_chunk_size(setup.chunk_bytes);
    PENSTOCK_ASSERT(set.has_value());
  } else {
    initiator_ = std::make_unique<rtmp::Initiator>(
        rtmp::InitiatorSettings{.publish = publish,
                                .app = name.app,
                                .name = name.name,
                                .tc_url = name.tc_url,
                                .flash_ver = "FMLE/3.0 (compatible; penstock-load)",
                                .digest = setup.digest,
                                .chunk_bytes = setup.chunk_bytes},
        now.ns + stream_index);
    if (setup.handshake_below) initiator_->skip_handshake();
  }
  const auto id = setup.engine.connect(setup.server);
  if (!id) {
    initiator_.reset();
    return false;
  }
  id_ = *id;
  enter(LinkState::connecting, now);
  return true;
}

void Link::on_connected(const Setup& setup, Instant now) {
  if (state_ != LinkState::connecting) return;
  if (!setup.raw) {
    enter(LinkState::starting, now);
    return flush_initiator(setup);
  }
  std::vector<uint8_t> greeting(8);
  greeting[0] = publish_ ? 'P' : 'S';
  store_u32_le(greeting.data() + 4, stream_index_);
  enter(LinkState::live, now);
  send_own(setup, std::move(greeting));
}

std::optional<std::string> Link::feed(const Setup& setup, Bytes input, Instant now) {
  bytes_received_ += input.size();
  if (initiator_) {
    if (auto failure = bring_up(setup, input, now)) return failure;
  }
  if (handshake_left_ > 0) {
    const auto skipped = std::min<size_t>(handshake_left_, input.size());
    handshake_left_ -= static_cast<uint32_t>(skipped);
    input = input.subspan(skipped);
  }
  reader_.feed(input);
  // While there is an initiator it does that itself.
  if (!initiator_ && !setup.raw && bytes_received_ - bytes_acknowledged_ >= ack_window_bytes_) {
    bytes_acknowledged_ = bytes_received_;
    rtmp::Outbox outbox;
    rtmp::ChunkWriter().write(outbox, rtmp::acknowledgement(bytes_received_));
    send_own(setup, outbox.take());
  }
  return std::nullopt;
}

std::optional<std::string> Link::bring_up(const Setup& setup, Bytes input, Instant now) {
  initiator_->feed(input);
  for (;;) {
    auto event = initiator_->next();
    if (!event) return "protocol: " + std::string(fault_info(event.error()).name);
    if (std::holds_alternative<rtmp::InputUsed>(*event)) break;
    if (const auto* status = std::get_if<rtmp::StatusReceived>(&*event)) {
      if (status->level == "error" || status->code.empty())
        return status->code.empty() ? "refused by the server" : std::string(status->code);
    }
    if (std::holds_alternative<rtmp::Started>(*event)) {
      message_stream_id_ = initiator_->message_stream_id();
      enter(LinkState::live, now);
      flush_initiator(setup);
      initiator_.reset();
      return std::nullopt;
    }
  }
  flush_initiator(setup);
  return std::nullopt;
}

std::expected<std::optional<rtmp::Piece>, Fault> Link::next_piece(const Setup& setup) {
  for (;;) {
    auto piece = reader_.next();
    if (!piece || !*piece || is_media((*piece)->message_type)) return piece;
    if ((*piece)->message_type > rtmp::message_type::set_peer_bandwidth) continue;
    if (const auto body = control_.feed(**piece)) on_control(setup, (*piece)->message_type, *body);
  }
}

void Link::on_control(const Setup& setup, uint8_t type, Bytes body) {
  using namespace rtmp;
  if (body.size() < 4) return;
  const uint32_t value = load_u32(body.data());
  if (type == message_type::set_chunk_size) {
    // 0 would be the server's mistake; the next piece then shows it.
    if (value > 0) static_cast<void>(reader_.set_chunk_size(value));
  } else if (type == message_type::abort) {
    reader_.abort(value);
  } else if (type == message_type::window_ack_size) {
    ack_window_bytes_ = std::max(value, ack_window_bytes_min);
  } else if (type == message_type::user_control && body.size() >= 6) {
    const uint16_t event = load_u16(body.data());
    if (event == user_control::stream_eof) stream_ended_ = true;
    if (event == user_control::ping_request && !initiator_) {
      Outbox outbox;
      ChunkWriter().write(outbox, ping_response(load_u32(body.data() + 2)));
      send_own(setup, outbox.take());
    }
  }
}

void Link::send(const Setup& setup, std::span<const Bytes> slices) {
  for (const Bytes slice : slices) unsent_bytes_ += static_cast<uint32_t>(slice.size());
  setup.engine.send(id_, slices);
}

void Link::send_own(const Setup& setup, std::vector<uint8_t> bytes) {
  if (own_waiting_.empty()) {
    own_waiting_ = std::move(bytes);
  } else {
    own_waiting_.insert(own_waiting_.end(), bytes.begin(), bytes.end());
  }
  flush_own(setup);
}

void Link::flush_own(const Setup& setup) {
  // Behind a whole message only, and when nothing of ours is in flight any more.
  if (unsent_bytes_ > 0 || own_waiting_.empty()) return;
  own_in_flight_.swap(own_waiting_);
  own_waiting_.clear();
  const Bytes slice = own_in_flight_;
  send(setup, {&slice, 1});
}

void Link::flush_initiator(const Setup& setup) {
  if (!initiator_->outbox().empty()) send_own(setup, initiator_->outbox().take());
}

void Link::on_sent(const Setup& setup, uint32_t bytes) {
  PENSTOCK_ASSERT(bytes <= unsent_bytes_);
  unsent_bytes_ -= bytes;
  if (unsent_bytes_ == 0 && !own_waiting_.empty()) flush_own(setup);
}

void Link::close(const Setup& setup, Instant now) {
  if (state_ == LinkState::idle || state_ == LinkState::closing) return;
  setup.engine.close(id_);
  initiator_.reset();
  enter(LinkState::closing, now);
}

void Link::on_closed(Instant now) {
  initiator_.reset();
  own_in_flight_ = {};
  own_waiting_ = {};
  unsent_bytes_ = 0;
  enter(LinkState::idle, now);
}

}  // namespace penstock::load
