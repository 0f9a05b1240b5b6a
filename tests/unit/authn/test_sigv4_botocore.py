"""Whatever botocore signs is taken, and nothing that was changed afterwards."""

from __future__ import annotations

import json
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from hsmkms.authn import (
    SignatureClaim,
    WireRequest,
    derive_signing_key,
    read_claim,
    require_fresh,
    require_scope,
    require_signature,
)
from hsmkms.errors import AuthenticationError, SignatureError

ACCESS_KEY_ID = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
NOW = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
REGIONS = {"us-east-1", "eu-1", "eu-2"}
JSON_HEADERS = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "TrentService.Encrypt"}


@dataclass(frozen=True)
class Unsigned:
    """A request before botocore signs it; ``params`` are encoded by botocore, ``query`` is so already."""

    method: str = "POST"
    path: str = "/"
    query: str = ""
    params: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] | None = None
    body: bytes = b"{}"
    session_token: str | None = None
    secret: str = SECRET
    at: datetime = NOW


def sign(
    unsigned: Unsigned, *, region: str = "eu-1", service: str = "kms", host: str = "kms.eu-1.example.org"
) -> WireRequest:
    """Sign with botocore, and see the request as it would come over the wire."""
    url = f"https://{host}{unsigned.path}" + (f"?{unsigned.query}" if unsigned.query else "")
    request = AWSRequest(
        unsigned.method, url, dict(unsigned.headers or {}), unsigned.body, list(unsigned.params)
    )
    signer = SigV4Auth(Credentials(ACCESS_KEY_ID, unsigned.secret, unsigned.session_token), service, region)
    with mock.patch("botocore.auth.get_current_datetime", return_value=unsigned.at):
        signer.add_auth(request)
    prepared = request.prepare()
    parts = urlsplit(prepared.url)
    headers = {"host": host, **{name.lower(): value for name, value in prepared.headers.items()}}
    return WireRequest(
        prepared.method,
        parts.path.encode(),
        parts.query.encode(),
        {
            name.encode(): value if isinstance(value, bytes) else value.encode()
            for name, value in headers.items()
        },
        unsigned.body,
    )


def verify(request: WireRequest, *, secret: str = SECRET, now: datetime = NOW) -> SignatureClaim:
    claim = read_claim(request)
    require_scope(claim, regions=REGIONS, service="kms")
    require_fresh(claim, now)
    require_signature(request, claim, derive_signing_key(secret, claim.date, claim.region, claim.service))
    return claim


def load_vectors() -> list[dict[str, Any]]:
    vectors: list[dict[str, Any]] = json.loads(
        (Path(__file__).parent / "vectors" / "sigv4.json").read_text()
    )["vectors"]
    assert vectors, "an empty set of vectors proves nothing"
    return vectors


@pytest.mark.parametrize("vector", [pytest.param(vector, id=vector["id"]) for vector in load_vectors()])
def test_vector_is_what_botocore_signs_today(vector: dict[str, Any]) -> None:
    headers = dict(vector["headers"])
    host = headers.pop("host")
    headers.pop("x-amz-date", None)
    unsigned = Unsigned(
        vector["method"],
        vector["path"],
        vector["query"],
        headers=headers,
        body=vector["body"].encode(),
        session_token=headers.pop("x-amz-security-token", None),
    )
    request = sign(unsigned, region=vector["region"], service=vector["service"], host=host)
    assert request.headers[b"authorization"].decode() == vector["authorization"]


@pytest.mark.parametrize(
    "unsigned",
    [
        pytest.param(Unsigned(headers=JSON_HEADERS), id="a KMS call"),
        pytest.param(Unsigned(headers=JSON_HEADERS, body=b""), id="no body"),
        pytest.param(Unsigned(headers=JSON_HEADERS, body='{"Description": "€"}'.encode()), id="UTF-8 body"),
        pytest.param(Unsigned(headers=JSON_HEADERS, session_token="t/+="), id="session token"),
        pytest.param(Unsigned(headers={**JSON_HEADERS, "Date": "now"}), id="Date for x-amz-date"),
        pytest.param(Unsigned(headers={**JSON_HEADERS, "Expect": "100-continue"}), id="unsigned Expect"),
        pytest.param(Unsigned(headers={**JSON_HEADERS, "X-Note": "  a \t b   c "}), id="runs of white space"),
        pytest.param(Unsigned(headers={**JSON_HEADERS, "X-Note": ""}), id="empty header"),
        pytest.param(Unsigned(headers={**JSON_HEADERS, "X-Amz-Meta": "x"}), id="another x-amz header"),
        pytest.param(Unsigned(params=[("b", "2"), ("a", "1"), ("a", "0")]), id="parameters out of order"),
        pytest.param(Unsigned(params=[("a b", "c d"), ("e+f", "g+h")]), id="spaces and plus signs"),
        pytest.param(Unsigned(params=[("key", ""), ("é", "=&%/?")]), id="parameters that need encoding"),
        pytest.param(Unsigned(query="a&b=&c=%2F"), id="query encoded already"),
        pytest.param(Unsigned(path="/a%20b/%C3%A9//./c/../d/"), id="a path to be normalised"),
    ],
)
def test_takes_what_botocore_signs(unsigned: Unsigned) -> None:
    claim = verify(sign(unsigned))
    assert (claim.access_key_id, claim.region, claim.signed_at) == (ACCESS_KEY_ID, "eu-1", NOW)
    assert claim.session_token_present is (unsigned.session_token is not None)


