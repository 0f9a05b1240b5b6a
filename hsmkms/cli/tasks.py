"""``hsmkms tasks``: list, approve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Final

import typer

from hsmkms.cli.failures import reported_failures
from hsmkms.cli.options import AsJson, ConfigFile, OfRegion, migrated_settings, regions_of
from hsmkms.cli.output import ExitCode, console, fail, print_json
from hsmkms.config import Settings
from hsmkms.formats.material_id import key_material_id
from hsmkms.model.keys import Key
from hsmkms.model.names import Region, key_arn
from hsmkms.wiring.clock_standing import ClockStanding, approve_clock, clock_standing, time_members
from hsmkms.wiring.tasks import Dated, RegionTasks, region_tasks

app = typer.Typer(
    help="What is due and under way in each region. Needs neither PIN nor token.", no_args_is_help=True
)

_SHOWN: Final = 20
_KINDS: Final[Mapping[str, str]] = {
    "deletions": "keys to be deleted",
    "expiries": "key materials that expire",
    "rotations": "keys that rotate by their calendar",
    "worn": "keys that rotate because they have encrypted as often as is wise",
    "unfinished": "versions under way, or cut short",
    "condemned": "objects of deleted keys that the token has still to lose",
    "expired_import_pairs": "import pairs whose time is over",
}
Shown = Annotated[int, typer.Option("--limit", min=1, help="How many of each kind to show.", metavar="N")]


@app.command("list")
def list_(
    config: ConfigFile, region: OfRegion = None, limit: Shown = _SHOWN, as_json: AsJson = False
) -> None:
    """List what is due and under way, the soonest first, and how the clock stands."""
    with reported_failures():
        settings = migrated_settings(config)
        found = [region_tasks(settings, one) for one in regions_of(settings, region)]
    if as_json:
        print_json({"regions": {tasks.region: _members(tasks, limit) for tasks in found}})
        return
    for tasks in found:
        _print_tasks(tasks, limit)


@app.command("approve")
def approve(
    config: ConfigFile,
    region: OfRegion = None,
    is_sure: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say that the machine's clock is right, so that what is held by its date goes on. Not to be undone.

    Due work is held where the clock was found more than an hour ahead of the time that was observed. Once it
    is approved, deletions and expiries that are due by the clock are done at once. Ends with 1 when nothing
    is held.
    """
    with reported_failures():
        settings = migrated_settings(config)
        regions = regions_of(settings, region)
        held = {one: standing for one in regions if (standing := clock_standing(settings, one)).is_held}
    if not held:
        fail(f"nothing is held in {', '.join(regions)}", ExitCode.FAILED)
    if as_json and not is_sure:
        fail("--json asks nothing: give --yes too", ExitCode.USAGE)
    if not is_sure:
        _ask(settings, held)
    with reported_failures():
        approved = [one for one, standing in held.items() if approve_clock(settings, one, standing)]
    if as_json:
        print_json({"approved": {one: time_members(held[one]) for one in approved}})
        return
    for one in approved:
        console.print(f"region {one}: {_second(held[one].clock)} is trusted; due work goes on.", markup=False)


def _ask(settings: Settings, held: Mapping[Region, ClockStanding]) -> None:
    with reported_failures():
        tasks = [region_tasks(settings, region) for region in held]
    for one in tasks:
        standing = held[one.region]
        console.print(
            f"region {one.region}: the machine's clock says {_second(standing.clock)}, "
            f"{_duration(standing.lag)} ahead of the time that was observed ({_second(standing.trusted)}).",
            markup=False,
        )
        waiting = [
            (len([dated for dated in dateds if standing.is_waiting(dated.at)]), what)
            for what, dateds in (
                ("keys to be deleted for good", one.deletions),
                ("key materials to be deleted", one.expiries),
                ("keys to be rotated", one.rotations),
            )
        ]
        named = ", ".join(f"{count} {what}" for count, what in waiting)
        console.print(f"  Due at once if that is right: {named}.", markup=False)
    typer.confirm("Is the clock right?", abort=True)


# --- what is shown ---------------------------------------------------------------------------------------


