#include <fmt/format.h>

#include <memory>

#include "controlplane/cli/render.h"
#include "controlplane/cli/units.h"
#include "controlplane/cli/verb.h"

namespace penstock::controlplane::cli {

std::string render_connection(const Json& connection, const Paint& paint) {
  Facts facts;
  facts.add("connection", text_of(connection, "connection_id"));
  facts.add("role", text_of(connection, "role"));
  facts.add("peer", text_of(connection, "peer"));
  facts.add("transport", text_of(connection, "transport"));
  facts.add("software", text_of(connection, "software"));
  facts.add("stream", text_of(connection, "stream"));
  facts.add("worker", human_count(count_of(connection, "worker")));
  facts.add("since", fmt::format("{} ({})", text_of(connection, "since"),
                                 human_duration(count_of(connection, "duration_s"))));
  facts.add("received", human_bytes(count_of(connection, "bytes_received")));
  facts.add("sent", human_bytes(count_of(connection, "bytes_sent")));
  facts.add("queued", human_bytes(count_of(connection, "queued_bytes")));
  facts.add("frames skipped", human_count(count_of(connection, "frames_skipped")));
  return facts.render(paint);
}

namespace {

struct Arguments {
  std::string id;
  std::string reason;
  bool off = false;
};

std::string target_of(const Arguments& arguments, std::string_view order) {
  return fmt::format("/api/v1/connections/{}{}", arguments.id, order);
}

/// The id is checked here, so that a slip of the hand is a usage error and not "not found".
void need_id(const Verb& verb, Arguments& arguments) {
  verb.needed("id", arguments.id, "from the ID column of connections", [](const std::string& text) {
    const bool digits = !text.empty() && text.size() <= 20 &&
                        text.find_first_not_of("0123456789") == std::string::npos;
    return digits ? std::string() : text + " is not a connection's number";
  });
}

void add_kick(const Verb& verb, const std::shared_ptr<Arguments>& arguments) {
  const Verb kick = verb.add("kick", "Close a connection");
  need_id(kick, *arguments);
  kick.text("--reason", arguments->reason, "told to the peer where its protocol can");
  kick.examples({"connection kick 42"});
  kick.runs([arguments](const Context& context) {
    Json body = Json::object();
    if (!arguments->reason.empty()) body["reason"] = arguments->reason;
    return show(context, context.api.post(target_of(*arguments, "/kick"), body),
                [](const Json& result) {
                  return fmt::format("kicked connection {} on worker {}\n",
                                     text_of(result, "connection_id"), count_of(result, "worker"));
                });
  });
}

void add_trace(const Verb& verb, const std::shared_ptr<Arguments>& arguments) {
  const Verb trace = verb.add("trace", "Log every message of a connection");
  need_id(trace, *arguments);
  trace.flag("--off", arguments->off, "stop it");
  trace.examples({"connection trace 42", "connection trace 42 --off"});
  trace.runs([arguments](const Context& context) {
    const Json body = {{"on", !arguments->off}};
    return show(
        context, context.api.post(target_of(*arguments, "/trace"), body), [&](const Json& result) {
          return fmt::format("tracing of connection {} is {}; the lines are in penstockd's log\n",
                             text_of(result, "connection_id"), arguments->off ? "off" : "on");
        });
  });
}

}  // namespace

void add_connection(const Verb& program) {
  auto arguments = std::make_shared<Arguments>();
  const Verb verb = program.add("connection", "One connection: show, kick, trace");
  verb.examples({"connection show 42", "connection kick 42", "connection trace 42"});

  const Verb show_verb = verb.add("show", "Everything that is known of a connection");
  need_id(show_verb, *arguments);
  show_verb.examples({"connection show 42"});
  show_verb.runs([arguments](const Context& context) {
    return show(context, context.api.get(target_of(*arguments, "")), [&](const Json& connection) {
      return render_connection(connection, context.paint);
    });
  });
  add_kick(verb, arguments);
  add_trace(verb, arguments);
}

}  // namespace penstock::controlplane::cli
