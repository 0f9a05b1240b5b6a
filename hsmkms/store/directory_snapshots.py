"""Snapshots of the identity store: an access key is read again alone, everything else whole.

Access keys come and go; the rest is an operator's rare doing, and its parts hang together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select

from hsmkms.model.identities import AccessKey, Service
from hsmkms.model.names import AccountId
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.stored import StoredPolicy
from hsmkms.ports.directory import DirectorySnapshot, Identity
from hsmkms.store.directory_rows import to_access_key, to_identity_row, to_service
from hsmkms.store.directory_tables import (
    access_keys,
    accounts,
    attachments,
    directory_changes,
    identities,
    identity_tags,
    inline_policies,
    managed_policies,
    services,
)
from hsmkms.store.shared_policies import SharedPolicies


class DirectoryReader:
    """Builds snapshots; policies that did not change stay the objects that they were. One call at a time."""

    def __init__(self) -> None:
        self._shared = SharedPolicies()

    def load_all(self, connection: Connection, sequence: int) -> DirectorySnapshot:
        """Everything."""
        rows = connection.execute(select(access_keys))
        return self._principals(connection, sequence, {row.access_key_id: to_access_key(row) for row in rows})

    def advance(self, connection: Connection, before: DirectorySnapshot, sequence: int) -> DirectorySnapshot:
        """The snapshot after the entries of the change log that came since."""
        entries = select(directory_changes.c.access_key_id).where(
            directory_changes.c.sequence > before.sequence
        )
        changed = set(connection.scalars(entries))
        after = {key_id: key for key_id, key in before.access_keys.items() if key_id not in changed}
        for row in connection.execute(select(access_keys).where(access_keys.c.access_key_id.in_(entries))):
            after[row.access_key_id] = to_access_key(row)
        if None in changed:
            return self._principals(connection, sequence, after)
        return DirectorySnapshot(
            sequence, before.accounts, after, before.identities, before.ids, before.services
        )

    def _principals(
        self, connection: Connection, sequence: int, keys: Mapping[str, AccessKey]
    ) -> DirectorySnapshot:
        found = self._identities(connection)
        return DirectorySnapshot(
            sequence=sequence,
            accounts=frozenset(AccountId(name) for name in connection.scalars(select(accounts.c.account))),
            access_keys=keys,
            identities=found,
            ids={identity.row.arn: unique_id for unique_id, identity in found.items()},
            services=_services(connection),
        )

    def _identities(self, connection: Connection) -> dict[str, Identity]:
        tags, policies = _tags(connection), self._policies(connection)
        return {
            row.unique_id: Identity(
                row=to_identity_row(row),
                tags=tags.get(row.unique_id, {}),
                policies=tuple(policies.get(row.unique_id, ())),
                trust=None
                if row.trust_text is None
                else self._shared.policy(PolicyKind.TRUST, row.trust_text, row.trust_ids),
            )
            for row in connection.execute(select(identities))
        }

    def _policies(self, connection: Connection) -> Mapping[str, Sequence[StoredPolicy]]:
        """By bearer: the inline policies by name, then the attached ones by ARN."""
        inline = select(inline_policies.c.unique_id, inline_policies.c.text).order_by(
            inline_policies.c.unique_id, inline_policies.c.folded_name
        )
        attached = (
            select(attachments.c.unique_id, managed_policies.c.text)
            .join(managed_policies, managed_policies.c.policy_arn == attachments.c.policy_arn)
            .order_by(attachments.c.unique_id, attachments.c.policy_arn)
        )
        policies: dict[str, list[StoredPolicy]] = defaultdict(list)
        for query in (inline, attached):
            for row in connection.execute(query):
                policies[row.unique_id].append(self._shared.policy(PolicyKind.IDENTITY, row.text))
        return policies


def _tags(connection: Connection) -> Mapping[str, Mapping[str, str]]:
    tags: dict[str, dict[str, str]] = defaultdict(dict)
    for row in connection.execute(
        select(identity_tags).order_by(identity_tags.c.unique_id, identity_tags.c.tag_key)
    ):
        tags[row.unique_id][row.tag_key] = row.tag_value
    return tags


def _services(connection: Connection) -> dict[str, Service]:
    return {row.name: to_service(row) for row in connection.execute(select(services))}
