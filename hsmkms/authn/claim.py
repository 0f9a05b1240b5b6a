"""The signature claim: what the Authorization header and the date say, before anything is proven.

Spec: AWS IAM User Guide, "Elements of an AWS API request signature", and step 6, "Add the signature to the
request", of "Create a signed AWS API request". The texts of the refusals are AWS's own where those are known,
less the header that AWS once repeated at their end: people paste secret keys into it by mistake.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from operator import lt
from typing import Final
from urllib.parse import unquote_to_bytes

from hsmkms.authn.canonical import WireRequest
from hsmkms.errors import IncompleteSignatureError, MissingCredentialsError, SignatureError

ALGORITHM: Final = "AWS4-HMAC-SHA256"
MAX_AUTHORIZATION_LENGTH: Final = 4096

# The one spelling, and every client's: AWS's SDKs write ', ' between the parameters, boto 2 wrote ','. No
# part can hold the character that ends it, so nothing is ever given back (the second '+' says so). The names'
# group must not say so itself: CPython 3.11.2 then takes a last semicolon that no name follows.
_AUTHORIZATION: Final = re.compile(
    f"{ALGORITHM} "
    "Credential=([!-+.0-~-]{1,128}+)"  # access key id: printable, but no comma and no slash
    "/([!-+.0-~-]{1,64}+)"  # date
    "/([!-+.0-~-]{1,64}+)"  # region
    "/([!-+.0-~-]{1,64}+)"  # service
    "/([!-+.0-~-]{1,64}+), ?"  # terminator
    "SignedHeaders=([a-z0-9!#$%&'*+.^_`|~-]++(?:;[a-z0-9!#$%&'*+.^_`|~-]++)*), ?"  # RFC 9110, section 5.6.2
    "Signature=([0-9a-f]{64}+)"
)
_AUTHORIZATION_FORM: Final = (
    f"Authorization header must be '{ALGORITHM} Credential=..., SignedHeaders=..., Signature=...': each "
    "parameter once and in this order, header names in lower case, the signature in lower-case hexadecimal."
)
_FOREIGN_ALGORITHMS: Final = frozenset(("AWS4-ECDSA-P256-SHA256", "AWS3-HTTPS", "AWS3", "AWS"))
_QUERY_SIGNATURE: Final = frozenset(
    (b"x-amz-algorithm", b"x-amz-credential", b"x-amz-signature", b"awsaccesskeyid", b"signatureversion")
)

_ISO_BASIC: Final = re.compile(rb"\d{8}T(?:[01]\d|2[0-3])[0-5]\d[0-5]\dZ")
_HTTP_DATE: Final = re.compile(
    rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) "
    rb"(?:GMT|-0000)"  # RFC 9110, section 5.6.7; botocore writes -0000
)
_MONTHS: Final = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_DATE_REQUIRED: Final = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."


@dataclass(frozen=True, slots=True)
class SignatureClaim:
    """What a request says of its own signature; ``require_signature`` proves it.

    Attributes:
        date: of the credential scope; yyyymmdd once ``require_scope`` has returned.
        terminator: of the credential scope; aws4_request once ``require_scope`` has returned.
        signed_headers: lower case, sorted, each once.
        signature: 64 lower-case hexadecimal digits. Not in the repr: until it expires it can be replayed.
        timestamp: yyyymmddThhmmssZ, as in the string to sign.
        signed_at: the same instant, in UTC.
        session_token_present: an ``x-amz-security-token`` came along.
    """

    access_key_id: str
    date: str
    region: str
    service: str
    terminator: str
    signed_headers: tuple[str, ...]
    signature: str = field(repr=False)
    timestamp: str
    signed_at: datetime
    session_token_present: bool


def read_claim(request: WireRequest) -> SignatureClaim:
    """Take the Authorization header and the date apart; verifies nothing.

    Raises:
        MissingCredentialsError: there is no AWS signature of any kind.
        IncompleteSignatureError: it is malformed, or a presigned URL, SigV2 or SigV4A.
        SignatureError: the request is signed twice, in the header and in the query.
    """
    authorization = _authorization_text(request)
    match = _AUTHORIZATION.fullmatch(authorization)
    if match is None:
        raise IncompleteSignatureError(_authorization_fault(authorization, request.headers))
    access_key_id, date, region, service, terminator, header_names, signature = match.groups()
    signed_headers = header_names.split(";")
    if not all(map(lt, signed_headers, signed_headers[1:])):
        raise IncompleteSignatureError("'SignedHeaders' must be sorted and name each header once.")
    timestamp, signed_at = _read_timestamp(request.headers)
    return SignatureClaim(
        access_key_id,
        date,
        region,
        service,
        terminator,
        tuple(signed_headers),
        signature,
        timestamp,
        signed_at,
        b"x-amz-security-token" in request.headers,
    )


def _authorization_text(request: WireRequest) -> str:
    """The header of an AWS4-HMAC-SHA256 signature: short and ASCII, its parameters not looked at yet."""
    raw = request.headers.get(b"authorization")
    if request.query_string and _is_signed_in_query(request.query_string):
        if raw is not None:
            raise SignatureError(
                "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."
            )
        raise IncompleteSignatureError(
            "Presigned URLs and other signatures in the query string are not supported: sign with the "
            f"Authorization header ({ALGORITHM})."
        )
    if raw is None:
        raise MissingCredentialsError
    if len(raw) > MAX_AUTHORIZATION_LENGTH or not raw.isascii():
        raise IncompleteSignatureError(
            f"Authorization header must be ASCII and no longer than {MAX_AUTHORIZATION_LENGTH} bytes."
        )
    authorization = raw.decode("ascii")
    algorithm = authorization.partition(" ")[0]
    if algorithm == ALGORITHM:
        return authorization
    if algorithm in _FOREIGN_ALGORITHMS:
        raise IncompleteSignatureError(
            f"Unsupported AWS 'algorithm': '{algorithm}' (only {ALGORITHM} for now). "
        )
    if algorithm.startswith("AWS4-"):
        raise IncompleteSignatureError(f"Unsupported AWS 'algorithm' (only {ALGORITHM} for now). ")
    raise MissingCredentialsError  # Basic, Bearer and the like


def _is_signed_in_query(query_string: bytes) -> bool:
    """Whether this is a presigned URL, of version 4 or 4A, or a request of version 2."""
    names = (unquote_to_bytes(parameter.partition(b"=")[0]) for parameter in query_string.split(b"&"))
    return not _QUERY_SIGNATURE.isdisjoint(name.lower() for name in names)


def _authorization_fault(authorization: str, headers: Mapping[bytes, bytes]) -> str:
    """Say what keeps a header from being the one spelling, in the order in which AWS looks."""
    parameters: dict[str, str] = {}
    for part in authorization.removeprefix(ALGORITHM).split(","):
        if not part.strip():
            continue
        name, equals, value = part.strip().partition("=")
        if not equals:
            return "Invalid key=value pair (missing equal-sign) in Authorization header."
        parameters[name] = value
    faults = [
        f"Authorization header requires '{name}' parameter."
        for name in ("Credential", "Signature", "SignedHeaders")
        if name not in parameters
    ]
    if b"x-amz-date" not in headers and b"date" not in headers:
        faults.append(_DATE_REQUIRED)
    if not faults and parameters["Credential"].count("/") != 4:
        faults.append(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term."
        )
    return " ".join(faults) or _AUTHORIZATION_FORM


def _read_timestamp(headers: Mapping[bytes, bytes]) -> tuple[str, datetime]:
    """The time of ``x-amz-date`` or else of ``date``, which may be an HTTP date too."""
    raw = headers.get(b"x-amz-date")
    if raw is None:
        raw = _from_http_date(headers.get(b"date"))
    if _ISO_BASIC.fullmatch(raw):
        timestamp = raw.decode("ascii")
        try:
            return timestamp, datetime.fromisoformat(timestamp)
        except ValueError:  # no such day
            pass
    raise IncompleteSignatureError(
        "Date must be in ISO-8601 'basic format'. See http://en.wikipedia.org/wiki/ISO_8601"
    )


def _from_http_date(raw: bytes | None) -> bytes:
    """Rewrite an HTTP date in ISO 8601 basic format; anything else stays as it is."""
    if raw is None:
        raise IncompleteSignatureError(_DATE_REQUIRED)
    match = _HTTP_DATE.fullmatch(raw)
    if match is None or match[2] not in _MONTHS:
        return raw
    day, month, year, hour, minute, second = match.groups()
    return b"%b%02d%bT%b%b%bZ" % (year, _MONTHS.index(month) + 1, day, hour, minute, second)
