"""Deletion of keys: scheduling it, taking it back, and what is done when the day has come.

Spec: AWS KMS API Reference, ScheduleKeyDeletion, CancelKeyDeletion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final

from hsmkms.errors import ValidationError
from hsmkms.model.actions import Action
from hsmkms.model.keys import Key, KeyState, VersionState
from hsmkms.service.call import Call
from hsmkms.service.key_context import Particulars
from hsmkms.service.region import RegionRoom
from hsmkms.service.results import ScheduledDeletion

LONGEST_WINDOW_DAYS: Final = 30


class DeletionVerbs(RegionRoom):
    """The verbs about deletion."""

    def schedule_key_deletion(self, call: Call, key_ref: str, window_days: int | None) -> ScheduledDeletion:
        """Stop all cryptography with a key, and delete it after so many days (30 by default).

        Raises:
            ValidationError: fewer days than the operator's minimum (7 by default), or more than 30.
            KeyStateError: that is scheduled already.
        """
        days = self.deletion_window(window_days)
        particulars = Particulars(more={"kms:schedulekeydeletionpendingwindowindays": (str(days),)})
        key = self.resolve_without_alias(call, Action.SCHEDULE_KEY_DELETION, key_ref, particulars)
        return self.schedule_deletion(
            key,
            days,
            lambda: self.require_still_allowed(call, Action.SCHEDULE_KEY_DELETION, key, particulars),
        )

    def cancel_key_deletion(self, call: Call, key_ref: str) -> str:
        """Keep a key that was to be deleted: it is disabled then, or waits for its material.

        Returns:
            The key's ARN.

        Raises:
            KeyStateError: its deletion is not scheduled.
        """
        key = self.resolve_without_alias(call, Action.CANCEL_KEY_DELETION, key_ref)
        self.cancel_deletion(key)
        return self.key_arn(key)

    def deletion_window(self, window_days: int | None) -> int:
        """The days that a deletion has to wait; 30 for None.

        Raises:
            ValidationError: fewer than the operator's minimum, or more than 30.
        """
        days = LONGEST_WINDOW_DAYS if window_days is None else window_days
        minimum = self.rules.minimum_deletion_window_days
        if not minimum <= days <= LONGEST_WINDOW_DAYS:
            raise ValidationError(
                f"PendingWindowInDays must be between {minimum} and {LONGEST_WINDOW_DAYS} (inclusive)"
            )
        return days

    def schedule_deletion(
        self, key: Key, days: int, require_allowed: Callable[[], None]
    ) -> ScheduledDeletion:
        """Schedule a key's deletion; who may is asked once more inside the transaction."""
        now, observed = self.clock.now(), self.time.observed()
        # A clock that is behind what was observed does not shorten the wait.
        deletion_at = (now if observed is None else max(now, observed.trusted)) + timedelta(days=days)
        with self.keys.change() as change:
            key = self.require_present(change, key.key_id)
            self.require_state(Action.SCHEDULE_KEY_DELETION, key)
            require_allowed()
            change.put_key(replace(key, state=KeyState.PENDING_DELETION, deletion_at=deletion_at))
        return ScheduledDeletion(self.key_arn(key), deletion_at, KeyState.PENDING_DELETION, days)

    def cancel_deletion(self, key: Key) -> None:
        """Keep a key; see ``cancel_key_deletion``."""
        with self.keys.change() as change:
            key = self.require_present(change, key.key_id)
            self.require_state(Action.CANCEL_KEY_DELETION, key)
            change.put_key(replace(key, state=state_at_rest(key), deletion_at=None))


def state_at_rest(key: Key) -> KeyState:
    """The state of a key that is not in use: Disabled, or PendingImport without its material."""
    return KeyState.PENDING_IMPORT if lacks_material(key) else KeyState.DISABLED


def lacks_material(key: Key) -> bool:
    """Whether a key has none yet, or lost some of what its ciphertexts need."""
    gone = (VersionState.DESTROYING, VersionState.PENDING_IMPORT, VersionState.IMPORTING)
    return key.current_material_id is None or any(
        version.state in gone and version.check_value for version in key.other_versions.values()
    )
