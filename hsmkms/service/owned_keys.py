"""Keys that a registered service owns: the operator makes, rotates and deletes them, and no caller can."""

from __future__ import annotations

from typing import cast

from hsmkms.errors import ConflictError, NotFoundError, ValidationError
from hsmkms.model.actions import Action
from hsmkms.model.keys import Key, KeyManager, KeyState, RotationType
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.service.deletion import DeletionVerbs
from hsmkms.service.keys import KeyVerbs
from hsmkms.service.results import ScheduledDeletion
from hsmkms.service.rotation import RotationVerbs
from hsmkms.service.service_keys import service_owned_plan


class OwnedKeyVerbs(KeyVerbs, RotationVerbs, DeletionVerbs):
    """The operator's verbs."""

    def create_service_owned_key(self, service_name: str, description: str) -> Key:
        """Make a key that a registered service owns.

        Raises:
            NotFoundError: no such service.
            LimitExceededError: the token is full.
        """
        if not self.directory.snapshot().has_service(service_name):
            raise NotFoundError(f"There is no service {service_name}.")
        return self.maker.make(service_owned_plan(service_name, description))

    def set_owned_state(self, key_id: KeyId, state: KeyState) -> None:
        """Enable or disable such a key."""
        action = Action.ENABLE_KEY if state is KeyState.ENABLED else Action.DISABLE_KEY
        self.change_state(self._owned(key_id).key_id, action, state)

    def rotate_owned_key(self, key_id: KeyId) -> Key:
        """Give such a key a new version now, without a limit; the key as it is then."""
        key = self._owned(key_id)
        self.require_state(Action.ROTATE_KEY_ON_DEMAND, key)
        rotated = self.version_maker.rotate(
            key.key_id, RotationType.ON_DEMAND, after=cast("MaterialId", key.current_material_id)
        )
        if rotated.current_material_id == key.current_material_id:
            raise ConflictError(f"{self.key_arn(key)} was rotated by somebody else just now.")
        return rotated

    def set_owned_rotation(self, key_id: KeyId, rotation_days: int | None) -> None:
        """Let such a key rotate every so many days (90 to 2,560), or only when asked."""
        if rotation_days is not None and not 90 <= rotation_days <= 2560:
            raise ValidationError("a rotation period has 90 to 2560 days")
        action = Action.DISABLE_KEY_ROTATION if rotation_days is None else Action.ENABLE_KEY_ROTATION
        self.set_rotation(self._owned(key_id), action, rotation_days)

    def schedule_owned_deletion(self, key_id: KeyId, window_days: int | None) -> ScheduledDeletion:
        """Schedule the deletion of such a key."""
        return self.schedule_deletion(self._owned(key_id), self.deletion_window(window_days), lambda: None)

    def cancel_owned_deletion(self, key_id: KeyId) -> None:
        """Keep such a key after all; it is disabled then."""
        self.cancel_deletion(self._owned(key_id))

    def _owned(self, key_id: KeyId) -> Key:
        key = self.keys.snapshot().keys.get(key_id)
        if key is None or key.manager is not KeyManager.OWNER:
            raise NotFoundError(f"There is no key {key_id} that a service owns.")
        return key
