"""The stores, as the service sees them: keys (one store a region), counters, identities (one for all).

Reads of a snapshot make no SQL query; changes are short transactions. Every method may be called from any
thread, and raises ``ServiceFaultError`` when the store cannot be read or written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from hsmkms.model.identities import AccessKey, AccessKeyStatus
from hsmkms.model.keys import Alias, Key, KeyState, KeyVersion, Tag
from hsmkms.model.names import AccountId, KeyId, MaterialId, Region


@dataclass(frozen=True, slots=True)
class KeySnapshot:
    """All keys and aliases of a region as of one point in its change log; never changed once made.

    Attributes:
        sequence: position in the change log.
        keys: keys whose first version is enabled; a key under way is not among them.
        aliases: key ids by (account, alias name).
    """

    sequence: int
    keys: Mapping[KeyId, Key]
    aliases: Mapping[tuple[AccountId, str], KeyId]


class KeyChanges(Protocol):
    """One write transaction; reads in it see the latest commit, not the snapshot."""

    def key(self, key_id: KeyId) -> Key | None:
        """A key whose first version is enabled; None when there is none."""

    def add_pending_key(self, key: Key, version: KeyVersion, tags: Sequence[Tag]) -> None:
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
        """Forget a key that was never enabled; an enabled one is left alone, an absent one is no error."""

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

    def noted_wrappings(self) -> frozenset[bytes]:
        """All objects under which data keys ever left the token."""

    def pending_keys(self, older_than: datetime) -> Sequence[KeyVersion]:
        """Versions that were begun before that moment and never enabled: what a crash left behind."""


class InvocationStore(Protocol):
    """How often each version has encrypted, in durable blocks (NIST SP 800-38D, section 8.3)."""

    def reserve(self, material_id: MaterialId, count: int, limit: int) -> int:
        """Set ``count`` encryptions aside; they count as used from now on.

        Returns:
            All encryptions set aside so far, these included.

        Raises:
            LimitExceededError: the total would pass ``limit``; nothing was set aside.
        """

    def give_back(self, material_id: MaterialId, count: int) -> None:
        """Return encryptions that were set aside and will not happen (a clean stop)."""

    def reserved(self) -> Mapping[MaterialId, int]:
        """All totals, for ``doctor``."""


class DirectorySnapshot(Protocol):
    """All identities as of one point; never changed once made."""

    @property
    def sequence(self) -> int:
        """Position in the change log."""

    @property
    def access_keys(self) -> Mapping[str, AccessKey]:
        """Access keys, disabled ones included, by their id."""


class Directory(Protocol):
    """Identities: accounts and access keys; global to all regions."""

    def snapshot(self) -> DirectorySnapshot:
        """The newest snapshot, with the same promise as ``KeyStore.snapshot``."""

    def add_account(self, account: AccountId, now: datetime) -> None:
        """Register an account; one that is there already is no error."""

    def accounts(self) -> Sequence[AccountId]:
        """All accounts in order."""

    def add_access_key(self, access_key: AccessKey) -> None:
        """Add an access key to a registered account.

        Raises:
            AlreadyExistsError: the access key id is taken.
            NotFoundError: no such account.
            LimitExceededError: the principal has two access keys already.
        """

    def set_access_key_status(self, access_key_id: str, status: AccessKeyStatus) -> None:
        """Enable or disable an access key, for every process at once.

        Raises:
            NotFoundError: no such access key.
        """

    def remove_access_key(self, access_key_id: str) -> None:
        """Forget an access key, in every process at once.

        Raises:
            NotFoundError: no such access key.
        """

    def sealed_directory_keys(self) -> Mapping[Region, bytes]:
        """The identity store's own AES key, as each region's token sealed it."""

    def add_sealed_directory_key(self, region: Region, sealed: bytes) -> None:
        """Keep a region's sealed copy; another copy of the same region is replaced."""
