"""The policies that this service writes: what AWS writes in their place, and no more rights than that."""

from __future__ import annotations

import json

import pytest

from hsmkms.model.names import AccountId
from hsmkms.model.principals import root_principal, service_principal
from hsmkms.policy.context import RequestContext
from hsmkms.policy.defaults import (
    default_key_policy,
    service_managed_key_policy,
    service_owned_key_policy,
)
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.evaluation import CallerPolicies, Request, decide_on_key
from hsmkms.policy.stored import StoredPolicy

A, B = AccountId("111111111111"), AccountId("222222222222")


def test_the_default_is_aws_own() -> None:
    assert json.loads(default_key_policy(A)) == {
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [
            {
                "Sid": "Enable IAM User Permissions",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{A}:root"},
                "Action": "kms:*",
                "Resource": "*",
            }
        ],
    }


@pytest.mark.parametrize(
    ("action", "context", "allowed"),
    [
        pytest.param("kms:Encrypt", {}, False, id="not directly"),
        pytest.param("kms:Encrypt", {"kms:ViaService": "s.x"}, False, id="not without an account"),
        pytest.param("kms:Encrypt", {"kms:ViaService": "s.x", "kms:CallerAccount": A}, True, id="through it"),
        pytest.param("kms:Encrypt", {"kms:ViaService": "m.x", "kms:CallerAccount": A}, False, id="another"),
        pytest.param(
            "kms:Encrypt", {"kms:ViaService": "s.x", "kms:CallerAccount": B}, False, id="for another account"
        ),
        pytest.param("kms:PutKeyPolicy", {"kms:ViaService": "s.x", "kms:CallerAccount": A}, False, id="rule"),
        pytest.param("kms:DescribeKey", {}, True, id="look at it"),
        pytest.param("kms:GetKeyPolicy", {}, True, id="read its policy"),
        pytest.param("kms:ScheduleKeyDeletion", {}, False, id="delete"),
    ],
)
def test_a_service_managed_keys_policy(
    action: str,
    context: dict[str, str],
    allowed: bool,
) -> None:
    policy = StoredPolicy(PolicyKind.KEY, service_managed_key_policy(A, "s.x"))
    request = Request(root_principal(A), action, "arn", A, RequestContext.of(context))
    assert decide_on_key(request, policy, CallerPolicies(), ()).allowed is allowed


@pytest.mark.parametrize(
    ("service", "action", "allowed"),
    [("s.x", "kms:Decrypt", True), ("m.x", "kms:Decrypt", False), ("s.x", "kms:DisableKey", False)],
)
def test_a_service_owned_keys_policy(
    service: str,
    action: str,
    allowed: bool,
) -> None:
    policy = StoredPolicy(PolicyKind.KEY, service_owned_key_policy("s.x"))
    request = Request(service_principal(service, A), action, "arn", B, RequestContext())
    assert decide_on_key(request, policy, CallerPolicies(), ()).allowed is allowed
