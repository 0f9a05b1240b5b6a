"""What the key policy gives the key's account to decide."""

from __future__ import annotations

import pytest

from hsmkms.policy.evaluation import Cause
from tests.unit.policy.cases import DEFAULT, NOTHING, Case, Section, check, no, parameters, yes
from tests.unit.policy.world import (
    BOB,
    OTHER_KEY,
    ROOT_A,
    ROOT_B,
    ROOT_C,
    A,
    allow,
    policy,
)

NO_IDENTITY = Cause.NO_IDENTITY_POLICY
ENCRYPT_ONLY = [allow("kms:Encrypt", to=ROOT_A)]

SECTIONS = [
    Section(
        "AWS KMS Developer Guide, Default key policy: Allows access to the AWS account",
        "naming the account lets its identity-based policies allow; by itself it allows root alone",
        [
            yes("root has what its account has", "S0 of the key policy allows it", who="root"),
            no("a user without a policy", NO_IDENTITY, "no identity-based policy"),
            yes("a user with one", "S0 of the key policy, and S0 of an identity", identity=[allow()]),
            no("a user with one for another action", NO_IDENTITY, identity=[allow("kms:Encrypt")]),
            no("a user with one for another key", NO_IDENTITY, identity=[allow(on=OTHER_KEY)]),
            yes("a user with one for keys like this", identity=[allow(on=f"arn:aws:kms:*:{A}:key/1234*")]),
            yes(
                "the second statement of the user's policy", "S1 of an", identity=[allow("kms:Sign"), allow()]
            ),
            no("a session whose role has none", NO_IDENTITY, who="run"),
            yes("the account by its id", key=[allow(to=A)], identity=[allow()]),
            yes("root, by its account's id", who="root", key=[allow(to=A)]),
            yes("the account among others", key=[allow(to=[ROOT_B, ROOT_A])], identity=[allow()]),
            yes(
                "two statements that delegate",
                "S1 of the key policy",
                key=[allow("kms:Encrypt", to=ROOT_A), allow("kms:Decrypt", to=ROOT_A)],
                identity=[allow()],
            ),
        ],
    ),
    Section(
        "AWS KMS Developer Guide, Key policies in AWS KMS: identity-based policies alone are not enough",
        "unless the key policy allows it, identity-based policies have no effect, nor has root",
        [
            no("an identity policy alone", key=NOTHING, identity=[allow()]),
            no("the broadest identity policy alone", key=NOTHING, identity=[allow("*")]),
            no("not even root", who="root", key=NOTHING),
            no("root beside a user who is named", who="root", key=[allow(to=BOB)]),
            no("delegation of another action", key=ENCRYPT_ONLY, identity=[allow()]),
            no("delegation of another action, to root", who="root", key=ENCRYPT_ONLY),
            yes("delegation of this action", key=ENCRYPT_ONLY, action="kms:Encrypt", identity=[allow()]),
            no("delegation to another account", key=[allow(to=ROOT_B)], identity=[allow()]),
            no("delegation to two others", key=[allow(to=[ROOT_B, ROOT_C])], identity=[allow()]),
            no("a session under a key that does not delegate", who="run", key=NOTHING, identity=[allow()]),
            no("delegation of another key", key=[allow(to=ROOT_A, on=OTHER_KEY)], identity=[allow()]),
        ],
    ),
    Section(
        "AWS KMS Developer Guide, Default key policy: delegation under a condition",
        "the statement that delegates counts only where its conditions hold",
        [
            yes(
                "its condition holds",
                key=[allow(to=ROOT_A, StringEquals={"kms:CallerAccount": A})],
                identity=[allow()],
                context={"kms:CallerAccount": A},
            ),
            no(
                "its condition fails",
                key=[allow(to=ROOT_A, StringEquals={"kms:CallerAccount": "222222222222"})],
                identity=[allow()],
                context={"kms:CallerAccount": A},
            ),
            no(
                "root, where the condition fails",
                who="root",
                key=[allow(to=ROOT_A, Bool={"aws:SecureTransport": "true"})],
                context={"aws:SecureTransport": "false"},
            ),
            no(
                "the identity policy's own condition fails",
                NO_IDENTITY,
                identity=[allow(IpAddress={"aws:SourceIp": "10.0.0.0/8"})],
                context={"aws:SourceIp": "192.0.2.1"},
            ),
            yes(
                "both conditions hold",
                key=[allow(to=ROOT_A, Bool={"aws:SecureTransport": "true"})],
                identity=[allow(IpAddress={"aws:SourceIp": "10.0.0.0/8"})],
                context={"aws:SourceIp": "10.1.2.3", "aws:SecureTransport": "true"},
            ),
        ],
    ),
]


@pytest.mark.parametrize(("section", "case"), parameters(SECTIONS))
def test_decides(section: Section, case: Case) -> None:
    check(section, case)


def test_every_identity_policy_is_asked() -> None:
    """A user has several: AWS IAM User Guide, "Policy evaluation logic": the union of what they allow."""
    from hsmkms.policy.document import PolicyKind
    from hsmkms.policy.evaluation import CallerPolicies, decide_on_key

    one, other = (policy(PolicyKind.IDENTITY, [allow(action)]) for action in ("kms:Sign", "kms:Decrypt"))
    request = yes("").request
    key_policy = policy(PolicyKind.KEY, DEFAULT)
    assert not decide_on_key(request, key_policy, CallerPolicies((one,)), ()).allowed
    assert decide_on_key(request, key_policy, CallerPolicies((one, other)), ()).allowed
