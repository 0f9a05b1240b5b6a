"""One object for policies that are the same, so that each is compiled once for many bearers and snapshots."""

from __future__ import annotations

import json
from collections.abc import Mapping
from weakref import WeakValueDictionary

import structlog

from hsmkms.policy.document import PolicyKind
from hsmkms.policy.stored import StoredPolicy

_log = structlog.get_logger(__name__)


class SharedPolicies:
    """The policies that the newest snapshots hold, and no others. Used by one thread at a time."""

    def __init__(self) -> None:
        self._policies: WeakValueDictionary[tuple[PolicyKind, str, str], StoredPolicy] = WeakValueDictionary()

    def policy(self, kind: PolicyKind, text: str, ids: str | None = None) -> StoredPolicy:
        """The policy of that kind, text and JSON of ids."""
        name = (kind, text, ids or "")
        policy = self._policies.get(name)
        if policy is None:
            policy = self._policies[name] = _policy_of(kind, text, ids)
        return policy


def _policy_of(kind: PolicyKind, text: str, ids: str | None) -> StoredPolicy:
    try:
        return StoredPolicy(kind, text, ids_of(ids))
    except ValueError:
        # Without its ids a Deny could deny nobody. No text at all: whoever asks is told of the damage, and
        # everything beside it goes on.
        _log.error("policy_ids_damaged", kind=kind.value)
        return StoredPolicy(kind, "")


def ids_text(ids: Mapping[str, str]) -> str:
    """The stored form of a policy's ids: the same for the same ids."""
    return json.dumps(dict(ids), sort_keys=True, separators=(",", ":"))


def ids_of(text: str | None) -> dict[str, str]:
    """The ids of a stored form."""
    ids: dict[str, str] = json.loads(text) if text else {}
    return ids
