"""kill -9 before and after every write of every verb that makes or destroys key material.

After a restart everything that was answered is there; after a while nothing is half there, and the verb can
be done again. The points are not listed: a verb is killed at its first write, at its second, and so on, until
it gets through.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

import pytest

from hsmkms.testing.token import make_softhsm_token
from tests.acceptance.deployments import Deployment
from tests.acceptance.killed_verbs import VERBS
from tests.acceptance.lives import REGION

_MANY: Final = 40  # more writes than any verb has


@dataclass
class Life:
    """What a life said of itself.

    Attributes:
        died: where it was killed by its own hand; None when it got through.
        survived: all writes of the verb, when it got through.
        own_objects: how many of the token's objects are no version's.
        turns: how often it served.
        epoch: the number that the token has heard of.
        failed: the traceback of what was not as it should be.
        ended: its exit code.
    """

    facts: dict[str, str] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    died: str | None = None
    survived: list[str] | None = None
    own_objects: int = 0
    turns: int = 0
    epoch: int | None = None
    failed: str | None = None
    ended: int | None = None


class Nursery:
    """A process that forks lives; they cost no start of an interpreter."""

    def __init__(self, log: Path) -> None:
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.acceptance.killing"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=Path(__file__).parents[2],
            )

    def live(self, job: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """One life, told as it goes."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(job) + "\n")
        stdin.flush()
        for line in stdout:
            event: dict[str, Any] = json.loads(line)
            yield event
            if "ended" in event:
                return
        raise AssertionError("the nursery ended")

    def close(self) -> None:
        """No more lives."""
        self._process.communicate(timeout=30)
        assert self._process.returncode == 0


