"""Shapes of single values: each has the check that pydantic compiles, and AWS's words for one that fails it.

A request that is right costs only the compiled check. The words are computed afterwards, from the same shape,
for a request that was refused. The sentences are AWS's own, less what must not be echoed.
"""

from __future__ import annotations

import binascii
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema
from typing_extensions import override

from hsmkms.errors import MalformedRequestError

ECHO_LIMIT_CHARACTERS: Final = 256
"""A refused value is repeated in the message up to this length."""

START_OF_LIST: Final = "Start of list found where not expected"
START_OF_MAP: Final = "Start of structure or map found where not expected."

_LARGEST_INTEGER_BITS: Final = 63


class Shape(ABC):
    """What one value may look like."""

    @abstractmethod
    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The check that pydantic compiles; it says yes or no."""

    @abstractmethod
    def require_type(self, value: object) -> None:
        """Let a value of the right JSON type pass, whatever its length or content.

        Raises:
            MalformedRequestError: another JSON type; AWS finds that before it looks at any limit.
        """

    def broken_limits(self, value: object) -> Iterator[str]:  # noqa: ARG002 - a shape without limits
        """AWS's sentence for each limit that a value of the right type breaks."""
        return iter(())

    def violations(self, value: object, path: str) -> Iterator[str]:
        """AWS's words, with value and path, for everything that is wrong with a value of the right type."""
        for limit in self.broken_limits(value):
            yield violation(self.echo(value), path, limit)

    def missing(self, path: str) -> str:
        """AWS's words for a value that has to be there."""
        return violation("Value null", path, "Member must not be null")

    def echo(self, value: object) -> str:
        """The value as it may stand in a message; a secret or composed one is not shown at all."""
        text = str(value)
        if len(text) > ECHO_LIMIT_CHARACTERS:
            text = text[:ECHO_LIMIT_CHARACTERS] + "..."
        return f"Value '{text}'"


@dataclass(frozen=True, slots=True)
class Spelling:
    """A pattern over a whole text: as AWS prints it, and as Python and Rust both understand it."""

    printed: str
    expression: str


@dataclass(frozen=True, slots=True)
class Text(Shape):
    """A string; its length counts Unicode code points (Smithy 2.0, the length trait)."""

    min_length: int = 0
    max_length: int | None = None
    spelling: Spelling | None = None
    secret: bool = False

    @override
    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        pattern = None if self.spelling is None else f"^(?:{self.spelling.expression})$"
        return core_schema.str_schema(
            strict=True, min_length=self.min_length or None, max_length=self.max_length, pattern=pattern
        )

    @override
    def require_type(self, value: object) -> None:
        if not isinstance(value, str):
            raise wrong_type(value, "a String")

    @override
    def broken_limits(self, value: object) -> Iterator[str]:
        text = str(value)
        yield from broken_lengths(len(text), self.min_length, self.max_length)
        if self.spelling is not None and re.fullmatch(self.spelling.expression, text) is None:
            yield f"Member must satisfy regular expression pattern: {self.spelling.printed}"

    @override
    def echo(self, value: object) -> str:
        return "Value" if self.secret else Shape.echo(self, value)


@dataclass(frozen=True, slots=True)
class Choice(Shape):
    """A string out of a closed set, in the order in which AWS lists it."""

    values: tuple[str, ...]

    @override
    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.literal_schema(list(self.values))

    @override
    def require_type(self, value: object) -> None:
        if not isinstance(value, str):
            raise wrong_type(value, "a String")

    @override
    def broken_limits(self, value: object) -> Iterator[str]:
        if value not in self.values:
            yield f"Member must satisfy enum value set: [{', '.join(self.values)}]"


@dataclass(frozen=True, slots=True)
class Number(Shape):
    """An integer within bounds; true, 5.0 and "5" are none."""

    minimum: int
    maximum: int

    @override
    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.int_schema(strict=True, ge=self.minimum, le=self.maximum)

    @override
    def require_type(self, value: object) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise wrong_type(value, "an Integer")
        if value.bit_length() > _LARGEST_INTEGER_BITS:
            raise wrong_type(value, "an Integer")

    @override
    def broken_limits(self, value: object) -> Iterator[str]:
        if isinstance(value, int) and value < self.minimum:
            yield f"Member must have value greater than or equal to {self.minimum}"
        if isinstance(value, int) and value > self.maximum:
            yield f"Member must have value less than or equal to {self.maximum}"


