"""What every verb of one region works with, and the questions that nearly all of them ask.

Which key is meant, and may the caller do this with it?
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, cast

from hsmkms.errors import InvalidArnError, InvalidGrantTokenError, NotFoundError
from hsmkms.formats.grant_token import granted_by, is_token_of
from hsmkms.formats.material_id import key_material_id
from hsmkms.model.actions import Action
from hsmkms.model.grants import Grant
from hsmkms.model.keys import Key, KeyState, KeyVersion
from hsmkms.model.names import (
    ALIAS_PREFIX,
    AWS_KEY_ID_PATTERN,
    OPERATOR_ACCOUNT,
    AccountId,
    KeyId,
    MaterialId,
    Region,
    alias_arn,
    key_arn,
    parse_kms_arn,
)
from hsmkms.ports.clock import Clock
from hsmkms.ports.directory import Directory
from hsmkms.ports.hsm import Hsm
from hsmkms.ports.store import ClockworkStore, KeyChanges, KeySnapshot, KeyStore
from hsmkms.ports.trail import Trail
from hsmkms.service.authorization import (
    NOTHING_THERE,
    decide_about_account,
    decide_about_key,
    require,
)
from hsmkms.service.budget import InvocationBudget
from hsmkms.service.call import Call
from hsmkms.service.key_context import NO_PARTICULARS, Particulars
from hsmkms.service.key_making import KeyMaker
from hsmkms.service.key_states import require_state
from hsmkms.service.lifecycle import LifecycleSettings
from hsmkms.service.service_keys import key_on_first_use
from hsmkms.service.usage import UsageNotes
from hsmkms.service.version_making import VersionMaker
from hsmkms.service.wrappings import WrappingNotes

RESERVED_ALIAS_PREFIX: Final = "alias/aws/"


@dataclass(frozen=True)
class RegionRoom:
    """One region's token, store, budget, notes and trail, and how its keys are named and reached.

    Attributes:
        directory: who exists, for policies and grants that name principals.
        usage: when each version was used last.
        time: what was observed of it.
        rules: the operator's, for the life of keys.
        reserved_alias_prefix: begins the names of services' aliases, which nobody else may give.
    """

    region: Region
    hsm: Hsm
    keys: KeyStore
    directory: Directory
    budget: InvocationBudget
    wrappings: WrappingNotes
    usage: UsageNotes
    time: ClockworkStore
    trail: Trail
    clock: Clock
    rules: LifecycleSettings = field(default_factory=LifecycleSettings, kw_only=True)
    reserved_alias_prefix: str = field(default=RESERVED_ALIAS_PREFIX, kw_only=True)

    @property
    def maker(self) -> KeyMaker:
        """Makes this region's keys."""
        return KeyMaker(self.hsm, self.keys, self.budget, self.clock)

    @property
    def version_maker(self) -> VersionMaker:
        """Gives this region's keys new versions."""
        return VersionMaker(self.region, self.hsm, self.keys, self.budget, self.trail, self.clock)

    def key_arn(self, key: Key) -> str:
        """The ARN of a key of this region."""
        return key_arn(self.region, key.account, key.key_id)

    def key_material_id(self, key: Key) -> str | None:
        """AWS's KeyMaterialId of the version that encrypts; None while there is none."""
        if key.current_material_id is None:
            return None
        return key_material_id(key.key_id, key.current_material_id)

    def resolve(
        self, call: Call, action: Action, key_ref: str, particulars: Particulars = NO_PARTICULARS
    ) -> Key:
        """The key that an id, a key ARN, an alias name or an alias ARN names, if the caller may do this.

        Raises:
            NotFoundError: no such key or alias in the caller's account, or an ARN of another region.
            InvalidArnError: malformed ARN.
            AccessDeniedError: the caller may not; or an ARN of another account that names nothing.
            InvalidGrantTokenError: a grant token that is not this service's came along.
        """
        snapshot = self.keys.snapshot()
        key, alias_name = self._find(snapshot, call, action, key_ref, particulars)
        if key.key_id not in snapshot.keys:
            snapshot = self.keys.snapshot()  # it was made just now
        self.require_allowed(call, action, key, particulars, snapshot=snapshot, request_alias=alias_name)
        call.resources.append(self.key_arn(key))
        self.require_known_grant_tokens(call, snapshot)
        return key

    def resolve_without_alias(
        self, call: Call, action: Action, key_ref: str, particulars: Particulars = NO_PARTICULARS
    ) -> Key:
        """Like ``resolve``, for the operations that take a key id or key ARN only."""
        _require_no_alias(key_ref)
        return self.resolve(call, action, key_ref, particulars)

    def find_without_alias(self, snapshot: KeySnapshot, call: Call, action: Action, key_ref: str) -> Key:
        """The key that a key id or key ARN names; leave is still to be asked.

        Raises:
            NotFoundError, InvalidArnError, AccessDeniedError: as ``resolve``.
        """
        _require_no_alias(key_ref)
        return self._find(snapshot, call, action, key_ref, NO_PARTICULARS)[0]

    def require_allowed(
        self,
        call: Call,
        action: Action,
        key: Key,
        particulars: Particulars = NO_PARTICULARS,
        *,
        snapshot: KeySnapshot | None = None,
        request_alias: str | None = None,
    ) -> None:
        """Ask for leave to do something with a key, note the answer for the record, refuse as AWS words it.

        Raises:
            AccessDeniedError: the caller may not.
        """
        arn = self.key_arn(key)
        verdict = decide_about_key(
            call, action, snapshot or self.keys.snapshot(), key, arn, particulars, request_alias
        )
        if request_alias is not None and key.account != call.caller.account:
            # Which key another account's alias names, or that there is one, is for the allowed alone.
            arn = alias_arn(self.region, key.account, request_alias)
        require(call, action, key.account, arn, verdict)

    def require_still_allowed(
        self, call: Call, action: Action, key: Key, particulars: Particulars = NO_PARTICULARS
    ) -> None:
        """Ask again inside a write transaction: what gives rights must not outlive the right to give them.

        Raises:
            AccessDeniedError: another writer has taken the right away since the first question.
        """
        arn = self.key_arn(key)
        verdict = decide_about_key(call, action, self.keys.snapshot(), key, arn, particulars)
        if not verdict.allowed:
            require(call, action, key.account, arn, verdict)

    def require_allowed_in_account(
        self, call: Call, action: Action, resource_arn: str = "*", particulars: Particulars = NO_PARTICULARS
    ) -> None:
        """Ask for leave to do in the caller's account what concerns no key; as ``require_allowed``."""
        verdict = decide_about_account(call, action, resource_arn, particulars)
        require(call, action, call.caller.account, resource_arn, verdict)

    def require_known_grant_tokens(self, call: Call, snapshot: KeySnapshot) -> None:
        """Refuse grant tokens that are not this service's, once it is sure that there is a key to grant.

        They give no right: the grants that they stand for are known to every worker at once.

        Raises:
            InvalidGrantTokenError: one is malformed, forged, or of a grant that is gone.
        """
        for grant_token in call.grant_tokens:
            self.grant_of_token(snapshot, grant_token)

    def grant_of_token(self, snapshot: KeySnapshot, grant_token: str) -> Grant:
        """The grant that a token was given out for.

        Raises:
            InvalidGrantTokenError: as ``require_known_grant_tokens``.
        """
        grant_id = granted_by(grant_token)
        grant = None if grant_id is None else snapshot.grants.by_id.get(grant_id)
        if grant is None or not is_token_of(grant_token, grant.token_key):
            raise InvalidGrantTokenError
        return grant

    def require_state(self, action: Action, key: Key) -> None:
        """Refuse what a key's state forbids.

        Raises:
            KeyDisabledError, KeyStateError: it does; see ``key_states.MATRIX``.
        """
        if key.state is not KeyState.ENABLED or action is Action.CANCEL_KEY_DELETION:
            require_state(action, key, self.key_arn(key))

    def require_present(self, change: KeyChanges, key_id: KeyId) -> Key:
        """A key as the latest commit has it, inside a write transaction.

        Raises:
            NotFoundError: it has gone since it was resolved.
        """
        key = change.key(key_id)
        if key is None:
            raise NotFoundError(f"Key '{key_id}' does not exist")
        return key

    def peek(self, snapshot: KeySnapshot, call: Call, key_ref: str) -> KeyId | None:
        """Which key a reference names, as far as can be told without leave and without making any."""
        account, alias_name, key_id = self._parts(call, key_ref)
        return key_id if alias_name is None else snapshot.aliases.get((account, alias_name))

    def _find(
        self, snapshot: KeySnapshot, call: Call, action: Action, key_ref: str, particulars: Particulars
    ) -> tuple[Key, str | None]:
        """The key that a reference names, and the alias by which it does; leave is not asked yet."""
        account, alias_name, key_id = self._parts(call, key_ref)
        if alias_name is not None:
            return self._aliased_key(snapshot, call, action, account, alias_name, particulars), alias_name
        key = snapshot.keys.get(key_id)
        if key is None or key.account != account:
            key_name = key_arn(self.region, account, key_id)
            self._require_own(call, action, account, key_name)
            # An id has one spelling: in capitals it is no key's.
            if AWS_KEY_ID_PATTERN.fullmatch(key_id) is None:
                raise NotFoundError(f"Invalid keyId '{key_id}'")
            raise NotFoundError(f"Key '{key_name}' does not exist")
        return key, None

    def _parts(self, call: Call, key_ref: str) -> tuple[AccountId, str | None, KeyId]:
        """A reference's account and alias name; or, where the alias name is None, its key id."""
        if not key_ref.startswith("arn:"):
            return call.caller.account, *_alias_or_key(key_ref, key_ref)
        arn = parse_kms_arn(key_ref)
        if arn.region != self.region:
            raise NotFoundError(f"Invalid arn {arn.region}")
        return arn.account, *_alias_or_key(arn.resource, arn.resource.removeprefix("key/"))

    def _aliased_key(
        self,
        snapshot: KeySnapshot,
        call: Call,
        action: Action,
        account: AccountId,
        alias_name: str,
        particulars: Particulars,
    ) -> Key:
        key_id = snapshot.aliases.get((account, alias_name))
        if key_id is None:
            via = call.caller.via
            is_own = via is not None and alias_name == self.reserved_alias_prefix + via.alias
            if is_own and account == call.caller.account:
                made = key_on_first_use(
                    self.maker, self.region, call, action, alias_name, particulars, self.rules
                )
                if made is not None:
                    return made
            arn = alias_arn(self.region, account, alias_name)
            self._require_own(call, action, account, arn)
            raise NotFoundError(f"Alias {arn} is not found.")
        return snapshot.keys[key_id]

    def _require_own(self, call: Call, action: Action, account: AccountId, arn: str) -> None:
        """Refuse to say of another account's key whether it exists; the operator's are services' own."""
        if account != call.caller.account or account == OPERATOR_ACCOUNT:
            require(call, action, account, arn, NOTHING_THERE)


def current_version(key: Key) -> KeyVersion:
    """The version that encrypts, of a key whose state allows that: it has one, and that one its object."""
    return key.versions[cast("MaterialId", key.current_material_id)]


def _require_no_alias(key_ref: str) -> None:
    is_arn = key_ref.startswith("arn:")
    if (parse_kms_arn(key_ref).resource if is_arn else key_ref).startswith(ALIAS_PREFIX):
        raise InvalidArnError("Key Aliases are not supported for this operation.")


def _alias_or_key(resource: str, key_id: str) -> tuple[str | None, KeyId]:
    is_alias = resource.startswith(ALIAS_PREFIX)
    return (resource, KeyId("")) if is_alias else (None, KeyId(key_id))
