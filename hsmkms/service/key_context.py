"""The request context of a call that concerns keys: what ``kms:`` condition keys and tags of keys say.

Values are computed when a policy asks for them: most policies ask for none.

Spec: AWS Service Authorization Reference, "AWS KMS", condition keys; AWS KMS Developer Guide, "Condition keys
for AWS KMS".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from hsmkms.model.grants import Grant
from hsmkms.model.keys import Key
from hsmkms.service.call import Call
from hsmkms.service.call_context import CallContext

Values = tuple[str, ...]

_ENCRYPTION_CONTEXT: Final = "kms:encryptioncontext:"
_RESOURCE_TAG: Final = "aws:resourcetag/"


@dataclass(frozen=True, slots=True)
class Particulars:
    """What one request says of itself, for conditions and grants.

    Attributes:
        encryption_context: None for an operation that takes none.
        more: condition keys that this operation alone has, by name in lower case.
        offered: the grant that is to be created.
        is_rehearsal: nothing is to be done in the end (DryRun).
    """

    encryption_context: Mapping[str, str] | None = None
    more: Mapping[str, Values] = field(default_factory=dict)
    offered: Grant | None = None
    is_rehearsal: bool = False


NO_PARTICULARS: Final = Particulars()

_OF_KEY: Final[Mapping[str, Callable[[Key], Values]]] = MappingProxyType(
    {
        "kms:keyspec": lambda key: (key.key_spec.value,),
        "kms:customermasterkeyspec": lambda key: (key.key_spec.value,),
        "kms:keyusage": lambda key: (key.key_usage.value,),
        "kms:customermasterkeyusage": lambda key: (key.key_usage.value,),
        "kms:keyorigin": lambda key: (key.origin.value,),
        # No key spans regions yet.
        "kms:multiregion": lambda _: ("false",),
        "kms:resourcealiases": lambda key: tuple(sorted(key.aliases)),
    }
)


class KeyContext:
    """``policy.context.Context`` of one request about one key, or about none."""

    __slots__ = ("_call", "_key", "_particulars", "_request_alias")

    def __init__(
        self, call: Call, key: Key | None, particulars: Particulars, request_alias: str | None = None
    ) -> None:
        """Set up.

        Args:
            request_alias: the alias by which the request names the key.
        """
        self._call = call
        self._key = key
        self._particulars = particulars
        self._request_alias = request_alias

    def get(self, key: str) -> Values | None:
        """The values of a condition key."""
        values = self._particulars.more.get(key)
        if values is not None:
            return values
        if key.startswith("kms:"):
            found = self._of_request(key) or self._of_key(key)
            if found is not None:
                return found
        elif key.startswith(_RESOURCE_TAG):
            return self._resource_tag(key.removeprefix(_RESOURCE_TAG))
        return CallContext(self._call).get(key)

    def _of_request(self, key: str) -> Values | None:
        context = self._particulars.encryption_context
        if key == "kms:requestalias":
            return None if self._request_alias is None else (self._request_alias,)
        if not context:
            return None
        if key == "kms:encryptioncontextkeys":
            return tuple(context)
        if not key.startswith(_ENCRYPTION_CONTEXT):
            return None
        # Names of condition keys are compared without regard to case, and this one is a part of one.
        wanted = key.removeprefix(_ENCRYPTION_CONTEXT)
        return tuple(value for name, value in context.items() if name.lower() == wanted) or None

    def _of_key(self, key: str) -> Values | None:
        about, property_of = self._key, _OF_KEY.get(key)
        return None if about is None or property_of is None else property_of(about) or None

    def _resource_tag(self, name: str) -> Values | None:
        if self._key is None:
            return None
        return tuple(value for key, value in self._key.tags.items() if key.lower() == name) or None
