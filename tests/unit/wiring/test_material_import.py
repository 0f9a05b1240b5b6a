"""Key material as it travels: whoever has the private key gets it back, and nobody else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsmkms.config import Settings
from hsmkms.errors import (
    IncorrectKeyMaterialError,
    KeyStateError,
    KeyUnavailableError,
    NotFoundError,
    ServiceFaultError,
    UnsupportedOperationError,
    ValidationError,
)
from hsmkms.model.imports import ImportPair, ImportType, WrappingAlgorithm, WrappingKeySpec
from hsmkms.model.keys import Key, KeyOrigin, KeyState, VersionState
from hsmkms.model.names import Region, key_arn
from hsmkms.ports.hsm import Readiness, ReadinessState
from hsmkms.service.importing import ImportPlan
from hsmkms.service.kms import Kms
from hsmkms.wiring import material_import
from hsmkms.wiring.material_import import TakenIn, Wrapping, import_material, wrap_material
from hsmkms.wiring.preparation import SettingsConflictError, TokenPreparationError
from tests.unit.service.region import RegionUnderTest, build_region, call
from tests.unit.wiring.operated import REGION, Operated

MATERIAL = bytes(range(32))


def public_der(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("algorithm", "digest", "is_wrapped_twice"),
    [
        pytest.param(WrappingAlgorithm.RSAES_OAEP_SHA_1, hashes.SHA1(), False, id="OAEP, SHA-1"),
        pytest.param(WrappingAlgorithm.RSAES_OAEP_SHA_256, hashes.SHA256(), False, id="OAEP, SHA-256"),
        pytest.param(WrappingAlgorithm.RSA_AES_KEY_WRAP_SHA_1, hashes.SHA1(), True, id="KWP, SHA-1"),
        pytest.param(WrappingAlgorithm.RSA_AES_KEY_WRAP_SHA_256, hashes.SHA256(), True, id="KWP, SHA-256"),
    ],
)
def test_wraps_as_aws_says(
    algorithm: WrappingAlgorithm, digest: hashes.HashAlgorithm, is_wrapped_twice: bool
) -> None:
    key = rsa.generate_private_key(65537, 2048)
    material = bytearray(os.urandom(32))
    wrapped = wrap_material(public_der(key), algorithm, material)
    oaep = padding.OAEP(padding.MGF1(digest), digest, None)
    opened = key.decrypt(wrapped[:256], oaep)
    if is_wrapped_twice:
        assert len(opened) == 32
        opened = aes_key_unwrap_with_padding(opened, wrapped[256:])
    else:
        assert len(wrapped) == 256
    assert opened == material


def test_wraps_under_rsa_keys_alone() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(ServiceFaultError, match="no RSA pair"):
        wrap_material(public_der(key), WrappingAlgorithm.RSAES_OAEP_SHA_256, bytearray(32))


# --- the import itself, over a token in memory -----------------------------------------------------------


@dataclass
class Imported:
    """A region and its command; ``build_service`` gives this region, and the closing of it is noticed."""

    region: RegionUnderTest
    settings: Settings
    readiness: Readiness = field(default_factory=lambda: Readiness(ReadinessState.READY))
    is_closed: bool = False

    @property
    def tokens(self) -> SimpleNamespace:
        return SimpleNamespace(hsms={REGION: SimpleNamespace(connect=lambda: self.readiness)})

    @property
    def regions(self) -> dict[Region, Kms]:
        return {REGION: self.region.kms}

    def close(self) -> None:
        self.is_closed = True

    def key(self, origin: KeyOrigin = KeyOrigin.EXTERNAL) -> Key:
        return self.region.kms.create_key(call(), description="", tags=(), origin=origin)

    def take_in(
        self,
        key: str,
        material: bytes = MATERIAL,
        *,
        algorithm: WrappingAlgorithm = WrappingAlgorithm.RSAES_OAEP_SHA_256,
        plan: ImportPlan | None = None,
        region: Region = REGION,
    ) -> TakenIn:
        wrapping = Wrapping(algorithm, WrappingKeySpec.RSA_2048)
        return import_material(
            self.settings, region, key, bytearray(material), wrapping=wrapping, plan=plan or ImportPlan()
        )

    def events(self) -> list[Mapping[str, object]]:
        return [record for record in self.region.trail.records if record["eventName"] == "ImportKeyMaterial"]

    def pairs(self, key: Key) -> list[ImportPair]:
        with self.region.keys.change() as change:
            return list(change.import_pairs(key.key_id))


@pytest.fixture
def imported(operated: Operated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Imported:
    imported = Imported(build_region(tmp_path / "region"), operated.settings)
    monkeypatch.setattr(material_import, "build_service", lambda _: imported)
    return imported


@pytest.mark.parametrize(
    ("algorithm", "place"),
    [
        pytest.param(WrappingAlgorithm.RSAES_OAEP_SHA_1, "token", id="in the token"),
        pytest.param(WrappingAlgorithm.RSAES_OAEP_SHA_256, "software", id="in software"),
        pytest.param(WrappingAlgorithm.RSA_AES_KEY_WRAP_SHA_256, "software", id="wrapped twice"),
    ],
)
def test_the_first_material_serves_and_leaves_its_record(
    imported: Imported, algorithm: WrappingAlgorithm, place: str
) -> None:
    key = imported.key()
    arn = key_arn(REGION, key.account, key.key_id)
    taken = imported.take_in(arn, algorithm=algorithm, plan=ImportPlan(description="from the safe"))
    now = imported.region.kms.describe_key(call(), key.key_id)
    assert now.state is KeyState.ENABLED
    assert taken.version.material_id == now.current_material_id
    assert taken.version.description == "from the safe"
    assert imported.region.hsm.objects[taken.version.material_id].secret == MATERIAL
    assert taken.key_material_id == imported.region.kms.key_material_id(now)
    assert (taken.key_arn, taken.unwrapped_in) == (arn, place)
    (event,) = imported.events()
    assert event["serviceEventDetails"] == {
        "keyId": key.key_id,
        "keyMaterialId": taken.key_material_id,
        "wrappingAlgorithm": algorithm,
        "unwrappedIn": place,
    }
    assert event["recipientAccountId"] == key.account
    # Nobody has the import token, so the pair is of no more use.
    assert (imported.pairs(key), imported.region.hsm.pairs) == ([], {})
    assert imported.is_closed


def test_what_is_new_waits_and_the_same_comes_again(imported: Imported) -> None:
    key = imported.key()
    first = imported.take_in(key.key_id)
    second = imported.take_in(key.key_id, bytes(32), plan=ImportPlan(ImportType.NEW_KEY_MATERIAL))
    again = imported.take_in(key.key_id)
    assert second.version.state is VersionState.PENDING_ROTATION
    assert again.key_material_id == first.key_material_id != second.key_material_id
    with pytest.raises(IncorrectKeyMaterialError):
        imported.take_in(key.key_id, os.urandom(32))
    assert imported.pairs(key) == []
    assert len(imported.events()) == 3


@pytest.mark.parametrize(
    ("later", "is_taken"),
    [
        pytest.param(timedelta(), False, id="now"),
        pytest.param(timedelta(seconds=1), True, id="at once"),
        pytest.param(timedelta(days=365), True, id="in a year"),
        pytest.param(timedelta(days=365, seconds=1), False, id="after more than a year"),
    ],
)
def test_material_expires_within_a_year(imported: Imported, later: timedelta, is_taken: bool) -> None:
    key = imported.key()
    expires_at = imported.region.clock.moment + later
    if is_taken:
        assert imported.take_in(key.key_id, plan=ImportPlan(expires_at=expires_at)).version.expires_at
        return
    with pytest.raises(ValidationError, match="at most 365 days"):
        imported.take_in(key.key_id, plan=ImportPlan(expires_at=expires_at))
    assert imported.pairs(key) == []


def test_what_is_refused_leaves_nothing(imported: Imported) -> None:
    own = imported.key(KeyOrigin.AWS_KMS)
    with pytest.raises(UnsupportedOperationError, match="token's own making"):
        imported.take_in(own.key_id)
    with pytest.raises(NotFoundError, match="there is no key"):
        imported.take_in("alias/mine")
    going = imported.key()
    imported.region.kms.schedule_key_deletion(call(), going.key_id, 7)
    with pytest.raises(KeyStateError, match="pending deletion"):
        imported.take_in(going.key_id)
    imported.region.hsm.software_unwraps = False
    external = imported.key()
    with pytest.raises(UnsupportedOperationError, match="does not unwrap"):
        imported.take_in(external.key_id)
    assert imported.is_closed
    assert len(imported.region.hsm.objects) == 1
    assert imported.events() == []


def test_a_token_that_cannot_unwrap_its_own_pair_is_named(
    imported: Imported, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal of a caller's material has no words, and an operator needs some."""
    monkeypatch.setattr(material_import, "wrap_material", lambda *_: bytes(256))
    key = imported.key()
    with pytest.raises(TokenPreparationError, match="RSAES_OAEP_SHA_256 could not be unwrapped again"):
        imported.take_in(key.key_id)
    assert imported.pairs(key) == []


