"""Holds branch coverage to its floors: 100 % in the pure packages, elsewhere what is written here.

Run after ``pytest --cov`` by ``make coverage``. Raise FLOOR_ELSEWHERE when coverage has risen.
"""

from __future__ import annotations

import sys
from typing import Final

import coverage

PURE: Final = ("errors", "model", "formats", "policy", "authn", "ports")
FLOOR_ELSEWHERE: Final = 85.0


def main() -> int:
    """Print the report of what is below its floor; 0 when nothing is."""
    data = coverage.Coverage()
    # What pytest-cov has put together, and the files of processes that ended after it, if there are any.
    data.load()
    data.combine()
    data.save()
    total = data.report(show_missing=True, skip_covered=True)
    pure = data.report(
        include=[f"hsmkms/{name}/*" for name in PURE] + ["hsmkms/errors.py"], show_missing=True
    )
    if pure < 100:
        print(f"the pure floors are covered to {pure:.1f} %, not 100 %", file=sys.stderr)
        return 1
    if total < FLOOR_ELSEWHERE:
        print(f"coverage is {total:.1f} %, below its floor of {FLOOR_ELSEWHERE} %", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
