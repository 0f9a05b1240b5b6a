"""Options of requests: which go together at AWS, and which this service has.

An option that it does not have is refused by name and never ignored: a caller who asks for a key policy and
gets a key without one has lost something without learning of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from hsmkms.errors import UnsupportedOperationError, ValidationError
from hsmkms.frontends.aws.answers import SYMMETRIC_DEFAULT
from hsmkms.frontends.aws.requests import CreateKeyRequest, RecipientInfo
from hsmkms.model.keys import KeyOrigin

_ORIGINS: Final = tuple(origin.value for origin in KeyOrigin)
# AWS KMS API Reference, CreateKey, "KeyUsage".
_USAGES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        SYMMETRIC_DEFAULT: ("ENCRYPT_DECRYPT",),
        **dict.fromkeys(("HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512"), ("GENERATE_VERIFY_MAC",)),
        **dict.fromkeys(("RSA_2048", "RSA_3072", "RSA_4096"), ("ENCRYPT_DECRYPT", "SIGN_VERIFY")),
        **dict.fromkeys(
            ("ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521"), ("SIGN_VERIFY", "KEY_AGREEMENT")
        ),
        **dict.fromkeys(("ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519"), ("SIGN_VERIFY",)),
        **dict.fromkeys(("ML_DSA_44", "ML_DSA_65", "ML_DSA_87"), ("SIGN_VERIFY",)),
        **dict.fromkeys(("ML_KEM_512", "ML_KEM_768", "ML_KEM_1024"), ("ENCAPSULATE_DECAPSULATE",)),
        "SM2": ("ENCRYPT_DECRYPT", "SIGN_VERIFY", "KEY_AGREEMENT"),
    }
)


def refuse_key_options(request: CreateKeyRequest) -> None:
    """Let pass what asks for a key of the kinds that are built.

    Raises:
        ValidationError: members that exclude each other; AWS makes no such key either.
        UnsupportedOperationError: a key of another kind.
    """
    if request.key_spec is not None and request.customer_master_key_spec is not None:
        raise ValidationError(
            "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. "
            "CustomerMasterKeySpec is deprecated."
        )
    spec = request.key_spec or request.customer_master_key_spec or SYMMETRIC_DEFAULT
    _require_compatible(spec, request.key_usage)
    for member, given, built in (
        ("KeySpec", request.key_spec, SYMMETRIC_DEFAULT),
        ("CustomerMasterKeySpec", request.customer_master_key_spec, SYMMETRIC_DEFAULT),
    ):
        if given not in (None, built):
            raise unsupported("CreateKey", f"{member} {given}")
    if request.origin is not None and request.origin not in _ORIGINS:
        raise unsupported("CreateKey", f"Origin {request.origin}")
    for member, is_asked in (
        ("MultiRegion true", request.multi_region is True),
        ("CustomKeyStoreId", request.custom_key_store_id is not None),
        ("XksKeyId", request.xks_key_id is not None),
    ):
        if is_asked:
            raise unsupported("CreateKey", member)


def refuse_recipient(operation_name: str, recipient: RecipientInfo | None) -> None:
    """Refuse to seal an answer to an enclave."""
    if recipient is not None:
        raise unsupported(operation_name, "Recipient")


def unsupported(operation_name: str, option: str) -> UnsupportedOperationError:
    """The refusal of an option that AWS has."""
    return UnsupportedOperationError(f"{operation_name} with {option} is not supported by this service.")


def _require_compatible(key_spec: str, key_usage: str | None) -> None:
    if key_usage is None and key_spec != SYMMETRIC_DEFAULT:
        raise ValidationError(
            "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."
        )
    if key_usage is not None and key_usage not in _USAGES[key_spec]:
        raise ValidationError(f"KeyUsage {key_usage} is not compatible with KeySpec {key_spec}")
