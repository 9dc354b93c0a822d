#include "penstock/rtmp/command.h"

#include "penstock/amf/amf0.h"
#include "penstock/rtmp/message.h"
#include "penstock/rtmp/stream_name.h"

namespace penstock::rtmp {
namespace {

// FourCCs that a peer may list; there are twelve in Enhanced RTMP v2. The rest is not echoed.
constexpr size_t four_cc_list_max = 32;
constexpr size_t four_cc_bytes = 4;

const amf::Value& nothing() {
  static const amf::Value value;
  return value;
}

std::string_view without_quotes(std::string_view text) {
  if (text.size() >= 2 && text.front() == '\'' && text.back() == '\'') {
    return text.substr(1, text.size() - 2);
  }
  return text;
}

Capabilities parse_capabilities(const amf::Value& object) {
  Capabilities capabilities;
  if (const amf::Value* list = object.find("fourCcList"); list != nullptr) {
    for (const amf::Value& item : list->items) {
      const auto code = item.as_string();
      if (!code || code->size() > four_cc_bytes) continue;
      if (capabilities.four_cc_list.size() == four_cc_list_max) break;
      capabilities.four_cc_list.emplace_back(*code);
    }
  }
  const amf::Value* video = object.find("videoFourCcInfoMap");
  const amf::Value* audio = object.find("audioFourCcInfoMap");
  capabilities.video_info_map = video != nullptr && video->has_members();
  capabilities.audio_info_map = audio != nullptr && audio->has_members();
  capabilities.caps_ex = object.find_u32("capsEx");
  return capabilities;
}

std::string_view level_name(Level level) {
  switch (level) {
    case Level::status:
      return "status";
    case Level::warning:
      return "warning";
    case Level::error:
      break;
  }
  return "error";
}

void write_head(amf::Amf0Writer& writer, std::string_view name, double transaction) {
  writer.string(name);
  writer.number(transaction);
  writer.null();
}

void write_info_map(amf::Amf0Writer& writer, std::string_view name) {
  writer.property(name);
  writer.object_begin();
  writer.property("*", double{four_cc_can_forward});
  writer.object_end();
}

/// Only to whom it was said first: an old player gets no key that it does not know. All that it
/// lists we forward; so we do with what it does not list, and the maps say that.
void write_capabilities(amf::Amf0Writer& writer, const Capabilities& of_peer) {
  if (!of_peer.enhanced()) return;
  if (!of_peer.four_cc_list.empty()) {
    writer.property("fourCcList");
    writer.strict_array_begin(static_cast<uint32_t>(of_peer.four_cc_list.size()));
    for (const std::string& code : of_peer.four_cc_list) writer.string(code);
  }
  write_info_map(writer, "videoFourCcInfoMap");
  write_info_map(writer, "audioFourCcInfoMap");
  writer.property("capsEx", double{caps_ex_of_ours});
}

}  // namespace

const amf::Value& Command::argument(size_t index) const {
  return index + 1 < arguments.size() ? arguments[index + 1] : nothing();
}

std::expected<Command, Fault> parse_command(uint8_t type, Bytes body) {
  Command command{.amf3 = type == message_type::command_amf3};
  if (command.amf3) body = amf::skip_format_byte(body);
  auto values = amf::read_amf0(body);
  if (!values) return std::unexpected(values.error());
  if (values->size() < 2) return std::unexpected(Fault::command_malformed);
  const auto name = (*values)[0].as_string();
  const auto transaction = (*values)[1].as_number();
  if (!name || !transaction) return std::unexpected(Fault::command_malformed);
  command.name = *name;
  command.transaction = *transaction;
  values->erase(values->begin(), values->begin() + 2);
  command.arguments = std::move(*values);
  return command;
}

ConnectCommand parse_connect(const Command& command) {
  const amf::Value& object = command.arguments.empty() ? nothing() : command.arguments[0];
  ConnectCommand connect;
  connect.tc_url = without_quotes(object.find_string("tcUrl").value_or(std::string_view{}));
  connect.app = object.find_string("app").value_or(app_of_url(connect.tc_url));
  connect.flash_ver = object.find_string("flashVer").value_or(std::string_view{});
  connect.type = object.find_string("type").value_or(std::string_view{});
  connect.amf3 = object.find_number("objectEncoding").value_or(0) == 3;
  connect.aggregates = object.find_boolean("aggregate").value_or(false);
  connect.capabilities = parse_capabilities(object);
  return connect;
}

std::expected<PublishCommand, Fault> parse_publish(const Command& command) {
  const amf::Value& name = command.argument(0);
  if (const auto text = name.as_string()) return PublishCommand{.name = *text};
  // An encoder whose key is empty may leave the name out; the app alone can be the whole name.
  if (command.arguments.size() < 2) return PublishCommand{};
  if (name.is_null() || name.as_boolean() == false) return PublishCommand{.stop = true};
  return std::unexpected(Fault::command_malformed);
}

std::expected<PlayCommand, Fault> parse_play(const Command& command) {
  const auto name = command.argument(0).as_string();
  if (!name) return std::unexpected(Fault::command_malformed);
  PlayCommand play{.name = *name};
  play.start = command.argument(1).as_number().value_or(play.start);
  play.duration = command.argument(2).as_number().value_or(play.duration);
  // Flash wrote a boolean first and numbers 0..3 later: 0 and 2 keep what plays already.
  const amf::Value& reset = command.argument(3);
  if (const auto flag = reset.as_boolean()) play.reset = *flag;
  if (const auto number = reset.as_u32()) play.reset = (*number & 1) != 0;
  return play;
}

Body connect_result(double transaction, bool amf3, const Capabilities& of_peer) {
  Body body;
  amf::Amf0Writer writer(body);
  writer.string("_result");
  writer.number(transaction);
  // librtmp reads the fourth value, GStreamer the argument behind this object: it may not be left
  // out.
  writer.object_begin();
  writer.property("fmsVer", "FMS/3,0,1,123");
  writer.property("capabilities", 31.0);
  writer.property("mode", 1.0);
  writer.object_end();
  writer.object_begin();
  writer.property("level", "status");
  writer.property("code", "NetConnection.Connect.Success");
  writer.property("description", "Connection succeeded.");
  writer.property("objectEncoding", amf3 ? 3.0 : 0.0);
  write_capabilities(writer, of_peer);
  writer.object_end();
  return body;
}

Body result(double transaction) {
  Body body;
  amf::Amf0Writer writer(body);
  write_head(writer, "_result", transaction);
  writer.undefined();
  return body;
}

Body result(double transaction, double value) {
  Body body;
  amf::Amf0Writer writer(body);
  write_head(writer, "_result", transaction);
  writer.number(value);
  return body;
}

Body call_error(double transaction, std::string_view code, std::string_view description) {
  Body body;
  amf::Amf0Writer writer(body);
  write_head(writer, "_error", transaction);
  writer.object_begin();
  writer.property("level", "error");
  writer.property("code", code);
  writer.property("description", description);
  writer.object_end();
  return body;
}

Body notice(std::string_view name) {
  Body body;
  amf::Amf0Writer writer(body);
  write_head(writer, name, 0);
  return body;
}

Body on_status(Level level, std::string_view code, std::string_view description,
               std::string_view details) {
  Body body;
  amf::Amf0Writer writer(body);
  write_head(writer, "onStatus", 0);
  writer.object_begin();
  writer.property("level", level_name(level));
  writer.property("code", code);
  writer.property("description", description);
  if (!details.empty()) writer.property("details", details);
  writer.object_end();
  return body;
}

Body reconnect_request(std::string_view tc_url, std::string_view description) {
  Body body;
  amf::Amf0Writer writer(body);
  write_head(writer, "onStatus", 0);
  writer.object_begin();
  writer.property("level", level_name(Level::status));
  writer.property("code", "NetConnection.Connect.ReconnectRequest");
  if (!tc_url.empty()) writer.property("tcUrl", tc_url);
  writer.property("description", description);
  writer.object_end();
  return body;
}

Body on_fc(std::string_view name, std::string_view code, std::string_view description) {
  Body body;
  amf::Amf0Writer writer(body);
  write_head(writer, name, 0);
  writer.object_begin();
  writer.property("level", "status");
  writer.property("code", code);
  writer.property("description", description);
  writer.object_end();
  return body;
}

Body sample_access() {
  Body body;
  amf::Amf0Writer writer(body);
  writer.string("|RtmpSampleAccess");
  writer.boolean(true);
  writer.boolean(true);
  return body;
}

Body data_status(std::string_view code) {
  Body body;
  amf::Amf0Writer writer(body);
  writer.string("onStatus");
  writer.object_begin();
  writer.property("code", code);
  writer.object_end();
  return body;
}

}  // namespace penstock::rtmp
