"""AWS Signature Version 4: hold a claim against our regions, our clock, and the request it came with.

Spec: AWS IAM User Guide, "Create a signed AWS API request", steps 2 to 5. The texts of the refusals are AWS's
own where those are known; nothing that was computed here is in them.
"""

from __future__ import annotations

import hmac
from collections.abc import Container, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

from hsmkms.authn.canonical import WireRequest, canonical_request
from hsmkms.authn.claim import ALGORITHM, SignatureClaim
from hsmkms.errors import SignatureError

MAX_SKEW: Final = timedelta(minutes=5)

_TERMINATOR: Final = "aws4_request"
_MISMATCH: Final = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
    "Access Key and signing method. Consult the service documentation for details."
)


def require_scope(claim: SignatureClaim, *, regions: Container[str], service: str) -> None:
    """Refuse a signature that was made for another region, service, day or purpose; names all faults at once.

    Raises:
        SignatureError: with AWS's texts and, like AWS since 2022, without the region that was asked for.
    """
    faults = []
    if claim.region not in regions:
        faults.append("Credential should be scoped to a valid region. ")
    if claim.service != service:
        faults.append(f"Credential should be scoped to correct service: '{service}'. ")
    if claim.terminator != _TERMINATOR:
        faults.append(f"Credential should be scoped with a valid terminator: '{_TERMINATOR}'. ")
    signed_on = claim.timestamp[:8]
    if claim.date != signed_on:
        faults.append(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{claim.date}' != '{signed_on}', from '{claim.timestamp}'."
        )
    if faults:
        raise SignatureError("".join(faults))


def require_fresh(claim: SignatureClaim, now: datetime, max_skew: timedelta = MAX_SKEW) -> None:
    """Refuse a signature whose time is off from ours by more than ``max_skew``, either way.

    The signer's time comes in whole seconds, so ours is read in whole seconds too.

    Args:
        claim: from ``read_claim``.
        now: aware.
        max_skew: whole minutes, for the text; a difference of exactly this much passes.

    Raises:
        SignatureError: with AWS's text, from which a client learns our time.
    """
    if abs(now - claim.signed_at) <= max_skew:
        return
    now = now.astimezone(UTC).replace(microsecond=0)
    earliest, latest = now - max_skew, now + max_skew
    minutes = max_skew // timedelta(minutes=1)
    if claim.signed_at < earliest:
        raise SignatureError(
            f"Signature expired: {claim.timestamp} is now earlier than {earliest:%Y%m%dT%H%M%SZ} "
            f"({now:%Y%m%dT%H%M%SZ} - {minutes} min.)"
        )
    if claim.signed_at > latest:
        raise SignatureError(
            f"Signature not yet current: {claim.timestamp} is still later than {latest:%Y%m%dT%H%M%SZ} "
            f"({now:%Y%m%dT%H%M%SZ} + {minutes} min.)"
        )


def derive_signing_key(secret_access_key: str, date: str, region: str, service: str) -> bytes:
    """The 32-byte key of one access key for one day, region and service (step 4, "Derive a signing key").

    As secret as the access key's own secret: it signs anything in that scope.
    """
    signing_key = f"AWS4{secret_access_key}".encode()
    for part in (date, region, service, _TERMINATOR):
        signing_key = hmac.digest(signing_key, part.encode(), "sha256")
    return signing_key


def require_signature(request: WireRequest, claim: SignatureClaim, signing_key: bytes) -> None:
    """Prove that a holder of ``signing_key`` signed this very request; returns only if so.

    The body is always signed. ``host`` and every ``x-amz-*`` header must be, or someone on the way could put
    another operation (``x-amz-target``) under the signature.

    Args:
        request: what came over the wire.
        claim: what ``read_claim`` found in this request.
        signing_key: of ``claim.access_key_id`` and its scope, from ``derive_signing_key``.

    Raises:
        SignatureError: the signature is another one, or leaves out what has to be signed.
    """
    _require_signed(request.headers, claim.signed_headers)
    body_sha256 = sha256(request.body).hexdigest()
    declared_sha256 = request.headers.get(b"x-amz-content-sha256")
    if declared_sha256 is not None and declared_sha256 != body_sha256.encode():
        raise SignatureError(_payload_fault(declared_sha256))
    canonical = canonical_request(request, claim.signed_headers, body_sha256)
    string_to_sign = (
        f"{ALGORITHM}\n"
        f"{claim.timestamp}\n"
        f"{claim.date}/{claim.region}/{claim.service}/{claim.terminator}\n"
        f"{sha256(canonical).hexdigest()}"
    )
    signature = hmac.digest(signing_key, string_to_sign.encode(), "sha256").hex()
    if not hmac.compare_digest(signature, claim.signature):
        raise SignatureError(_MISMATCH)


def _require_signed(headers: Mapping[bytes, bytes], signed_headers: Sequence[str]) -> None:
    if "host" not in signed_headers:
        raise SignatureError("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    for raw_name in headers:
        if raw_name.startswith(b"x-amz-") and (name := raw_name.decode("latin-1")) not in signed_headers:
            raise SignatureError(f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")


def _payload_fault(declared_sha256: bytes) -> str:
    if declared_sha256.startswith((b"UNSIGNED-", b"STREAMING-")):
        return (
            "This service takes signed payloads only: 'x-amz-content-sha256' must be the SHA-256 of the body."
        )
    return "The provided 'x-amz-content-sha256' header does not match what was computed."
