"""The keys that belong to registered services: one for each account that it serves, and the service's own.

| | customer managed | service managed | service owned |
| --- | --- | --- | --- |
| made | by the customer | on first use by the service for an account | by the operator |
| account | the customer's | the account's | the operator's, which nobody can log in to |
| policy | the customer's | the service's, and nobody can change it | the service's, and nobody sees it |
"""

from __future__ import annotations

from typing import Final

from hsmkms.errors import AlreadyExistsError, DryRunError
from hsmkms.model.actions import Action
from hsmkms.model.keys import Key, KeyManager
from hsmkms.model.names import OPERATOR_ACCOUNT, Region, alias_arn
from hsmkms.policy.defaults import service_managed_key_policy, service_owned_key_policy
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.evaluation import Request, decide_on_key
from hsmkms.policy.stored import StoredPolicy
from hsmkms.service.authorization import require
from hsmkms.service.call import Call, WouldBlockSignal
from hsmkms.service.key_context import KeyContext, Particulars
from hsmkms.service.key_making import KeyMaker, KeyPlan
from hsmkms.service.lifecycle import LifecycleSettings

_FIRST_USES: Final = frozenset(
    {
        *(Action.ENCRYPT, Action.RE_ENCRYPT_TO, Action.CREATE_GRANT),
        *(Action.GENERATE_DATA_KEY, Action.GENERATE_DATA_KEY_WITHOUT_PLAINTEXT),
    }
)
"""What makes a service's key for an account. No Decrypt: nothing was sealed under a key that is not there."""


def service_owned_plan(service_name: str, description: str) -> KeyPlan:
    """A key that a service owns."""
    policy = StoredPolicy(PolicyKind.KEY, service_owned_key_policy(service_name))
    return KeyPlan(OPERATOR_ACCOUNT, policy, description, manager=KeyManager.OWNER, service=service_name)


def key_on_first_use(
    maker: KeyMaker,
    region: Region,
    call: Call,
    action: Action,
    alias_name: str,
    particulars: Particulars,
    rules: LifecycleSettings,
) -> Key | None:
    """The key of the service that asks, made just now, for its own alias in the caller's account.

    Args:
        alias_name: the service's own, which no key of the caller's account has.

    Returns:
        None when it is nobody's first use of such a key.

    Raises:
        AccessDeniedError: the key would not be for this caller either.
        DryRunError: it would be, and this is a rehearsal.
        WouldBlockSignal: the caller may not wait for the token.
    """
    via = call.caller.via
    if via is None or not via.on_behalf or action not in _FIRST_USES:
        return None
    account = call.caller.account
    plan = KeyPlan(
        account,
        StoredPolicy(PolicyKind.KEY, service_managed_key_policy(account, via.name)),
        f"Default key that protects the data of {via.name}",
        manager=KeyManager.SERVICE,
        service=via.name,
        alias_name=alias_name,
        rotation_days=rules.service_key_rotation_days,
    )
    _require_allowed(region, call, action, plan, particulars)
    if particulars.is_rehearsal:
        raise DryRunError
    if not call.may_block:
        raise WouldBlockSignal
    try:
        return maker.make(plan)
    except AlreadyExistsError:
        # Two first uses at once: the other one's key is there now.
        snapshot = maker.keys.snapshot()
        return snapshot.keys[snapshot.aliases[account, plan.alias_name or ""]]


def _require_allowed(
    region: Region, call: Call, action: Action, plan: KeyPlan, particulars: Particulars
) -> None:
    """Ask before there is a key: nothing is made for a caller who may not use it."""
    arn = alias_arn(region, plan.account, plan.alias_name or "")
    context = KeyContext(call, None, particulars, plan.alias_name)
    request = Request(
        call.caller.principal, action, arn, plan.account, context, particulars.encryption_context
    )
    verdict = decide_on_key(request, plan.policy, call.caller.own, ())
    if not verdict.allowed:
        require(call, action, plan.account, arn, verdict)
