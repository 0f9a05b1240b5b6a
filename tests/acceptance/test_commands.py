"""The operator's commands on a SoftHSM token: what they give, and how they say that something is wrong."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import os
import pwd
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from botocore.exceptions import SSLError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hsmkms.testing.token import SoftHsmToken, make_softhsm_token
from tests.acceptance.clients import new_key, refusal
from tests.acceptance.deployments import (
    BAD_SETTINGS,
    FAILED,
    REFUSED,
    TOKEN,
    USAGE,
    WRONG_USER,
    Deployment,
    RootKey,
    command_line,
    refused,
    run_command,
    serving,
    worker_pids,
)
from tests.acceptance.polling import wait_until
from tests.faultshim import FaultShim

REGION: Final = "eu-west-1"


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> SoftHsmToken:
    return make_softhsm_token(tmp_path_factory.mktemp("token") / "softhsm", "kms-eu-west-1")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, token: SoftHsmToken) -> tuple[Deployment, RootKey]:
    """Initialised, with TLS, not running."""
    deployment = Deployment(tmp_path_factory.mktemp("prepared"))
    deployment.add_region(REGION, token)
    _make_certificate(deployment)
    return deployment, deployment.init()


@pytest.fixture
def fresh(tmp_path: Path, token: SoftHsmToken) -> Deployment:
    """A settings file of the test's own over the shared token; nothing is initialised."""
    deployment = Deployment(tmp_path)
    deployment.add_region(REGION, token)
    return deployment


def _make_certificate(deployment: Deployment) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = deployment.directory / "tls.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file = deployment.directory / "tls.key"
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    deployment.server |= {"tls_certificate": str(pem), "tls_key": str(key_file)}


# --- the way it is meant ---------------------------------------------------------------------------------


def test_serve_over_tls(prepared: tuple[Deployment, RootKey]) -> None:
    deployment, root = prepared
    pem = deployment.server["tls_certificate"]
    with serving(deployment) as served:
        assert served.endpoint.startswith("https://127.0.0.1:")
        kms = served.client(root, REGION, verify=pem)
        key = new_key(kms)
        blob = kms.encrypt(KeyId=key, Plaintext=b"over TLS")["CiphertextBlob"]
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"over TLS"
        assert served.client(root, REGION, "sts", verify=pem).get_caller_identity()["Account"]
        with pytest.raises(SSLError):
            served.client(root, REGION).list_keys()
        # Doctor looks beside a running server.
        outcome = deployment.run("doctor", "--json")
    assert (outcome.code, outcome.members["problems"]) == (0, [])
    region = outcome.members["regions"][REGION]
    assert (region["state"], region["profile"]) == ("ready", "softhsm")
    assert region["objects"]["rows"] == region["objects"]["objects"] >= 1
    assert all(result["passed"] for result in region["probe"])
    with serving(deployment) as served:
        kms = served.client(root, REGION, verify=pem)
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"over TLS"


def test_init_again_changes_nothing_and_shows_no_secret(prepared: tuple[Deployment, RootKey]) -> None:
    deployment, root = prepared
    outcome = deployment.run("init", "--json")
    assert outcome.code == 0
    assert outcome.members == {
        "account": "123456789012",
        "access_key_id": root.access_key_id,
        "secret_access_key": None,
        "regions": [REGION],
    }
    human = deployment.run("init")
    assert human.code == 0
    assert "has its root access key" in human.said
    for said in (outcome.said, human.said):
        assert root.secret_access_key not in said


