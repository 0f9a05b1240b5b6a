"""boto3 as principals of three accounts: every operation, allowed and refused, through a running server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

import boto3
import pytest
from botocore.exceptions import ClientError

from hsmkms.frontends.aws.operations import OPERATIONS
from hsmkms.model.imports import WrappingAlgorithm
from hsmkms.testing.server import DevServer
from tests.acceptance.clients import CONFIG, new_key, refusal
from tests.acceptance.permissions import REGION, Credentials, People, allow, document
from tests.wrapped_material import wrap_material

A, B, C = "111111111111", "222222222222", "333333333333"
EVERYBODY: Final = ("root", "ann", "app", "carol", "dave")
NUMBERS: Final = count()
WRAPPING: Final = {"WrappingAlgorithm": "RSAES_OAEP_SHA_1", "WrappingKeySpec": "RSA_2048"}


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    """Root of A; ann, a user of A; app, a session of A's role; carol, a user of B; dave, a user of C."""
    data = tmp_path_factory.mktemp("permissions") / "data"
    with DevServer(data, workers=2, arguments=("--account", A)) as server:
        people = People(server)
        people.credentials["root"] = Credentials(server.access_key_id, server.secret_access_key)
        for account in (B, C):
            people.command("account", "create", account)
        ann = people.add_user(
            A,
            "ann",
            allow("kms:Encrypt", "kms:DescribeKey", "kms:*Alias*", "kms:List*", "kms:EnableKey"),
            allow("kms:*KeyDeletion", "kms:GetParametersForImport", "kms:GetKeyLastUsage"),
        )
        people.add_user(B, "carol", allow("kms:*"))
        people.add_user(C, "dave")
        people.add_role(
            A,
            "app",
            ann,
            allow("kms:GenerateDataKey*", "kms:ReEncrypt*", "kms:Decrypt", "kms:GenerateRandom"),
            allow("kms:*Grant*", "kms:*KeyPolic*", "kms:*agResource", "kms:CreateKey"),
            allow("kms:*KeyRotation", "kms:RotateKeyOnDemand", "kms:*KeyMaterial"),
        )
        people.assume("app", by="ann")
        yield people


@dataclass(frozen=True)
class Stage:
    """A key of A: its account decides, carol may do everything, dave has a grant.

    Attributes:
        external: a key under the same policy that takes ``material``.
        material: members of ImportKeyMaterial.
    """

    people: People
    root: Any
    key: str
    external: str
    material: dict[str, Any]
    policy: str
    blob: bytes


@pytest.fixture(scope="module")
def stage(people: People) -> Stage:
    root = people.client("root")
    policy = document(
        allow("kms:*", Principal={"AWS": A}), allow("kms:*", Principal={"AWS": people.arns["carol"]})
    )
    key = root.create_key(Policy=policy)["KeyMetadata"]["Arn"]
    root.create_grant(
        KeyId=key,
        GranteePrincipal=people.arns["dave"],
        Operations=["Encrypt", "GenerateDataKey", "DescribeKey", "ReEncryptTo"],
    )
    external = root.create_key(Policy=policy, Origin="EXTERNAL")["KeyMetadata"]["Arn"]
    given = root.get_parameters_for_import(KeyId=external, **WRAPPING)
    algorithm = WrappingAlgorithm(WRAPPING["WrappingAlgorithm"])
    material = {
        "ImportToken": given["ImportToken"],
        "EncryptedKeyMaterial": wrap_material(given["PublicKey"], algorithm, os.urandom(32)),
        "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
    }
    blob = root.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    return Stage(people, root, key, external, material, policy, blob)


def _with_grant(stage: Stage, kms: Any, operation: str) -> object:
    made = stage.root.create_grant(
        KeyId=stage.key, GranteePrincipal=stage.people.arns["dave"], Operations=["Decrypt"]
    )
    return getattr(kms, operation)(KeyId=stage.key, GrantId=made["GrantId"])


