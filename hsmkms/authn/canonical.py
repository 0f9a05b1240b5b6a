"""The canonical request: one spelling for all requests that SigV4 takes for the same.

Spec: AWS IAM User Guide, "Create a signed AWS API request", step 1 "Create a canonical request". Where that
page leaves a choice, botocore's ``SigV4Auth`` decides, for its requests are what this service must take.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from hsmkms.errors import SignatureError

# A '%' that begins no escape would be signed as '%25', so that two queries shared one signature.
_NOT_PERCENT_ENCODED: Final = re.compile(rb"[^!-~]|%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class WireRequest:
    """What the door saw, before anything was trusted.

    Attributes:
        method: in capitals, as on the wire.
        raw_path: as on the wire: not percent-decoded, without the query.
        query_string: as on the wire, without the question mark.
        headers: names in lower case; the door has refused repeated names already.
        body: all of it. Neither body nor headers are in the repr: both hold secrets.
    """

    method: str
    raw_path: bytes
    query_string: bytes
    headers: Mapping[bytes, bytes] = field(repr=False)
    body: bytes = field(repr=False)


def canonical_request(request: WireRequest, signed_headers: Sequence[str], body_sha256: str) -> bytes:
    """The bytes whose digest is signed.

    Args:
        request: what came over the wire.
        signed_headers: lower-case names in the order in which they were signed.
        body_sha256: "HashedPayload", in lower-case hexadecimal.

    Raises:
        SignatureError: a part has no canonical form, or a signed header is missing.
    """
    if not (request.method.isascii() and request.method.isalpha() and request.method.isupper()):
        raise SignatureError("The HTTP method must be spelled in capital letters.")
    lines = (
        request.method,
        canonical_path(request.raw_path),
        canonical_query(request.query_string),
        *_canonical_headers(request.headers, signed_headers),
        "",
        ";".join(signed_headers),
        body_sha256,
    )
    return "\n".join(lines).encode()


def canonical_path(raw_path: bytes) -> str:
    """The "CanonicalURI" of every service but S3: normalised, then percent-encoded once more.

    Dot segments and empty segments go first (RFC 3986, section 5.2.4): '/a/./b//../c/' becomes '/a/c/'. The
    path on the wire is encoded already, so a '%' in it becomes '%25'.

    Raises:
        SignatureError: the path is not absolute, or not ASCII.
    """
    if raw_path == b"/":  # the only path of the KMS API
        return "/"
    if not (raw_path.startswith(b"/") and raw_path.isascii()):
        raise SignatureError("The path must be absolute and percent-encoded.")
    segments: list[bytes] = []
    for segment in raw_path.split(b"/"):
        if segment == b"..":
            del segments[-1:]
        elif segment not in (b"", b"."):
            segments.append(segment)
    trailing_slash = b"/" if segments and raw_path.endswith(b"/") else b""
    return quote(b"/" + b"/".join(segments) + trailing_slash)


def canonical_query(query_string: bytes) -> str:
    """The "CanonicalQueryString": names and values encoded in the one way, sorted by name, then by value.

    Raises:
        SignatureError: it is not percent-encoded ASCII.
    """
    if not query_string:
        return ""
    if _NOT_PERCENT_ENCODED.search(query_string):
        raise SignatureError("The query string must be percent-encoded.")
    parameters = []
    for parameter in query_string.split(b"&"):
        name, _, value = parameter.partition(b"=")
        parameters.append((_encoded_once(name), _encoded_once(value)))
    return "&".join(f"{name}={value}" for name, value in sorted(parameters))


def _encoded_once(text: bytes) -> str:
    """A '+' is a space: botocore sends it for a space that it signed as '%20'."""
    return quote(unquote_to_bytes(text.replace(b"+", b" ")), safe="")


def _canonical_headers(headers: Mapping[bytes, bytes], signed_headers: Sequence[str]) -> list[str]:
    """The lines of the "CanonicalHeaders".

    Any run of white space becomes one space, as in botocore and the Java and JavaScript SDKs. That also keeps
    a line feed in a value from posing as the next header.
    """
    try:
        return [
            f"{name}:{' '.join(headers[name.encode()].decode('ascii').split())}" for name in signed_headers
        ]
    except KeyError as error:
        name = error.args[0].decode()
        raise SignatureError(f"'{name}' is a 'SignedHeader', but the request has no such header.") from error
    except UnicodeDecodeError as error:
        raise SignatureError("Signed headers must be ASCII.") from error
