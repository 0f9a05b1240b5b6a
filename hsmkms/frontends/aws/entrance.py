"""Who is it? Nothing of a request is parsed before its signature fits."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

from hsmkms.authn import (
    SignatureClaim,
    WireRequest,
    read_claim,
    require_fresh,
    require_scope,
    require_signature,
)
from hsmkms.errors import AuthenticationError, SignatureError
from hsmkms.model.names import Region
from hsmkms.service.call import Caller
from hsmkms.service.delegation import Delegation
from hsmkms.service.logins import Logins

_ACCESS_KEY_ID: Final = re.compile(r"[A-Z0-9]{16,32}")
_SESSION_TOKEN: Final = b"x-amz-security-token"
_ON_BEHALF_OF: Final = b"x-hsmkms-on-behalf-of"
_SOURCE_ACCOUNT: Final = b"x-amz-source-account"
_SOURCE_ARN: Final = b"x-amz-source-arn"


def authenticate(
    request: WireRequest,
    *,
    service: str,
    regions: Collection[Region],
    logins: Logins,
    now: datetime,
) -> tuple[SignatureClaim, Caller]:
    """Whose secret signed this very request, for this service, in one of these regions, just now.

    Raises:
        AuthenticationError: whatever is wrong, in AWS's words.
        KeyUnavailableError: no token is there to open the signer's secret.
    """
    claim = read_claim(request)
    require_scope(claim, regions=regions, service=service)
    require_fresh(claim, now)
    scope = (claim.access_key_id, claim.date, claim.region, service)
    session_token = request.headers.get(_SESSION_TOKEN)
    if session_token is None:
        signer, signing_key = logins.signing_key(*scope)
    else:
        signer, signing_key = logins.session_signing_key(session_token, *scope)
    require_signature(request, claim, signing_key)
    return claim, signer


def calling(request: WireRequest, claim: SignatureClaim, signer: Caller, logins: Logins) -> Caller:
    """Who calls: the signer, or whoever a service that signed says that it calls for.

    Spec: docs/services.md.

    Raises:
        SignatureError: the header that says so is not signed.
        AccessDeniedError: the signer may not say so, or there is no such principal.
        UnrecognizedCredentialsError: the service was disabled just now.
    """
    on_behalf_of = _header(request.headers, _ON_BEHALF_OF)
    if signer.via is None and on_behalf_of is None:
        return signer
    # Headers of x-amz-... are signed, or the signature was refused already.
    name = _ON_BEHALF_OF.decode("ascii")
    if on_behalf_of is not None and name not in claim.signed_headers:
        raise SignatureError(f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")
    source_account = _header(request.headers, _SOURCE_ACCOUNT)
    source_arn = _header(request.headers, _SOURCE_ARN)
    return logins.calling_for(signer, Delegation(on_behalf_of, source_account, source_arn))


def claimed_access_key_id(request: WireRequest) -> str | None:
    """Whose signature a request claims to carry, proven or not; None when it claims nobody's in due form."""
    claim = _claim(request)
    # People put the secret into the id's place by mistake; nothing but the form of an id is repeated.
    if claim is None or _ACCESS_KEY_ID.fullmatch(claim.access_key_id) is None:
        return None
    return claim.access_key_id


def claimed_service(request: WireRequest) -> str | None:
    """The AWS service that a request claims to be signed for, proven or not."""
    claim = _claim(request)
    return None if claim is None else claim.service


def _header(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")


def _claim(request: WireRequest) -> SignatureClaim | None:
    try:
        return read_claim(request)
    except AuthenticationError:
        return None
