"""One object, one usage."""

from __future__ import annotations

import struct
import uuid

import pytest
from pkcs11 import Attribute

from hsmkms.hsm.profiles import PROFILES
from hsmkms.hsm.usages import (
    RIGHTS,
    ObjectName,
    Purpose,
    faults,
    generation_template,
    parse_label,
    read_back_attributes,
)

PROFILE = PROFILES["softhsm"]
ID = bytes(range(16))
CMK = ObjectName(Purpose.CMK, str(uuid.UUID(int=7)))


def good(object_name: ObjectName = CMK) -> dict[int, bytes | None]:
    """Attributes as a token gives them for an object that is as it should be."""
    read: dict[int, bytes | None] = {}
    for kind, value in generation_template(object_name, ID, PROFILE).items():
        if isinstance(value, bool):
            read[kind] = bytes([value])
        else:
            read[kind] = value if isinstance(value, bytes) else struct.pack("L", value)
    for kind in (Attribute.ALWAYS_SENSITIVE, Attribute.NEVER_EXTRACTABLE, Attribute.LOCAL):
        read[kind] = b"\1"
    read[Attribute.KEY_GEN_MECHANISM] = struct.pack("L", 0x1080)
    return {kind: read[kind] for kind in read_back_attributes(PROFILE)}


@pytest.mark.parametrize(
    "object_name",
    [
        CMK,
        *(ObjectName(p, "") for p in (Purpose.IDENTITY, Purpose.CANARY)),
        ObjectName(Purpose.WRAPPING, "12"),
    ],
)
def test_a_label_has_one_meaning_and_one_spelling(object_name: ObjectName) -> None:
    assert parse_label(object_name.label) == object_name
    assert faults(object_name, ID, good(object_name), PROFILE) == []


@pytest.mark.parametrize(
    "raw",
    [
        None,
        b"",
        b"someone else's key",
        b"hsmkms/v1/",
        b"hsmkms/v1/cmk",
        b"hsmkms/v1/cmk/not-a-key-id",
        b"hsmkms/v1/identity/x",
        b"hsmkms/v1/wrapping",
        b"hsmkms/v1/wrapping/one",
        b"hsmkms/v1/other",
        b"hsmkms/v1/canary\xff",
        b"hsmkms/v2/canary",
    ],
)
def test_a_label_that_is_not_ours_means_nothing(raw: bytes | None) -> None:
    assert parse_label(raw) is None


def test_no_object_both_opens_and_wraps() -> None:
    data = {Attribute.ENCRYPT, Attribute.DECRYPT, Attribute.SIGN, Attribute.VERIFY, Attribute.DERIVE}
    keys = {Attribute.WRAP, Attribute.UNWRAP}
    assert set(RIGHTS) == set(Purpose)
    assert all(not (rights & data and rights & keys) for rights in RIGHTS.values())


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Attribute.SENSITIVE, b"\0"),
        (Attribute.SENSITIVE, None),
        (Attribute.ALWAYS_SENSITIVE, b"\0"),
        (Attribute.NEVER_EXTRACTABLE, b"\0"),
        (Attribute.EXTRACTABLE, b"\1"),
        (Attribute.EXTRACTABLE, None),
        (Attribute.LOCAL, b"\0"),
        (Attribute.TOKEN, b"\0"),
        (Attribute.PRIVATE, b"\0"),
        (Attribute.WRAP, b"\1"),
        (Attribute.UNWRAP, b"\1"),
        (Attribute.DERIVE, b"\1"),
        (Attribute.SIGN, b"\1"),
        (Attribute.ENCRYPT, b"\0"),
        (Attribute.DECRYPT, None),
        (Attribute.MODIFIABLE, b"\1"),
        (Attribute.COPYABLE, b"\1"),
        (Attribute.VALUE_LEN, struct.pack("L", 16)),
        (Attribute.KEY_TYPE, struct.pack("L", 0x10)),
        (Attribute.KEY_GEN_MECHANISM, struct.pack("L", 2**64 - 1)),
        (Attribute.ID, bytes(16)),
        (Attribute.LABEL, b"hsmkms/v1/canary"),
    ],
)
def test_what_protects_a_key_must_be_read_back(kind: Attribute, value: bytes | None) -> None:
    assert faults(CMK, ID, {**good(), kind: value}, PROFILE) == [kind.name]


def test_a_right_that_the_token_does_not_know_is_none() -> None:
    assert faults(CMK, ID, {**good(), Attribute.DERIVE: None}, PROFILE) == []
