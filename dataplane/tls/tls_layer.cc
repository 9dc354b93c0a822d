#include "dataplane/tls/tls_layer.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>

#include "penstock/base/assert.h"
#include "penstock/base/prefetch.h"

namespace penstock::tls {
namespace {

// Handshake messages after the handshake are updates of keys (RFC 8446: every 2^24 records are
// enough, 100 GB and more) and refused renegotiations. Each costs us some microseconds and perhaps
// an answer; so many at once, and then one more for each MiB, is not an encoder any more.
constexpr uint32_t later_messages_at_once_max = 32;
constexpr uint64_t later_message_bytes = 1024 * 1024;

// Lines of its opaque struct (7.5 KB) that OpenSSL 3.0 reads records by, as offsets: those that its
// code for it names most often, among them all that `perf annotate` saw it wait for. In another
// version they may hold something else: then this fetches in vain, and harms nothing.
constexpr size_t ssl_hot_lines[] = {0x000, 0x040, 0x4C0,  0x840,  0x900, 0xC40,
                                    0xC80, 0xCC0, 0x1C80, 0x1CC0, 0x1D00};

/// What went wrong in this thread's OpenSSL calls, as the outermost of them puts it.
std::string last_error() {
  const unsigned long error = ERR_peek_last_error();
  const char* text = error == 0 ? nullptr : ERR_reason_error_string(error);
  ERR_clear_error();
  return text != nullptr ? text : "no reason given";
}

}  // namespace

/// What OpenSSL calls, on the thread that called it: from within a method of the layer.
class BioCalls {
 public:
  static int read(BIO* bio, char* to, int length) {
    auto& layer = *static_cast<TlsLayer*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    if (layer.input_.empty()) {
      BIO_set_retry_read(bio);
      return -1;
    }
    const size_t count = std::min(layer.input_.size(), static_cast<size_t>(length));
    copy_bytes(reinterpret_cast<uint8_t*>(to), layer.input_.first(count));
    layer.input_ = layer.input_.subspan(count);
    return static_cast<int>(count);
  }

  static int write(BIO* bio, const char* from, int length) {
    auto& layer = *static_cast<TlsLayer*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    PENSTOCK_ASSERT(layer.to_peer_ != nullptr);
    // As bytes: of another type the vector copies them one by one (half of what sealing costs).
    const auto* bytes = reinterpret_cast<const uint8_t*>(from);
    layer.to_peer_->insert(layer.to_peer_->end(), bytes, bytes + length);
    return length;
  }

  static long control(BIO*, int command, long, void*) {
    return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP ? 1 : 0;
  }

  /// SSL_CTX's: which certificate for the name that the peer asked for.
  static int choose_name(SSL* ssl, int*, void*) {
    const auto* layer = static_cast<const TlsLayer*>(SSL_get_app_data(ssl));
    const char* asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (asked == nullptr || layer->names_ == nullptr) return SSL_TLSEXT_ERR_NOACK;
    SSL_CTX* context = layer->names_->find(asked);
    // An unknown name is answered with the default: encoders are often told an address.
    if (context == nullptr) return SSL_TLSEXT_ERR_NOACK;
    SSL_set_SSL_CTX(ssl, context);
    return SSL_TLSEXT_ERR_OK;
  }

  static void count_message(int sent, int, int content_type, const void*, size_t, SSL* ssl, void*) {
    if (sent != 0 || content_type != SSL3_RT_HANDSHAKE) return;
    auto* layer = static_cast<TlsLayer*>(SSL_get_app_data(ssl));
    if (layer != nullptr && layer->established_) ++layer->later_messages_;
  }

  static const BIO_METHOD* method() {
    static const BIO_METHOD* const made = [] {
      BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "penstock");
      PENSTOCK_ASSERT(method != nullptr);
      BIO_meth_set_read(method, read);
      BIO_meth_set_write(method, write);
      BIO_meth_set_ctrl(method, control);
      return method;
    }();
    return made;
  }
};

void set_layer_calls(ssl_ctx_st* context) {
  SSL_CTX_set_tlsext_servername_callback(context, BioCalls::choose_name);
  SSL_CTX_set_msg_callback(context, BioCalls::count_message);
}

