"""``python -m bench``: measure, print one table, and keep every sample as JSON."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench import report, rounds, stages
from bench.load import LoadError

_RESULTS: Final = Path(__file__).with_name("results")


def main() -> int:
    """Run the bench; 1 when it cannot be trusted."""
    arguments = _parse()
    if arguments.profile:
        stages.profile(arguments.requests)
        return 0
    count, seconds = (1, 0.5) if arguments.quick else (arguments.rounds, arguments.seconds)
    try:
        findings = rounds.run(count, seconds, lambda text: print(text, file=sys.stderr, flush=True))
    except LoadError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    report.show(findings)
    path = arguments.json or _RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    report.write(findings, path)
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--seconds", type=float, default=2.0, metavar="S", help="of each measurement")
    parser.add_argument("--quick", action="store_true", help="one round of half a second each")
    parser.add_argument("--json", type=Path, metavar="FILE", help="instead of a new file in bench/results")
    parser.add_argument(
        "--profile", action="store_true", help="instead: what each stage of a call costs, in process"
    )
    parser.add_argument("--requests", type=int, default=2000, metavar="N", help="of --profile")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
