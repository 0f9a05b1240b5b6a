"""How key material comes in from outside: the ways to wrap it, and the pairs under which it travels."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime

from hsmkms.model.names import KeyId


class WrappingAlgorithm(enum.StrEnum):
    """How the importer wraps key material; AWS's names."""

    RSAES_OAEP_SHA_1 = "RSAES_OAEP_SHA_1"
    RSAES_OAEP_SHA_256 = "RSAES_OAEP_SHA_256"

    RSA_AES_KEY_WRAP_SHA_1 = "RSA_AES_KEY_WRAP_SHA_1"
    """An AES-256 key of the importer's under RSAES-OAEP, then the material under that key (RFC 5649)."""

    RSA_AES_KEY_WRAP_SHA_256 = "RSA_AES_KEY_WRAP_SHA_256"

    @property
    def wraps_twice(self) -> bool:
        """Whether an AES key stands between the RSA key and the material."""
        return self.startswith("RSA_AES_KEY_WRAP")


class WrappingKeySpec(enum.StrEnum):
    """The RSA pair under which material travels; AWS's names."""

    RSA_2048 = "RSA_2048"
    RSA_3072 = "RSA_3072"
    RSA_4096 = "RSA_4096"

    @property
    def modulus_bits(self) -> int:
        """The length of the modulus."""
        return int(self.removeprefix("RSA_"))


class ImportType(enum.StrEnum):
    """Whether material was this key's before."""

    NEW_KEY_MATERIAL = "NEW_KEY_MATERIAL"
    EXISTING_KEY_MATERIAL = "EXISTING_KEY_MATERIAL"


@dataclass(frozen=True, slots=True)
class ImportPair:
    """One RSA pair, for one key and one algorithm, and for a day.

    Attributes:
        pair_id: 16 random bytes; the CKA_ID of its objects, where it is in the token.
        sealed_private_key: PKCS #8 in DER, sealed under the token's identity object; None where the pair is
            in the token and the private key never left it.
    """

    pair_id: bytes
    key_id: KeyId
    algorithm: WrappingAlgorithm
    key_spec: WrappingKeySpec
    sealed_private_key: bytes | None = field(repr=False)
    expires_at: datetime
