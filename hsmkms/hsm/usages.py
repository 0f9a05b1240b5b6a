"""One object, one usage: what each kind of object of ours may do, and what must be read back from it.

A key that both decrypts and wraps can be made to export others (J. Clulow, "On the Security of PKCS #11",
CHES 2003), so no object has rights over data and over keys.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pkcs11 import Attribute, KeyType, ObjectClass

from hsmkms.hsm.cryptoki import CKM_AES_KEY_GEN, AttributeValue
from hsmkms.hsm.profiles import Profile
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


RIGHTS: Final[Mapping[Purpose, frozenset[Attribute]]] = {
    Purpose.CMK: frozenset({Attribute.ENCRYPT, Attribute.DECRYPT}),
    Purpose.IDENTITY: frozenset({Attribute.ENCRYPT, Attribute.DECRYPT}),
    Purpose.WRAPPING: frozenset({Attribute.WRAP, Attribute.UNWRAP}),
    Purpose.CANARY: frozenset({Attribute.ENCRYPT, Attribute.DECRYPT}),
}

_ALL_RIGHTS: Final = (
    Attribute.ENCRYPT,
    Attribute.DECRYPT,
    Attribute.SIGN,
    Attribute.VERIFY,
    Attribute.WRAP,
    Attribute.UNWRAP,
    Attribute.DERIVE,
)
_MUST_BE_TRUE: Final = (
    Attribute.TOKEN,
    Attribute.PRIVATE,
    Attribute.SENSITIVE,
    Attribute.ALWAYS_SENSITIVE,
    Attribute.NEVER_EXTRACTABLE,
    Attribute.LOCAL,
)
_MUST_BE_NUMBER: Final[Mapping[Attribute, int]] = {
    Attribute.CLASS: ObjectClass.SECRET_KEY,
    Attribute.KEY_TYPE: KeyType.AES,
    Attribute.VALUE_LEN: KEY_LENGTH,
    Attribute.KEY_GEN_MECHANISM: CKM_AES_KEY_GEN,
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
    }.get(object_name.purpose, not name)
    return object_name if well_formed else None


def generation_template(
    object_name: ObjectName, object_id: bytes, profile: Profile
) -> dict[int, AttributeValue]:
    """The template that makes an object of ours with C_GenerateKey."""
    rights = RIGHTS[object_name.purpose]
    return {
        Attribute.CLASS: int(ObjectClass.SECRET_KEY),
        Attribute.KEY_TYPE: int(KeyType.AES),
        Attribute.VALUE_LEN: KEY_LENGTH,
        Attribute.ID: object_id,
        Attribute.LABEL: object_name.label,
        Attribute.TOKEN: True,
        Attribute.PRIVATE: True,
        Attribute.SENSITIVE: True,
        Attribute.EXTRACTABLE: False,
        **{right: right in rights for right in _ALL_RIGHTS},
        **dict.fromkeys(sorted(profile.knows), False),
    }


def read_back_attributes(profile: Profile) -> tuple[int, ...]:
    """The attributes that ``faults`` judges."""
    return (
        Attribute.ID,
        Attribute.LABEL,
        Attribute.EXTRACTABLE,
        *_MUST_BE_TRUE,
        *_ALL_RIGHTS,
        *_MUST_BE_NUMBER,
        *sorted(profile.knows),
    )


def faults(
    object_name: ObjectName, object_id: bytes, read: Mapping[int, bytes | None], profile: Profile
) -> list[str]:
    """What an object's attributes have that its purpose forbids, or lack; empty when all is well.

    An attribute that the token does not show counts as a fault, but for rights: some tokens do not know
    every right, and what they do not know they do not grant.
    """
    rights = RIGHTS[object_name.purpose]
    found = [kind.name for kind in _MUST_BE_TRUE if not _true(read[kind])]
    found += [
        kind.name
        for kind, number in _MUST_BE_NUMBER.items()
        if int.from_bytes(read[kind] or b"", sys.byteorder) != number
    ]
    found += [right.name for right in _ALL_RIGHTS if _true(read[right]) != (right in rights)]
    found += [
        Attribute(kind).name
        for kind in (Attribute.EXTRACTABLE, *sorted(profile.knows))
        if not _false(read[kind])
    ]
    found += [Attribute.ID.name] if read[Attribute.ID] != object_id else []
    found += [Attribute.LABEL.name] if read[Attribute.LABEL] != object_name.label else []
    return found


def _true(raw: bytes | None) -> bool:
    return raw is not None and len(raw) == 1 and raw != b"\0"


def _false(raw: bytes | None) -> bool:
    return raw == b"\0"
