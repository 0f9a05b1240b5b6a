"""What may be done with a key in which state: AWS's matrix, as one table.

Source: AWS KMS Developer Guide, "Key states of AWS KMS keys". Whatever depends on a key's origin besides,
such as automatic rotation of imported keys, is refused before its state is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from hsmkms.errors import KeyDisabledError, KeyStateError
from hsmkms.model.actions import Action
from hsmkms.model.keys import Key, KeyState

COLUMNS: Final = (
    KeyState.ENABLED,
    KeyState.DISABLED,
    KeyState.PENDING_DELETION,
    KeyState.PENDING_REPLICA_DELETION,
    KeyState.PENDING_IMPORT,
    KeyState.UNAVAILABLE,
    KeyState.CREATING,
    KeyState.UPDATING,
)

_CRYPTOGRAPHY: Final = ".XXXXXX."
_ALWAYS: Final = "........"
_UNLESS_GOING: Final = "..XX...."

# One mark a column: "." it may, "X" it may not.
MATRIX: Final[Mapping[Action, str]] = MappingProxyType(
    {
        Action.CANCEL_KEY_DELETION: "XX..XXXX",
        Action.CREATE_ALIAS: _UNLESS_GOING,
        Action.CREATE_GRANT: ".XXXX.X.",
        Action.DECRYPT: _CRYPTOGRAPHY,
        Action.DELETE_ALIAS: _ALWAYS,
        Action.DELETE_IMPORTED_KEY_MATERIAL: ".....XXX",
        Action.DESCRIBE_KEY: _ALWAYS,
        Action.DISABLE_KEY: "..XXX.XX",
        Action.DISABLE_KEY_ROTATION: _CRYPTOGRAPHY,
        Action.ENABLE_KEY: "..XXX.XX",
        Action.ENABLE_KEY_ROTATION: _CRYPTOGRAPHY,
        Action.ENCRYPT: _CRYPTOGRAPHY,
        Action.GENERATE_DATA_KEY: _CRYPTOGRAPHY,
        Action.GENERATE_DATA_KEY_WITHOUT_PLAINTEXT: _CRYPTOGRAPHY,
        Action.GET_KEY_LAST_USAGE: _ALWAYS,
        Action.GET_KEY_POLICY: _ALWAYS,
        Action.GET_KEY_ROTATION_STATUS: ".....X..",
        Action.GET_PARAMETERS_FOR_IMPORT: "..XX.XXX",
        Action.IMPORT_KEY_MATERIAL: "..XX.XXX",
        Action.LIST_ALIASES: _ALWAYS,
        Action.LIST_GRANTS: _ALWAYS,
        Action.LIST_KEY_POLICIES: _ALWAYS,
        Action.LIST_KEY_ROTATIONS: _ALWAYS,
        Action.LIST_RESOURCE_TAGS: _ALWAYS,
        Action.PUT_KEY_POLICY: _ALWAYS,
        Action.RE_ENCRYPT_FROM: _CRYPTOGRAPHY,
        Action.RE_ENCRYPT_TO: _CRYPTOGRAPHY,
        Action.RETIRE_GRANT: _ALWAYS,
        Action.REVOKE_GRANT: _ALWAYS,
        Action.ROTATE_KEY_ON_DEMAND: ".XXXXXXX",
        Action.SCHEDULE_KEY_DELETION: "..XX...X",
        Action.TAG_RESOURCE: _UNLESS_GOING,
        Action.UNTAG_RESOURCE: _UNLESS_GOING,
        Action.UPDATE_ALIAS: _UNLESS_GOING,
        Action.UPDATE_KEY_DESCRIPTION: _UNLESS_GOING,
    }
)

_REFUSED: Final[Mapping[Action, frozenset[KeyState]]] = {
    action: frozenset(state for state, mark in zip(COLUMNS, marks, strict=True) if mark == "X")
    for action, marks in MATRIX.items()
}

_PHRASES: Final = {
    KeyState.CREATING: "is creating.",
    KeyState.PENDING_DELETION: "is pending deletion.",
    KeyState.PENDING_REPLICA_DELETION: "is pending replica deletion.",
    KeyState.PENDING_IMPORT: "is pending import.",
    KeyState.UNAVAILABLE: "is unavailable.",
    KeyState.UPDATING: "is updating.",
}


def require_state(action: Action, key: Key, key_arn: str) -> None:
    """Let pass what a key's state allows.

    Raises:
        KeyDisabledError: the key would have to be enabled.
        KeyStateError: another state forbids it.
    """
    if key.state not in _REFUSED[action]:
        return
    if action is Action.CANCEL_KEY_DELETION:
        raise KeyStateError(key_arn, "is not pending deletion.")
    if key.state is KeyState.DISABLED:
        raise KeyDisabledError(key_arn)
    raise KeyStateError(key_arn, _PHRASES[key.state])
