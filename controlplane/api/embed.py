"""Turns a text file into a C++ source with one function that returns it: embed.py INPUT OUTPUT FUNCTION."""
import sys

source, target, function = sys.argv[1:4]
with open(source, encoding="utf-8") as file:
    text = file.read()
# A literal may hold 64 KiB by the standard's least; adjacent ones are joined by the compiler.
pieces = [text[at : at + 4000] for at in range(0, len(text), 4000)]
literals = "\n".join(f'    R"embed({piece})embed"' for piece in pieces)
namespace, _, name = function.rpartition("::")
with open(target, "w", encoding="utf-8") as file:
    file.write(
        "#include <string_view>\n"
        f"namespace {namespace} {{\n"
        f"std::string_view {name}();\n"
        f"std::string_view {name}() {{\n  return\n{literals};\n}}\n}}\n"
    )