def test_a_pin_from_a_systemd_credential(
    prepared: tuple[Deployment, RootKey], token: SoftHsmToken, tmp_path: Path
) -> None:
    shared, root = prepared
    deployment = Deployment(tmp_path)
    deployment.add_region(REGION, token, pin_credential="kms-pin")
    deployment.data.symlink_to(shared.data)
    deployment.write()
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    # systemd makes them 0440 in a directory of the unit's own.
    (credentials / "kms-pin").write_text(token.pin)
    (credentials / "kms-pin").chmod(0o440)
    refused(deployment.run("init"), BAD_SETTINGS, "pin_credential", "$CREDENTIALS_DIRECTORY is not set")
    outcome = deployment.run("init", "--json", CREDENTIALS_DIRECTORY=str(credentials))
    assert outcome.members["access_key_id"] == root.access_key_id
    deployment.environment["CREDENTIALS_DIRECTORY"] = str(credentials)
    with serving(deployment) as served:
        assert new_key(served.client(root, REGION))
    (credentials / "kms-pin").unlink()
    refused(deployment.run("serve"), BAD_SETTINGS, "kms-pin", "No such file")


def test_data_keys_that_could_not_be_opened_any_more_stop_the_start(
    prepared: tuple[Deployment, RootKey], token: SoftHsmToken, tmp_path: Path
) -> None:
    shared, root = prepared
    deployment = Deployment(tmp_path)
    deployment.add_region(REGION, token)
    deployment.data.symlink_to(shared.data)
    deployment.write()
    with serving(deployment) as served:
        kms = served.client(root, REGION)
        key = new_key(kms)
        sealed = kms.generate_data_key_without_plaintext(KeyId=key, KeySpec="AES_256")["CiphertextBlob"]
        plain = kms.encrypt(KeyId=key, Plaintext=b"as before")["CiphertextBlob"]
    deployment.regions[REGION]["profile"] = "generic"  # which does not unwrap
    deployment.write()
    said = ("region eu-west-1: data keys were given out wrapped", "profile has none")
    refused(deployment.run("serve"), TOKEN, *said, "accept_lost_data_keys")
    problems = deployment.run("doctor", "--json")
    assert problems.code == FAILED
    assert [all(word in problem for word in said) for problem in problems.members["problems"]] == [True]
    deployment.regions[REGION]["accept_lost_data_keys"] = True
    deployment.write()
    with serving(deployment) as served:
        kms = served.client(root, REGION)
        assert kms.decrypt(CiphertextBlob=plain)["Plaintext"] == b"as before"
        assert refusal(kms.decrypt, CiphertextBlob=sealed).code == "KeyUnavailableException"
        # Data keys go out all the same, the other way.
        again = kms.generate_data_key_without_plaintext(KeyId=key, KeySpec="AES_256")["CiphertextBlob"]
        assert len(kms.decrypt(CiphertextBlob=again)["Plaintext"]) == 32


