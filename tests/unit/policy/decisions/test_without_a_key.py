"""What concerns no key, or a key only later: identity-based policies alone decide."""

from __future__ import annotations

import pytest

from hsmkms.policy.evaluation import Cause
from tests.unit.policy.cases import Case, Section, cases_with, check, parameters
from tests.unit.policy.world import ALIAS, KEY, OTHER_KEY, A, allow, deny

NO_IDENTITY, BY_IDENTITY = Cause.NO_IDENTITY_POLICY, Cause.DENIED_BY_IDENTITY_POLICY
yes, no = cases_with(key=None, action="kms:ListKeys", resource="*")
yes_alias, no_alias = cases_with(key=None, action="kms:CreateAlias", resource=ALIAS)

SECTIONS = [
    Section(
        "AWS KMS Developer Guide, AWS KMS permissions: operations without a key",
        "CreateKey, ListKeys, ListAliases and GenerateRandom look at identity-based policies alone",
        [
            yes("root", "root principal", who="root"),
            no("no policy", NO_IDENTITY),
            yes("a policy", identity=[allow("kms:ListKeys")]),
            yes("a policy for all lists", identity=[allow("kms:List*")]),
            no("another action", NO_IDENTITY, identity=[allow("kms:CreateKey")]),
            yes("CreateKey", action="kms:CreateKey", identity=[allow("kms:CreateKey")]),
            yes("GenerateRandom", action="kms:GenerateRandom", identity=[allow("kms:Generate*")]),
            no("for one key", NO_IDENTITY, identity=[allow("kms:ListKeys", on=KEY)]),
            yes("for all but one key", identity=[{"Effect": "Allow", "Action": "kms:*", "NotResource": KEY}]),
            no("a deny", BY_IDENTITY, identity=[allow(), deny("kms:ListKeys")]),
            no("a deny of another action is no allow", NO_IDENTITY, identity=[deny("kms:CreateKey")]),
            yes("within the session policy", "and S0 of the session policy", who="run", identity=[allow()],
                session=[allow("kms:ListKeys")]),
            no("beyond it", Cause.NO_SESSION_POLICY, who="run", identity=[allow()],
               session=[allow("kms:Encrypt")]),
            no("a session policy alone", NO_IDENTITY, who="run", session=[allow()]),
            no("a session policy's deny", Cause.DENIED_BY_SESSION_POLICY, who="run", identity=[allow()],
               session=[allow(), deny("kms:ListKeys")]),
            no("another account", who="carol of B", identity=[allow()], reason="another account"),
            no("another account's root", who="root of B"),
            yes("a condition that holds", identity=[allow(IpAddress={"aws:SourceIp": "10.0.0.0/8"})],
                context={"aws:SourceIp": "10.0.0.1"}),
            no("a condition that fails", NO_IDENTITY,
               identity=[allow(IpAddress={"aws:SourceIp": "10.0.0.0/8"})],
               context={"aws:SourceIp": "192.0.2.1"}),
            no("a condition on the key, of which there is none", NO_IDENTITY,
               identity=[allow(StringEquals={"kms:KeyOrigin": "AWS_KMS"})]),
        ],
    ),
    Section(
        "AWS KMS Developer Guide, Controlling access to aliases",
        "the alias is permitted by an identity-based policy, the key by its own",
        [
            yes_alias("the alias", identity=[allow("kms:CreateAlias", on=ALIAS)]),
            no_alias("another alias", NO_IDENTITY, identity=[allow("kms:CreateAlias", on=ALIAS + "-2")]),
            yes_alias("aliases like it",
                      identity=[allow("kms:CreateAlias", on=f"arn:aws:kms:*:{A}:alias/*")]),
            no_alias("the key alone", NO_IDENTITY, identity=[allow("kms:CreateAlias", on=KEY)]),
            yes_alias("both", identity=[allow("kms:CreateAlias", on=[ALIAS, KEY])]),
            no_alias("a deny of the alias", BY_IDENTITY, identity=[allow(), deny("kms:*Alias", on=ALIAS)]),
            yes_alias("a deny of another key", identity=[allow(), deny(on=OTHER_KEY)]),
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("section", "case"), parameters(SECTIONS))
def test_decides(section: Section, case: Case) -> None:
    check(section, case)
