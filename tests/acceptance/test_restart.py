"""Stopped, killed and started again on the same directory: everything is still there."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from hsmkms.testing.server import DevServer, ServerStartError
from tests.acceptance.clients import client, new_key, refusal
from tests.acceptance.deployments import command_line, run_command, worker_pids
from tests.acceptance.polling import wait_until

OWN_KEY_ID = "AKIAOWNKEY1234567890"
OWN_SECRET = "own/secret+0123456789abcdefghijklmnopqr"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    """A server of this module's own, which its tests stop, kill and start."""
    server = DevServer(tmp_path_factory.mktemp("kept") / "data", workers=2)
    server.start()
    yield server
    server.stop()


def _workers(server: DevServer) -> set[int]:
    return worker_pids(server.pid)


def _gone(pids: set[int]) -> bool:
    return all("spawn_main" not in command_line(pid) for pid in pids)


def _doctor(server: DevServer) -> dict[str, Any]:
    outcome = run_command("doctor", "--config", server.data / "hsmkms.toml", "--json")
    assert outcome.code == 0, outcome.said
    return outcome.members


def test_after_a_restart_everything_is_as_before(kept: DevServer) -> None:
    kms = client(kept)
    key = new_key(kms, Description="kept", Tags=[{"TagKey": "t", "TagValue": "v"}])
    kms.create_alias(AliasName="alias/kept", TargetKeyId=key)
    blob = kms.encrypt(KeyId=key, Plaintext=b"kept", EncryptionContext={"a": "b"})["CiphertextBlob"]
    wrapped = kms.generate_data_key_without_plaintext(KeyId=key, KeySpec="AES_256")["CiphertextBlob"]
    data_key = kms.decrypt(CiphertextBlob=wrapped)["Plaintext"]
    disabled = new_key(kms)
    kms.disable_key(KeyId=disabled)
    metadata = kms.describe_key(KeyId=key)["KeyMetadata"]
    before = (kept.account, kept.access_key_id, kept.secret_access_key, kept.regions)
    workers = _workers(kept)

    assert kept.stop() == 0
    assert _gone(workers)
    kept.start()

    assert (kept.account, kept.access_key_id, kept.secret_access_key, kept.regions) == before
    kms = client(kept)
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b"})["Plaintext"] == b"kept"
    assert kms.decrypt(CiphertextBlob=wrapped)["Plaintext"] == data_key
    assert kms.describe_key(KeyId="alias/kept")["KeyMetadata"] == metadata
    assert kms.list_resource_tags(KeyId=key)["Tags"] == [{"TagKey": "t", "TagValue": "v"}]
    assert refusal(kms.encrypt, KeyId=disabled, Plaintext=b"x").code == "DisabledException"


def test_a_worker_that_is_killed_is_replaced(kept: DevServer) -> None:
    kms = client(kept)
    key = new_key(kms)
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    before = _workers(kept)
    assert len(before) == 2
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    # A connection that was on the victim breaks; a new one always finds the other worker.
    broken = 0
    for _ in range(30):
        try:
            assert client(kept).decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
        except BotoCoreError:
            broken += 1
    assert broken <= 2
    wait_until(lambda: len(_workers(kept) - {victim}) == 2, "a second worker again")
    assert victim not in _workers(kept)


def test_without_their_supervisor_workers_end_and_the_port_is_free(kept: DevServer) -> None:
    kms = client(kept)
    key = new_key(kms)
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    workers = _workers(kept)
    assert len(workers) == 2
    kept.kill()
    wait_until(lambda: _gone(workers), "the workers end")
    kept.start()
    assert client(kept).decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_a_worker_that_was_starting_when_its_supervisor_died_ends_too(kept: DevServer) -> None:
    """It must not take its new parent for the supervisor."""
    before = _workers(kept)
    os.kill(min(before), signal.SIGKILL)
    (replacement,) = wait_until(lambda: _workers(kept) - before, "a replacement is spawned")
    kept.kill()
    wait_until(lambda: _gone(before | {replacement}), "the workers end")
    kept.start()


