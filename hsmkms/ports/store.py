"""The stores of a region as the service sees them: keys, counters. Identities are in ``ports.directory``.

Reads of a snapshot make no SQL query; changes are short transactions. Every method may be called from any
thread, and raises ``ServiceFaultError`` when the store cannot be read or written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from hsmkms.model.grants import Grant
from hsmkms.model.imports import ImportPair
from hsmkms.model.keys import Alias, Key, KeyState, KeyVersion, Tag
from hsmkms.model.names import AccountId, KeyId, MaterialId
from hsmkms.model.usage import LastUse
from hsmkms.policy.grant_book import GrantBook
from hsmkms.policy.stored import StoredPolicy
from hsmkms.ports.hsm import EpochMark


@dataclass(frozen=True, slots=True)
class KeySnapshot:
    """All keys and aliases of a region as of one point in its change log; never changed once made.

    Attributes:
        sequence: position in the change log.
        keys: all keys but those under way (state Creating).
        aliases: key ids by (account, alias name).
        policies: the policy of each of the keys.
        grants: of all keys.
    """

    sequence: int
    keys: Mapping[KeyId, Key]
    aliases: Mapping[tuple[AccountId, str], KeyId]
    policies: Mapping[KeyId, StoredPolicy]
    grants: GrantBook


class KeyChanges(Protocol):
    """One write transaction; reads in it see the latest commit, not the snapshot."""

    def key(self, key_id: KeyId) -> Key | None:
        """A key that is not under way any more, with all its versions; None when there is none."""

    def add_pending_key(
        self, key: Key, version: KeyVersion, tags: Sequence[Tag], policy: StoredPolicy
    ) -> None:
        """Write down a key that is about to be made: state Creating, its version pending.

        Raises:
            AlreadyExistsError: the key id or material id is taken.
        """

    def enable_pending_key(self, key_id: KeyId, material_id: MaterialId, check_value: bytes) -> Key:
        """Turn a pending key into an enabled one whose current version is ``material_id``.

        Raises:
            NotFoundError: no such pending key.
        """

    def remove_pending_key(self, key_id: KeyId) -> None:
        """Forget a key that is under way; any other is left alone, an absent one is no error."""

    def add_key(self, key: Key, tags: Sequence[Tag], policy: StoredPolicy) -> None:
        """Write down a key that has no version yet, in the state that it bears.

        Raises:
            AlreadyExistsError: the key id is taken.
        """

    def put_key(self, key: Key) -> None:
        """Replace what an existing key says of itself: state, description, current version, rotation and
        deletion. Its versions, tags, aliases and policy stay.
        """

    def add_version(self, version: KeyVersion) -> None:
        """Add a version to an existing key.

        Raises:
            AlreadyExistsError: the material id is taken.
        """

    def version(self, material_id: MaterialId) -> KeyVersion | None:
        """One version of any key, in whatever state."""

    def put_version(self, version: KeyVersion) -> None:
        """Replace an existing version."""

    def remove_version(self, material_id: MaterialId) -> None:
        """Forget a version; one that is not there is no error."""

    def remove_key(self, key_id: KeyId, now: datetime) -> None:
        """Turn an existing key into a tombstone: versions, aliases, tags, grants and policy go with it.

        The objects of its versions are condemned, and its import pairs expire.
        """

    def note_destroyed(self, material_id: MaterialId, now: datetime) -> None:
        """A condemned object is gone from the token; the last one of a key completes its tombstone."""

    def add_import_pair(self, pair: ImportPair) -> None:
        """Write down an import pair.

        Raises:
            AlreadyExistsError: the pair id is taken.
        """

    def import_pair(self, pair_id: bytes) -> ImportPair | None:
        """One import pair."""

    def import_pairs(self, key_id: KeyId) -> Sequence[ImportPair]:
        """A key's import pairs, the first to expire first."""

    def put_import_pair(self, pair: ImportPair) -> None:
        """Replace an existing import pair."""

    def remove_import_pair(self, pair_id: bytes) -> None:
        """Forget an import pair; one that is not there is no error."""

    def set_state(self, key_id: KeyId, state: KeyState) -> None:
        """Change a key's state; the caller has read the key in this transaction."""

    def set_description(self, key_id: KeyId, description: str) -> None:
        """Change a key's description; the caller has read the key in this transaction."""

    def alias(self, account: AccountId, name: str) -> Alias | None:
        """One alias of an account."""

    def count_aliases(self, key_id: KeyId) -> int:
        """How many aliases name this key."""

    def add_alias(self, alias: Alias) -> None:
        """Add an alias.

        Raises:
            AlreadyExistsError: the account has an alias of this name.
        """

    def set_alias_target(self, account: AccountId, name: str, key_id: KeyId, now: datetime) -> None:
        """Let an existing alias name another key."""

    def remove_alias(self, account: AccountId, name: str) -> None:
        """Remove an existing alias."""

    def tags(self, key_id: KeyId) -> Sequence[Tag]:
        """A key's tags in the order of their keys."""

    def put_tags(self, key_id: KeyId, tags: Sequence[Tag]) -> None:
        """Add tags; one whose key exists gets the new value."""

    def remove_tags(self, key_id: KeyId, tag_keys: Sequence[str]) -> None:
        """Remove tags; one that is not there is no error."""

    def policy(self, key_id: KeyId) -> StoredPolicy:
        """The policy of an existing key."""

    def set_policy(self, key_id: KeyId, policy: StoredPolicy) -> None:
        """Replace the policy of an existing key."""

    def count_grants(self, key_id: KeyId) -> int:
        """How many grants a key has."""

    def grants_named(self, key_id: KeyId, name: str) -> Sequence[Grant]:
        """The grants of a key that bear a name; there may be several, which differ otherwise."""

    def grant(self, grant_id: str) -> Grant | None:
        """One grant of any key."""

    def add_grant(self, grant: Grant) -> None:
        """Add a grant to an existing key.

        Raises:
            AlreadyExistsError: the grant id is taken.
        """

    def remove_grant(self, grant_id: str) -> None:
        """Remove a grant; one that is not there is no error."""

    def note_wrapping(self, wrapping_id: bytes, now: datetime) -> None:
        """Note that data keys leave the token under this object (16 bytes); once noted, it stays as it is."""


