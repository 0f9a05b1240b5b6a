"""Maps that never change, and whose next version is cheap to make.

A map of many entries is a tree of small dicts by the bits of the keys' hashes. The next version copies the
dicts that change and what leads to them; all else belongs to both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Final, Self, TypeAlias, TypeVar, overload

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
D = TypeVar("D")

_Node: TypeAlias = "dict[K, V] | tuple[_Node[K, V], ...]"

# Little is copied while dicts are small and branches narrow; and the dicts are not so small that most of the
# memory is theirs. Changing one of 100,000 entries copies 4 branches and some 25 entries.
_LEAF_LIMIT: Final = 64
_BITS: Final = 4
_BRANCHES: Final = 1 << _BITS
_MASK: Final = _BRANCHES - 1
# A hash has 64 bits. Keys that share them all stay in one dict.
_DEEPEST: Final = 64 // _BITS


class SharedMap(Mapping[K, V]):
    """An immutable mapping, empty when made by itself; ``changed`` makes all others. In no order."""

    __slots__ = ("_count", "_root")

    def __init__(self, _root: _Node[K, V] | None = None, _count: int = 0) -> None:
        self._root: _Node[K, V] = {} if _root is None else _root
        self._count = _count

    def changed(self, *, removed: Iterable[K] = (), added: Mapping[K, V] | None = None) -> Self:
        """The map without some keys (absent ones are no error), then with some entries, new or replaced.

        What it costs grows with what is changed, and hardly with what stays.
        """
        new = dict(added or {})
        gone = [key for key in set(removed) if key in self and key not in new]
        count = self._count - len(gone) + sum(key not in self for key in new)
        return type(self)(_changed(self._root, 0, gone, new) if count else None, count)

    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, /, default: V | D) -> V | D: ...
    def get(self, key: K, /, default: V | D | None = None) -> V | D | None:
        """The value of a key, or the default."""
        return self._leaf(key).get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._leaf(key)

    def __getitem__(self, key: K) -> V:
        return self._leaf(key)[key]

    def __iter__(self) -> Iterator[K]:
        return _keys(self._root)

    def __len__(self) -> int:
        return self._count

    def _leaf(self, key: object) -> dict[K, V]:
        """The one dict that has the key if any has."""
        node = self._root
        bits = hash(key)
        while isinstance(node, tuple):
            node = node[bits & _MASK]
            bits >>= _BITS
        return node


def _changed(node: _Node[K, V], depth: int, gone: Iterable[K], new: dict[K, V]) -> _Node[K, V]:
    if isinstance(node, dict):
        after = node | new
        for key in gone:
            del after[key]
        return _grown(after, depth)
    gone_at, new_at = _parted(dict.fromkeys(gone), depth), _parted(new, depth)
    children = list(node)
    for branch in gone_at.keys() | new_at.keys():
        below = gone_at.get(branch, ()), new_at.get(branch, {})
        children[branch] = _changed(children[branch], depth + 1, *below)
    return tuple(children)


def _grown(leaf: dict[K, V], depth: int) -> _Node[K, V]:
    """A dict as a node, parted if it has become too large."""
    if len(leaf) <= _LEAF_LIMIT or depth == _DEEPEST:
        return leaf
    parts = _parted(leaf, depth)
    return tuple(_grown(parts.get(branch, {}), depth + 1) for branch in range(_BRANCHES))


def _parted(entries: dict[K, V], depth: int) -> dict[int, dict[K, V]]:
    """Entries by the branch of that depth to which they belong."""
    parts: dict[int, dict[K, V]] = defaultdict(dict)
    shift = depth * _BITS
    for key, value in entries.items():
        parts[hash(key) >> shift & _MASK][key] = value
    return parts


def _keys(node: _Node[K, V]) -> Iterator[K]:
    if isinstance(node, dict):
        yield from node
    else:
        for child in node:
            yield from _keys(child)
