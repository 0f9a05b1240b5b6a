"""What one region or account has, another one neither uses nor sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from hsmkms.testing.server import DevServer
from tests.acceptance.clients import Refusal, client, new_key, refusal
from tests.acceptance.deployments import run_command

NO_KEY = "99999999-8888-7777-6666-555555555555"
OTHER_ACCOUNT = "111111111111"
DENIED_BLOB = (
    "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or "
    "you are not allowed to access."
)


@dataclass(frozen=True)
class Held:
    """A key of the first region and account, with an alias and a ciphertext."""

    key: str
    arn: str
    alias_arn: str
    blob: bytes


@pytest.fixture(scope="module")
def held(server: DevServer, kms: Any) -> Held:
    metadata = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName="alias/held", TargetKeyId=metadata["KeyId"])
    blob = kms.encrypt(KeyId=metadata["KeyId"], Plaintext=b"held")["CiphertextBlob"]
    alias_arn = f"arn:aws:kms:us-east-1:{server.account}:alias/held"
    return Held(metadata["KeyId"], metadata["Arn"], alias_arn, blob)


# --- regions ---------------------------------------------------------------------------------------------


def test_a_key_id_or_alias_of_one_region_is_unknown_in_the_other(
    server: DevServer, kms_west: Any, held: Held
) -> None:
    told = refusal(kms_west.describe_key, KeyId=held.key)
    west = f"arn:aws:kms:eu-west-1:{server.account}"
    assert (told.code, told.message) == ("NotFoundException", f"Key '{west}:key/{held.key}' does not exist")
    told = refusal(kms_west.encrypt, KeyId="alias/held", Plaintext=b"x")
    assert (told.code, told.message) == ("NotFoundException", f"Alias {west}:alias/held is not found.")


def test_an_arn_of_one_region_is_refused_in_the_other(kms_west: Any, held: Held) -> None:
    for arn in (held.arn, held.alias_arn):
        told = refusal(kms_west.encrypt, KeyId=arn, Plaintext=b"x")
        assert (told.code, told.message) == ("NotFoundException", "Invalid arn us-east-1")


def test_a_blob_of_one_region_names_no_key_in_the_other(kms_west: Any, held: Held) -> None:
    told = refusal(kms_west.decrypt, CiphertextBlob=held.blob)
    assert (told.status, told.code, told.message) == (400, "AccessDeniedException", DENIED_BLOB)
    own = new_key(kms_west)
    told = refusal(kms_west.re_encrypt, CiphertextBlob=held.blob, DestinationKeyId=own)
    assert (told.code, told.message) == ("AccessDeniedException", DENIED_BLOB)
    told = refusal(kms_west.decrypt, CiphertextBlob=held.blob, KeyId=own)
    assert told.code in ("AccessDeniedException", "IncorrectKeyException")


def test_lists_and_names_are_each_regions_own(kms: Any, kms_west: Any, held: Held) -> None:
    assert held.key not in {key["KeyId"] for key in kms_west.list_keys(Limit=1000)["Keys"]}
    assert "alias/held" not in {alias["AliasName"] for alias in kms_west.list_aliases()["Aliases"]}
    own = new_key(kms_west)
    kms_west.create_alias(AliasName="alias/held", TargetKeyId=own)
    assert kms_west.describe_key(KeyId="alias/held")["KeyMetadata"]["KeyId"] == own
    assert kms.describe_key(KeyId="alias/held")["KeyMetadata"]["KeyId"] == held.key


def test_a_region_that_is_not_served_is_refused(server: DevServer) -> None:
    for service, code in (("kms", "InvalidSignatureException"), ("sts", "SignatureDoesNotMatch")):
        stranger = client(server, service, region="ap-south-1")
        call = stranger.list_keys if service == "kms" else stranger.get_caller_identity
        told = refusal(call)
        assert told.code == code
        assert told.message.startswith("Credential should be scoped to a valid region.")


def test_every_region_says_who_one_is(server: DevServer) -> None:
    for region in server.regions:
        assert client(server, "sts", region=region).get_caller_identity()["Account"] == server.account


# --- accounts --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stranger(server: DevServer) -> Any:
    """The root principal of another account, made by an operator while the server runs."""
    outcome = run_command(
        *("access-key", "create", "--account", OTHER_ACCOUNT, "--json"),
        *("--config", server.data / "hsmkms.toml"),
    )
    assert outcome.code == 0, outcome.said
    members = outcome.members
    assert members["account"] == OTHER_ACCOUNT
    return client(
        server,
        aws_access_key_id=members["access_key_id"],
        aws_secret_access_key=members["secret_access_key"],
    )


def _alike(told: Refusal, other: Refusal, *names: tuple[str, str]) -> None:
    """Two refusals are the same but for the names that the caller gave himself."""
    message = told.message
    for mine, yours in names:
        message = message.replace(mine, yours)
    assert (told.status, told.code, message) == (other.status, other.code, other.message)


def test_a_new_accounts_key_is_known_to_every_worker_at_once(stranger: Any) -> None:
    for _ in range(10):
        assert new_key(stranger)
    assert len(stranger.list_keys(Limit=1000)["Keys"]) >= 10


@pytest.mark.parametrize(
    "method",
    [
        pytest.param("describe_key", id="DescribeKey"),
        pytest.param("encrypt", id="Encrypt"),
        pytest.param("generate_data_key", id="GenerateDataKey"),
        pytest.param("generate_data_key_without_plaintext", id="GenerateDataKeyWithoutPlaintext"),
        pytest.param("disable_key", id="DisableKey"),
        pytest.param("enable_key", id="EnableKey"),
        pytest.param("update_key_description", id="UpdateKeyDescription"),
        pytest.param("tag_resource", id="TagResource"),
        pytest.param("untag_resource", id="UntagResource"),
        pytest.param("list_resource_tags", id="ListResourceTags"),
        pytest.param("list_aliases", id="ListAliases"),
    ],
)
def test_a_key_arn_of_another_account_shows_nothing(
    server: DevServer, stranger: Any, held: Held, method: str
) -> None:
    rests: dict[str, dict[str, Any]] = {
        "encrypt": {"Plaintext": b"x"},
        "generate_data_key": {"KeySpec": "AES_256"},
        "generate_data_key_without_plaintext": {"KeySpec": "AES_256"},
        "update_key_description": {"Description": ""},
        "tag_resource": {"Tags": [{"TagKey": "a", "TagValue": "b"}]},
        "untag_resource": {"TagKeys": ["a"]},
    }
    rest = rests.get(method, {})
    call = getattr(stranger, method)
    absent = f"arn:aws:kms:us-east-1:{server.account}:key/{NO_KEY}"
    there = refusal(call, KeyId=held.arn, **rest)
    assert (there.status, there.code) == (400, "AccessDeniedException")
    assert there.message.startswith(f"User: arn:aws:iam::{OTHER_ACCOUNT}:root is not authorized to perform:")
    assert held.arn in there.message
    _alike(there, refusal(call, KeyId=absent, **rest), (held.key, NO_KEY))


def test_an_alias_arn_of_another_account_shows_nothing(server: DevServer, stranger: Any, held: Held) -> None:
    absent = f"arn:aws:kms:us-east-1:{server.account}:alias/nowhere"
    there = refusal(stranger.encrypt, KeyId=held.alias_arn, Plaintext=b"x")
    assert there.code == "AccessDeniedException"
    _alike(there, refusal(stranger.encrypt, KeyId=absent, Plaintext=b"x"), ("alias/held", "alias/nowhere"))
    assert held.key not in there.message


def test_a_bare_key_id_or_alias_is_looked_for_in_ones_own_account(stranger: Any, held: Held) -> None:
    told = refusal(stranger.describe_key, KeyId=held.key)
    own_arn = f"arn:aws:kms:us-east-1:{OTHER_ACCOUNT}"
    assert (told.code, told.message) == (
        "NotFoundException",
        f"Key '{own_arn}:key/{held.key}' does not exist",
    )
    told = refusal(stranger.describe_key, KeyId="alias/held")
    assert (told.code, told.message) == ("NotFoundException", f"Alias {own_arn}:alias/held is not found.")


def test_a_ciphertext_of_another_account_looks_like_one_of_no_key(stranger: Any, held: Held) -> None:
    of_no_key = held.blob[:2] + bytes(16) + held.blob[18:]
    told = refusal(stranger.decrypt, CiphertextBlob=held.blob)
    assert (told.code, told.message) == ("AccessDeniedException", DENIED_BLOB)
    _alike(told, refusal(stranger.decrypt, CiphertextBlob=of_no_key))
    own = new_key(stranger)
    moved = refusal(stranger.re_encrypt, CiphertextBlob=held.blob, DestinationKeyId=own)
    assert (moved.code, moved.message) == ("AccessDeniedException", DENIED_BLOB)
    named = refusal(stranger.decrypt, CiphertextBlob=held.blob, KeyId=own)
    _alike(named, refusal(stranger.decrypt, CiphertextBlob=of_no_key, KeyId=own))


def test_a_key_of_another_account_is_no_destination_and_no_alias_target(
    kms: Any, stranger: Any, held: Held
) -> None:
    own = new_key(stranger)
    blob = stranger.encrypt(KeyId=own, Plaintext=b"x")["CiphertextBlob"]
    told = refusal(stranger.re_encrypt, CiphertextBlob=blob, DestinationKeyId=held.arn)
    assert told.code == "AccessDeniedException"
    told = refusal(stranger.create_alias, AliasName="alias/stolen", TargetKeyId=held.arn)
    assert told.code == "AccessDeniedException"
    # The same name in both accounts, each for its own key.
    stranger.create_alias(AliasName="alias/held", TargetKeyId=own)
    assert stranger.describe_key(KeyId="alias/held")["KeyMetadata"]["KeyId"] == own
    assert kms.describe_key(KeyId="alias/held")["KeyMetadata"]["KeyId"] == held.key
    stranger.delete_alias(AliasName="alias/held")
    assert kms.describe_key(KeyId="alias/held")["KeyMetadata"]["KeyId"] == held.key


def test_lists_show_ones_own_account_alone(kms: Any, stranger: Any, held: Held) -> None:
    own = new_key(stranger)
    theirs = {key["KeyId"] for key in kms.list_keys(Limit=1000)["Keys"]}
    mine = {key["KeyId"] for key in stranger.list_keys(Limit=1000)["Keys"]}
    assert held.key in theirs - mine
    assert own in mine - theirs
    assert all(f":{OTHER_ACCOUNT}:" in key["KeyArn"] for key in stranger.list_keys()["Keys"])
