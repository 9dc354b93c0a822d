#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tests/unit/tls/layer_pair.h"

namespace penstock::tls {

/// The initiating side as any program with OpenSSL has it, for what the layer does not offer: old
/// sessions, ALPN, renegotiation.
class OpenSslPeer {
 public:
  explicit OpenSslPeer(SSL_CTX* context) : ssl_(SSL_new(context)) {
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_, in_, out_);
    SSL_set_connect_state(ssl_);
  }
  OpenSslPeer(const OpenSslPeer&) = delete;
  OpenSslPeer& operator=(const OpenSslPeer&) = delete;
  ~OpenSslPeer() {
    SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);  // or it forgets its session
    SSL_free(ssl_);
  }

  [[nodiscard]] SSL* ssl() const { return ssl_; }

  ByteVector take_output() {
    char* data = nullptr;
    const long count = BIO_get_mem_data(out_, &data);
    ByteVector bytes(data, data + count);
    static_cast<void>(BIO_reset(out_));
    return bytes;
  }
  /// Reads what there is, which also takes handshake messages in.
  ByteVector take(Bytes input) {
    BIO_write(in_, input.data(), static_cast<int>(input.size()));
    ByteVector plain(65'536);
    const int count = SSL_read(ssl_, plain.data(), static_cast<int>(plain.size()));
    plain.resize(count > 0 ? static_cast<size_t>(count) : 0);
    ERR_clear_error();
    return plain;
  }
  /// Shakes hands with `side` as far as it goes. The most that came in one answer after the peer's
  /// last flight is what the side sent of its own.
  void shake(Side& side) {
    for (int turn = 0; turn < 10; ++turn) {
      SSL_do_handshake(ssl_);
      ERR_clear_error();
      const ByteVector output = take_output();
      if (output.empty() && side.to_peer.empty()) return;
      side.take(output);
      const ByteVector answer = std::move(side.to_peer);
      side.to_peer.clear();
      BIO_write(in_, answer.data(), static_cast<int>(answer.size()));
    }
  }

 private:
  SSL* ssl_;
  BIO* in_;
  BIO* out_;
};

struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using OwnedContext = std::unique_ptr<SSL_CTX, FreeContext>;

inline OwnedContext peer_context(int version) {
  OwnedContext context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_min_proto_version(context.get(), version);
  SSL_CTX_set_max_proto_version(context.get(), version);
  return context;
}

}  // namespace penstock::tls
