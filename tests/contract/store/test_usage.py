"""What ``ports.store.UsageStore`` promises, on every implementation of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from hsmkms.model.names import MaterialId
from hsmkms.model.usage import LastUse
from hsmkms.ports.store import UsageStore
from hsmkms.store import SqliteUsageStore, StoreSettings
from tests.contract.store.conftest import Stores
from tests.contract.store.nouns import NOW, REGION

ONE, TWO = MaterialId(b"1" * 16), MaterialId(b"2" * 16)
LATER = NOW + timedelta(microseconds=1)


def use(material_id: MaterialId = ONE, operation: str = "Decrypt", used_at: datetime = NOW) -> LastUse:
    """A use whose ids tell its moment."""
    return LastUse(material_id, operation, used_at, f"event at {used_at}", f"request at {used_at}")


def found(store: UsageStore, *material_ids: MaterialId) -> set[LastUse]:
    uses = store.last_uses(material_ids or None)
    assert len(uses) == len(set(uses))
    return set(uses)


def test_nothing_was_used_at_first(usage: UsageStore) -> None:
    assert list(usage.last_uses()) == list(usage.last_uses([ONE])) == list(usage.last_uses([])) == []


def test_every_version_and_operation_has_its_own_last_use(usage: UsageStore, stores: Stores) -> None:
    uses = {use(), use(operation="Encrypt"), use(TWO, used_at=LATER)}
    usage.note(uses)
    usage.note([])
    other = stores.usage()
    assert found(other) == found(other, TWO, ONE, ONE) == uses
    assert found(other, TWO) == {use(TWO, used_at=LATER)}
    assert found(other, MaterialId(bytes(16))) == set()
    assert list(other.last_uses([])) == []


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param([use()], [use(used_at=LATER)], id="one after the other"),
        pytest.param([use(used_at=LATER)], [use()], id="a slower worker's comes in late"),
        pytest.param([use(used_at=LATER), use()], [], id="both at once"),
        pytest.param([], [use(), use(used_at=LATER)], id="both at once, in order"),
        pytest.param([use()], [use(used_at=LATER), use()], id="known already, and both at once"),
    ],
)
def test_the_latest_stays(usage: UsageStore, first: list[LastUse], then: list[LastUse]) -> None:
    bystander = use(TWO)
    usage.note([bystander, *first])
    usage.note(then)
    assert found(usage) == {use(used_at=LATER), bystander}


def test_as_many_versions_as_there_are_can_be_noted_and_asked_for(usage: UsageStore) -> None:
    """More than SQLite binds values in one statement."""
    material_ids = [MaterialId(number.to_bytes(16, "big")) for number in range(33_000)]
    usage.note(use(material_id) for material_id in material_ids)
    usage.note(use(material_id, used_at=LATER) for material_id in material_ids)
    wanted = {use(material_id, used_at=LATER) for material_id in material_ids}
    assert found(usage) == wanted
    assert found(usage, *material_ids) == wanted
    assert len(found(usage, *material_ids[:1001])) == 1001


def test_threads_lose_no_use(usage: UsageStore) -> None:
    moments = [NOW + timedelta(seconds=number) for number in range(64)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda at: usage.note([use(used_at=at), use(TWO, str(at), at)]), moments))
    uses = found(usage)
    assert len(uses) == 65
    assert use(used_at=moments[-1]) in uses


def test_it_is_kept_since_one_moment(usage: UsageStore, stores: Stores) -> None:
    since = usage.tracked_since()
    usage.note([use()])
    assert usage.tracked_since() == stores.usage().tracked_since() == since


def test_sqlite_keeps_it_since_it_was_made(settings: StoreSettings) -> None:
    since, now = SqliteUsageStore(settings, REGION).tracked_since(), datetime.now(UTC)
    assert now - timedelta(hours=1) < since <= now
