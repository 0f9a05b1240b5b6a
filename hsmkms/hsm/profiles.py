"""Vendor profiles as data: how a token differs from the standard, and from its neighbours.

Sources: the vendors' documentation and other programs' experience with it. Only ``softhsm`` was run against
the real thing; for the others the probe at start-up shows whether the profile is true, or refuses to serve.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pkcs11 import Attribute

from hsmkms.hsm.return_codes import (
    CKR_AEAD_DECRYPT_FAILED,
    CKR_DATA_INVALID,
    CKR_ENCRYPTED_DATA_INVALID,
    CKR_ENCRYPTED_DATA_LEN_RANGE,
    CKR_FUNCTION_FAILED,
    CKR_GENERAL_ERROR,
    CKR_SIGNATURE_INVALID,
)
from hsmkms.model.imports import WrappingAlgorithm
from hsmkms.ports.hsm import CallStyle

CKM_AES_KEY_WRAP: Final = 0x2109
"""RFC 3394; whole 64-bit blocks only, so what comes back is as long as what went in."""


class IvMode(enum.StrEnum):
    """Who makes the IV of an AES-GCM encryption. The wrong mode is silent reuse of one IV."""

    CALLER = "caller"
    """We do, from the token's C_GenerateRandom."""

    HSM_IN_PLACE = "hsm_in_place"
    """The token does, over the zero bytes that it was given."""

    HSM_APPENDED = "hsm_appended"
    """The token does, and appends it to ciphertext and tag."""


_DEFINITE: Final = frozenset(
    {
        CKR_ENCRYPTED_DATA_INVALID,
        CKR_ENCRYPTED_DATA_LEN_RANGE,
        CKR_AEAD_DECRYPT_FAILED,
        CKR_SIGNATURE_INVALID,
    }
)


# CKM_RSA_PKCS_OAEP with the digests that the standard gives (PKCS#11 v3.0, section 2.1.8).
_OAEP: Final = frozenset({WrappingAlgorithm.RSAES_OAEP_SHA_1, WrappingAlgorithm.RSAES_OAEP_SHA_256})
# CKM_RSA_AES_KEY_WRAP too (section 2.1.21).
_OAEP_AND_AES: Final = frozenset(WrappingAlgorithm)


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of token.

    Attributes:
        iv_length: bytes of the IV that stands in a blob, 12 or 16.
        wrap_mechanism: for the wrap circle, or None where it is not even tried.
        bad_tag_definite: codes that mean a bad tag and nothing else.
        bad_tag_ambiguous: codes for a bad tag that the token also uses when it fails otherwise.
        sets_iv_bits: ``ulIvBits`` is the IV's length in bits; else zero.
        unwraps: how the token may unwrap key material from outside by itself; each pair is tried before it is
            given out, so that what is wrong here costs time and nothing else.
        states_unwrapped_length: an unwrapped object's CKA_VALUE_LEN is its length; else it is 0.
        keeps_epoch: it can hold a data object, and change its label.
        one_object_call_at_a_time: objects are made, destroyed, searched and looked at under one lock of all
            processes that use the token; whoever changes one searches first.
        knows: attributes of protection that are put into templates and read back.
    """

    name: str
    iv_mode: IvMode = IvMode.CALLER
    iv_length: int = 12
    call_style: CallStyle = CallStyle.HANDED_OFF
    wrap_mechanism: int | None = None
    bad_tag_definite: frozenset[int] = _DEFINITE
    bad_tag_ambiguous: frozenset[int] = frozenset({CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED, CKR_DATA_INVALID})
    sets_iv_bits: bool = True
    unwraps: frozenset[WrappingAlgorithm] = _OAEP
    states_unwrapped_length: bool = True
    keeps_epoch: bool = True
    one_object_call_at_a_time: bool = False
    knows: frozenset[int] = field(default=frozenset({Attribute.MODIFIABLE}))


_ALL: Final = (
    # 2.6.1 answers a bad tag with CKR_GENERAL_ERROR, 2.7.0 with the definite codes (both known here).
    # Its locks on the token's directory are the process's, so its threads race with each other: in 2.6.1 a
    # search beside C_GenerateKey made the latter fail (tried: 9 of 160), and attributes read beside a
    # C_DestroyObject came with CKR_ATTRIBUTE_VALUE_INVALID. Its OAEP takes no digest but SHA-1, and
    # unwraps to AES keys of any length.
    Profile(
        "softhsm",
        one_object_call_at_a_time=True,
        call_style=CallStyle.INLINE,
        wrap_mechanism=CKM_AES_KEY_WRAP,
        unwraps=frozenset({WrappingAlgorithm.RSAES_OAEP_SHA_1}),
        states_unwrapped_length=False,
        bad_tag_ambiguous=frozenset({CKR_GENERAL_ERROR}),
        knows=frozenset({Attribute.MODIFIABLE, Attribute.COPYABLE}),
    ),
    # Thales Luna 7 outside FIPS mode: the caller must give the IV, and ulIvBits must be set.
    Profile("luna"),
    # Thales Luna 7 in FIPS mode: a random IV of 16 bytes behind the tag; the caller gives none.
    Profile("luna-fips", iv_mode=IvMode.HSM_APPENDED, iv_length=16),
    # Entrust nShield: 12 zero bytes in, the IV out; CKR_FUNCTION_FAILED for a bad tag.
    Profile("nshield", iv_mode=IvMode.HSM_IN_PLACE, unwraps=_OAEP_AND_AES),
    # AWS CloudHSM: 12 zero bytes in, the IV out. It knows no data objects.
    Profile("cloudhsm", iv_mode=IvMode.HSM_IN_PLACE, unwraps=_OAEP_AND_AES, keeps_epoch=False),
    # Utimaco: AES-GCM by the standard's own rules is all that is known of it.
    Profile("utimaco"),
    Profile("generic"),
)

PROFILES: Final[Mapping[str, Profile]] = {profile.name: profile for profile in _ALL}
