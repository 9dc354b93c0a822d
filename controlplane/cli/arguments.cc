#include "controlplane/cli/arguments.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

namespace penstock::controlplane::cli {

Verb Verb::add(const std::string& name, const std::string& help) const {
  app_.require_subcommand(1);
  return {*app_.add_subcommand(name, help), selected_};
}

void Verb::examples(std::initializer_list<std::string_view> lines) const {
  std::string text = "Examples:";
  for (const std::string_view line : lines) text += "\n  penstockctl " + std::string(line);
  app_.footer(text + "\n");
}

void Verb::needed(const std::string& name, std::string& into, const std::string& help,
                  Check check) const {
  CLI::Option* option = app_.add_option(name, into, help)->required();
  if (check) option->check(std::move(check));
}

void Verb::word(const std::string& name, std::string& into, const std::string& help,
                std::initializer_list<std::string> words) const {
  app_.add_option(name, into, help)->check(CLI::IsMember(std::vector<std::string>(words)));
}

void Verb::text(const std::string& name, std::string& into, const std::string& help,
                Check check) const {
  CLI::Option* option = app_.add_option(name, into, help);
  if (check) option->check(std::move(check));
}

void Verb::number(const std::string& name, uint32_t& into, const std::string& help, uint32_t min,
                  uint32_t max) const {
  app_.add_option(name, into, help)->check(CLI::Range(min, max));
}

void Verb::decimal(const std::string& name, double& into, const std::string& help, double min,
                   double max) const {
  // Not CLI::Range: what is no number ("nan") is neither below nor above.
  app_.add_option(name, into, help)->check([min, max](const std::string& given) {
    double value = 0;
    const bool number = CLI::detail::lexical_cast(given, value);
    return number && value >= min && value <= max
               ? std::string()
               : fmt::format("{} is not a number from {} to {}", given, min, max);
  });
}

void Verb::flag(const std::string& name, bool& into, const std::string& help) const {
  app_.add_flag(name, into, help);
}

void Verb::runs(Action action) const {
  app_.callback([&selected = selected_, action = std::move(action)] { selected = action; });
}

}  // namespace penstock::controlplane::cli
