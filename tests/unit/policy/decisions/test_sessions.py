"""Sessions of roles, and what session policies leave of their rights."""

from __future__ import annotations

import pytest

from hsmkms.policy.evaluation import Cause
from tests.unit.policy.cases import DEFAULT, NOTHING, Case, Section, cases_with, check, parameters
from tests.unit.policy.world import APP, KEY, OTHER_KEY, RUN, RUN_2, allow, deny, grant

NO_SESSION, NO_IDENTITY, BY_SESSION = (
    Cause.NO_SESSION_POLICY,
    Cause.NO_IDENTITY_POLICY,
    Cause.DENIED_BY_SESSION_POLICY,
)
ENCRYPT_ONLY = [allow("kms:Encrypt")]
yes, no = cases_with(who="run")

SECTIONS = [
    Section(
        "AWS IAM User Guide, Policies and permissions: Session policies, with identity-based policies",
        "the session has what both the role's and the session's policies allow",
        [
            yes("within it", "and S0 of the session policy", identity=[allow()], session=[allow()]),
            no("beyond it", NO_SESSION, identity=[allow()], session=ENCRYPT_ONLY),
            no("it gives nothing by itself", NO_IDENTITY, session=[allow()]),
            no("it gives nothing that the role lacks", NO_IDENTITY, identity=ENCRYPT_ONLY, session=[allow()]),
            no("it is for another key", NO_SESSION, identity=[allow()], session=[allow(on=OTHER_KEY)]),
            yes("it is for this key", identity=[allow()], session=[allow(on=KEY)]),
            no("it denies", BY_SESSION, identity=[allow()], session=[allow(), deny("kms:Decrypt")]),
            no("its condition fails", NO_SESSION, identity=[allow()],
               session=[allow(StringEquals={"kms:EncryptionContext:app": "x"})],
               context={"kms:EncryptionContext:app": "y"}),
            yes("its condition holds", identity=[allow()],
                session=[allow(StringEquals={"kms:EncryptionContext:app": "x"})],
                context={"kms:EncryptionContext:app": "x"}),
            yes("there is none", "S0 of an identity-based policy allows it", identity=[allow()]),
        ],
    ),
    Section(
        "AWS IAM User Guide, Policies and permissions: Session policies, with a resource-based policy",
        "naming the role is limited by the session policy; naming the session is not",
        [
            no("the role is named", NO_SESSION, key=[allow(to=APP)], session=ENCRYPT_ONLY),
            yes("the role is named, within it", "S0 of the key policy allows it, and S0 of the session",
                key=[allow(to=APP)], session=[allow()]),
            yes("the session is named", "S0 of the key policy allows it", key=[allow(to=RUN)],
                session=ENCRYPT_ONLY),
            no("another session is named", key=[allow(to=RUN_2)], session=[allow()]),
            yes("both are named", "S1 of the key policy", key=[allow(to=APP), allow(to=RUN)],
                session=ENCRYPT_ONLY),
            no("everyone is not this session", NO_SESSION, key=[allow(to="*")], session=ENCRYPT_ONLY),
            no("all but another is not this session", NO_SESSION,
               key=[{"Effect": "Allow", "NotPrincipal": {"AWS": RUN_2}, "Action": "kms:*", "Resource": "*"}],
               session=ENCRYPT_ONLY),
            no("the session is named, but denied", BY_SESSION, key=[allow(to=RUN)], session=[deny()]),
            no("named for another action", NO_SESSION, key=[allow("kms:Sign", to=RUN), allow(to=APP)],
               session=ENCRYPT_ONLY),
        ],
    ),
    Section(
        "AWS KMS Developer Guide, Grants in AWS KMS: session policies",
        "as with resource-based policies: a grant to the session is not limited, one to the role is",
        [
            no("a grant to the role", NO_SESSION, key=NOTHING, session=ENCRYPT_ONLY, grants=[grant(APP)]),
            yes("a grant to the role, within it", "grant g-1 allows it, and S0 of the session policy",
                key=NOTHING,
                session=[allow()], grants=[grant(APP)]),
            yes("a grant to the session", "grant g-1 allows it", key=NOTHING, session=ENCRYPT_ONLY,
                grants=[grant(RUN)]),
            yes("a grant to the role first, one to the session after", "grant g-2 allows it", key=NOTHING,
                session=ENCRYPT_ONLY, grants=[grant(APP), grant(RUN, grant_id="g-2")]),
            yes("a grant to the session, where the policies stop at the session policy",
                "grant g-1 allows it",
                key=DEFAULT, identity=[allow()], session=ENCRYPT_ONLY, grants=[grant(RUN)]),
            yes("a grant to the session, where the role is named", "grant g-1 allows it", key=[allow(to=APP)],
                session=ENCRYPT_ONLY, grants=[grant(RUN)]),
            no("grants to the role alone, however many", NO_SESSION, key=NOTHING, session=ENCRYPT_ONLY,
               grants=[grant(APP), grant(APP, grant_id="g-2")]),
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("section", "case"), parameters(SECTIONS))
def test_decides(section: Section, case: Case) -> None:
    check(section, case)
