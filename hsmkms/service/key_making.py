"""Making a master key: a row that is pending, an object in the token, a row that is enabled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from hsmkms.errors import AlreadyExistsError, KmsError, LimitExceededError
from hsmkms.model.keys import (
    Alias,
    Key,
    KeyManager,
    KeyOrigin,
    KeySpec,
    KeyState,
    KeyUsage,
    KeyVersion,
    Tag,
    VersionState,
)
from hsmkms.model.names import AccountId, KeyId, MaterialId
from hsmkms.policy.stored import StoredPolicy
from hsmkms.ports.clock import Clock
from hsmkms.ports.hsm import Hsm
from hsmkms.ports.store import KeyChanges, KeyStore
from hsmkms.service.budget import InvocationBudget
from hsmkms.service.random_uuid import random_uuid

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """What a new key shall be.

    Attributes:
        alias_name: of an alias that comes with it, or the key does not come either.
    """

    account: AccountId
    policy: StoredPolicy
    description: str = ""
    tags: Sequence[Tag] = ()
    manager: KeyManager = KeyManager.CUSTOMER
    service: str | None = None
    alias_name: str | None = None


@dataclass(frozen=True, slots=True)
class KeyMaker:
    """Makes the keys of one region."""

    hsm: Hsm
    keys: KeyStore
    budget: InvocationBudget
    clock: Clock

    def make(self, plan: KeyPlan) -> Key:
        """Make a key with its first version inside the token.

        The row is written as pending, the object made and checked, and the row enabled, so that a crash at
        any point leaves something that ``doctor`` can name and ``sweep_pending_keys`` can undo.

        Raises:
            LimitExceededError: the token is full.
            AlreadyExistsError: the plan's alias is taken; no key was made.
        """
        now = self.clock.now()
        key_id = KeyId(random_uuid())
        material_id = MaterialId(self.hsm.random(16))
        key = Key(
            account=plan.account,
            key_id=key_id,
            state=KeyState.CREATING,
            description=plan.description,
            key_spec=KeySpec.SYMMETRIC_DEFAULT,
            key_usage=KeyUsage.ENCRYPT_DECRYPT,
            origin=KeyOrigin.AWS_KMS,
            created_at=now,
            current_material_id=None,
            manager=plan.manager,
            service=plan.service,
        )
        version = KeyVersion(key_id, material_id, VersionState.PENDING, b"", now)
        with self.keys.change() as change:
            change.add_pending_key(key, version, plan.tags, plan.policy)
        # The check value is an encryption too, and the key's first block covers it.
        self.budget.take(material_id, may_block=True)
        try:
            check_value = self.hsm.create_material(key_id, material_id)
        except LimitExceededError:
            # The token said that it made nothing, so there is nothing for the sweep to look after.
            with self.keys.change() as change:
                change.remove_pending_key(key_id)
            raise
        try:
            with self.keys.change() as change:
                enabled = change.enable_pending_key(key_id, material_id, check_value)
                self._add_alias(change, plan, key_id)
        except AlreadyExistsError:
            self.unmake(version)
            raise
        return enabled

    def unmake(self, version: KeyVersion) -> bool:
        """Undo a key that was begun and never enabled: the object first, then the row.

        Returns:
            False when the token failed; then the row stays for the next sweep.
        """
        try:
            self.hsm.destroy_material(version.material_id)
        except KmsError as error:
            _log.warning("sweep_postponed", key_id=version.key_id, reason=str(error))
            return False
        with self.keys.change() as change:
            change.remove_pending_key(version.key_id)
        return True

    def _add_alias(self, change: KeyChanges, plan: KeyPlan, key_id: KeyId) -> None:
        if plan.alias_name is not None:
            now = self.clock.now()
            change.add_alias(Alias(plan.account, plan.alias_name, key_id, now, now))
