"""Runs all tests in their order; see run.sh, which makes the namespaces."""

import argparse
import importlib
import sys

from lab import Lab
from verdicts import run_all

# Importing a module registers its tests.
MODULES = """
    tproxy claims draining unprivileged
    streams datagrams hostile refusals quotas outages failover paths origin
    field_claims field_places field_names field_servers field_streams field_acceptance
    field_senders field_ranges field_files containers
    proxies transparency operation gates captures crowds upheavals
"""
for name in MODULES.split():
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
    )


if __name__ == "__main__":
    sys.exit(main())
