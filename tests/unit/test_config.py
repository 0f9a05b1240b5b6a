"""Every refusal of a setting says which one and why; no PIN is ever part of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from hsmkms.config import (
    ConfigError,
    RegionSettings,
    ServerSettings,
    Settings,
    apply_module_environment,
    load_settings,
    read_pin,
)
from hsmkms.hsm import TokenSettings
from hsmkms.model.names import Region

REGION = Region("eu-west-1")
OTHER = Region("eu-west-2")
HEAD = 'data = "/var/lib/hsmkms"\n'
TOKEN = '[regions.eu-west-1]\nmodule_path = "/m.so"\ntoken_label = "kms"\n'
PIN = 'pin_file = "/pin"\n'


def write(directory: Path, text: str | bytes) -> Path:
    path = directory / "hsmkms.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_reads_a_whole_file(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, HEAD + '[server]\nlisten = "[::1]:0"\n' + TOKEN + PIN))
    assert settings.server.address() == ("::1", 0)
    assert settings.server.is_loopback
    assert settings.store.directory == Path("/var/lib/hsmkms")
    assert settings.trail.directory == Path("/var/lib/hsmkms/trail")
    assert list(settings.regions) == [REGION]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("data = ", "not TOML", id="no TOML"),
        pytest.param(b"data = '\xff'", "not TOML", id="no UTF-8"),
        pytest.param("", "data: Field required", id="nothing in it"),
        pytest.param(HEAD, "regions: Field required", id="no region"),
        pytest.param(HEAD + "[regions]\n", "regions: ", id="empty table of regions"),
        pytest.param('data = "here"\n' + TOKEN + PIN, "absolute", id="relative directory"),
        pytest.param(HEAD + "colour = 1\n" + TOKEN + PIN, "colour: Extra", id="unknown setting"),
        pytest.param(HEAD + "[server]\nworker = 1\n" + TOKEN + PIN, "server.worker: Extra", id="misspelt"),
        pytest.param(
            HEAD + TOKEN.replace("eu-west-1", "Europe") + PIN,
            "'Europe' is no region name",
            id="region's name",
        ),
        pytest.param(HEAD + TOKEN, "exactly one of pin_file and pin_credential", id="no PIN"),
        pytest.param(
            HEAD + TOKEN + PIN + 'pin_credential = "p"\n',
            "exactly one of pin_file and pin_credential",
            id="two PINs",
        ),
        pytest.param(
            HEAD + TOKEN.replace("/m.so", "m.so") + PIN, "'m.so' has to be an absolute path", id="bare module"
        ),
        pytest.param(
            HEAD + TOKEN + 'pin_file = "pin"\n', "'pin' has to be an absolute path", id="relative PIN file"
        ),
        pytest.param(
            HEAD + '[server]\ntls_certificate = "c"\ntls_key = "/k"\n' + TOKEN + PIN,
            "'c' has to be an absolute path",
            id="relative certificate",
        ),
        pytest.param(HEAD + TOKEN + 'pin = "1234"\n', "pin: Extra", id="a PIN in the file"),
    ],
)
def test_refuses_a_file(text: str | bytes, said: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        load_settings(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert said in str(refused.value)
    assert "1234" not in str(refused.value)


def test_says_which_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_settings(tmp_path / "hsmkms.toml")


@pytest.mark.parametrize(
    "listen",
    [
        pytest.param("127.0.0.1", id="no port"),
        pytest.param("127.0.0.1:", id="empty port"),
        pytest.param("127.0.0.1:http", id="port in words"),
        pytest.param("127.0.0.1:65536", id="port too high"),
        pytest.param("127.0.0.1:\u0661", id="port in other digits"),
        pytest.param("localhost:80", id="a name"),
        pytest.param(":80", id="no address"),
    ],
)
def test_refuses_an_address(listen: str) -> None:
    with pytest.raises(ValidationError):
        ServerSettings(listen=listen)


@pytest.mark.parametrize(
    ("listen", "is_loopback"),
    [("127.0.0.1:1", True), ("[::1]:1", True), ("0.0.0.0:1", False), ("[::]:1", False)],
)
def test_knows_loopback(listen: str, is_loopback: bool) -> None:
    assert ServerSettings(listen=listen).is_loopback is is_loopback


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workers", 0),
        ("workers", 257),
        ("max_connections", 15),
        ("max_connections", 100_001),
        ("head_seconds", 0),
        ("head_seconds", 61),
        ("body_seconds", 0),
        ("body_limit_bytes", 1),
        ("body_limit_bytes", 2**21),
        ("bodies_limit_bytes", 1),
        ("answer_seconds", 0),
        ("idle_seconds", 0),
        ("hang_seconds", 0.5),
        ("tls_certificate", Path("/tls.pem")),
        ("tls_key", Path("/tls.key")),
    ],
)
def test_refuses_what_is_out_of_range(name: str, value: object) -> None:
    with pytest.raises(ValidationError):
        ServerSettings.model_validate({name: value})


def pin_settings(**source: object) -> RegionSettings:
    return RegionSettings.model_validate({"module_path": "/m.so", "token_label": "kms", **source})


@pytest.mark.parametrize(
    ("content", "pin"),
    [(b"1234", b"1234"), (b"1234\n", b"1234"), (b"1234\r\n", b"1234"), (b" 12 34 \n\n", b" 12 34 \n")],
)
def test_reads_a_pin_file(content: bytes, pin: bytes, tmp_path: Path) -> None:
    path = tmp_path / "pin"
    path.write_bytes(content)
    path.chmod(0o600)
    read = read_pin(REGION, pin_settings(pin_file=path))
    assert read.reveal() == pin
    assert repr(read) == "<pin>"


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        pytest.param(b"1234", 0o640, "chmod 600", id="the group may read it"),
        pytest.param(b"1234", 0o604, "chmod 600", id="others may read it"),
        pytest.param(b"", 0o600, "is empty", id="empty"),
        pytest.param(b"\n", 0o600, "is empty", id="a line end alone"),
        pytest.param(b"\xff1234", 0o600, "is not UTF-8", id="no text"),
        pytest.param(None, 0o600, "No such file", id="missing"),
    ],
)
def test_refuses_a_pin_file(content: bytes | None, mode: int, said: str, tmp_path: Path) -> None:
    path = tmp_path / "pin"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(ConfigError, match=said) as refused:
        read_pin(REGION, pin_settings(pin_file=path))
    assert "eu-west-1" in str(refused.value)
    assert "1234" not in str(refused.value)


def test_reads_a_systemd_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kms-pin").write_text("1234\n", encoding="ascii")
    settings = pin_settings(pin_credential="kms-pin")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(ConfigError, match="CREDENTIALS_DIRECTORY"):
        read_pin(REGION, settings)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_pin(REGION, settings).reveal() == b"1234"


def token(**environment: str) -> TokenSettings:
    return TokenSettings(module_path=Path("/m.so"), token_label="kms", environment=environment)


def test_module_environment_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HSMKMS_TEST_CONF", "")
    apply_module_environment({REGION: token(HSMKMS_TEST_CONF="/a"), OTHER: token(HSMKMS_TEST_CONF="/a")})
    assert os.environ["HSMKMS_TEST_CONF"] == "/a"


def test_regions_that_disagree_about_the_environment_are_refused() -> None:
    with pytest.raises(
        ConfigError, match="eu-west-1 and eu-west-2 want different values of HSMKMS_TEST_CONF"
    ):
        apply_module_environment({REGION: token(HSMKMS_TEST_CONF="/a"), OTHER: token(HSMKMS_TEST_CONF="/b")})


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, HEAD + TOKEN + PIN))
    assert isinstance(settings, Settings)
    with pytest.raises(ValidationError):
        settings.data = tmp_path


def test_rules_for_the_life_of_keys_have_safe_defaults(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, HEAD + TOKEN + PIN)).lifecycle
    assert settings.encryption_limit == 2**32
    assert settings.encryption_limits.rotate_at == 2**31
    assert (settings.on_demand_rotations, settings.minimum_deletion_window_days) == (25, 7)
    assert (settings.service_key_rotation_days, settings.clock_grace_hours) == (1095, 24)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("encryption_limit = 4294967297", id="more than is safe"),
        pytest.param("encryption_limit = 7", id="no room for blocks"),
        pytest.param("on_demand_rotations = -1", id="fewer than none"),
        pytest.param("minimum_deletion_window_days = 6", id="shorter than AWS's"),
        pytest.param("minimum_deletion_window_days = 31", id="longer than any window"),
        pytest.param("service_key_rotation_days = 89", id="too often"),
        pytest.param("clock_grace_hours = 0", id="no grace"),
        pytest.param("rotation = 1", id="unknown"),
    ],
)
def test_refuses_a_rule_that_is_out_of_range(line: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=line.partition(" ")[0]):
        load_settings(write(tmp_path, f"{HEAD}[lifecycle]\n{line}\n{TOKEN}{PIN}"))
