"""Policies as they are kept: compiled when first asked, compared by what they say."""

from __future__ import annotations

import pytest

from hsmkms.errors import ServiceFaultError
from hsmkms.policy.document import Effect, PolicyKind
from hsmkms.policy.stored import StoredPolicy
from tests.unit.policy.world import ALICE, ALICE_ID, GONE_ID, allow, document

TEXT = document([allow(to=ALICE)])
IDS = {ALICE: ALICE_ID}
STORED = StoredPolicy(PolicyKind.KEY, TEXT, IDS)


def test_is_compiled_once() -> None:
    stored = StoredPolicy(PolicyKind.KEY, TEXT, IDS)
    assert stored.indexed is stored.indexed
    assert stored.indexed.policy.text == TEXT


@pytest.mark.parametrize("kind", list(PolicyKind))
def test_a_damaged_policy_is_a_fault_of_ours(kind: PolicyKind) -> None:
    damaged = StoredPolicy(kind, "{")
    for _ in range(2):
        with pytest.raises(ServiceFaultError) as fault:
            _ = damaged.indexed
        assert str(fault.value) == f"a stored {kind.value} is damaged"


@pytest.mark.parametrize(
    ("other", "is_equal"),
    [
        pytest.param(StoredPolicy(PolicyKind.KEY, TEXT, dict(IDS)), True, id="the same"),
        pytest.param(StoredPolicy(PolicyKind.TRUST, TEXT, IDS), False, id="another kind"),
        pytest.param(StoredPolicy(PolicyKind.KEY, TEXT + " ", IDS), False, id="another text"),
        pytest.param(
            StoredPolicy(PolicyKind.KEY, TEXT, {ALICE: GONE_ID}), False, id="somebody else is meant"
        ),
        pytest.param(StoredPolicy(PolicyKind.KEY, TEXT), False, id="nobody is meant"),
        pytest.param(TEXT, False, id="the text alone"),
    ],
)
def test_equality(other: object, is_equal: bool) -> None:
    assert (other == STORED) is is_equal
    if is_equal:
        assert hash(other) == hash(STORED)


def test_whom_it_names_matters_to_who_is_allowed() -> None:
    from tests.unit.policy.world import PRINCIPALS

    renewed = StoredPolicy(PolicyKind.KEY, TEXT, {ALICE: PRINCIPALS["the new alice"].unique_id})
    for stored, who in ((STORED, "alice"), (renewed, "the new alice")):
        named = [
            name
            for name, principal in PRINCIPALS.items()
            if stored.indexed.statements_about(principal, "kms:Sign", Effect.ALLOW)
        ]
        assert named == [who]
