#!/usr/bin/env python3
"""Runs `testkit kcp-peer` against another implementation and says `ok` or what went wrong.

    kcp_pair.py TESTKIT 'OTHER PEER COMMAND' [name=number ...]

Options go to both; `ours.name=number` and `theirs.name=number` go to one of them.
"""
import subprocess
import sys


def options_for(side):
    for option in sys.argv[3:]:
        if option.startswith(side + "."):
            yield option[len(side) + 1:]
        elif "." not in option:
            yield option


def main():
    ours = subprocess.Popen(
        [sys.argv[1], "kcp-peer", *options_for("ours")], stdout=subprocess.PIPE, text=True)
    port = ours.stdout.readline().strip()
    theirs = subprocess.Popen(
        [*sys.argv[2].split(), port, *options_for("theirs")], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True)
    try:
        our_verdict = ours.communicate(timeout=30)[0].strip()
        their_verdict = theirs.communicate(input="", timeout=10)[0].strip()
    except subprocess.TimeoutExpired:
        our_verdict = their_verdict = "no answer"
    finally:
        for process in (ours, theirs):
            if process.poll() is None:
                process.kill()
                process.wait()
    if our_verdict == "ok" and their_verdict == "ok":
        print("ok")
        return 0
    print(f"ours: {our_verdict or 'no verdict'}; theirs: {their_verdict or 'no verdict'}")
    return 1


sys.exit(main())
