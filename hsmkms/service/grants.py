"""Grants: making, listing, retiring and revoking them.

A grant counts for the next request of every worker, so grant tokens are never needed; they are given and
taken because clients send them.

Spec: AWS KMS API Reference, CreateGrant, ListGrants, ListRetirableGrants, RetireGrant, RevokeGrant.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from hsmkms.errors import (
    DryRunError,
    InvalidArnError,
    InvalidGrantIdError,
    LimitExceededError,
    NotFoundError,
    ValidationError,
)
from hsmkms.formats.grant_token import NONCE_LENGTH, make_grant_token
from hsmkms.formats.marker import ListKind
from hsmkms.model.actions import Action
from hsmkms.model.grants import Grant, Grantee
from hsmkms.model.keys import Key, KeyUsage
from hsmkms.model.names import KeyId
from hsmkms.model.principals import Principal, PrincipalKind
from hsmkms.policy.binding import principal_id
from hsmkms.policy.evaluation import Cause, Verdict
from hsmkms.ports.store import KeyChanges, KeySnapshot
from hsmkms.service.authorization import decide_about_retiring, require
from hsmkms.service.call import Call
from hsmkms.service.key_context import Particulars
from hsmkms.service.paging import page_of, position
from hsmkms.service.region import RegionRoom
from hsmkms.service.results import CreatedGrant, Page, ShownGrant

GRANTS_PER_KEY: Final = 50_000

_GRANT_ID: Final = re.compile(r"[0-9a-f]{64}")
_GRANTABLE: Final[Mapping[KeyUsage, frozenset[Action]]] = {
    KeyUsage.ENCRYPT_DECRYPT: frozenset(
        {
            *(Action.ENCRYPT, Action.DECRYPT, Action.RE_ENCRYPT_FROM, Action.RE_ENCRYPT_TO),
            *(Action.GENERATE_DATA_KEY, Action.GENERATE_DATA_KEY_WITHOUT_PLAINTEXT),
            *(Action.GENERATE_DATA_KEY_PAIR, Action.GENERATE_DATA_KEY_PAIR_WITHOUT_PLAINTEXT),
            *(Action.CREATE_GRANT, Action.RETIRE_GRANT, Action.DESCRIBE_KEY),
        }
    )
}


@dataclass(frozen=True, slots=True)
class GrantPlan:
    """What a grant shall say; names are not looked up yet.

    Attributes:
        grantee, retiring: ARNs, or names of services where ``grantee_is_service`` or ``retiring_is_service``.
        operations: AWS's names, such as ``Decrypt``.
    """

    grantee: str
    operations: Sequence[str]
    retiring: str | None = None
    name: str | None = None
    context_equals: Mapping[str, str] | None = None
    context_subset: Mapping[str, str] | None = None
    source_arn: str | None = None
    grantee_is_service: bool = False
    retiring_is_service: bool = False


class GrantVerbs(RegionRoom):
    """The verbs about grants."""

    def create_grant(self, call: Call, key_ref: str, plan: GrantPlan, *, dry_run: bool) -> CreatedGrant:
        """Allow operations to a grantee; the same call with the same name again gives the same grant.

        Raises:
            InvalidArnError: grantee or retiring principal does not exist.
            ValidationError: an operation that such a key does not have.
            LimitExceededError: the key has 50,000 grants.
        """
        offered = self._offered(call, plan)
        particulars = Particulars(more=_conditions(call, plan), offered=offered)
        key = self.resolve_without_alias(call, Action.CREATE_GRANT, key_ref, particulars)
        self.require_state(Action.CREATE_GRANT, key)
        _require_grantable(key, plan.operations)
        grant = replace(
            offered,
            key_id=key.key_id,
            grantee=self._grantee(plan.grantee, is_service=plan.grantee_is_service),
            retiring=None
            if plan.retiring is None
            else self._grantee(plan.retiring, is_service=plan.retiring_is_service),
        )
        if dry_run:
            raise DryRunError
        with self.keys.change() as change:
            self.require_state(Action.CREATE_GRANT, self.require_present(change, key.key_id))
            self.require_still_allowed(call, Action.CREATE_GRANT, key, particulars)
            grant = _same_grant(change, grant) or self._added(change, key, grant)
        call.additional["grantId"] = grant.grant_id
        nonce = secrets.token_bytes(NONCE_LENGTH)
        return CreatedGrant(grant.grant_id, make_grant_token(grant.grant_id, grant.token_key, nonce))

    def list_grants(
        self,
        call: Call,
        key_ref: str,
        *,
        grant_id: str | None,
        grantee: str | None,
        grantee_is_service: bool,
        limit: int,
        marker: str | None,
    ) -> Page[ShownGrant]:
        """A key's grants, in the order of their ids."""
        particulars = Particulars(more=_service_condition(call))
        key = self.resolve_without_alias(call, Action.LIST_GRANTS, key_ref, particulars)
        if grant_id is not None:
            _require_grant_id(grant_id)
        grantee_id = (
            None if grantee is None else self._grantee(grantee, is_service=grantee_is_service).unique_id
        )
        after = position(ListKind.GRANTS, marker)
        grants = self.keys.list_grants(
            key.key_id, grant_id=grant_id, grantee_id=grantee_id, after=after, limit=limit + 1
        )
        return self._shown(page_of(ListKind.GRANTS, grants, limit, lambda grant: grant.grant_id))

    def list_retirable_grants(
        self, call: Call, retiring: str, *, retiring_is_service: bool, limit: int, marker: str | None
    ) -> Page[ShownGrant]:
        """All grants of the region that a principal of the caller's account may retire, as it was named."""
        # The resource is the retiring principal (API Reference, ListRetirableGrants).
        self.require_allowed_in_account(call, Action.LIST_RETIRABLE_GRANTS, retiring)
        named = self._grantee(retiring, is_service=retiring_is_service)
        # A service is of no account: its grants are of all of them.
        is_own = not retiring_is_service and named.arn.split(":")[4] == call.caller.account
        if not is_own:
            foreign = Verdict(False, "the principal is of another account", Cause.NO_IDENTITY_POLICY)
            require(call, Action.LIST_RETIRABLE_GRANTS, call.caller.account, named.arn, foreign)
        after = position(ListKind.RETIRABLE_GRANTS, marker)
        grants = self.keys.list_retirable_grants(named.unique_id, after, limit + 1)
        return self._shown(page_of(ListKind.RETIRABLE_GRANTS, grants, limit, lambda grant: grant.grant_id))

    def retire_grant_of_token(self, call: Call, grant_token: str, *, dry_run: bool) -> None:
        """Remove a grant, as one for whom it is made to be removed.

        Raises:
            InvalidGrantTokenError: no grant's token.
            AccessDeniedError: the caller is not the one.
        """
        snapshot = self.keys.snapshot()
        grant = self.grant_of_token(snapshot, grant_token)
        self._retire(call, snapshot, snapshot.keys[grant.key_id], grant, dry_run=dry_run)

    def retire_grant(self, call: Call, key_ref: str, grant_id: str, *, dry_run: bool) -> None:
        """Remove a grant, as one for whom it is made to be removed.

        Raises:
            InvalidGrantIdError, NotFoundError: the key has no such grant.
            AccessDeniedError: the caller is not the one.
        """
        _require_grant_id(grant_id)
        snapshot = self.keys.snapshot()
        key = self.find_without_alias(snapshot, call, Action.RETIRE_GRANT, key_ref)
        grant = snapshot.grants.by_id.get(grant_id)
        if grant is None or grant.key_id != key.key_id:
            # A stranger learns nothing of which grants there are.
            self._require_retirer(call, snapshot, key, None)
            raise NotFoundError(f"Grant ID {grant_id} not found")
        self._retire(call, snapshot, key, grant, dry_run=dry_run)

    def revoke_grant(self, call: Call, key_ref: str, grant_id: str, *, dry_run: bool) -> None:
        """Remove a grant, as one who manages the key; it counts for nobody's next request.

        Raises:
            InvalidGrantIdError, NotFoundError: the key has no such grant.
        """
        particulars = Particulars(more=_service_condition(call))
        key = self.resolve_without_alias(call, Action.REVOKE_GRANT, key_ref, particulars)
        _require_grant_id(grant_id)
        call.additional["grantId"] = grant_id
        self._remove(key, grant_id, dry_run=dry_run)

    def _retire(self, call: Call, snapshot: KeySnapshot, key: Key, grant: Grant, *, dry_run: bool) -> None:
        self._require_retirer(call, snapshot, key, grant)
        call.resources.append(self.key_arn(key))
        call.additional["grantId"] = grant.grant_id
        self._remove(key, grant.grant_id, dry_run=dry_run)

    def _require_retirer(self, call: Call, snapshot: KeySnapshot, key: Key, grant: Grant | None) -> None:
        arn = self.key_arn(key)
        particulars = Particulars(more={} if grant is None else _constraint_conditions(grant))
        by_grant = _may_retire(call.caller.principal, key, grant)
        verdict = decide_about_retiring(call, snapshot, key, arn, particulars, by_grant)
        require(call, Action.RETIRE_GRANT, key.account, arn, verdict)

    def _remove(self, key: Key, grant_id: str, *, dry_run: bool) -> None:
        with self.keys.change() as change:
            grant = change.grant(grant_id)
            if grant is None or grant.key_id != key.key_id:
                raise NotFoundError(f"Grant ID {grant_id} not found")
            if dry_run:
                raise DryRunError
            change.remove_grant(grant_id)

    def _offered(self, call: Call, plan: GrantPlan) -> Grant:
        """The grant as far as it matters for whether the caller may create it."""
        return Grant(
            grant_id=secrets.token_hex(32),
            key_id=KeyId(""),
            grantee=Grantee(plan.grantee, ""),
            actions=frozenset(Action(f"kms:{operation}") for operation in plan.operations),
            issuing_account=call.caller.account,
            created_at=self.clock.now(),
            name=plan.name,
            context_equals=plan.context_equals,
            context_subset=plan.context_subset,
            source_arn=plan.source_arn,
            token_key=secrets.token_bytes(16),
        )

    def _added(self, change: KeyChanges, key: Key, grant: Grant) -> Grant:
        if change.count_grants(key.key_id) >= GRANTS_PER_KEY:
            raise LimitExceededError(f"{self.key_arn(key)} has {GRANTS_PER_KEY} grants already")
        change.add_grant(grant)
        return grant

    def _grantee(self, name: str, *, is_service: bool) -> Grantee:
        unique_id = principal_id(name, self.directory.snapshot())
        if unique_id is None or is_service is name.startswith("arn:"):
            raise InvalidArnError(f"ARN does not refer to a valid principal: {name}")
        return Grantee(name, unique_id)

    def _shown(self, page: Page[Grant]) -> Page[ShownGrant]:
        """Grants with the names of those who are still there, and unique ids in place of others."""
        bearers = self.directory.snapshot()
        snapshot = self.keys.snapshot()

        def name_of(one: Grantee | None) -> str | None:
            if one is None:
                return None
            return one.arn if principal_id(one.arn, bearers) == one.unique_id else one.unique_id

        shown = [
            ShownGrant(
                grant,
                self.key_arn(snapshot.keys[grant.key_id]),
                name_of(grant.grantee) or "",
                name_of(grant.retiring),
            )
            for grant in page.items
            if grant.key_id in snapshot.keys
        ]
        return Page(shown, page.next_marker)


