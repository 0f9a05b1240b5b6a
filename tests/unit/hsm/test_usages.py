"""One object, one usage."""

from __future__ import annotations

import struct
import uuid

import pytest
from pkcs11 import Attribute

from hsmkms.hsm.object_calls import AttributeValue
from hsmkms.hsm.profiles import PROFILES, Profile
from hsmkms.hsm.usages import (
    RIGHTS,
    ObjectName,
    Purpose,
    faults,
    generation_template,
    import_template,
    pair_attributes,
    pair_faults,
    pair_template,
    parse_label,
    read_back_attributes,
)
from hsmkms.model.keys import KeyOrigin

PROFILE = PROFILES["softhsm"]
ID = bytes(range(16))
CMK = ObjectName(Purpose.CMK, str(uuid.UUID(int=7)))
PAIR = ObjectName(Purpose.IMPORT, "RSAES_OAEP_SHA_256")
NUMBER_OF_NOTHING = struct.pack("L", 2**64 - 1)


def as_read(template: dict[int, AttributeValue]) -> dict[int, bytes | None]:
    """A template as a token would show it."""
    read: dict[int, bytes | None] = {}
    for kind, value in template.items():
        if isinstance(value, bool):
            read[kind] = bytes([value])
        else:
            read[kind] = struct.pack("L", value) if isinstance(value, int) else bytes(value)
    return read


def from_outside() -> dict[int, bytes | None]:
    """Attributes of imported material that is as it should be, by the standard."""
    read = {**good(), **as_read(import_template(CMK, ID, PROFILE))}
    for kind in (Attribute.ALWAYS_SENSITIVE, Attribute.NEVER_EXTRACTABLE, Attribute.LOCAL):
        read[kind] = b"\0"
    read[Attribute.KEY_GEN_MECHANISM] = NUMBER_OF_NOTHING
    return read


def good_pair() -> dict[int, bytes | None]:
    """Attributes of a pair's private key that is as it should be."""
    read = as_read(pair_template(PAIR, ID, PROFILE, in_token=True))
    read |= as_read({Attribute.CLASS: 3, Attribute.KEY_TYPE: 0})
    for kind in (Attribute.ALWAYS_SENSITIVE, Attribute.NEVER_EXTRACTABLE, Attribute.LOCAL):
        read[kind] = b"\1"
    return {kind: read[kind] for kind in pair_attributes(PROFILE)}


def good(object_name: ObjectName = CMK) -> dict[int, bytes | None]:
    """Attributes as a token gives them for an object that is as it should be."""
    read = as_read(generation_template(object_name, ID, PROFILE))
    for kind in (Attribute.ALWAYS_SENSITIVE, Attribute.NEVER_EXTRACTABLE, Attribute.LOCAL):
        read[kind] = b"\1"
    read[Attribute.KEY_GEN_MECHANISM] = struct.pack("L", 0x1080)
    return {kind: read[kind] for kind in read_back_attributes(PROFILE)}


@pytest.mark.parametrize(
    "object_name",
    [
        CMK,
        PAIR,
        *(ObjectName(p, "") for p in (Purpose.IDENTITY, Purpose.CANARY)),
        ObjectName(Purpose.WRAPPING, "12"),
    ],
)
def test_a_label_has_one_meaning_and_one_spelling(object_name: ObjectName) -> None:
    assert parse_label(object_name.label) == object_name
    if object_name is not PAIR:
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
        b"hsmkms/v1/import",
        b"hsmkms/v1/import/RSAES_PKCS1_V1_5",
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


def test_material_from_outside_says_where_it_comes_from() -> None:
    assert faults(CMK, ID, from_outside(), PROFILE, KeyOrigin.EXTERNAL) == []
    born_inside = ["ALWAYS_SENSITIVE", "NEVER_EXTRACTABLE", "LOCAL", "KEY_GEN_MECHANISM"]
    assert faults(CMK, ID, from_outside(), PROFILE) == born_inside
    assert faults(CMK, ID, good(), PROFILE, KeyOrigin.EXTERNAL) == ["LOCAL"]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Attribute.SENSITIVE, b"\0"),
        (Attribute.EXTRACTABLE, b"\1"),
        (Attribute.EXTRACTABLE, None),
        (Attribute.TOKEN, b"\0"),
        (Attribute.PRIVATE, b"\0"),
        (Attribute.LOCAL, b"\1"),
        (Attribute.WRAP, b"\1"),
        (Attribute.DERIVE, b"\1"),
        (Attribute.ENCRYPT, b"\0"),
        (Attribute.MODIFIABLE, b"\1"),
        (Attribute.COPYABLE, b"\1"),
        (Attribute.VALUE_LEN, struct.pack("L", 16)),
        (Attribute.VALUE_LEN, None),
        (Attribute.CLASS, struct.pack("L", 0)),
        (Attribute.KEY_TYPE, struct.pack("L", 0x10)),
        (Attribute.ID, bytes(16)),
        (Attribute.LABEL, b"hsmkms/v1/canary"),
    ],
)
def test_what_protects_material_from_outside_must_be_read_back(kind: Attribute, value: bytes | None) -> None:
    read = {**from_outside(), kind: value}
    assert faults(CMK, ID, read, PROFILE, KeyOrigin.EXTERNAL) == [kind.name]


def test_a_length_may_be_missing_only_where_the_token_states_none() -> None:
    read = {**from_outside(), Attribute.VALUE_LEN: struct.pack("L", 0)}
    assert faults(CMK, ID, read, PROFILE, KeyOrigin.EXTERNAL) == []
    assert faults(CMK, ID, read, PROFILE) != []
    assert "VALUE_LEN" in faults(CMK, ID, read, PROFILES["generic"], KeyOrigin.EXTERNAL)
    assert faults(CMK, ID, {**good(), Attribute.VALUE_LEN: struct.pack("L", 0)}, PROFILE) == ["VALUE_LEN"]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Attribute.SENSITIVE, b"\0"),
        (Attribute.ALWAYS_SENSITIVE, b"\0"),
        (Attribute.NEVER_EXTRACTABLE, None),
        (Attribute.LOCAL, b"\0"),
        (Attribute.EXTRACTABLE, b"\1"),
        (Attribute.TOKEN, b"\0"),
        (Attribute.UNWRAP, b"\0"),
        (Attribute.DECRYPT, b"\1"),
        (Attribute.SIGN, b"\1"),
        (Attribute.SIGN_RECOVER, b"\1"),
        (Attribute.DERIVE, b"\1"),
        (Attribute.MODIFIABLE, b"\1"),
        (Attribute.CLASS, struct.pack("L", 4)),
        (Attribute.KEY_TYPE, struct.pack("L", 3)),
        (Attribute.ID, bytes(16)),
        (Attribute.LABEL, b"hsmkms/v1/import/RSAES_OAEP_SHA_1"),
    ],
)
def test_what_protects_a_pair_must_be_read_back(kind: Attribute, value: bytes | None) -> None:
    assert pair_faults(PAIR, ID, good_pair(), PROFILE) == []
    assert pair_faults(PAIR, ID, {**good_pair(), kind: value}, PROFILE) == [kind.name]


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_what_ends_changes_comes_last(profile: Profile) -> None:
    """SoftHSM 2.6.1 takes no attribute that follows CKA_MODIFIABLE in a template of C_UnwrapKey."""
    assert list(import_template(CMK, ID, profile))[-1] == Attribute.MODIFIABLE
    assert Attribute.VALUE_LEN not in import_template(CMK, ID, profile)