class Ground:
    """A deployment on which lives follow each other, each beginning at the time when the last one ended."""

    def __init__(self, deployment: Deployment, nursery: Nursery) -> None:
        self._deployment = deployment
        self._nursery = nursery
        self._offset = 0.0
        self._ciphertexts: list[list[str]] = []
        self._left: dict[str, Any] | None = None
        self._own_objects: int | None = None

    @classmethod
    def make(cls, directory: Path, nursery: Nursery) -> Self:
        """A new one; how many objects a token holds besides those of keys is counted at once."""
        deployment = Deployment(directory)
        deployment.add_region(REGION, make_softhsm_token(directory / "softhsm", "killed"))
        deployment.init()
        ground = cls(deployment, nursery)
        ground._own_objects = ground.live().own_objects
        return ground

    def copy(self, directory: Path, nursery: Nursery) -> Self:
        """Another one, which stands where this one does."""
        before, conf = self._deployment.directory, directory / "softhsm" / "softhsm2.conf"
        shutil.copytree(before, directory)
        conf.write_text(conf.read_text().replace(str(before), str(directory)))
        deployment = replace(self._deployment, directory=directory)
        settings = self._deployment.regions[REGION]
        deployment.regions = {
            REGION: settings
            | {"environment": {"SOFTHSM2_CONF": str(conf)}, "pin_file": str(directory / f"{REGION}.pin")}
        }
        deployment.write()
        ground = type(self)(deployment, nursery)
        ground._offset, ground._ciphertexts = self._offset, list(self._ciphertexts)
        ground._own_objects = self._own_objects
        return ground

    def live(
        self,
        nursery: Nursery | None = None,
        meanwhile: Callable[[Life], None] | None = None,
        **job: Any,
    ) -> Life:
        """One life from its beginning to its end.

        Args:
            nursery: another than the ground's own, for a second life at the same time.
            meanwhile: what to do when the life has said what it is about.
        """
        life = Life()
        for event in (nursery or self._nursery).live(self._job(job)):
            self._note(life, event)
            if meanwhile is not None and "facts" in event:
                meanwhile(life)
        assert life.failed is None, life.failed
        was_killed = life.died is not None or life.survived is not None
        assert life.ended == (-signal.SIGKILL if was_killed else 0)
        if was_killed and "facts" not in job:
            self._left = {"verb": job["verb"], "facts": life.facts, "done": life.done}
        return life

    def data_objects(self) -> Sequence[Path]:
        """The files of the token's data objects: SoftHSM writes an object's class first, and in clear."""
        first_attribute = (0).to_bytes(8, "big") + (2).to_bytes(8, "big") + (0).to_bytes(8, "big")
        return [
            path
            for path in (self._deployment.directory / "softhsm").rglob("*.object")
            if path.name != "token.object" and path.read_bytes()[8:32] == first_attribute
        ]

    def _note(self, life: Life, event: Mapping[str, Any]) -> None:
        """Something was said; what was answered is kept for the next life."""
        for name, value in event.items():
            if name == "sealed":
                self._ciphertexts.append(value)
            elif name == "gone":
                self._ciphertexts = [sealed for sealed in self._ciphertexts if sealed[0] != value]
            elif name == "offset":
                self._offset = max(self._offset, value)
            elif name == "done":
                life.done.append(value)
            else:
                setattr(life, name, value)

    def _job(self, job: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a life has to know."""
        left, self._left = self._left, None
        return {
            "config": str(self._deployment.config),
            "softhsm": str(self._deployment.directory / "softhsm"),
            "own_objects": self._own_objects,
            "offset": self._offset,
            "ciphertexts": self._ciphertexts,
            **({} if left is None else {"left": left}),
            **job,
        }


@pytest.fixture(scope="module")
def nurseries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Nursery]]:
    """Two, so that two lives can be lived at a time."""
    directory = tmp_path_factory.mktemp("nurseries")
    both = [Nursery(directory / f"{number}.log") for number in range(2)]
    yield both
    for nursery in both:
        nursery.close()


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory, nurseries: list[Nursery]) -> Ground:
    """A ground to be copied: made once, it saves most of the time."""
    return Ground.make(tmp_path_factory.mktemp("pristine"), nurseries[0])


@pytest.fixture
def grounds(pristine: Ground, nurseries: list[Nursery], tmp_path: Path) -> list[Ground]:
    """Two of the test's own, with a nursery each."""
    return [pristine.copy(tmp_path / str(side), nursery) for side, nursery in enumerate(nurseries)]


def _kill_at_each(ground: Ground, verb: str, side: int) -> tuple[list[str], list[str]]:
    """Kill a verb before (or after) each of its writes; where that was, and all its writes."""
    deaths: list[str] = []
    for number in range(_MANY):
        life = ground.live(verb=verb, point=2 * number + side)
        if life.survived is not None:
            assert len(life.done) == VERBS[verb].done
            ground.live()  # looks at what the last one left
            return deaths, life.survived
        assert life.died is not None
        deaths.append(life.died)
    raise AssertionError(f"{verb} writes without an end")


@pytest.mark.parametrize("verb", VERBS)
def test_killed_at_every_write(grounds: list[Ground], verb: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(lambda side: _kill_at_each(grounds[side], verb, side), range(2)))
    for when, (deaths, writes) in zip(("before", "after"), told, strict=True):
        assert deaths == [f"{when} {write}" for write in writes]
        assert _is_in_order(VERBS[verb].writes, writes), writes


@pytest.mark.parametrize(
    ("verb", "where"),
    [
        pytest.param("rotate", "after create_material", id="new version made and not yet current"),
        pytest.param("create", "after create_material", id="new key made and not yet enabled"),
        pytest.param("delete material", "after destroy_material", id="material gone and not yet noted"),
    ],
)
def test_killed_beside_another_that_serves(
    grounds: list[Ground], nurseries: list[Nursery], tmp_path: Path, verb: str, where: str
) -> None:
    """Whoever is alive serves on, undisturbed, and clears away without any restart."""
    ground, until = grounds[0], tmp_path / "until"

    def kill_the_other(survivor: Life) -> None:
        try:
            victim = ground.live(nurseries[1], verb=verb, facts=survivor.facts, point=where)
            assert victim.died == where
        finally:
            until.touch()

    assert ground.live(meanwhile=kill_the_other, verb=verb, serve_until=str(until)).turns > 0
    ground.live()


def test_a_mark_that_was_cut_short_is_not_all_that_the_token_knows(grounds: list[Ground]) -> None:
    """What a kill inside SoftHSM's C_SetAttributeValue leaves: it empties an object's file, then fills it."""
    ground = grounds[0]
    before = ground.live().epoch
    assert before is not None
    newest = max(ground.data_objects(), key=lambda path: path.stat().st_mtime_ns)
    os.truncate(newest, 0)
    after = ground.live().epoch
    assert after is not None
    assert after < before


def test_there_are_at_least_twenty_points() -> None:
    """Each verb is killed before and after at least those of its writes that its row names."""
    assert 2 * sum(len(verb.writes) for verb in VERBS.values()) >= 20


def _is_in_order(wanted: Sequence[str], found: Sequence[str]) -> bool:
    """Whether some things are among others, in this order."""
    rest = iter(found)
    return all(write in rest for write in wanted)