class KeyStore(Protocol):
    """The metadata of one region's keys."""

    def snapshot(self) -> KeySnapshot:
        """The newest snapshot.

        A call that starts after a change was answered, by any process, sees that change.
        """

    def change(self) -> AbstractContextManager[KeyChanges]:
        """One durable write transaction, committed on leaving and rolled back on an exception.

        After it was left normally, ``snapshot`` of this process holds the change.
        """

    def list_keys(self, account: AccountId, after: str | None, limit: int) -> Sequence[KeyId]:
        """Up to ``limit`` keys of an account in the order of their ids, after the given id."""

    def list_aliases(
        self, account: AccountId, key_id: KeyId | None, after: str | None, limit: int
    ) -> Sequence[Alias]:
        """Up to ``limit`` aliases of an account (of one key, if given) by name, after the given name."""

    def list_tags(self, key_id: KeyId, after: str | None, limit: int) -> Sequence[Tag]:
        """Up to ``limit`` tags of a key in the order of their keys, after the given tag key."""

    def list_grants(
        self,
        key_id: KeyId,
        *,
        grant_id: str | None,
        grantee_id: str | None,
        after: str | None,
        limit: int,
    ) -> Sequence[Grant]:
        """Up to ``limit`` grants of a key (of one id or grantee, if given), in the order of their ids."""

    def list_retirable_grants(self, retiring_id: str, after: str | None, limit: int) -> Sequence[Grant]:
        """Up to ``limit`` grants of all keys whose retiring principal that is, by grant id."""

    def noted_wrappings(self) -> frozenset[bytes]:
        """All objects under which data keys ever left the token."""

    def unfinished_versions(self, changed_before: datetime) -> Sequence[KeyVersion]:
        """Versions pending, importing or destroying since before that moment, the oldest first.

        What a crash left behind, or a token that was away.
        """

    def condemned(self) -> Sequence[Condemned]:
        """Objects of deleted keys that the token may still hold, the oldest first."""

    def tombstones(self) -> Sequence[Tombstone]:
        """All deleted keys, the oldest first."""

    def expired_import_pairs(self, now: datetime) -> Sequence[ImportPair]:
        """Import pairs whose time is over, the oldest first."""