@dataclass(frozen=True, slots=True)
class Flag(Shape):
    """True or false; AWS's leniency for "yes" and "1" is not copied."""

    @override
    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.bool_schema(strict=True)

    @override
    def require_type(self, value: object) -> None:
        if not isinstance(value, bool):
            # The article is AWS's: "an" for a string, "a" for a number.
            raise wrong_type(value, "an Boolean" if isinstance(value, str) else "a Boolean")


@dataclass(frozen=True, slots=True)
class Timestamp(Shape):
    """A moment: seconds since 1970 as a number, with or without a fraction. Years 1 to 9999."""

    @override
    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(read_timestamp)

    @override
    def require_type(self, value: object) -> None:
        try:
            read_timestamp(value)
        except ValueError:
            raise wrong_type(value, "milliseconds since epoch") from None


@dataclass(frozen=True, slots=True)
class Blob(Shape):
    """Bytes in base64; its limits count decoded bytes. Never echoed.

    ``sensitive`` is AWS's trait of that name, which takes even the word "null" out of the message.
    """

    min_length: int
    max_length: int
    sensitive: bool = False

    @override
    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._decode_within_limits)

    def _decode_within_limits(self, value: object) -> bytes:
        if not isinstance(value, str):
            raise ValueError("type")  # noqa: TRY004 - pydantic takes a ValueError for a refusal
        content = decode_blob(value)
        if not self.min_length <= len(content) <= self.max_length:
            raise ValueError("length")
        return content

    @override
    def require_type(self, value: object) -> None:
        if not isinstance(value, str):
            raise wrong_type(value, "a Blob")
        try:
            decode_blob(value)
        except ValueError:
            raise MalformedRequestError(
                "STRING_VALUE can not be converted to a Blob: Invalid Base64"
            ) from None

    @override
    def broken_limits(self, value: object) -> Iterator[str]:
        yield from broken_lengths(len(decode_blob(str(value))), self.min_length, self.max_length)

    @override
    def missing(self, path: str) -> str:
        return violation("Value" if self.sensitive else "Value null", path, "Member must not be null")

    @override
    def echo(self, value: object) -> str:
        return "Value"


def read_timestamp(value: object) -> datetime:
    """The moment that a number of seconds since 1970 stands for, in UTC.

    Raises:
        ValueError: no number, as true and NaN are none, or a moment before year 1 or after 9999.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("type")  # noqa: TRY004 - pydantic takes a ValueError for a refusal
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, OSError) as error:
        raise ValueError("range") from error


def decode_blob(text: str) -> bytes:
    """The bytes of a base64 text: standard alphabet, padded, no white space, no bits left over.

    Raises:
        ValueError: any other spelling (RFC 4648, sections 3.2 to 3.5).
    """
    content = binascii.a2b_base64(text)
    # Python's own strict mode lets surplus padding and left-over bits pass.
    if binascii.b2a_base64(content, newline=False) != text.encode():
        raise ValueError("not the one spelling")
    return content


def violation(value_words: str, path: str, limit: str) -> str:
    """AWS's sentence about one value."""
    return f"{value_words} at '{path}' failed to satisfy constraint: {limit}"


def broken_lengths(length: int, minimum: int, maximum: int | None) -> Iterator[str]:
    """AWS's sentence for a length out of bounds."""
    if length < minimum:
        yield f"Member must have length greater than or equal to {minimum}"
    if maximum is not None and length > maximum:
        yield f"Member must have length less than or equal to {maximum}"


def wrong_type(value: object, wanted: str) -> MalformedRequestError:
    """AWS's refusal of a value of another JSON type than ``wanted``."""
    if isinstance(value, list):
        return MalformedRequestError(START_OF_LIST)
    if isinstance(value, Mapping):
        return MalformedRequestError(START_OF_MAP)
    if isinstance(value, bool):
        found = "TRUE_VALUE" if value else "FALSE_VALUE"
    else:
        found = "STRING_VALUE" if isinstance(value, str) else "NUMBER_VALUE"
    return MalformedRequestError(f"{found} can not be converted to {wanted}")
