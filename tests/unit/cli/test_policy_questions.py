"""``policy simulate`` over real stores."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from hsmkms.cli import policy_questions
from hsmkms.cli.output import ExitCode
from hsmkms.model.actions import Action
from hsmkms.model.grants import Grantee
from hsmkms.model.identities import Status
from hsmkms.model.keys import Key, KeyManager, Tag
from hsmkms.model.names import Region, root_arn
from hsmkms.policy.binding import bind_principals
from hsmkms.policy.defaults import service_owned_key_policy
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.parsing import parse_policy
from hsmkms.policy.stored import StoredPolicy
from hsmkms.ports.directory import InlinePolicy
from hsmkms.store import SqliteDirectory, SqliteKeyStore, StoreSettings, migrate
from tests.contract.store import nouns

A, B = nouns.ACCOUNT, nouns.OTHER_ACCOUNT
REGION, ELSEWHERE = nouns.REGION, Region("eu-west-2")
ALICE, APP, BOB = (nouns.user("alice"), nouns.role("app"), nouns.user("bob", B))
STORAGE = nouns.service("storage.internal")
SETTINGS = """
data = "{data}"
[regions.eu-west-1]
module_path = "/usr/lib/softhsm/libsofthsm2.so"
token_label = "one"
pin_file = "{data}/pin"
[regions.eu-west-2]
module_path = "/usr/lib/softhsm/libsofthsm2.so"
token_label = "two"
pin_file = "{data}/pin"
"""

app = typer.Typer()
app.command("simulate")(policy_questions.simulate)
app.command("lint")(policy_questions.lint)


class World:
    """Real stores with a key, and people who may do something with it."""

    def __init__(self, directory: Path) -> None:
        data = directory / "data"
        stores = StoreSettings(directory=data)
        self.config = directory / "hsmkms.toml"
        self.config.write_text(SETTINGS.format(data=data))
        self.people = SqliteDirectory(stores)
        self.keys = SqliteKeyStore(stores, REGION)
        for account in (A, B):
            self.people.add_account(account, nouns.NOW)
        self.people.add_identity(ALICE, {"team": "blue"}, None)
        self.people.add_identity(BOB, {}, None)
        self.people.add_identity(APP, {}, StoredPolicy(PolicyKind.TRUST, "{}"))
        self.people.add_service(STORAGE)
        self.key: Key = nouns.add_key(self.keys, tags=[Tag("team", "blue")])
        with self.keys.change() as change:
            change.add_alias(nouns.alias_of(self.key, "app"))

    def allow(self, unique_id: str, *actions: str, **conditions: Any) -> None:
        statement: dict[str, Any] = {"Sid": "Mine", "Effect": "Allow", "Action": actions, "Resource": "*"}
        if conditions:
            statement["Condition"] = conditions
        text = json.dumps({"Version": "2012-10-17", "Statement": statement})
        self.people.put_inline_policy(unique_id, InlinePolicy("mine", text), 10_240)

    def put_key_policy(self, *statements: dict[str, Any]) -> None:
        text = json.dumps({"Version": "2012-10-17", "Statement": statements})
        ids = bind_principals(parse_policy(text, PolicyKind.KEY), self.people.snapshot())
        with self.keys.change() as change:
            change.set_policy(self.key.key_id, StoredPolicy(PolicyKind.KEY, text, ids))

    def ask(self, principal: str, *options: str, action: str = "kms:Decrypt", key: str | None = "") -> Result:
        command = ["simulate", "--config", str(self.config), "--principal", principal, "--action", action]
        if key is not None:
            command += ["--key", key or self.key.key_id]
        if "--region" not in options:
            command += ["--region", REGION]
        return CliRunner().invoke(app, [*command, *options])

    def told(self, *given: str, **more: Any) -> dict[str, Any]:
        result = self.ask(*given, "--json", **more)
        assert result.exit_code in (ExitCode.OK, ExitCode.REFUSED), result.output
        members: dict[str, Any] = json.loads(result.stdout)
        assert members["allowed"] is (result.exit_code == ExitCode.OK)
        return members


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that no test opens: copying is faster than migrating."""
    data = tmp_path_factory.mktemp("migrated") / "data"
    migrate(StoreSettings(directory=data), [REGION, ELSEWHERE])
    return data


