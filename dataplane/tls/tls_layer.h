#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/tls/certificate_set.h"
#include "penstock/tunnel/layer.h"

namespace penstock::tls {

/// What initiating sides have in common. It verifies nobody: it is for load and tests, and for
/// peers whose address is the configuration.
class InitiatorContext {
 public:
  enum class Versions : uint8_t { any, tls_1_2, tls_1_3 };
  explicit InitiatorContext(Versions versions = Versions::any);
  InitiatorContext(const InitiatorContext&) = delete;
  InitiatorContext& operator=(const InitiatorContext&) = delete;
  ~InitiatorContext();
  [[nodiscard]] ssl_ctx_st* context() const { return context_; }

 private:
  ssl_ctx_st* context_;
};

/// TLS 1.2 or 1.3 over OpenSSL, which sees no socket: it takes records from the bytes given to
/// open() and appends its own to what goes to the peer. Owner: one worker.
///
/// What OpenSSL holds at rest is about 5 KiB a connection; its record memory (two times 16 KiB) is
/// there only while a record is incomplete.
class TlsLayer final : public tunnel::Layer {
 public:
  /// The set may go once this returns: what the handshake needs of it is held.
  [[nodiscard]] static std::unique_ptr<TlsLayer> accept(const CertificateSet& certificates);
  /// Its first open() takes no input and gives the first bytes for the peer. `server_name` empty:
  /// none is sent.
  [[nodiscard]] static std::unique_ptr<TlsLayer> initiate(const InitiatorContext& context,
                                                          const std::string& server_name = {});
  ~TlsLayer() override;
  TlsLayer(const TlsLayer&) = delete;
  TlsLayer& operator=(const TlsLayer&) = delete;

  /// Records are decrypted into `room`. What came whole before a fault is given first; the fault is
  /// the answer of the next call.
  [[nodiscard]] std::expected<Opened, Fault> open(Bytes input, MutableBytes room,
                                                  std::vector<uint8_t>& to_peer) override;
  void seal(Bytes plain, std::vector<uint8_t>& to_peer) override;
  void prefetch() const override;
  [[nodiscard]] bool established() const override { return established_; }
  [[nodiscard]] bool ended() const override { return ended_; }
  void finish(std::vector<uint8_t>& to_peer) override;

  /// Why open() gave a fault, for the log: "no shared cipher", "tlsv1 alert unknown ca". Nothing of
  /// the peer's own text.
  [[nodiscard]] std::string_view reason() const override { return reason_; }
  /// "TLSv1.3", "TLS_AES_128_GCM_SHA256"; once established.
  [[nodiscard]] std::string_view protocol() const;
  [[nodiscard]] std::string_view cipher() const;
  [[nodiscard]] bool resumed() const;

  static constexpr size_t record_bytes_max = 16 * 1024;

 private:
  friend class BioCalls;  // what OpenSSL calls us with
  explicit TlsLayer(ssl_st* ssl);

  std::expected<void, Fault> shake_hands();
  size_t read_records(MutableBytes room);
  void fail(Fault fault);
  void write(Bytes plain);

  ssl_st* ssl_;
  std::shared_ptr<const ServerNames> names_;  // until the handshake is over
  Bytes input_;                               // while open() runs
  std::vector<uint8_t>* to_peer_ = nullptr;   // while a method runs that may write
  Fault fault_ = Fault::count_;
  std::string reason_;
  uint64_t received_bytes_ = 0;
  uint32_t later_messages_ = 0;  // of the handshake protocol, after the handshake
  bool established_ = false;
  bool ended_ = false;
};

}  // namespace penstock::tls
