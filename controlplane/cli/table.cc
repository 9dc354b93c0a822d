#include "controlplane/cli/table.h"

#include <algorithm>
#include <cwchar>

#include "penstock/base/assert.h"

namespace penstock::controlplane::cli {

namespace {

struct CodePoint {
  uint32_t value = 0;
  size_t bytes = 1;
};

/// The code point at the start of `text`, which is not empty. Broken UTF-8 reads as one byte of
/// U+FFFD.
CodePoint first_of(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
  if (bytes == 0 || bytes > text.size()) return {0xFFFD, 1};
  uint32_t value = lead & (0xFFU >> (bytes + 1));
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {0xFFFD, 1};
    value = value << 6 | (byte(i) & 0x3FU);
  }
  return {value, bytes};
}

// Not wcwidth(): it depends on the locale, and the C locale of a service knows no wide characters.
// The ranges are the blocks that Unicode's East Asian Width and General Category give whole; a rare
// exception costs one misaligned column.
size_t columns_of(uint32_t value) {
  const auto within = [value](uint32_t first, uint32_t last) {
    return value >= first && value <= last;
  };
  if (within(0x300, 0x36F) || within(0x200B, 0x200F) || within(0xFE00, 0xFE0F)) return 0;
  const bool wide = within(0x1100, 0x115F) || within(0x2E80, 0xA4CF) || within(0xAC00, 0xD7A3) ||
                    within(0xF900, 0xFAFF) || within(0xFE30, 0xFE6F) || within(0xFF00, 0xFF60) ||
                    within(0x1F300, 0x1FAFF) || within(0x20000, 0x3FFFD);
  return wide ? 2 : 1;
}

}  // namespace

std::string Paint::operator()(Colour colour, std::string_view text) const {
  if (!enabled_ || colour == Colour::plain || text.empty()) return std::string(text);
  const char* code = "";
  switch (colour) {
    case Colour::plain:
      break;
    case Colour::bold:
      code = "1";
      break;
    case Colour::dim:
      code = "2";
      break;
    case Colour::green:
      code = "32";
      break;
    case Colour::yellow:
      code = "33";
      break;
    case Colour::red:
      code = "31";
      break;
  }
  return std::string("\x1b[") + code + "m" + std::string(text) + "\x1b[0m";
}

size_t display_width(std::string_view text) {
  size_t columns = 0;
  while (!text.empty()) {
    const CodePoint point = first_of(text);
    columns += columns_of(point.value);
    text.remove_prefix(point.bytes);
  }
  return columns;
}

std::string fit(std::string_view text, size_t columns) {
  if (display_width(text) <= columns) return std::string(text);
  if (columns == 0) return {};
  size_t used = 0;
  size_t bytes = 0;
  while (bytes < text.size()) {
    const CodePoint point = first_of(text.substr(bytes));
    if (used + columns_of(point.value) > columns - 1) break;
    used += columns_of(point.value);
    bytes += point.bytes;
  }
  return std::string(text.substr(0, bytes)) + "~";
}

void Table::add(std::vector<Field> fields) {
  PENSTOCK_ASSERT(fields.size() <= columns_.size());
  while (fields.size() < columns_.size()) fields.emplace_back("");
  rows_.push_back(std::move(fields));
}

std::string Table::line(const std::vector<Field>& fields, const std::vector<size_t>& widths,
                        const Paint& paint, size_t columns_max) const {
  std::string out;
  size_t used = 0;
  size_t owed = 0;  // spaces that are written only when something follows them
  for (size_t i = 0; i < fields.size(); ++i) {
    const std::string_view text = fields[i].text;
    const size_t pad = widths[i] - display_width(text);
    const size_t before = owed + (columns_[i].align == Align::right ? pad : 0);
    owed = (columns_[i].align == Align::right ? 0 : pad) + 2;
    if (text.empty()) {
      owed += before;
      continue;
    }
    if (columns_max != 0 && used + before >= columns_max) break;
    out.append(before, ' ');
    used += before;
    const std::string shown = columns_max == 0 ? std::string(text) : fit(text, columns_max - used);
    used += display_width(shown);
    out += paint(fields[i].colour, shown);
  }
  return out + "\n";
}

std::string Table::render(const Paint& paint, size_t columns_max) const {
  std::vector<size_t> widths;
  std::vector<Field> headings;
  for (const Column& column : columns_) {
    widths.push_back(display_width(column.heading));
    headings.emplace_back(column.heading, Colour::bold);
  }
  for (const std::vector<Field>& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], display_width(row[i].text));
    }
  }
  std::string out = line(headings, widths, paint, columns_max);
  for (const std::vector<Field>& row : rows_) out += line(row, widths, paint, columns_max);
  return out;
}

void Facts::add(std::string key, std::string value, Colour colour) {
  facts_.push_back({std::move(key), std::move(value), colour});
}

std::string Facts::render(const Paint& paint) const {
  size_t width = 0;
  for (const Fact& fact : facts_) width = std::max(width, display_width(fact.key));
  std::string out;
  for (const Fact& fact : facts_) {
    out += paint(Colour::bold, fact.key);
    if (!fact.value.empty()) {
      out.append(width - display_width(fact.key) + 2, ' ');
      out += paint(fact.colour, fact.value);
    }
    out += '\n';
  }
  return out;
}

}  // namespace penstock::controlplane::cli
