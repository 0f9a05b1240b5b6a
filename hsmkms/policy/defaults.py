"""The key policies that this service writes itself.

Spec: AWS KMS Developer Guide, "Default key policy", and the policy that AWS shows for its managed keys.
"""

from __future__ import annotations

import json
from typing import Any, Final

from hsmkms.model.names import AccountId, root_arn

_VERSION: Final = "2012-10-17"
_CRYPTOGRAPHY: Final = [
    *("kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*"),
    *("kms:CreateGrant", "kms:DescribeKey"),
]


def default_key_policy(account: AccountId) -> str:
    """What a key gets that was made without a policy: the account decides, by identity-based policies."""
    return _document(
        "key-default-1",
        {
            "Sid": "Enable IAM User Permissions",
            "Effect": "Allow",
            "Principal": {"AWS": root_arn(account)},
            "Action": "kms:*",
            "Resource": "*",
        },
    )


def service_managed_key_policy(account: AccountId, service_name: str) -> str:
    """What a service's key in an account has: use through that service alone; the account may look at it."""
    return _document(
        "auto-service-1",
        {
            "Sid": f"Allow use through {service_name} to all principals of the account that may use it",
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": _CRYPTOGRAPHY,
            "Resource": "*",
            "Condition": {"StringEquals": {"kms:ViaService": service_name, "kms:CallerAccount": account}},
        },
        {
            "Sid": "Allow the account to see the key",
            "Effect": "Allow",
            "Principal": {"AWS": root_arn(account)},
            "Action": ["kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant"],
            "Resource": "*",
        },
    )


def service_owned_key_policy(service_name: str) -> str:
    """What a service's own key has: use by that service, for whomever it calls."""
    return _document(
        "owned-service-1",
        {
            "Sid": f"Allow use by {service_name}",
            "Effect": "Allow",
            "Principal": {"Service": service_name},
            "Action": _CRYPTOGRAPHY,
            "Resource": "*",
        },
    )


def _document(policy_id: str, *statements: dict[str, Any]) -> str:
    return json.dumps({"Version": _VERSION, "Id": policy_id, "Statement": list(statements)}, indent=2)
