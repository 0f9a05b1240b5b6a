"""Making, describing, listing, enabling and disabling master keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import structlog

from hsmkms.errors import KmsError, LimitExceededError
from hsmkms.formats.marker import ListKind
from hsmkms.model.actions import Action
from hsmkms.model.identities import Call
from hsmkms.model.keys import Key, KeyOrigin, KeySpec, KeyState, KeyUsage, KeyVersion, Tag, VersionState
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.service.paging import page_of, position
from hsmkms.service.random_uuid import random_uuid
from hsmkms.service.region import RegionRoom
from hsmkms.service.results import Page
from hsmkms.service.tags import require_tags_for_new_key

# A CreateKey that takes longer than this has lost its process, or its token: nobody waits for it any more.
PENDING_KEY_LIFETIME: Final = timedelta(minutes=10)

_log = structlog.get_logger(__name__)


class KeyVerbs(RegionRoom):
    """The verbs about keys as such."""

    def create_key(self, call: Call, *, description: str, tags: Sequence[Tag]) -> Key:
        """Make a key with its first version inside the token.

        The row is written as pending, the object made and checked, and the row enabled, so that a crash at
        any point leaves something that ``doctor`` can name and ``sweep_pending_keys`` can undo.

        Raises:
            LimitExceededError: the token is full.
            TagError: a tag that may not be.
        """
        self.require_allowed(call, Action.CREATE_KEY, call.caller.account, "*")
        require_tags_for_new_key(tags)
        now = self.clock.now()
        key_id = KeyId(random_uuid())
        material_id = MaterialId(self.hsm.random(16))
        key = Key(
            account=call.caller.account,
            key_id=key_id,
            state=KeyState.CREATING,
            description=description,
            key_spec=KeySpec.SYMMETRIC_DEFAULT,
            key_usage=KeyUsage.ENCRYPT_DECRYPT,
            origin=KeyOrigin.AWS_KMS,
            created_at=now,
            current_material_id=None,
        )
        with self.keys.change() as change:
            change.add_pending_key(key, KeyVersion(key_id, material_id, VersionState.PENDING, b"", now), tags)
        # The check value is an encryption too, and the key's first block covers it.
        self.budget.take(material_id, may_block=True)
        try:
            check_value = self.hsm.create_material(key_id, material_id)
        except LimitExceededError:
            # The token said that it made nothing, so there is nothing for the sweep to look after.
            with self.keys.change() as change:
                change.remove_pending_key(key_id)
            raise
        with self.keys.change() as change:
            enabled = change.enable_pending_key(key_id, material_id, check_value)
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
        self.require_allowed(call, Action.LIST_KEYS, call.caller.account, "*")
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
            self.require_changeable(self.require_present(change, key_id))
            change.set_description(key_id, description)

    def sweep_pending_keys(self) -> None:
        """Undo what a crash in the middle of ``create_key`` left behind: the object first, then the row."""
        for version in self.keys.pending_keys(self.clock.now() - PENDING_KEY_LIFETIME):
            try:
                self.hsm.destroy_material(version.material_id)
            except KmsError as error:
                _log.warning("sweep_postponed", key_id=version.key_id, reason=str(error))
                return
            with self.keys.change() as change:
                change.remove_pending_key(version.key_id)
            _log.info("unfinished_key_removed", region=self.region, key_id=version.key_id)

    def _set_state(self, call: Call, action: Action, key_ref: str, state: KeyState) -> None:
        key_id = self.resolve_without_alias(call, action, key_ref).key_id
        with self.keys.change() as change:
            # Read again inside the transaction: another process may have changed it since the snapshot.
            key = self.require_present(change, key_id)
            self.require_changeable(key)
            if key.state is not state:
                change.set_state(key_id, state)
