#pragma once

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "penstock/amf/value.h"

namespace penstock::amf {

inline nlohmann::json vectors(const std::string& file, const std::string& part) {
  std::ifstream in(std::string{VECTORS_DIR} + "/" + file);
  return nlohmann::json::parse(in).at(part);
}

inline std::vector<uint8_t> from_hex(const std::string& hex) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

inline std::string to_hex(const std::vector<uint8_t>& bytes) {
  std::string hex;
  for (const uint8_t byte : bytes) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

// A value in the notation of the vector files.
inline nlohmann::json to_json(const Value& value) {
  nlohmann::json items = nlohmann::json::array();
  for (const Value& item : value.items) items.push_back(to_json(item));
  nlohmann::json members = nlohmann::json::object();
  for (const Member& member : value.members) members[member.name] = to_json(member.value);
  switch (value.type) {
    case Type::undefined:
      return "undefined";
    case Type::null:
      return nullptr;
    case Type::unsupported:
      return "unsupported";
    case Type::boolean:
      return value.numeric != 0;
    case Type::number:
    case Type::integer:
      if (std::isnan(value.numeric)) return "NaN";
      if (std::isinf(value.numeric)) return "Infinity";
      return value.numeric;
    case Type::string:
      return value.text;
    case Type::xml_document:
    case Type::xml:
      return "xml " + value.text;
    case Type::date:
      return "date " + std::to_string(static_cast<int64_t>(value.numeric));
    case Type::byte_array:
      return to_hex({value.text.begin(), value.text.end()});
    case Type::object:
      if (!value.class_name.empty()) members["__class"] = value.class_name;
      return members;
    case Type::external:
      return {{"__external", value.class_name}};
    case Type::ecma_array:
      return members;
    case Type::array:
      if (value.members.empty()) return items;
      return {{"__assoc", members}, {"__dense", items}};
    case Type::vector_int:
    case Type::vector_uint:
    case Type::vector_double:
    case Type::vector_object:
      return items;
    case Type::dictionary: {
      nlohmann::json pairs = nlohmann::json::array();
      for (size_t i = 0; i + 1 < items.size(); i += 2) pairs.push_back({items[i], items[i + 1]});
      return {{"__dictionary", pairs}};
    }
    case Type::reference:
      return "reference " + std::to_string(value.index);
  }
  return {};
}

}  // namespace penstock::amf
