#include <algorithm>
#include <cctype>
#include <set>

#include "tests/unit/controlplane/plane.h"

// openapi.json is what others write programs against: every route is in it, it has no other, and
// what is answered is what it says, field by field.
namespace penstock::controlplane::api {
namespace {

using nlohmann::json;

std::string upper(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

/// The part of JSON Schema that the description uses. Every word it does not know is a failure of
/// the test.
class Schema {
 public:
  explicit Schema(const json& document) : document_(document) {}

  std::string problem(const json& schema, const json& value, const std::string& at) const {
    if (schema.contains("$ref")) return problem(resolve(schema["$ref"]), value, at);
    if (schema.contains("oneOf")) return one_of(schema["oneOf"], value, at);
    if (const std::string type = schema.at("type"); !is(type, value)) return at + " is no " + type;
    if (schema.contains("enum") &&
        std::ranges::find(schema["enum"], value) == schema["enum"].end()) {
      return at + ": " + value.dump() + " is not in the list";
    }
    if (schema.contains("minimum") && value.get<double>() < schema["minimum"].get<double>())
      return at + " is too small";
    if (value.is_array()) return elements(schema.at("items"), value, at);
    return value.is_object() && schema.contains("properties") ? fields(schema, value, at) : "";
  }

 private:
  const json& resolve(const std::string& reference) const {
    return document_.at(json::json_pointer(reference.substr(1)));
  }

  static bool is(const std::string& type, const json& value) {
    if (type == "integer") return value.is_number_integer();
    if (type == "number") return value.is_number();
    if (type == "string") return value.is_string();
    if (type == "boolean") return value.is_boolean();
    if (type == "array") return value.is_array();
    return type == "object" && value.is_object();
  }
  std::string one_of(const json& choices, const json& value, const std::string& at) const {
    std::string all;
    for (const json& choice : choices) {
      const std::string found = problem(choice, value, at);
      if (found.empty()) return "";
      all += found + "; ";
    }
    return all;
  }
  std::string elements(const json& schema, const json& value, const std::string& at) const {
    for (size_t i = 0; i < value.size(); ++i) {
      const std::string found = problem(schema, value[i], at + "[" + std::to_string(i) + "]");
      if (!found.empty()) return found;
    }
    return "";
  }
  std::string fields(const json& schema, const json& value, const std::string& at) const {
    for (const json& name : schema.value("required", json::array())) {
      if (!value.contains(name)) return at + "." + name.get<std::string>() + " is missing";
    }
    for (const auto& [name, field] : value.items()) {
      if (!schema["properties"].contains(name)) return at + "." + name + " is not described";
      const std::string found = problem(schema["properties"][name], field, at + "." + name);
      if (!found.empty()) return found;
    }
    return "";
  }

  const json& document_;
};

class OpenapiTest : public Plane {
 protected:
  void SetUp() override {
    start_dataplane({.config = config_text("")});
    dataplane->put_stream(0, 0, stream_row(1, "live/a", 2));
    dataplane->put_stream(0, 1, stream_row(2, "studio/b/c", 2));
    control::StreamRow gone = stream_row(3, "live/gone");
    gone.ended.set("left");
    ASSERT_TRUE(dataplane->region().worker(0).ended.push(gone));
    control::ConnectionRow row;
    row.connection_id = 42;
    row.transport.set("rtmp");
    dataplane->put_connection(0, 0, row);
    turn(1'000);
  }
  json document = json::parse(openapi_text());
};

TEST_F(OpenapiTest, has_every_route_and_no_other) {
  std::set<std::string> described;
  for (const auto& [path, methods] : document["paths"].items()) {
    for (const auto& [method, operation] : methods.items())
      described.insert(upper(method) + " " + path);
  }
  std::set<std::string> served;
  for (const RouteInfo& route : routes())
    served.insert(std::string(route.method) + " " + std::string(route.path));
  EXPECT_EQ(described, served);
}

struct Asked {
  const char* route;
  const char* path;
  const char* body;
  int status;
};

constexpr Asked asked[] = {
    {"GET /api/v1/status", "/api/v1/status", "", 200},
    {"GET /api/v1/streams", "/api/v1/streams", "", 200},
    {"GET /api/v1/streams/{app}/{name}", "/api/v1/streams/studio/b/c", "", 200},
    {"GET /api/v1/streams/{app}/{name}", "/api/v1/streams/live/none", "", 404},
    {"POST /api/v1/streams/{app}/{name}/kick", "/api/v1/streams/live/a/kick", "{\"reason\":\"x\"}",
     200},
    {"POST /api/v1/streams/{app}/{name}/kick", "/api/v1/streams/live/none/kick", "", 404},
    {"GET /api/v1/history", "/api/v1/history", "", 200},
    {"GET /api/v1/connections", "/api/v1/connections", "", 200},
    {"GET /api/v1/connections/{id}", "/api/v1/connections/42", "", 200},
    {"GET /api/v1/connections/{id}", "/api/v1/connections/x", "", 400},
    {"POST /api/v1/connections/{id}/kick", "/api/v1/connections/42/kick", "", 200},
    {"POST /api/v1/connections/{id}/trace", "/api/v1/connections/42/trace", "{\"on\":false}", 200},
    {"GET /api/v1/workers", "/api/v1/workers", "", 200},
    {"GET /api/v1/counters", "/api/v1/counters", "", 200},
    {"GET /api/v1/config", "/api/v1/config", "", 200},
    {"POST /api/v1/config/reload", "/api/v1/config/reload", "", 200},
    {"POST /api/v1/config/check", "/api/v1/config/check", "[", 200},
    {"GET /api/v1/tunables", "/api/v1/tunables", "", 200},
    {"GET /api/v1/tunables/{key}", "/api/v1/tunables/gop_bytes", "", 200},
    {"PUT /api/v1/tunables/{key}", "/api/v1/tunables/gop_bytes", "{\"value\":4096}", 200},
    {"PUT /api/v1/tunables/{key}", "/api/v1/tunables/gop_bytes", "{\"value\":-1}", 422},
    {"PUT /api/v1/tunables/{key}", "/api/v1/tunables/streams_max", "{\"value\":5}", 409},
    {"DELETE /api/v1/tunables/{key}", "/api/v1/tunables/gop_bytes", "", 200},
    {"POST /api/v1/users", "/api/v1/users", "{\"name\":\"bob\",\"allow\":[\"live/*\"]}", 200},
    {"POST /api/v1/users", "/api/v1/users", "{\"name\":\"bob\",\"password\":\"x\"}", 409},
    {"POST /api/v1/users", "/api/v1/users", "{\"name\":\"b&b\"}", 422},
    {"POST /api/v1/users", "/api/v1/users", "{}", 400},
    {"GET /api/v1/users", "/api/v1/users", "", 200},
    {"PUT /api/v1/users/{name}", "/api/v1/users/bob", "{\"make_password\":true}", 200},
    {"PUT /api/v1/users/{name}", "/api/v1/users/bob", "{}", 400},
    {"PUT /api/v1/users/{name}", "/api/v1/users/eve", "{\"allow\":[]}", 404},
    {"DELETE /api/v1/users/{name}", "/api/v1/users/bob", "", 200},
    {"DELETE /api/v1/users/{name}", "/api/v1/users/bob", "", 404},
    {"POST /api/v1/drain", "/api/v1/drain", "", 200},
    {"DELETE /api/v1/drain", "/api/v1/drain", "", 200},
    {"PUT /api/v1/log/level", "/api/v1/log/level", "{\"level\":\"error\"}", 200},
    {"PUT /api/v1/log/level", "/api/v1/log/level", "{\"level\":\"loud\"}", 422},
    {"DELETE /api/v1/log/level", "/api/v1/log/level", "", 200},
    {"GET /api/v1/version", "/api/v1/version", "", 200},
    {"GET /api/v1/openapi.json", "/api/v1/openapi.json", "", 200},
    {"GET /version", "/version", "", 200},
    {"GET /metrics", "/metrics", "", 200},
    {"GET /healthz", "/healthz", "", 200},
};

TEST_F(OpenapiTest, answers_are_what_it_says) {
  const Schema schema(document);
  std::set<std::string> tried;
  for (const Asked& one : asked) {
    const std::string route = one.route;
    const std::string method = route.substr(0, route.find(' '));
    const Answer answer = ask(method, one.path, one.body);
    EXPECT_EQ(answer.status, one.status) << route << " " << answer.body;
    tried.insert(route);
    std::string lower = method;
    std::ranges::transform(lower, lower.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const json& responses =
        document["paths"][route.substr(route.find(' ') + 1)][lower]["responses"];
    ASSERT_TRUE(responses.contains(std::to_string(one.status))) << route << " " << one.status;
    const json& content = responses[std::to_string(one.status)]["content"];
    if (!content.contains("application/json")) continue;
    EXPECT_EQ(answer.content_type, "application/json") << route;
    EXPECT_EQ(
        schema.problem(content["application/json"]["schema"], json::parse(answer.body), route), "");
  }
  for (const RouteInfo& route : routes()) {
    EXPECT_TRUE(tried.contains(std::string(route.method) + " " + std::string(route.path)))
        << route.path;
  }
}

TEST_F(OpenapiTest, ended_streams_and_refused_files_are_what_it_says) {
  const Schema schema(document);
  const json ended = ask_json("GET", "/api/v1/streams", "", {{"ended", "1"}});
  ASSERT_EQ(ended["streams"].size(), 1u);
  EXPECT_EQ(schema.problem(document["components"]["schemas"]["EndedStreams"], ended, "ended"), "");
  EXPECT_EQ(ended["streams"][0]["reason"], "left");
  folder.write("penstock.toml", "[limits]\nx = 1\n");
  const json refused = ask_json("POST", "/api/v1/config/reload");
  EXPECT_EQ(schema.problem(document["components"]["schemas"]["Error"], refused, "refused"), "");
}

}  // namespace
}  // namespace penstock::controlplane::api
