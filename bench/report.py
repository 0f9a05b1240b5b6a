"""What was found, as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.decisions import AIM_DECISION
from bench.rounds import Findings
from bench.samples import Series
from bench.signed import DESCRIBE_KEY, GENERATE_DATA_KEY
from bench.versions import AIM_VERSIONS, VERSIONS

AIM_RATIO: Final = 0.12
AIM_DESCRIBE_KEY: Final = 2.0


def show(findings: Findings) -> None:
    """Print the table and the aims."""
    console = Console(width=120)
    table = Table(title="medians over rounds; one thread of the token, one worker on one core")
    table.add_column("measurement")
    headings = ("conns", "calls/s", "p50 us", "p99 us", "CPU us", "ratio", "CPU ratio", "generator busy")
    for heading in headings:
        table.add_column(heading, justify="right")
    for series in findings.series:
        table.add_row(*_cells(series), end_section=_ends_section(findings, series))
    console.print(table)
    console.print("ratio: rate beside the token's own C_Encrypt rate just before and after (b/a).")
    console.print("CPU ratio: the token's CPU time for one C_Encrypt beside the worker's for one call.")
    console.print(_decision_table(findings))
    found = findings.versions
    console.print(
        f"a key with {VERSIONS} versions: Decrypt in process, oldest {found.oldest_us:.0f} us, newest "
        f"{found.newest_us:.0f} us; a connection to the token takes {found.start_ratio:.2f} times as long "
        "as with one version"
    )
    console.print(f"peak memory of the worker: {findings.peak_memory_bytes / 2**20:.0f} MiB")
    for line in aims(findings):
        console.print(line)


def _decision_table(findings: Findings) -> Table:
    table = Table(title="decisions in process; ratio: beside the default policy's in the same round")
    table.add_column("key")
    table.add_column("us", justify="right")
    table.add_column("ratio", justify="right")
    for case in findings.decisions:
        table.add_row(case.name, f"{case.us:.1f}", f"{case.ratio:.2f}")
    return table


def _cells(series: Series) -> list[str]:
    over_http = series.connections is not None
    return [
        series.name,
        str(series.connections) if over_http else "",
        f"{series.middle('per_second'):,.0f}",
        f"{series.middle('p50_us'):,.0f}",
        f"{series.middle('p99_us'):,.0f}",
        f"{series.middle('cpu_us'):,.1f}",
        f"{series.ratio:.3f}",
        f"{series.cpu_ratio:.3f}",
        f"{series.middle('generator_busy'):.0%}" if over_http else "",
    ]


def _ends_section(findings: Findings, series: Series) -> bool:
    following = findings.series[findings.series.index(series) + 1 :]
    return not following or following[0].connections != series.connections


def aims(findings: Findings) -> list[str]:
    """The aims, and whether they are met, each at the number of connections where it is nearest."""
    data_key = [s for s in findings.series if s.name == GENERATE_DATA_KEY.name]
    describe = {s.connections: s for s in findings.series if s.name == DESCRIBE_KEY.name}
    best = max(data_key, key=lambda s: s.ratio)
    beside = {s.connections: _rate_beside(describe[s.connections], s) for s in data_key}
    costliest = max(findings.decisions, key=lambda case: case.ratio)
    connections = max(beside, key=lambda count: beside[count])
    return [
        _aim(
            f"GenerateDataKey ratio b/a, {best.connections} connections (CPU ratio {best.cpu_ratio:.3f})",
            best.ratio,
            AIM_RATIO,
        ),
        _aim(
            f"DescribeKey beside GenerateDataKey, {connections} connections",
            beside[connections],
            AIM_DESCRIBE_KEY,
        ),
        _aim_at_most(
            f"costliest decision beside the default policy's ({costliest.name})",
            costliest.ratio,
            AIM_DECISION,
        ),
        _aim_at_most(
            f"Decrypt of the oldest of {VERSIONS} versions beside the newest",
            findings.versions.ratio,
            AIM_VERSIONS,
        ),
    ]


def _rate_beside(series: Series, other: Series) -> float:
    return series.ratio / other.ratio


def _aim(what: str, value: float, aim: float) -> str:
    return f"aim {'met    ' if value >= aim else 'NOT MET'}: {what}: {value:.3f}, at least {aim}"


def _aim_at_most(what: str, value: float, aim: float) -> str:
    return f"aim {'met    ' if value <= aim else 'NOT MET'}: {what}: {value:.3f}, at most {aim}"


def write(findings: Findings, path: Path) -> None:
    """Write every sample of every round."""
    document = {
        "version": 1,
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "system": platform.platform(),
            "python": platform.python_version(),
            "compiler": platform.python_compiler(),
        },
        "peak_memory_bytes": findings.peak_memory_bytes,
        "aims": aims(findings),
        "versions": asdict(findings.versions),
        "decisions": [asdict(case) for case in findings.decisions],
        "series": [
            {
                "name": series.name,
                "connections": series.connections,
                "ratio": series.ratio,
                "cpu_ratio": series.cpu_ratio,
                "rounds": [asdict(paired) for paired in series.rounds],
            }
            for series in findings.series
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
