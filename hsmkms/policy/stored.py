"""A policy as it is kept: its text, and whom its names meant when it was put."""

from __future__ import annotations

from collections.abc import Mapping

from hsmkms.errors import MalformedPolicyDocumentError, ServiceFaultError
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.index import IndexedPolicy
from hsmkms.policy.parsing import parse_policy


class StoredPolicy:
    """A policy that is compiled when it is first asked, and shared by all who bear it. Never changes.

    Attributes:
        ids: the unique ids of the principals' ARNs in the text; empty for a policy that names nobody.
    """

    __slots__ = ("__weakref__", "_indexed", "ids", "kind", "text")

    def __init__(self, kind: PolicyKind, text: str, ids: Mapping[str, str] | None = None) -> None:
        self.kind = kind
        self.text = text
        self.ids: Mapping[str, str] = ids or {}
        self._indexed: IndexedPolicy | None = None

    @property
    def indexed(self) -> IndexedPolicy:
        """The policy, ready to be asked.

        Raises:
            ServiceFaultError: what was stored is no policy any more; it allows nothing and denies nothing.
        """
        indexed = self._indexed
        if indexed is None:
            try:
                policy = parse_policy(self.text, self.kind)
            except MalformedPolicyDocumentError as error:
                raise ServiceFaultError(f"a stored {self.kind.value} is damaged") from error
            indexed = self._indexed = IndexedPolicy(policy, self.ids)
        return indexed

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, StoredPolicy)
            and (self.kind, self.text) == (other.kind, other.text)
            and dict(self.ids) == dict(other.ids)
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.text))