def _same_grant(change: KeyChanges, grant: Grant) -> Grant | None:
    """The grant that an earlier call with the same name and parameters made."""
    if grant.name is None:
        return None
    for known in change.grants_named(grant.key_id, grant.name):
        as_new = replace(
            grant, grant_id=known.grant_id, token_key=known.token_key, created_at=known.created_at
        )
        if as_new == known:
            return known
    return None


def _may_retire(principal: Principal, key: Key, grant: Grant | None) -> Verdict:
    is_root = principal.kind is PrincipalKind.ROOT
    if is_root and principal.account == key.account:
        return Verdict(True, "the root principal of the key's account may retire every grant")
    # An account that is named stands for its root alone here.
    ids = {unique_id for unique_id in principal.ids if is_root or unique_id != principal.account}
    if grant is not None:
        if grant.retiring is not None and grant.retiring.unique_id in ids:
            return Verdict(True, f"the retiring principal of grant {grant.grant_id}")
        if Action.RETIRE_GRANT in grant.actions and grant.grantee.unique_id in ids:
            return Verdict(True, f"grant {grant.grant_id} allows it")
    return Verdict(False, "neither retiring principal nor grantee who may retire it", Cause.NO_KEY_POLICY)


def _require_grantable(key: Key, operations: Sequence[str]) -> None:
    grantable = _GRANTABLE[key.key_usage]
    wrong = [operation for operation in operations if Action(f"kms:{operation}") not in grantable]
    if wrong:
        raise ValidationError(
            f"Operations [{', '.join(wrong)}] are not valid for a key with KeyUsage {key.key_usage}"
        )