def test_access_keys_are_created_listed_disabled_and_imported(
    prepared: tuple[Deployment, RootKey],
) -> None:
    deployment, root = prepared
    created = deployment.run("access-key", "create", "--account", "222222222222", "--json").members
    assert created["principal"] == "arn:aws:iam::222222222222:root"
    assert created["status"] == "Active"
    human = deployment.run("access-key", "create", "--account", "222222222222")
    assert [line.partition("=")[0] for line in human.stdout.split()] == [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    ]
    third = deployment.run("access-key", "create", "--account", "222222222222")
    refused(third, REFUSED, "has 2 access keys already")
    imported_id, secret = "AKIAIMPORTED12345678", "imported/secret+0123456789abcdefghijklmn"
    imported = deployment.run(
        "access-key", "import", "--account", "333333333333", imported_id, "--json", stdin=f"{secret}\n"
    )
    assert imported.members["access_key_id"] == imported_id
    refused(
        deployment.run("access-key", "import", "--account", "333333333333", imported_id, stdin=secret),
        REFUSED,
        imported_id,
    )
    refused(
        deployment.run(
            "access-key", "import", "--account", "333333333333", "AKIASHORTSECRET12345", stdin="no"
        ),
        REFUSED,
        "A secret access key is",
    )
    # Neither PIN nor token is needed from here on.
    blind = Deployment(deployment.directory / "blind")
    blind.directory.mkdir()
    blind.regions = {
        REGION: {"module_path": "/nowhere.so", "token_label": "none", "pin_file": "/nowhere.pin"}
    }
    blind.data.symlink_to(deployment.data)
    blind.write()
    disabled = blind.run("access-key", "disable", created["access_key_id"], "--json")
    assert disabled.members == {"access_key_id": created["access_key_id"], "status": "Inactive"}
    refused(blind.run("access-key", "disable", "AKIANOSUCHKEY1234567"), REFUSED, "AKIANOSUCHKEY1234567")
    listed = blind.run("access-key", "list", "--json")
    by_id = {entry["access_key_id"]: entry for entry in listed.members["access_keys"]}
    assert by_id[root.access_key_id]["status"] == "Active"
    assert by_id[created["access_key_id"]]["status"] == "Inactive"
    assert by_id[imported_id]["account"] == "333333333333"
    human_list = blind.run("access-key", "list", COLUMNS="40")
    for entry in listed.members["access_keys"]:
        assert all(value in human_list.stdout for value in entry.values())
    refused(
        blind.run("access-key", "delete", imported_id), REFUSED, f"{imported_id} is in use: disable it first"
    )
    enabled = blind.run("access-key", "enable", created["access_key_id"], "--json")
    assert enabled.members == {"access_key_id": created["access_key_id"], "status": "Active"}
    assert blind.run("access-key", "disable", created["access_key_id"]).code == 0
    deleted = blind.run("access-key", "delete", created["access_key_id"], "--json")
    assert deleted.members["access_key_id"] == created["access_key_id"]
    refused(blind.run("access-key", "enable", created["access_key_id"]), REFUSED, "no access key")
    # Two of two, one of them deleted: there is room again.
    assert deployment.run("access-key", "create", "--account", "222222222222").code == 0
    for said in (listed.said, human_list.said, imported.said, disabled.said):
        for shown in (secret, created["secret_access_key"], root.secret_access_key):
            assert shown not in said


