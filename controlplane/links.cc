#include "controlplane/links.h"

#include <algorithm>
#include <memory>
#include <span>

#include "controlplane/text.h"

namespace penstock::controlplane {
namespace {

/// As a label or a key may be: names come from drivers.
std::string clean_name(std::string_view text) {
  std::string name(text);
  for (char& c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!letter && !(c >= '0' && c <= '9') && c != '_') c = '_';
  }
  return name;
}

Link link_of(const control::LinkRow& row, uint32_t worker) {
  Link link{.worker = worker,
            .device = clean_text(row.device.view()),
            .driver = clean_text(row.driver.view()),
            .offloads = clean_text(row.offloads.view()),
            .up = row.up != 0,
            .bits_per_second = uint64_t{row.mbps} * 1'000'000,
            .numbers_left_out = row.numbers_left_out};
  const size_t used = std::min<size_t>(row.numbers_used, row.numbers.size());
  for (const control::LinkNumber& number : std::span(row.numbers).first(used)) {
    const std::string name = clean_name(number.name.view());
    const auto same = [&](const LinkNumber& other) {
      return other.kind == number.kind && other.name == name;
    };
    // A name that is there twice would make two series of one.
    if (name.empty() || number.kind > control::LinkNumberKind::device ||
        std::ranges::any_of(link.numbers, same)) {
      continue;
    }
    link.numbers.push_back({number.kind, name, number.value});
  }
  return link;
}

}  // namespace

std::vector<Link> links(const Attachment& attachment) {
  std::vector<Link> all;
  // 29 KB, and as much within read(): off the stack of whoever asks.
  const auto row = std::make_unique<control::LinkRow>();
  for (uint32_t worker = 0; worker < attachment.workers(); ++worker) {
    if (!attachment.region().worker(worker).link.read(*row)) continue;
    if (!row->device.view().empty()) all.push_back(link_of(*row, worker));
  }
  return all;
}

std::string_view kind_name(control::LinkNumberKind kind) {
  constexpr std::string_view names[] = {"engine", "tcp", "device"};
  return names[static_cast<size_t>(kind)];
}

}  // namespace penstock::controlplane
