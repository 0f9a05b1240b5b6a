"""SigV4 by the book: canonical requests written out by hand, signed with the documentation's pseudo-code."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hsmkms.authn import (
    SignatureClaim,
    WireRequest,
    canonical_request,
    derive_signing_key,
    read_claim,
    require_fresh,
    require_scope,
    require_signature,
)
from hsmkms.authn.canonical import canonical_path, canonical_query
from hsmkms.authn.claim import MAX_AUTHORIZATION_LENGTH
from hsmkms.errors import (
    AuthenticationError,
    IncompleteSignatureError,
    MissingCredentialsError,
    SignatureError,
)

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SIGNED_AT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
SIGNATURE = "0123456789abcdef" * 4
CREDENTIAL = "AKIDEXAMPLE/20150830/eu-1/kms/aws4_request"
SIGNED_HEADERS = "host;x-amz-date;x-amz-target"
GOOD = f"AWS4-HMAC-SHA256 Credential={CREDENTIAL}, SignedHeaders={SIGNED_HEADERS}, Signature={SIGNATURE}"
BODY = b'{"KeyId": "alias/a"}'
BODY_SHA256 = hashlib.sha256(BODY).hexdigest()
HEADERS = {
    b"host": b"kms.eu-1.example.org",
    b"x-amz-date": b"20150830T123600Z",
    b"x-amz-target": b"TrentService.Encrypt",
}
CANONICAL = f"""POST
/

host:kms.eu-1.example.org
x-amz-date:20150830T123600Z
x-amz-target:TrentService.Encrypt

