#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "penstock/base/bytes.h"

namespace penstock::media {

inline nlohmann::json vectors(const std::string& part) {
  std::ifstream in(std::string{VECTORS_DIR} + "/flv_ertmp.json");
  return nlohmann::json::parse(in).at(part);
}

// Spaces in `hex` are for the reader.
inline std::vector<uint8_t> from_hex(std::string hex) {
  std::erase(hex, ' ');
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

inline std::string to_hex(Bytes bytes) {
  std::string hex;
  for (const uint8_t byte : bytes) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

}  // namespace penstock::media
