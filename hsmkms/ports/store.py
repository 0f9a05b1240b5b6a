"""The stores of a region as the service sees them: keys, counters. Identities are in ``ports.directory``.

Reads of a snapshot make no SQL query; changes are short transactions. Every method may be called from any
thread, and raises ``ServiceFaultError`` when the store cannot be read or written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from hsmkms.model.grants import Grant
from hsmkms.model.keys import Alias, Key, KeyState, KeyVersion, Tag
from hsmkms.model.names import AccountId, KeyId, MaterialId
from hsmkms.policy.grant_book import GrantBook
from hsmkms.policy.stored import StoredPolicy


@dataclass(frozen=True, slots=True)
class KeySnapshot:
    """All keys and aliases of a region as of one point in its change log; never changed once made.

    Attributes:
        sequence: position in the change log.
        keys: keys whose first version is enabled; a key under way is not among them.
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
        """A key whose first version is enabled; None when there is none."""

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
