"""Runs all attacks in their order; see run.sh."""

import argparse
import importlib
import os
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../Namespaces"))

from lab import Lab  # noqa: E402
from verdicts import run_all  # noqa: E402

# Importing a module registers its cases.
for name in "contents addresses places memory work handshakes servers".split():
    importlib.import_module(name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--scratch", required=True)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("patterns", nargs="*")
    options = parser.parse_args()
    return run_all(
        lambda number: Lab(options.bin, f"{options.scratch}/{number}", options.prefix),
        options.patterns,
        "attacks",
    )


if __name__ == "__main__":
    sys.exit(main())
