"""What names, tags and policies of identities may be: AWS IAM's rules and default quotas.

Source: AWS IAM User Guide, "IAM and AWS STS quotas".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

from hsmkms.errors import LimitExceededError, TagError, ValidationError
from hsmkms.model.identities import IdentityKind
from hsmkms.model.names import ACCOUNT_ID_PATTERN, AccountId
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.parsing import parse_policy
from hsmkms.policy.sizes import counted_characters

TAGS_PER_IDENTITY: Final = 50
ATTACHED_POLICIES: Final = 10
SESSION_SECONDS: Final = (3_600, 43_200)
INLINE_POLICY_CHARACTERS: Final[Mapping[IdentityKind, int]] = {
    IdentityKind.USER: 2_048,
    IdentityKind.ROLE: 10_240,
}
"""Of all inline policies of one user or role together."""

_IDENTITY_NAME: Final = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_POLICY_NAME: Final = re.compile(r"[\w+=,.@-]{1,128}", re.ASCII)
_SERVICE_NAME: Final = re.compile(r"(?=.{1,255}\Z)[a-z0-9-]+(?:\.[a-z0-9-]+)+")
_SERVICE_ALIAS: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_TAG_SIGNS: Final = frozenset("_.:/=+-@")
_RESERVED_PREFIX: Final = "aws:"


def require_account_id(account: AccountId) -> None:
    """Refuse what is no account id.

    Raises:
        ValidationError: it is not twelve digits.
    """
    if ACCOUNT_ID_PATTERN.fullmatch(account) is None:
        raise ValidationError("An account id is twelve digits")


def require_identity_name(name: str) -> None:
    """Refuse what cannot name a user or a role.

    Raises:
        ValidationError: it cannot.
    """
    if _IDENTITY_NAME.fullmatch(name) is None:
        raise ValidationError("A name is 1 to 64 letters, digits and characters of _ + = , . @ -")


def require_policy_name(name: str) -> None:
    """Refuse what cannot name a policy.

    Raises:
        ValidationError: it cannot.
    """
    if _POLICY_NAME.fullmatch(name) is None:
        raise ValidationError("A policy's name is 1 to 128 letters, digits and characters of _ + = , . @ -")


def require_service(name: str, alias: str) -> None:
    """Refuse what cannot name a service, or its keys.

    Raises:
        ValidationError: it cannot.
    """
    if _SERVICE_NAME.fullmatch(name) is None:
        raise ValidationError(
            "A service's name is like storage.internal: two parts or more of small letters, digits and -, "
            "at most 255 characters in all"
        )
    if _SERVICE_ALIAS.fullmatch(alias) is None:
        raise ValidationError("A service's alias is 1 to 64 letters, digits and characters of _ -")


def require_session_seconds(seconds: int) -> None:
    """Refuse what cannot be the longest session of a role.

    Raises:
        ValidationError: less than an hour, or more than twelve.
    """
    shortest, longest = SESSION_SECONDS
    if not shortest <= seconds <= longest:
        raise ValidationError(f"A role's sessions last at most {shortest} to {longest} seconds")


def require_tags(tags: Mapping[str, str]) -> None:
    """Refuse what a user or role cannot have for tags.

    Raises:
        TagError: a key is reserved, or differs from another by case only.
        LimitExceededError: there are too many.
        ValidationError: a key or value is too long, or has characters that none may have.
    """
    if len(tags) > TAGS_PER_IDENTITY:
        raise LimitExceededError(f"A user or role has at most {TAGS_PER_IDENTITY} tags.")
    if len({tag_key.casefold() for tag_key in tags}) != len(tags):
        raise TagError("Tag keys have to differ by more than case")
    for tag_key, tag_value in tags.items():
        if tag_key.casefold().startswith(_RESERVED_PREFIX):
            raise TagError(f"Tags beginning with {_RESERVED_PREFIX} are reserved")
        if not (1 <= len(tag_key) <= 128 and len(tag_value) <= 256):
            raise ValidationError("A tag's key has 1 to 128 characters, and its value 256 at most")
        if not all(map(_may_be_in_tag, tag_key + tag_value)):
            raise ValidationError("A tag has letters, digits, spaces and characters of _ . : / = + - @ only")


def require_identity_policy(text: str) -> None:
    """Refuse what is no identity-based policy.

    Raises:
        MalformedPolicyDocumentError: it is none.
    """
    parse_policy(text, PolicyKind.IDENTITY)


def require_size(text: str, limit_characters: int, what: str) -> None:
    """Refuse a policy that is too long; white space does not count.

    Raises:
        LimitExceededError: it is; ``what`` names it in the message.
    """
    if counted_characters(text) > limit_characters:
        raise LimitExceededError(f"{what} of more than {limit_characters} characters.")


def _may_be_in_tag(character: str) -> bool:
    # IAM: [\p{L}\p{Z}\p{N}_.:/=+\-@]
    return character in _TAG_SIGNS or unicodedata.category(character)[0] in "LZN"
