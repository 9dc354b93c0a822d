#include "dataplane/engine/uring/uring_engine.h"

namespace penstock::engine {

std::expected<std::unique_ptr<UringEngine>, std::string> make_uring_engine(const UringOptions&) {
  return std::unexpected("the io_uring engine is not built yet");
}

std::optional<std::string> endpoint_in_use(const Endpoint&) { return std::nullopt; }

}  // namespace penstock::engine
