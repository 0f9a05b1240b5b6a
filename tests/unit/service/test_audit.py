"""No record, no answer; and no change without the prospect of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import pytest

from hsmkms.errors import KmsError, NotFoundError, ServiceFaultError
from hsmkms.service.audit import audited, record_refusal
from hsmkms.service.call import WouldBlockSignal
from tests.unit.service.region import ACCOUNT, ListTrail, call

ALIAS = "arn:aws:kms:eu-west-1:111111111111:alias/a"
KEY = "arn:aws:kms:eu-west-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def code_of(refusal: KmsError) -> str:
    return f"{type(refusal).__name__} on the wire"


@pytest.fixture
def trail() -> ListTrail:
    return ListTrail()


def raising(error: Exception) -> NoReturn:
    raise error


def only(trail: ListTrail) -> Mapping[str, object]:
    (record,) = trail.records
    return record


def test_result_comes_with_its_record(trail: ListTrail) -> None:
    asked = call("Encrypt")
    asked.resources += [ALIAS, KEY, KEY]
    asked.additional["decisions"] = ["own account"]
    asked.request_parameters["keyId"] = "alias/a"
    assert audited(trail, asked, lambda: "sealed", code_of) == "sealed"
    record = only(trail)
    assert record["eventName"] == "Encrypt"
    assert record["eventTime"] == "2026-11-24T12:00:00Z"
    assert record["readOnly"] is True
    assert record["requestParameters"] == {"keyId": "alias/a"}
    assert record["additionalEventData"] == {"decisions": ["own account"]}
    assert record["resources"] == [
        {"accountId": ACCOUNT, "type": "AWS::KMS::Alias", "ARN": ALIAS},
        {"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": KEY},
    ]
    assert "errorCode" not in record


def test_record_of_a_call_without_details(trail: ListTrail) -> None:
    audited(trail, call("ListKeys"), lambda: None, code_of)
    record = only(trail)
    assert (record["requestParameters"], record["additionalEventData"]) == (None, None)
    assert "resources" not in record


def test_refusal_is_recorded_and_raised(trail: ListTrail) -> None:
    with pytest.raises(NotFoundError):
        audited(trail, call(), lambda: raising(NotFoundError("no such key")), code_of)
    record = only(trail)
    assert (record["errorCode"], record["errorMessage"]) == ("NotFoundError on the wire", "no such key")


def test_fault_is_recorded_without_its_words(trail: ListTrail) -> None:
    with pytest.raises(ZeroDivisionError):
        audited(trail, call(), lambda: 1 // 0, code_of)
    assert only(trail)["errorCode"] == "InternalFailure"
    assert "division" not in str(trail.records)


def test_fault_is_not_hidden_by_a_trail_that_is_down(trail: ListTrail) -> None:
    trail.is_broken = True
    with pytest.raises(ZeroDivisionError):
        audited(trail, call(), lambda: 1 // 0, code_of)


def test_call_that_will_come_again_leaves_nothing(trail: ListTrail) -> None:
    asked = call(may_block=False)

    def act() -> NoReturn:
        asked.resources.append(KEY)
        asked.additional["decisions"] = ["own account"]
        raise WouldBlockSignal

    with pytest.raises(WouldBlockSignal):
        audited(trail, asked, act, code_of)
    assert (trail.records, asked.resources, asked.additional) == ([], [], {})


def test_change_is_not_begun_without_a_trail(trail: ListTrail) -> None:
    trail.is_broken = True
    begun: list[str] = []
    with pytest.raises(ServiceFaultError):
        audited(trail, call("DisableKey", read_only=False), lambda: begun.append("begun"), code_of)
    assert begun == []


def test_change_is_recorded(trail: ListTrail) -> None:
    audited(trail, call("DisableKey", read_only=False), lambda: None, code_of)
    assert only(trail)["readOnly"] is False


def test_result_is_withheld_when_its_record_cannot_be_written(trail: ListTrail) -> None:
    trail.is_broken = True
    with pytest.raises(ServiceFaultError):
        audited(trail, call("Decrypt"), lambda: b"plaintext", code_of)


def test_refusal_without_a_record_is_a_fault(trail: ListTrail) -> None:
    trail.is_broken = True
    with pytest.raises(ServiceFaultError):
        audited(trail, call(), lambda: raising(NotFoundError("no such key")), code_of)


def test_refusal_before_a_verb_began(trail: ListTrail) -> None:
    record_refusal(trail, call("Encrypt"), NotFoundError("gone"), code_of)
    assert only(trail)["errorMessage"] == "gone"


def test_a_long_message_is_cut(trail: ListTrail) -> None:
    """A message may repeat what the caller sent."""
    record_refusal(trail, call("Encrypt"), NotFoundError("x" * 2048), code_of)
    assert only(trail)["errorMessage"] == "x" * 1024


def test_every_record_has_an_id_of_its_own(trail: ListTrail) -> None:
    for _ in range(3):
        audited(trail, call(), lambda: None, code_of)
    assert len({record["eventID"] for record in trail.records}) == 3