def _with_alias(stage: Stage, kms: Any, operation: str) -> object:
    name = f"alias/n{next(NUMBERS)}"
    stage.root.create_alias(AliasName=name, TargetKeyId=stage.key)
    more = {} if operation == "delete_alias" else {"TargetKeyId": stage.key}
    return getattr(kms, operation)(AliasName=name, **more)


def _deletion(stage: Stage, kms: Any, operation: str) -> object:
    """Of a key of its own, which no other test needs."""
    key = stage.root.create_key(Policy=stage.policy)["KeyMetadata"]["Arn"]
    if operation == "cancel_key_deletion":
        stage.root.schedule_key_deletion(KeyId=key)
    return getattr(kms, operation)(KeyId=key)


OWN = {"root", "carol"}
"""Who may do what concerns an account alone: carol in her own."""

CALLS: dict[str, tuple[set[str], Callable[[Stage, Any], object]]] = {
    "CreateKey": (OWN | {"app"}, lambda _, kms: kms.create_key()),
    "ListKeys": (OWN | {"ann"}, lambda _, kms: kms.list_keys()),
    "ListAliases": (OWN | {"ann"}, lambda _, kms: kms.list_aliases()),
    "GenerateRandom": (OWN | {"app"}, lambda _, kms: kms.generate_random(NumberOfBytes=8)),
    "ListRetirableGrants": (
        {"root", "ann", "app"},
        lambda _, kms: kms.list_retirable_grants(RetiringPrincipal=f"arn:aws:iam::{A}:root"),
    ),
    "DescribeKey": (
        {"root", "ann", "carol", "dave"},
        lambda stage, kms: kms.describe_key(KeyId=stage.key),
    ),
    "Encrypt": (
        {"root", "ann", "carol", "dave"},
        lambda stage, kms: kms.encrypt(KeyId=stage.key, Plaintext=b"x"),
    ),
    "Decrypt": ({"root", "app", "carol"}, lambda stage, kms: kms.decrypt(CiphertextBlob=stage.blob)),
    "ReEncrypt": (
        {"root", "app", "carol"},
        lambda stage, kms: kms.re_encrypt(CiphertextBlob=stage.blob, DestinationKeyId=stage.key),
    ),
    "GenerateDataKey": (
        {"root", "app", "carol", "dave"},
        lambda stage, kms: kms.generate_data_key(KeyId=stage.key, KeySpec="AES_256"),
    ),
    "GenerateDataKeyWithoutPlaintext": (
        {"root", "app", "carol"},
        lambda stage, kms: kms.generate_data_key_without_plaintext(KeyId=stage.key, KeySpec="AES_256"),
    ),
    "EnableKey": ({"root", "ann"}, lambda stage, kms: kms.enable_key(KeyId=stage.key)),
    "DisableKey": ({"root"}, lambda stage, kms: kms.disable_key(KeyId=stage.key)),
    "UpdateKeyDescription": (
        {"root"},
        lambda stage, kms: kms.update_key_description(KeyId=stage.key, Description="d"),
    ),
    "CreateAlias": (
        {"root", "ann"},
        lambda stage, kms: kms.create_alias(AliasName=f"alias/n{next(NUMBERS)}", TargetKeyId=stage.key),
    ),
    "UpdateAlias": ({"root", "ann"}, lambda stage, kms: _with_alias(stage, kms, "update_alias")),
    "DeleteAlias": ({"root", "ann"}, lambda stage, kms: _with_alias(stage, kms, "delete_alias")),
    "TagResource": (
        {"root", "app"},
        lambda stage, kms: kms.tag_resource(KeyId=stage.key, Tags=[{"TagKey": "a", "TagValue": "b"}]),
    ),
    "UntagResource": (
        {"root", "app"},
        lambda stage, kms: kms.untag_resource(KeyId=stage.key, TagKeys=["a"]),
    ),
    "ListResourceTags": ({"root", "ann"}, lambda stage, kms: kms.list_resource_tags(KeyId=stage.key)),
    "GetKeyPolicy": ({"root", "app"}, lambda stage, kms: kms.get_key_policy(KeyId=stage.key)),
    "PutKeyPolicy": (
        {"root", "app"},
        lambda stage, kms: kms.put_key_policy(KeyId=stage.key, Policy=stage.policy),
    ),
    "ListKeyPolicies": ({"root", "ann", "app"}, lambda stage, kms: kms.list_key_policies(KeyId=stage.key)),
    "CreateGrant": (
        {"root", "app", "carol"},
        lambda stage, kms: kms.create_grant(
            KeyId=stage.key, GranteePrincipal=stage.people.arns["ann"], Operations=["Decrypt"], DryRun=True
        ),
    ),
    "ListGrants": (
        {"root", "ann", "app", "carol"},
        lambda stage, kms: kms.list_grants(KeyId=stage.key),
    ),
    "RetireGrant": ({"root"}, lambda stage, kms: _with_grant(stage, kms, "retire_grant")),
    "RevokeGrant": (
        {"root", "app", "carol"},
        lambda stage, kms: _with_grant(stage, kms, "revoke_grant"),
    ),
    "EnableKeyRotation": ({"root", "app"}, lambda stage, kms: kms.enable_key_rotation(KeyId=stage.key)),
    "DisableKeyRotation": ({"root", "app"}, lambda stage, kms: kms.disable_key_rotation(KeyId=stage.key)),
    # The one of them that AWS has for other accounts too.
    "GetKeyRotationStatus": (
        {"root", "carol"},
        lambda stage, kms: kms.get_key_rotation_status(KeyId=stage.key),
    ),
    "RotateKeyOnDemand": ({"root", "app"}, lambda stage, kms: kms.rotate_key_on_demand(KeyId=stage.key)),
    "ListKeyRotations": ({"root", "ann"}, lambda stage, kms: kms.list_key_rotations(KeyId=stage.key)),
    "ScheduleKeyDeletion": (
        {"root", "ann"},
        lambda stage, kms: _deletion(stage, kms, "schedule_key_deletion"),
    ),
    "CancelKeyDeletion": ({"root", "ann"}, lambda stage, kms: _deletion(stage, kms, "cancel_key_deletion")),
    "GetParametersForImport": (
        {"root", "ann"},
        lambda stage, kms: kms.get_parameters_for_import(KeyId=stage.external, **WRAPPING),
    ),
    "ImportKeyMaterial": (
        {"root", "app"},
        lambda stage, kms: kms.import_key_material(KeyId=stage.external, **stage.material),
    ),
    "DeleteImportedKeyMaterial": (
        {"root", "app"},
        lambda stage, kms: kms.delete_imported_key_material(KeyId=stage.external),
    ),
    "GetKeyLastUsage": ({"root", "ann"}, lambda stage, kms: kms.get_key_last_usage(KeyId=stage.key)),
}


