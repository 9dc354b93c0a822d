#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::controlplane::cli {

enum class Colour : uint8_t { plain, bold, dim, green, yellow, red };

/// Escape sequences, or none of them: decided once, from the terminal.
class Paint {
 public:
  explicit Paint(bool enabled) : enabled_(enabled) {}
  [[nodiscard]] std::string operator()(Colour colour, std::string_view text) const;
  [[nodiscard]] bool enabled() const { return enabled_; }

 private:
  bool enabled_;
};

/// Columns on a screen: code points, with those that combine or are zero-width counted as none and
/// East Asian wide ones as two. Broken UTF-8 counts each byte.
[[nodiscard]] size_t display_width(std::string_view text);
/// The longest start of `text` that fits, with "~" as its last column when something was cut.
[[nodiscard]] std::string fit(std::string_view text, size_t columns);

enum class Align : uint8_t { left, right };

/// Aligned columns, two spaces apart; the heading is bold and nothing trails a line.
class Table {
 public:
  struct Column {
    std::string heading;
    Align align = Align::left;
  };
  struct Field {
    Field(std::string field_text,
          Colour field_colour = Colour::plain)  // NOLINT: a row reads as a list of texts
        : text(std::move(field_text)), colour(field_colour) {}
    Field(const char* field_text) : text(field_text) {}  // NOLINT
    std::string text;
    Colour colour = Colour::plain;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// Missing fields are empty; more than there are columns is a bug of ours.
  void add(std::vector<Field> fields);
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  /// `columns_max` 0: as wide as it gets. Otherwise lines are cut there.
  [[nodiscard]] std::string render(const Paint& paint, size_t columns_max = 0) const;

 private:
  [[nodiscard]] std::string line(const std::vector<Field>& fields,
                                 const std::vector<size_t>& widths, const Paint& paint,
                                 size_t columns_max) const;

  std::vector<Column> columns_;
  std::vector<std::vector<Field>> rows_;
};

/// "key   value" lines, keys in one column.
class Facts {
 public:
  void add(std::string key, std::string value, Colour colour = Colour::plain);
  [[nodiscard]] std::string render(const Paint& paint) const;

 private:
  struct Fact {
    std::string key;
    std::string value;
    Colour colour;
  };
  std::vector<Fact> facts_;
};

}  // namespace penstock::controlplane::cli
