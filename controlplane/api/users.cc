#include "controlplane/users.h"

#include <algorithm>
#include <utility>

#include "controlplane/api/orders.h"
#include "controlplane/api/request.h"
#include "controlplane/api/views.h"
#include "controlplane/clock.h"

// Publishers that may log in. A password that is given is never in an answer; one that was made is
// in the answer to the request that had it made, and nowhere else.
namespace penstock::controlplane::api {
namespace {

Answer done(const json& value) { return {.body = to_text(value)}; }

Answer refused(const UserRefusal& why) {
  using Kind = UserRefusal::Kind;
  int status = 422;
  if (why.kind == Kind::missing) status = 404;
  if (why.kind == Kind::exists) status = 409;
  if (why.kind == Kind::full || why.kind == Kind::store) status = 503;
  return refusal(status, why.text, why.hint);
}

struct Asked {
  std::optional<std::string> password;
  bool made = false;  // here: the answer tells it
  std::optional<std::vector<std::string>> allow;
};

std::expected<std::optional<std::string>, Answer> text_in(const json& body, const char* key) {
  const auto found = body.find(key);
  if (found == body.end()) return std::optional<std::string>{};
  if (!found->is_string()) {
    return std::unexpected(refusal(400, std::string(key) + " is not a text",
                                   "for example {\"" + std::string(key) + "\": \"bob\"}"));
  }
  return found->get<std::string>();
}

/// `needed`: a password that is not given is made.
std::expected<Asked, Answer> asked_in(const json& body, bool needed) {
  Asked asked;
  auto password = text_in(body, "password");
  if (!password) return std::unexpected(password.error());
  asked.password = std::move(*password);
  const auto made = body.find("make_password");
  if (made != body.end() && !made->is_boolean()) {
    return std::unexpected(refusal(400, "make_password is not true or false",
                                   "for example {\"make_password\": true}"));
  }
  const bool make = made != body.end() && made->get<bool>();
  if (make && asked.password) {
    return std::unexpected(refusal(400, "password and make_password are one too many",
                                   "either a password, or {\"make_password\": true}"));
  }
  asked.made = make || (needed && !asked.password);
  if (asked.made) asked.password = random_password();
  const auto allow = body.find("allow");
  if (allow == body.end()) return asked;
  asked.allow.emplace();
  const bool texts = allow->is_array() &&
                     std::ranges::all_of(*allow, [](const json& one) { return one.is_string(); });
  if (!texts) {
    return std::unexpected(
        refusal(400, "allow is not a list of texts", "for example {\"allow\": [\"live/*\"]}"));
  }
  for (const json& pattern : *allow) asked.allow->push_back(pattern.get<std::string>());
  return asked;
}

/// Takes the change to the workers, and says so.
Answer changed(Parts& parts, std::string_view what, const std::string& name, const Asked& asked) {
  parts.users.hand_to([&](std::string text) { parts.reconciler.set_users(std::move(text)); });
  const Pushed pushed = push(parts);
  parts.log.write(control::LogLevel::info, what, {{"user", name}, {"epoch", pushed.epoch}});
  json answer = {
      {"name", name}, {"epoch", pushed.epoch}, {"applied", pushed.applied}, {"note", note(parts)}};
  if (asked.made) answer["password"] = *asked.password;
  return done(answer);
}

}  // namespace

Answer users(Parts& parts, const Request&, const std::string&) {
  json rows = json::array();
  const auto list = parts.users.list();
  if (!list) return refused(list.error());
  for (const UserView& user : *list) {
    rows.push_back({{"name", user.name},
                    {"allow", user.allow},
                    {"created", rfc3339(user.created_unix_ms)},
                    {"changed", rfc3339(user.changed_unix_ms)}});
  }
  const size_t total = rows.size();
  return done({{"users", std::move(rows)}, {"total", total}});
}

Answer add_user(Parts& parts, const Request& request, const std::string&) {
  const auto body = body_object(request);
  if (!body) return body.error();
  const auto name = text_in(*body, "name");
  if (!name) return name.error();
  if (!*name) return refusal(400, "name is missing", "for example {\"name\": \"bob\"}");
  const auto asked = asked_in(*body, true);
  if (!asked) return asked.error();
  const auto added =
      parts.users.add(**name, *asked->password, asked->allow.value_or(std::vector<std::string>{}));
  if (!added) return refused(added.error());
  return changed(parts, "user added", **name, *asked);
}

Answer change_user(Parts& parts, const Request& request, const std::string& name) {
  const auto body = body_object(request);
  if (!body) return body.error();
  const auto asked = asked_in(*body, false);
  if (!asked) return asked.error();
  if (!asked->password && !asked->allow) {
    return refusal(400, "nothing to change",
                   "for example {\"make_password\": true} or {\"allow\": [\"live/*\"]}");
  }
  const auto stored = parts.users.change(name, asked->password, asked->allow);
  if (!stored) return refused(stored.error());
  return changed(parts, "user changed", name, *asked);
}

Answer remove_user(Parts& parts, const Request&, const std::string& name) {
  const auto removed = parts.users.remove(name);
  if (!removed) return refused(removed.error());
  return changed(parts, "user removed", name, {});
}

}  // namespace penstock::controlplane::api
