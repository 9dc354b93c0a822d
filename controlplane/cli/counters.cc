#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "controlplane/cli/render.h"
#include "controlplane/cli/units.h"
#include "controlplane/cli/verb.h"

namespace penstock::controlplane::cli {

namespace {

size_t workers_in(const Json& counters) {
  size_t workers = 0;
  for (const Json& row : rows_of(counters, "counters")) {
    workers = std::max(workers, rows_of(row, "workers").size());
  }
  return workers;
}

Table table_for(const char* heading, size_t workers) {
  std::vector<Table::Column> columns = {{heading}, {"TOTAL", Align::right}};
  // One worker's column would repeat the total; more than eight do not fit a screen.
  if (workers > 1 && workers <= 8) {
    for (size_t i = 0; i < workers; ++i) columns.push_back({fmt::format("W{}", i), Align::right});
  }
  columns.push_back({"MEANING"});
  return Table(std::move(columns));
}

std::vector<Table::Field> fields_of(const Json& row, size_t workers, const char* meaning) {
  std::vector<Table::Field> fields = {text_of(row, "name"), human_count(count_of(row, "total"))};
  if (workers > 1 && workers <= 8) {
    const Json& each = rows_of(row, "workers");
    for (size_t i = 0; i < workers; ++i) {
      const bool there = i < each.size() && each[i].is_number_unsigned();
      fields.emplace_back(there ? human_count(each[i].get<uint64_t>()) : "-");
    }
  }
  fields.emplace_back(text_of(row, meaning));
  return fields;
}

}  // namespace

std::string render_counters(const Json& counters, bool all, const Paint& paint) {
  const size_t workers = workers_in(counters);
  Table values = table_for("COUNTER", workers);
  for (const Json& row : rows_of(counters, "counters")) {
    if (all || count_of(row, "total") > 0) values.add(fields_of(row, workers, "help"));
  }
  Table faults = table_for("FAULT", workers);
  for (const Json& row : rows_of(counters, "faults")) {
    if (all || count_of(row, "total") > 0) faults.add(fields_of(row, workers, "text"));
  }
  if (values.empty() && faults.empty()) return "every counter is 0; --all shows them\n";
  std::string out;
  if (!values.empty()) out += values.render(paint);
  if (!faults.empty()) out += (out.empty() ? "" : "\n") + faults.render(paint);
  return out;
}

void add_counters(const Verb& program) {
  auto all = std::make_shared<bool>(false);
  const Verb verb = program.add("counters", "Counters and faults, in total and per worker");
  verb.flag("--all", *all, "those that are 0 too");
  verb.examples(
      {"counters", "counters --all", "counters --json | jq '.faults[] | select(.total > 0)'"});
  verb.runs([all](const Context& context) {
    return show(context, context.api.get("/api/v1/counters"), [&](const Json& counters) {
      return render_counters(counters, *all, context.paint);
    });
  });
}

}  // namespace penstock::controlplane::cli
