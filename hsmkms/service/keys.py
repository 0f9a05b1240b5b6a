"""Making, describing, listing, enabling and disabling master keys."""

from __future__ import annotations

from collections.abc import Sequence

from hsmkms.formats.marker import ListKind
from hsmkms.model.actions import Action
from hsmkms.model.keys import Key, KeyOrigin, KeySpec, KeyState, KeyUsage, Tag
from hsmkms.model.names import KeyId
from hsmkms.policy.defaults import default_key_policy
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.stored import StoredPolicy
from hsmkms.service.call import Call
from hsmkms.service.key_context import Particulars
from hsmkms.service.key_making import KeyPlan
from hsmkms.service.key_policies import KeyPolicyVerbs, bypass_condition
from hsmkms.service.paging import page_of, position
from hsmkms.service.results import Page
from hsmkms.service.tags import require_few, require_tags_for_new_key, tag_conditions


class KeyVerbs(KeyPolicyVerbs):
    """The verbs about keys as such."""

    def create_key(
        self,
        call: Call,
        *,
        description: str,
        tags: Sequence[Tag],
        policy_text: str | None = None,
        bypasses_lockout_check: bool = False,
        origin: KeyOrigin = KeyOrigin.AWS_KMS,
    ) -> Key:
        """Make a key with its first version inside the token, or one whose material is to be imported.

        Args:
            policy_text: None for the default policy, by which the account decides.

        Raises:
            LimitExceededError: the token is full.
            MalformedPolicyDocumentError: no key policy, or one that would lock the caller out.
            TagError: a tag that may not be.
        """
        require_few(tags)
        particulars = particulars_of_new_key(tags, origin, bypasses_lockout_check=bypasses_lockout_check)
        self.require_allowed_in_account(call, Action.CREATE_KEY, particulars=particulars)
        if tags:
            self.require_allowed_in_account(call, Action.TAG_RESOURCE, particulars=particulars)
        require_tags_for_new_key(tags)
        account = call.caller.account
        if policy_text is None:
            policy = StoredPolicy(PolicyKind.KEY, default_key_policy(account))
        else:
            policy = self.bound_key_policy(policy_text)
            if not bypasses_lockout_check:
                self.require_no_lockout(call, policy, account)
        enabled = self.maker.make(KeyPlan(account, policy, description, tags, origin=origin))
        call.resources.append(self.key_arn(enabled))
        return enabled

    def describe_key(self, call: Call, key_ref: str) -> Key:
        """A key's metadata, whatever its state."""
        return self.resolve(call, Action.DESCRIBE_KEY, key_ref)

    def list_keys(self, call: Call, *, own: bool = True, limit: int, marker: str | None) -> Page[KeyId]:
        """The ids of the account's keys, in the order of the ids.

        Args:
            own: False asks only for keys that other accounts share, and no account shares any.
        """
        self.require_allowed_in_account(call, Action.LIST_KEYS)
        after = position(ListKind.KEYS, marker)
        if not own:
            return Page((), None)
        key_ids = self.keys.list_keys(call.caller.account, after, limit + 1)
        return page_of(ListKind.KEYS, key_ids, limit, str)

    def enable_key(self, call: Call, key_ref: str) -> None:
        """Let a disabled key do cryptography again; one that is enabled stays so."""
        self._set_state(call, Action.ENABLE_KEY, key_ref, KeyState.ENABLED)

    def disable_key(self, call: Call, key_ref: str) -> None:
        """Stop all cryptography with a key, in every process, for every request from now on."""
        self._set_state(call, Action.DISABLE_KEY, key_ref, KeyState.DISABLED)

    def update_key_description(self, call: Call, key_ref: str, description: str) -> None:
        """Replace a key's description."""
        key_id = self.resolve_without_alias(call, Action.UPDATE_KEY_DESCRIPTION, key_ref).key_id
        with self.keys.change() as change:
            self.require_state(Action.UPDATE_KEY_DESCRIPTION, self.require_present(change, key_id))
            change.set_description(key_id, description)

    def _set_state(self, call: Call, action: Action, key_ref: str, state: KeyState) -> None:
        self.change_state(self.resolve_without_alias(call, action, key_ref).key_id, action, state)

    def change_state(self, key_id: KeyId, action: Action, state: KeyState) -> None:
        """Enable or disable a key.

        Raises:
            KeyStateError: its state forbids the action.
        """
        with self.keys.change() as change:
            # Read again inside the transaction: another process may have changed it since the snapshot.
            key = self.require_present(change, key_id)
            self.require_state(action, key)
            if key.state is not state:
                change.set_state(key_id, state)


def particulars_of_new_key(
    tags: Sequence[Tag], origin: KeyOrigin = KeyOrigin.AWS_KMS, *, bypasses_lockout_check: bool
) -> Particulars:
    """What a request for a new key says of itself."""
    return Particulars(
        more={
            "kms:keyspec": (KeySpec.SYMMETRIC_DEFAULT.value,),
            "kms:customermasterkeyspec": (KeySpec.SYMMETRIC_DEFAULT.value,),
            "kms:keyusage": (KeyUsage.ENCRYPT_DECRYPT.value,),
            "kms:customermasterkeyusage": (KeyUsage.ENCRYPT_DECRYPT.value,),
            "kms:keyorigin": (origin.value,),
            "kms:multiregion": ("false",),
            **bypass_condition(bypasses_lockout_check=bypasses_lockout_check),
            **tag_conditions(tags),
        }
    )
