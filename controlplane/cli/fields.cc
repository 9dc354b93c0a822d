#include "controlplane/cli/fields.h"

namespace penstock::controlplane::cli {

namespace {

const Json* find(const Json& row, const char* key) {
  if (!row.is_object()) return nullptr;
  const auto found = row.find(key);
  return found == row.end() ? nullptr : &*found;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string shown(text);
  for (char& c : shown) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) c = '?';
  }
  // U+0080 to U+009F are control characters too, and in UTF-8 they are C2 80 to C2 9F.
  for (size_t i = 0; i + 1 < shown.size(); ++i) {
    const auto next = static_cast<unsigned char>(shown[i + 1]);
    if (static_cast<unsigned char>(shown[i]) == 0xC2 && next >= 0x80 && next <= 0x9F) {
      shown[i] = shown[i + 1] = '?';
    }
  }
  return shown;
}

std::string text_of(const Json& row, const char* key) {
  const Json* field = find(row, key);
  return field != nullptr && field->is_string() ? printable(field->get_ref<const std::string&>())
                                                : std::string();
}

uint64_t count_of(const Json& row, const char* key) {
  const Json* field = find(row, key);
  if (field == nullptr || !field->is_number_integer()) return 0;
  if (field->is_number_unsigned()) return field->get<uint64_t>();
  const auto value = field->get<int64_t>();
  return value < 0 ? 0 : static_cast<uint64_t>(value);
}

int64_t signed_of(const Json& row, const char* key) {
  const Json* field = find(row, key);
  return field != nullptr && field->is_number_integer() ? field->get<int64_t>() : 0;
}

double number_of(const Json& row, const char* key) {
  const Json* field = find(row, key);
  return field != nullptr && field->is_number() ? field->get<double>() : 0.0;
}

bool flag_of(const Json& row, const char* key) {
  const Json* field = find(row, key);
  return field != nullptr && field->is_boolean() && field->get<bool>();
}

const Json& part_of(const Json& row, const char* key) {
  static const Json nothing = Json::object();
  const Json* field = find(row, key);
  return field != nullptr && field->is_object() ? *field : nothing;
}

const Json& rows_of(const Json& row, const char* key) {
  static const Json nothing = Json::array();
  const Json* field = find(row, key);
  return field != nullptr && field->is_array() ? *field : nothing;
}

}  // namespace penstock::controlplane::cli
