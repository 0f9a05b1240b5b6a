"""Key policies: reading them, putting them, and keeping a key from being locked for ever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hsmkms.errors import LockoutError, NotFoundError
from hsmkms.formats.marker import ListKind
from hsmkms.model.actions import Action
from hsmkms.model.keys import Key
from hsmkms.model.names import AccountId
from hsmkms.policy.binding import bind_principals, shown_text
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.evaluation import Request, decide_on_key
from hsmkms.policy.parsing import parse_policy
from hsmkms.policy.stored import StoredPolicy
from hsmkms.service.call import Call
from hsmkms.service.key_context import NO_PARTICULARS, KeyContext, Particulars
from hsmkms.service.paging import page_of, position
from hsmkms.service.region import RegionRoom
from hsmkms.service.results import Page

POLICY_NAME: Final = "default"
"""The one policy that a key has."""


class KeyPolicyVerbs(RegionRoom):
    """The verbs about key policies."""

    def get_key_policy(self, call: Call, key_ref: str, policy_name: str) -> str:
        """A key's policy as it was put; where a principal is gone, its unique id stands.

        Raises:
            NotFoundError: a policy of another name.
        """
        key = self.resolve_without_alias(call, Action.GET_KEY_POLICY, key_ref)
        _require_default(policy_name)
        policy = self.keys.snapshot().policies[key.key_id]
        return shown_text(policy.text, policy.ids, self.directory.snapshot())

    def put_key_policy(
        self, call: Call, key_ref: str, policy_name: str, text: str, *, bypasses_lockout_check: bool
    ) -> None:
        """Replace a key's policy, in every process, for every request from now on.

        Raises:
            MalformedPolicyDocumentError: no key policy, or one that names somebody who does not exist.
            LockoutError: the caller could not change it any more, and did not say that this is meant.
            NotFoundError: a policy of another name.
        """
        particulars = Particulars(more=bypass_condition(bypasses_lockout_check=bypasses_lockout_check))
        key = self.resolve_without_alias(call, Action.PUT_KEY_POLICY, key_ref, particulars)
        _require_default(policy_name)
        policy = self.bound_key_policy(text)
        if not bypasses_lockout_check:
            self.require_no_lockout(call, policy, key.account, key)
        with self.keys.change() as change:
            self.require_present(change, key.key_id)
            self.require_still_allowed(call, Action.PUT_KEY_POLICY, key, particulars)
            change.set_policy(key.key_id, policy)

    def list_key_policies(self, call: Call, key_ref: str, *, limit: int, marker: str | None) -> Page[str]:
        """The names of a key's policies: it has one."""
        self.resolve_without_alias(call, Action.LIST_KEY_POLICIES, key_ref)
        after = position(ListKind.POLICIES, marker)
        names = [] if after is not None and after >= POLICY_NAME else [POLICY_NAME]
        return page_of(ListKind.POLICIES, names, limit, str)

    def bound_key_policy(self, text: str) -> StoredPolicy:
        """A key policy whose principals exist, each bound to who bears the name now.

        Raises:
            MalformedPolicyDocumentError: as ``put_key_policy``.
        """
        policy = parse_policy(text, PolicyKind.KEY)
        return StoredPolicy(PolicyKind.KEY, text, bind_principals(policy, self.directory.snapshot()))

    def require_no_lockout(
        self, call: Call, policy: StoredPolicy, account: AccountId, key: Key | None = None
    ) -> None:
        """Refuse a policy under which the caller could not put another one.

        Args:
            key: whose policy it shall be; None for one that is to be made.

        Raises:
            LockoutError: so it is.
        """
        caller = call.caller
        arn = "*" if key is None else self.key_arn(key)
        context = KeyContext(call, key, NO_PARTICULARS)
        request = Request(caller.principal, Action.PUT_KEY_POLICY, arn, account, context)
        if not decide_on_key(request, policy, caller.own, ()).allowed:
            raise LockoutError


def bypass_condition(*, bypasses_lockout_check: bool) -> Mapping[str, tuple[str, ...]]:
    """The condition key that tells whether the caller goes without the lockout check."""
    return {"kms:bypasspolicylockoutsafetycheck": (str(bypasses_lockout_check).lower(),)}


def _require_default(policy_name: str) -> None:
    if policy_name != POLICY_NAME:
        raise NotFoundError("No such policy exists")