def _require_grant_id(grant_id: str) -> None:
    if _GRANT_ID.fullmatch(grant_id) is None:
        raise InvalidGrantIdError("The specified grant ID is not valid.")


def _conditions(call: Call, plan: GrantPlan) -> Mapping[str, tuple[str, ...]]:
    """AWS Service Authorization Reference, "AWS KMS", condition keys of CreateGrant."""
    grantee = "kms:granteeserviceprincipal" if plan.grantee_is_service else "kms:granteeprincipal"
    more = {
        "kms:grantoperations": tuple(plan.operations),
        grantee: (plan.grantee,),
        **_constraint_conditions(plan),
        **_service_condition(call),
    }
    if plan.retiring is not None:
        retiring = "kms:retiringserviceprincipal" if plan.retiring_is_service else "kms:retiringprincipal"
        more[retiring] = (plan.retiring,)
    if plan.source_arn is not None:
        more["kms:grantconstraintsourcearn"] = (plan.source_arn,)
    return more


def _constraint_conditions(of: GrantPlan | Grant) -> dict[str, tuple[str, ...]]:
    """What constraints on the encryption context say to conditions, of a grant to be made or retired."""
    constraints = {
        "EncryptionContextEquals": of.context_equals,
        "EncryptionContextSubset": of.context_subset,
    }
    types = tuple(name for name, constraint in constraints.items() if constraint is not None)
    more: dict[str, tuple[str, ...]] = {"kms:grantconstrainttype": types} if types else {}
    pairs = [pair for constraint in constraints.values() for pair in (constraint or {}).items()]
    if pairs:
        more["kms:encryptioncontextkeys"] = tuple(dict.fromkeys(name for name, _ in pairs))
    for name, value in pairs:
        key = f"kms:encryptioncontext:{name.lower()}"
        more[key] = (*more.get(key, ()), value)
    return more


def _service_condition(call: Call) -> dict[str, tuple[str, ...]]:
    is_for_service = call.caller.via is not None and call.caller.via.on_behalf
    return {"kms:grantisforawsresource": (str(is_for_service).lower(),)}
