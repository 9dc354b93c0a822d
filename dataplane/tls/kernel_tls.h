#pragma once

#include <string>

namespace penstock::tls {

/// Whether this kernel would take over the records of a TCP connection (setsockopt TCP_ULP "tls",
/// tried on a connection to ourselves). Once, at the start.
[[nodiscard]] bool kernel_tls_available();

/// Which way records take, and why, for `penstockctl workers`.
[[nodiscard]] std::string records_path_text(bool kernel_has_it);

}  // namespace penstock::tls
