#include <fmt/format.h>

#include <memory>

#include "controlplane/cli/render.h"
#include "controlplane/cli/verb.h"

namespace penstock::controlplane::cli {

void add_drain(const Verb& program) {
  auto off = std::make_shared<bool>(false);
  auto to = std::make_shared<std::string>();
  const Verb verb = program.add("drain", "Stop accepting and close publishers one after the other");
  verb.flag("--off", *off, "accept again");
  verb.text("--to", *to,
            "where peers that can reconnect by themselves (Enhanced RTMP) are sent; without a path "
            "they keep their app, without --to they come back to the address that they have");
  verb.examples({"drain", "drain --to rtmp://other.example.com", "drain --off",
                 "status --json | jq .connections"});
  verb.runs([off, to](const Context& context) {
    const std::string target = "/api/v1/drain";
    Json body = Json::object();
    if (!to->empty()) body["to"] = *to;
    const Answer answer = *off ? context.api.erase(target) : context.api.post(target, body);
    return show(context, answer, [](const Json& result) {
      std::string out =
          flag_of(result, "draining")
              ? "draining: no new connections; who can reconnect is asked to and has 30 s, other "
                "publishers are being closed; "
                "watch it with penstockctl status, end it with drain --off\n"
              : "not draining: new connections are accepted\n";
      if (!flag_of(result, "applied")) out += "not applied by every worker yet\n";
      return out + note_line(result);
    });
  });
}

}  // namespace penstock::controlplane::cli
