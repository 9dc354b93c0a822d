#include "controlplane/cli/verb.h"

#include <iostream>

#include "controlplane/cli/render.h"

namespace penstock::controlplane::cli {

std::string note_line(const Json& result) {
  const std::string note = text_of(result, "note");
  return note.empty() ? "" : note + "\n";
}

std::string json_text(const Json& value) {
  return value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

ExitCode fail(const Context& context, const Failure& failure) {
  if (context.json) {
    Json body = failure.body.is_object() ? failure.body : Json::object();
    if (!body.contains("error")) body["error"] = failure.text;
    if (!body.contains("hint")) body["hint"] = failure.hint;
    std::cerr << json_text(body);
    return ExitCode::failed;
  }
  std::cerr << "penstockctl: " << failure.text;
  if (!failure.hint.empty()) std::cerr << ": " << failure.hint;
  std::cerr << '\n';
  return ExitCode::failed;
}

ExitCode fail_usage(const Context& context, const Failure& failure) {
  (void)fail(context, failure);
  return ExitCode::usage;
}

ExitCode show(const Context& context, const Answer& answer,
              const std::function<std::string(const Json&)>& render) {
  if (!answer) return fail(context, answer.error());
  std::cout << (context.json ? json_text(*answer) : render(*answer));
  return ExitCode::ok;
}

}  // namespace penstock::controlplane::cli
