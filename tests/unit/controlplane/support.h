#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <thread>

#include "controlplane/config_file.h"

namespace penstock::controlplane {

/// A folder of a test's own, gone with it.
class TempDir {
 public:
  TempDir() {
    std::string form = "/tmp/penstock-test-XXXXXX";
    path_ = ::mkdtemp(form.data());
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(file(name), std::ios::binary | std::ios::trunc) << text;
    return file(name);
  }
  [[nodiscard]] std::string read(const std::string& name) const {
    std::ostringstream text;
    text << std::ifstream(file(name), std::ios::binary).rdbuf();
    return text.str();
  }

 private:
  std::string path_;
};

/// True as soon as `holds` does; false when it does not within two seconds.
inline bool eventually(const std::function<bool()>& holds) {
  for (int attempt = 0; attempt < 400; ++attempt) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

/// Settings as load_settings() makes them, without a file.
inline Settings settings_with(const TempDir& folder) {
  Settings settings;
  settings.config.state_dir = folder.path();
  settings.config.rtmp = {{"127.0.0.1", 1935, false}};
  settings.socket = folder.file("control.sock");
  settings.file = folder.file("penstock.toml");
  settings.config.log_level = control::LogLevel::error;
  return settings;
}

inline void set_keys(Settings& settings, std::vector<std::string> keys) {
  settings.config.publish = control::AdmissionMode::keys;
  settings.config.keys = std::move(keys);
  settings.keys_text.clear();
  for (const std::string& key : settings.config.keys) settings.keys_text += key + "\n";
}

}  // namespace penstock::controlplane