def test_every_operation_is_asked() -> None:
    assert CALLS.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("who", EVERYBODY)
@pytest.mark.parametrize("operation", CALLS)
def test_an_operation_by_somebody(stage: Stage, operation: str, who: str) -> None:
    may, ask = CALLS[operation]
    outcome = "done"
    try:
        ask(stage, stage.people.client(who))
    except ClientError as error:
        outcome = error.response["Error"]["Code"]
    if operation == "DisableKey":
        stage.root.enable_key(KeyId=stage.key)
    if who not in may:
        # What is not in one's account and is named without an ARN does not exist.
        absent = {"DeleteAlias"} if who == "carol" else set()
        assert outcome == ("NotFoundException" if operation in absent else "AccessDeniedException")
    else:
        assert outcome == ("DryRunOperationException" if operation == "CreateGrant" else "done")


def test_callers_learn_who_they_are(people: People) -> None:
    told = {name: people.client(name, "sts").get_caller_identity() for name in EVERYBODY}
    assert told["ann"]["Arn"] == people.arns["ann"]
    assert told["app"]["Arn"] == f"arn:aws:sts::{A}:assumed-role/app/run"
    assert told["app"]["UserId"].endswith(":run")
    assert [told[name]["Account"] for name in EVERYBODY] == [A, A, A, B, C]


