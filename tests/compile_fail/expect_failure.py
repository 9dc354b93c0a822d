#!/usr/bin/python3
"""Compiles a file twice: as it is, which must work, and with -DMISUSE, which must fail with what its EXPECT line says.
The first proves that the second fails for its reason and not for a missing header.

usage: expect_failure.py FILE -- COMPILER ARGUMENTS...
"""
import re
import subprocess
import sys


def compiled(command, path, *more):
    done = subprocess.run([*command, *more, "-fsyntax-only", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    return done.returncode == 0, done.stdout


def main():
    path, dashes, *command = sys.argv[1:]
    if dashes != "--":
        sys.exit(__doc__)
    with open(path, encoding="utf-8") as file:
        expected = re.search(r"^// EXPECT: (.+)$", file.read(), re.M)
    if expected is None:
        sys.exit(f"{path}: no EXPECT line")
    works, said = compiled(command, path)
    if not works:
        sys.exit(f"{path}: does not compile without the misuse:\n{said}")
    works, said = compiled(command, path, "-DMISUSE")
    if works:
        sys.exit(f"{path}: the misuse compiles")
    if not re.search(expected.group(1), said):
        sys.exit(f"{path}: fails, but not with /{expected.group(1)}/:\n{said}")


main()
