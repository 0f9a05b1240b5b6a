"""Values of policies: ``*`` and ``?`` where a pattern may stand, and variables such as ``${aws:username}``.

Spec: AWS IAM User Guide, "IAM JSON policy elements: Variables and tags" and "Condition operators".
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from hsmkms.policy.context import Context, RequestContext

_TOKEN: Final = re.compile(
    r"\$\{(?P<meant>[*?$])\}"  # one of the three characters, meant literally
    r"|\$\{(?P<key>[A-Za-z0-9:/_.@+=-]+)(?:\s*,\s*'(?P<default>[^']*)')?\}"
    r"|(?P<malformed>\$\{)"
    r"|(?P<many>\*)"
    r"|(?P<one>\?)"
    r"|(?P<text>[^*?$]+|\$)"
)


# A policy of variables alone could stand for a hundred megabytes.
_LONGEST_RESOLVED_CHARACTERS: Final = 8_192
# Length of a pattern times that of a text; so many take some 10 ms, in which nobody else is answered.
_MOST_STEPS: Final = 8_000_000


class PatternError(ValueError):
    """The text is no such value; the message says why."""


class UnresolvedError(Exception):
    """What a value means in this request is open: a variable has no value, or it is too long to compare."""


class _Wild(enum.Enum):
    ONE = "?"
    MANY = "*"


@dataclass(frozen=True, slots=True)
class _Variable:
    key: str
    default: str | None

    def value_in(self, context: Context) -> str:
        values = context.get(self.key)
        # A key of several values has no one value that could stand in its place.
        if values is not None and len(values) == 1:
            return values[0]
        if self.default is not None:
            return self.default
        raise UnresolvedError(self.key)


_Atom = str | _Wild | _Variable


def _atoms(source: str, *, knows_variables: bool) -> Iterator[_Atom]:
    for match in _TOKEN.finditer(source):
        kind = match.lastgroup
        if kind == "many":
            yield _Wild.MANY
        elif kind == "one":
            yield _Wild.ONE
        elif kind == "text" or not knows_variables:
            yield match[0]
        elif kind == "meant":
            yield match["meant"]
        elif kind == "malformed":
            raise PatternError(f"{source!r} has a malformed variable")
        else:
            yield _Variable(match["key"].lower(), match["default"])


class Template:
    """A text with variables; ``*`` and ``?`` stand for themselves."""

    def __init__(self, source: str, *, knows_variables: bool) -> None:
        """Parse.

        Args:
            knows_variables: False for policies of version 2008-10-17, in which ``${`` is two characters.

        Raises:
            PatternError: a variable is malformed.
        """
        atoms = _atoms(source, knows_variables=knows_variables)
        self._parts = [atom.value if isinstance(atom, _Wild) else atom for atom in atoms]

    def value(self, context: Context) -> str:
        """The text with its variables replaced.

        Raises:
            UnresolvedError: a variable has no value.
        """
        return _joined([part if isinstance(part, str) else part.value_in(context) for part in self._parts])


@dataclass(frozen=True, slots=True)
class _Piece:
    """What stands between two stars: always of one length."""

    expression: re.Pattern[str]
    length: int


class Pattern:
    """A text with wildcards and variables. What a variable stands for is never a wildcard.

    Matched piece by piece between the stars, each at its first place: of a fixed length, a piece that fits
    early never fits worse than later. So no pattern takes more than the product of both lengths, as regular
    expressions with several ``.*`` would.
    """

    def __init__(self, source: str, *, knows_variables: bool = False, ignore_case: bool = False) -> None:
        """Parse; as ``Template``."""
        self._flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
        self._pieces: list[list[_Atom]] = [[]]
        for atom in _atoms(source, knows_variables=knows_variables):
            if atom is _Wild.MANY:
                self._pieces.append([])
            else:
                self._pieces[-1].append(atom)
        self._compiled: Sequence[_Piece] | None = None
        if not any(isinstance(atom, _Variable) for piece in self._pieces for atom in piece):
            self._compiled = self._compile(RequestContext())

    def matches(self, text: str, context: Context) -> bool:
        """Whether ``text`` fits as a whole.

        Raises:
            UnresolvedError: a variable has no value.
        """
        pieces = self._compiled or self._compile(context)
        if len(text) * sum([piece.length for piece in pieces]) > _MOST_STEPS:
            raise UnresolvedError("too long to be compared")
        first, *others = pieces
        if not others:
            return first.expression.fullmatch(text) is not None
        found = first.expression.match(text)
        *middle, last = others
        for piece in middle:
            if found is None:
                return False
            found = piece.expression.search(text, found.end())
        start = len(text) - last.length
        return found is not None and start >= found.end() and last.expression.match(text, start) is not None

    def _compile(self, context: Context) -> list[_Piece]:
        # Only to refuse what would be too long to compile.
        _joined(
            [
                atom.value_in(context)
                for atoms in self._pieces
                for atom in atoms
                if isinstance(atom, _Variable)
            ]
        )
        return [self._piece(atoms, context) for atoms in self._pieces]

    def _piece(self, atoms: Sequence[_Atom], context: Context) -> _Piece:
        texts = [atom.value_in(context) if isinstance(atom, _Variable) else atom for atom in atoms]
        expression = "".join("." if text is _Wild.ONE else re.escape(str(text)) for text in texts)
        length = sum(1 if text is _Wild.ONE else len(str(text)) for text in texts)
        return _Piece(re.compile(expression, self._flags), length)


def _joined(parts: Sequence[str]) -> str:
    if len(parts) > 1 and sum([len(part) for part in parts]) > _LONGEST_RESOLVED_CHARACTERS:
        raise UnresolvedError("too long to be compared")
    return "".join(parts)
