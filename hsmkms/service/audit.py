"""One record a call: who asked for what, what was decided, and how it ended. No record, no answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final, TypeVar

from hsmkms.errors import KmsError, ServiceFaultError
from hsmkms.model.names import AccountId, Region
from hsmkms.ports.trail import Trail
from hsmkms.service.call import Call, WouldBlockSignal
from hsmkms.service.random_uuid import random_uuid
from hsmkms.service.user_identity import user_identity

Result = TypeVar("Result")

EVENT_VERSION: Final = "1.11"
_FAULT_CODE: Final = "InternalFailure"
_LONGEST_MESSAGE: Final = 1024


def audited(
    trail: Trail, call: Call, act: Callable[[], Result], code_of: Callable[[KmsError], str]
) -> Result:
    """Do something and leave its record; the result is returned only once the record is written.

    Args:
        code_of: the refusal's name in the caller's protocol, which is what CloudTrail records.

    Raises:
        WouldBlockSignal: nothing was done and nothing recorded; the same call will come again.
        ServiceFaultError: the trail cannot be written. A change is then not even begun.
    """
    if not call.read_only:
        trail.require_writable()
    try:
        result = act()
    except WouldBlockSignal:
        call.resources.clear()
        call.additional.clear()
        call.used.clear()
        raise
    except KmsError as refusal:
        record_refusal(trail, call, refusal, code_of)
        raise
    except Exception:
        # The caller gets the same answer without the record; the log would get a lesser reason.
        with suppress(ServiceFaultError):
            trail.write(_record(call) | {"errorCode": _FAULT_CODE})
        raise
    record = _record(call)
    trail.write(record)
    call.event_id = str(record["eventID"])
    return result


def record_refusal(trail: Trail, call: Call, refusal: KmsError, code_of: Callable[[KmsError], str]) -> None:
    """Leave the record of a call that was refused."""
    message = str(refusal)[:_LONGEST_MESSAGE]
    trail.write(_record(call) | {"errorCode": code_of(refusal), "errorMessage": message})


def _record(call: Call) -> dict[str, object]:
    """The call in CloudTrail's shape (AWS CloudTrail User Guide, "record contents", event version 1.11)."""
    caller = call.caller
    record: dict[str, object] = {
        "eventVersion": EVENT_VERSION,
        "userIdentity": user_identity(caller),
        "eventTime": _second_of(call.received_at),
        "eventSource": call.event_source,
        "eventName": call.operation,
        "awsRegion": call.region,
        "sourceIPAddress": call.source_ip,
        "userAgent": call.user_agent,
        "requestParameters": call.request_parameters or None,
        "responseElements": None,
        "additionalEventData": call.additional or None,
        "requestID": call.request_id,
        "eventID": random_uuid(),
        "readOnly": call.read_only,
        "eventType": "AwsApiCall",
        "recipientAccountId": caller.account,
    }
    if call.resources:
        record["resources"] = [_resource(arn) for arn in dict.fromkeys(call.resources)]
    return record


@dataclass(frozen=True, slots=True)
class ServiceEvent:
    """Something that the service did by itself.

    Attributes:
        name: such as ``RotateKey``; AWS's name where AWS has it.
        account: whose key it was; None where it concerns the whole region.
        details: JSON values for the record.
        resource: ARN of the key.
    """

    name: str
    region: Region
    account: AccountId | None
    details: Mapping[str, object]
    resource: str | None = None


def write_service_event(trail: Trail, now: datetime, event: ServiceEvent) -> None:
    """Leave the record of what the service did by itself (CloudTrail's "AWS service events").

    Raises:
        ServiceFaultError: the trail cannot be written.
    """
    record: dict[str, object] = {
        "eventVersion": EVENT_VERSION,
        "userIdentity": {"type": "AWSService", "invokedBy": "hsmkms"},
        "eventTime": _second_of(now),
        "eventSource": "kms.amazonaws.com",
        "eventName": event.name,
        "awsRegion": event.region,
        "sourceIPAddress": "hsmkms",
        "userAgent": "hsmkms",
        "requestParameters": None,
        "responseElements": None,
        "serviceEventDetails": dict(event.details),
        "eventID": random_uuid(),
        "readOnly": False,
        "eventType": "AwsServiceEvent",
        "recipientAccountId": event.account,
    }
    if event.resource is not None:
        record["resources"] = [_resource(event.resource)]
    trail.write(record)


@lru_cache(maxsize=2)
def _text_of(second: datetime) -> str:
    return f"{second.isoformat(timespec='seconds')[:19]}Z"


def _second_of(moment: datetime) -> str:
    # Thousands of records are of one second, and this costs as much as writing one.
    return _text_of(moment.replace(microsecond=0))


def _resource(arn: str) -> dict[str, str]:
    account = arn.split(":", 5)[4]
    kind = "AWS::KMS::Alias" if ":alias/" in arn else "AWS::KMS::Key"
    return {"accountId": account, "type": kind, "ARN": arn}
