#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::config {

/// Single letters to insert, remove or change to make one text of the other; case counts for
/// nothing, and "-" is "_".
[[nodiscard]] inline size_t edits_between(std::string_view left, std::string_view right) {
  const auto plain = [](char c) {
    if (c >= 'A' && c <= 'Z') return static_cast<char>(c | 0x20);
    return c == '-' ? '_' : c;
  };
  std::vector<size_t> row(right.size() + 1);
  for (size_t i = 0; i < row.size(); ++i) row[i] = i;
  for (size_t l = 0; l < left.size(); ++l) {
    size_t diagonal = row[0];
    row[0] = l + 1;
    for (size_t r = 0; r < right.size(); ++r) {
      const size_t changed = diagonal + (plain(left[l]) == plain(right[r]) ? 0 : 1);
      diagonal = row[r + 1];
      row[r + 1] = std::min({changed, row[r] + 1, row[r + 1] + 1});
    }
  }
  return row.back();
}

/// The one of `words` that was probably meant; empty when none is near.
[[nodiscard]] inline std::string_view closest(std::string_view text,
                                              const std::vector<std::string_view>& words) {
  std::string_view best;
  // A third of its letters may be wrong; a name typed by a person is not longer than 64.
  if (text.size() > 64) return best;
  size_t best_edits = std::max<size_t>(2, text.size() / 3) + 1;
  for (const std::string_view word : words) {
    const size_t edits = edits_between(text, word);
    if (edits < best_edits && edits < word.size()) {
      best_edits = edits;
      best = word;
    }
  }
  if (!best.empty() || text.size() < 3) return best;
  // Shortened or with something added: "warn" for "warning".
  for (const std::string_view word : words) {
    if (word.find(text) != std::string_view::npos || text.find(word) != std::string_view::npos) {
      return word;
    }
  }
  return best;
}

}  // namespace penstock::config
