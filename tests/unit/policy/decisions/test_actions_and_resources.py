"""Which requests a statement is about: actions and resources, with wildcards and with Not."""

from __future__ import annotations

import pytest

from hsmkms.model.actions import Action
from hsmkms.policy.evaluation import Cause
from tests.unit.policy.cases import Case, Section, cases_with, check, parameters
from tests.unit.policy.world import ALIAS, ALICE, BOB, KEY, KEY_ID, OTHER_KEY, A, B, allow, deny, without

NO_IDENTITY = Cause.NO_IDENTITY_POLICY
yes, no = cases_with()
mine, not_mine = cases_with(action="kms:DescribeKey")


def named(*actions: str) -> dict[str, object]:
    return {"key": [allow(*actions, to=ALICE)]}


def all_but(*actions: str) -> dict[str, object]:
    return {"key": [without(allow(to=ALICE), "Action", NotAction=list(actions))]}


def on(*resources: str) -> dict[str, object]:
    return {"identity": [allow(on=list(resources))]}


SECTIONS = [
    Section(
        "AWS IAM User Guide, IAM JSON policy elements: Action",
        "names without regard to case; * is any number of characters, ? is one",
        [
            yes("its name", **named("kms:Decrypt")),
            no("another name", **named("kms:Encrypt")),
            no("the beginning of its name", **named("kms:Decryp")),
            no("more than its name", **named("kms:DecryptX")),
            yes("in a list", **named("kms:Encrypt", "kms:Decrypt")),
            no("in no list", **named("kms:Encrypt", "kms:Sign")),
            yes("without regard to case", **named("KMS:decrypt")),
            yes("a star at the end", **named("kms:De*")),
            no("a star at the end of something else", **named("kms:En*")),
            yes("a star at the beginning", **named("kms:*crypt")),
            yes("a star in the middle", **named("kms:D*t")),
            yes("a star for nothing at all", **named("kms:Decrypt*")),
            yes("a question mark", **named("kms:Decryp?")),
            no("a question mark for nothing", **named("kms:Decrypt?")),
            yes("question marks for all", **named("kms:???????")),
            yes("all of the service", **named("kms:*")),
            yes("all of all services", **named("*")),
            no("all of another service", **named("s3:*")),
            no("another service's of that name", **named("s3:Decrypt")),
            yes("both of ReEncrypt: from", action="kms:ReEncryptFrom", **named("kms:ReEncrypt*")),
            yes("both of ReEncrypt: to", action="kms:ReEncryptTo", **named("kms:ReEncrypt*")),
            no("one of ReEncrypt is not the other", action="kms:ReEncryptTo", **named("kms:ReEncryptFrom")),
            no("ReEncrypt itself is no action", action="kms:ReEncryptTo", **named("kms:ReEncrypt")),
            no("Encrypt* is not ReEncrypt", action="kms:ReEncryptTo", **named("kms:Encrypt*")),
            yes("all data keys", action="kms:GenerateDataKeyWithoutPlaintext",
                **named("kms:GenerateDataKey*")),
            no("one kind of data key", action="kms:GenerateDataKeyWithoutPlaintext",
               **named("kms:GenerateDataKey")),
            mine("all that describe", **named("kms:Describe*")),
            not_mine("all that list", **named("kms:List*")),
        ],
    ),
    Section(
        "AWS IAM User Guide, IAM JSON policy elements: NotAction",
        "with Allow: everything but what is listed",
        [
            no("all but this", **all_but("kms:Decrypt")),
            yes("all but another", **all_but("kms:Encrypt")),
            no("all but this among others", **all_but("kms:Encrypt", "kms:Decrypt")),
            no("all but those like this", **all_but("kms:De*")),
            yes("all but another service's", **all_but("s3:*")),
            no("all but all", **all_but("kms:*")),
        ],
    ),
    Section(
        "AWS IAM User Guide, IAM JSON policy elements: Resource",
        "the statement is about the resources whose ARNs fit; case counts",
        [
            yes("this key", **on(KEY)),
            no("another key", NO_IDENTITY, **on(OTHER_KEY)),
            yes("one of two", **on(OTHER_KEY, KEY)),
            yes("everything", **on("*")),
            yes("all keys of all accounts", **on("arn:aws:kms:*:*:key/*")),
            yes("all keys of the account", **on(f"arn:aws:kms:*:{A}:key/*")),
            no("all keys of another account", NO_IDENTITY, **on(f"arn:aws:kms:*:{B}:key/*")),
            yes("all keys of the region", **on(f"arn:aws:kms:eu-west-1:{A}:key/*")),
            no("all keys of another region", NO_IDENTITY, **on(f"arn:aws:kms:eu-west-2:{A}:key/*")),
            yes("regions of Europe", **on(f"arn:aws:kms:eu-*:{A}:key/*")),
            no("the key's id alone", NO_IDENTITY, **on(KEY_ID)),
            no("in capital letters", NO_IDENTITY, **on(KEY.replace("key/", "KEY/"))),
            no("another service's resource", NO_IDENTITY, **on(KEY.replace(":kms:", ":s3:"))),
            no("an alias of the key does not stand for the key", NO_IDENTITY, **on(ALIAS)),
            no("all aliases do not stand for their keys", NO_IDENTITY, **on("arn:aws:kms:*:*:alias/*")),
            yes("the alias, where the alias is what is changed", action="kms:UpdateAlias", resource=ALIAS,
                **on(ALIAS), key=[allow(to=A)]),
            yes("a star across the parts of an ARN", **on("arn:aws:kms:*")),
            yes("question marks for a part of the id", **on(KEY[:-4] + "????")),
            no("too few question marks", NO_IDENTITY, **on(KEY[:-4] + "???")),
        ],
    ),
    Section(
        "AWS IAM User Guide, IAM JSON policy elements: NotResource",
        "with Allow: every resource but those that are listed",
        [
            no("all but this", NO_IDENTITY, identity=[without(allow(), "Resource", NotResource=KEY)]),
            yes("all but another", identity=[without(allow(), "Resource", NotResource=OTHER_KEY)]),
            no("all but both", NO_IDENTITY,
               identity=[without(allow(), "Resource", NotResource=[OTHER_KEY, KEY])]),
            yes("all but aliases",
                identity=[without(allow(), "Resource", NotResource="arn:aws:kms:*:*:alias/*")]),
            no("all but everything", NO_IDENTITY, identity=[without(allow(), "Resource", NotResource="*")]),
            no("all but another, and denied", Cause.DENIED_BY_IDENTITY_POLICY,
               identity=[without(allow(), "Resource", NotResource=OTHER_KEY), deny(on=KEY)]),
        ],
    ),
    Section(
        "AWS KMS Developer Guide, Key policies in AWS KMS: the Resource element",
        "in a key policy * means this key; its own ARN does too",
        [
            yes("its own ARN", key=[allow(to=ALICE, on=KEY)]),
            no("another key's ARN", key=[allow(to=ALICE, on=OTHER_KEY)]),
            no("an alias", key=[allow(to=ALICE, on=ALIAS)]),
            no("all keys but this", key=[without(allow(to=ALICE), "Resource", NotResource=KEY)]),
            yes("all keys but another", key=[without(allow(to=ALICE), "Resource", NotResource=OTHER_KEY)]),
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("section", "case"), parameters(SECTIONS))
def test_decides(section: Section, case: Case) -> None:
    check(section, case)


@pytest.mark.parametrize("action", list(Action))
def test_every_action_is_known_by_its_own_name_and_by_no_other(action: Action) -> None:
    """AWS KMS Developer Guide, "AWS KMS permissions": the names of all actions."""
    key = [allow("kms:PutKeyPolicy", to=BOB), allow(action, to=ALICE)]
    asked = {one: Case("", False, "", key=key, action=one).verdict().allowed for one in Action}
    assert [one for one, allowed in asked.items() if allowed] == [action]