{SIGNED_HEADERS}
{BODY_SHA256}"""
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
    "Access Key and signing method. Consult the service documentation for details."
)
DATE_FAULT = "Date must be in ISO-8601 'basic format'. See http://en.wikipedia.org/wiki/ISO_8601"


def request_with(
    authorization: str | bytes | None = GOOD,
    headers: Mapping[bytes, bytes | None] | None = None,
    query_string: bytes = b"",
) -> WireRequest:
    """The request of ``CANONICAL``; a header of None is left out."""
    if isinstance(authorization, str):
        authorization = authorization.encode()
    everything = {**HEADERS, b"user-agent": b"tests", b"authorization": authorization, **(headers or {})}
    present = {name: value for name, value in everything.items() if value is not None}
    return WireRequest("POST", b"/", query_string, present, BODY)


def signature_of(canonical: str, scope: str = "20150830/eu-1/kms/aws4_request") -> str:
    """Steps 2 to 5 of "Create a signed AWS API request", as the page has them."""
    string_to_sign = (
        f"AWS4-HMAC-SHA256\n20150830T123600Z\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    )
    key = ("AWS4" + SECRET).encode()
    for part in (*scope.split("/"), string_to_sign):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()


def signed(canonical: str, headers: Mapping[bytes, bytes | None] | None = None) -> WireRequest:
    """A request whose signature is right for ``canonical``, whatever the request is."""
    names = canonical.split("\n")[-2]
    authorization = GOOD.replace(SIGNED_HEADERS, names).replace(SIGNATURE, signature_of(canonical))
    return request_with(authorization, headers)


def verify(request: WireRequest) -> SignatureClaim:
    claim = read_claim(request)
    require_scope(claim, regions={"eu-1", "eu-2"}, service="kms")
    require_fresh(claim, SIGNED_AT)
    key = derive_signing_key(SECRET, claim.date, claim.region, claim.service)
    require_signature(request, claim, key)
    return claim


# --- Known answers -----------------------------------------------------------------------------------------


def load_vectors() -> dict[str, Any]:
    vectors: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "sigv4.json").read_text())
    assert vectors["origin"]
    assert vectors["licence"]
    assert vectors["vectors"], "an empty set of vectors proves nothing"
    return vectors


VECTORS = load_vectors()


@pytest.mark.parametrize("vector", [pytest.param(vector, id=vector["id"]) for vector in VECTORS["vectors"]])
def test_vector(vector: dict[str, Any]) -> None:
    headers = {name.encode(): value.encode() for name, value in vector["headers"].items()}
    request = WireRequest(
        vector["method"],
        vector["path"].encode(),
        vector["query"].encode(),
        {**headers, b"authorization": vector["authorization"].encode()},
        vector["body"].encode(),
    )
    claim = read_claim(request)
    require_scope(claim, regions={vector["region"]}, service=vector["service"])
    require_fresh(claim, SIGNED_AT)
    body_sha256 = hashlib.sha256(request.body).hexdigest()
    assert (
        canonical_request(request, claim.signed_headers, body_sha256).decode().split("\n")
        == vector["canonical_request"]
    )
    key = derive_signing_key(VECTORS["secret_access_key"], "20150830", vector["region"], vector["service"])
    require_signature(request, claim, key)


@pytest.mark.parametrize(
    ("name", "signature"),
    [
        pytest.param(
            "get-vanilla",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            id="AWS SigV4 test suite",
        ),
        pytest.param(
            "iam-list-users of the user guide",
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
            id="IAM User Guide",
        ),
    ],
)
def test_vector_file_has_the_signatures_that_aws_published(name: str, signature: str) -> None:
    (vector,) = (vector for vector in VECTORS["vectors"] if vector["id"] == name)
    assert vector["authorization"].endswith(f"Signature={signature}")


def test_signing_key_of_the_user_guide() -> None:
    key = derive_signing_key(SECRET, "20150830", "us-east-1", "iam")
    assert key.hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"


def test_request_signed_by_the_book_verifies() -> None:
    claim = verify(signed(CANONICAL))
    assert claim == SignatureClaim(
        access_key_id="AKIDEXAMPLE",
        date="20150830",
        region="eu-1",
        service="kms",
        terminator="aws4_request",
        signed_headers=("host", "x-amz-date", "x-amz-target"),
        signature=signature_of(CANONICAL),
        timestamp="20150830T123600Z",
        signed_at=SIGNED_AT,
        session_token_present=False,
    )
    assert claim.signed_at.tzinfo is UTC


def test_secrets_stay_out_of_the_repr() -> None:
    request = signed(CANONICAL)
    claim = read_claim(request)
    shown = repr(request) + repr(claim)
    assert claim.signature not in shown
    assert "alias/a" not in shown
    assert "AKIDEXAMPLE" in shown


# --- Reading the claim -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param(None, id="no header"),
        pytest.param("", id="empty header"),
        pytest.param("Bearer abc.def.ghi", id="bearer token"),
        pytest.param("Basic dXNlcjpwYXNz", id="basic"),
        pytest.param("aws4-hmac-sha256" + GOOD[16:], id="algorithm in lower case"),
        pytest.param(" " + GOOD, id="leading space"),
    ],
)
def test_request_without_a_signature_is_missing_credentials(authorization: str | None) -> None:
    with pytest.raises(MissingCredentialsError):
        read_claim(request_with(authorization))


@pytest.mark.parametrize(
    ("algorithm", "said"),
    [
        pytest.param(
            "AWS4-ECDSA-P256-SHA256",
            "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256' (only AWS4-HMAC-SHA256 for now). ",
            id="SigV4A",
        ),
        pytest.param(
            "AWS", "Unsupported AWS 'algorithm': 'AWS' (only AWS4-HMAC-SHA256 for now). ", id="SigV2 of S3"
        ),
        pytest.param(
            "AWS3-HTTPS",
            "Unsupported AWS 'algorithm': 'AWS3-HTTPS' (only AWS4-HMAC-SHA256 for now). ",
            id="SigV3",
        ),
        pytest.param(
            "AWS4-HMAC-SHA512",
            "Unsupported AWS 'algorithm' (only AWS4-HMAC-SHA256 for now). ",
            id="unknown, not repeated",
        ),
        pytest.param(
            "AWS4-HMAC-SHA256,",
            "Unsupported AWS 'algorithm' (only AWS4-HMAC-SHA256 for now). ",
            id="comma after it",
        ),
    ],
)
def test_refuses_another_algorithm_by_name(algorithm: str, said: str) -> None:
    with pytest.raises(IncompleteSignatureError) as refusal:
        read_claim(request_with(algorithm + GOOD[16:]))
    assert str(refusal.value) == said


FORM = "Authorization header must be 'AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=...'"
NO_EQUALS = "Invalid key=value pair (missing equal-sign) in Authorization header."
FIVE_ELEMENTS = (
    "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term."
)
NO_CREDENTIAL = "Authorization header requires 'Credential' parameter."
NO_SIGNATURE = "Authorization header requires 'Signature' parameter."
NO_SIGNED_HEADERS = "Authorization header requires 'SignedHeaders' parameter."


@pytest.mark.parametrize(
    ("authorization", "said"),
    [
        pytest.param(
            "AWS4-HMAC-SHA256", f"{NO_CREDENTIAL} {NO_SIGNATURE} {NO_SIGNED_HEADERS}", id="algorithm alone"
        ),
        pytest.param(
            "AWS4-HMAC-SHA256 ", f"{NO_CREDENTIAL} {NO_SIGNATURE} {NO_SIGNED_HEADERS}", id="no parameters"
        ),
        pytest.param(GOOD.replace(f"Credential={CREDENTIAL}, ", ""), NO_CREDENTIAL, id="no Credential"),
        pytest.param(GOOD.replace(f", Signature={SIGNATURE}", ""), NO_SIGNATURE, id="no Signature"),
        pytest.param(
            GOOD.replace(f"SignedHeaders={SIGNED_HEADERS}, ", ""), NO_SIGNED_HEADERS, id="no SignedHeaders"
        ),
        pytest.param(
            GOOD.replace("Credential=", "credential="), NO_CREDENTIAL, id="Credential in lower case"
        ),
        pytest.param(GOOD.replace("Signature=", "Signature:"), NO_EQUALS, id="colon for the equal sign"),
        pytest.param(GOOD.replace("Credential=", ""), NO_EQUALS, id="bare credential"),
        pytest.param(GOOD.replace("EXAMPLE/", "EXAMPLE,/"), NO_EQUALS, id="comma in the credential"),
        pytest.param(GOOD.replace("/20150830", ""), FIVE_ELEMENTS, id="four elements"),
        pytest.param(GOOD.replace("AKID", "AK/ID"), FIVE_ELEMENTS, id="six elements, a secret for the id"),
        pytest.param(GOOD.replace("AKIDEXAMPLE/", "/"), FORM, id="empty access key id"),
        pytest.param(GOOD.replace("/eu-1/", "//"), FORM, id="empty region"),
        pytest.param(GOOD.replace("/aws4_request", "/"), FORM, id="empty terminator"),
        pytest.param(GOOD.replace("=AKID", "= AKID"), FORM, id="space before the credential"),
        pytest.param(GOOD.replace("AKID", "AK\tID"), FORM, id="tab in the credential"),
        pytest.param(GOOD.replace("AKIDEXAMPLE", "A" * 129), FORM, id="access key id too long"),
        pytest.param(GOOD.replace("/eu-1/", f"/{'e' * 65}/"), FORM, id="region too long"),
        pytest.param(GOOD.replace(SIGNED_HEADERS, ""), FORM, id="empty SignedHeaders"),
        pytest.param(GOOD.replace("host;", "host;;"), FORM, id="empty header name"),
        pytest.param(GOOD.replace("host;", ";host;"), FORM, id="leading semicolon"),
        pytest.param(GOOD.replace("target,", "target;,"), FORM, id="trailing semicolon"),
        pytest.param(GOOD.replace("host;", "Host;"), FORM, id="header name in capitals"),
        pytest.param(GOOD.replace("host;", "ho st;"), FORM, id="space in a header name"),
        pytest.param(GOOD.replace("host;", "ho:st;"), FORM, id="colon in a header name"),
        pytest.param(GOOD[:-1], FORM, id="signature cut short"),
        pytest.param(GOOD + "0", FORM, id="signature too long"),
        pytest.param(GOOD.replace("abcdef", "ABCDEF"), FORM, id="signature in capitals"),
        pytest.param(GOOD.replace("abcdef", "abcdeg"), FORM, id="signature not hexadecimal"),
        pytest.param(GOOD + ",", FORM, id="trailing comma"),
        pytest.param(GOOD + " ", FORM, id="trailing space"),
        pytest.param(GOOD + "\n", FORM, id="trailing line feed"),
        pytest.param(GOOD.replace(", ", ",  "), FORM, id="two spaces after a comma"),
        pytest.param(GOOD.replace(", ", " , "), FORM, id="space before a comma"),
        pytest.param(GOOD.replace(" Cred", "  Cred"), FORM, id="two spaces after the algorithm"),
        pytest.param(GOOD + f", Credential={CREDENTIAL}", FORM, id="Credential twice"),
        pytest.param(GOOD + f", Signature={SIGNATURE}", FORM, id="Signature twice"),
        pytest.param(GOOD + ", Extra=1", FORM, id="unknown parameter"),
        pytest.param(
            f"AWS4-HMAC-SHA256 SignedHeaders=host, Credential={CREDENTIAL}, Signature={SIGNATURE}",
            FORM,
            id="another order",
        ),
        pytest.param(
            GOOD.replace("host;x-amz-date", "x-amz-date;host"),
            "'SignedHeaders' must be sorted and name each header once.",
            id="SignedHeaders unsorted",
        ),
        pytest.param(
            GOOD.replace("host;", "host;host;"),
            "'SignedHeaders' must be sorted and name each header once.",
            id="SignedHeaders repeats a name",
        ),
        pytest.param(
            GOOD.encode().replace(b"AKID", "AKÍD".encode()),
            f"Authorization header must be ASCII and no longer than {MAX_AUTHORIZATION_LENGTH} bytes.",
            id="not ASCII",
        ),
        pytest.param(
            GOOD + "0" * (MAX_AUTHORIZATION_LENGTH - len(GOOD) + 1),
            f"Authorization header must be ASCII and no longer than {MAX_AUTHORIZATION_LENGTH} bytes.",
            id="one byte over the limit",
        ),
    ],
)
def test_refuses_malformed_authorization(authorization: str | bytes, said: str) -> None:
    with pytest.raises(IncompleteSignatureError) as refusal:
        read_claim(request_with(authorization))
    assert str(refusal.value).startswith(said)
    for theirs in ("AKID", SIGNATURE[:16], "alias/a"):
        assert theirs not in str(refusal.value), "the header must not be repeated"


def test_names_all_missing_parts_at_once() -> None:
    with pytest.raises(IncompleteSignatureError) as refusal:
        read_claim(request_with("AWS4-HMAC-SHA256 Foo=1", {b"x-amz-date": None}))
    assert str(refusal.value) == (
        f"{NO_CREDENTIAL} {NO_SIGNATURE} {NO_SIGNED_HEADERS} "
        "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
    )


def test_takes_the_longest_header_there_may_be() -> None:
    authorization = GOOD.replace("host;", f"{'a' * (MAX_AUTHORIZATION_LENGTH - len(GOOD) - 1)};host;")
    assert len(authorization) == MAX_AUTHORIZATION_LENGTH
    read_claim(request_with(authorization))


def test_takes_a_comma_without_a_space_as_boto_2_writes_it() -> None:
    verify(request_with(GOOD.replace(", ", ",").replace(SIGNATURE, signature_of(CANONICAL))))


@pytest.mark.parametrize(
    "query_string",
    [
        pytest.param(b"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=ab", id="presigned SigV4"),
        pytest.param(b"X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256", id="presigned SigV4A"),
        pytest.param(b"a=1&x%2Damz%2dcredential=b", id="disguised"),
        pytest.param(b"AWSAccessKeyId=AKIDEXAMPLE&SignatureVersion=2", id="SigV2"),
    ],
)
def test_refuses_a_signature_in_the_query(query_string: bytes) -> None:
    with pytest.raises(IncompleteSignatureError, match=r"Presigned URLs .* not supported"):
        read_claim(request_with(None, query_string=query_string))
    with pytest.raises(SignatureError, match="Found both 'X-Amz-Algorithm' as a query-string param"):
        read_claim(request_with(query_string=query_string))


def test_a_query_without_a_signature_is_no_signature() -> None:
    with pytest.raises(MissingCredentialsError):
        read_claim(request_with(None, query_string=b"Action=ListKeys"))


def test_tells_whether_a_session_token_came_along() -> None:
    assert read_claim(request_with(headers={b"x-amz-security-token": b"t"})).session_token_present


# --- The date ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({b"date": b"Sun, 30 Aug 2015 12:36:00 GMT", b"x-amz-date": None}, id="HTTP date"),
        pytest.param(
            {b"date": b"Sun, 30 Aug 2015 12:36:00 -0000", b"x-amz-date": None}, id="botocore's HTTP date"
        ),
        pytest.param({b"date": b"20150830T123600Z", b"x-amz-date": None}, id="ISO 8601 in Date"),
        pytest.param({b"date": b"Sun, 30 Aug 2015 12:00:00 GMT"}, id="x-amz-date beats Date"),
        pytest.param({b"date": b"nonsense"}, id="x-amz-date beats a broken Date"),
    ],
)
def test_reads_the_date(headers: dict[bytes, bytes | None]) -> None:
    claim = read_claim(request_with(headers=headers))
    assert (claim.timestamp, claim.signed_at) == ("20150830T123600Z", SIGNED_AT)


@pytest.mark.parametrize(
    "date",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"20150830", id="no time"),
        pytest.param(b"20150830T123600", id="no zone"),
        pytest.param(b"20150830T123600z", id="zone in lower case"),
        pytest.param(b"20150830T123600+0000", id="zone as an offset"),
        pytest.param(b"20150830T123600.000Z", id="milliseconds"),
        pytest.param(b"2015-08-30T12:36:00Z", id="extended format"),
        pytest.param(b"2015W357T123600Z", id="week date"),
        pytest.param(b"20150832T123600Z", id="no such day"),
        pytest.param(b"20150229T123600Z", id="no leap year"),
        pytest.param(b"00000101T000000Z", id="year zero"),
        pytest.param(b"20150830T240000Z", id="hour 24"),
        pytest.param(b"20150830T126000Z", id="minute 60"),
        pytest.param(b"20150830T123660Z", id="second 60"),
        pytest.param(b"20150830T123600Z ", id="trailing space"),
        pytest.param("2015083\N{ARABIC-INDIC DIGIT THREE}T123600Z".encode(), id="digits of another script"),
        pytest.param(b"Sun, 30 Aug 2015 12:36:00 +0000", id="HTTP date with an offset"),
        pytest.param(b"Sun, 30 Aug 2015 12:36:00", id="HTTP date without a zone"),
        pytest.param(b"Sun, 30 Xyz 2015 12:36:00 GMT", id="no such month"),
        pytest.param(b"Sun, 31 Feb 2015 12:36:00 GMT", id="HTTP date of no such day"),
        pytest.param(b"Xxx, 30 Aug 2015 12:36:00 GMT", id="no such weekday"),
        pytest.param(b"Sunday, 30-Aug-15 12:36:00 GMT", id="RFC 850 date"),
        pytest.param(b"Sun Aug 30 12:36:00 2015", id="asctime"),
    ],
)
def test_refuses_a_malformed_date(date: bytes) -> None:
    with pytest.raises(IncompleteSignatureError) as refusal:
        read_claim(request_with(headers={b"date": date, b"x-amz-date": None}))
    assert str(refusal.value) == DATE_FAULT
    with pytest.raises(IncompleteSignatureError):
        read_claim(request_with(headers={b"date": b"20150830T123600Z", b"x-amz-date": date}))


def test_refuses_an_http_date_in_x_amz_date() -> None:
    with pytest.raises(IncompleteSignatureError, match="basic format"):
        read_claim(request_with(headers={b"x-amz-date": b"Sun, 30 Aug 2015 12:36:00 GMT"}))


def test_refuses_a_request_without_a_date() -> None:
    with pytest.raises(IncompleteSignatureError) as refusal:
        read_claim(request_with(headers={b"x-amz-date": None}))
    assert str(refusal.value) == (
        "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
    )


# --- The scope ---------------------------------------------------------------------------------------------

BAD_REGION = "Credential should be scoped to a valid region. "
BAD_SERVICE = "Credential should be scoped to correct service: 'kms'. "
BAD_TERMINATOR = "Credential should be scoped with a valid terminator: 'aws4_request'. "
BAD_DATE = (
    "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
    "'20150829' != '20150830', from '20150830T123600Z'."
)


@pytest.mark.parametrize(
    ("credential", "said"),
    [
        pytest.param("A/20150830/us-east-1/kms/aws4_request", BAD_REGION, id="unknown region"),
        pytest.param("A/20150830/EU-1/kms/aws4_request", BAD_REGION, id="region in capitals"),
        pytest.param("A/20150830/eu-1/sts/aws4_request", BAD_SERVICE, id="another service"),
        pytest.param("A/20150830/eu-1/KMS/aws4_request", BAD_SERVICE, id="service in capitals"),
        pytest.param("A/20150830/eu-1/kms/aws5_request", BAD_TERMINATOR, id="another terminator"),
        pytest.param("A/20150829/eu-1/kms/aws4_request", BAD_DATE, id="the day before"),
        pytest.param(
            "A/20150829/b/c/d", BAD_REGION + BAD_SERVICE + BAD_TERMINATOR + BAD_DATE, id="all wrong"
        ),
    ],
)
def test_refuses_another_scope(credential: str, said: str) -> None:
    claim = read_claim(request_with(GOOD.replace(CREDENTIAL, credential)))
    with pytest.raises(SignatureError) as refusal:
        require_scope(claim, regions={"eu-1", "eu-2"}, service="kms")
    assert str(refusal.value) == said


# --- The clock ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "skew",
    [
        pytest.param(timedelta(), id="same second"),
        pytest.param(timedelta(minutes=5), id="five minutes old"),
        pytest.param(timedelta(minutes=5, microseconds=999_999), id="five minutes old, our second not over"),
        pytest.param(timedelta(minutes=-5), id="five minutes ahead"),
        pytest.param(timedelta(minutes=-5, microseconds=1), id="five minutes ahead, our second begun"),
    ],
)
def test_takes_a_signature_within_the_skew(skew: timedelta) -> None:
    require_fresh(read_claim(request_with()), SIGNED_AT + skew)


@pytest.mark.parametrize(
    ("skew", "said"),
    [
        pytest.param(
            timedelta(minutes=5, seconds=1),
            "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z "
            "(20150830T124101Z - 5 min.)",
            id="a second too old",
        ),
        pytest.param(
            timedelta(days=1),
            "Signature expired: 20150830T123600Z is now earlier than 20150831T123100Z "
            "(20150831T123600Z - 5 min.)",
            id="a day old",
        ),
        pytest.param(
            timedelta(minutes=-5, seconds=-1),
            "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z "
            "(20150830T123059Z + 5 min.)",
            id="a second too early",
        ),
        pytest.param(
            timedelta(minutes=-5, microseconds=-1),
            "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z "
            "(20150830T123059Z + 5 min.)",
            id="a microsecond too early, in the second before",
        ),
    ],
)
def test_refuses_a_signature_outside_the_skew(skew: timedelta, said: str) -> None:
    claim = read_claim(request_with())
    with pytest.raises(SignatureError) as refusal:
        require_fresh(claim, SIGNED_AT + skew)
    assert str(refusal.value) == said


def test_the_skew_is_the_operators_choice() -> None:
    claim = read_claim(request_with())
    require_fresh(claim, SIGNED_AT + timedelta(minutes=15), timedelta(minutes=15))
    with pytest.raises(SignatureError, match=r"- 15 min\."):
        require_fresh(claim, SIGNED_AT + timedelta(minutes=16), timedelta(minutes=15))


def test_a_clock_of_another_zone_reads_the_same() -> None:
    claim = read_claim(request_with())
    require_fresh(claim, datetime.fromisoformat("2015-08-30T14:36:00+02:00"))
    with pytest.raises(SignatureError, match=r"\(20150830T134200Z - 5 min\.\)"):
        require_fresh(claim, datetime.fromisoformat("2015-08-30T15:42:00+02:00"))


# --- The signature -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"method": "GET"}, MISMATCH, id="method"),
        pytest.param({"method": "post"}, "The HTTP method must be spelled", id="method in lower case"),
        pytest.param({"method": "POST\n/"}, "The HTTP method must be spelled", id="line feed in the method"),
        pytest.param({"method": "PÓST"}, "The HTTP method must be spelled", id="method not ASCII"),
        pytest.param({"raw_path": b"/x"}, MISMATCH, id="path"),
        pytest.param({"raw_path": b"x"}, "The path must be absolute", id="relative path"),
        pytest.param({"raw_path": b""}, "The path must be absolute", id="no path"),
        pytest.param({"raw_path": b"/\xc3\xa1"}, "The path must be absolute", id="path not ASCII"),
        pytest.param({"query_string": b"a=1"}, MISMATCH, id="query"),
        pytest.param({"query_string": b"a=%"}, "The query string must be", id="query not percent-encoded"),
        pytest.param({"body": b'{"KeyId": "alias/b"}'}, MISMATCH, id="replayed with another body"),
        pytest.param({"body": b""}, MISMATCH, id="replayed without the body"),
    ],
)
def test_refuses_another_request(changed: dict[str, Any], said: str) -> None:
    request = replace(signed(CANONICAL), **changed)
    with pytest.raises(SignatureError) as refusal:
        verify(request)
    assert str(refusal.value).startswith(said)


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        pytest.param({b"x-amz-target": b"TrentService.Decrypt"}, MISMATCH, id="another operation"),
        pytest.param({b"host": b"kms.eu-2.example.org"}, MISMATCH, id="another host"),
        pytest.param({b"x-amz-date": b"20150830T123601Z"}, MISMATCH, id="a second later"),
        pytest.param(
            {b"x-amz-target": None},
            "'x-amz-target' is a 'SignedHeader', but the request has no such header.",
            id="header lost on the way",
        ),
        pytest.param(
            {b"x-amz-target": "TrentService.Decrypt\N{NO-BREAK SPACE}".encode()},
            "Signed headers must be ASCII.",
            id="header not ASCII",
        ),
        pytest.param(
            {b"host": b"kms.eu-1.example.org\nx-amz-date:20150830T123600Z"}, MISMATCH, id="two headers in one"
        ),
        pytest.param(
            {b"x-amz-security-token": b"t"},
            "'x-amz-security-token' must be a 'SignedHeader' in the AWS Authorization.",
            id="session token added after signing",
        ),
        pytest.param(
            {b"x-amz-cf-\xff": b"1"},
            "'x-amz-cf-\xff' must be a 'SignedHeader' in the AWS Authorization.",
            id="x-amz header added after signing, with an odd name",
        ),
        pytest.param(
            {b"x-amz-content-sha256": BODY_SHA256.encode()}, "'x-amz-content-sha256' must be", id="digest"
        ),
    ],
)
def test_refuses_other_headers(headers: dict[bytes, bytes | None], said: str) -> None:
    with pytest.raises(SignatureError) as refusal:
        verify(signed(CANONICAL, headers))
    assert str(refusal.value).startswith(said)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({b"x-amzn-trace-id": b"Root=1"}, id="trace id, which no SDK signs"),
        pytest.param({b"user-agent": b"another"}, id="user agent"),
        pytest.param({b"via": b"1.1 proxy \xe9"}, id="proxy header, not ASCII"),
        pytest.param({b"x-amz-target": b" \t TrentService.Encrypt  "}, id="white space around a value"),
    ],
)
def test_takes_headers_that_need_not_be_signed(headers: dict[bytes, bytes | None]) -> None:
    verify(signed(CANONICAL, headers))


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        pytest.param(
            "host", "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.", id="host"
        ),
        pytest.param(
            "x-amz-date", "'x-amz-date' must be a 'SignedHeader' in the AWS Authorization.", id="date"
        ),
        pytest.param(
            "x-amz-target",
            "'x-amz-target' must be a 'SignedHeader' in the AWS Authorization.",
            id="operation",
        ),
    ],
)
def test_refuses_a_true_signature_that_leaves_out_a_header(left_out: str, said: str) -> None:
    kept = [name for name in SIGNED_HEADERS.split(";") if name != left_out]
    lines = [line for line in CANONICAL.split("\n") if not line.startswith(f"{left_out}:")]
    lines[-2] = ";".join(kept)
    with pytest.raises(SignatureError) as refusal:
        verify(signed("\n".join(lines)))
    assert str(refusal.value) == said


def with_digest(digest: str, hashed_payload: str) -> WireRequest:
    """A request that was truly signed with this x-amz-content-sha256 and this "HashedPayload"."""
    canonical = CANONICAL.replace("\nx-amz-date", f"\nx-amz-content-sha256:{digest}\nx-amz-date")
    canonical = canonical.replace("host;", "host;x-amz-content-sha256;").replace(BODY_SHA256, hashed_payload)
    return signed(canonical, {b"x-amz-content-sha256": digest.encode()})


def test_takes_the_digest_of_the_body() -> None:
    verify(with_digest(BODY_SHA256, BODY_SHA256))


@pytest.mark.parametrize(
    ("digest", "said"),
    [
        pytest.param(
            "0" * 64, "The provided 'x-amz-content-sha256' header does not match", id="another digest"
        ),
        pytest.param(
            BODY_SHA256.upper(), "The provided 'x-amz-content-sha256' header does not match", id="in capitals"
        ),
        pytest.param("", "The provided 'x-amz-content-sha256' header does not match", id="empty"),
        pytest.param("UNSIGNED-PAYLOAD", "This service takes signed payloads only", id="unsigned payload"),
        pytest.param(
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            "This service takes signed payloads only",
            id="signed chunks",
        ),
        pytest.param(
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "This service takes signed payloads only",
            id="unsigned chunks",
        ),
    ],
)
def test_refuses_a_digest_that_is_not_the_bodys(digest: str, said: str) -> None:
    with pytest.raises(SignatureError) as refusal:
        verify(with_digest(digest, digest))
    assert str(refusal.value).startswith(said)
    assert BODY_SHA256 not in str(refusal.value)


def test_refuses_another_secret() -> None:
    request = signed(CANONICAL)
    key = derive_signing_key(SECRET + "x", "20150830", "eu-1", "kms")
    with pytest.raises(SignatureError) as refusal:
        require_signature(request, read_claim(request), key)
    assert str(refusal.value) == MISMATCH
    assert isinstance(refusal.value, AuthenticationError)


def test_refuses_the_key_of_another_day_region_or_service() -> None:
    request = signed(CANONICAL)
    claim = read_claim(request)
    for scope in (("20150831", "eu-1", "kms"), ("20150830", "eu-2", "kms"), ("20150830", "eu-1", "sts")):
        with pytest.raises(SignatureError):
            require_signature(request, claim, derive_signing_key(SECRET, *scope))


def test_refuses_the_scope_of_another_region_under_the_same_key() -> None:
    """Both regions are ours; the signature still names one."""
    request = signed(CANONICAL)
    moved = request.headers[b"authorization"].replace(b"/eu-1/", b"/eu-2/")
    with pytest.raises(SignatureError):
        verify(replace(request, headers={**request.headers, b"authorization": moved}))


# --- The canonical forms -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        pytest.param(b"/", "/", id="root"),
        pytest.param(b"//", "/", id="empty segments only"),
        pytest.param(b"/a", "/a", id="one segment"),
        pytest.param(b"/a/", "/a/", id="trailing slash"),
        pytest.param(b"/a//b///c", "/a/b/c", id="empty segments"),
        pytest.param(b"/./a/./b/.", "/a/b", id="single dots"),
        pytest.param(b"/a/../b", "/b", id="double dots"),
        pytest.param(b"/a/b/..", "/a", id="double dots at the end"),
        pytest.param(b"/../../a", "/a", id="above the root"),
        pytest.param(b"/a/../", "/", id="nothing left"),
        pytest.param(b"/a%20b", "/a%2520b", id="encoded twice"),
        pytest.param(b"/%2e%2e/a", "/%252e%252e/a", id="encoded dots are no dots"),
        pytest.param(
            b"/a:b@c;d=e,f+g!$&'()*", "/a%3Ab%40c%3Bd%3De%2Cf%2Bg%21%24%26%27%28%29%2A", id="reserved"
        ),
        pytest.param(b"/-._~", "/-._~", id="unreserved"),
    ],
)
def test_canonical_path(raw: bytes, canonical: str) -> None:
    assert canonical_path(raw) == canonical


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        pytest.param(b"", "", id="empty"),
        pytest.param(b"a", "a=", id="name alone"),
        pytest.param(b"a=", "a=", id="empty value"),
        pytest.param(b"b=1&a=2", "a=2&b=1", id="sorted by name"),
        pytest.param(b"a=2&a=1&a=", "a=&a=1&a=2", id="then by value"),
        pytest.param(b"a-=1&a=2", "a=2&a-=1", id="a name sorts before its extension, whatever '=' sorts as"),
        pytest.param(b"b=1&B=2", "B=2&b=1", id="capitals first"),
        pytest.param(b"%C3%A1=1&z=2", "%C3%A1=1&z=2", id="sorted as encoded"),
        pytest.param(b"a=%7e%41%2f", "a=~A%2F", id="escapes in the one way"),
        pytest.param(b"a=b/c:d", "a=b%2Fc%3Ad", id="reserved characters"),
        pytest.param(b"a=b=c", "a=b%3Dc", id="equal sign in a value"),
        pytest.param(b"a=b+c", "a=b%20c", id="plus is a space"),
        pytest.param(b"a=b%2Bc", "a=b%2Bc", id="encoded plus is a plus"),
        pytest.param(b"a=%E2%82%AC", "a=%E2%82%AC", id="UTF-8"),
        pytest.param(b"a=1&", "=&a=1", id="empty parameter"),
    ],
)
def test_canonical_query(raw: bytes, canonical: str) -> None:
    assert canonical_query(raw) == canonical


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"a=%", id="lone percent sign"),
        pytest.param(b"a=%4", id="half an escape"),
        pytest.param(b"a=%4g", id="no hexadecimal"),
        pytest.param(b"a=\xc3\xa1", id="raw UTF-8"),
        pytest.param(b"a=b c", id="space"),
        pytest.param(b"a=b\nc", id="line feed"),
    ],
)
def test_refuses_a_query_that_is_not_percent_encoded(raw: bytes) -> None:
    with pytest.raises(SignatureError):
        canonical_query(raw)
