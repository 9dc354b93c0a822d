#include <iostream>

#include "controlplane/cli/verb.h"

namespace penstock::controlplane::cli {

void add_version(const Verb& program) {
  const Verb verb = program.add("version", "Versions of this program and of both processes");
  verb.examples({"version", "version --json"});
  verb.runs([](const Context& context) {
    // Its own version needs nobody: this verb also answers when nothing runs.
    const Answer running = context.api.get("/api/v1/version");
    const Json versions = {{"penstockctl", PENSTOCK_VERSION},
                           {"control", running ? text_of(*running, "control") : ""},
                           {"dataplane", running ? text_of(*running, "dataplane") : ""}};
    return show(context, versions, [](const Json& answer) {
      const auto or_absent = [&](const char* key) {
        const std::string version = text_of(answer, key);
        return version.empty() ? std::string("not running") : version;
      };
      return "penstockctl       " + text_of(answer, "penstockctl") + "\npenstock-control  " +
             or_absent("control") + "\npenstockd         " + or_absent("dataplane") + "\n";
    });
  });
}

}  // namespace penstock::controlplane::cli
