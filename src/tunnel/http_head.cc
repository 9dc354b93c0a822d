#include "src/tunnel/http_head.h"

#include <boost/beast/http/basic_parser.hpp>
#include <limits>
#include <string_view>

#include "penstock/base/assert.h"

// The only file that sees Boost. Without exceptions it wants to be told what to do instead: nothing
// that is called here has a reason to.
namespace boost {
void throw_exception(const std::exception&) { PENSTOCK_ASSERT(false && "exception in a parser"); }
void throw_exception(const std::exception& what, const source_location&) { throw_exception(what); }
}  // namespace boost

namespace penstock::tunnel {
namespace {

namespace http = boost::beast::http;
using ErrorCode = boost::beast::error_code;
using Text = boost::beast::string_view;

constexpr std::string_view head_end = "\r\n\r\n";

/// What a head says; no body ever reaches it.
template <bool is_request>
class HeadParser final : public http::basic_parser<is_request> {
 public:
  HeadParser() {
    this->header_limit(std::numeric_limits<uint32_t>::max());  // bounded before it gets here
    this->body_limit(std::numeric_limits<uint64_t>::max());
  }

  HttpMethod method = HttpMethod::other;
  std::string target;
  uint16_t status = 0;
  uint32_t lengths = 0;
  bool ambiguous = false;

 private:
  void on_request_impl(http::verb verb, Text, Text where, int, ErrorCode&) override {
    if (verb == http::verb::post) method = HttpMethod::post;
    if (verb == http::verb::get) method = HttpMethod::get;
    target.assign(where.data(), where.size());
  }
  void on_response_impl(int code, Text, int, ErrorCode&) override {
    status = static_cast<uint16_t>(code);
  }
  // Beast takes a list of equal lengths for one length, and lets other codings than chunked pass.
  void on_field_impl(http::field field, Text, Text value, ErrorCode&) override {
    if (field == http::field::transfer_encoding) ambiguous = true;
    if (field != http::field::content_length) return;
    if (++lengths > 1 || value.find(',') != Text::npos) ambiguous = true;
  }
  void on_header_impl(ErrorCode&) override {}
  void on_body_init_impl(const boost::optional<uint64_t>&, ErrorCode&) override {}
  size_t on_body_impl(Text, ErrorCode&) override { return 0; }
  void on_chunk_header_impl(uint64_t, Text, ErrorCode&) override {}
  size_t on_chunk_body_impl(uint64_t, Text, ErrorCode&) override { return 0; }
  void on_finish_impl(ErrorCode&) override {}
};

/// A field that goes on in the next line: two readers may see two different lengths in it.
bool has_folded_field(std::string_view head) {
  return head.find("\r\n ") != std::string_view::npos ||
         head.find("\r\n\t") != std::string_view::npos;
}

template <bool is_request>
bool parse(HeadParser<is_request>& parser, Bytes head) {
  if (has_folded_field(as_text(head))) return false;
  ErrorCode error;
  parser.put(boost::asio::const_buffer(head.data(), head.size()), error);
  return !error && parser.is_header_done() && !parser.ambiguous;
}

}  // namespace

size_t http_head_bytes(Bytes bytes, size_t searched) {
  const size_t from = searched < head_end.size() ? 0 : searched - (head_end.size() - 1);
  const size_t at = as_text(bytes).find(head_end, from);
  return at == std::string_view::npos ? 0 : at + head_end.size();
}

std::optional<HttpRequestHead> parse_request_head(Bytes head) {
  HeadParser<true> parser;
  if (!parse(parser, head)) return std::nullopt;
  return HttpRequestHead{.method = parser.method,
                         .target = std::move(parser.target),
                         .content_bytes = parser.content_length().value_or(0),
                         .keep_alive = parser.keep_alive()};
}

std::optional<HttpAnswerHead> parse_answer_head(Bytes head) {
  HeadParser<false> parser;
  if (!parse(parser, head) || parser.lengths == 0) return std::nullopt;
  return HttpAnswerHead{.status = parser.status,
                        .content_bytes = parser.content_length().value_or(0),
                        .keep_alive = parser.keep_alive()};
}

}  // namespace penstock::tunnel
