"""Requests of the AWS KMS JSON protocol: one frozen, strict model each.

Members have Python's spelling here and AWS's on the wire. A member that is ``null`` is absent. Limits are
those of the service model ``kms/2014-11-01`` and, where that is silent, of AWS's own answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, TypeAlias

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_pascal

from hsmkms.frontends.aws.shapes import Blob, Choice, Flag, Number, Spelling, Text
from hsmkms.frontends.aws.structures import ListOf, Structure, TextMap
from hsmkms.model.keys import EncryptionAlgorithm

_DATA_KEY_SPECS: Final = ("AES_256", "AES_128")
_ENCRYPTION_ALGORITHMS: Final = tuple(sorted(algorithm.value for algorithm in EncryptionAlgorithm))
_KEY_USAGES: Final = (
    *("SIGN_VERIFY", "ENCRYPT_DECRYPT", "GENERATE_VERIFY_MAC"),
    *("KEY_AGREEMENT", "ENCAPSULATE_DECAPSULATE"),
)
_CUSTOMER_MASTER_KEY_SPECS: Final = (
    *("RSA_2048", "RSA_3072", "RSA_4096"),
    *("ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1"),
    "SYMMETRIC_DEFAULT",
    *("HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512"),
    "SM2",
)
_KEY_SPECS: Final = (
    *_CUSTOMER_MASTER_KEY_SPECS,
    *("ML_DSA_44", "ML_DSA_65", "ML_DSA_87", "ECC_NIST_EDWARDS25519"),
    *("ML_KEM_512", "ML_KEM_768", "ML_KEM_1024"),
)
_ORIGINS: Final = ("AWS_KMS", "EXTERNAL", "AWS_CLOUDHSM", "EXTERNAL_KEY_STORE")
_GRANT_OPERATIONS: Final = (
    *("Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext"),
    *("ReEncryptFrom", "ReEncryptTo", "Sign", "Verify", "GetPublicKey"),
    *("CreateGrant", "RetireGrant", "DescribeKey"),
    *("GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"),
    *("GenerateMac", "VerifyMac", "DeriveSharedSecret", "Encapsulate", "Decapsulate"),
)
_RESOURCE_OWNERS: Final = ("SELF", "OTHER_ACCOUNTS_VIA_RAM")

# The service model has no pattern for KeyId; AWS's answers do.
_ASCII: Final = Spelling(r"^\p{ASCII}+$", r"[\x00-\x7f]+")
_ALIAS: Final = Spelling("^[a-zA-Z0-9:/_-]+$", "[a-zA-Z0-9:/_-]+")
_LATIN_1: Final = Spelling(r"[\u0020-\u00FF]*", "[ -\u00ff]*")
_POLICY: Final = Spelling(r"[\u0009\u000A\u000D\u0020-\u00FF]+", "[\t\n\r -\u00ff]+")
# What is stored: AWS has no pattern there, but not every database can hold a NUL, and no text needs one.
_NO_NUL: Final = Spelling(r"[^\u0000]*", r"[^\x00]*")
_XKS_KEY: Final = Spelling("^[a-zA-Z0-9-_.]+$", "[a-zA-Z0-9_.-]+")

_PRINCIPAL: Final = Spelling(r"^[\w+=,.@:/-]+$", "[A-Za-z0-9_+=,.@:/-]+")
_POLICY_NAME: Final = Spelling(r"[\w]+", "[A-Za-z0-9_]+")
# AWS prints what its own services have, three labels at least; those of an operator may have two.
_SERVICE: Final = Spelling(
    r"^([A-Za-z0-9\-]+)\.([A-Za-z0-9\-]+)(\.[A-Za-z0-9\-]+)+$", r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"
)
_SOURCE_ARN: Final = Spelling(
    r"^arn:aws[a-z0-9-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]{12}:.+$",
    r"arn:aws[a-z0-9-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]{12}:.+",
)

KeyReference: TypeAlias = Annotated[str, Text(1, 2048, _ASCII)]
AliasName: TypeAlias = Annotated[str, Text(1, 256, _ALIAS)]
Description: TypeAlias = Annotated[str, Text(0, 8192, _NO_NUL)]
Policy: TypeAlias = Annotated[str, Text(1, 131072, _POLICY)]
Limit: TypeAlias = Annotated[int, Number(1, 1000)]
Marker: TypeAlias = Annotated[str, Text(1, 1024, _LATIN_1)]
Plaintext: TypeAlias = Annotated[bytes, Blob(1, 4096, sensitive=True)]
CiphertextBlob: TypeAlias = Annotated[bytes, Blob(1, 6144)]
EncryptionContext: TypeAlias = Annotated[dict[str, str], TextMap()]
# AWS KMS API Reference, GrantConstraints.
GrantedContext: TypeAlias = Annotated[dict[str, str], TextMap(max_pairs=8, max_value_characters=384)]
AlgorithmName: TypeAlias = Annotated[str, Choice(_ENCRYPTION_ALGORITHMS)]
DataKeySpec: TypeAlias = Annotated[str, Choice(_DATA_KEY_SPECS)]
NumberOfBytes: TypeAlias = Annotated[int, Number(1, 1024)]
Switch: TypeAlias = Annotated[bool, Flag()]
CustomKeyStoreId: TypeAlias = Annotated[str, Text(1, 64)]
GrantTokens: TypeAlias = Annotated[tuple[str, ...], ListOf(Text(1, 8192, secret=True), 0, 10)]
DryRunModifiers: TypeAlias = Annotated[tuple[str, ...], ListOf(Choice(("IGNORE_CIPHERTEXT",)))]
ResourceOwners: TypeAlias = Annotated[tuple[str, ...], ListOf(Choice(_RESOURCE_OWNERS), 1, 2)]
GrantOperations: TypeAlias = Annotated[tuple[str, ...], ListOf(Choice(_GRANT_OPERATIONS))]
GrantId: TypeAlias = Annotated[str, Text(1, 128)]
PrincipalId: TypeAlias = Annotated[str, Text(1, 256, _PRINCIPAL)]
ServicePrincipal: TypeAlias = Annotated[str, Text(1, 128, _SERVICE)]
PolicyName: TypeAlias = Annotated[str, Text(1, 128, _POLICY_NAME)]
TagKeys: TypeAlias = Annotated[tuple[str, ...], ListOf(Text(1, 128, _NO_NUL))]


class WireModel(BaseModel):
    """A structure of the wire; its repr names the members that were given and shows none of them."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="ignore", alias_generator=to_pascal, hide_input_in_errors=True
    )

    def __repr_args__(self) -> Iterable[tuple[str | None, object]]:
        """Names only: a request may hold a plaintext."""
        return [("given", sorted(self.model_fields_set))]


