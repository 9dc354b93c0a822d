// penstock.toml: whatever is read is within its ranges and renders to text that reads as the same;
// otherwise every problem has a text and a line of the document.

#include "penstock/config/config.h"

#include <algorithm>

#include "penstock/base/assert.h"
#include "penstock/base/bytes.h"
#include "penstock/base/limits.h"

using namespace penstock;

namespace {

void check_problems(std::string_view text, const std::vector<config::Problem>& problems) {
  PENSTOCK_ASSERT(!problems.empty());
  const auto lines = static_cast<uint32_t>(std::count(text.begin(), text.end(), '\n') + 1);
  uint32_t last = 0;
  for (const config::Problem& problem : problems) {
    PENSTOCK_ASSERT(!problem.text.empty() && problem.file == "f");
    PENSTOCK_ASSERT(problem.line <= lines && problem.line >= last);
    last = problem.line;
    for (const char c : problem.text) PENSTOCK_ASSERT(static_cast<unsigned char>(c) >= 0x20);
  }
}

void check_config(const config::Config& config) {
  PENSTOCK_ASSERT(!config.workers.empty() && config.workers.size() <= workers_max);
  size_t listeners = 0;
  for (const auto& [name, list] : config::listener_lists(config)) listeners += list->size();
  PENSTOCK_ASSERT(listeners > 0);
  const std::string certificates = config::certificates_text(config.certificates);
  PENSTOCK_ASSERT(certificates.size() <= control::certificates_bytes_max);
  PENSTOCK_ASSERT(config::parse_certificates_text(certificates) == config.certificates);
  PENSTOCK_ASSERT(std::is_sorted(config.keys.begin(), config.keys.end()));
  for (const std::string& key : config.keys) PENSTOCK_ASSERT(config::is_stream_name(key));
  for (size_t i = 0; i < control::tunable_count; ++i) {
    PENSTOCK_ASSERT(control::tunable_table[i].accepts(config.tunables[i]));
  }
  const std::string text = config::render(config);
  const auto again = config::parse(text, "f");
  PENSTOCK_ASSERT(again.has_value());
  PENSTOCK_ASSERT(*again == config);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = as_text({data, size});
  const auto config = config::parse(text, "f");
  if (config) {
    check_config(*config);
  } else {
    check_problems(text, config.error());
  }
  return 0;
}