@pytest.mark.parametrize(
    ("away", "failure"),
    [
        pytest.param(True, TokenPreparationError, id="the token is away"),
        pytest.param(False, SettingsConflictError, id="no such region"),
    ],
)
def test_without_a_region_nothing_begins(imported: Imported, away: bool, failure: type[Exception]) -> None:
    key = imported.key()
    if away:
        imported.readiness = Readiness(ReadinessState.AWAY, "it is away")
    with pytest.raises(failure):
        imported.take_in(key.key_id, region=REGION if away else Region("eu-west-9"))
    assert imported.is_closed is away


def test_without_a_trail_nothing_begins(imported: Imported) -> None:
    key = imported.key()
    imported.region.trail.is_broken = True
    with pytest.raises(ServiceFaultError):
        imported.take_in(key.key_id)
    assert imported.region.hsm.objects == {}
    assert imported.pairs(key) == []


def test_a_pair_that_the_token_keeps_is_swept_later(
    imported: Imported, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The material is in; what fails afterwards is the clockwork's to finish."""
    key = imported.key()

    def fail(_pair_id: bytes) -> None:
        raise KeyUnavailableError("The key is not available.")

    monkeypatch.setattr(imported.region.hsm, "destroy_import_pair", fail)
    imported.take_in(key.key_id, algorithm=WrappingAlgorithm.RSAES_OAEP_SHA_1)
    (pair,) = imported.pairs(key)
    assert imported.region.keys.expired_import_pairs(imported.region.clock.moment) == [pair]


def test_a_store_that_was_put_back_is_noticed_before_the_import(imported: Imported) -> None:
    key = imported.key()
    known = replace(imported.region.counters.epoch(), number=500)
    imported.region.hsm.advance_epoch(known)
    imported.take_in(key.key_id)
    names = [record["eventName"] for record in imported.region.trail.records]
    assert names == ["NoticeRestoredStore", "ImportKeyMaterial"]
