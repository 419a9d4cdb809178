"""The flights demo with all that watches a system switched off, as a command with BLUEPRINT and BACKEND.

It ends with the report as ``headrace run --format json`` does.
"""

from __future__ import annotations

import sys

from headrace.cli.report_json import report_json
from headrace.cli.target import load_target
from headrace.model.options import Watching


def main(blueprint: str, backend: str) -> None:
    """Run the demo, and print its report."""
    harness = load_target(blueprint).harness
    harness.watching = Watching(stall_after=0, blocked_after=0)
    print(report_json(harness.run_blocking(backend=backend), 0))


if __name__ == "__main__":
    main(*sys.argv[1:])
