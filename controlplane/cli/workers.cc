#include <fmt/format.h>

#include <initializer_list>
#include <memory>

#include "controlplane/cli/render.h"
#include "controlplane/cli/units.h"
#include "controlplane/cli/verb.h"

namespace penstock::controlplane::cli {

namespace {

uint64_t sum_of(const Json& numbers, std::initializer_list<const char*> names) {
  uint64_t sum = 0;
  for (const char* name : names) sum += count_of(numbers, name);
  return sum;
}

std::string render_links(const Json& links, const Paint& paint) {
  Table table({{"WORKER", Align::right},
               {"DEVICE"},
               {"LINK"},
               {"PACKETS IN", Align::right},
               {"PACKETS OUT", Align::right},
               {"DROPPED", Align::right},
               {"OUT OF ORDER", Align::right},
               {"SENT AGAIN", Align::right},
               {"TIMEOUTS", Align::right}});
  for (const Json& row : links) {
    const bool up = flag_of(row, "up");
    const uint64_t speed = count_of(row, "bits_per_second");
    const Json& numbers = part_of(row, "numbers");
    const Json& tcp = part_of(numbers, "tcp");
    // Of every driver: these are rte_ethdev's own.
    const uint64_t dropped =
        sum_of(part_of(numbers, "device"),
               {"rx_missed_errors", "rx_mbuf_allocation_errors", "rx_errors", "tx_errors"}) +
        sum_of(part_of(numbers, "engine"),
               {"redirections_full", "no_memory_to_send", "refused_to_send"});
    table.add({human_count(count_of(row, "worker")),
               text_of(row, "device"),
               {!up          ? "down"
                : speed == 0 ? "up"
                             : fmt::format("up, {}", human_bits_per_second(speed)),
                up ? Colour::green : Colour::red},
               human_count(count_of(tcp, "packets_in")),
               human_count(count_of(tcp, "packets_out")),
               {human_count(dropped), dropped == 0 ? Colour::plain : Colour::yellow},
               human_count(count_of(tcp, "segments_out_of_order")),
               human_count(count_of(tcp, "segments_retransmitted")),
               human_count(count_of(tcp, "timeouts"))});
  }
  return table.render(paint);
}

}  // namespace

std::string render_numbers(const Json& workers, const Paint& paint) {
  Table table({{"WORKER", Align::right}, {"COUNTER"}, {"VALUE", Align::right}});
  for (const Json& row : rows_of(workers, "links")) {
    for (const char* kind : {"engine", "tcp", "device"}) {
      for (const auto& [name, value] : part_of(part_of(row, "numbers"), kind).items()) {
        if (!value.is_number_unsigned() || value.get<uint64_t>() == 0) continue;
        table.add({human_count(count_of(row, "worker")),
                   fmt::format("{}.{}", kind, printable(name)),
                   human_count(value.get<uint64_t>())});
      }
    }
  }
  return table.render(paint);
}

std::string render_workers(const Json& workers, const Paint& paint) {
  const Json& rows = rows_of(workers, "workers");
  if (rows.empty()) return "no workers: penstockd is not attached\n";
  Table table({{"WORKER", Align::right},
               {"CORE", Align::right},
               {"STATE"},
               {"BUSY", Align::right},
               {"CONNECTIONS", Align::right},
               {"PUBLISHERS", Align::right},
               {"SUBSCRIBERS", Align::right},
               {"IN", Align::right},
               {"OUT", Align::right},
               {"FRAME MEMORY", Align::right}});
  for (const Json& row : rows) {
    const bool alive = flag_of(row, "alive");
    const double busy = number_of(row, "busy_percent");
    table.add(
        {human_count(count_of(row, "worker")),
         human_count(count_of(row, "core")),
         {alive ? "alive" : fmt::format("silent for {} ms", count_of(row, "heartbeat_age_ms")),
          alive ? Colour::green : Colour::red},
         {fmt::format("{:.1f}%", busy), busy >= 90 ? Colour::yellow : Colour::plain},
         human_count(count_of(row, "connections")),
         human_count(count_of(row, "publishers")),
         human_count(count_of(row, "subscribers")),
         human_bits_per_second(count_of(row, "bits_per_second_in")),
         human_bits_per_second(count_of(row, "bits_per_second_out")),
         human_bytes(count_of(row, "frame_memory_bytes"))});
  }
  std::string text = table.render(paint);
  const Json& links = rows_of(workers, "links");
  if (!links.empty()) text += "\n" + render_links(links, paint);
  const std::string path = text_of(part_of(workers, "tls"), "path");
  if (!path.empty()) text += fmt::format("\nTLS records: {}\n", path);
  return text;
}

void add_workers(const Verb& program) {
  const Verb verb = program.add("workers", "Workers: load and traffic of each core");
  const auto numbers = std::make_shared<bool>(false);
  verb.flag("--numbers", *numbers,
            "with the engine \"dpdk\": also all that engine, TCP and driver have counted");
  verb.examples({"workers", "workers --numbers | grep retransmitted",
                 "workers --json | jq '.workers[] | {worker, busy_percent}'"});
  verb.runs([numbers](const Context& context) {
    return show(context, context.api.get("/api/v1/workers"), [&](const Json& workers) {
      std::string text = render_workers(workers, context.paint);
      if (*numbers && rows_of(workers, "links").empty()) {
        text += "\nno numbers: the engine has no network device of its own (dataplane.engine)\n";
      } else if (*numbers) {
        text += "\n" + render_numbers(workers, context.paint);
      }
      return text;
    });
  });
}

}  // namespace penstock::controlplane::cli