@pytest.fixture
def world(migrated: Path, tmp_path: Path) -> World:
    shutil.copytree(migrated, tmp_path / "data")
    return World(tmp_path)


SESSION = f"arn:aws:sts::{A}:assumed-role/app/run-1"


@pytest.mark.parametrize(
    ("principal", "rule", "allowed"),
    [
        pytest.param(root_arn(A), "Enable IAM User Permissions of the key policy allows it", True, id="root"),
        pytest.param(ALICE.arn, "Mine of an identity-based policy", True, id="user"),
        pytest.param(APP.arn, "no identity-based policy allows it", False, id="role"),
        pytest.param(SESSION, "no identity-based policy allows it", False, id="session"),
        pytest.param(BOB.arn, "neither the key policy nor a grant allows it", False, id="another account"),
        pytest.param(STORAGE.name, "neither the key policy nor a grant", False, id="service"),
    ],
)
def test_decides_for_every_kind_of_principal(world: World, principal: str, rule: str, allowed: bool) -> None:
    world.allow(ALICE.unique_id, "kms:Decrypt")
    told = world.told(principal)
    assert told["allowed"] is allowed
    (decision,) = told["decisions"]
    assert rule in decision["rule"]


@pytest.mark.parametrize("name", [None, "alias/app", "alias ARN", "key ARN"])
def test_a_key_is_found_by_all_its_names(world: World, name: str | None) -> None:
    start = f"arn:aws:kms:{REGION}:{A}"
    key_ref = {"alias ARN": f"{start}:alias/app", "key ARN": f"{start}:key/{world.key.key_id}"}.get(
        str(name), name or world.key.key_id
    )
    (decision,) = world.told(root_arn(A), key=key_ref)["decisions"]
    assert decision["resource"] == f"{start}:key/{world.key.key_id}"


def test_explains_statement_by_statement(world: World) -> None:
    world.allow(
        ALICE.unique_id, "kms:Encrypt", "kms:Decrypt", StringEquals={"kms:ViaService": "storage.internal"}
    )
    (decision,) = world.told(ALICE.arn)["decisions"]
    of_key, of_user = decision["statements"]
    assert (of_key["policy"], of_key["statement"]) == ("key policy", "Enable IAM User Permissions")
    assert of_key["applies"]
    assert of_key["names"] == ["the caller's account"]
    assert (of_user["policy"], of_user["applies"]) == ("identity-based policy", False)
    assert of_user["conditions"] == [
        {
            "operator": "StringEquals",
            "key": "kms:viaservice",
            "values": ["storage.internal"],
            "given": None,
            "holds": False,
        }
    ]
    assert decision["cause"] == "because no identity-based policy allows the kms:Decrypt action"


def test_prints_the_same_for_people(world: World) -> None:
    world.allow(ALICE.unique_id, "kms:Decrypt", StringEquals={"kms:ViaService": "storage.internal"})
    refused = world.ask(ALICE.arn)
    assert refused.exit_code == ExitCode.REFUSED
    lines = refused.stdout.splitlines()
    assert lines[0].startswith(f"DENIED: {ALICE.arn} kms:Decrypt arn:aws:kms:")
    assert lines[1] == "  because no identity-based policy allows it"
    assert "    Allow Mine: does not apply (the conditions not met)" in lines
    assert (
        "      StringEquals kms:viaservice of storage.internal: does not hold; the request has none" in lines
    )
    allowed = world.ask(ALICE.arn, "--via", "storage.internal")
    assert allowed.exit_code == ExitCode.OK
    assert allowed.stdout.startswith("ALLOWED: ")
    assert "    Allow Mine: applies (it names its bearer)" in allowed.stdout.splitlines()


