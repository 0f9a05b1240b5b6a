"""The condition keys that the linter knows, against those that the service sets."""

from __future__ import annotations

import pytest

from hsmkms.policy.condition_keys import find_condition_key, likely_condition_key
from hsmkms.service import call_context, key_context


@pytest.mark.parametrize("name", sorted({*call_context._KEYS, *key_context._OF_KEY}))
def test_knows_every_key_of_the_service(name: str) -> None:
    assert find_condition_key(name) is not None


@pytest.mark.parametrize(
    ("name", "found"),
    [
        pytest.param("aws:SourceIp", "aws:SourceIp", id="as it is spelled"),
        pytest.param("AWS:SOURCEIP", "aws:SourceIp", id="in capitals"),
        pytest.param("kms:EncryptionContext:App", "kms:EncryptionContext:", id="one of a family"),
        pytest.param("kms:EncryptionContextKeys", "kms:EncryptionContextKeys", id="not of that family"),
        pytest.param("aws:ResourceTag/a/b:c", "aws:ResourceTag/", id="a tag"),
        pytest.param("aws:ResourceTag/", None, id="a family without a name"),
        pytest.param("aws:PrincipalOrgID", None, id="none of here"),
    ],
)
def test_finds(name: str, found: str | None) -> None:
    key = find_condition_key(name)
    assert (None if key is None else key.name) == found


def test_guesses_what_is_meant() -> None:
    assert likely_condition_key("kms:viaservices") == "kms:ViaService"
    assert likely_condition_key("aws:nothing-like-it") is None
