"""What names a key, and what the caller learns of one that is not there or not the caller's."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from hsmkms.errors import AccessDeniedError, InvalidArnError, NotFoundError
from hsmkms.model.keys import Key
from tests.unit.service.region import ACCOUNT, OTHER_ACCOUNT, REGION, RegionUnderTest, call

ABSENT = "00000000-0000-4000-8000-000000000000"
ABSENT_REPLICA = "mrk-" + "0" * 32
PREFIX = f"arn:aws:kms:{REGION}:{ACCOUNT}"


@pytest.fixture
def alias(region: RegionUnderTest, key: Key) -> str:
    region.kms.create_alias(call("CreateAlias"), "alias/app", key.key_id)
    return "alias/app"


def test_id_arn_alias_and_alias_arn_name_the_same_key(region: RegionUnderTest, key: Key, alias: str) -> None:
    for key_ref in (key.key_id, f"{PREFIX}:key/{key.key_id}", alias, f"{PREFIX}:{alias}"):
        asked = call("DescribeKey")
        assert region.kms.describe_key(asked, key_ref).key_id == key.key_id
        assert asked.resources == [f"{PREFIX}:key/{key.key_id}"]


@pytest.mark.parametrize(
    ("key_ref", "error", "message"),
    [
        pytest.param("nonsense", NotFoundError, "Invalid keyId 'nonsense'", id="no id at all"),
        pytest.param(ABSENT, NotFoundError, f"Key '{PREFIX}:key/{ABSENT}' does not exist", id="absent id"),
        pytest.param(
            ABSENT_REPLICA,
            NotFoundError,
            f"Key '{PREFIX}:key/{ABSENT_REPLICA}' does not exist",
            id="absent multi-Region id",
        ),
        pytest.param(
            ABSENT_REPLICA + "0", NotFoundError, f"Invalid keyId '{ABSENT_REPLICA}0'", id="a digit too many"
        ),
        pytest.param(
            f"{PREFIX}:key/{ABSENT}",
            NotFoundError,
            f"Key '{PREFIX}:key/{ABSENT}' does not exist",
            id="absent ARN",
        ),
        pytest.param(
            "alias/none", NotFoundError, f"Alias {PREFIX}:alias/none is not found.", id="absent alias"
        ),
        pytest.param(
            f"arn:aws:kms:us-east-1:{ACCOUNT}:key/{ABSENT}",
            NotFoundError,
            "Invalid arn us-east-1",
            id="ARN of another region",
        ),
        pytest.param(
            "arn:aws:s3:::bucket", InvalidArnError, "Invalid arn arn:aws:s3:::bucket", id="other ARN"
        ),
    ],
)
def test_refuses_what_names_no_key_here(
    region: RegionUnderTest, key_ref: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as refusal:
        region.kms.describe_key(call("DescribeKey"), key_ref)
    assert str(refusal.value) == message


def test_a_key_id_has_one_spelling(region: RegionUnderTest, key: Key) -> None:
    with pytest.raises(NotFoundError, match=rf"^Invalid keyId '{key.key_id.upper()}'$"):
        region.kms.describe_key(call("DescribeKey"), key.key_id.upper())


def test_another_account_learns_nothing(region: RegionUnderTest, key: Key, alias: str) -> None:
    """What exists and what does not are refused in the same words, but for the name that was asked for."""
    messages = set()
    for resource in (f"key/{key.key_id}", f"key/{ABSENT}", alias, "alias/none", "key/nonsense"):
        stranger = call("DescribeKey", OTHER_ACCOUNT)
        with pytest.raises(AccessDeniedError) as refusal:
            region.kms.describe_key(stranger, f"{PREFIX}:{resource}")
        messages.add(str(refusal.value).replace(resource, "RESOURCE"))
        assert stranger.resources == []
    who = f"arn:aws:iam::{OTHER_ACCOUNT}:root"
    (message,) = messages
    assert message == (
        f"User: {who} is not authorized to perform: kms:DescribeKey on resource: {PREFIX}:RESOURCE "
        "because the resource does not exist in this Region, no resource-based policies allow access, or a "
        "resource-based policy explicitly denies access"
    )


def test_another_accounts_plain_ids_and_aliases_are_its_own(
    region: RegionUnderTest, key: Key, alias: str
) -> None:
    for key_ref in (key.key_id, alias):
        with pytest.raises(NotFoundError):
            region.kms.describe_key(call("DescribeKey", OTHER_ACCOUNT), key_ref)


@pytest.mark.parametrize("form", ["alias/app", f"{PREFIX}:alias/app"])
@pytest.mark.usefixtures("alias")
def test_some_operations_take_no_alias(region: RegionUnderTest, form: str) -> None:
    with pytest.raises(InvalidArnError, match=r"Key Aliases are not supported for this operation\."):
        region.kms.disable_key(call("DisableKey"), form)


def test_the_decision_is_noted_for_the_record(region: RegionUnderTest, key: Key) -> None:
    asked = call("DescribeKey")
    region.kms.describe_key(asked, key.key_id)
    assert asked.additional["decisions"] == [
        "kms:DescribeKey: Enable IAM User Permissions of the key policy allows it"
    ]


FOREIGN = f"arn:aws:kms:{REGION}:{OTHER_ACCOUNT}"


def denied(verb: Callable[[], object]) -> str:
    with pytest.raises(AccessDeniedError) as refusal:
        verb()
    return str(refusal.value)


def test_a_denial_names_the_action_that_iam_knows(region: RegionUnderTest, key: Key) -> None:
    """ReEncrypt is no action: leave is asked for ReEncryptFrom and for ReEncryptTo."""
    kms, foreign_key = region.kms, f"{FOREIGN}:key/{key.key_id}"
    blob = kms.encrypt(call(), key.key_id, b"x", {}, dry_run=False).ciphertext_blob

    def re_encrypt(source: str, destination: str) -> object:
        return kms.re_encrypt(
            call("ReEncrypt"),
            blob,
            source_key_ref=source,
            source_context={},
            destination_key_ref=destination,
            destination_context={},
            dry_run=False,
        )

    verbs: Mapping[str, Callable[[], object]] = {
        "kms:ReEncryptFrom": lambda: re_encrypt(foreign_key, key.key_id),
        "kms:ReEncryptTo": lambda: re_encrypt(key.key_id, foreign_key),
        "kms:Decrypt": lambda: kms.rehearse_decrypt(call("Decrypt"), foreign_key, {}),
        "kms:Encrypt": lambda: kms.encrypt(call(), foreign_key, b"x", {}, dry_run=False),
        "kms:GenerateDataKey": lambda: kms.generate_data_key(
            call(), foreign_key, {}, length=32, dry_run=False
        ),
        "kms:GenerateDataKeyWithoutPlaintext": lambda: kms.generate_data_key_without_plaintext(
            call(), foreign_key, {}, length=32, dry_run=False
        ),
        "kms:DescribeKey": lambda: kms.describe_key(call(), foreign_key),
        "kms:EnableKey": lambda: kms.enable_key(call(), foreign_key),
        "kms:DisableKey": lambda: kms.disable_key(call(), foreign_key),
        "kms:UpdateKeyDescription": lambda: kms.update_key_description(call(), foreign_key, ""),
        "kms:CreateAlias": lambda: kms.create_alias(call(), "alias/a", foreign_key),
        "kms:UpdateAlias": lambda: kms.update_alias(call(), "alias/a", foreign_key),
        "kms:ListAliases": lambda: kms.list_aliases(call(), key_ref=foreign_key, limit=1, marker=None),
        "kms:TagResource": lambda: kms.tag_resource(call(), foreign_key, []),
        "kms:UntagResource": lambda: kms.untag_resource(call(), foreign_key, []),
        "kms:ListResourceTags": lambda: kms.list_resource_tags(call(), foreign_key, limit=1, marker=None),
    }
    for action, verb in verbs.items():
        assert denied(verb) == (
            f"User: arn:aws:iam::{ACCOUNT}:root is not authorized to perform: {action} on resource: "
            f"{foreign_key} because the resource does not exist in this Region, no resource-based policies "
            "allow access, or a resource-based policy explicitly denies access"
        )
