"""The refusals a caller may see: one closed tree, free of HTTP, gRPC and ``CKR_`` codes.

A message of these classes is safe to show to the caller who is refused. Whatever else is raised is a fault
of ours: the caller sees "internal error" and a request id, the log sees the traceback. Each front-end owns
one table from these classes to its own words, and a test proves that the table has a row for every class.
"""

from __future__ import annotations


class KmsError(Exception):
    """The root of the tree; never raised itself. Goes from process to process whole, whatever made it."""

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(kind: type[KmsError], args: tuple[object, ...], attributes: dict[str, object]) -> KmsError:
    refusal = kind.__new__(kind)
    refusal.args = args
    refusal.__dict__.update(attributes)
    return refusal


# --- Who is asking? ------------------------------------------------------------------------------------


class AuthenticationError(KmsError):
    """The caller could not be told; never raised itself."""


class MissingCredentialsError(AuthenticationError):
    """The request carries no signature at all."""

    def __init__(self) -> None:
        super().__init__("Missing Authentication Token")


class IncompleteSignatureError(AuthenticationError):
    """The signature's own form is broken: a part is missing, repeated or malformed."""


class SignatureError(AuthenticationError):
    """The signature is well formed and does not fit the request, the clock, the region or the service."""


class UnrecognizedCredentialsError(AuthenticationError):
    """The access key is unknown or disabled, or its session token is missing, not its own or none of ours.

    They look alike, so that nobody learns which key ids exist.
    """

    def __init__(self) -> None:
        super().__init__("The security token included in the request is invalid.")


class ExpiredCredentialsError(AuthenticationError):
    """The session token is one of ours, and its time is over."""

    def __init__(self) -> None:
        super().__init__("The security token included in the request is expired")


class AccessDeniedError(KmsError):
    """The caller is known and may not do this (or may not know whether the thing exists)."""


# --- What is asked? ------------------------------------------------------------------------------------


class MalformedRequestError(KmsError):
    """The body is not the JSON object that the operation takes."""


class RequestTooLargeError(KmsError):
    """The request is longer than any valid request can be."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"Request exceeds the maximum of {limit_bytes} bytes.")
        self.limit_bytes = limit_bytes


class UnknownOperationError(KmsError):
    """The operation is no AWS operation of this service."""


class ValidationError(KmsError):
    """A member has a wrong type, length, pattern or value, or members exclude each other."""


class UnsupportedOperationError(KmsError):
    """AWS knows the operation or the option; this service does not do it (yet), or not for this key."""


class InvalidArnError(KmsError):
    """The ARN is malformed, names another service or region, or stands where no ARN may stand."""


class InvalidAliasNameError(KmsError):
    """The alias name is not one that may be created."""


class InvalidMarkerError(KmsError):
    """The pagination marker was not issued for this list."""

    def __init__(self) -> None:
        super().__init__("Could not deserialize marker")


class InvalidGrantTokenError(KmsError):
    """A grant token that this service did not issue."""

    def __init__(self) -> None:
        super().__init__("Invalid grant token.")


class MalformedPolicyDocumentError(KmsError):
    """The text is no policy of the kind that it should be."""

    def __init__(self, place: str, why: str) -> None:
        super().__init__(f"The policy is malformed at {place}: {why}.")
        self.place = place


class LockoutError(KmsError):
    """The caller could not change the key policy any more once it is put."""

    def __init__(self) -> None:
        super().__init__("The new key policy will not allow you to update the key policy in the future.")


class InvalidGrantIdError(KmsError):
    """No grant of this key has that id."""


class TagError(KmsError):
    """A tag is repeated, reserved or not allowed."""


class DryRunError(KmsError):
    """Everything would have been done, but the caller asked for a rehearsal."""

    def __init__(self) -> None:
        super().__init__("The request would have succeeded, but the DryRun option is set.")


# --- What is it asked of? ------------------------------------------------------------------------------


class NotFoundError(KmsError):
    """The key or alias does not exist, as far as this caller may know."""


class AlreadyExistsError(KmsError):
    """The name is taken."""


class LimitExceededError(KmsError):
    """A quota of the service or the room of the token is used up."""


class EncryptionLimitError(LimitExceededError):
    """This version has encrypted as often as it safely may; what it sealed can still be opened."""

    def __init__(self, key_arn: str = "This key version") -> None:
        super().__init__(
            f"{key_arn} has encrypted as often as is safe with AES-GCM. It still decrypts; rotate the key to "
            "encrypt again."
        )


class ConflictError(KmsError):
    """Something else is being done with the key that this would get in the way of."""


class InvalidImportTokenError(KmsError):
    """The import token is not one of ours, or was given out for another key."""

    def __init__(self) -> None:
        super().__init__("The import token is invalid, or belongs to another key.")


class ExpiredImportTokenError(KmsError):
    """The import token is one of ours, and its time is over."""

    def __init__(self) -> None:
        super().__init__("The import token has expired. Get a new one with GetParametersForImport.")


class IncorrectKeyMaterialError(KmsError):
    """The key material is not the one that it has to be, or one that it must not be."""


class KeyDisabledError(KmsError):
    """The key exists and is disabled."""

    def __init__(self, key_arn: str) -> None:
        super().__init__(f"{key_arn} is disabled.")
        self.key_arn = key_arn


class KeyStateError(KmsError):
    """The key exists, but its state forbids the operation."""

    def __init__(self, key_arn: str, state_phrase: str) -> None:
        super().__init__(f"{key_arn} {state_phrase}")
        self.key_arn = key_arn


class InvalidKeyUsageError(KmsError):
    """The key is not of the kind that the operation or the algorithm takes."""


class CiphertextError(KmsError):
    """The ciphertext is not what this key and encryption context sealed.

    It has no message on purpose: every way a ciphertext can be wrong looks the same, for a reason would be an
    oracle.
    """


class IncorrectKeyError(KmsError):
    """The ciphertext was sealed under another key than the one the caller named."""

    def __init__(self) -> None:
        super().__init__("The key ID in the request does not identify a CMK that can perform this operation.")


# --- Can it be done now? -------------------------------------------------------------------------------


class KeyUnavailableError(KmsError):
    """The token that holds the key is away, or holds something else in its place."""


class DependencyTimeoutError(KmsError):
    """The token, or the store, did not answer before the deadline. The operation may or may not happen."""

    def __init__(self) -> None:
        super().__init__(
            "The system timed out while trying to fulfill the request. You can retry the request."
        )


class ThrottlingError(KmsError):
    """More work than this region takes at once; nothing was begun."""

    def __init__(self) -> None:
        super().__init__(
            "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."
        )


class ServiceFaultError(KmsError):
    """The service cannot do its work although the caller did nothing wrong (a full disk, a dead trail)."""


# --- Did the request arrive? ---------------------------------------------------------------------------


class RequestTimeoutError(KmsError):
    """The request's body did not arrive in time."""

    def __init__(self) -> None:
        super().__init__("The request body did not arrive within the timeout period.")


class MalformedHttpError(KmsError):
    """A method, header or path that no client of this service sends."""
