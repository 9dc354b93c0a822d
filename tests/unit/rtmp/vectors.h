#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace penstock::test {

/// A part of a vector file, by value: it may stand in the head of a loop.
inline nlohmann::json load_vectors(const std::string& file, const std::string& part) {
  std::ifstream stream(std::string(VECTORS_DIR) + "/" + file);
  return nlohmann::json::parse(stream).at(part);
}

/// Text of a value, for comparisons: json does not compare itself with a string for every compiler.
inline std::string text(const nlohmann::json& value) { return value.get<std::string>(); }

}  // namespace penstock::test
