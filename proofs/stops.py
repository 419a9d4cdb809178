"""Proves that a system ends in time and leaves nothing, however and whenever it is stopped.

``python proofs/stops.py [--cases 200] [--seed 0] [--backend asyncio|trio]`` draws so many cases a backend, one
from each seed, and exits with 1 if one did not hold. ``--only SEED`` repeats one.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter
from collections.abc import Sequence

from proofs._stops_case import Case, draw, run_case

__all__ = ["main"]

BACKENDS = ("asyncio", "trio")


def main(argv: Sequence[str] = ()) -> int:
    """Run the cases; 0 if all held."""
    options = _options(argv)
    seeds = range(options.seed, options.seed + options.cases) if options.only is None else [options.only]
    backends = [options.backend] if options.backend else list(BACKENDS)
    logging.getLogger("headrace").addHandler(logging.NullHandler())  # failures are what some cases are about
    began = time.monotonic()
    kept: Counter[str] = Counter()
    failed: list[Case] = []
    for backend in backends:
        for seed in seeds:
            case = draw(seed, backend)
            if not _is_kept(case):
                failed.append(case)
            kept[f"{case.how} in {case.moment}"] += 1
    _sum_up(kept, failed, time.monotonic() - began)
    return 1 if failed else 0


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "prove stops", description="Stop a system in every way and at every moment."
    )
    parser.add_argument("--cases", type=int, default=200, help="how many a backend (200)")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--only", type=int, metavar="SEED", help="run the case of this seed alone")
    parser.add_argument("--backend", choices=BACKENDS, help="this event loop alone")
    return parser.parse_args(list(argv))


def _is_kept(case: Case) -> bool:
    began = time.monotonic()
    wrong = run_case(case)
    took = time.monotonic() - began
    print(f"{case.backend:7} {case.seed:>4} {took:5.1f} s  {'NOT' if wrong else 'ok ':3}  {case}", flush=True)
    for line in wrong:
        print(f"             {line}", flush=True)
    if wrong:
        print(f"             again: {_again(case)}", flush=True)
    return not wrong


def _again(case: Case) -> str:
    return f"python3 bootstrap.py prove stops --backend {case.backend} --only {case.seed}"


def _sum_up(kept: Counter[str], failed: Sequence[Case], seconds: float) -> None:
    number = sum(kept.values())
    print()
    for what, count in sorted(kept.items()):
        print(f"{count:>5}  {what}")
    print(
        f"{number - len(failed)} of {number} stops ended within their deadlines and left nothing, {seconds:.0f} s"
    )
    print("held" if not failed else "NOT held")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
