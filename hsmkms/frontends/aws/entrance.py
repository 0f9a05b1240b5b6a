"""Who is it? Nothing of a request is parsed before its signature fits."""

from __future__ import annotations

import re
from collections.abc import Collection
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
from hsmkms.errors import AuthenticationError, UnrecognizedCredentialsError
from hsmkms.model.identities import Caller
from hsmkms.model.names import Region
from hsmkms.service.identities import Identities

_ACCESS_KEY_ID: Final = re.compile(r"[A-Z0-9]{16,32}")


def authenticate(
    request: WireRequest,
    *,
    service: str,
    regions: Collection[Region],
    identities: Identities,
    now: datetime,
) -> tuple[SignatureClaim, Caller]:
    """The caller whose secret signed this very request, for this service, in one of these regions, just now.

    Raises:
        AuthenticationError: whatever is wrong, in AWS's words.
        KeyUnavailableError: no token is there to open the caller's secret.
    """
    claim = read_claim(request)
    require_scope(claim, regions=regions, service=service)
    require_fresh(claim, now)
    if claim.session_token_present:
        # Temporary credentials are not issued yet, so nobody's session token can be a good one.
        raise UnrecognizedCredentialsError
    caller, signing_key = identities.signing_key(claim.access_key_id, claim.date, claim.region, service)
    require_signature(request, claim, signing_key)
    return claim, caller


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


def _claim(request: WireRequest) -> SignatureClaim | None:
    try:
        return read_claim(request)
    except AuthenticationError:
        return None
