"""One frozen tree of settings, made of each room's own part, from one TOML file; and the environment.

Nothing else in the package reads ``os.environ`` or a settings file. A PIN is never part of the tree: the
tree says where it is, ``read_pin`` fetches it.
"""

from __future__ import annotations

import ipaddress
import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hsmkms.frontends.aws.settings import AwsSettings
from hsmkms.hsm import Pin, TokenSettings
from hsmkms.model.names import REGION_PATTERN, Region
from hsmkms.service.lifecycle import LifecycleSettings
from hsmkms.store import StoreSettings
from hsmkms.trail.settings import TrailSettings

CONFIG_FILE_NAME: Final = "hsmkms.toml"
_CREDENTIALS_DIRECTORY: Final = "CREDENTIALS_DIRECTORY"


class ConfigError(Exception):
    """The settings cannot be used; the message says which and why, and is meant for the operator."""


def _require_absolute(path: Path | None) -> None:
    # A service has no business with the directory that it happened to be started in.
    if path is not None and not path.is_absolute():
        raise ValueError(f"{str(path)!r} has to be an absolute path")


class ServerSettings(BaseModel):
    """The listening socket and the workers behind it.

    Attributes:
        listen: ``ADDRESS:PORT``; an IPv6 address in brackets. Port 0 takes a free one.
        workers: processes; one a core.
        max_connections: of one worker. Beyond them the one that has made it wait longest for a request is
            closed; when all have a request under way, the newcomer gets 503. Fewer where the system allows
            fewer open files.
        head_seconds: how long a request's head may take to arrive.
        body_limit_bytes: the longest request body. A key policy of 32 KB with every quote escaped, 50 tags
            and the longest description fit into the default.
        body_seconds: how long a body may take to arrive.
        bodies_limit_bytes: what bodies that are still on their way may hold of a worker's memory together.
        answer_seconds: how long a client that does not read its answer is waited for.
        idle_seconds: how long a connection is kept without a request.
        hang_seconds: a worker whose event loop stands still for longer is replaced.
        tls_certificate, tls_key: PEM files; both or neither.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: str = "127.0.0.1:4766"
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    max_connections: Annotated[int, Field(ge=16, le=100_000)] = 4096
    head_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0
    body_limit_bytes: Annotated[int, Field(ge=16_384, le=1_048_576)] = 131_072
    body_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0
    bodies_limit_bytes: Annotated[int, Field(ge=1_048_576, le=2**34)] = 64 * 2**20
    answer_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0
    idle_seconds: Annotated[int, Field(ge=1, le=3600)] = 60
    hang_seconds: Annotated[float, Field(ge=1, le=600)] = 30.0
    tls_certificate: Path | None = None
    tls_key: Path | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self.address()
        for path in (self.tls_certificate, self.tls_key):
            _require_absolute(path)
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        return self

    def address(self) -> tuple[str, int]:
        """Host and port of ``listen``."""
        host, colon, port = self.listen.rpartition(":")
        if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise ValueError("listen has to be ADDRESS:PORT")
        host = host.removeprefix("[").removesuffix("]")
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ValueError(f"listen needs an IP address, not {host!r}") from None
        return host, int(port)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return ipaddress.ip_address(self.address()[0]).is_loopback


class RegionSettings(TokenSettings):
    """One region: its token, and where the PIN is.

    Attributes:
        pin_file: a file that holds the PIN and nothing else (one line end is allowed), readable by its owner
            only.
        pin_credential: the name of a systemd credential (``LoadCredential=``) that holds it.
        accept_lost_data_keys: serve although this token cannot open data keys that it once gave out wrapped.
    """

    pin_file: Path | None = None
    pin_credential: str | None = None
    accept_lost_data_keys: bool = False

    @model_validator(mode="after")
    def _one_pin_source(self) -> Self:
        if (self.pin_file is None) == (self.pin_credential is None):
            raise ValueError("give exactly one of pin_file and pin_credential")
        return self

    @model_validator(mode="after")
    def _absolute_paths(self) -> Self:
        for path in (self.module_path, self.pin_file, self.pin_refused_marker):
            _require_absolute(path)
        return self


class Settings(BaseModel):
    """Everything that a process of this service is told.

    Attributes:
        data: the directory that holds stores, trail and run-time files; its owner runs the service.
        lifecycle: rules for the life of keys.
        regions: each region's token, by the region's name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path
    server: ServerSettings = ServerSettings()
    aws: AwsSettings = AwsSettings()
    lifecycle: LifecycleSettings = LifecycleSettings()
    regions: Annotated[Mapping[Region, RegionSettings], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _require_absolute(self.data)
        for region in self.regions:
            if REGION_PATTERN.fullmatch(region) is None:
                raise ValueError(f"{region!r} is no region name: use the form of eu-west-1")
        return self

    @property
    def store(self) -> StoreSettings:
        """Where the stores are."""
        return StoreSettings(directory=self.data)

    @property
    def trail(self) -> TrailSettings:
        """Where the trail is."""
        return TrailSettings(directory=self.data / "trail")


def load_settings(path: Path) -> Settings:
    """Read and check one TOML file.

    Raises:
        ConfigError: it cannot be read, is no TOML, or a setting is unknown, missing or out of range.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        places = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'settings'}: {problem['msg']}"
            for problem in error.errors(include_input=False)
        )
        raise ConfigError(f"{path}: {places}") from error


def read_pin(region: Region, settings: RegionSettings) -> Pin:
    """Fetch a region's PIN.

    Raises:
        ConfigError: it is not there, empty, or a file that others may read. Never holds the PIN.
    """
    if settings.pin_file is not None:
        path = settings.pin_file
    else:
        directory = os.environ.get(_CREDENTIALS_DIRECTORY)
        if directory is None or settings.pin_credential is None:
            raise ConfigError(
                f"region {region}: pin_credential needs systemd to pass a credential "
                f"(${_CREDENTIALS_DIRECTORY} is not set)"
            )
        path = Path(directory) / settings.pin_credential
    try:
        if settings.pin_file is not None and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigError(f"region {region}: others may read {path}; do: chmod 600 {path}")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"region {region}: the PIN in {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"region {region}: the PIN in {path} is not UTF-8 text") from None
    pin = text.removesuffix("\n").removesuffix("\r")
    if not pin:
        raise ConfigError(f"region {region}: the PIN in {path} is empty")
    return Pin(pin)


def apply_module_environment(regions: Mapping[Region, TokenSettings]) -> None:
    """Set the variables that PKCS#11 modules read for themselves; before the first module is loaded.

    Raises:
        ConfigError: two regions want different values of one variable; a process has only one.
    """
    wanted: dict[str, tuple[Region, str]] = {}
    for region, token in regions.items():
        for name, value in token.environment.items():
            first_region, first_value = wanted.setdefault(name, (region, value))
            if first_value != value:
                raise ConfigError(f"regions {first_region} and {region} want different values of {name}")
    os.environ.update({name: value for name, (_, value) in wanted.items()})
