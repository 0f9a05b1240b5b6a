"""Imports a key's material in one step, in a process of the operator's own: makes token calls."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from hsmkms.config import Settings
from hsmkms.errors import (
    CiphertextError,
    KmsError,
    ServiceFaultError,
    UnsupportedOperationError,
)
from hsmkms.formats.material_id import key_material_id
from hsmkms.hsm.material_wrapping import MIDDLE_KEY_LENGTH, wrap
from hsmkms.model.imports import ImportPair, WrappingAlgorithm, WrappingKeySpec
from hsmkms.model.keys import Key, KeyOrigin, KeyVersion
from hsmkms.model.names import Region
from hsmkms.service.audit import ServiceEvent, write_service_event
from hsmkms.service.importing import ImportPlan
from hsmkms.service.kms import Kms
from hsmkms.wiring.assembly import build_service
from hsmkms.wiring.key_references import find_key
from hsmkms.wiring.preparation import SettingsConflictError, TokenPreparationError, require_ready

MATERIAL_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Wrapping:
    """How the material travels from this process into the token."""

    algorithm: WrappingAlgorithm
    key_spec: WrappingKeySpec


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What came of an import.

    Attributes:
        unwrapped_in: ``token`` or ``software``.
    """

    key_arn: str
    key_material_id: str
    version: KeyVersion
    unwrapped_in: str


def import_material(
    settings: Settings,
    region: Region,
    key_ref: str,
    material: bytearray,
    *,
    wrapping: Wrapping,
    plan: ImportPlan,
) -> TakenIn:
    """Wrap key material under a pair of its own, import it, and leave the record of it.

    Args:
        key_ref: id or ARN of a key of any account.
        material: 32 bytes.

    Raises:
        SettingsConflictError: no such region.
        TokenPreparationError: the region's token is away or refuses, or does not unwrap what it should.
        NotFoundError, InvalidArnError: no such key.
        UnsupportedOperationError: the key's material is not imported, or the algorithm is not to be had.
        ValidationError: it would expire in the past, or in more than 365 days.
        ConfigError, KmsError: as the rooms below say.
    """
    if region not in settings.regions:
        raise SettingsConflictError(f"there is no region {region} in the settings")
    service = build_service(settings)
    try:
        require_ready(region, service.tokens.hsms[region].connect())
        kms = service.regions[region]
        # A process that serves asks this once it has its token.
        kms.epoch.require_known()
        key = find_key(kms.keys.snapshot(), region, key_ref)
        _require_importable(kms, key, plan.expires_at)
        return _import(kms, key, material, wrapping, plan)
    finally:
        service.close()


def _require_importable(kms: Kms, key: Key, expires_at: datetime | None) -> None:
    if key.origin is not KeyOrigin.EXTERNAL:
        raise UnsupportedOperationError(
            f"{kms.key_arn(key)} has material of the token's own making (its origin is {key.origin})"
        )
    kms.importer.require_validity(expires_at)


def _import(kms: Kms, key: Key, material: bytearray, wrapping: Wrapping, plan: ImportPlan) -> TakenIn:
    kms.trail.require_writable()
    parameters = kms.importer.parameters(key, wrapping.algorithm, wrapping.key_spec)
    pair = kms.importer.pair_of(key, parameters.import_token)
    try:
        wrapped = wrap_material(parameters.public_key, wrapping.algorithm, material)
        version = kms.importer.take_in(key, pair, wrapped, plan)
    except CiphertextError as error:
        # It has no words of its own, and here it can be nobody's oracle.
        raise TokenPreparationError(
            f"region {kms.region}: what was wrapped with {wrapping.algorithm} could not be unwrapped again"
        ) from error
    finally:
        _end_pair(kms, pair)
    taken = TakenIn(
        key_arn=kms.key_arn(key),
        key_material_id=key_material_id(key.key_id, version.material_id),
        version=version,
        unwrapped_in="token" if pair.sealed_private_key is None else "software",
    )
    details = {
        "keyId": key.key_id,
        "keyMaterialId": taken.key_material_id,
        "wrappingAlgorithm": wrapping.algorithm.value,
        "unwrappedIn": taken.unwrapped_in,
    }
    event = ServiceEvent("ImportKeyMaterial", kms.region, key.account, details, taken.key_arn)
    write_service_event(kms.trail, kms.clock.now(), event)
    return taken


def _end_pair(kms: Kms, pair: ImportPair) -> None:
    """Nobody else has the import token, so nobody needs the pair any more."""
    # What is not destroyed now has expired, and is the clockwork's.
    with suppress(KmsError):
        with kms.keys.change() as change:
            change.put_import_pair(replace(pair, expires_at=min(pair.expires_at, kms.clock.now())))
        if pair.sealed_private_key is None:
            kms.hsm.destroy_import_pair(pair.pair_id)
        with kms.keys.change() as change:
            change.remove_import_pair(pair.pair_id)


def wrap_material(public_key: bytes, algorithm: WrappingAlgorithm, material: bytearray) -> bytes:
    """Key material as an importer sends it.

    Args:
        public_key: SubjectPublicKeyInfo in DER.

    Raises:
        ServiceFaultError: it is no RSA key.

    Spec: AWS KMS Developer Guide, "Encrypt key material"; RFC 8017 (RSAES-OAEP), RFC 5649 (AES-KWP).
    """
    loaded = load_der_public_key(public_key)
    if not isinstance(loaded, rsa.RSAPublicKey):
        raise ServiceFaultError("the import pair is no RSA pair")
    # cryptography takes bytes alone, which cannot be overwritten: this copy stays until its memory is used
    # again.
    return wrap(loaded, algorithm, bytes(material), secrets.token_bytes(MIDDLE_KEY_LENGTH))
