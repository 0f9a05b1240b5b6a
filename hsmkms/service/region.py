"""What every verb of one region works with, and the two questions that nearly all of them ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hsmkms.errors import (
    AccessDeniedError,
    InvalidArnError,
    InvalidGrantTokenError,
    KeyDisabledError,
    KeyStateError,
    NotFoundError,
)
from hsmkms.formats.material_id import key_material_id
from hsmkms.model.actions import Action
from hsmkms.model.identities import Call
from hsmkms.model.keys import Key, KeyState, KeyVersion
from hsmkms.model.names import (
    ALIAS_PREFIX,
    AWS_KEY_ID_PATTERN,
    AccountId,
    KeyId,
    Region,
    alias_arn,
    key_arn,
    parse_kms_arn,
)
from hsmkms.policy.decision import decide
from hsmkms.ports.clock import Clock
from hsmkms.ports.hsm import Hsm
from hsmkms.ports.store import KeyChanges, KeyStore
from hsmkms.ports.trail import Trail
from hsmkms.service.budget import InvocationBudget
from hsmkms.service.wrappings import WrappingNotes

_STATE_PHRASES: Final = {
    KeyState.CREATING: "is creating.",
    KeyState.PENDING_DELETION: "is pending deletion.",
    KeyState.PENDING_REPLICA_DELETION: "is pending replica deletion.",
    KeyState.PENDING_IMPORT: "is pending import.",
    KeyState.UNAVAILABLE: "is unavailable.",
    KeyState.UPDATING: "is updating.",
}


@dataclass(frozen=True)
class RegionRoom:
    """One region's token, store, budget, notes and trail, and how its keys are named and reached."""

    region: Region
    hsm: Hsm
    keys: KeyStore
    budget: InvocationBudget
    wrappings: WrappingNotes
    trail: Trail
    clock: Clock

    def key_arn(self, key: Key) -> str:
        """The ARN of a key of this region."""
        return key_arn(self.region, key.account, key.key_id)

    def key_material_id(self, key: Key) -> str | None:
        """AWS's KeyMaterialId of the version that encrypts; None while there is none."""
        if key.current_material_id is None:
            return None
        return key_material_id(key.key_id, key.current_material_id)

    def resolve(self, call: Call, action: Action, key_ref: str) -> Key:
        """The key that an id, a key ARN, an alias name or an alias ARN names, if the caller may see it.

        Raises:
            NotFoundError: no such key or alias in the caller's account, or an ARN of another region.
            InvalidArnError: malformed ARN.
            AccessDeniedError: an ARN of another account, whether the thing exists or not.
            InvalidGrantTokenError: a grant token that is not this service's came along.
        """
        if not key_ref.startswith("arn:"):
            if key_ref.startswith(ALIAS_PREFIX):
                return self._aliased_key(call, action, call.caller.account, key_ref)
            return self._key(call, action, call.caller.account, key_ref)
        arn = parse_kms_arn(key_ref)
        if arn.region != self.region:
            raise NotFoundError(f"Invalid arn {arn.region}")
        if arn.resource.startswith(ALIAS_PREFIX):
            return self._aliased_key(call, action, arn.account, arn.resource)
        return self._key(call, action, arn.account, arn.resource.removeprefix("key/"))

    def resolve_without_alias(self, call: Call, action: Action, key_ref: str) -> Key:
        """Like ``resolve``, for the operations that take a key id or key ARN only."""
        is_arn = key_ref.startswith("arn:")
        if (parse_kms_arn(key_ref).resource if is_arn else key_ref).startswith(ALIAS_PREFIX):
            raise InvalidArnError("Key Aliases are not supported for this operation.")
        return self.resolve(call, action, key_ref)

    def require_allowed(
        self, call: Call, action: Action, resource_account: AccountId, resource_arn: str
    ) -> None:
        """Ask for leave, note the answer for the record, and refuse as AWS words it.

        Raises:
            AccessDeniedError: the caller may not do this to that resource.
        """
        decision = decide(call.caller, resource_account)
        call.additional["decision"] = decision.rule
        if not decision.allowed:
            raise AccessDeniedError(
                f"User: {call.caller.principal_arn} is not authorized to perform: {action} on resource: "
                f"{resource_arn} because no resource-based policy allows the {action} action"
            )

    def require_known_grant_tokens(self, call: Call) -> None:
        """Refuse grant tokens that are not this service's, once it is sure that there is a key to grant.

        Raises:
            InvalidGrantTokenError: no grant exists yet, so it is any token at all.
        """
        if call.grant_tokens:
            raise InvalidGrantTokenError

    def require_enabled(self, key: Key) -> KeyVersion:
        """The version that encrypts, of a key that may do cryptography now.

        Raises:
            KeyDisabledError, KeyStateError: it may not.
        """
        if key.state is not KeyState.ENABLED or key.current_material_id is None:
            if key.state is KeyState.DISABLED:
                raise KeyDisabledError(self.key_arn(key))
            raise KeyStateError(self.key_arn(key), _STATE_PHRASES[key.state])
        return key.versions[key.current_material_id]

    def require_changeable(self, key: Key) -> None:
        """Refuse a key whose metadata may not change because it is on its way out.

        Raises:
            KeyStateError: it is pending deletion.
        """
        if key.state in (KeyState.PENDING_DELETION, KeyState.PENDING_REPLICA_DELETION):
            raise KeyStateError(self.key_arn(key), _STATE_PHRASES[key.state])

    def require_present(self, change: KeyChanges, key_id: KeyId) -> Key:
        """A key as the latest commit has it, inside a write transaction.

        Raises:
            NotFoundError: it has gone since it was resolved.
        """
        key = change.key(key_id)
        if key is None:
            raise NotFoundError(f"Key '{key_id}' does not exist")
        return key

    def _key(self, call: Call, action: Action, account: AccountId, key_id: str) -> Key:
        arn = key_arn(self.region, account, KeyId(key_id))
        # Leave is asked before the look: in another account, what exists and what does not look the same.
        self.require_allowed(call, action, account, arn)
        key = self.keys.snapshot().keys.get(KeyId(key_id))
        if key is None or key.account != account:
            # An id has one spelling: in capitals it is no key's.
            if AWS_KEY_ID_PATTERN.fullmatch(key_id) is None:
                raise NotFoundError(f"Invalid keyId '{key_id}'")
            raise NotFoundError(f"Key '{arn}' does not exist")
        call.resources.append(arn)
        self.require_known_grant_tokens(call)
        return key

    def _aliased_key(self, call: Call, action: Action, account: AccountId, alias_name: str) -> Key:
        arn = alias_arn(self.region, account, alias_name)
        self.require_allowed(call, action, account, arn)
        snapshot = self.keys.snapshot()
        key_id = snapshot.aliases.get((account, alias_name))
        if key_id is None:
            raise NotFoundError(f"Alias {arn} is not found.")
        key = snapshot.keys[key_id]
        call.resources.append(self.key_arn(key))
        self.require_known_grant_tokens(call)
        return key
