#include "penstock/control/users.h"

#include <algorithm>

#include "penstock/base/limits.h"

namespace penstock::control {
namespace {

// The first line, with one field behind it; a user's line has at least three.
constexpr std::string_view decoy_word = "decoy";

bool is_word_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

std::string_view take_until(std::string_view& rest, char separator) {
  const size_t at = rest.find(separator);
  const std::string_view taken = rest.substr(0, at);
  rest = at == std::string_view::npos ? std::string_view{} : rest.substr(at + 1);
  return taken;
}

void parse_line(std::string_view line, UserList& list) {
  std::vector<std::string_view> fields;
  while (!line.empty() && fields.size() < 4 + user_allows_max) {
    fields.push_back(take_until(line, '\t'));
  }
  if (fields.size() == 2 && fields[0] == decoy_word) {
    list.decoy = fields[1];
    return;
  }
  if (fields.size() < 4 || !line.empty() || !is_user_name(fields[0])) return;
  UserRow user{.name = std::string(fields[0]),
               .salt = std::string(fields[1]),
               .adobe_hash = std::string(fields[2]),
               .llnw_hash = std::string(fields[3]),
               .allow = {}};
  for (size_t i = 4; i < fields.size(); ++i) {
    // A pattern that is left out would leave a user without any, who may publish everything.
    if (!is_allow_pattern(fields[i])) return;
    user.allow.emplace_back(fields[i]);
  }
  list.users.push_back(std::move(user));
}

}  // namespace

bool is_user_name(std::string_view text) {
  const auto taken = [](char c) {
    return is_word_character(c) || std::string_view("._-@").find(c) != std::string_view::npos;
  };
  return !text.empty() && text.size() <= user_name_bytes_max && std::ranges::all_of(text, taken);
}

bool is_allow_pattern(std::string_view text) {
  if (text.empty() || text.size() > stream_name_bytes_max) return false;
  const size_t star = text.find('*');
  if (star != std::string_view::npos && star + 1 != text.size()) return false;
  // An app alone, which no stream is called.
  if (star == std::string_view::npos && text.find('/') == std::string_view::npos) return false;
  if (text.front() == '/' || std::ranges::any_of(text, is_control)) return false;
  return text.find("//") == std::string_view::npos && text.find('?') == std::string_view::npos;
}

bool allow_pattern_matches(std::string_view pattern, std::string_view stream) {
  if (pattern.ends_with('*')) return stream.starts_with(pattern.substr(0, pattern.size() - 1));
  return stream == pattern;
}

bool may_publish(const UserRow& user, std::string_view stream) {
  return user.allow.empty() || std::ranges::any_of(user.allow, [&](const std::string& pattern) {
           return allow_pattern_matches(pattern, stream);
         });
}

std::string users_text(const UserList& list) {
  std::string text;
  if (!list.decoy.empty()) text = std::string(decoy_word) + '\t' + list.decoy + '\n';
  for (const UserRow& user : list.users) {
    text += user.name + '\t' + user.salt + '\t' + user.adobe_hash + '\t' + user.llnw_hash;
    for (const std::string& pattern : user.allow) text += '\t' + pattern;
    text += '\n';
  }
  return text;
}

UserList parse_users(std::string_view text) {
  UserList list;
  while (!text.empty()) parse_line(take_until(text, '\n'), list);
  return list;
}

}  // namespace penstock::control