class WireTag(WireModel):
    """A tag."""

    tag_key: Annotated[str, Text(1, 128, _NO_NUL)]
    tag_value: Annotated[str, Text(0, 256, _NO_NUL)]


class RecipientInfo(WireModel):
    """An enclave that wants the answer sealed to itself."""

    key_encryption_algorithm: Annotated[str, Choice(("RSAES_OAEP_SHA_256",))] | None = None
    attestation_document: Annotated[bytes, Blob(1, 262144)] | None = None


Tags: TypeAlias = Annotated[tuple[WireTag, ...], ListOf(Structure(WireTag))]
Recipient: TypeAlias = Annotated[RecipientInfo, Structure(RecipientInfo)]


class KeyRequest(WireModel):
    """EnableKey, DisableKey, and the others that are told a key and nothing else."""

    key_id: KeyReference


class CreateKeyRequest(WireModel):
    """CreateKey."""

    policy: Policy | None = None
    description: Description | None = None
    key_usage: Annotated[str, Choice(_KEY_USAGES)] | None = None
    customer_master_key_spec: Annotated[str, Choice(_CUSTOMER_MASTER_KEY_SPECS)] | None = None
    key_spec: Annotated[str, Choice(_KEY_SPECS)] | None = None
    origin: Annotated[str, Choice(_ORIGINS)] | None = None
    custom_key_store_id: CustomKeyStoreId | None = None
    bypass_policy_lockout_safety_check: Switch | None = None
    tags: Tags | None = None
    multi_region: Switch | None = None
    xks_key_id: Annotated[str, Text(1, 128, _XKS_KEY)] | None = None


class DescribeKeyRequest(WireModel):
    """DescribeKey."""

    key_id: KeyReference
    grant_tokens: GrantTokens | None = None


class ListKeysRequest(WireModel):
    """ListKeys."""

    limit: Limit | None = None
    marker: Marker | None = None
    resource_owners: ResourceOwners | None = None


class UpdateKeyDescriptionRequest(WireModel):
    """UpdateKeyDescription."""

    key_id: KeyReference
    description: Description


class AliasTargetRequest(WireModel):
    """CreateAlias, UpdateAlias."""

    alias_name: AliasName
    target_key_id: KeyReference


class DeleteAliasRequest(WireModel):
    """DeleteAlias."""

    alias_name: AliasName


class GetKeyPolicyRequest(WireModel):
    """GetKeyPolicy."""

    key_id: KeyReference
    policy_name: PolicyName | None = None


class PutKeyPolicyRequest(WireModel):
    """PutKeyPolicy."""

    key_id: KeyReference
    policy_name: PolicyName | None = None
    policy: Policy
    bypass_policy_lockout_safety_check: Switch | None = None