def _members(tasks: RegionTasks, limit: int) -> dict[str, object]:
    kinds = {
        name: {"count": len(entries), "first": entries[:limit]} for name, entries in _entries(tasks).items()
    }
    others = {"resting_rotations": tasks.resting, "tombstones": len(tasks.tombstones)}
    return {"time": time_members(tasks.time), **kinds, **others}


def _entries(tasks: RegionTasks) -> dict[str, list[dict[str, str]]]:
    """Everything by its kind, in the order of ``_KINDS``."""
    return {
        "deletions": [_dated_members(tasks, dated) for dated in tasks.deletions],
        "expiries": [_dated_members(tasks, dated) for dated in tasks.expiries],
        "rotations": [_dated_members(tasks, dated) for dated in tasks.rotations],
        "worn": [{"key_arn": _arn(tasks, key)} for key in tasks.worn],
        "unfinished": [
            {
                "since": _second(version.changed_at),
                "key_id": version.key_id,
                "material_id": version.material_id.hex(),
                "state": version.state.value,
            }
            for version in tasks.unfinished
        ],
        "condemned": [
            {
                "since": _second(condemned.since),
                "key_id": condemned.key_id,
                "material_id": condemned.material_id.hex(),
            }
            for condemned in tasks.condemned
        ],
        "expired_import_pairs": [
            {"at": _second(pair.expires_at), "key_id": pair.key_id, "pair_id": pair.pair_id.hex()}
            for pair in tasks.expired_pairs
        ],
    }


def _dated_members(tasks: RegionTasks, dated: Dated) -> dict[str, str]:
    members = {"at": _second(dated.at), "standing": _standing(tasks.time, dated.at)}
    members["key_arn"] = _arn(tasks, dated.key)
    if dated.version is not None:
        members["key_material_id"] = key_material_id(dated.key.key_id, dated.version.material_id)
    return members


def _standing(time: ClockStanding, moment: datetime) -> str:
    if time.is_due(moment):
        return "due"
    return "held" if time.is_waiting(moment) else "to come"


def _print_tasks(tasks: RegionTasks, limit: int) -> None:
    console.print(f"[bold]region {tasks.region}[/]")
    for line in _time_lines(tasks.time):
        console.print(line, markup=False)
    for name, entries in _entries(tasks).items():
        if not entries:
            continue
        console.print(f"{len(entries)} {_KINDS[name]}:", markup=False)
        for entry in entries[:limit]:
            console.print(f"  {'  '.join(entry.values())}", markup=False)
        if len(entries) > limit:
            console.print(f"  and {len(entries) - limit} more", markup=False)
    if tasks.resting:
        console.print(f"{tasks.resting} keys have a calendar and rest, because they are disabled or going.")
    console.print(_tombstones_line(tasks))


def _time_lines(time: ClockStanding) -> Iterator[str]:
    looked = "no worker has looked yet" if time.looked_at is None else f"looked at {_second(time.looked_at)}"
    yield f"clock {_second(time.clock)}, observed time {_second(time.trusted)} ({looked})"
    if time.held_since is not None and time.grace_ends is not None:
        ahead = f"the clock is {_duration(time.lag)} ahead, and dates count by the observed time"
        yield f"HELD since {_second(time.held_since)}: {ahead}."
        yield f"If the clock goes steadily it is trusted from {_second(time.grace_ends)} on."
        yield "If it is right, run `hsmkms tasks approve`; else set it right."
    elif time.will_be_held:
        yield f"The clock is {_duration(time.lag)} ahead: the next worker that looks will hold due work."


def _tombstones_line(tasks: RegionTasks) -> str:
    gone = sum(tombstone.destroyed_at is not None for tombstone in tasks.tombstones)
    return f"{len(tasks.tombstones)} keys were deleted, {gone} of them gone from the token too."


def _arn(tasks: RegionTasks, key: Key) -> str:
    return key_arn(tasks.region, key.account, key.key_id)


def _second(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _duration(lag: timedelta) -> str:
    return str(timedelta(seconds=round(lag.total_seconds())))
