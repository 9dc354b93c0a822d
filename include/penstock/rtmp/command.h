#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/amf/value.h"
#include "penstock/base/bytes.h"
#include "penstock/base/fault.h"

// Commands of peers as structs, and our answers as bodies (RTMP 1.0, 7.2; Enhanced RTMP v2 for the
// capability keys).
namespace penstock::rtmp {

/// The body of a message of type 20 or 17. A transaction of 0 wants no answer.
struct Command {
  std::string name;
  double transaction = 0;
  bool amf3 = false;  // came as type 17, and is answered so
  std::vector<amf::Value>
      arguments;  // behind the transaction: the command object or null comes first

  /// Argument number `index` behind the command object; an undefined value when there is none.
  [[nodiscard]] const amf::Value& argument(size_t index) const;
};
/// Faults: those of AMF; command_malformed when name or transaction are missing.
[[nodiscard]] std::expected<Command, Fault> parse_command(uint8_t message_type, Bytes body);

// Enhanced RTMP v2, capsEx: Reconnect 1, Multitrack 2, ModEx 4, TimestampNanoOffset 8. We carry
// messages unchanged, so all but the first come for nothing; and who says that it can reconnect is
// asked to when this server is drained.
constexpr uint32_t caps_ex_reconnect = 0x01;
constexpr uint32_t caps_ex_of_ours = 0x0F;
// fourCcInfoMap: CanForward.
constexpr uint32_t four_cc_can_forward = 4;

/// What a peer says it can do with codecs beyond the legacy ones (Enhanced RTMP v2). Absence
/// forbids nothing: OBS declares none and sends them.
struct Capabilities {
  std::vector<std::string> four_cc_list;  // "*" among them stands for any
  bool video_info_map = false;
  bool audio_info_map = false;
  std::optional<uint32_t> caps_ex;

  /// It knows Enhanced RTMP, and is told what we can do.
  [[nodiscard]] bool enhanced() const {
    return !four_cc_list.empty() || video_info_map || audio_info_map || caps_ex.has_value();
  }
  [[nodiscard]] bool reconnects() const { return (caps_ex.value_or(0) & caps_ex_reconnect) != 0; }
};

struct ConnectCommand {
  std::string_view app;     // as sent, with its query
  std::string_view tc_url;  // without the single quotes that some put around it
  std::string_view flash_ver;
  std::string_view type;    // "nonprivate" of publishers
  bool amf3 = false;        // objectEncoding 3
  bool aggregates = false;  // "aggregate" true: media may come in aggregate messages
  Capabilities capabilities;
};
/// Views into `command`. Nothing is required: a missing app is taken from tcUrl.
[[nodiscard]] ConnectCommand parse_connect(const Command& command);

struct PublishCommand {
  std::string_view name;
  bool stop = false;  // a name of false or null ends the publish
};
/// Faults: command_malformed.
[[nodiscard]] std::expected<PublishCommand, Fault> parse_publish(const Command& command);

struct PlayCommand {
  std::string_view name;
  double start = -2;
  double duration = -1;
  bool reset = true;
};
/// Faults: command_malformed.
[[nodiscard]] std::expected<PlayCommand, Fault> parse_play(const Command& command);

// ---- Bodies of what we answer, in AMF0. ----

using Body = std::vector<uint8_t>;

[[nodiscard]] Body connect_result(double transaction, bool amf3, const Capabilities& of_peer);
[[nodiscard]] Body result(double transaction);                // null
[[nodiscard]] Body result(double transaction, double value);  // createStream, getStreamLength
[[nodiscard]] Body call_error(double transaction, std::string_view code,
                              std::string_view description);
/// A command without transaction, object and arguments: onBWDone, close.
[[nodiscard]] Body notice(std::string_view name);

enum class Level : uint8_t { status, warning, error };

/// onStatus; `details` is left out when empty.
[[nodiscard]] Body on_status(Level level, std::string_view code, std::string_view description,
                             std::string_view details = {});
/// onStatus NetConnection.Connect.ReconnectRequest (Enhanced RTMP v2, "Reconnect Request"); without
/// a `tc_url` the peer is to come back to the one that it has.
[[nodiscard]] Body reconnect_request(std::string_view tc_url, std::string_view description);
/// onFCPublish, onFCUnpublish, onFCSubscribe.
[[nodiscard]] Body on_fc(std::string_view name, std::string_view code,
                         std::string_view description);
/// Of type 18: |RtmpSampleAccess, which lets a Flash player touch what it plays.
[[nodiscard]] Body sample_access();
/// Of type 18: onStatus with a code alone.
[[nodiscard]] Body data_status(std::string_view code);

}  // namespace penstock::rtmp
