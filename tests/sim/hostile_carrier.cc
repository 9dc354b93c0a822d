#include "tests/sim/hostile_carrier.h"

#include <string_view>

namespace penstock::sim {
namespace {

constexpr size_t name_bytes = 27;

void send(DirectWay& way, std::string_view text) { way.send(as_bytes(text)); }

}  // namespace

std::string HostileCarrier::request(const std::string& target, const std::string& body) {
  return "POST " + target + " HTTP/1.1\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

std::string HostileCarrier::some_request() {
  // The first characters say which worker and which place: they travel to whoever that is.
  std::string name(name_bytes, '0');
  name[1] = static_cast<char>('0' + prng_.below(4));
  name[4] = static_cast<char>('0' + prng_.below(8));
  const std::string number = std::to_string(prng_.below(4));
  switch (prng_.below(6)) {
    case 0:
      return request("/fcs/ident2", "0");
    case 1:
      return request("/send/" + name + "/" + number, std::string(1 + prng_.below(2000), 's'));
    case 2:
      return request("/close/" + name + "/" + number, "0");
    case 3:
      return prng_.chance(100) ? request("/open/1", "0") : request("/fcs/ident2", "0");
    case 4:
      return prng_.chance(100) ? "GET / HTTP/1.1\r\n\r\n" : request("/idle/" + name + "/0", "0");
    default:
      return request("/idle/" + name + "/" + number, "0");
  }
}

void HostileCarrier::step(Instant now) {
  if (gone_) return;
  while (hostility_ != Hostility::flood || !way_->established()) {
    if (way_->read(SIZE_MAX, answers_) == 0) break;
  }
  if (way_->at_end() || way_->was_reset() || way_->failed()) {
    // A side of ours that has given up is done for; what it said is still to be answered.
    way_->flush();
    const bool shown_out = way_->at_end() || way_->was_reset();
    if (!shown_out && spoilt_at_ != Instant::never()) return;
    way_->close(false);
    gone_ = true;
    return;
  }
  if (!begun_ && way_->established()) {
    begin();
  } else if (begun_ && way_->unsent_bytes() == 0) {
    go_on(now);
  }
  if (!gone_) way_->flush();
}

void HostileCarrier::begin() {
  begun_ = true;
  switch (hostility_) {
    case Hostility::half_request: {
      const std::string whole = some_request();
      return send(*way_, std::string_view(whole).substr(0, 1 + prng_.below(whole.size() - 1)));
    }
    case Hostility::endless_body:
      return send(*way_, request("/open/1", "0"));
    case Hostility::flood: {
      std::string all;
      for (uint64_t left = 100 + prng_.below(400); left > 0; --left) all += some_request();
      return send(*way_, all);
    }
    case Hostility::spoils:
      // That it is a carrier is known; or that and nothing else.
      return send(*way_, prng_.chance(700) ? request("/open/1", "0") : std::string("POST "));
    default:
      return send(*way_, some_request());
  }
}

void HostileCarrier::go_on(Instant now) {
  switch (hostility_) {
    case Hostility::endless_body: {
      const std::string_view heard = as_text(answers_);
      const size_t at = heard.find("\r\n\r\n");
      if (at == std::string_view::npos || heard.size() < at + 4 + name_bytes) return;
      const std::string name(heard.substr(at + 4, name_bytes));
      if (!body_begun_) {
        send(*way_, "POST /send/" + name + "/0 HTTP/1.1\r\nContent-Length: 900000\r\n\r\n");
      } else if (prng_.chance(200)) {
        send(*way_, std::string(1 + prng_.below(3000), 'e'));
      }
      body_begun_ = true;
      return;
    }
    case Hostility::unknown_session:
      if (prng_.chance(200)) send(*way_, some_request());
      return;
    case Hostility::leaves_at_once:
      way_->close(prng_.chance(300));
      gone_ = true;
      return;
    case Hostility::spoils:
      if (spoilt_at_ != Instant::never() || prng_.chance(600)) return;
      (void)way_->spoil(prng_);
      spoilt_at_ = now;
      return;
    default:
      return;
  }
}

}  // namespace penstock::sim
