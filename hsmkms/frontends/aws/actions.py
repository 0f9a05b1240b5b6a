"""What each operation does: refuse the options that are not built, make one service call, spell the answer.

What is refused here is refused before the key is looked up: see ``options``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from hsmkms.errors import ValidationError
from hsmkms.frontends.aws import answers
from hsmkms.frontends.aws import requests as wire
from hsmkms.frontends.aws.answers import SYMMETRIC_DEFAULT, blob, key_metadata, list_members
from hsmkms.frontends.aws.options import refuse_key_options, refuse_recipient, unsupported
from hsmkms.frontends.aws.structures import refused_without
from hsmkms.model.keys import EncryptionAlgorithm, KeyOrigin, Tag
from hsmkms.service.call import Call

if TYPE_CHECKING:
    from hsmkms.service.kms import Kms

Members = dict[str, object]
Value = TypeVar("Value")

KEYS_PER_PAGE: Final = 100
ALIASES_PER_PAGE: Final = 50
TAGS_PER_PAGE: Final = 50

_LENGTH_OF_SPEC: Final = {"AES_128": 16, "AES_256": 32}


def create_key(kms: Kms, call: Call, request: wire.CreateKeyRequest) -> Members:
    """CreateKey."""
    refuse_key_options(request)
    key = kms.create_key(
        call,
        description=request.description or "",
        tags=_tags(request.tags or ()),
        policy_text=request.policy,
        bypasses_lockout_check=request.bypass_policy_lockout_safety_check is True,
        origin=KeyOrigin.AWS_KMS if request.origin is None else KeyOrigin(request.origin),
    )
    return {"KeyMetadata": key_metadata(kms.region, key, kms.key_material_id(key))}


def describe_key(kms: Kms, call: Call, request: wire.DescribeKeyRequest) -> Members:
    """DescribeKey."""
    call.grant_tokens = request.grant_tokens or ()
    key = kms.describe_key(call, request.key_id)
    return {"KeyMetadata": key_metadata(kms.region, key, kms.key_material_id(key))}


def list_keys(kms: Kms, call: Call, request: wire.ListKeysRequest) -> Members:
    """ListKeys."""
    own = request.resource_owners is None or "SELF" in request.resource_owners
    page = kms.list_keys(call, own=own, limit=request.limit or KEYS_PER_PAGE, marker=request.marker)
    entries = [answers.key_entry(kms.region, call.caller.account, key_id) for key_id in page.items]
    return list_members("Keys", entries, page)


def enable_key(kms: Kms, call: Call, request: wire.KeyRequest) -> Members:
    """EnableKey."""
    kms.enable_key(call, request.key_id)
    return {}


def disable_key(kms: Kms, call: Call, request: wire.KeyRequest) -> Members:
    """DisableKey."""
    kms.disable_key(call, request.key_id)
    return {}


def update_key_description(kms: Kms, call: Call, request: wire.UpdateKeyDescriptionRequest) -> Members:
    """UpdateKeyDescription."""
    kms.update_key_description(call, request.key_id, request.description)
    return {}


def create_alias(kms: Kms, call: Call, request: wire.AliasTargetRequest) -> Members:
    """CreateAlias."""
    kms.create_alias(call, request.alias_name, request.target_key_id)
    return {}


def update_alias(kms: Kms, call: Call, request: wire.AliasTargetRequest) -> Members:
    """UpdateAlias."""
    kms.update_alias(call, request.alias_name, request.target_key_id)
    return {}


def delete_alias(kms: Kms, call: Call, request: wire.DeleteAliasRequest) -> Members:
    """DeleteAlias."""
    kms.delete_alias(call, request.alias_name)
    return {}


def list_aliases(kms: Kms, call: Call, request: wire.ListAliasesRequest) -> Members:
    """ListAliases."""
    limit = request.limit or ALIASES_PER_PAGE
    page = kms.list_aliases(call, key_ref=request.key_id, limit=limit, marker=request.marker)
    entries = [answers.alias_entry(kms.region, alias) for alias in page.items]
    return list_members("Aliases", entries, page)


def tag_resource(kms: Kms, call: Call, request: wire.TagResourceRequest) -> Members:
    """TagResource."""
    kms.tag_resource(call, request.key_id, _tags(request.tags))
    return {}


def untag_resource(kms: Kms, call: Call, request: wire.UntagResourceRequest) -> Members:
    """UntagResource."""
    kms.untag_resource(call, request.key_id, request.tag_keys)
    return {}


def list_resource_tags(kms: Kms, call: Call, request: wire.ListResourceTagsRequest) -> Members:
    """ListResourceTags."""
    limit = request.limit or TAGS_PER_PAGE
    page = kms.list_resource_tags(call, request.key_id, limit=limit, marker=request.marker)
    entries: list[Members] = [{"TagKey": tag.tag_key, "TagValue": tag.tag_value} for tag in page.items]
    return list_members("Tags", entries, page)


def encrypt(kms: Kms, call: Call, request: wire.EncryptRequest) -> Members:
    """Encrypt."""
    call.grant_tokens = request.grant_tokens or ()
    encrypted = kms.encrypt(
        call,
        request.key_id,
        request.plaintext,
        request.encryption_context or {},
        algorithm=_algorithm(request.encryption_algorithm),
        dry_run=request.dry_run is True,
    )
    return {
        "CiphertextBlob": blob(encrypted.ciphertext_blob),
        "KeyId": encrypted.key_arn,
        "EncryptionAlgorithm": SYMMETRIC_DEFAULT,
    }


def decrypt(kms: Kms, call: Call, request: wire.DecryptRequest) -> Members:
    """Decrypt."""
    refuse_recipient("Decrypt", request.recipient)
    call.grant_tokens = request.grant_tokens or ()
    algorithm = _algorithm(request.encryption_algorithm)
    if _ignores_ciphertext(request):
        kms.rehearse_decrypt(
            call,
            _required("keyId", request.key_id),
            request.encryption_context or {},
            algorithm=algorithm,
        )
    decrypted = kms.decrypt(
        call,
        _required("ciphertextBlob", request.ciphertext_blob),
        request.encryption_context or {},
        key_ref=request.key_id,
        algorithm=algorithm,
        dry_run=request.dry_run is True,
    )
    return {
        "KeyId": decrypted.key_arn,
        "Plaintext": blob(decrypted.plaintext),
        "EncryptionAlgorithm": SYMMETRIC_DEFAULT,
        "KeyMaterialId": decrypted.key_material_id,
    }


def re_encrypt(kms: Kms, call: Call, request: wire.ReEncryptRequest) -> Members:
    """ReEncrypt."""
    call.grant_tokens = request.grant_tokens or ()
    source_algorithm = _algorithm(request.source_encryption_algorithm)
    destination_algorithm = _algorithm(request.destination_encryption_algorithm)
    if _ignores_ciphertext(request):
        kms.rehearse_re_encrypt(
            call,
            source_key_ref=_required("sourceKeyId", request.source_key_id),
            source_context=request.source_encryption_context or {},
            source_algorithm=source_algorithm,
            destination_key_ref=request.destination_key_id,
            destination_context=request.destination_encryption_context or {},
            destination_algorithm=destination_algorithm,
        )
    re_encrypted = kms.re_encrypt(
        call,
        _required("ciphertextBlob", request.ciphertext_blob),
        source_key_ref=request.source_key_id,
        source_context=request.source_encryption_context or {},
        source_algorithm=source_algorithm,
        destination_key_ref=request.destination_key_id,
        destination_context=request.destination_encryption_context or {},
        destination_algorithm=destination_algorithm,
        dry_run=request.dry_run is True,
    )
    return {
        "CiphertextBlob": blob(re_encrypted.ciphertext_blob),
        "SourceKeyId": re_encrypted.source_key_arn,
        "KeyId": re_encrypted.destination_key_arn,
        "SourceEncryptionAlgorithm": SYMMETRIC_DEFAULT,
        "DestinationEncryptionAlgorithm": SYMMETRIC_DEFAULT,
        "SourceKeyMaterialId": re_encrypted.source_key_material_id,
        "DestinationKeyMaterialId": re_encrypted.destination_key_material_id,
    }


def generate_data_key(kms: Kms, call: Call, request: wire.DataKeyRequest) -> Members:
    """GenerateDataKey."""
    refuse_recipient("GenerateDataKey", request.recipient)
    call.grant_tokens = request.grant_tokens or ()
    data_key = kms.generate_data_key(
        call,
        request.key_id,
        request.encryption_context or {},
        length=_data_key_length(request),
        dry_run=request.dry_run is True,
    )
    return {
        "CiphertextBlob": blob(data_key.ciphertext_blob),
        "Plaintext": blob(data_key.plaintext),
        "KeyId": data_key.key_arn,
        "KeyMaterialId": data_key.key_material_id,
    }


def generate_data_key_without_plaintext(kms: Kms, call: Call, request: wire.SealedDataKeyRequest) -> Members:
    """GenerateDataKeyWithoutPlaintext."""
    call.grant_tokens = request.grant_tokens or ()
    data_key = kms.generate_data_key_without_plaintext(
        call,
        request.key_id,
        request.encryption_context or {},
        length=_data_key_length(request),
        dry_run=request.dry_run is True,
    )
    return {
        "CiphertextBlob": blob(data_key.ciphertext_blob),
        "KeyId": data_key.key_arn,
        "KeyMaterialId": data_key.key_material_id,
    }


def generate_random(kms: Kms, call: Call, request: wire.GenerateRandomRequest) -> Members:
    """GenerateRandom."""
    if request.number_of_bytes is None:
        raise ValidationError("NumberOfBytes is required.")
    if request.custom_key_store_id is not None:
        raise unsupported("GenerateRandom", "CustomKeyStoreId")
    refuse_recipient("GenerateRandom", request.recipient)
    return {"Plaintext": blob(kms.generate_random(call, request.number_of_bytes))}


def _algorithm(given: str | None) -> EncryptionAlgorithm:
    return EncryptionAlgorithm.SYMMETRIC_DEFAULT if given is None else EncryptionAlgorithm(given)


def _ignores_ciphertext(request: wire.DecryptRequest | wire.ReEncryptRequest) -> bool:
    """Whether leave alone is asked about. IGNORE_CIPHERTEXT is the one modifier there is."""
    if not request.dry_run_modifiers:
        return False
    if request.dry_run is not True:
        raise ValidationError("DryRunModifiers can only be specified when DryRun is true")
    return True


def _required(path_name: str, value: Value | None) -> Value:
    """A member that the service model calls optional, because one rehearsal does without it."""
    if value is None:
        raise refused_without(path_name)
    return value


def _data_key_length(request: wire.SealedDataKeyRequest) -> int:
    if (request.number_of_bytes is None) is (request.key_spec is None):
        raise ValidationError("Please specify either number of bytes or key spec.")
    if request.key_spec is not None:
        return _LENGTH_OF_SPEC[request.key_spec]
    return request.number_of_bytes or 0


def _tags(tags: tuple[wire.WireTag, ...]) -> list[Tag]:
    return [Tag(tag.tag_key, tag.tag_value) for tag in tags]
