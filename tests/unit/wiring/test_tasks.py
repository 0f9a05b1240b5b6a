"""What is due and under way, over real stores."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from hsmkms.model.keys import KeyOrigin, KeyState, KeyVersion, VersionState
from hsmkms.wiring.tasks import region_tasks
from tests.contract.store import nouns
from tests.unit.wiring.operated import ELSEWHERE, REGION, Operated, current

NOW, DAY = nouns.NOW, timedelta(days=1)


def test_nothing_is_due_in_an_empty_region(operated: Operated) -> None:
    operated.add_key()
    for region in (REGION, ELSEWHERE):
        tasks = region_tasks(operated.settings, region)
        assert not any(
            (
                *(tasks.deletions, tasks.rotations, tasks.resting, tasks.worn, tasks.expiries),
                *(tasks.unfinished, tasks.condemned, tasks.expired_pairs, tasks.tombstones),
            )
        )


def test_dates_are_in_their_order(operated: Operated) -> None:
    late, soon = (
        operated.add_key(state=KeyState.PENDING_DELETION, deletion_at=NOW + days * DAY) for days in (9, 7)
    )
    later, sooner = (
        operated.add_key(rotation_days=90, next_rotation_at=NOW + days * DAY) for days in (30, 20)
    )
    tasks = region_tasks(operated.settings, REGION)
    assert [(one.key.key_id, one.at) for one in tasks.deletions] == [
        (soon.key_id, NOW + 7 * DAY),
        (late.key_id, NOW + 9 * DAY),
    ]
    assert [one.key.key_id for one in tasks.rotations] == [sooner.key_id, later.key_id]


@pytest.mark.parametrize(
    "state", [KeyState.DISABLED, KeyState.PENDING_DELETION], ids=["disabled", "pending deletion"]
)
def test_keys_that_do_not_rotate_in_their_state_are_counted(operated: Operated, state: KeyState) -> None:
    operated.add_key(state=state, rotation_days=90, next_rotation_at=NOW)
    tasks = region_tasks(operated.settings, REGION)
    assert (tasks.rotations, tasks.resting) == ([], 1)


def test_worn_keys_rotate_and_imported_ones_cannot(operated: Operated) -> None:
    """Half of the limit, which is a thousand here, is as often as is wise."""
    worn, fresh = operated.add_key(), operated.add_key()
    imported = operated.add_imported_key(_imported())
    operated.counters.reserve(current(worn), 499, 1000)
    operated.counters.reserve(current(fresh), 498, 1000)
    operated.counters.reserve(current(imported), 900, 1000)
    assert [key.key_id for key in region_tasks(operated.settings, REGION).worn] == [worn.key_id]


def test_after_a_restored_store_every_key_of_the_tokens_own_rotates(operated: Operated) -> None:
    keys = [operated.add_key() for _ in range(3)]
    operated.counters.notice_restore([], 100)
    worn = region_tasks(operated.settings, REGION).worn
    assert [key.key_id for key in worn] == sorted(key.key_id for key in keys)


def test_material_that_is_there_expires(operated: Operated) -> None:
    serving = replace(_imported(), expires_at=NOW + 2 * DAY)
    waiting = replace(_imported(VersionState.PENDING_ROTATION), expires_at=NOW + DAY)
    gone = replace(_imported(VersionState.PENDING_IMPORT), expires_at=NOW)
    operated.add_imported_key(serving, waiting, gone, _imported())
    expiries = region_tasks(operated.settings, REGION).expiries
    assert [one.version and one.version.material_id for one in expiries] == [
        waiting.material_id,
        serving.material_id,
    ]


def test_what_is_unfinished_and_what_is_left_of_deleted_keys(operated: Operated) -> None:
    pending_key, pending = nouns.pending_key()
    going = operated.add_key()
    with operated.keys.change() as change:
        change.add_pending_key(pending_key, pending, (), nouns.policy_of())
        change.add_import_pair(nouns.import_pair(going.key_id, expires_at=NOW))
        change.remove_key(going.key_id, NOW)
    tasks = region_tasks(operated.settings, REGION)
    assert [version.material_id for version in tasks.unfinished] == [pending.material_id]
    assert [one.material_id for one in tasks.condemned] == [current(going)]
    assert [pair.key_id for pair in tasks.expired_pairs] == [going.key_id]
    assert [(one.key_id, one.destroyed_at) for one in tasks.tombstones] == [(going.key_id, None)]


def _imported(state: VersionState = VersionState.ENABLED) -> KeyVersion:
    key = nouns.external_key()
    return replace(nouns.version_of(key, state), origin=KeyOrigin.EXTERNAL)
