"""Which versions are still in use."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from hsmkms.errors import InvalidArnError, NotFoundError
from hsmkms.formats.material_id import key_material_id
from hsmkms.model.keys import Key, RotationType, VersionState
from hsmkms.model.names import key_arn
from hsmkms.model.usage import LastUse
from hsmkms.wiring.key_references import find_key
from hsmkms.wiring.usage_report import usage_report
from tests.contract.store import nouns
from tests.unit.wiring.operated import ELSEWHERE, REGION, Operated, current

MINUTE = timedelta(minutes=1)


@pytest.fixture
def rotated(operated: Operated) -> Key:
    """A key with two versions, whose second one has no count."""
    key = operated.add_key()
    newer = replace(
        nouns.version_of(key),
        rotated_at=nouns.NOW + MINUTE,
        rotation_type=RotationType.ON_DEMAND,
    )
    with operated.keys.change() as change:
        change.add_version(newer)
    return operated.put(replace(key, current_material_id=newer.material_id))


def test_versions_in_the_order_in_which_they_served(operated: Operated, rotated: Key) -> None:
    (uses,) = usage_report(operated.settings, REGION).keys
    older, newer = uses.versions
    assert (older.is_current, newer.is_current) == (False, True)
    assert newer.version.material_id == rotated.current_material_id
    assert newer.key_material_id == key_material_id(rotated.key_id, newer.version.material_id)
    assert (older.reserved, newer.reserved) == (1, None)
    assert (older.last_encryption, older.last_decryption) == (None, None)


@pytest.mark.parametrize(
    ("noted", "encryption", "decryption"),
    [
        pytest.param([("Encrypt", 1)], "Encrypt", None, id="encrypted with"),
        pytest.param([("Decrypt", 1)], None, "Decrypt", id="decrypted with"),
        pytest.param([("Encrypt", 2), ("GenerateDataKey", 1)], "Encrypt", None, id="the latest encryption"),
        pytest.param([("Decrypt", 1), ("ReEncrypt", 2)], "ReEncrypt", "ReEncrypt", id="either by ReEncrypt"),
        pytest.param([("Decrypt", 2), ("ReEncrypt", 1)], "ReEncrypt", "Decrypt", id="ReEncrypt before"),
    ],
)
def test_the_last_uses_by_what_they_did(
    operated: Operated, noted: list[tuple[str, int]], encryption: str | None, decryption: str | None
) -> None:
    key, other = operated.add_key(), operated.add_key()
    operated.usage.note(
        LastUse(current(key), operation, nouns.NOW + minutes * MINUTE, "event", "request")
        for operation, minutes in noted
    )
    report = usage_report(operated.settings, REGION, key.key_id)
    ((use,),) = (uses.versions for uses in report.keys)
    assert (use.last_encryption and use.last_encryption.operation) == encryption
    assert (use.last_decryption and use.last_decryption.operation) == decryption
    assert report.tracked_since == operated.usage.tracked_since()
    everything = {uses.key.key_id: uses.versions for uses in usage_report(operated.settings, REGION).keys}
    assert everything.keys() == {key.key_id, other.key_id}
    assert list(everything[key.key_id]) == [use]
    assert everything[other.key_id][0].last_encryption is None


def test_a_version_under_way_is_in_no_use(operated: Operated) -> None:
    key = operated.add_key()
    with operated.keys.change() as change:
        change.add_version(replace(nouns.version_of(key, VersionState.PENDING), check_value=b""))
    (uses,) = usage_report(operated.settings, REGION).keys
    assert len(uses.versions) == 1


def test_a_key_of_any_account_by_id_or_arn(operated: Operated) -> None:
    key = operated.add_key(nouns.OTHER_ACCOUNT)
    snapshot = operated.keys.snapshot()
    for name in (key.key_id, key_arn(REGION, key.account, key.key_id)):
        assert find_key(snapshot, REGION, name) == key


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        pytest.param("none", NotFoundError, id="no id"),
        pytest.param("arn:aws:kms:eu-west-1", InvalidArnError, id="no ARN"),
        pytest.param("arn:aws:kms:eu-west-2:111122223333:key/{key_id}", NotFoundError, id="another region"),
        pytest.param("arn:aws:kms:eu-west-1:444455556666:key/{key_id}", NotFoundError, id="another account"),
        pytest.param("arn:aws:kms:eu-west-1:111122223333:alias/{key_id}", NotFoundError, id="an alias"),
    ],
)
def test_what_names_no_key(operated: Operated, name: str, refusal: type[Exception]) -> None:
    key = operated.add_key()
    with pytest.raises(refusal):
        find_key(operated.keys.snapshot(), REGION, name.format(key_id=key.key_id))
    with pytest.raises(NotFoundError, match="there is no key"):
        find_key(operated.keys.snapshot(), ELSEWHERE, "none")
