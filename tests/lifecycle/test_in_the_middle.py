"""Every change of a key, interrupted before and after its call of the token, by all that can come between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from hsmkms.model.keys import KeyState
from tests.lifecycle.changes import MATERIALS
from tests.lifecycle.meddling import Meddling
from tests.lifecycle.test_life_of_keys import LifeInMemory

_OWN, _IMPORTED = 0, 1  # the keys, and by chance the same numbers for keys of their origin


def _rotate(life: LifeInMemory, by: Meddling, comes_after: bool) -> None:
    life.rotate_and_meddle(0, 0, by, comes_after, False)


def _take_in_first(life: LifeInMemory, by: Meddling, comes_after: bool) -> None:
    life.take_in_and_meddle(0, 0, by, comes_after, MATERIALS[0], True)


def _take_in_more(life: LifeInMemory, by: Meddling, comes_after: bool) -> None:
    life.take_in_and_rotate(0, 0)
    life.take_in_and_meddle(0, 0, by, comes_after, MATERIALS[1], True)


def _take_back(life: LifeInMemory, by: Meddling, comes_after: bool) -> None:
    _seal_under_two_versions(life)
    life.delete_all_material(0, 0)
    life.take_in_and_meddle(0, 0, by, comes_after, MATERIALS[0], False)


def _delete_material(life: LifeInMemory, by: Meddling, comes_after: bool) -> None:
    _seal_under_two_versions(life)
    life.delete_material_and_meddle(0, 0, by, comes_after)


def _seal_under_two_versions(life: LifeInMemory) -> None:
    for _ in range(2):
        life.take_in_and_rotate(0, 0)
        life.encrypt(1, _IMPORTED, {})


CHANGES: Final[list[Callable[[LifeInMemory, Meddling, bool], None]]] = [
    _rotate,
    _take_in_first,
    _take_in_more,
    _take_back,
    _delete_material,
]


@pytest.mark.parametrize("comes_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("by", Meddling, ids=lambda by: by.name.lower())
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_a_change_that_is_interrupted(
    change: Callable[[LifeInMemory, Meddling, bool], None], by: Meddling, comes_after: bool
) -> None:
    life = LifeInMemory()
    try:
        life.begin(0, 64)
        life.encrypt(0, _OWN, {})
        change(life, by, comes_after)
        life.everything_agrees()
        # And it can still be brought back, with everything that it ever sealed.
        life.enable_all(1, 0)
        life.take_back(1, 0, MATERIALS[0])
        life.take_back(1, 0, MATERIALS[0])
        life.enable_all(1, 0)
        assert [key.state for key in life.world.keys] == [KeyState.ENABLED] * 2
    finally:
        life.teardown()
