"""`python -m tests.bench [--only NAME] [--strict]`: figures as JSON lines, and BENCHMARKS.md anew."""

import argparse
import asyncio
import sys
import time

from tests.bench import catalogue
from tests.bench.figures import PAGE, Figure, rewrite


def main() -> int:
    """Run the asked benchmarks. Exit code 2 for a name that does not exist, 1 for a missed goal if strict."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--only", metavar="NAME", help="measure this figure only")
    parser.add_argument("--strict", action="store_true", help="fail if a goal is missed")
    given = parser.parse_args()
    only, missed = given.only, False
    if only is not None and only not in catalogue.NAMES:
        print(f"no figure called {only}; there are {', '.join(catalogue.NAMES)}", file=sys.stderr)
        return 2
    for bench in catalogue.BENCHES:
        if only is not None and only not in bench.figures:
            continue
        begun = time.monotonic()
        print(
            f"measuring {', '.join(bench.figures)} (about {bench.minutes:g} min)", file=sys.stderr, flush=True
        )
        measured: list[Figure] = asyncio.run(bench.measure())
        wanted = [figure for figure in measured if only in {None, figure.measure}]
        for figure in wanted:
            print(figure.line(), flush=True)
            missed |= not figure.met()
        rewrite(PAGE, measured, catalogue.NAMES, catalogue.DESCRIPTIONS)
        print(f"took {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    return int(given.strict and missed)


if __name__ == "__main__":
    sys.exit(main())