def test_a_role_is_assumed_by_whom_it_trusts_alone(people: People) -> None:
    for name in ("carol", "dave", "app"):
        refused = refusal(
            people.client(name, "sts").assume_role, RoleArn=people.arns["app"], RoleSessionName="run"
        )
        assert (refused.code, refused.status) == ("AccessDenied", 403)
        assert "is not authorized to perform: sts:AssumeRole" in refused.message


def test_a_session_policy_limits_a_session(stage: Stage) -> None:
    people = stage.people
    people.arns["limited"] = people.arns["app"]
    people.assume("limited", by="ann", Policy=document(allow("kms:Decrypt")))
    limited = people.client("limited")
    assert limited.decrypt(CiphertextBlob=stage.blob)["Plaintext"] == b"x"
    refused = refusal(limited.generate_data_key, KeyId=stage.key, KeySpec="AES_256")
    assert refused.message.endswith("because no session policy allows the kms:GenerateDataKey action")


# --- at once, in every worker ------------------------------------------------------------------------------


def _codes(people: People, name: str, key: str) -> set[str]:
    """How so many requests on fresh connections end, which reach both workers."""
    codes = set()
    for _ in range(12):
        try:
            people.client(name).encrypt(KeyId=key, Plaintext=b"x")
            codes.add("done")
        except ClientError as error:
            codes.add(error.response["Error"]["Code"])
    return codes


def test_what_is_taken_away_is_gone_at_once_in_every_worker(stage: Stage) -> None:
    people = stage.people
    eve = people.add_user(A, "eve", allow("kms:Encrypt"))
    key_id = people.credentials["eve"].access_key_id
    assert _codes(people, "eve", stage.key) == {"done"}
    people.command("user", "disable", eve)
    assert _codes(people, "eve", stage.key) == {"UnrecognizedClientException"}
    people.command("user", "enable", eve)
    assert _codes(people, "eve", stage.key) == {"done"}
    people.command("access-key", "disable", key_id)
    assert _codes(people, "eve", stage.key) == {"UnrecognizedClientException"}
    people.command("access-key", "enable", key_id)
    people.command("policy", "delete-inline", eve, "own")
    assert _codes(people, "eve", stage.key) == {"AccessDeniedException"}
    grant = stage.root.create_grant(KeyId=stage.key, GranteePrincipal=eve, Operations=["Encrypt"])
    assert _codes(people, "eve", stage.key) == {"done"}
    stage.root.revoke_grant(KeyId=stage.key, GrantId=grant["GrantId"])
    assert _codes(people, "eve", stage.key) == {"AccessDeniedException"}


def test_a_session_ends_with_its_role(stage: Stage) -> None:
    people = stage.people
    role = people.add_role(A, "brief", people.arns["ann"], allow("kms:Encrypt"))
    people.assume("brief", by="ann")
    assert _codes(people, "brief", stage.key) == {"done"}
    people.command("role", "delete", role)
    assert _codes(people, "brief", stage.key) == {"UnrecognizedClientException"}


# --- profiles and services ---------------------------------------------------------------------------------


