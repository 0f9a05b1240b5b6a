"""The plugin as a user's own suite sees it: found by itself, three fixtures, one server a session."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hsmkms.testing.server import DevServer, ServerStartError
from hsmkms.testing.token import make_softhsm_token
from tests.faultshim import SOFTHSM_MODULE

pytestmark = pytest.mark.skipif(not SOFTHSM_MODULE.exists(), reason="SoftHSM is not installed")

SUITE = """
import os
import subprocess

import boto3
import pytest

endpoints = []


def test_sealing(hsmkms_boto3):
    kms = boto3.client("kms", **hsmkms_boto3)
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    sealed = kms.encrypt(KeyId=key_id, Plaintext=b"hello")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"hello"
    endpoints.append(hsmkms_boto3["endpoint_url"])


def test_the_server_is_the_sessions(hsmkms_boto3, hsmkms_server):
    assert endpoints == [hsmkms_server.endpoint]
    assert hsmkms_boto3["region_name"] == "us-east-1"
    assert hsmkms_server.client().list_keys()["Keys"]
    assert hsmkms_server.environment()["AWS_ENDPOINT_URL_KMS"] == hsmkms_server.endpoint


labels = set()


@pytest.mark.parametrize("run", [1, 2])
def test_a_token_of_ones_own(softhsm_token, run):
    listed = subprocess.run(
        ["pkcs11-tool", "--module", str(softhsm_token.module_path), "--login", "--pin", softhsm_token.pin,
         "--token-label", softhsm_token.label, "--list-objects"],
        env={**os.environ, **softhsm_token.environment}, capture_output=True, text=True, check=True,
    )
    assert listed.stdout.strip() == ""
    labels.add(softhsm_token.serial)
    assert len(labels) == run
"""


def test_a_users_suite_runs_with_the_fixtures(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=4)


def test_the_fixtures_are_documented(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--fixtures", "-q")
    result.stdout.fnmatch_lines_random(["hsmkms_boto3*", "hsmkms_server*", "softhsm_token*"])


def test_loading_the_plugin_loads_neither_the_server_nor_pkcs11() -> None:
    """pytest loads it in every project of an environment."""
    script = (
        "import sys, hsmkms.testing.plugin; "
        "print([name for name in ('pkcs11', 'sqlalchemy', 'uvicorn', 'boto3', 'cryptography')"
        " if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_two_tokens_in_one_directory_are_two(tmp_path: Path) -> None:
    first = make_softhsm_token(tmp_path / "hsm", "first")
    second = make_softhsm_token(tmp_path / "hsm", "second")
    assert first.serial != second.serial
    assert first.environment == second.environment
    assert first.pin not in repr(first)
    assert first.so_pin not in repr(first)


def test_a_server_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    server = DevServer(tmp_path / "data", arguments=("--account", "42"))
    with pytest.raises(ServerStartError, match="an account id is twelve digits"):
        server.start()
    server.stop()


def test_a_server_that_is_not_running_has_no_pid_and_stops_quietly(tmp_path: Path) -> None:
    server = DevServer(tmp_path / "data")
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.pid
    assert server.stop() == 0