InitiatorContext::InitiatorContext(Versions versions) : context_(SSL_CTX_new(TLS_client_method())) {
  PENSTOCK_ASSERT(context_ != nullptr);
  SSL_CTX_set_min_proto_version(context_,
                                versions == Versions::tls_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
  SSL_CTX_set_max_proto_version(context_,
                                versions == Versions::tls_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION);
  SSL_CTX_set_verify(context_, SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_mode(context_, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_options(context_, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_msg_callback(context_, BioCalls::count_message);
}

InitiatorContext::~InitiatorContext() { SSL_CTX_free(context_); }

TlsLayer::TlsLayer(ssl_st* ssl) : ssl_(ssl) {
  PENSTOCK_ASSERT(ssl != nullptr);
  SSL_set_app_data(ssl, this);
  BIO* bio = BIO_new(BioCalls::method());
  PENSTOCK_ASSERT(bio != nullptr);
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl, bio, bio);  // takes the one reference for both directions
}

std::unique_ptr<TlsLayer> TlsLayer::accept(const CertificateSet& certificates) {
  std::unique_ptr<TlsLayer> layer(new TlsLayer(SSL_new(certificates.names()->first())));
  layer->names_ = certificates.names();
  SSL_set_accept_state(layer->ssl_);
  return layer;
}

std::unique_ptr<TlsLayer> TlsLayer::initiate(const InitiatorContext& context,
                                             const std::string& server_name) {
  std::unique_ptr<TlsLayer> layer(new TlsLayer(SSL_new(context.context())));
  SSL_set_connect_state(layer->ssl_);
  if (!server_name.empty()) SSL_set_tlsext_host_name(layer->ssl_, server_name.c_str());
  return layer;
}

TlsLayer::~TlsLayer() {
  // Peers often go without close_notify. OpenSSL would then forget the session, and every such
  // encoder would come back with a full handshake.
  if (fault_ == Fault::count_) SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(ssl_);
  ERR_clear_error();
}

std::expected<TlsLayer::Opened, Fault> TlsLayer::open(Bytes input, MutableBytes room,
                                                      std::vector<uint8_t>& to_peer) {
  if (fault_ != Fault::count_) return std::unexpected(fault_);
  if (ended_) return Opened{.input_bytes = input.size()};  // what follows a close_notify is ignored
  // Callers call until nothing comes; to ask OpenSSL for it costs a fifth of a small record.
  if (established_ && input.empty() && SSL_has_pending(ssl_) == 0) return Opened{};
  input_ = input;
  to_peer_ = &to_peer;
  Opened opened;
  const auto shaken = established_ ? std::expected<void, Fault>{} : shake_hands();
  if (shaken && established_) opened.output_bytes = read_records(room);
  opened.input_bytes = input.size() - input_.size();
  received_bytes_ += opened.input_bytes;
  input_ = {};
  to_peer_ = nullptr;
  if (fault_ != Fault::count_ && opened.output_bytes == 0) return std::unexpected(fault_);
  return opened;
}

void TlsLayer::prefetch() const {
  prefetch_lines(this, sizeof *this);
  const char* ssl = reinterpret_cast<const char*>(ssl_);
  for (const size_t line : ssl_hot_lines) __builtin_prefetch(ssl + line, 1);
}

void TlsLayer::fail(Fault fault) {
  reason_ = last_error();
  fault_ = fault;
}

std::expected<void, Fault> TlsLayer::shake_hands() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_);
  if (result == 1) {
    established_ = true;
    names_.reset();
    return {};
  }
  if (SSL_get_error(ssl_, result) == SSL_ERROR_WANT_READ) return {};
  fail(Fault::tls_handshake);
  return std::unexpected(fault_);
}

size_t TlsLayer::read_records(MutableBytes room) {
  size_t filled = 0;
  ERR_clear_error();  // once: what succeeds leaves no error behind
  while (filled < room.size()) {
    size_t count = 0;
    const int result = SSL_read_ex(ssl_, room.data() + filled, room.size() - filled, &count);
    filled += count;
    if (later_messages_ > later_messages_at_once_max + received_bytes_ / later_message_bytes) {
      fail(Fault::tls_record);
      reason_ = "too many handshake messages after the handshake";
      break;
    }
    if (result == 1 && input_.empty() && SSL_has_pending(ssl_) == 0) break;
    if (result == 1) continue;
    const int why = SSL_get_error(ssl_, result);
    if (why == SSL_ERROR_WANT_READ) break;
    if (why == SSL_ERROR_ZERO_RETURN) {
      ended_ = true;
      input_ = {};
      break;
    }
    fail(Fault::tls_record);
    break;
  }
  return filled;
}

void TlsLayer::write(Bytes plain) {
  if (plain.empty() || fault_ != Fault::count_) return;
  ERR_clear_error();
  size_t written = 0;
  // Our end of it takes everything at once: all is written, or something is broken for good, and
  // the next open() says so.
  const int result = SSL_write_ex(ssl_, plain.data(), plain.size(), &written);
  if (result != 1 || written != plain.size()) fail(Fault::tls_record);
}

void TlsLayer::seal(Bytes plain, std::vector<uint8_t>& to_peer) {
  PENSTOCK_ASSERT(established_);
  to_peer_ = &to_peer;
  write(plain);
  to_peer_ = nullptr;
}

void TlsLayer::finish(std::vector<uint8_t>& to_peer) {
  if (!established_ || fault_ != Fault::count_) return;
  to_peer_ = &to_peer;
  ERR_clear_error();
  SSL_shutdown(ssl_);
  ERR_clear_error();
  to_peer_ = nullptr;
}

std::string_view TlsLayer::protocol() const { return SSL_get_version(ssl_); }

std::string_view TlsLayer::cipher() const {
  const char* name = SSL_get_cipher_name(ssl_);
  return name != nullptr ? name : "";
}

bool TlsLayer::resumed() const { return SSL_session_reused(ssl_) == 1; }

}  // namespace penstock::tls