def test_refuses_botocores_unsigned_payload() -> None:
    """``payload_signing_enabled=False``, which is for S3."""
    with pytest.raises(SignatureError, match="signed payloads only"):
        verify(sign(Unsigned(headers={**JSON_HEADERS, "X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})))


def test_a_reused_signature_expires_with_the_clock() -> None:
    request = sign(Unsigned(headers=JSON_HEADERS))
    verify(request, now=NOW + timedelta(minutes=5))
    with pytest.raises(SignatureError, match="Signature expired"):
        verify(request, now=NOW + timedelta(minutes=5, seconds=1))


# --- Properties --------------------------------------------------------------------------------------------

_NOT_HEADERS_OF_THE_CALLER = {
    "host",
    "authorization",
    "date",
    "x-amz-date",
    "x-amz-content-sha256",
    "content-length",
}
_NOT_HEADERS_OF_THE_CALLER |= {"transfer-encoding", "x-amz-security-token"}
header_names = (
    st.text(string.ascii_letters + string.digits + "!#$%&'*+-.^`|~", min_size=1, max_size=12)
    .map(lambda name: f"X-{name}")
    .filter(lambda name: name.lower() not in _NOT_HEADERS_OF_THE_CALLER)
)
header_values = st.text("".join(map(chr, range(0x20, 0x7F))) + "\t", max_size=20)
path_segments = st.one_of(
    st.sampled_from(["", ".", "..", "a", "%2E", "!$&'()*+,;=:@"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6).map(lambda text: quote(text, safe="")),
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
unsigned_requests = st.builds(
    Unsigned,
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"]),
    path=st.lists(path_segments, max_size=5).map(lambda segments: "/" + "/".join(segments)),
    params=st.lists(st.tuples(texts, texts), max_size=4),
    headers=st.dictionaries(header_names, header_values, max_size=4).filter(
        lambda headers: len({name.lower() for name in headers}) == len(headers)
    ),
    body=st.binary(max_size=64),
    session_token=st.none() | st.text(string.ascii_letters + string.digits + "/+=", min_size=1, max_size=40),
    secret=st.text(string.ascii_letters + string.digits + "/+", min_size=1, max_size=40),
    at=st.datetimes(datetime(1970, 1, 2), datetime(9000, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds
)


@settings(deadline=None)
@given(unsigned_requests)
def test_any_request_that_botocore_signs_is_taken(unsigned: Unsigned) -> None:
    verify(sign(unsigned), secret=unsigned.secret, now=unsigned.at)


def with_header(request: WireRequest, name: bytes, value: bytes) -> WireRequest:
    return replace(request, headers={**request.headers, name: value})


def with_authorization(request: WireRequest, old: str, new: str) -> WireRequest:
    authorization = request.headers[b"authorization"]
    assert old.encode() in authorization
    return with_header(request, b"authorization", authorization.replace(old.encode(), new.encode()))


def changed(request: WireRequest, claim: SignatureClaim, what: str, header: str) -> WireRequest:
    """The request after somebody changed one thing on its way; ``header`` is one of the signed ones."""
    day_before = (claim.signed_at - timedelta(days=1)).strftime("%Y%m%d")
    second_before = (claim.signed_at - timedelta(seconds=1)).strftime("%Y%m%dT%H%M%SZ").encode()
    flipped = ("1" if claim.signature[0] == "0" else "0") + claim.signature[1:]
    without = {name: value for name, value in request.headers.items() if name != header.encode()}
    names = ";".join(claim.signed_headers)
    fewer = ";".join(name for name in claim.signed_headers if name != header)
    return {
        "method": lambda: replace(request, method="PUT" if request.method == "GET" else "GET"),
        "path": lambda: replace(request, raw_path=request.raw_path + b"x"),
        "query": lambda: replace(request, query_string=request.query_string + b"&a=1"),
        "body": lambda: replace(request, body=request.body + b" "),
        "header value": lambda: with_header(
            request, header.encode(), request.headers[header.encode()] + b"x"
        ),
        "header removed": lambda: replace(request, headers=without),
        "header no longer named": lambda: with_authorization(request, names, fewer),
        "x-amz header added": lambda: with_header(request, b"x-amz-added", b"1"),
        "timestamp": lambda: with_header(request, b"x-amz-date", second_before),
        "scope date": lambda: with_authorization(request, f"/{claim.date}/", f"/{day_before}/"),
        "scope region": lambda: with_authorization(request, "/eu-1/", "/eu-2/"),
        "scope service": lambda: with_authorization(request, "/kms/", "/sts/"),
        "scope terminator": lambda: with_authorization(request, "/aws4_request,", "/aws5_request,"),
        "signature": lambda: with_authorization(request, claim.signature, flipped),
    }[what]()


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(what, id=what)
        for what in (
            "method",
            "path",
            "query",
            "body",
            "header value",
            "header removed",
            "header no longer named",
            "x-amz header added",
            "timestamp",
            "scope date",
            "scope region",
            "scope service",
            "scope terminator",
            "signature",
        )
    ],
)
@settings(max_examples=30, deadline=None)
@given(unsigned=unsigned_requests, pick=st.integers(min_value=0, max_value=10))
def test_any_single_change_after_signing_is_refused(what: str, unsigned: Unsigned, pick: int) -> None:
    request = sign(unsigned)
    claim = verify(request, secret=unsigned.secret, now=unsigned.at)
    header = claim.signed_headers[pick % len(claim.signed_headers)]
    tampered = changed(request, claim, what, header)
    assert tampered != request
    with pytest.raises(AuthenticationError):
        verify(tampered, secret=unsigned.secret, now=unsigned.at)