class ListKeyPoliciesRequest(WireModel):
    """ListKeyPolicies."""

    key_id: KeyReference
    limit: Limit | None = None
    marker: Marker | None = None


class GrantConstraints(WireModel):
    """Which encryption contexts, and which resource of a service, a grant is for."""

    encryption_context_subset: GrantedContext | None = None
    encryption_context_equals: GrantedContext | None = None
    source_arn: Annotated[str, Text(20, 512, _SOURCE_ARN)] | None = None


Constraints: TypeAlias = Annotated[GrantConstraints, Structure(GrantConstraints)]


class CreateGrantRequest(WireModel):
    """CreateGrant."""

    key_id: KeyReference
    grantee_principal: PrincipalId | None = None
    retiring_principal: PrincipalId | None = None
    operations: GrantOperations
    constraints: Constraints | None = None
    grant_tokens: GrantTokens | None = None
    name: Annotated[str, Text(1, 256, _ALIAS)] | None = None
    dry_run: Switch | None = None
    grantee_service_principal: ServicePrincipal | None = None
    retiring_service_principal: ServicePrincipal | None = None


class ListGrantsRequest(WireModel):
    """ListGrants."""

    limit: Limit | None = None
    marker: Marker | None = None
    key_id: KeyReference
    grant_id: GrantId | None = None
    grantee_principal: PrincipalId | None = None
    grantee_service_principal: ServicePrincipal | None = None


class ListRetirableGrantsRequest(WireModel):
    """ListRetirableGrants."""

    limit: Limit | None = None
    marker: Marker | None = None
    retiring_principal: PrincipalId | None = None
    retiring_service_principal: ServicePrincipal | None = None


class RetireGrantRequest(WireModel):
    """RetireGrant: by a token, or by key and grant id."""

    grant_token: Annotated[str, Text(1, 8192, secret=True)] | None = None
    key_id: KeyReference | None = None
    grant_id: GrantId | None = None
    dry_run: Switch | None = None


class RevokeGrantRequest(WireModel):
    """RevokeGrant."""

    key_id: KeyReference
    grant_id: GrantId
    dry_run: Switch | None = None


class ListAliasesRequest(WireModel):
    """ListAliases."""

    key_id: KeyReference | None = None
    limit: Limit | None = None
    marker: Marker | None = None


class TagResourceRequest(WireModel):
    """TagResource."""

    key_id: KeyReference
    tags: Tags


class UntagResourceRequest(WireModel):
    """UntagResource."""

    key_id: KeyReference
    tag_keys: TagKeys


class ListResourceTagsRequest(WireModel):
    """ListResourceTags."""

    key_id: KeyReference
    limit: Limit | None = None
    marker: Marker | None = None


class EncryptRequest(WireModel):
    """Encrypt."""

    key_id: KeyReference
    plaintext: Plaintext
    encryption_context: EncryptionContext | None = None
    grant_tokens: GrantTokens | None = None
    encryption_algorithm: AlgorithmName | None = None
    dry_run: Switch | None = None


class DecryptRequest(WireModel):
    """Decrypt; the service model lets CiphertextBlob be absent for the sake of DryRunModifiers."""

    ciphertext_blob: CiphertextBlob | None = None
    encryption_context: EncryptionContext | None = None
    grant_tokens: GrantTokens | None = None
    key_id: KeyReference | None = None
    encryption_algorithm: AlgorithmName | None = None
    recipient: Recipient | None = None
    dry_run: Switch | None = None
    dry_run_modifiers: DryRunModifiers | None = None


class ReEncryptRequest(WireModel):
    """ReEncrypt."""

    ciphertext_blob: CiphertextBlob | None = None
    source_encryption_context: EncryptionContext | None = None
    source_key_id: KeyReference | None = None
    destination_key_id: KeyReference
    destination_encryption_context: EncryptionContext | None = None
    source_encryption_algorithm: AlgorithmName | None = None
    destination_encryption_algorithm: AlgorithmName | None = None
    grant_tokens: GrantTokens | None = None
    dry_run: Switch | None = None
    dry_run_modifiers: DryRunModifiers | None = None


class SealedDataKeyRequest(WireModel):
    """GenerateDataKeyWithoutPlaintext."""

    key_id: KeyReference
    encryption_context: EncryptionContext | None = None
    number_of_bytes: NumberOfBytes | None = None
    key_spec: DataKeySpec | None = None
    grant_tokens: GrantTokens | None = None
    dry_run: Switch | None = None


class DataKeyRequest(SealedDataKeyRequest):
    """GenerateDataKey."""

    recipient: Recipient | None = None


class GenerateRandomRequest(WireModel):
    """GenerateRandom."""

    number_of_bytes: NumberOfBytes | None = None
    custom_key_store_id: CustomKeyStoreId | None = None
    recipient: Recipient | None = None
