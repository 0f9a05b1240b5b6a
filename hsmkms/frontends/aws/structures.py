"""Shapes made of shapes: lists, maps, and objects with members; and AWS's sentence around what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from types import UnionType
from typing import Annotated, Final, Union, get_args, get_origin

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema
from typing_extensions import override

from hsmkms.errors import MalformedRequestError, ValidationError
from hsmkms.frontends.aws.shapes import (
    START_OF_LIST,
    START_OF_MAP,
    Shape,
    Text,
    broken_lengths,
    wrong_type,
)

# AWS's own answers stop there too, and so a hostile list cannot make a long one.
_MOST_REPORTED_VIOLATIONS: Final = 10
# Words for a refusal are looked for on the event loop, among this many elements of a list that has no maximum
# of its own. No list that an operation takes in the end is as long.
MOST_EXPLAINED_ELEMENTS: Final = 1_000


class ComposedShape(Shape):
    """A shape whose value is not echoed: parts of it may be long, or secret."""

    @override
    def echo(self, value: object) -> str:
        return "Value"


@dataclass(frozen=True, slots=True)
class ListOf(ComposedShape):
    """A list of one shape."""

    element: Shape
    min_length: int = 0
    max_length: int | None = None

    @override
    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.tuple_schema(
            [self.element.__get_pydantic_core_schema__(source, handler)],
            variadic_item_index=0,
            min_length=self.min_length or None,
            max_length=self.max_length,
            # One error refuses the request; one an element would hold up everybody else's.
            fail_fast=True,
        )

    @override
    def require_type(self, value: object) -> None:
        if isinstance(value, Mapping):
            raise MalformedRequestError(START_OF_MAP)
        if not isinstance(value, list):
            raise MalformedRequestError("Expected list or null")
        for element in self._explained(value):
            if element is not None:
                self.element.require_type(element)

    @override
    def broken_limits(self, value: object) -> Iterator[str]:
        yield from broken_lengths(len(_elements(value)), self.min_length, self.max_length)

    @override
    def violations(self, value: object, path: str) -> Iterator[str]:
        yield from Shape.violations(self, value, path)
        for position, element in enumerate(self._explained(_elements(value)), start=1):
            element_path = f"{path}.{position}.member"
            if element is None:
                yield self.element.missing(element_path)
            else:
                yield from self.element.violations(element, element_path)

    def _explained(self, elements: list[object]) -> Iterator[object]:
        """The elements that are looked at: none of a list that is refused for its length anyhow."""
        too_long = self.max_length is not None and len(elements) > self.max_length
        return islice(elements, 0 if too_long else MOST_EXPLAINED_ELEMENTS)


@dataclass(frozen=True, slots=True)
class TextMap(ComposedShape):
    """A map from string to string, as the encryption context is one.

    AWS's service model gives it no limits. All of it is compared with the patterns of policies, though, on
    the event loop, so there is one.
    """

    max_characters: int = 32_768
    max_pairs: int | None = None
    max_value_characters: int | None = None

    @override
    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.str_schema(strict=True)
        value = core_schema.str_schema(strict=True, max_length=self.max_value_characters)
        pairs = core_schema.dict_schema(text, value, strict=True, max_length=self.max_pairs, fail_fast=True)
        return core_schema.no_info_after_validator_function(self._bounded, pairs)

    def _bounded(self, pairs: dict[str, str]) -> dict[str, str]:
        if _characters(pairs) > self.max_characters:
            raise ValueError
        return pairs

    @override
    def require_type(self, value: object) -> None:
        if isinstance(value, list):
            raise MalformedRequestError(START_OF_LIST)
        if not isinstance(value, Mapping):
            raise MalformedRequestError("Expected map or null")
        for element in value.values():
            if element is not None and not isinstance(element, str):
                raise wrong_type(element, "a String")

    @override
    def broken_limits(self, value: object) -> Iterator[str]:
        if None in _values(value):
            yield "Map value must satisfy constraint: [Member must not be null]"
            return
        pairs = dict(value) if isinstance(value, Mapping) else {}
        yield from broken_lengths(len(pairs), 0, self.max_pairs)
        for text in islice(pairs.values(), MOST_EXPLAINED_ELEMENTS):
            if broken := list(broken_lengths(len(text), 0, self.max_value_characters)):
                yield f"Map value must satisfy constraint: [{broken[0]}]"
                break
        if _characters(pairs) > self.max_characters:
            yield f"Member must have at most {self.max_characters} characters in all its names and values"


def _characters(pairs: Mapping[str, str]) -> int:
    return sum([len(name) + len(text) for name, text in pairs.items()])


@dataclass(frozen=True, slots=True)
class Structure(ComposedShape):
    """An object with members of its own; those that the model does not know are ignored, as AWS does."""

    model: type[BaseModel]

    @override
    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(self.model)

    @override
    def require_type(self, value: object) -> None:
        if isinstance(value, list):
            raise MalformedRequestError(START_OF_LIST)
        if not isinstance(value, Mapping):
            raise MalformedRequestError("Expected null")
        for member in members_of(self.model):
            given = value.get(member.wire_name)
            if given is not None:
                member.shape.require_type(given)

    @override
    def violations(self, value: object, path: str) -> Iterator[str]:
        if not isinstance(value, Mapping):
            return
        for member in members_of(self.model):
            member_path = f"{path}.{member.path_name}" if path else member.path_name
            given = value.get(member.wire_name)
            if given is not None:
                yield from member.shape.violations(given, member_path)
            elif member.required:
                yield member.shape.missing(member_path)


@dataclass(frozen=True, slots=True)
class Member:
    """A member in its three spellings: ``key_id`` here, ``KeyId`` on the wire, ``keyId`` in AWS's prose.

    Attributes:
        path_name: what messages call it, and CloudTrail's records too.
    """

    name: str
    wire_name: str
    path_name: str
    required: bool
    shape: Shape


@cache
def members_of(model: type[BaseModel]) -> tuple[Member, ...]:
    """The members of a request model, in its order."""
    members = []
    for name, field in model.model_fields.items():
        wire_name = field.alias or name
        path_name = wire_name[0].lower() + wire_name[1:]
        shape = _find_shape([*field.metadata, field.annotation])
        members.append(Member(name, wire_name, path_name, field.is_required(), shape))
    return tuple(members)


def refused(violations: Iterator[str]) -> ValidationError:
    """AWS's refusal of a request for everything that is wrong with it."""
    reported = list(islice(violations, _MOST_REPORTED_VIOLATIONS))
    if not reported:
        # What is wrong stands beyond the elements that are looked at; or the compiled check and the shapes
        # disagree, which a test looks for. The refusal stands.
        return ValidationError("The request does not satisfy the constraints of the operation.")
    noun = "error" if len(reported) == 1 else "errors"
    return ValidationError(f"{len(reported)} validation {noun} detected: {'; '.join(reported)}")


def refused_without(path_name: str) -> ValidationError:
    """AWS's refusal of a request that lacks a member which the service model calls optional."""
    return refused(iter([Text().missing(path_name)]))


def _find_shape(parts: Sequence[object]) -> Shape:
    for part in parts:
        if isinstance(part, Shape):
            return part
        if get_origin(part) in (Annotated, Union, UnionType):
            return _find_shape(get_args(part))
    raise TypeError("a member of a wire model has no shape")


def _elements(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _values(value: object) -> list[object]:
    return list(value.values()) if isinstance(value, Mapping) else []
