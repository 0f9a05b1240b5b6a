"""The AWS door: who is it, what is asked, may it start now; then one service call, and the answer.

A request walks through ``AwsDoor.answer`` from top to bottom. Nothing is parsed before the signature fits,
and nothing is begun before there is room for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

import structlog

from hsmkms.authn import WireRequest
from hsmkms.errors import AuthenticationError, KmsError, MalformedHttpError
from hsmkms.frontends.aws import refusals, sts
from hsmkms.frontends.aws.dispatch import perform
from hsmkms.frontends.aws.entrance import authenticate, calling, claimed_service
from hsmkms.frontends.aws.incidents import Incidents
from hsmkms.frontends.aws.operations import find_operation, is_read_only
from hsmkms.frontends.aws.settings import AwsSettings
from hsmkms.frontends.aws.sts_requests import read_query
from hsmkms.frontends.aws.wire import read_request, recorded_parameters, render_answer
from hsmkms.model.exchange import Reply
from hsmkms.model.names import Region
from hsmkms.service.call import Call, Caller
from hsmkms.service.kms import Kms
from hsmkms.service.logins import Logins
from hsmkms.service.random_uuid import random_uuid
from hsmkms.service.sessions import Sessions

_TARGET_HEADER: Final = b"x-amz-target"
_TARGET_PREFIX: Final = "TrentService"
_KMS_SOURCE: Final = "kms.amazonaws.com"
_STS_SOURCE: Final = "sts.amazonaws.com"
_JSON: Final = (b"content-type", b"application/x-amz-json-1.1")
_XML: Final = (b"content-type", b"text/xml")
_UNCACHED: Final = (b"cache-control", b"no-cache, no-store, must-revalidate, private")
_LONGEST_USER_AGENT: Final = 512
_LONGEST_NAME: Final = 64
_NAMELESS: Final = "Unknown"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Arrival:
    """One request, and how it came."""

    request: WireRequest
    peer: str
    is_secure: bool
    request_id: str
    now: datetime


class AwsDoor:
    """The AWS KMS API, and the three actions of STS, over the regions of this process."""

    def __init__(
        self,
        regions: Mapping[Region, Kms],
        logins: Logins,
        sessions: Sessions,
        settings: AwsSettings,
        now: Callable[[], datetime],
    ) -> None:
        self._regions = regions
        self._logins = logins
        self._sessions = sessions
        self._deadline_seconds = settings.deadline_seconds
        self._now = now
        self._incidents = Incidents()

    async def answer(self, request: WireRequest, peer: str, *, is_secure: bool) -> Reply:
        """Answer one whole request; raises nothing.

        Args:
            peer: the address that it came from.
            is_secure: it came over TLS.
        """
        request_id, now = random_uuid(), self._now()
        self._incidents.tell_left_out(now)
        speaks_kms = _speaks_kms(request)
        try:
            if request.method != "POST" or request.raw_path != b"/":
                raise MalformedHttpError("This service answers POST / only.")
            if speaks_kms:
                return await self._answer_kms(_Arrival(request, peer, is_secure, request_id, now))
            return self._answer_sts(_Arrival(request, peer, is_secure, request_id, now))
        except KmsError as refusal:
            reply = self.refuse(request, refusal, request_id)
            code = (refusals.code_of if speaks_kms else refusals.sts_code_of)(refusal)
            if reply.status >= 500:
                self._incidents.note_fault(refusal, code, request_id, now)
            elif isinstance(refusal, AuthenticationError):
                self._incidents.note_stranger(request, peer, code, request_id, now)
            return reply
        except Exception:  # noqa: BLE001 - logged whole; the caller learns the request id alone
            _log.exception("internal_error", request_id=request_id)
            return self.refuse(request, None, request_id)

    def refuse(
        self, request: WireRequest | None, refusal: KmsError | None, request_id: str | None = None
    ) -> Reply:
        """The answer to a request that is refused, in the protocol that it speaks as far as one can tell.

        Args:
            request: None when it did not arrive whole.
            refusal: None for a fault of ours.
        """
        request_id = request_id or random_uuid()
        closes = request is None
        if request is None or _speaks_kms(request):
            status, body = refusals.kms_refusal(refusal)
            return Reply(status, body, _headers(_JSON, request_id), closes)
        status, body = refusals.sts_refusal(refusal, request_id)
        return Reply(status, body, _headers(_XML, request_id), closes)

    async def _answer_kms(self, arrival: _Arrival) -> Reply:
        request = arrival.request
        claim, signer = authenticate(
            request, service="kms", regions=self._regions, logins=self._logins, now=arrival.now
        )
        kms = self._regions[Region(claim.region)]
        prefix, _, name = request.headers.get(_TARGET_HEADER, b"").decode("latin-1").partition(".")
        call = _call(kms, signer, _KMS_SOURCE, name[:_LONGEST_NAME] or _NAMELESS, arrival)
        asked = name if prefix == _TARGET_PREFIX else ""
        call.read_only = is_read_only(asked)
        try:
            call.caller = calling(request, claim, signer, self._logins)
            operation = find_operation(asked)
            model = read_request(operation, request.body)
        except KmsError as refusal:
            kms.record_refusal(call, refusal, refusals.code_of)
            raise
        call.request_parameters = recorded_parameters(operation, model)
        members = await perform(
            kms, call, operation, partial(operation.act, kms, call, model), self._deadline_seconds
        )
        return Reply(200, render_answer(members), _headers(_JSON, arrival.request_id))

    def _answer_sts(self, arrival: _Arrival) -> Reply:
        request = arrival.request
        claim, signer = authenticate(
            request, service="sts", regions=self._regions, logins=self._logins, now=arrival.now
        )
        kms = self._regions[Region(claim.region)]
        call = _call(kms, signer, _STS_SOURCE, _NAMELESS, arrival)
        try:
            call.caller = calling(request, claim, signer, self._logins)
            query = read_query(request.body)
            call.operation = query.action
            act = sts.prepare(self._sessions, call, query)
        except KmsError as refusal:
            kms.record_refusal(call, refusal, refusals.sts_code_of)
            raise
        body = kms.audited(call, act, refusals.sts_code_of)
        return Reply(200, body, _headers(_XML, arrival.request_id))


def _call(kms: Kms, caller: Caller, event_source: str, operation: str, arrival: _Arrival) -> Call:
    user_agent = arrival.request.headers.get(b"user-agent", b"")[:_LONGEST_USER_AGENT].decode("latin-1")
    return Call(
        request_id=arrival.request_id,
        region=kms.region,
        caller=caller,
        event_source=event_source,
        operation=operation,
        read_only=True,
        received_at=arrival.now,
        source_ip=arrival.peer,
        user_agent=user_agent,
        request_parameters={},
        may_block=False,
        resources=[],
        additional={},
        is_secure=arrival.is_secure,
    )


def _speaks_kms(request: WireRequest) -> bool:
    """Whether a request is of the KMS protocol: by its target, or without one by what it is signed for."""
    return _TARGET_HEADER in request.headers or claimed_service(request) == "kms"


def _headers(content_type: tuple[bytes, bytes], request_id: str) -> list[tuple[bytes, bytes]]:
    return [content_type, _UNCACHED, (b"x-amzn-requestid", request_id.encode("ascii"))]
