#include "penstock/tunnel/http_request.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "src/tunnel/http_head.h"

namespace penstock::tunnel {
namespace {

// Old browsers put an empty line behind a body (RFC 9112, 2.2: a server ignores at least one).
constexpr uint8_t empty_line_bytes_max = 4;

std::string_view reason(uint16_t status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 413:
      return "Content Too Large";
    case 431:
      return "Request Header Fields Too Large";
    default:
      return "Service Unavailable";
  }
}

void append(std::vector<uint8_t>& to, std::string_view text) {
  to.insert(to.end(), text.begin(), text.end());
}

void append(std::vector<uint8_t>& to, uint64_t number) {
  char digits[20];
  const auto written = std::to_chars(digits, digits + sizeof(digits), number);
  append(to, std::string_view(digits, written.ptr));
}

}  // namespace

std::expected<HttpRequestReader::Step, HttpRefusal> HttpRequestReader::next() {
  switch (stage_) {
    case Stage::head:
      return read_head();
    case Stage::body:
      return read_body();
    case Stage::refused:
      break;
  }
  return std::unexpected(refusal_);
}

std::unexpected<HttpRefusal> HttpRequestReader::refuse(uint16_t status, Fault fault) {
  stage_ = Stage::refused;
  input_ = {};
  refusal_ = {status, fault};
  return std::unexpected(refusal_);
}

void HttpRequestReader::skip_empty_lines() {
  while (!input_.empty() && (input_[0] == '\r' || input_[0] == '\n') &&
         skipped_ < empty_line_bytes_max) {
    input_ = input_.subspan(1);
    ++skipped_;
  }
}

std::expected<HttpRequestReader::Step, HttpRefusal> HttpRequestReader::read_head() {
  if (held_.empty()) skip_empty_lines();
  if (input_.empty()) return Step::need_input;
  if (held_.empty()) {
    const Bytes window = input_.first(std::min(input_.size(), http_head_bytes_max));
    const size_t bytes = http_head_bytes(window);
    if (bytes > 0) {
      input_ = input_.subspan(bytes);
      return take_head(window.first(bytes));
    }
    if (window.size() == http_head_bytes_max) return refuse(431, Fault::http_too_large);
    held_.assign(window.begin(), window.end());
    input_ = {};
    return Step::need_input;
  }
  const size_t before = held_.size();
  const Bytes more = input_.first(std::min(input_.size(), http_head_bytes_max - before));
  held_.insert(held_.end(), more.begin(), more.end());
  const size_t bytes = http_head_bytes(held_, before);
  if (bytes > 0) {
    input_ = input_.subspan(bytes - before);
    const std::vector<uint8_t> whole = std::exchange(held_, {});
    return take_head(Bytes(whole).first(bytes));
  }
  if (held_.size() == http_head_bytes_max) return refuse(431, Fault::http_too_large);
  input_ = {};
  return Step::need_input;
}

std::expected<HttpRequestReader::Step, HttpRefusal> HttpRequestReader::take_head(Bytes head) {
  std::optional<HttpRequestHead> parsed = parse_request_head(head);
  if (!parsed) return refuse(400, Fault::http_malformed);
  if (parsed->content_bytes > http_body_bytes_max) return refuse(413, Fault::http_too_large);
  head_ = std::move(*parsed);
  body_left_ = head_.content_bytes;
  stage_ = Stage::body;
  return Step::head;
}

std::expected<HttpRequestReader::Step, HttpRefusal> HttpRequestReader::read_body() {
  if (body_left_ == 0) {
    stage_ = Stage::head;
    skipped_ = 0;
    return Step::finished;
  }
  if (input_.empty()) return Step::need_input;
  body_ = input_.first(std::min<uint64_t>(input_.size(), body_left_));
  input_ = input_.subspan(body_.size());
  body_left_ -= body_.size();
  return Step::body;
}

// librtmp searches for "Content-" in this spelling, then for "length:" in any, and FFmpeg wants the
// length before anything else can be read; nobody is to cache an answer or to take it apart.
void append_http_answer(uint16_t status, Bytes body, bool keep_alive, std::vector<uint8_t>& to) {
  to.reserve(to.size() + body.size() + 192);
  append(to, "HTTP/1.1 ");
  append(to, status);
  append(to, " ");
  append(to, reason(status));
  append(to, "\r\nCache-Control: no-cache\r\nConnection: ");
  append(to, keep_alive ? "Keep-Alive" : "close");
  if (status == 405) append(to, "\r\nAllow: POST");
  append(to, "\r\nContent-Type: application/x-fcs\r\nContent-Length: ");
  append(to, body.size());
  append(to, "\r\n\r\n");
  to.insert(to.end(), body.begin(), body.end());
}

}  // namespace penstock::tunnel
