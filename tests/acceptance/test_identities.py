"""Accounts, users, roles, policies, services and their access keys, by the operator's commands.

Commands that need a token are processes, as everywhere here. The many that need none run in the test's own: a
start of Python for each would be most of the time.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner

from hsmkms.cli.main import app
from hsmkms.testing.token import make_softhsm_token
from tests.acceptance.deployments import FAILED, REFUSED, USAGE, Deployment, Outcome, refused

REGION: Final = "eu-west-1"
ACCOUNT: Final = "111122223333"
ALICE: Final = f"arn:aws:iam::{ACCOUNT}:user/alice"
APP: Final = f"arn:aws:iam::{ACCOUNT}:role/app"
READ: Final = f"arn:aws:iam::{ACCOUNT}:policy/read"
ALLOWED: Final = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "kms:DescribeKey", "Resource": "*"},
    }
)


def trust(arn: str) -> str:
    statement = {"Effect": "Allow", "Principal": {"AWS": arn}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """Initialised once for all tests of this file, which take names of their own."""
    token = make_softhsm_token(tmp_path_factory.mktemp("token") / "softhsm", "kms-eu-west-1")
    deployment = Deployment(tmp_path_factory.mktemp("prepared"))
    deployment.add_region(REGION, token)
    deployment.init()
    done(deployment.run("account", "create", ACCOUNT))
    return deployment


class InProcess(Deployment):
    """Runs commands in this process."""

    def run(self, *arguments: str, stdin: str = "", **variables: str) -> Outcome:
        result = CliRunner().invoke(
            app, [*arguments, "--config", str(self.config)], input=stdin, env=variables
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)


@pytest.fixture(scope="module")
def blind(deployment: Deployment) -> Deployment:
    """The same data, with neither PIN nor module."""
    blind = InProcess(deployment.directory / "blind")
    blind.directory.mkdir()
    blind.regions = {
        REGION: {"module_path": "/nowhere.so", "token_label": "none", "pin_file": "/nowhere.pin"}
    }
    blind.data.symlink_to(deployment.data)
    blind.write()
    return blind


def done(outcome: Outcome) -> Outcome:
    assert outcome.code == 0, outcome.said
    return outcome


def test_accounts_are_registered_and_listed(blind: Deployment) -> None:
    for _ in range(2):
        assert blind.run("account", "create", "999999999999", "--json").members == {"account": "999999999999"}
    listed = blind.run("account", "list", "--json").members["accounts"]
    assert listed == [ACCOUNT, "123456789012", "999999999999"]
    assert blind.run("account", "list").stdout.split() == listed
    assert blind.run("account", "create", "12345").code == USAGE


def test_a_user_from_first_to_last(deployment: Deployment, blind: Deployment) -> None:
    created = blind.run(
        *("user", "create", "alice", "--account", ACCOUNT, "--tag", "Team=red", "--tag", "Cost=", "--json")
    ).members
    assert (created["arn"], created["status"]) == (ALICE, "Active")
    assert created["unique_id"].startswith("AIDA")
    refused(blind.run("user", "create", "ALICE", "--account", ACCOUNT), REFUSED, "user alice")
    access_key = deployment.run("access-key", "create", "--user", ALICE, "--json").members
    assert (access_key["principal"], access_key["account"]) == (ALICE, ACCOUNT)
    imported = deployment.run(
        *("access-key", "import", "--user", ALICE, "AKIAALICE00000000001"),
        stdin="secret/of+alice0123456789\n",
    )
    assert ALICE in done(imported).stdout
    refused(deployment.run("access-key", "create", "--user", ALICE), REFUSED, "has 2 access keys already")
    by_id = {
        entry["access_key_id"]: entry["principal"]
        for entry in blind.run("access-key", "list", "--json").members["access_keys"]
    }
    assert by_id[access_key["access_key_id"]] == by_id["AKIAALICE00000000001"] == ALICE
    assert ALICE in blind.run("access-key", "list").stdout
    tagged = blind.run("user", "tag", ALICE, "TEAM=blue", "new=1", "--remove", "cost", "--json").members
    assert tagged["tags"] == {"TEAM": "blue", "new": "1"}
    assert blind.run("user", "disable", ALICE, "--json").members == {"name": ALICE, "status": "Inactive"}
    shown = blind.run("user", "show", ALICE, "--json").members
    assert (shown["status"], shown["tags"]) == ("Inactive", {"TEAM": "blue", "new": "1"})
    assert shown["access_keys"] == sorted([access_key["access_key_id"], "AKIAALICE00000000001"])
    human = done(blind.run("user", "show", ALICE)).stdout
    assert all(word in human for word in (ALICE, "Inactive", "TEAM: blue", "AKIAALICE00000000001"))
    assert "is enabled" in done(blind.run("user", "enable", ALICE)).stdout
    for outcome in (blind.run("user", "list"), blind.run("user", "list", "--account", ACCOUNT)):
        assert created["unique_id"] in outcome.stdout
    assert blind.run("user", "list", "--account", "123456789012", "--json").members == {"users": []}
    deleted = blind.run("user", "delete", ALICE)
    assert "Its access keys are deleted with it: " in done(deleted).stdout
    assert "AKIAALICE00000000001" in deleted.stdout
    assert "AKIAALICE00000000001" not in blind.run("access-key", "list").stdout
    refused(blind.run("user", "show", ALICE), REFUSED, f"There is no user or role {ALICE}")


def test_a_role_and_whom_it_trusts(blind: Deployment, tmp_path: Path) -> None:
    carol = f"arn:aws:iam::{ACCOUNT}:user/carol"
    carols_id = blind.run("user", "create", "carol", "--account", ACCOUNT, "--json").members["unique_id"]
    path = tmp_path / "trust.json"
    path.write_text(trust(carol))
    create = ("role", "create", "app", "--account", ACCOUNT, "--trust-policy")
    nobody = blind.run(*create, "-", stdin=trust(f"arn:aws:iam::{ACCOUNT}:user/nobody"))
    refused(nobody, REFUSED, "Statement[0].Principal", "user/nobody")
    refused(blind.run(*create, str(tmp_path / "none.json")), FAILED, "none.json: No such file")
    (tmp_path / "latin.json").write_bytes(b"\xff{}")
    refused(blind.run(*create, str(tmp_path / "latin.json")), FAILED, "latin.json: not UTF-8")
    refused(blind.run(*create, str(path), "--max-session-seconds", "60"), REFUSED, "3600 to 43200")
    created = blind.run(*create, str(path), "--max-session-seconds", "7200", "--json").members
    assert (created["arn"], created["max_session_seconds"]) == (APP, 7200)
    assert created["unique_id"].startswith("AROA")
    # A role has no access keys, and is no user.
    refused(blind.run("user", "show", APP), REFUSED, f"{APP} is a role")
    assert blind.run("role", "show", APP, "--json").members["trust_policy"] == trust(carol)
    done(blind.run("user", "delete", carol))
    assert carols_id in blind.run("role", "show", APP).stdout
    root = trust(f"arn:aws:iam::{ACCOUNT}:root")
    done(blind.run("role", "set-trust-policy", APP, "-", stdin=root))
    assert blind.run("role", "show", APP, "--json").members["trust_policy"] == root
    assert [role["arn"] for role in blind.run("role", "list", "--json").members["roles"]] == [APP]
    assert blind.run("role", "delete", APP, "--json").members == {"deleted": APP, "access_keys": []}


def test_policies_stand_on_those_who_bear_them(blind: Deployment, tmp_path: Path) -> None:
    bob = f"arn:aws:iam::{ACCOUNT}:user/bob"
    done(blind.run("user", "create", "bob", "--account", ACCOUNT))
    path = tmp_path / "policy.json"
    path.write_text(ALLOWED)
    created = blind.run("policy", "create", "read", str(path), "--account", ACCOUNT, "--json").members
    assert created["arn"] == READ
    again = blind.run("policy", "create", "Read", "-", "--account", ACCOUNT, stdin=ALLOWED)
    refused(again, REFUSED, "There is a policy read")
    wrong = blind.run("policy", "create", "wrong", "-", "--account", ACCOUNT, stdin="{}")
    refused(wrong, REFUSED, "malformed at Statement")
    done(blind.run("policy", "attach", READ, bob))
    done(blind.run("policy", "put-inline", bob, "own", "-", stdin=ALLOWED))
    refused(blind.run("policy", "delete", READ), REFUSED, "detach it first")
    shown = blind.run("user", "show", bob, "--json").members
    assert (shown["attached_policies"], shown["inline_policies"]) == ([READ], {"own": ALLOWED})
    changed = ALLOWED.replace("DescribeKey", "ListKeys")
    done(blind.run("policy", "update", READ, "-", stdin=changed))
    policy = blind.run("policy", "show", READ, "--json").members
    assert (policy["text"], policy["attached_to"]) == (changed, [bob])
    assert changed in done(blind.run("policy", "show", READ)).stdout
    assert [one["arn"] for one in blind.run("policy", "list", "--json").members["policies"]] == [READ]
    assert READ not in done(blind.run("policy", "list", "--account", "123456789012")).stdout
    done(blind.run("policy", "detach", READ, bob))
    done(blind.run("policy", "delete-inline", bob, "own"))
    refused(blind.run("policy", "detach", READ, bob), REFUSED, "is not attached")
    shown = blind.run("user", "show", bob, "--json").members
    assert (shown["attached_policies"], shown["inline_policies"]) == ([], {})
    assert blind.run("policy", "delete", READ, "--json").members == {"deleted": READ}


def test_policies_are_shown_without_what_a_terminal_obeys(blind: Deployment) -> None:
    erin, app = f"arn:aws:iam::{ACCOUNT}:user/erin", f"arn:aws:iam::{ACCOUNT}:role/shown"
    # JSON, and policies, take DEL and what a terminal takes for ESC [ as they are.
    wild = {"StringEquals": {"aws:UserAgent": "\x9b2J\x7f"}}
    statement = {"Effect": "Allow", "Action": "kms:DescribeKey", "Resource": "*", "Condition": wild}
    trusting = {
        "Effect": "Allow",
        "Principal": {"AWS": ACCOUNT},
        "Action": "sts:AssumeRole",
        "Condition": wild,
    }
    text, trust_text = (
        json.dumps({"Version": "2012-10-17", "Statement": one}, ensure_ascii=False, indent="\t")
        for one in (statement, trusting)
    )
    done(blind.run("user", "create", "erin", "--account", ACCOUNT))
    create = ("role", "create", "shown", "--account", ACCOUNT, "--trust-policy", "-")
    done(blind.run(*create, stdin=trust_text))
    done(blind.run("policy", "put-inline", erin, "own", "-", stdin=text))
    done(blind.run("policy", "create", "wild", "-", "--account", ACCOUNT, stdin=text))
    for command in (
        ("user", "show", erin),
        ("role", "show", app),
        ("policy", "show", f"arn:aws:iam::{ACCOUNT}:policy/wild"),
    ):
        shown = done(blind.run(*command)).stdout
        assert r'                "aws:UserAgent": "\x9b2J\x7f"' in shown.split("\n")
        assert [one for one in shown if not (one.isprintable() or one == "\n")] == []


def test_services_are_principals_too(deployment: Deployment, blind: Deployment) -> None:
    name = "storage.internal"
    added = blind.run("service", "add", name, "--json").members
    assert (added["name"], added["alias"], added["status"]) == (name, "storage", "Active")
    refused(blind.run("service", "add", "other.internal", "--alias", "storage"), REFUSED, "storage")
    refused(blind.run("service", "add", "Capital.internal"), REFUSED, "small letters")
    created = deployment.run("access-key", "create", "--service", name, "--json").members
    assert (created["principal"], created["account"]) == (name, None)
    assert name in blind.run("access-key", "list").stdout
    assert blind.run("service", "disable", name, "--json").members == {"name": name, "status": "Inactive"}
    assert "Inactive" in blind.run("service", "list").stdout
    done(blind.run("service", "enable", name))
    assert [one["status"] for one in blind.run("service", "list", "--json").members["services"]] == ["Active"]
    removed = blind.run("service", "remove", name, "--json").members
    assert removed == {"deleted": name, "access_keys": [created["access_key_id"]]}
    refused(blind.run("service", "enable", name), REFUSED, "no service")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param((), id="nobody"),
        pytest.param(("--account", ACCOUNT, "--user", ALICE), id="two"),
        pytest.param(("--account", ACCOUNT, "--user", ALICE, "--service", "a.b"), id="three"),
    ],
)
def test_an_access_key_is_of_one_principal(blind: Deployment, arguments: tuple[str, ...]) -> None:
    refused(blind.run("access-key", "create", *arguments), USAGE, "--account, --user or --service")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(("user", "create", "x", "--account", "888888888888"), "no account", id="no account"),
        pytest.param(("access-key", "create", "--user", f"{ALICE}2"), "no user or role", id="no user"),
        pytest.param(("access-key", "create", "--service", "no.internal"), "no service", id="no service"),
        pytest.param(("user", "create", "a/b", "--account", ACCOUNT), "1 to 64", id="no name"),
        pytest.param(("policy", "show", f"{READ}2"), "There is no policy", id="no policy"),
    ],
)
def test_what_is_not_there_is_refused(deployment: Deployment, arguments: tuple[str, ...], words: str) -> None:
    refused(deployment.run(*arguments), REFUSED, words)


def test_tags_are_given_as_key_and_value(blind: Deployment) -> None:
    outcome = blind.run("user", "create", "dave", "--account", ACCOUNT, "--tag", "nothing")
    refused(outcome, USAGE, "KEY=VALUE")
    twice = blind.run("user", "create", "dave", "--account", ACCOUNT, "--tag", "a=1", "--tag", "a=2")
    refused(twice, USAGE, "given twice")
