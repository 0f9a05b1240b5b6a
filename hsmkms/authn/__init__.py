"""Who are they? SigV4 verification: pure, the clock and the secrets are arguments.

A check goes in this order: ``read_claim``, ``require_scope``, ``require_fresh``, then the signing key of the
access key that was claimed (``derive_signing_key``, which the caller may keep for the day), and last
``require_signature``. Nothing in a claim is proven before that one returns.
"""

from hsmkms.authn.canonical import WireRequest, canonical_request
from hsmkms.authn.claim import SignatureClaim, read_claim
from hsmkms.authn.sigv4 import (
    MAX_SKEW,
    derive_signing_key,
    require_fresh,
    require_scope,
    require_signature,
)

__all__ = [
    "MAX_SKEW",
    "SignatureClaim",
    "WireRequest",
    "canonical_request",
    "derive_signing_key",
    "read_claim",
    "require_fresh",
    "require_scope",
    "require_signature",
]
