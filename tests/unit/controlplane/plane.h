#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "controlplane/api/api.h"
#include "controlplane/parts.h"
#include "controlplane/steering.h"
#include "tests/unit/controlplane/fake_dataplane.h"
#include "tests/unit/controlplane/support.h"

namespace penstock::controlplane {

/// A control plane on a fake data plane, turned by hand.
class Plane : public testing::Test {
 protected:
  Plane() {
    folder.write("penstock.toml", config_text(""));
    auto loaded = load_settings(folder.file("penstock.toml"));
    if (!loaded) throw std::runtime_error(loaded.error().at(0).to_string());
    parts = std::make_unique<Parts>(*loaded, folder.file("history.jsonl"));
    if (!parts->users.open(folder.file("store.db"))) throw std::runtime_error("no store");
    steering = std::make_unique<Steering>(*parts, folder.file("dataplane.sock"));
  }

  [[nodiscard]] std::string config_text(const std::string& more) const {
    return "[dataplane]\nstate_dir = \"" + folder.path() + "\"\n[log]\nlevel = \"error\"\n" + more;
  }

  void start_dataplane(FakeDataplane::Shape shape = {}) {
    dataplane.reset();
    dataplane = std::make_unique<FakeDataplane>(folder.path(), std::move(shape));
    turn();       // loses what is gone
    turn(1'100);  // attaches, also after an attachment that did not last
    const auto attachment = parts->link.current();
    ASSERT_TRUE(attachment != nullptr);
    ASSERT_TRUE(
        wait_applied(*attachment, parts->reconciler.wanted_epoch(), std::chrono::seconds(2)));
  }

  /// One turn, with the clock ahead by so much: timers of the loop need no waiting.
  uint32_t turn(uint64_t ahead_ms = 0) {
    ahead_ns += ahead_ms * 1'000'000;
    return steering->turn(monotonic_ns() + ahead_ns);
  }

  api::Answer ask(const std::string& method, const std::string& path, const std::string& body = {},
                  std::map<std::string, std::string> query = {}) {
    // The mirror's age is by the real clock: what the test has just written must be seen.
    if (const auto attachment = parts->link.current()) {
      parts->catalog.refresh(*attachment, monotonic_ns() + ahead_ns + 60'000'000'000);
    }
    return api::answer(*parts, {method, path, std::move(query), body});
  }
  nlohmann::json ask_json(const std::string& method, const std::string& path,
                          const std::string& body = {},
                          std::map<std::string, std::string> query = {}) {
    return nlohmann::json::parse(ask(method, path, body, std::move(query)).body);
  }

  TempDir folder;
  std::unique_ptr<FakeDataplane> dataplane;
  std::unique_ptr<Parts> parts;
  std::unique_ptr<Steering> steering;
  uint64_t ahead_ns = 0;
};

}  // namespace penstock::controlplane
