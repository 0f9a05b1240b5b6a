"""What the verbs give back: values that a front-end turns into its own wire form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from hsmkms.model.grants import Grant

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a list; ``next_marker`` is None on the last one."""

    items: Sequence[Item]
    next_marker: str | None


@dataclass(frozen=True, slots=True)
class Encrypted:
    """What Encrypt gives."""

    key_arn: str
    ciphertext_blob: bytes


@dataclass(frozen=True, slots=True)
class Decrypted:
    """What Decrypt gives; the plaintext stays out of the repr."""

    key_arn: str
    plaintext: bytes = field(repr=False)
    key_material_id: str


@dataclass(frozen=True, slots=True)
class ReEncrypted:
    """What ReEncrypt gives."""

    source_key_arn: str
    source_key_material_id: str
    destination_key_arn: str
    destination_key_material_id: str
    ciphertext_blob: bytes


@dataclass(frozen=True, slots=True)
class SealedDataKey:
    """What GenerateDataKeyWithoutPlaintext gives."""

    key_arn: str
    key_material_id: str
    ciphertext_blob: bytes


@dataclass(frozen=True, slots=True)
class DataKey:
    """What GenerateDataKey gives; the plaintext stays out of the repr."""

    key_arn: str
    key_material_id: str
    ciphertext_blob: bytes
    plaintext: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CreatedGrant:
    """What CreateGrant gives; the token stays out of the repr."""

    grant_id: str
    grant_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ShownGrant:
    """A grant as lists show it.

    Attributes:
        grantee, retiring: ARN or service name, or the unique id of one who is gone.
    """

    grant: Grant
    key_arn: str
    grantee: str
    retiring: str | None