def test_a_crash_in_a_burst_of_new_keys_loses_none_that_was_answered(kept: DevServer) -> None:
    clients = [client(kept) for _ in range(8)]
    sealed: list[tuple[str, bytes]] = []
    enough = threading.Event()

    def make_keys(kms: Any) -> None:
        while True:
            try:
                key = new_key(kms)
                sealed.append((key, kms.encrypt(KeyId=key, Plaintext=key.encode())["CiphertextBlob"]))
            except (BotoCoreError, ClientError):
                return
            if len(sealed) >= 60:
                enough.set()

    threads = [threading.Thread(target=make_keys, args=(kms,)) for kms in clients]
    workers = _workers(kept)
    for thread in threads:
        thread.start()
    assert enough.wait(30)
    for pid in (kept.pid, *workers):
        os.kill(pid, signal.SIGKILL)
    kept.kill()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    kept.start()
    kms = client(kept)
    for key, blob in sealed:
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == key.encode()
        assert kms.describe_key(KeyId=key)["KeyMetadata"]["Enabled"] is True
    objects = _doctor(kept)["regions"]["us-east-1"]["objects"]
    assert (objects["missing"], objects["unknown"], objects["duplicate"]) == ([], [], [])
    assert objects["rows"] >= len(sealed)


def test_doctor_beside_a_running_server_finds_it_well(kept: DevServer) -> None:
    found = _doctor(kept)
    assert found["problems"] == []
    assert found["regions"]["us-east-1"]["state"] == "ready"
    assert found["identities"] == {
        "accounts": 1,
        "users": 0,
        "roles": 0,
        "services": 0,
        "access_keys": 1,
        "regions_that_open_it": ["us-east-1"],
    }


def test_a_second_server_on_the_port_is_refused(kept: DevServer, tmp_path: Path) -> None:
    listen = kept.endpoint.removeprefix("http://")
    outcome = run_command("dev", "--listen", listen, "--data", tmp_path / "second")
    assert outcome.code == 1
    assert f"cannot listen on {listen}: Address already in use" in outcome.said
    assert "Traceback" not in outcome.said


def test_two_started_at_once_on_a_fresh_directory_are_one_kms(tmp_path: Path) -> None:
    servers = [DevServer(tmp_path / "data") for _ in range(2)]
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(DevServer.start, servers))
        one, two = servers
        assert one.endpoint != two.endpoint
        assert (one.access_key_id, one.secret_access_key) == (two.access_key_id, two.secret_access_key)
        key = new_key(client(one))
        blob = client(two).encrypt(KeyId=key, Plaintext=b"both")["CiphertextBlob"]
        assert client(one).decrypt(CiphertextBlob=blob)["Plaintext"] == b"both"
        assert _doctor(one)["problems"] == []
    finally:
        for server in servers:
            server.stop()


def test_an_access_key_of_ones_own(tmp_path: Path) -> None:
    arguments = ("--access-key", f"{OWN_KEY_ID}:{OWN_SECRET}", "--account", "210987654321")
    server = DevServer(tmp_path / "data", arguments=arguments)
    with server:
        assert (server.account, server.access_key_id) == ("210987654321", OWN_KEY_ID)
        assert server.secret_access_key == OWN_SECRET
        assert client(server, "sts").get_caller_identity()["Account"] == "210987654321"
    # Another region later: the first one stays, and the pair is known already.
    server = DevServer(tmp_path / "data", regions=("us-east-1", "ap-south-1"), arguments=arguments)
    with server:
        assert server.regions == ["us-east-1", "ap-south-1"]
        for region in server.regions:
            assert new_key(client(server, region=region))
    other = DevServer(
        tmp_path / "data", arguments=("--access-key", f"{OWN_KEY_ID}:another-secret-0123456789")
    )
    with pytest.raises(ServerStartError, match="exists with another secret or account") as told:
        other.start()
    other.stop()
    assert "another-secret" not in str(told.value)
