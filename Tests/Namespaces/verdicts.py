"""Runs tests one after the other, each in a process group of its own with a hard time limit."""

import os
import select
import signal
import sys
import time
import traceback
from typing import Callable, NamedTuple


class Failed(Exception):
    """The program does not do what its contract says."""


class Skipped(Exception):
    """This machine or this build cannot run the test."""


class Case(NamedTuple):
    name: str
    seconds: float
    body: Callable


CASES: list[Case] = []


def case(name: str, seconds: float = 20):
    """Registers a test; it gets a `Lab` and ends by returning, `Failed` or `Skipped`."""

    def register(body):
        CASES.append(Case(name, seconds, body))
        return body

    return register


def expect(truth, message: str):
    if not truth:
        raise Failed(message)


def expect_equal(got, wanted, what: str):
    if got != wanted:
        raise Failed(f"{what}: got {got!r}, expected {wanted!r}")


def run_all(make_lab, patterns: list[str], label: str = "namespaces") -> int:
    """Prints a line per test and the sum; returns the exit code."""
    # Told to end, it still ends the test that runs.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    counts = {"ok": 0, "FAIL": 0, "skip": 0}
    for number, test in enumerate(CASES):
        if patterns and not any(pattern in test.name for pattern in patterns):
            continue
        start = time.monotonic()
        verdict, detail = _run_alone(test, lambda: make_lab(number))
        counts[verdict] += 1
        took = f"({time.monotonic() - start:.1f} s)"
        first, _, rest = detail.partition("\n")
        print(f"{verdict:4} {test.name} {took}" + (f": {first}" if first else ""))
        for line in rest.splitlines():
            print(f"       {line}")
        sys.stdout.flush()
    print(f"{label}: {counts['ok']} passed, {counts['FAIL']} failed, {counts['skip']} skipped")
    return 1 if counts["FAIL"] else 0


def _run_alone(test: Case, make_lab) -> tuple[str, str]:
    """Forks, so that neither a hanging thread nor a program left behind outlives its test."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        verdict = _judge(test, make_lab)
        os.write(writer, "\n".join(verdict).encode()[:60_000])
        os._exit(0)
    os.close(writer)
    try:
        text = _read_until(reader, time.monotonic() + test.seconds)
    finally:
        os.close(reader)
        try:
            os.killpg(child, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if text is None:
        return "FAIL", f"not done after {test.seconds:g} s"
    if not text:
        return "FAIL", "the test process ended without a verdict"
    verdict, _, detail = text.partition("\n")
    return verdict, detail


def _read_until(descriptor: int, deadline: float) -> str | None:
    """Everything up to the end of file, or `None` when time is up."""
    parts = []
    while (left := deadline - time.monotonic()) > 0:
        if select.select([descriptor], [], [], left)[0]:
            part = os.read(descriptor, 65_536)
            if not part:
                return b"".join(parts).decode(errors="replace")
            parts.append(part)
    return None


def _judge(test: Case, make_lab) -> tuple[str, str]:
    lab = None
    try:
        lab = make_lab()
        # A little before the hard limit, so that the logs can still be told.
        signal.signal(signal.SIGALRM, _out_of_time)
        signal.setitimer(signal.ITIMER_REAL, test.seconds - 1)
        test.body(lab)
        lab.expect_no_crash()
        return "ok", ""
    except Skipped as why:
        return "skip", str(why)
    except Failed as why:
        detail = str(why)
    except BaseException as error:  # Whatever it is, it is this test's failure.
        where = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in where if "Tests/" in frame.filename] or where
        places = " < ".join(f"{os.path.basename(f.filename)}:{f.lineno}" for f in ours[::-1])
        detail = f"{type(error).__name__}: {error} at {places}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if lab:
            lab.close()
    return "FAIL", detail + (lab.describe() if lab else "")


def _out_of_time(signum, frame):
    raise Failed("out of time")
