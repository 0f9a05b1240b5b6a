"""A complete KMS out of nothing in one directory: SoftHSM tokens with generated PINs, and a settings file.

For development and tests. Started again on the same directory, everything is still there; regions that are
asked for anew are added.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hsmkms.config import CONFIG_FILE_NAME, Settings, apply_module_environment, load_settings, read_pin
from hsmkms.hsm import (
    CkrError,
    ModuleLoadError,
    Modules,
    Pin,
    ProvisionError,
    TokenSettings,
    complete_softhsm_token,
    initialize_softhsm_token,
)
from hsmkms.model.names import Region
from hsmkms.wiring.preparation import (
    PreparationError,
    SettingsConflictError,
    TokenPreparationError,
    failures_of_writing,
)

DEFAULT_REGION: Final = Region("us-east-1")

# SoftHSM cuts a line of its configuration at a number sign, and keeps its tokens wherever the rest points.
_UNUSABLE: Final = re.compile(r"[\x00-\x1f\x7f#]")
_LONGEST_LABEL: Final = 32
_MODULE_GLOBS: Final = ("lib/softhsm/libsofthsm2.so", "lib/*/softhsm/libsofthsm2.so", "lib*/libsofthsm2.so")
_MODULE_ROOTS: Final = (Path("/usr"), Path("/usr/local"), Path("/opt/homebrew"))
_TOKEN_FAILURES: Final = (ProvisionError, ModuleLoadError, CkrError)
_SOFTHSM_CONF: Final = """\
directories.tokendir = {tokens}
objectstore.backend = file
log.level = ERROR
slots.removable = false
"""
# Values are JSON strings, which TOML reads as basic strings.
_SETTINGS_HEAD: Final = """\
# Written by `hsmkms dev`: for development, not for production.
data = {data}
"""
_SETTINGS_REGION: Final = """
[regions.{region}]
module_path = {module}
token_label = {label}
pin_file = {pin_file}
profile = "softhsm"
environment = {{ SOFTHSM2_CONF = {conf} }}
"""


def lay_out(data: Path, regions: Sequence[Region]) -> Settings:
    """Make the directory, its settings file and the PINs, as far as they are missing; makes no token call.

    Args:
        regions: to be served besides those that the directory has. When there are none at all,
            ``DEFAULT_REGION`` is.

    Raises:
        SettingsConflictError: the directory was made in another place, or SoftHSM cannot have its path.
        PreparationError: there is no SoftHSM here, or the directory cannot be written.
        ConfigError: the directory's settings file does not load.
    """
    data = data.resolve()
    _require_usable(data)
    path = data / CONFIG_FILE_NAME
    known = _settings_made_here(path, data) if path.exists() else None
    served = known.regions if known else {}
    wanted = [region for region in dict.fromkeys(regions) if region not in served]
    if not wanted and not served:
        wanted = [DEFAULT_REGION]
    if not wanted and known:
        return known
    with failures_of_writing(data):
        _make_private(data / "pins")
        conf = _write_softhsm_conf(data / "softhsm")
        text = path.read_text(encoding="utf-8") if known else _SETTINGS_HEAD.format(data=_toml(data))
        for region in wanted:
            label = _label_of(region)
            for kind in ("user", "so"):
                pin = data / "pins" / f"{region}.{kind}"
                # One that is there belongs to a token that is there.
                if not pin.exists():
                    _write_private(pin, secrets.token_hex(16))
            text += _SETTINGS_REGION.format(
                region=region,
                module=_toml(find_softhsm()),
                label=_toml(label),
                pin_file=_toml(data / "pins" / f"{region}.user"),
                conf=_toml(conf),
            )
        _write_private(path, text)
    return load_settings(path)


def _require_usable(directory: Path) -> None:
    if _UNUSABLE.search(str(directory)):
        raise SettingsConflictError(
            f"{str(directory)!r}: SoftHSM can have neither '#' nor control characters in its directory's path"
        )


def _label_of(region: Region) -> str:
    label = f"hsmkms-{region}"
    if len(label) > _LONGEST_LABEL:
        # Cut off, it could be another region's too.
        raise SettingsConflictError(
            f"{region}: too long a name for a token's label of {_LONGEST_LABEL} characters"
        )
    return label


def _settings_made_here(path: Path, data: Path) -> Settings:
    """The directory's own settings, which name their place: a copy would work on the original."""
    settings = load_settings(path)
    if settings.data.resolve() != data:
        raise SettingsConflictError(
            f"{path} belongs to {settings.data}: put the directory back there, or start with an empty one"
        )
    return settings


def _toml(value: object) -> str:
    return json.dumps(str(value), ensure_ascii=False)


def make_tokens(settings: Settings) -> None:
    """Make the regions' tokens that are missing, and finish those whose making was cut short.

    Makes token calls, and wants a process of its own: one that goes on afterwards would see an old list of
    slots.

    Raises:
        TokenPreparationError: SoftHSM refuses.
        PreparationError: the security officer's PIN cannot be read.
        ConfigError: a PIN cannot be read.
    """
    apply_module_environment(settings.regions)
    modules = Modules()
    for region, token in settings.regions.items():
        try:
            so_pin = Pin((settings.data / "pins" / f"{region}.so").read_text(encoding="utf-8"))
            complete_softhsm_token(token, so_pin, read_pin(region, token), modules)
        except OSError as error:
            raise PreparationError(f"region {region}: {error.filename}: {error.strerror}") from error
        except _TOKEN_FAILURES as error:
            raise TokenPreparationError(f"region {region}: {error}") from error


def softhsm_settings(directory: Path, label: str) -> TokenSettings:
    """Settings of a SoftHSM token of its own in ``directory``, which is made ready; makes no token call.

    Raises:
        PreparationError: there is no SoftHSM here, or the directory cannot be used or written.
    """
    _require_usable(directory)
    with failures_of_writing(directory):
        conf = _write_softhsm_conf(directory)
    return TokenSettings(
        module_path=find_softhsm(),
        token_label=label,
        profile="softhsm",
        environment={"SOFTHSM2_CONF": str(conf)},
    )


def initialize_token(settings: TokenSettings, so_pin: str, pin: str) -> str:
    """Make one SoftHSM token and give its serial number; wants a process of its own like ``make_tokens``.

    Raises:
        PreparationError: SoftHSM refuses.
    """
    apply_module_environment({Region("the token"): settings})
    try:
        return initialize_softhsm_token(settings, Pin(so_pin), Pin(pin), Modules())
    except _TOKEN_FAILURES as error:
        raise TokenPreparationError(str(error)) from error


def find_softhsm() -> Path:
    """Where the system's package put SoftHSM's module.

    Raises:
        PreparationError: nowhere.
    """
    for root in _MODULE_ROOTS:
        for pattern in _MODULE_GLOBS:
            for path in sorted(root.glob(pattern)):
                return path
    raise PreparationError("SoftHSM is not installed; on Debian and Ubuntu: apt-get install softhsm2")


def _write_softhsm_conf(directory: Path) -> Path:
    tokens = directory / "tokens"
    _make_private(tokens)
    conf = directory / "softhsm2.conf"
    if not conf.exists():
        _write_private(conf, _SOFTHSM_CONF.format(tokens=tokens))
    return conf


def _make_private(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def _write_private(path: Path, text: str) -> None:
    """Write a file whole or not at all, readable by its owner only."""
    scratch = path.with_name(f".{path.name}.new")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