def _profiles(people: People, directory: Path) -> dict[str, str]:
    """The environment of an SDK that knows ann and how she becomes app."""
    ann = people.credentials["ann"]
    config = directory / "config"
    config.write_text(
        f"[profile ann]\nregion = {REGION}\naws_access_key_id = {ann.access_key_id}\n"
        f"aws_secret_access_key = {ann.secret_access_key}\n"
        f"[profile app]\nregion = {REGION}\nsource_profile = ann\nrole_arn = {people.arns['app']}\n"
        "role_session_name = profile\n"
    )
    return {
        "HOME": str(directory),  # the command line keeps credentials of roles there
        "AWS_CONFIG_FILE": str(config),
        "AWS_SHARED_CREDENTIALS_FILE": str(directory / "none"),
        "AWS_ENDPOINT_URL_KMS": people.server.endpoint,
        "AWS_ENDPOINT_URL_STS": people.server.endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def test_a_role_profile_of_boto3(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in _profiles(stage.people, tmp_path).items():
        monkeypatch.setenv(name, value)
    session = boto3.Session(profile_name="app")
    identity = session.client("sts", config=CONFIG).get_caller_identity()
    assert identity["Arn"] == f"arn:aws:sts::{A}:assumed-role/app/profile"
    answer = session.client("kms", config=CONFIG).generate_data_key(KeyId=stage.key, KeySpec="AES_128")
    assert len(answer["Plaintext"]) == 16


def test_a_role_profile_of_the_command_line(stage: Stage, tmp_path: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    outcome = subprocess.run(
        [
            str(Path(sys.executable).with_name("aws")),
            *("--profile", "app", "kms", "get-key-policy", "--key-id", stage.key, "--output", "text"),
            *("--query", "PolicyName"),
        ],
        env=inherited | _profiles(stage.people, tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (outcome.returncode, outcome.stdout.strip()) == (0, "default"), outcome.stderr


def test_a_service_on_behalf_of_others(stage: Stage) -> None:
    people = stage.people
    people.add_service("storage.internal")

    def through(arn: str | None) -> Any:
        kms = people.client("storage.internal")
        if arn is not None:
            kms.meta.events.register(
                "before-sign.kms",
                lambda request, **_: request.headers.add_header("x-hsmkms-on-behalf-of", arn),
            )
        return kms

    alias = "alias/aws/storage"
    for_ann = through(people.arns["ann"])
    sealed = for_ann.generate_data_key(KeyId=alias, KeySpec="AES_256")
    opened = for_ann.decrypt(CiphertextBlob=sealed["CiphertextBlob"])
    assert opened["Plaintext"] == sealed["Plaintext"]
    seen = people.client("ann").describe_key(KeyId=alias)["KeyMetadata"]
    assert (seen["KeyManager"], seen["AWSAccountId"]) == ("AWS", A)
    assert refusal(people.client("root").decrypt, CiphertextBlob=sealed["CiphertextBlob"]).code == (
        "AccessDeniedException"
    )
    assert refusal(through(None).decrypt, CiphertextBlob=sealed["CiphertextBlob"]).code == (
        "AccessDeniedException"
    )
    forged = people.client("carol")
    forged.meta.events.register(
        "before-sign.kms",
        lambda request, **_: request.headers.add_header("x-hsmkms-on-behalf-of", people.arns["ann"]),
    )
    assert refusal(forged.describe_key, KeyId=stage.key).code == "AccessDeniedException"
    people.command("service", "disable", "storage.internal")
    assert refusal(for_ann.describe_key, KeyId=alias).code == "UnrecognizedClientException"


def test_the_operator_makes_a_key_that_a_service_owns(stage: Stage) -> None:
    people = stage.people
    people.add_service("mail.internal")
    made = people.command("service", "create-key", "mail.internal", "--region", REGION)
    mail = people.client("mail.internal")
    blob = mail.encrypt(KeyId=made["arn"], Plaintext=b"x")["CiphertextBlob"]
    assert mail.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    for name in EVERYBODY:
        assert refusal(people.client(name).describe_key, KeyId=made["arn"]).code == "AccessDeniedException"
        assert refusal(people.client(name).decrypt, CiphertextBlob=blob).code == "AccessDeniedException"
        own = people.client(name)
        if name in OWN:
            listed = {
                key["KeyArn"] for page in own.get_paginator("list_keys").paginate() for key in page["Keys"]
            }
            assert made["arn"] not in listed


def test_a_new_key_is_nobodys_but_its_accounts(people: People) -> None:
    key = new_key(people.client("carol"))
    arn = f"arn:aws:kms:{REGION}:{B}:key/{key}"
    for name in ("root", "ann", "app", "dave"):
        assert refusal(people.client(name).describe_key, KeyId=arn).code == "AccessDeniedException"
