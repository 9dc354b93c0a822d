"""Turns a text file into a C++ source with one function that returns it: embed.py INPUT OUTPUT FUNCTION."""
import sys

source, target, function = sys.argv[1:4]
with open(source, "rb") as file:
    data = file.read()
# An array and not a literal: compilers need not take more than 64 KiB of one, also when it is in pieces.
rows = [data[at : at + 24] for at in range(0, len(data), 24)]
numbers = ",\n    ".join(", ".join(str(byte if byte < 128 else byte - 256) for byte in row) for row in rows)
namespace, _, name = function.rpartition("::")
with open(target, "w", encoding="utf-8") as file:
    file.write(
        "#include <string_view>\n"
        f"namespace {namespace} {{\n"
        f"static constexpr char bytes[] = {{\n    {numbers}}};\n"
        f"std::string_view {name}();\n"
        f"std::string_view {name}() {{ return {{bytes, sizeof bytes}}; }}\n}}\n"
    )
