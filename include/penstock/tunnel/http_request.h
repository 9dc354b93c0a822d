#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <utility>
#include <vector>

#include "penstock/base/bytes.h"
#include "penstock/base/fault.h"

// HTTP/1.1 as tunnels need it: requests out of a byte stream, answers into one.
namespace penstock::tunnel {

// Flash in a browser sent its cookies: 4 KiB. FFmpeg and librtmp send 250 bytes.
constexpr size_t http_head_bytes_max = 8 * 1024;

// FFmpeg posts 10 messages at once, librtmp one; a keyframe of 8 s at 1 Mbit/s fits.
constexpr size_t http_body_bytes_max = 1024 * 1024;

enum class HttpMethod : uint8_t { post, get, other };

struct HttpRequestHead {
  HttpMethod method = HttpMethod::other;
  std::string target;
  uint64_t content_bytes = 0;
  bool keep_alive = true;
};

/// Why no more requests are read from here: the peer is told `status`, then the connection ends,
/// because where the next request would begin is not known.
struct HttpRefusal {
  uint16_t status = 400;  // 400, 413 or 431
  Fault fault = Fault::http_malformed;
  bool operator==(const HttpRefusal&) const = default;
};

/// Takes requests off a byte stream, however it is cut: bytes in, heads and runs of bodies out.
/// Bodies are not copied; a head only where it straddles two inputs. Which methods and targets
/// there are is not its business. Owner: one connection.
class HttpRequestReader {
 public:
  enum class Step : uint8_t {
    need_input,  // all of the input is used
    head,        // head() is there
    body,        // body() is the next run of its body
    finished,    // the request is complete
  };

  /// `input` stays valid until next() has returned need_input; only then may there be another.
  void feed(Bytes input) { input_ = input; }
  /// What was fed and is not used yet: only after `finished`, and for the caller to feed later.
  [[nodiscard]] Bytes take_rest() { return std::exchange(input_, {}); }
  /// The same refusal for ever after the first.
  std::expected<Step, HttpRefusal> next();

  [[nodiscard]] const HttpRequestHead& head() const { return head_; }
  /// Of the last Step::body; never empty.
  [[nodiscard]] Bytes body() const { return body_; }

 private:
  enum class Stage : uint8_t { head, body, refused };

  std::expected<Step, HttpRefusal> read_head();
  std::expected<Step, HttpRefusal> read_body();
  std::expected<Step, HttpRefusal> take_head(Bytes head);
  std::unexpected<HttpRefusal> refuse(uint16_t status, Fault fault);
  void skip_empty_lines();

  Stage stage_ = Stage::head;
  uint8_t skipped_ = 0;  // bytes of empty lines before this request
  uint64_t body_left_ = 0;
  Bytes input_;
  Bytes body_;
  std::vector<uint8_t> held_;  // a head that did not end in its input
  HttpRequestHead head_;
  HttpRefusal refusal_;
};

/// Appends a whole answer. The names of its fields are spelled as librtmp looks for them.
void append_http_answer(uint16_t status, Bytes body, bool keep_alive, std::vector<uint8_t>& to);

}  // namespace penstock::tunnel
