"""A typed double of the service: it remembers what it was asked, and answers with fixed values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NoReturn

import botocore.session
import pytest
from botocore.model import ServiceModel

from hsmkms.errors import DryRunError
from hsmkms.model.keys import Alias, EncryptionAlgorithm, Key, KeyOrigin, KeySpec, KeyState, KeyUsage, Tag
from hsmkms.model.names import AccountId, KeyId, MaterialId, Region, key_arn
from hsmkms.model.principals import root_principal
from hsmkms.service.call import Call, Caller
from hsmkms.service.results import DataKey, Decrypted, Encrypted, Page, ReEncrypted, SealedDataKey

ACCOUNT: Final = AccountId("123456789012")
REGION: Final = Region("eu-west-1")
KEY_ID: Final = KeyId("1234abcd-12ab-34cd-56ef-1234567890ab")
OTHER_KEY_ID: Final = KeyId("99999999-12ab-34cd-56ef-1234567890ab")
ARN: Final = key_arn(REGION, ACCOUNT, KEY_ID)
OTHER_ARN: Final = key_arn(REGION, ACCOUNT, OTHER_KEY_ID)
KEY_MATERIAL_ID: Final = "ab" * 32
OTHER_MATERIAL_ID: Final = "cd" * 32
BORN: Final = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
KEY: Final = Key(
    account=ACCOUNT,
    key_id=KEY_ID,
    state=KeyState.ENABLED,
    description="payroll",
    key_spec=KeySpec.SYMMETRIC_DEFAULT,
    key_usage=KeyUsage.ENCRYPT_DECRYPT,
    origin=KeyOrigin.AWS_KMS,
    created_at=BORN,
    current_material_id=MaterialId(b"m" * 16),
)


@dataclass
class RecordingKms:
    """Has the verbs of ``Kms``; ``asked`` is what the last one was given, its name first."""

    region: Region = REGION
    key: Key = KEY
    next_marker: str | None = None
    asked: tuple[object, ...] = field(default=())
    algorithms: tuple[EncryptionAlgorithm, ...] = field(default=())

    def key_material_id(self, key: Key) -> str | None:
        return None if key.current_material_id is None else KEY_MATERIAL_ID

    def create_key(
        self,
        _: Call,
        *,
        description: str,
        tags: Sequence[Tag],
        policy_text: str | None,
        bypasses_lockout_check: bool,
        origin: KeyOrigin,
    ) -> Key:
        self.asked = ("create_key", description, list(tags))
        if policy_text is not None:
            self.asked += (policy_text, bypasses_lockout_check)
        if origin is not KeyOrigin.AWS_KMS:
            self.asked += (origin,)
        return self.key

    def describe_key(self, _: Call, key_ref: str) -> Key:
        self.asked = ("describe_key", key_ref)
        return self.key

    def list_keys(self, _: Call, *, own: bool, limit: int, marker: str | None) -> Page[KeyId]:
        self.asked = ("list_keys", own, limit, marker)
        return Page([KEY_ID, OTHER_KEY_ID], self.next_marker)

    def enable_key(self, _: Call, key_ref: str) -> None:
        self.asked = ("enable_key", key_ref)

    def disable_key(self, _: Call, key_ref: str) -> None:
        self.asked = ("disable_key", key_ref)

    def update_key_description(self, _: Call, key_ref: str, description: str) -> None:
        self.asked = ("update_key_description", key_ref, description)

    def create_alias(self, _: Call, alias_name: str, target_key_ref: str) -> None:
        self.asked = ("create_alias", alias_name, target_key_ref)

    def update_alias(self, _: Call, alias_name: str, target_key_ref: str) -> None:
        self.asked = ("update_alias", alias_name, target_key_ref)

    def delete_alias(self, _: Call, alias_name: str) -> None:
        self.asked = ("delete_alias", alias_name)

    def list_aliases(self, _: Call, *, key_ref: str | None, limit: int, marker: str | None) -> Page[Alias]:
        self.asked = ("list_aliases", key_ref, limit, marker)
        return Page([Alias(ACCOUNT, "alias/payroll", KEY_ID, BORN, BORN)], self.next_marker)

    def tag_resource(self, _: Call, key_ref: str, tags: Sequence[Tag]) -> None:
        self.asked = ("tag_resource", key_ref, list(tags))

    def untag_resource(self, _: Call, key_ref: str, tag_keys: Sequence[str]) -> None:
        self.asked = ("untag_resource", key_ref, list(tag_keys))

    def list_resource_tags(self, _: Call, key_ref: str, *, limit: int, marker: str | None) -> Page[Tag]:
        self.asked = ("list_resource_tags", key_ref, limit, marker)
        return Page([Tag("team", "pay"), Tag("empty", "")], self.next_marker)

    def encrypt(
        self,
        _: Call,
        key_ref: str,
        plaintext: bytes,
        context: Mapping[str, str],
        *,
        algorithm: EncryptionAlgorithm,
        dry_run: bool,
    ) -> Encrypted:
        self.algorithms = (algorithm,)
        self.asked = ("encrypt", key_ref, plaintext, context, dry_run)
        return Encrypted(ARN, b"sealed\xff\xfb")

    def decrypt(
        self,
        _: Call,
        ciphertext_blob: bytes,
        context: Mapping[str, str],
        *,
        key_ref: str | None,
        algorithm: EncryptionAlgorithm,
        dry_run: bool,
    ) -> Decrypted:
        self.algorithms = (algorithm,)
        self.asked = ("decrypt", ciphertext_blob, context, key_ref, dry_run)
        return Decrypted(ARN, b"plain", KEY_MATERIAL_ID)

    def rehearse_decrypt(
        self, _: Call, key_ref: str, context: Mapping[str, str], *, algorithm: EncryptionAlgorithm
    ) -> NoReturn:
        self.algorithms = (algorithm,)
        self.asked = ("rehearse_decrypt", key_ref, context)
        raise DryRunError

    def rehearse_re_encrypt(
        self,
        _: Call,
        *,
        source_key_ref: str,
        source_context: Mapping[str, str],
        source_algorithm: EncryptionAlgorithm,
        destination_key_ref: str,
        destination_context: Mapping[str, str],
        destination_algorithm: EncryptionAlgorithm,
    ) -> NoReturn:
        self.algorithms = (source_algorithm, destination_algorithm)
        source, destination = (source_key_ref, source_context), (destination_key_ref, destination_context)
        self.asked = ("rehearse_re_encrypt", *source, *destination)
        raise DryRunError

    def re_encrypt(
        self,
        _: Call,
        ciphertext_blob: bytes,
        *,
        source_key_ref: str | None,
        source_context: Mapping[str, str],
        source_algorithm: EncryptionAlgorithm,
        destination_key_ref: str,
        destination_context: Mapping[str, str],
        destination_algorithm: EncryptionAlgorithm,
        dry_run: bool,
    ) -> ReEncrypted:
        self.algorithms = (source_algorithm, destination_algorithm)
        source = (source_key_ref, source_context)
        self.asked = (
            *("re_encrypt", ciphertext_blob, *source),
            *(destination_key_ref, destination_context, dry_run),
        )
        return ReEncrypted(ARN, KEY_MATERIAL_ID, OTHER_ARN, OTHER_MATERIAL_ID, b"sealed again")

    def generate_data_key(
        self, _: Call, key_ref: str, context: Mapping[str, str], *, length: int, dry_run: bool
    ) -> DataKey:
        self.asked = ("generate_data_key", key_ref, context, length, dry_run)
        return DataKey(ARN, KEY_MATERIAL_ID, b"sealed", b"k" * length)

    def generate_data_key_without_plaintext(
        self, _: Call, key_ref: str, context: Mapping[str, str], *, length: int, dry_run: bool
    ) -> SealedDataKey:
        self.asked = ("generate_data_key_without_plaintext", key_ref, context, length, dry_run)
        return SealedDataKey(ARN, KEY_MATERIAL_ID, b"sealed")

    def generate_random(self, _: Call, length: int) -> bytes:
        self.asked = ("generate_random", length)
        return b"r" * length


@pytest.fixture(scope="session")
def service_model() -> ServiceModel:
    model = botocore.session.Session().get_service_model("kms")
    assert isinstance(model, ServiceModel)
    return model


@pytest.fixture
def kms() -> RecordingKms:
    return RecordingKms()


@pytest.fixture
def call() -> Call:
    return Call(
        request_id="3f2a9c1e-0000-4000-8000-000000000001",
        region=REGION,
        caller=Caller(root_principal(ACCOUNT), "AKIAEXAMPLE"),
        event_source="kms.amazonaws.com",
        operation="Test",
        read_only=True,
        received_at=BORN,
        source_ip="127.0.0.1",
        user_agent="test",
        request_parameters={},
        may_block=False,
        resources=[],
        additional={},
    )
