#include <fmt/format.h>
#include <termios.h>
#include <unistd.h>

#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/cli/render.h"
#include "controlplane/cli/verb.h"
#include "penstock/control/users.h"

namespace penstock::controlplane::cli {
namespace {

// More than any password that is accepted; a mistyped file is not read whole.
constexpr size_t password_line_bytes_max = 4096;

struct Arguments {
  std::string name;
  std::string allow;
  bool any = false;
  bool password_stdin = false;
};

/// Nobody has one with a slash, and a path with one is another's.
std::string wrong_name(const std::string& name) {
  if (control::is_user_name(name)) return {};
  return "not a user name: 1 to 64 letters, digits, '.', '_', '-' and '@'";
}

std::string target_of(const std::string& name) { return "/api/v1/users/" + escaped(name); }

/// "live/*,studio/*" as a list.
std::vector<std::string> patterns_in(const std::string& text) {
  std::vector<std::string> patterns;
  for (size_t from = 0; from <= text.size();) {
    const size_t end = std::min(text.find(',', from), text.size());
    if (end > from) patterns.push_back(text.substr(from, end - from));
    from = end + 1;
  }
  return patterns;
}

std::string wrong_patterns(const std::string& text) {
  for (const std::string& pattern : patterns_in(text)) {
    if (control::is_allow_pattern(pattern)) continue;
    return "not a pattern of stream names: " + printable(pattern) +
           ": app/name, or its start with a '*' at the end, as in live/* or *";
  }
  return {};
}

/// A line of stdin.
std::string input_line() {
  std::string line;
  char c = 0;
  while (line.size() < password_line_bytes_max && std::cin.get(c) && c != '\n') line += c;
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

/// While it lives, what is typed does not show. A signal that ends the program within leaves the
/// terminal to the shell, which sets its own.
class SilentTerminal {
 public:
  // What was typed ahead stays: a password that is pasted twice in one go comes before the second
  // question.
  SilentTerminal() : hidden_(::tcgetattr(STDIN_FILENO, &before_) == 0) {
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    if (hidden_) ::tcsetattr(STDIN_FILENO, TCSANOW, &silent);
  }
  SilentTerminal(const SilentTerminal&) = delete;
  SilentTerminal& operator=(const SilentTerminal&) = delete;
  ~SilentTerminal() {
    if (hidden_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }

 private:
  termios before_{};
  const bool hidden_;
};

std::string typed_line(std::string_view prompt) {
  std::cerr << prompt << std::flush;
  const std::string line = input_line();
  std::cerr << '\n';
  return line;
}

/// From stdin: an argument would be seen in the list of processes, and kept in the shell's history.
/// Nothing: what was typed twice differs.
std::optional<std::string> read_password() {
  if (::isatty(STDIN_FILENO) == 0) return input_line();
  const SilentTerminal silent;
  std::string password = typed_line("password: ");
  if (typed_line("once more: ") != password) return std::nullopt;
  return password;
}

ExitCode fail_unequal(const Context& context) {
  return fail_usage(context, {.text = "the two passwords differ", .hint = "type the same twice"});
}

std::string allowed_text(const Json& user) {
  std::string text;
  for (const Json& pattern : rows_of(user, "allow")) {
    if (!pattern.is_string()) continue;
    text += (text.empty() ? "" : ", ") + printable(pattern.get<std::string>());
  }
  return text.empty() ? "any name" : text;
}

ExitCode add(const Context& context, const Arguments& arguments) {
  Json body = {{"name", arguments.name}, {"allow", patterns_in(arguments.allow)}};
  if (arguments.password_stdin) {
    const auto password = read_password();
    if (!password) return fail_unequal(context);
    body["password"] = *password;
  }
  return show(context, context.api.post("/api/v1/users", body),
              [](const Json& result) { return render_user_changed(result, "added"); });
}

ExitCode change_password(const Context& context, const Arguments& arguments) {
  Json body = Json::object();
  if (arguments.password_stdin) {
    const auto password = read_password();
    if (!password) return fail_unequal(context);
    body["password"] = *password;
  } else {
    body["make_password"] = true;
  }
  return show(context, context.api.put(target_of(arguments.name), body),
              [](const Json& result) { return render_user_changed(result, "changed"); });
}

ExitCode change_allow(const Context& context, const Arguments& arguments) {
  if (arguments.any != arguments.allow.empty()) {
    return fail_usage(context, {.text = "either patterns or --any",
                                .hint = "for example user allow bob --allow 'live/*'"});
  }
  const Json body = {{"allow", patterns_in(arguments.allow)}};
  return show(context, context.api.put(target_of(arguments.name), body),
              [](const Json& result) { return render_user_changed(result, "changed"); });
}

void add_changes(const Verb& verb, const std::shared_ptr<Arguments>& arguments) {
  const Verb passwd = verb.add("passwd", "A new password; streams that are live go on");
  passwd.needed("name", arguments->name, "user name", wrong_name);
  passwd.flag("--password-stdin", arguments->password_stdin,
              "take it from the first line of stdin, or type it, instead of making one");
  passwd.examples({"user passwd bob", "user passwd bob --password-stdin < password.txt"});
  passwd.runs([arguments](const Context& context) { return change_password(context, *arguments); });

  const Verb allow = verb.add("allow", "Which names a user may publish");
  allow.needed("name", arguments->name, "user name", wrong_name);
  allow.text("--allow", arguments->allow, "app/name or the start of one and *, apart by commas",
             wrong_patterns);
  allow.flag("--any", arguments->any, "any name");
  allow.examples({"user allow bob --allow 'live/*,studio/bob'", "user allow bob --any"});
  allow.runs([arguments](const Context& context) { return change_allow(context, *arguments); });

  const Verb remove = verb.add("remove", "A user may not log in any more; streams go on");
  remove.needed("name", arguments->name, "user name", wrong_name);
  remove.examples({"user remove bob"});
  remove.runs([arguments](const Context& context) {
    return show(context, context.api.erase(target_of(arguments->name)),
                [](const Json& result) { return render_user_changed(result, "removed"); });
  });
}

}  // namespace

std::string render_users(const Json& users, const Paint& paint) {
  const Json& rows = rows_of(users, "users");
  if (rows.empty()) return "no users\n";
  Table table({{"NAME"}, {"MAY PUBLISH"}, {"CHANGED"}, {"ADDED"}});
  for (const Json& row : rows) {
    table.add({text_of(row, "name"), allowed_text(row), text_of(row, "changed"),
               text_of(row, "created")});
  }
  return table.render(paint);
}

std::string render_user_changed(const Json& result, const std::string& what) {
  std::string text = fmt::format("{} user {}\n", what, text_of(result, "name"));
  if (const std::string password = text_of(result, "password"); !password.empty()) {
    text += fmt::format("password: {}  (shown this once)\n", password);
  }
  return text + note_line(result);
}

void add_user(const Verb& program) {
  auto arguments = std::make_shared<Arguments>();
  const Verb verb = program.add("user", "Publishers that log in: add, list, change, remove");
  verb.examples({"user add bob", "user add bob --allow 'live/*'", "user list", "user passwd bob",
                 "user remove bob"});

  const Verb add_verb = verb.add("add", "A user that may log in to publish");
  add_verb.needed("name", arguments->name, "letters, digits and . _ - @", wrong_name);
  add_verb.flag(
      "--password-stdin", arguments->password_stdin,
      "take the password from the first line of stdin, or type it, instead of making one");
  add_verb.text("--allow", arguments->allow,
                "which names: app/name or the start of one and *, apart by commas; else any",
                wrong_patterns);
  add_verb.examples(
      {"user add bob", "user add bob --allow 'live/*' --password-stdin < password.txt"});
  add_verb.runs([arguments](const Context& context) { return add(context, *arguments); });

  const Verb list = verb.add("list", "All users");
  list.examples({"user list", "user list --json | jq -r '.users[].name'"});
  list.runs([](const Context& context) {
    return show(context, context.api.get("/api/v1/users"),
                [&](const Json& users) { return render_users(users, context.paint); });
  });
  add_changes(verb, arguments);
}

}  // namespace penstock::controlplane::cli