def test_access_keys_need_one_token_and_not_all(token: SoftHsmToken, tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.add_region(REGION, token)
    deployment.init()
    deployment.add_region("eu-west-2", token, module_path="/nowhere/libhsm.so")
    deployment.write()
    # The second region was never prepared, and its token is away.
    (deployment.data / "regions" / "eu-west-2").mkdir()
    for store in ("keys", "counters"):
        source = deployment.data / "regions" / REGION / f"{store}.sqlite"
        with sqlite3.connect(source) as raw:
            raw.execute(
                "VACUUM INTO ?", (str(deployment.data / "regions" / "eu-west-2" / f"{store}.sqlite"),)
            )
    created = deployment.run("access-key", "create", "--account", "444444444444", "--json")
    assert created.code == 0, created.said
    del deployment.regions[REGION]
    deployment.write()
    refused(
        deployment.run("access-key", "create", "--account", "444444444444"),
        TOKEN,
        "region eu-west-2",
        "/nowhere/libhsm.so",
    )


def test_a_stolen_key_can_be_stopped_without_any_regions_store(
    prepared: tuple[Deployment, RootKey],
) -> None:
    deployment, _ = prepared
    created = deployment.run("access-key", "create", "--account", "555555555555", "--json").members
    regions = deployment.data / "regions"
    away = regions.rename(regions.with_name("regions-away"))
    try:
        assert deployment.run("access-key", "disable", created["access_key_id"]).code == 0
        assert created["access_key_id"] in deployment.run("access-key", "list").stdout
    finally:
        away.rename(regions)


def test_an_upgrade_by_init_is_quiet(prepared: tuple[Deployment, RootKey]) -> None:
    deployment, _ = prepared
    path = deployment.data / "regions" / REGION / "keys.sqlite"
    with sqlite3.connect(path) as raw:
        # The newest step undone.
        for table in ("condemned", "tombstones", "import_pairs"):
            raw.execute(f"DROP TABLE {table}")
        for column in ("rotation_days", "next_rotation_at", "deletion_at"):
            raw.execute(f"ALTER TABLE keys DROP COLUMN {column}")
        raw.execute("DROP INDEX key_versions_by_state")
        for column in ("changed_at", "origin", "rotated_at", "rotation_type", "expires_at", "description"):
            raw.execute(f"ALTER TABLE key_versions DROP COLUMN {column}")
        raw.execute("UPDATE alembic_version SET version_num = 'keys_0004'")
    refused(deployment.run("serve"), FAILED, "keys_0004", "keys_0005", "hsmkms init")
    outcome = deployment.run("init", "--json")
    assert (outcome.code, outcome.stderr) == (0, "")


# --- the life of a key -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Deployment, Any]]:
    """A running server on a token of its own, and a client of its root."""
    directory = tmp_path_factory.mktemp("alive")
    deployment = Deployment(directory)
    deployment.add_region(REGION, make_softhsm_token(directory / "softhsm", "alive"))
    root = deployment.init()
    with serving(deployment) as served:
        yield deployment, served.client(root, REGION)


def _key_file(directory: Path) -> Path:
    file = directory / "key-material"
    file.touch(mode=0o600)
    file.write_bytes(os.urandom(32))
    return file


def _events(deployment: Deployment, name: str) -> list[dict[str, Any]]:
    """What the service, or an operator, did by itself."""
    files = (deployment.data / "trail" / REGION).glob("*.jsonl")
    records = [json.loads(line) for file in files for line in file.read_text().splitlines() if line.strip()]
    return [one for one in records if (one["eventName"], one["eventType"]) == (name, "AwsServiceEvent")]


@pytest.mark.parametrize(
    ("algorithm", "place"),
    [
        pytest.param("RSAES_OAEP_SHA_1", "token", id="in the token"),
        pytest.param("RSAES_OAEP_SHA_256", "software", id="in software"),
        pytest.param("RSA_AES_KEY_WRAP_SHA_1", "software", id="wrapped twice, SHA-1"),
        pytest.param("RSA_AES_KEY_WRAP_SHA_256", "software", id="wrapped twice"),
    ],
)
def test_a_local_file_becomes_key_material_in_one_step(
    alive: tuple[Deployment, Any], tmp_path: Path, algorithm: str, place: str
) -> None:
    deployment, kms = alive
    key = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]
    file = _key_file(tmp_path)
    command = ("keys", "import", key["Arn"], str(file), "--algorithm", algorithm, "--json")
    outcome = deployment.run(*command, "--region", REGION, "--description", "from the safe")
    assert (outcome.code, outcome.stderr) == (0, "")
    taken = outcome.members
    assert (taken["key_arn"], taken["state"], taken["unwrapped_in"]) == (key["Arn"], "enabled", place)
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"under my own key")["CiphertextBlob"]
    assert (
        kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["CurrentKeyMaterialId"]
        == taken["key_material_id"]
    )
    kms.delete_imported_key_material(KeyId=key["KeyId"])
    assert refusal(kms.decrypt, CiphertextBlob=blob).code == "KMSInvalidStateException"
    again = deployment.run(*command, "--existing").members
    assert again["key_material_id"] == taken["key_material_id"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"under my own key"
    events = [
        event["serviceEventDetails"]
        for event in _events(deployment, "ImportKeyMaterial")
        if event["serviceEventDetails"]["keyId"] == key["KeyId"]
    ]
    assert [(one["keyMaterialId"], one["unwrappedIn"]) for one in events] == [
        (taken["key_material_id"], place)
    ] * 2
    for said in (outcome.said, json.dumps(events)):
        assert file.read_bytes().hex() not in said
    listed = deployment.run("tasks", "list", "--json").members["regions"][REGION]
    assert (listed["expired_import_pairs"]["count"], listed["unfinished"]["count"]) == (0, 0)


def test_what_cannot_be_imported_is_refused(alive: tuple[Deployment, Any], tmp_path: Path) -> None:
    deployment, kms = alive
    own, file = new_key(kms), _key_file(tmp_path)
    external = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["KeyId"]
    short = tmp_path / "short"
    short.write_bytes(b"s3cr3t")
    for arguments, code, words in (
        ((own, file), REFUSED, ("origin is AWS_KMS",)),
        (("no-such-key", file), REFUSED, ("there is no key no-such-key in region",)),
        (("arn:aws:kms:eu-west-9:123456789012:key/k", file), REFUSED, ("not a key of region eu-west-1",)),
        ((external, short), USAGE, ("exactly 32 bytes, and these are 6",)),
        ((external, file, "--existing"), REFUSED, ("not the same",)),
        ((external, file, "--expires", "2020-01-01T00:00:00Z"), REFUSED, ("at most 365 days",)),
        ((external, file, "--region", "eu-west-9"), USAGE, ("--region has to be one of eu-west-1",)),
    ):
        outcome = deployment.run("keys", "import", *map(str, arguments))
        refused(outcome, code, *words)
        assert "s3cr3t" not in outcome.said
    assert kms.describe_key(KeyId=external)["KeyMetadata"]["KeyState"] == "PendingImport"


def test_what_is_due_and_what_is_in_use_is_told_without_pin_or_token(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.add_region(REGION, make_softhsm_token(tmp_path / "softhsm", "told"))
    root = deployment.init()
    with serving(deployment) as served:
        kms = served.client(root, REGION)
        rotated, going = new_key(kms), new_key(kms, Description="\x1b[2J")
        kms.enable_key_rotation(KeyId=rotated, RotationPeriodInDays=90)
        blob = kms.encrypt(KeyId=rotated, Plaintext=b"old")["CiphertextBlob"]
        older = kms.describe_key(KeyId=rotated)["KeyMetadata"]["CurrentKeyMaterialId"]
        kms.rotate_key_on_demand(KeyId=rotated)
        kms.decrypt(CiphertextBlob=blob)
        kms.schedule_key_deletion(KeyId=going, PendingWindowInDays=7)
    blind = Deployment(tmp_path / "blind")
    blind.directory.mkdir()
    blind.regions = {
        REGION: {"module_path": "/nowhere.so", "token_label": "none", "pin_file": "/nowhere.pin"}
    }
    blind.data.symlink_to(deployment.data)
    blind.write()
    tasks = blind.run("tasks", "list", "--json").members["regions"][REGION]
    assert [one["key_arn"][-36:] for one in tasks["deletions"]["first"]] == [going]
    assert [(one["key_arn"][-36:], one["standing"]) for one in tasks["rotations"]["first"]] == [
        (rotated, "to come")
    ]
    assert tasks["time"]["held"] is False
    report = blind.run("keys", "reencrypt-report", "--key", rotated, "--json").members
    (uses,) = report["regions"][REGION]["keys"]
    first, second = uses["versions"]
    assert (first["key_material_id"], first["current"], second["current"]) == (older, False, True)
    assert first["last_encryption"]["operation"] == "Encrypt"
    assert first["last_decryption"]["operation"] == "Decrypt"
    assert (second["last_encryption"], second["last_decryption"]) == (None, None)
    for command in (("tasks", "list"), ("keys", "reencrypt-report")):
        human = blind.run(*command, COLUMNS="40")
        assert human.code == 0
        assert rotated in human.stdout
        assert "\x1b" not in human.stdout
    assert "1 older versions were decrypted with." in human.said
    refused(blind.run("tasks", "approve", "--yes"), FAILED, "nothing is held in eu-west-1")


# --- what is wrong ---------------------------------------------------------------------------------------

Spoil = Callable[[Deployment], None]


def _libc() -> Path:
    """A library that this very process has loaded."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return next(Path(line.split()[-1]) for line in lines if "/libc.so" in line or "/libc-" in line)


def _region(**changes: Any) -> Spoil:
    def spoil(deployment: Deployment) -> None:
        table = deployment.regions[REGION] | changes
        deployment.regions[REGION] = {name: value for name, value in table.items() if value is not None}

    return spoil


def _server(**changes: Any) -> Spoil:
    def spoil(deployment: Deployment) -> None:
        deployment.server |= changes

    return spoil


def _no_module(deployment: Deployment) -> None:
    path = deployment.directory / "text.so"
    path.write_text("this is no module\n")
    _region(module_path=str(path))(deployment)


def _readable_pin(deployment: Deployment) -> None:
    Path(deployment.regions[REGION]["pin_file"]).chmod(0o640)


def _empty_pin(deployment: Deployment) -> None:
    Path(deployment.regions[REGION]["pin_file"]).write_text("\n")


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        pytest.param(_region(color="red"), BAD_SETTINGS, ("regions.eu-west-1.color",), id="unknown setting"),
        pytest.param(
            _region(pin="1234"), BAD_SETTINGS, ("regions.eu-west-1.pin:",), id="the PIN in the settings file"
        ),
        pytest.param(
            _region(sessions=0), BAD_SETTINGS, ("regions.eu-west-1.sessions", "2"), id="out of range"
        ),
        pytest.param(
            _region(profile="lunar"),
            BAD_SETTINGS,
            ("unknown profile 'lunar'", "softhsm"),
            id="unknown profile",
        ),
        pytest.param(
            _region(pin_file=None), BAD_SETTINGS, ("exactly one of pin_file and pin_credential",), id="no PIN"
        ),
        pytest.param(
            _region(token_serial="1"),
            BAD_SETTINGS,
            ("exactly one of token_label and token_serial",),
            id="two names of the token",
        ),
        pytest.param(
            _region(module_path="/nowhere/libhsm.so"),
            TOKEN,
            ("region eu-west-1", "/nowhere/libhsm.so"),
            id="no module",
        ),
        pytest.param(_no_module, TOKEN, ("region eu-west-1", "text.so"), id="a text file for a module"),
        pytest.param(
            _region(module_path=str(_libc())),
            TOKEN,
            ("region eu-west-1", "libc.so"),
            id="a library that is no PKCS#11 module",
        ),
        pytest.param(
            _region(token_label="somewhere-else"),
            TOKEN,
            ("region eu-west-1", "'somewhere-else'"),
            id="no such token",
        ),
        pytest.param(
            _readable_pin, BAD_SETTINGS, ("others may read", "chmod 600"), id="a PIN for all to read"
        ),
        pytest.param(_empty_pin, BAD_SETTINGS, ("is empty",), id="an empty PIN file"),
        pytest.param(
            _region(pin_file="/nowhere.pin"), BAD_SETTINGS, ("/nowhere.pin", "No such file"), id="no PIN file"
        ),
        pytest.param(
            _server(listen="127.0.0.1"),
            BAD_SETTINGS,
            ("server", "ADDRESS:PORT"),
            id="an address without port",
        ),
        pytest.param(
            _server(tls_key="/etc/key.pem"), BAD_SETTINGS, ("tls_certificate and tls_key",), id="half of TLS"
        ),
    ],
)
def test_init_says_what_is_wrong(
    fresh: Deployment, token: SoftHsmToken, spoil: Spoil, code: int, words: tuple[str, ...]
) -> None:
    spoil(fresh)
    fresh.write()
    outcome = fresh.run("init")
    refused(outcome, code, *words)
    assert token.pin not in outcome.said


def test_a_settings_file_that_is_none(tmp_path: Path) -> None:
    for command in ("init", "serve", "doctor"):
        refused(
            run_command(command, "--config", tmp_path / "none.toml"),
            BAD_SETTINGS,
            "none.toml",
            "No such file or directory",
        )
    refused(run_command("init", "--config", tmp_path), BAD_SETTINGS, "Is a directory")
    broken = tmp_path / "broken.toml"
    broken.write_text("data = \n")
    refused(run_command("init", "--config", broken), BAD_SETTINGS, "broken.toml", "not TOML")
    outcome = run_command("serve")
    assert (outcome.code, "--config" in outcome.stderr) == (USAGE, True)


def test_serve_before_init_says_so(fresh: Deployment) -> None:
    fresh.write()
    outcome = fresh.run("serve")
    assert outcome.code != 0
    refused(outcome, outcome.code, "hsmkms init")
    doctor = fresh.run("doctor", "--json")
    assert doctor.code == FAILED
    assert any("hsmkms init" in problem for problem in doctor.members["problems"])


def test_a_wrong_pin_is_tried_once(
    prepared: tuple[Deployment, RootKey], token: SoftHsmToken, shim_module: Path, tmp_path: Path
) -> None:
    """By the first of two workers' worth of commands; a marker then keeps every other from the token."""
    shared, root = prepared
    files = tmp_path / "shim"
    files.mkdir()
    shim = FaultShim(shim_module, files)
    deployment = Deployment(tmp_path)
    deployment.server["workers"] = 2
    deployment.add_region(
        REGION,
        token,
        module_path=str(shim.module),
        environment={**token.environment, **shim.environment},
    )
    deployment.data.symlink_to(shared.data)
    pin_file = Path(deployment.regions[REGION]["pin_file"])
    pin_file.write_text("not-the-pin")
    deployment.write()
    marker = deployment.data / "run" / f"pin-refused-{REGION}"
    try:
        outcome = deployment.run("serve")
        refused(outcome, TOKEN, f"region {REGION}", "CKR_PIN_INCORRECT", f"remove {marker}", "not started")
        assert shim.calls("C_Login") == 1
        for command in (("serve",), ("init",)):
            outcome = deployment.run(*command)
            refused(outcome, TOKEN, "refused the PIN earlier", f"remove {marker}")
            assert "not-the-pin" not in outcome.said
        doctor = deployment.run("doctor", "--json")
        assert doctor.code == FAILED
        assert any("refused the PIN earlier" in problem for problem in doctor.members["problems"])
        assert shim.calls("C_Login") == 1
        # Mended, as the message says.
        pin_file.write_text(token.pin)
        marker.unlink()
        with serving(deployment) as served:
            assert new_key(served.client(root, REGION))
    finally:
        marker.unlink(missing_ok=True)


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:4766"])
def test_other_machines_need_tls(prepared: tuple[Deployment, RootKey], tmp_path: Path, listen: str) -> None:
    deployment = Deployment(tmp_path, regions=prepared[0].regions)
    deployment.data.symlink_to(prepared[0].data)
    deployment.server["listen"] = listen
    deployment.write()
    refused(deployment.run("serve"), BAD_SETTINGS, listen, "tls_certificate")
    refused(
        run_command("dev", "--listen", listen, "--data", tmp_path / "dev"),
        USAGE,
        "loopback only",
        "hsmkms serve",
    )
    assert not (tmp_path / "dev").exists()


def test_a_port_in_use(prepared: tuple[Deployment, RootKey], tmp_path: Path) -> None:
    deployment = Deployment(tmp_path, regions=prepared[0].regions)
    deployment.data.symlink_to(prepared[0].data)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        deployment.server["listen"] = listen
        deployment.write()
        refused(deployment.run("serve"), FAILED, f"cannot listen on {listen}", "Address already in use")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("--region", "Mars"), id="no region"),
        pytest.param(("--account", "12345"), id="no account"),
        pytest.param(("--access-key", "AKIAWITHOUTSECRET123"), id="an access key without a secret"),
        pytest.param(("--workers", "0"), id="no workers"),
        pytest.param(("--listen", "here"), id="no address"),
    ],
)
def test_dev_refuses_arguments(tmp_path: Path, arguments: tuple[str, str]) -> None:
    outcome = run_command("dev", "--data", tmp_path / "dev", *arguments)
    assert outcome.code == USAGE, outcome.said
    assert "Traceback" not in outcome.said
    assert not (tmp_path / "dev").exists()


