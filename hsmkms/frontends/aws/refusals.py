"""AWS's names and HTTP statuses for the refusals of ``hsmkms.errors``: one table and body a protocol."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import orjson

from hsmkms import errors
from hsmkms.errors import KmsError

STS_NAMESPACE: Final = "https://sts.amazonaws.com/doc/2011-06-15/"

Table = Mapping[type[KmsError], tuple[int, str]]

KMS_FAULT: Final = (500, "KMSInternalException")
STS_FAULT: Final = (500, "InternalFailure")

# Whatever is wrong with us is told in these words alone.
_FAULT_MESSAGE: Final = "The request was rejected because an internal exception occurred. You can retry it."

# Statuses: AWS KMS API Reference, "Common Errors" and each operation's "Errors". The JSON protocol answers
# 400 to failed authentication too.
KMS_REFUSALS: Final[Table] = MappingProxyType(
    {
        errors.MissingCredentialsError: (400, "MissingAuthenticationTokenException"),
        errors.IncompleteSignatureError: (400, "IncompleteSignatureException"),
        errors.SignatureError: (400, "InvalidSignatureException"),
        errors.UnrecognizedCredentialsError: (400, "UnrecognizedClientException"),
        errors.ExpiredCredentialsError: (400, "ExpiredTokenException"),
        errors.AccessDeniedError: (400, "AccessDeniedException"),
        errors.MalformedRequestError: (400, "SerializationException"),
        errors.RequestTooLargeError: (413, "RequestEntityTooLargeException"),
        errors.UnknownOperationError: (400, "UnknownOperationException"),
        errors.ValidationError: (400, "ValidationException"),
        errors.UnsupportedOperationError: (400, "UnsupportedOperationException"),
        errors.InvalidArnError: (400, "InvalidArnException"),
        errors.InvalidAliasNameError: (400, "InvalidAliasNameException"),
        errors.InvalidMarkerError: (400, "InvalidMarkerException"),
        errors.InvalidGrantTokenError: (400, "InvalidGrantTokenException"),
        errors.MalformedPolicyDocumentError: (400, "MalformedPolicyDocumentException"),
        errors.LockoutError: (400, "MalformedPolicyDocumentException"),
        errors.InvalidGrantIdError: (400, "InvalidGrantIdException"),
        errors.TagError: (400, "TagException"),
        errors.DryRunError: (400, "DryRunOperationException"),
        errors.NotFoundError: (400, "NotFoundException"),
        errors.AlreadyExistsError: (400, "AlreadyExistsException"),
        errors.LimitExceededError: (400, "LimitExceededException"),
        errors.EncryptionLimitError: (400, "LimitExceededException"),
        errors.ConflictError: (400, "ConflictException"),
        errors.InvalidImportTokenError: (400, "InvalidImportTokenException"),
        errors.ExpiredImportTokenError: (400, "ExpiredImportTokenException"),
        errors.IncorrectKeyMaterialError: (400, "IncorrectKeyMaterialException"),
        errors.KeyDisabledError: (400, "DisabledException"),
        errors.KeyStateError: (400, "KMSInvalidStateException"),
        errors.InvalidKeyUsageError: (400, "InvalidKeyUsageException"),
        errors.CiphertextError: (400, "InvalidCiphertextException"),
        errors.IncorrectKeyError: (400, "IncorrectKeyException"),
        errors.KeyUnavailableError: (500, "KeyUnavailableException"),
        errors.DependencyTimeoutError: (503, "DependencyTimeoutException"),
        errors.ThrottlingError: (400, "ThrottlingException"),
        errors.ServiceFaultError: KMS_FAULT,
        errors.RequestTimeoutError: (408, "RequestTimeoutException"),
        errors.MalformedHttpError: (400, "MalformedHttpRequestException"),
    }
)

# The query protocol's names of what can be refused there. Whatever is missing is a refusal of a verb of keys,
# which nobody can ask there, or of what never arrived whole; should one come after all, the fault is ours.
STS_REFUSALS: Final[Table] = MappingProxyType(
    {
        errors.MissingCredentialsError: (403, "MissingAuthenticationToken"),
        errors.IncompleteSignatureError: (400, "IncompleteSignature"),
        errors.SignatureError: (403, "SignatureDoesNotMatch"),
        errors.UnrecognizedCredentialsError: (403, "InvalidClientTokenId"),
        errors.ExpiredCredentialsError: (403, "ExpiredToken"),
        errors.AccessDeniedError: (403, "AccessDenied"),
        errors.MalformedRequestError: (400, "MalformedInput"),
        errors.UnknownOperationError: (400, "InvalidAction"),
        errors.UnsupportedOperationError: (400, "InvalidAction"),
        errors.ValidationError: (400, "ValidationError"),
        errors.MalformedPolicyDocumentError: (400, "MalformedPolicyDocument"),
        # The one limit there is how much a session token can hold.
        errors.LimitExceededError: (400, "PackedPolicyTooLarge"),
        errors.KeyUnavailableError: (503, "ServiceUnavailable"),
        errors.MalformedHttpError: (400, "MalformedHttpRequest"),
    }
)

# XML 1.0, section 2.2: everything that is no Char.
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def code_of(refusal: KmsError) -> str:
    """The name of a refusal on the KMS protocol, which is what its record says."""
    return _row(KMS_REFUSALS, KMS_FAULT, refusal)[1]


def sts_code_of(refusal: KmsError) -> str:
    """The name of a refusal on the STS protocol."""
    return _row(STS_REFUSALS, STS_FAULT, refusal)[1]


def kms_refusal(refusal: KmsError | None) -> tuple[int, bytes]:
    """HTTP status and JSON body of a refusal; None is a fault of ours."""
    status, name = _row(KMS_REFUSALS, KMS_FAULT, refusal)
    body = {"__type": name}
    message = _message(KMS_REFUSALS, refusal)
    if message:
        body["message"] = message
    return status, orjson.dumps(body)


def sts_refusal(refusal: KmsError | None, request_id: str) -> tuple[int, bytes]:
    """HTTP status and XML body of a refusal; None is a fault of ours."""
    status, name = _row(STS_REFUSALS, STS_FAULT, refusal)
    side = "Receiver" if status >= 500 else "Sender"
    body = (
        f'<ErrorResponse xmlns="{STS_NAMESPACE}"><Error><Type>{side}</Type><Code>{name}</Code>'
        f"<Message>{xml_text(_message(STS_REFUSALS, refusal))}</Message></Error>"
        f"<RequestId>{xml_text(request_id)}</RequestId></ErrorResponse>"
    )
    return status, body.encode()


def xml_text(text: str) -> str:
    """Text for the content of an XML element; what XML cannot hold is replaced."""
    return html.escape(_NOT_XML.sub("\ufffd", text))


def _row(table: Table, fault: tuple[int, str], refusal: KmsError | None) -> tuple[int, str]:
    return fault if refusal is None else table.get(type(refusal), fault)


def _message(table: Table, refusal: KmsError | None) -> str:
    if refusal is None or isinstance(refusal, errors.ServiceFaultError) or type(refusal) not in table:
        return _FAULT_MESSAGE
    return str(refusal)
