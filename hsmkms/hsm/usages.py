"""One object, one usage: what each kind of object of ours may do, and what must be read back from it.

A key that both decrypts and wraps can be made to export others (J. Clulow, "On the Security of PKCS #11",
CHES 2003), so no object has rights over data and over keys.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pkcs11 import Attribute, KeyType, ObjectClass

from hsmkms.hsm.object_calls import CKM_AES_KEY_GEN, AttributeValue
from hsmkms.hsm.profiles import Profile
from hsmkms.model.imports import WrappingAlgorithm
from hsmkms.model.keys import KeyOrigin
from hsmkms.model.names import KEY_ID_PATTERN

LABEL_PREFIX: Final = b"hsmkms/v1/"
KEY_LENGTH: Final = 32
OBJECT_ID_LENGTH: Final = 16


class Purpose(enum.StrEnum):
    """What an object of ours is for; stands in its label."""

    CMK = "cmk"
    """One version of a master key; the label goes on with the key id."""

    IDENTITY = "identity"
    """Tells this region's token from any other, and seals the region's own secrets."""

    WRAPPING = "wrapping"
    """Wraps data keys on their way out; the label goes on with a version number, the highest is current."""

    CANARY = "canary"
    """Opened to tell a sick token from a bad ciphertext, and by the probe; seals nothing else."""

    IMPORT = "import"
    """An RSA pair that unwraps key material from outside; the label goes on with the one way to wrap it."""


RIGHTS: Final[Mapping[Purpose, frozenset[Attribute]]] = {
    Purpose.CMK: frozenset({Attribute.ENCRYPT, Attribute.DECRYPT}),
    Purpose.IDENTITY: frozenset({Attribute.ENCRYPT, Attribute.DECRYPT}),
    Purpose.WRAPPING: frozenset({Attribute.WRAP, Attribute.UNWRAP}),
    Purpose.CANARY: frozenset({Attribute.ENCRYPT, Attribute.DECRYPT}),
    Purpose.IMPORT: frozenset({Attribute.UNWRAP}),
}

_WRAPPING_ALGORITHMS: Final = frozenset(WrappingAlgorithm)
_ALL_RIGHTS: Final = (
    Attribute.ENCRYPT,
    Attribute.DECRYPT,
    Attribute.SIGN,
    Attribute.VERIFY,
    Attribute.WRAP,
    Attribute.UNWRAP,
    Attribute.DERIVE,
)
_PAIR_RIGHTS: Final = (
    Attribute.DECRYPT,
    Attribute.SIGN,
    Attribute.SIGN_RECOVER,
    Attribute.UNWRAP,
    Attribute.DERIVE,
)
_PROTECTED: Final = (Attribute.TOKEN, Attribute.PRIVATE, Attribute.SENSITIVE)
_BORN_INSIDE: Final = (Attribute.ALWAYS_SENSITIVE, Attribute.NEVER_EXTRACTABLE, Attribute.LOCAL)
_AES: Final[Mapping[Attribute, int]] = {
    Attribute.CLASS: ObjectClass.SECRET_KEY,
    Attribute.KEY_TYPE: KeyType.AES,
}
_RSA: Final[Mapping[Attribute, int]] = {
    Attribute.CLASS: ObjectClass.PRIVATE_KEY,
    Attribute.KEY_TYPE: KeyType.RSA,
}


@dataclass(frozen=True, slots=True)
class ObjectName:
    """What a label of ours says."""

    purpose: Purpose
    name: str

    @property
    def label(self) -> bytes:
        """The CKA_LABEL."""
        return LABEL_PREFIX + "/".join(filter(None, (self.purpose, self.name))).encode()


def parse_label(raw: bytes | None) -> ObjectName | None:
    """What a CKA_LABEL says, or None for an object that is not ours."""
    if raw is None or not raw.startswith(LABEL_PREFIX):
        return None
    try:
        purpose_text, _, name = raw.removeprefix(LABEL_PREFIX).decode("ascii").partition("/")
        object_name = ObjectName(Purpose(purpose_text), name)
    except ValueError:
        return None
    well_formed = {
        Purpose.CMK: KEY_ID_PATTERN.fullmatch(name) is not None,
        Purpose.WRAPPING: name.isdecimal(),
        Purpose.IMPORT: name in _WRAPPING_ALGORITHMS,
    }.get(object_name.purpose, not name)
    return object_name if well_formed else None


def generation_template(
    object_name: ObjectName, object_id: bytes, profile: Profile
) -> dict[int, AttributeValue]:
    """The template that makes an object of ours with C_GenerateKey."""
    return {Attribute.VALUE_LEN: KEY_LENGTH, **import_template(object_name, object_id, profile)}


def import_template(object_name: ObjectName, object_id: bytes, profile: Profile) -> dict[int, AttributeValue]:
    """The template that makes an object of ours of material from outside; it lacks the length."""
    rights = RIGHTS[object_name.purpose]
    return {
        Attribute.CLASS: int(ObjectClass.SECRET_KEY),
        Attribute.KEY_TYPE: int(KeyType.AES),
        Attribute.ID: object_id,
        Attribute.LABEL: object_name.label,
        Attribute.TOKEN: True,
        Attribute.PRIVATE: True,
        Attribute.SENSITIVE: True,
        Attribute.EXTRACTABLE: False,
        **{right: right in rights for right in _ALL_RIGHTS},
        **_unknown_to_some(profile),
    }


def pair_template(
    object_name: ObjectName, pair_id: bytes, profile: Profile, *, in_token: bool
) -> dict[int, AttributeValue]:
    """The template for the private key of an import pair."""
    rights = RIGHTS[object_name.purpose]
    return {
        Attribute.ID: pair_id,
        Attribute.LABEL: object_name.label,
        Attribute.TOKEN: in_token,
        Attribute.PRIVATE: True,
        Attribute.SENSITIVE: True,
        Attribute.EXTRACTABLE: False,
        **{right: right in rights for right in _PAIR_RIGHTS},
        **(_unknown_to_some(profile) if in_token else {}),
    }


def _unknown_to_some(profile: Profile) -> dict[int, AttributeValue]:
    # CKA_MODIFIABLE comes last: what follows it in a template of C_UnwrapKey or C_SetAttributeValue, SoftHSM
    # 2.6.1 refuses as read-only.
    return dict.fromkeys(sorted(profile.knows, reverse=True), False)


def read_back_attributes(profile: Profile) -> tuple[int, ...]:
    """The attributes that ``faults`` judges."""
    return (Attribute.VALUE_LEN, Attribute.KEY_GEN_MECHANISM, *_ALL_RIGHTS, *_always_read(profile))


def pair_attributes(profile: Profile) -> tuple[int, ...]:
    """The attributes that ``pair_faults`` judges."""
    return (*_PAIR_RIGHTS, *_always_read(profile))


def _always_read(profile: Profile) -> tuple[int, ...]:
    return (
        Attribute.ID,
        Attribute.LABEL,
        Attribute.EXTRACTABLE,
        Attribute.CLASS,
        Attribute.KEY_TYPE,
        *_PROTECTED,
        *_BORN_INSIDE,
        *sorted(profile.knows),
    )


def faults(
    object_name: ObjectName,
    object_id: bytes,
    read: Mapping[int, bytes | None],
    profile: Profile,
    origin: KeyOrigin = KeyOrigin.AWS_KMS,
) -> list[str]:
    """What an object's attributes have that its purpose forbids, or lack; empty when all is well.

    An attribute that the token does not show counts as a fault, but for rights: some tokens do not know
    every right, and what they do not know they do not grant.

    Args:
        origin: of its material. What came from outside was once elsewhere, and has to say so.
    """
    found = _common_faults(object_name, object_id, read)
    if origin is KeyOrigin.AWS_KMS:
        found += _not_true(read, _BORN_INSIDE)
        found += _other_number(read, Attribute.VALUE_LEN, KEY_LENGTH)
        found += _other_number(read, Attribute.KEY_GEN_MECHANISM, CKM_AES_KEY_GEN)
    else:
        found += [Attribute.LOCAL.name] if is_true(read[Attribute.LOCAL]) else []
        if profile.states_unwrapped_length or number_of(read[Attribute.VALUE_LEN]) != 0:
            found += _other_number(read, Attribute.VALUE_LEN, KEY_LENGTH)
    for kind, number in _AES.items():
        found += _other_number(read, kind, number)
    found += _not_false(read, profile.knows)
    return found + _wrong_rights(read, _ALL_RIGHTS, RIGHTS[object_name.purpose])


def pair_faults(
    object_name: ObjectName, pair_id: bytes, read: Mapping[int, bytes | None], profile: Profile
) -> list[str]:
    """As ``faults``, for the private key of an import pair.

    Whether it can be copied does not matter: SoftHSM 2.6.1 cannot forbid it for a copy, and there it is one.
    """
    found = _common_faults(object_name, pair_id, read) + _not_true(read, _BORN_INSIDE)
    for kind, number in _RSA.items():
        found += _other_number(read, kind, number)
    found += _not_false(read, profile.knows - {Attribute.COPYABLE})
    return found + _wrong_rights(read, _PAIR_RIGHTS, RIGHTS[object_name.purpose])


def _common_faults(object_name: ObjectName, object_id: bytes, read: Mapping[int, bytes | None]) -> list[str]:
    found = _not_true(read, _PROTECTED) + _not_false(read, (Attribute.EXTRACTABLE,))
    found += [Attribute.ID.name] if read[Attribute.ID] != object_id else []
    found += [Attribute.LABEL.name] if read[Attribute.LABEL] != object_name.label else []
    return found


def _not_true(read: Mapping[int, bytes | None], kinds: Iterable[Attribute]) -> list[str]:
    return [kind.name for kind in kinds if not is_true(read[kind])]


def _not_false(read: Mapping[int, bytes | None], kinds: Iterable[int]) -> list[str]:
    return [Attribute(kind).name for kind in sorted(kinds) if read[kind] != b"\0"]


def _other_number(read: Mapping[int, bytes | None], kind: Attribute, number: int) -> list[str]:
    return [] if number_of(read[kind]) == number else [kind.name]


def _wrong_rights(
    read: Mapping[int, bytes | None], known: Iterable[Attribute], rights: frozenset[Attribute]
) -> list[str]:
    return [right.name for right in known if is_true(read[right]) != (right in rights)]


def is_true(raw: bytes | None) -> bool:
    """Whether an attribute's bytes are CK_TRUE."""
    return raw is not None and len(raw) == 1 and raw != b"\0"


def number_of(raw: bytes | None) -> int | None:
    """An attribute's bytes as a number; None for none."""
    return int.from_bytes(raw, sys.byteorder) if raw else None
