"""Maps that share what stays: they behave as dicts do, and nobody who holds an older one sees a change."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsmkms.policy.shared_map import SharedMap


class Clashing:
    """A key that shares its hash with all of its kind."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return -7

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Clashing) and self.number == other.number


KEYS: dict[str, Sequence[Hashable]] = {
    "numbers": list(range(3000)),
    "names": [f"name {number}" for number in range(3000)],
    "of one hash": [Clashing(number) for number in range(300)],
}


@pytest.mark.parametrize("name", KEYS)
def test_grows_and_shrinks_as_a_dict_does(name: str) -> None:
    """At once and one by one, through every size at which its form changes."""
    keys = KEYS[name]
    at_once = SharedMap[Hashable, int]().changed(added={key: number for number, key in enumerate(keys)})
    one_by_one = SharedMap[Hashable, int]()
    for number, key in enumerate(keys):
        one_by_one = one_by_one.changed(added={key: number})
        assert len(one_by_one) == number + 1
    assert at_once == one_by_one == {key: number for number, key in enumerate(keys)}
    for number, key in enumerate(keys):
        assert (at_once[key], at_once.get(key), key in at_once) == (number, number, True)
        one_by_one = one_by_one.changed(removed=[key])
        assert key not in one_by_one
        assert len(one_by_one) == len(keys) - number - 1
    assert one_by_one == at_once.changed(removed=keys) == {}


def test_what_is_not_there() -> None:
    some = SharedMap[str, int]().changed(added={"a": 1})
    assert (some.get("b"), some.get("b", 5), "b" in some) == (None, 5, False)
    with pytest.raises(KeyError):
        some["b"]
    assert some.changed(removed=["b"]) == some
    assert some.changed() == some


def test_what_is_removed_and_added_at_once_is_there() -> None:
    some = SharedMap[str, int]().changed(added={"a": 1, "b": 2})
    after = some.changed(removed=["a", "b", "a", "c"], added={"a": 3, "c": 4})
    assert after == {"a": 3, "c": 4}
    assert len(after) == 2


CHANGES = st.lists(
    st.tuples(
        st.sets(st.integers(0, 400), max_size=150),
        st.dictionaries(st.integers(0, 400), st.integers(), max_size=150),
    ),
    max_size=12,
)


@given(CHANGES)
@settings(deadline=None)
def test_older_maps_never_change(changes: list[tuple[set[int], dict[int, int]]]) -> None:
    versions = [(SharedMap[int, int](), dict[int, int]())]
    for removed, added in changes:
        latest, wanted = versions[-1]
        kept = {key: value for key, value in wanted.items() if key not in removed}
        versions.append((latest.changed(removed=removed, added=added), kept | added))
    for version, wanted in versions:
        assert dict(version) == wanted
        assert len(version) == len(wanted)


def test_the_next_version_copies_little() -> None:
    """Counted in dicts and branches, which does not depend on the machine."""

    def parts(node: object) -> set[int]:
        below = {id(node)}
        if isinstance(node, tuple):
            for child in node:
                below |= parts(child)
        return below

    many = SharedMap[str, int]().changed(added={f"name {number}": number for number in range(100_000)})
    after = many.changed(removed=["name 5"], added={"name 7": 0})
    assert len(parts(after._root) - parts(many._root)) <= 2 * 6
    assert len(parts(many._root)) > 1000
