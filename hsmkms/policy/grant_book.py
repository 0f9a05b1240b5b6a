"""All grants of a region, filed so that a decision looks at few of them, however many a key has.

They are filed by key and grantee. While one grantee has few grants for a key, all of these are candidates.
Once they are many, they are filed further under what each asks of a request: the resource that a service
calls for and the encryption context, and then, where many ask the same, the action. A grant with
``context_equals`` stands under that whole context; one with ``context_subset`` under one pair of it, for
where a pair is missing, the whole is.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Final, Self, TypeAlias, TypeVar

from hsmkms.model.grants import Grant
from hsmkms.model.names import KeyId
from hsmkms.policy.shared_map import SharedMap

# Looking at so many costs no more than finding the right ones among them, and takes less memory.
_FEW: Final = 16


class _All(enum.Enum):
    """Under which every grant with a constraint stands, for requests that it is not held against."""

    CONTEXTS = "whatever the encryption context has to be"
    SOURCES = "whatever resource a service has to call for"


_Constraint: TypeAlias = frozenset[tuple[str, str]] | tuple[str, str] | _All | None
_Source: TypeAlias = str | _All | None
_Anchor: TypeAlias = tuple[_Source, _Constraint]
_ByAction: TypeAlias = SharedMap[str, SharedMap[str, Grant]]
_Pile: TypeAlias = tuple[Grant, ...] | _ByAction
_Holding: TypeAlias = tuple[Grant, ...] | SharedMap[_Anchor, _Pile]

_NOTHING: Final = SharedMap[str, Grant]()

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V", bound=Sized)


@dataclass(frozen=True, slots=True)
class GrantBook:
    """Grants by id, and by key and grantee. Empty when made by itself; ``changed`` makes all others.

    Never changed once made; the next book shares what stays.

    Attributes:
        by_id: all of them.
    """

    by_id: SharedMap[str, Grant] = field(default_factory=SharedMap)
    _holdings: SharedMap[tuple[KeyId, str], _Holding] = field(
        default_factory=SharedMap, compare=False, repr=False
    )

    def candidates(
        self,
        key_id: KeyId,
        grantee_ids: Iterable[str],
        action: str,
        encryption_context: Mapping[str, str] | None,
        source_arn: str | None = None,
    ) -> Iterator[Grant]:
        """Grants that may allow an action to whoever bears those ids; each is still to be asked.

        Finding them costs no more with more grants. There are many only where many allow the very same, or
        where the subsets that they ask for are made of the same pairs.

        Args:
            encryption_context: None for an operation that takes none.
            source_arn: grants for another resource may be left out, with "" all that are for one; None
                leaves in all.
        """
        for grantee_id in set(grantee_ids):
            holding = self._holdings.get((key_id, grantee_id), ())
            if isinstance(holding, tuple):
                yield from holding
                continue
            for source in (None, _All.SOURCES if source_arn is None else source_arn):
                for constraint in _met_by(encryption_context):
                    yield from _grants_in(holding.get((source, constraint), ()), action)

    def changed(self, *, removed: Iterable[str] = (), added: Iterable[Grant] = ()) -> Self:
        """The book without some grants (by id; absent ones are no error), then with others.

        A grant whose id the book has already takes that one's place.
        """
        new = _by_id(added)
        gone = [self.by_id[grant_id] for grant_id in {*removed, *new} if grant_id in self.by_id]
        changes: dict[tuple[KeyId, str], tuple[list[Grant], list[Grant]]] = defaultdict(lambda: ([], []))
        for grant in gone:
            changes[grant.key_id, grant.grantee.unique_id][0].append(grant)
        for grant in new.values():
            changes[grant.key_id, grant.grantee.unique_id][1].append(grant)
        holdings = {
            holder: _changed_holding(self._holdings.get(holder, ()), lost, gained)
            for holder, (lost, gained) in changes.items()
        }
        return type(self)(
            self.by_id.changed(removed=_by_id(gone), added=new),
            _replaced(self._holdings, holdings),
        )


def _met_by(encryption_context: Mapping[str, str] | None) -> Iterator[_Constraint]:
    """Under which constraints the grants stand that such a context may meet."""
    yield None
    if encryption_context is None:
        yield _All.CONTEXTS
    else:
        pairs = encryption_context.items()
        yield frozenset(pairs)
        yield from pairs


def _changed_holding(before: _Holding, lost: Sequence[Grant], gained: Sequence[Grant]) -> _Holding:
    if not isinstance(before, tuple):
        return _filed(before, lost, gained)
    after = _changed_few(before, lost, gained)
    return after if len(after) <= _FEW else _filed(SharedMap(), (), after)


def _filed(
    piles: SharedMap[_Anchor, _Pile], lost: Iterable[Grant], gained: Iterable[Grant]
) -> SharedMap[_Anchor, _Pile]:
    lost_from: dict[_Anchor, list[Grant]] = defaultdict(list)
    for grant in lost:
        for source in _sources(grant):
            # Nothing says which pair of a subset was chosen: it is one of them.
            for constraint in (_All.CONTEXTS, *_constraints(grant)):
                lost_from[source, constraint].append(grant)
    gained_by: dict[_Anchor, list[Grant]] = defaultdict(list)
    for grant in gained:
        constraints = _constraints(grant)
        for source in _sources(grant):
            anchors: list[_Anchor] = [(source, constraint) for constraint in constraints]
            # The rarest pair of a subset: thousands may share all pairs but one.
            chosen = min(anchors, key=lambda one: _size(piles.get(one, ())) + len(gained_by.get(one, ())))
            gained_by[chosen].append(grant)
            if chosen[1] is not None:
                gained_by[source, _All.CONTEXTS].append(grant)
    changed = {
        anchor: _changed_pile(piles.get(anchor, ()), lost_from.get(anchor, ()), gained_by.get(anchor, ()))
        for anchor in {**lost_from, **gained_by}
    }
    return _replaced(piles, changed)


def _sources(grant: Grant) -> tuple[_Source, ...]:
    return (None,) if grant.source_arn is None else (grant.source_arn, _All.SOURCES)


def _constraints(grant: Grant) -> Sequence[_Constraint]:
    """Under which of these a grant may stand; any one will do."""
    if grant.context_equals is not None:
        return [frozenset(grant.context_equals.items())]
    return list(grant.context_subset.items()) if grant.context_subset else [None]


def _changed_pile(before: _Pile, lost: Sequence[Grant], gained: Sequence[Grant]) -> _Pile:
    if not isinstance(before, tuple):
        return _by_action(before, lost, gained)
    after = _changed_few(before, lost, gained)
    return after if len(after) <= _FEW else _by_action(SharedMap(), (), after)


def _by_action(before: _ByAction, lost: Iterable[Grant], gained: Iterable[Grant]) -> _ByAction:
    changes: dict[str, tuple[list[str], dict[str, Grant]]] = defaultdict(lambda: ([], {}))
    for grant in lost:
        for action in grant.actions:
            changes[action][0].append(grant.grant_id)
    for grant in gained:
        for action in grant.actions:
            changes[action][1][grant.grant_id] = grant
    return _replaced(
        before,
        {
            action: before.get(action, _NOTHING).changed(removed=lost_ids, added=gained_by_id)
            for action, (lost_ids, gained_by_id) in changes.items()
        },
    )


def _changed_few(
    before: tuple[Grant, ...], lost: Iterable[Grant], gained: Iterable[Grant]
) -> tuple[Grant, ...]:
    lost_ids = {grant.grant_id for grant in lost}
    return (*(grant for grant in before if grant.grant_id not in lost_ids), *gained)


def _by_id(grants: Iterable[Grant]) -> dict[str, Grant]:
    return {grant.grant_id: grant for grant in grants}


def _grants_in(pile: _Pile, action: str) -> Iterator[Grant]:
    return iter(pile) if isinstance(pile, tuple) else iter(pile.get(action, _NOTHING).values())


def _size(pile: _Pile) -> int:
    return len(pile) if isinstance(pile, tuple) else max(len(grants) for grants in pile.values())


def _replaced(before: SharedMap[_K, _V], changed: Mapping[_K, _V]) -> SharedMap[_K, _V]:
    """With what has changed, and without what has become empty."""
    return before.changed(
        removed=[key for key, value in changed.items() if not len(value)],
        added={key: value for key, value in changed.items() if len(value)},
    )
