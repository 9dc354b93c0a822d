#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

namespace CLI {
class App;
}

namespace penstock::controlplane::cli {

struct Context;
enum class ExitCode : int { ok = 0, failed = 1, usage = 2 };
using Action = std::function<ExitCode(const Context&)>;

/// One verb while the program's arguments are declared: its help, its arguments, what it runs. What
/// is declared is stored into variables of the verb, which have to live until the action has run.
/// It hides the parsing library, whose header costs each file that includes it eight seconds of
/// compiling.
class Verb {
 public:
  Verb(CLI::App& app, Action& selected) : app_(app), selected_(selected) {}

  /// A verb below this one ("show" of "stream"). One of those below has to be given then.
  [[nodiscard]] Verb add(const std::string& name, const std::string& help) const;
  void examples(std::initializer_list<std::string_view> lines) const;

  /// By place, and needed. `check` gives what is wrong, or nothing.
  using Check = std::function<std::string(const std::string&)>;
  void needed(const std::string& name, std::string& into, const std::string& help,
              Check check = nullptr) const;
  /// By place, one of `words`, and may be left out.
  void word(const std::string& name, std::string& into, const std::string& help,
            std::initializer_list<std::string> words) const;
  /// "--name VALUE".
  void text(const std::string& name, std::string& into, const std::string& help,
            Check check = nullptr) const;
  void number(const std::string& name, uint32_t& into, const std::string& help, uint32_t min,
              uint32_t max) const;
  void decimal(const std::string& name, double& into, const std::string& help, double min,
               double max) const;
  void flag(const std::string& name, bool& into, const std::string& help) const;

  /// What is run when this verb was given.
  void runs(Action action) const;

 private:
  CLI::App& app_;
  Action& selected_;
};

}  // namespace penstock::controlplane::cli
