#include "dataplane/engine/dpdk/dpdk_host.h"

// In place of the engine where DPDK was not there when this was built.
namespace penstock::engine {

std::expected<std::unique_ptr<DpdkHost>, std::string> DpdkHost::start(const DpdkOptions&) {
  return std::unexpected(
      "this penstockd was built without DPDK; for engine = \"dpdk\" install it (apt-get install "
      "libdpdk-dev), then build again: meson setup --reconfigure -Ddpdk=enabled BUILD && ninja -C "
      "BUILD");
}

}  // namespace penstock::engine