@dataclass(frozen=True, slots=True)
class Condemned:
    """An object that has to go with its key, which is gone already."""

    material_id: MaterialId
    key_id: KeyId
    since: datetime


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of a deleted key.

    Attributes:
        destroyed_at: when the last of its objects was gone from the token; None before that.
    """

    key_id: KeyId
    account: AccountId
    created_at: datetime
    deleted_at: datetime
    destroyed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Reservation:
    """Encryptions that were set aside.

    Attributes:
        total: all that were set aside so far, these included.
        epoch: the store's epoch, which the token has to hear of before they are used.
    """

    total: int
    epoch: EpochMark


@dataclass(frozen=True, slots=True)
class InvocationCount:
    """How often a version has encrypted.

    Attributes:
        reserved: encryptions set aside, used or not.
        spent: whether it encrypts no more, whatever the count: some were forgotten.
    """

    reserved: int
    spent: bool


class InvocationStore(Protocol):
    """How often each version has encrypted, in durable blocks (NIST SP 800-38D, section 8.3).

    A count belongs to the material and outlives its key.
    """

    def reserve(self, material_id: MaterialId, count: int, limit: int) -> Reservation:
        """Set ``count`` encryptions aside; they count as used from now on. The epoch advances by one.

        Raises:
            EncryptionLimitError: the total would pass ``limit``, or the version is spent; nothing was set
                aside.
        """

    def give_back(self, material_id: MaterialId, count: int) -> None:
        """Return encryptions that were set aside and will not happen (a clean stop).

        Only of what was reserved since the store was last restored: a spent version's stay.
        """

    def counts(self) -> Mapping[MaterialId, InvocationCount]:
        """All counts."""

    def count(self, material_id: MaterialId) -> InvocationCount:
        """One count; of a version that never encrypted, zero."""

    def epoch(self) -> EpochMark:
        """How far this store is. Its id was made with the store."""

    def notice_restore(self, material_ids: Iterable[MaterialId], epoch_number: int) -> None:
        """This is an older copy: let those versions encrypt no more, and go on after that epoch number.

        Versions that it counts besides those are spent too. Done again, it changes nothing more.
        """


class UsageStore(Protocol):
    """When each version was used last, by operation. What is lost in a crash is a minute of it."""

    def note(self, uses: Iterable[LastUse]) -> None:
        """Remember uses; of one version and operation the latest stays."""

    def last_uses(self, material_ids: Iterable[MaterialId] | None = None) -> Sequence[LastUse]:
        """What is known of some versions, or of all."""

    def tracked_since(self) -> datetime:
        """When this store began to keep it."""


@dataclass(frozen=True, slots=True)
class ObservedTime:
    """What the clockwork has seen of time, across restarts.

    Attributes:
        trusted: how far time has come as it was really observed; due dates count by it.
        last_wall: the machine's clock when it was last looked at.
        observed_seconds: all time observed so far, from the store's beginning.
        held_at_seconds: ``observed_seconds`` when the machine's clock was found to be more than an hour ahead
            of what was observed; None while all is well.
    """

    trusted: datetime
    last_wall: datetime
    observed_seconds: float
    held_at_seconds: float | None = None


class ClockworkStore(Protocol):
    """What the clockwork of a region remembers: whose turn it is, and how much time it has observed."""

    def take_lease(self, holder: bytes, now: datetime, until: datetime) -> bool:
        """Let a process (16 random bytes) do the due work until then; its own lease is renewed.

        Returns:
            False while another process's lease lasts. One that ends later than ``until`` is a clock's that
            jumped back, and no lease.
        """

    def release_lease(self, holder: bytes) -> None:
        """End a process's own lease; another's is left alone."""

    def observed(self) -> ObservedTime | None:
        """What was written last; None before the first."""

    def put_observed(self, holder: bytes, before: ObservedTime | None, observed: ObservedTime) -> bool:
        """Write it down, if the holder still has the lease and what stands there is what it looked at.

        Returns:
            False when nothing was written: another process took over, or an operator approved meanwhile.
        """

    def approve(self, now: datetime) -> bool:
        """An operator says that the clock is right: it is trusted as it stands.

        Returns:
            False when nothing was held.
        """