def test_a_short_secret_is_refused_without_being_repeated(tmp_path: Path) -> None:
    arguments = ("--data", tmp_path / "dev", "--access-key", "AKIAOWNKEY1234567890:s3cr3t")
    outcome = run_command("dev", *arguments)
    refused(outcome, USAGE, "A secret access key is 16 to 128")
    assert "s3cr3t" not in outcome.said
    assert not (tmp_path / "dev").exists()


# --- whose directory it is -------------------------------------------------------------------------------


@pytest.fixture
def nobodys(prepared: tuple[Deployment, RootKey]) -> Iterator[Deployment]:
    """The prepared deployment, its data directory given to another user for a while."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    deployment, _ = prepared
    os.chown(deployment.data, pwd.getpwnam("nobody").pw_uid, -1)
    yield deployment
    os.chown(deployment.data, 0, -1)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("init",), id="init"),
        pytest.param(("serve",), id="serve"),
        pytest.param(("doctor",), id="doctor"),
        pytest.param(("account", "create", "222222222222"), id="account create"),
        pytest.param(("user", "list"), id="user list"),
        pytest.param(("access-key", "list"), id="access-key list"),
        pytest.param(("access-key", "create", "--account", "222222222222"), id="access-key create"),
        pytest.param(("access-key", "disable", "AKIANOSUCHKEY1234567"), id="access-key disable"),
        pytest.param(
            ("access-key", "import", "--account", "222222222222", "AKIANOSUCHKEY1234567"),
            id="access-key import",
        ),
        pytest.param(("tasks", "list"), id="tasks list"),
        pytest.param(("tasks", "approve", "--yes"), id="tasks approve"),
        pytest.param(("keys", "reencrypt-report"), id="keys reencrypt-report"),
        pytest.param(("keys", "import", "no-such-key", "/dev/null"), id="keys import"),
        pytest.param(("dev",), id="dev"),
    ],
)
def test_another_users_directory_is_left_alone(nobodys: Deployment, arguments: tuple[str, ...]) -> None:
    before = sorted(path for path in nobodys.data.rglob("*"))
    if arguments == ("dev",):
        outcome = run_command("dev", "--listen", "127.0.0.1:0", "--data", nobodys.data)
    else:
        outcome = nobodys.run(*arguments)
    refused(outcome, WRONG_USER, f"{nobodys.data} belongs to user nobody", "sudo -u nobody hsmkms")
    assert sorted(path for path in nobodys.data.rglob("*")) == before


def test_dev_with_json_prints_exactly_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hsmkms", "dev", "--json", "--listen", "127.0.0.1:0", "--data", "data"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        announced = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == ""
        assert process.wait(30) == 0
    assert announced.keys() == {"endpoint", "account", "access_key_id", "secret_access_key", "regions"}
    assert announced["regions"] == ["us-east-1"]


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_dev_that_is_ended_while_it_starts_leaves_nobody_behind(tmp_path: Path, sent: signal.Signals) -> None:
    command = [sys.executable, "-m", "hsmkms", "dev", "--json", "--listen", "127.0.0.1:0", "--data", "data"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        wait_until(lambda: worker_pids(process.pid), "the process that makes the token calls")
        (child,) = worker_pids(process.pid)
        process.send_signal(sent)
        assert process.stdout is not None
        assert process.stdout.read() == ""  # comes back only when nobody holds the other end any more
        process.wait(30)
    wait_until(lambda: "spawn_main" not in command_line(child), "its end")


def test_an_interrupted_start_says_nothing_of_python(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hsmkms", "dev", "--listen", "127.0.0.1:0", "--data", "data"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    ) as process:
        wait_until(lambda: worker_pids(process.pid), "the process that makes the token calls")
        os.killpg(process.pid, signal.SIGINT)  # what a terminal does with Ctrl-C
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "")


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = run_command("dev", "--listen", "127.0.0.1:0", "--data", tmp_path / "file" / "data")
    refused(outcome, FAILED, str(tmp_path / "file" / "data"), "Not a directory")
