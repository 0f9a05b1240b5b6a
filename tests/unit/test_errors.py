"""Refusals as values."""

from __future__ import annotations

import inspect
import pickle

import pytest

from hsmkms import errors

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.KmsError) and kind.__module__ == errors.__name__
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_goes_from_process_to_process_whole(kind: type[errors.KmsError]) -> None:
    """Commands make their token calls in a process of their own, whose refusals have to come back."""
    takes = len(inspect.signature(kind.__init__).parameters) - 1 if "__init__" in vars(kind) else 1
    refusal = kind(*(f"value {number}" for number in range(takes)))
    again = pickle.loads(pickle.dumps(refusal))
    assert type(again) is kind
    assert (again.args, vars(again), str(again)) == (refusal.args, vars(refusal), str(refusal))
