// HTTP requests: no assertion is reached, what is read does not depend on where the input was cut,
// and nothing beyond the limits is taken. What was accepted is read the same once more when it is
// written anew, so that nobody in front of us can have read another length.
//
// Input: a byte that seeds the cuts, then what a peer sends.

#include "penstock/tunnel/http_request.h"

#include <optional>
#include <string>
#include <vector>

#include "penstock/base/assert.h"
#include "penstock/base/prng.h"

using namespace penstock;
using tunnel::HttpRequestReader;

namespace {

struct Request {
  tunnel::HttpMethod method{};
  std::string target, body;
  bool keep_alive = false, whole = false;
  bool operator==(const Request&) const = default;
};
struct Outcome {
  std::vector<Request> requests;
  std::optional<tunnel::HttpRefusal> refusal;
  bool operator==(const Outcome&) const = default;
};

/// False after a refusal.
bool pull(HttpRequestReader& reader, Outcome& outcome) {
  while (true) {
    const auto step = reader.next();
    if (!step) {
      outcome.refusal = step.error();
      return false;
    }
    switch (*step) {
      case HttpRequestReader::Step::need_input:
        return true;
      case HttpRequestReader::Step::head:
        PENSTOCK_ASSERT(reader.head().content_bytes <= tunnel::http_body_bytes_max);
        outcome.requests.push_back({.method = reader.head().method,
                                    .target = reader.head().target,
                                    .keep_alive = reader.head().keep_alive});
        break;
      case HttpRequestReader::Step::body:
        PENSTOCK_ASSERT(!reader.body().empty());
        outcome.requests.back().body += as_text(reader.body());
        break;
      case HttpRequestReader::Step::finished:
        PENSTOCK_ASSERT(outcome.requests.back().body.size() == reader.head().content_bytes);
        outcome.requests.back().whole = true;
        break;
    }
  }
}

Outcome read(Bytes stream, Prng* cuts) {
  HttpRequestReader reader;
  Outcome outcome;
  while (!stream.empty()) {
    const size_t count =
        cuts == nullptr ? stream.size() : std::min<size_t>(stream.size(), 1 + cuts->below(60));
    // Blocks of their own, so that nobody looks beyond the end of one.
    const std::vector<uint8_t> piece(stream.begin(),
                                     stream.begin() + static_cast<ptrdiff_t>(count));
    reader.feed(piece);
    if (!pull(reader, outcome)) break;
    stream = stream.subspan(count);
  }
  return outcome;
}

void read_again(const Request& request) {
  if (!request.whole || request.method != tunnel::HttpMethod::post) return;
  const std::string text =
      "POST " + request.target +
      " HTTP/1.1\r\nConnection: " + (request.keep_alive ? "keep-alive" : "close") +
      "\r\nContent-Length: " + std::to_string(request.body.size()) + "\r\n\r\n" + request.body;
  const Outcome again = read(as_bytes(text), nullptr);
  PENSTOCK_ASSERT(again.refusal || again.requests == std::vector{request});
  PENSTOCK_ASSERT(!again.refusal || again.refusal->status == 431);  // ours is the longer head
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const Bytes stream(data + 1, size - 1);
  const Outcome expected = read(stream, nullptr);
  Prng cuts(data[0]);
  PENSTOCK_ASSERT(read(stream, &cuts) == expected);
  for (const Request& request : expected.requests) read_again(request);
  return 0;
}
