"""Actions: AWS's names, and which of them cross accounts."""

from __future__ import annotations

import re

from hsmkms.model.actions import ACROSS_ACCOUNTS, Action, StsAction


def test_names_are_of_their_service() -> None:
    assert all(re.fullmatch(r"kms:[A-Z][A-Za-z]+", one) for one in Action)
    assert all(re.fullmatch(r"sts:[A-Z][A-Za-z]+", one) for one in StsAction)


def test_what_manages_a_key_never_crosses_accounts() -> None:
    """AWS KMS Developer Guide, "AWS KMS permissions", column "Cross-account use"."""
    managing = re.compile(
        r"kms:(Put|Enable|Disable|Schedule|Cancel|Tag|Untag|Update|Import|Delete|Replicate|Rotate)"
    )
    assert [one for one in ACROSS_ACCOUNTS if managing.match(one)] == []


def test_what_has_no_key_never_crosses_accounts() -> None:
    alone = {Action.CREATE_KEY, Action.LIST_KEYS, Action.LIST_ALIASES, Action.GENERATE_RANDOM}
    assert not ACROSS_ACCOUNTS & (
        alone | {Action.CREATE_ALIAS, Action.GET_KEY_POLICY, Action.LIST_KEY_POLICIES}
    )


def test_cryptography_and_grants_cross_accounts() -> None:
    assert {
        *(Action.ENCRYPT, Action.DECRYPT, Action.RE_ENCRYPT_FROM, Action.RE_ENCRYPT_TO, Action.SIGN),
        *(Action.GENERATE_DATA_KEY, Action.DESCRIBE_KEY, Action.CREATE_GRANT, Action.REVOKE_GRANT),
    } <= ACROSS_ACCOUNTS