@pytest.mark.parametrize(
    ("condition", "options"),
    [
        pytest.param({"StringEquals": {"aws:username": "alice"}}, [], id="the caller's name"),
        pytest.param({"ArnEquals": {"aws:PrincipalArn": ALICE.arn}}, [], id="the caller's ARN"),
        pytest.param({"StringEquals": {"aws:PrincipalTag/team": "blue"}}, [], id="the caller's tag"),
        pytest.param({"StringEquals": {"aws:ResourceTag/team": "blue"}}, [], id="the key's tag"),
        pytest.param({"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/app"}}, [], id="its alias"),
        pytest.param({"StringEquals": {"kms:KeySpec": "SYMMETRIC_DEFAULT"}}, [], id="its spec"),
        pytest.param({"StringEquals": {"kms:CallerAccount": A}}, [], id="the caller's account"),
        pytest.param({"Bool": {"aws:SecureTransport": "true"}}, [], id="TLS"),
        pytest.param(
            {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
            ["--context", "aws:SourceIp=10.1.1.1"],
            id="an address",
        ),
        pytest.param(
            {"StringEquals": {"aws:username": "bob"}},
            ["--context", "aws:UserName=bob"],
            id="what is said instead",
        ),
        pytest.param(
            {"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}, "Null": {"aws:TagKeys": "false"}},
            ["--context", "aws:TagKeys=a", "--context", "aws:TagKeys=b"],
            id="several values",
        ),
        pytest.param(
            {"StringEquals": {"kms:EncryptionContext:app": "x=1"}},
            ["--encryption-context", "app=x=1"],
            id="the encryption context",
        ),
        pytest.param(
            {"StringEquals": {"aws:SourceArn": "arn:aws:s3:::b"}},
            ["--via", "storage.internal", "--context", "aws:SourceArn=arn:aws:s3:::b"],
            id="a service's source",
        ),
    ],
)
def test_fills_in_what_is_known_and_takes_the_rest(
    world: World, condition: dict[str, Any], options: list[str]
) -> None:
    world.allow(ALICE.unique_id, "kms:Decrypt", **condition)
    assert world.ask(ALICE.arn, *options).exit_code == ExitCode.OK
    world.allow(ALICE.unique_id, "kms:Decrypt", **condition, StringLike={"aws:UserAgent": "*"})
    assert world.ask(ALICE.arn, *options).exit_code == ExitCode.REFUSED


def test_the_alias_of_the_request_is_the_one_that_was_named(world: World) -> None:
    world.allow(ALICE.unique_id, "kms:Decrypt", StringEquals={"kms:RequestAlias": "alias/app"})
    assert world.ask(ALICE.arn, key="alias/app").exit_code == ExitCode.OK
    assert world.ask(ALICE.arn).exit_code == ExitCode.REFUSED


def test_grants_are_told_whether_or_not_they_suffice(world: World) -> None:
    to_bob = Grantee(BOB.arn, BOB.unique_id)
    grants: list[dict[str, Any]] = [
        {},
        {"context_subset": {"app": "y"}},
        {"actions": frozenset({Action.SIGN})},
        {"grantee": Grantee(APP.arn, APP.unique_id)},
    ]
    with world.keys.change() as change:
        for number, given in enumerate(grants):
            change.add_grant(replace(nouns.grant_of(world.key.key_id, number, to_bob), **given))
    (decision,) = world.told(BOB.arn, "--encryption-context", "app=x")["decisions"]
    assert decision["rule"] == f"grant {0:064x} allows it"
    assert [grant["suffices"] for grant in decision["grants"]] == [True, False, False]
    assert decision["grants"][1]["shortfall"] == "the encryption context lacks a pair that it asks for"
    printed = world.ask(BOB.arn, "--encryption-context", "app=x").stdout
    assert f"    {0:064x}: suffices\n" in printed
    assert f"    {2:064x}: does not suffice (it does not allow the action)\n" in printed


def test_a_grant_to_an_account_does_not_suffice_by_itself(world: World) -> None:
    with world.keys.change() as change:
        change.add_grant(nouns.grant_of(world.key.key_id, 1, Grantee(root_arn(B), B)))
    refused = world.ask(BOB.arn)
    assert refused.exit_code == ExitCode.REFUSED
    assert "does not suffice (no identity-based policy allows it)" in refused.stdout


def test_of_many_grants_some_are_shown(world: World) -> None:
    to_bob = Grantee(BOB.arn, BOB.unique_id)
    with world.keys.change() as change:
        for number in range(25):
            change.add_grant(nouns.grant_of(world.key.key_id, number, to_bob))
    assert "    and 5 more\n" in world.ask(BOB.arn).stdout


def test_a_service_that_is_named(world: World) -> None:
    world.put_key_policy(
        {
            "Effect": "Allow",
            "Principal": {"Service": STORAGE.name},
            "Action": "kms:Decrypt",
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:SourceAccount": A}},
        }
    )
    assert world.ask(STORAGE.name, "--context", f"aws:SourceAccount={A}").exit_code == ExitCode.OK
    assert world.ask(STORAGE.name, "--context", f"aws:SourceAccount={B}").exit_code == ExitCode.REFUSED


def test_an_operation_that_is_not_for_other_accounts_is_refused_whatever_the_policies_say(
    world: World,
) -> None:
    everything = {"Effect": "Allow", "Principal": {"AWS": BOB.arn}, "Action": "kms:*", "Resource": "*"}
    world.put_key_policy(everything)
    world.allow(BOB.unique_id, "kms:*")
    assert world.ask(BOB.arn).exit_code == ExitCode.OK
    refused = world.told(BOB.arn, action="kms:DisableKey")
    assert refused["decisions"][0]["rule"] == "the operation is not for keys of other accounts"


def test_a_services_own_key_is_for_that_service_alone(world: World) -> None:
    key, version = nouns.pending_key()
    owned = replace(key, manager=KeyManager.OWNER, service=STORAGE.name)
    policy = StoredPolicy(PolicyKind.KEY, service_owned_key_policy(STORAGE.name))
    with world.keys.change() as change:
        change.add_pending_key(owned, version, [], policy)
        change.enable_pending_key(owned.key_id, version.material_id, nouns.CHECK_VALUE)
    world.allow(ALICE.unique_id, "kms:*")
    refused = world.told(ALICE.arn, key=owned.key_id)
    assert refused["decisions"][0]["rule"] == "there is no such key for this caller"
    through_it = world.told(ALICE.arn, "--via", STORAGE.name, key=owned.key_id)
    (decision,) = through_it["decisions"]
    assert decision["rule"] == f"Allow use by {STORAGE.name} of the key policy allows it"
    assert through_it["allowed"]
    # It is explained for the service, whose policies are not the user's.
    assert {one["policy"] for one in decision["statements"]} == {"key policy"}
    assert [one["statement"] for one in decision["statements"] if one["applies"]] == [
        f"Allow use by {STORAGE.name}"
    ]


def test_statements_of_one_policy_stand_below_its_name_once(world: World) -> None:
    of_bob = {"Effect": "Allow", "Principal": {"AWS": BOB.arn}, "Action": "kms:Sign", "Resource": "*"}
    world.put_key_policy(of_bob, {**of_bob, "Effect": "Deny", "Principal": {"AWS": ALICE.arn}})
    assert world.ask(ALICE.arn).stdout.splitlines()[3:] == [
        "  key policy:",
        "    Allow Statement[0]: does not apply (the caller, the action not met)",
        "    Deny Statement[1]: does not apply (the action not met)",
    ]


def test_what_concerns_no_key(world: World) -> None:
    assert world.told(ALICE.arn, action="kms:CreateKey", key=None)["allowed"] is False
    world.allow(ALICE.unique_id, "kms:CreateKey")
    told = world.told(ALICE.arn, action="createkey", key=None)
    assert told["action"] == "kms:CreateKey"
    assert told["decisions"][0]["resource"] == "*"


def test_an_alias_is_decided_on_and_its_key_too(world: World) -> None:
    world.allow(ALICE.unique_id, "kms:CreateAlias")
    told = world.told(ALICE.arn, "--alias", "alias/new", action="kms:CreateAlias")
    on_alias, on_key = told["decisions"]
    assert on_alias["resource"] == f"arn:aws:kms:{REGION}:{A}:alias/new"
    assert on_key["resource"].endswith(world.key.key_id)
    world.put_key_policy(
        {"Effect": "Allow", "Principal": {"AWS": BOB.arn}, "Action": "kms:*", "Resource": "*"}
    )
    told = world.told(ALICE.arn, "--alias", "alias/new", action="kms:CreateAlias")
    assert [one["allowed"] for one in told["decisions"]] == [True, False]


@pytest.mark.parametrize(
    ("action", "options", "resources"),
    [
        pytest.param("kms:DeleteAlias", {"key": None}, ["alias/app", "key"], id="removed"),
        pytest.param("kms:UpdateAlias", {"key": "other"}, ["alias/app", "key", "other"], id="moved"),
        pytest.param("kms:CreateAlias", {"key": "other"}, ["alias/app", "key", "other"], id="made again"),
    ],
)
def test_of_an_alias_that_is_there_its_key_is_asked_too(
    world: World, action: str, options: dict[str, str | None], resources: list[str]
) -> None:
    other = nouns.add_key(world.keys)
    ids = {"key": f"key/{world.key.key_id}", "other": f"key/{other.key_id}"}
    told = world.told(
        root_arn(A),
        *("--alias", "alias/app"),
        action=action,
        key=other.key_id if options["key"] == "other" else None,
    )
    start = f"arn:aws:kms:{REGION}:{A}:"
    wanted = [start + ids.get(one, one) for one in resources]
    assert [one["resource"] for one in told["decisions"]] == wanted
    # The key that it names now can refuse.
    of_bob = {"Effect": "Allow", "Principal": {"AWS": BOB.arn}, "Action": "kms:*", "Resource": "*"}
    world.put_key_policy(of_bob)
    told = world.told(
        root_arn(A),
        *("--alias", "alias/app"),
        action=action,
        key=other.key_id if options["key"] == "other" else None,
    )
    assert [one["allowed"] for one in told["decisions"]][:2] == [True, False]
    assert not told["allowed"]


def test_a_role_through_a_service_has_a_session_of_the_services_name(world: World) -> None:
    world.allow(APP.unique_id, "kms:Decrypt", StringEquals={"aws:userid": f"{APP.unique_id}:{STORAGE.name}"})
    told = world.told(APP.arn, "--via", STORAGE.name)
    assert (told["allowed"], told["principal"]) == (
        True,
        f"arn:aws:sts::{A}:assumed-role/app/{STORAGE.name}",
    )
    assert world.ask(APP.arn).exit_code == ExitCode.REFUSED
    assert world.ask(SESSION, "--via", STORAGE.name).exit_code == ExitCode.REFUSED


ABOUT_NEW_KEY = {
    "kms:KeySpec": "SYMMETRIC_DEFAULT",
    "kms:CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
    "kms:KeyUsage": "ENCRYPT_DECRYPT",
    "kms:CustomerMasterKeyUsage": "ENCRYPT_DECRYPT",
    "kms:KeyOrigin": "AWS_KMS",
    "kms:MultiRegion": "false",
    "kms:BypassPolicyLockoutSafetyCheck": "false",
}


@pytest.mark.parametrize(
    ("action", "is_about_key", "condition", "value"),
    [
        *(
            pytest.param("kms:CreateKey", False, name, value, id=f"a new key's {name}")
            for name, value in ABOUT_NEW_KEY.items()
        ),
        *(
            pytest.param(action, True, "kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT", id=action)
            for action in ("kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:GenerateDataKey")
        ),
        pytest.param(
            "kms:PutKeyPolicy", True, "kms:BypassPolicyLockoutSafetyCheck", "false", id="another policy"
        ),
    ],
)
def test_fills_in_what_requests_say_of_themselves(
    world: World, action: str, is_about_key: bool, condition: str, value: str
) -> None:
    world.allow(ALICE.unique_id, action, StringEquals={condition: value})
    key = "" if is_about_key else None
    assert world.ask(ALICE.arn, action=action, key=key).exit_code == ExitCode.OK
    otherwise = world.ask(ALICE.arn, "--context", f"{condition}=other", action=action, key=key)
    assert otherwise.exit_code == ExitCode.REFUSED


def test_nothing_is_filled_in_where_requests_do_not_have_it(world: World) -> None:
    world.allow(ALICE.unique_id, "kms:DescribeKey", "kms:ListKeys", Null={"kms:EncryptionAlgorithm": "false"})
    assert world.ask(ALICE.arn, action="kms:DescribeKey").exit_code == ExitCode.REFUSED
    assert world.ask(ALICE.arn, action="kms:ListKeys", key=None).exit_code == ExitCode.REFUSED


def test_what_a_tenant_wrote_stays_on_its_line(world: World) -> None:
    """Texts of conditions are JSON's, which may spell any character; arguments may be no text at all."""
    wild = "\n\x1b[2Jx\u202e"
    plain = {"Effect": "Allow", "Principal": {"AWS": A}, "Action": "kms:*", "Resource": "*"}
    world.put_key_policy(plain)
    lines = world.ask(ALICE.arn).stdout.count("\n")
    world.put_key_policy({**plain, "Condition": {"StringEquals": {"aws:UserAgent": ["a", wild]}}})
    shown = world.ask(ALICE.arn, "--context", "aws:UserAgent=\x1b[1m\udcff")
    assert shown.exit_code == ExitCode.REFUSED, shown.output
    assert shown.stdout.count("\n") == lines + 1
    assert (
        r"StringEquals aws:useragent of a, \n\x1b[2Jx\u202e: does not hold; the request has \x1b[1m\udcff"
        in shown.stdout
    )
    assert [one for one in shown.stdout if not (one.isprintable() or one == "\n")] == []
    members = world.told(ALICE.arn)["decisions"][0]["statements"][0]["conditions"]
    assert members[0]["values"] == ["a", wild]


@pytest.mark.parametrize(
    ("options", "more", "code", "said"),
    [
        pytest.param([], {"action": "kms:Decript"}, 2, "kms:Decrypt?", id="no such action"),
        pytest.param([], {"action": "x:y"}, 2, "there is no action", id="nothing like an action"),
        pytest.param(["--context", "aws:x"], {}, 2, "KEY=VALUE", id="no value"),
        pytest.param(["--region", "eu-west-9"], {}, 2, "eu-west-1, eu-west-2", id="no such region"),
        pytest.param(["--region", ELSEWHERE], {}, 6, "there is no key", id="a key of another region"),
        pytest.param([], {"key": "alias/none"}, 6, "there is no key alias/none", id="no such alias"),
        pytest.param([], {"key": f"arn:aws:kms:eu-west-2:{A}:alias/app"}, 6, "another region", id="its ARN"),
        pytest.param([], {"key": "arn:aws:s3:::x"}, 6, "Invalid arn", id="no ARN of a key"),
        pytest.param(
            [],
            {"key": f"arn:aws:kms:{REGION}:{B}:key/KEY_ID"},
            6,
            "there is no key arn:aws:kms",
            id="its ARN in another account",
        ),
        pytest.param(
            [], {"action": "kms:RetireGrant"}, 2, "policies can only forbid it", id="the grant decides"
        ),
        pytest.param([], {"key": None}, 2, "name it with --key", id="no key for Decrypt"),
        pytest.param(
            ["--alias", "alias/x"],
            {"action": "kms:CreateAlias", "key": None},
            2,
            "name it with --key",
            id="no key for CreateAlias",
        ),
        pytest.param([], {"action": "kms:CreateKey"}, 2, "kms:CreateKey is about no key", id="a key to make"),
        pytest.param([], {"action": "kms:ListKeys"}, 2, "kms:ListKeys is about no key", id="a key to list"),
        pytest.param(
            ["--via", STORAGE.name, "--context", "aws:SourceAccount=999999999999"],
            {},
            6,
            "There is no such source account",
            id="a source account that does not exist",
        ),
        pytest.param(["--alias", "alias/x"], {}, 2, "for actions on aliases", id="an alias for Decrypt"),
        pytest.param([], {"action": "kms:CreateAlias"}, 2, "--alias", id="no alias for CreateAlias"),
        pytest.param(
            ["--alias", "x"], {"action": "kms:CreateAlias"}, 2, "alias/NAME", id="an alias without prefix"
        ),
        pytest.param(
            ["--encryption-context", "a=b"],
            {"action": "kms:DescribeKey"},
            2,
            "takes no encryption",
            id="no context",
        ),
        pytest.param(["--via", "mail.internal"], {}, 6, "no service mail.internal", id="no such service"),
    ],
)
def test_refuses_what_makes_no_sense(
    world: World, options: list[str], more: dict[str, Any], code: int, said: str
) -> None:
    if "KEY_ID" in (more.get("key") or ""):
        more = {**more, "key": more["key"].replace("KEY_ID", world.key.key_id)}
    refused = world.ask(root_arn(A), *options, **more)
    assert refused.exit_code == code
    # The line is broken and boxed in as the screen has room.
    assert said.replace(" ", "") in "".join(refused.stderr.replace("│", "").split())


@pytest.mark.parametrize(
    "principal",
    [
        pytest.param(f"arn:aws:iam::{A}:user/nobody", id="no such user"),
        pytest.param("arn:aws:iam::999999999999:root", id="no such account"),
        pytest.param(f"arn:aws:sts::{A}:assumed-role/none/x", id="no such role"),
        pytest.param("mail.internal", id="no such service"),
    ],
)
def test_refuses_principals_that_do_not_exist(world: World, principal: str) -> None:
    refused = world.ask(principal)
    assert refused.exit_code == ExitCode.REFUSED
    assert "that may act" in refused.stderr


def test_nobody_acts_as_a_user_who_is_disabled(world: World) -> None:
    world.people.set_identity_status(ALICE.unique_id, Status.INACTIVE)
    world.people.set_service_status(STORAGE.name, Status.INACTIVE)
    assert "that may act" in world.ask(ALICE.arn).stderr
    assert "that may act" in world.ask(STORAGE.name).stderr


def test_the_region_may_be_left_out_where_there_is_one(world: World) -> None:
    world.config.write_text(world.config.read_text().partition("[regions.eu-west-2]")[0])
    command = ["simulate", "--config", str(world.config), "--principal", root_arn(A)]
    result = CliRunner().invoke(app, [*command, "--action", "kms:Decrypt", "--key", world.key.key_id])
    assert result.exit_code == ExitCode.OK, result.output


def test_a_region_has_to_be_named_where_there_are_several(world: World) -> None:
    command = [
        "simulate",
        "--config",
        str(world.config),
        "--principal",
        root_arn(A),
        "--action",
        "kms:ListKeys",
    ]
    assert CliRunner().invoke(app, command).exit_code == ExitCode.USAGE
