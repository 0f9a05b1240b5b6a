"""Making a master key: a row that is pending, an object in the token, a row that is enabled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from hsmkms.errors import DependencyTimeoutError, KmsError, LimitExceededError, NotFoundError
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
from hsmkms.service.version_clearing import clear_version


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """What a new key shall be.

    Attributes:
        alias_name: of an alias that comes with it, or the key does not come either.
        rotation_days: between two automatic rotations; None for none.
    """

    account: AccountId
    policy: StoredPolicy
    description: str = ""
    tags: Sequence[Tag] = ()
    manager: KeyManager = KeyManager.CUSTOMER
    service: str | None = None
    alias_name: str | None = None
    origin: KeyOrigin = KeyOrigin.AWS_KMS
    rotation_days: int | None = None


@dataclass(frozen=True, slots=True)
class KeyMaker:
    """Makes the keys of one region."""

    hsm: Hsm
    keys: KeyStore
    budget: InvocationBudget
    clock: Clock

    def make(self, plan: KeyPlan) -> Key:
        """Make a key with its first version inside the token; one of imported material gets none yet.

        The row is written as pending, the object made and checked, and the row enabled, so that a crash at
        any point leaves something that ``doctor`` can name and ``clear_version`` can undo.

        Raises:
            LimitExceededError: the token is full.
            AlreadyExistsError: the plan's alias is taken; no key was made.
        """
        key = self._new_key(plan)
        if plan.origin is KeyOrigin.EXTERNAL:
            with self.keys.change() as change:
                change.add_key(key, plan.tags, plan.policy)
            return key
        key_id, now = key.key_id, key.created_at
        material_id = MaterialId(self.hsm.random(16))
        version = KeyVersion(key_id, material_id, VersionState.PENDING, b"", now, now)
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
        except NotFoundError as error:
            # It took so long that a sweep has undone it.
            clear_version(self.hsm, self.keys, self.clock, version)
            raise DependencyTimeoutError from error
        except KmsError:
            clear_version(self.hsm, self.keys, self.clock, version)
            raise
        return enabled

    def _new_key(self, plan: KeyPlan) -> Key:
        now = self.clock.now()
        is_external = plan.origin is KeyOrigin.EXTERNAL
        days = plan.rotation_days
        return Key(
            account=plan.account,
            key_id=KeyId(random_uuid()),
            state=KeyState.PENDING_IMPORT if is_external else KeyState.CREATING,
            description=plan.description,
            key_spec=KeySpec.SYMMETRIC_DEFAULT,
            key_usage=KeyUsage.ENCRYPT_DECRYPT,
            origin=plan.origin,
            created_at=now,
            current_material_id=None,
            manager=plan.manager,
            service=plan.service,
            tags={tag.tag_key: tag.tag_value for tag in plan.tags},
            rotation_days=days,
            next_rotation_at=None if days is None else now + timedelta(days=days),
        )

    def _add_alias(self, change: KeyChanges, plan: KeyPlan, key_id: KeyId) -> None:
        if plan.alias_name is not None:
            now = self.clock.now()
            change.add_alias(Alias(plan.account, plan.alias_name, key_id, now, now))
