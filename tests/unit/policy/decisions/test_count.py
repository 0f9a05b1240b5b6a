"""The tables of decisions as a whole."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from hsmkms.policy.document import PolicyKind
from tests.unit.policy.cases import Case, Section

MODULES = sorted(path.stem for path in Path(__file__).parent.glob("test_*.py") if path.stem != "test_count")
SECTIONS: list[Section] = [
    section
    for module in MODULES
    for section in import_module(f"tests.unit.policy.decisions.{module}").SECTIONS
]
CASES: list[Case] = [case for section in SECTIONS for case in section.cases]


def asked(case: Case) -> str:
    """What is asked, without the case's name and what is expected of it."""
    members = {
        name: value
        for name, value in asdict(case).items()
        if name not in ("name", "allowed", "reason", "cause")
    }
    return json.dumps(members, default=str, sort_keys=True)


def test_there_are_many_decisions_and_no_two_are_the_same() -> None:
    told: dict[str, list[str]] = {}
    for case in CASES:
        told.setdefault(asked(case), []).append(case.name)
    assert [names for names in told.values() if len(names) > 1] == []
    assert len(told) >= 400


def test_both_answers_are_common() -> None:
    allowed = sum(case.allowed for case in CASES)
    assert min(allowed, len(CASES) - allowed) > len(CASES) / 3


def test_every_refusal_names_its_cause_and_every_section_its_source() -> None:
    assert all((case.cause is None) is case.allowed for case in CASES)
    assert all(section.source.startswith("AWS ") and section.rule for section in SECTIONS)


def test_every_cause_is_met() -> None:
    from hsmkms.policy.evaluation import Cause

    assert {case.cause for case in CASES} >= set(Cause)


def test_every_kind_of_decision_is_met() -> None:
    assert {case.kind for case in CASES} == {PolicyKind.KEY, PolicyKind.TRUST}
    assert any(case.key is None for case in CASES)
