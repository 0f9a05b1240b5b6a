"""ARNs and the patterns of ids."""

from __future__ import annotations

import pytest

from hsmkms.errors import InvalidArnError
from hsmkms.model.names import (
    AccountId,
    KeyId,
    KmsArn,
    Region,
    alias_arn,
    key_arn,
    parse_kms_arn,
    root_arn,
)

REGION = Region("eu-west-1")
ACCOUNT = AccountId("123456789012")
KEY_ID = KeyId("12345678-9abc-4def-8123-456789abcdef")


def test_a_key_arn_comes_apart_again() -> None:
    arn = key_arn(REGION, ACCOUNT, KEY_ID)
    assert arn == f"arn:aws:kms:eu-west-1:123456789012:key/{KEY_ID}"
    assert parse_kms_arn(arn) == KmsArn(REGION, ACCOUNT, f"key/{KEY_ID}")


def test_an_alias_arn_comes_apart_again() -> None:
    arn = alias_arn(REGION, ACCOUNT, "alias/a/b")
    assert arn == "arn:aws:kms:eu-west-1:123456789012:alias/a/b"
    assert parse_kms_arn(arn) == KmsArn(REGION, ACCOUNT, "alias/a/b")


def test_the_root_of_an_account() -> None:
    assert root_arn(ACCOUNT) == "arn:aws:iam::123456789012:root"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("arn:aws:kms:eu-west-1:123456789012", id="five parts"),
        pytest.param("arn:aws:s3:eu-west-1:123456789012:key/a", id="another service"),
        pytest.param("arn:aws-cn:kms:eu-west-1:123456789012:key/a", id="another partition"),
        pytest.param("urn:aws:kms:eu-west-1:123456789012:key/a", id="no ARN"),
        pytest.param("arn:aws:kms:Europe:123456789012:key/a", id="no region"),
        pytest.param("arn:aws:kms:eu-west-1:12345678901:key/a", id="eleven digits"),
        pytest.param("arn:aws:kms:eu-west-1:123456789012:grant/a", id="neither key nor alias"),
        pytest.param("arn:aws:kms:eu-west-1:١٢٣٤٥٦٧٨٩٠١٢:key/a", id="other digits"),
    ],
)
def test_refuses_what_is_no_arn_of_ours(text: str) -> None:
    with pytest.raises(InvalidArnError):
        parse_kms_arn(text)
