"""What an operator has: SoftHSM tokens, PIN files, a settings file written by hand, and the commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import boto3

from hsmkms.testing.token import SoftHsmToken
from tests.acceptance.clients import CONFIG

FAILED, USAGE, BAD_SETTINGS, TOKEN, WRONG_USER, REFUSED = 1, 2, 3, 4, 5, 6
"""Exit codes, as the README has them."""

_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 30.0
_COMMAND_SECONDS: Final = 90.0


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        """Everything, in one line of single spaces: messages may be wrapped."""
        return " ".join((self.stdout + " " + self.stderr).split())

    @property
    def members(self) -> dict[str, Any]:
        """The one line of JSON that ``--json`` promises."""
        lines = self.stdout.splitlines()
        assert len(lines) == 1, f"not exactly one line: {self.stdout!r} {self.stderr!r}"
        members: dict[str, Any] = json.loads(lines[0])
        return members


def run_command(
    *arguments: str | Path,
    environment: Mapping[str, str] | None = None,
    stdin: str = "",
    cwd: Path | None = None,
) -> Outcome:
    """Run ``hsmkms`` to its end."""
    process = subprocess.run(
        [sys.executable, "-m", "hsmkms", *map(str, arguments)],
        env={**os.environ, **(environment or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=_COMMAND_SECONDS,
        check=False,
        cwd=cwd,
    )
    return Outcome(process.returncode, process.stdout, process.stderr)


def refused(outcome: Outcome, code: int, *words: str) -> None:
    """It failed with this code, said all of this on standard error, and showed no traceback."""
    assert outcome.code == code, outcome.said
    assert "Traceback" not in outcome.stderr, outcome.stderr
    assert outcome.stdout == ""
    for word in words:
        assert word in outcome.said


@dataclass
class Deployment:
    """A settings file and what it names.

    Attributes:
        server, aws, regions: tables of the settings file; change them, then ``write``.
        environment: variables of the commands.
    """

    directory: Path
    server: dict[str, Any] = field(default_factory=lambda: {"listen": "127.0.0.1:0"})
    aws: dict[str, Any] = field(default_factory=dict)
    regions: dict[str, dict[str, Any]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """The settings file."""
        return self.directory / "hsmkms.toml"

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.directory / "data"

    def add_region(self, region: str, token: SoftHsmToken, **settings: Any) -> None:
        """Serve a region from a token; its PIN goes into a file unless the settings say otherwise."""
        table: dict[str, Any] = {
            "module_path": str(token.module_path),
            "token_label": token.label,
            "profile": "softhsm",
            "environment": dict(token.environment),
        }
        if "pin_credential" not in settings:
            pin_file = self.directory / f"{region}.pin"
            pin_file.touch(mode=0o600)
            pin_file.write_text(f"{token.pin}\n")
            table["pin_file"] = str(pin_file)
        self.regions[region] = table | settings

    def write(self) -> Path:
        """Write the settings file."""
        lines = [f"data = {_toml(str(self.data))}"]
        for name, table in (("server", self.server), ("aws", self.aws)):
            lines += [f"[{name}]", *_lines(table)]
        for region, table in self.regions.items():
            lines += [f"[regions.{region}]", *_lines(table)]
        self.config.write_text("\n".join(lines) + "\n")
        return self.config

    def run(self, *arguments: str, stdin: str = "", **variables: str) -> Outcome:
        """Run one command with ``--config``."""
        return run_command(
            *arguments,
            *("--config", self.config),
            environment={**self.environment, **variables},
            stdin=stdin,
        )

    def init(self) -> RootKey:
        """``hsmkms init``, for the first time."""
        self.write()
        members = self.run("init", "--json").members
        return RootKey(members["access_key_id"], members["secret_access_key"])


@dataclass(frozen=True)
class RootKey:
    """An access key of an account's root principal."""

    access_key_id: str
    secret_access_key: str


@dataclass
class ServingProcess:
    """A running ``hsmkms serve``."""

    endpoint: str
    process: subprocess.Popen[str]
    log_path: Path

    def client(self, key: RootKey, region: str, service: str = "kms", **overrides: Any) -> Any:
        """A boto3 client that neither retries nor validates."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=region,
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
            **{"config": CONFIG, **overrides},
        )

    @property
    def log(self) -> str:
        """Standard error so far."""
        return self.log_path.read_text(errors="replace")

    @property
    def workers(self) -> set[int]:
        """Process ids of the workers."""
        return worker_pids(self.process.pid)


@contextmanager
def serving(deployment: Deployment) -> Iterator[ServingProcess]:
    """``hsmkms serve`` from when it serves until it has ended."""
    log_path = deployment.directory / "serve.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "hsmkms", "serve", "--config", str(deployment.config)],
            env={**os.environ, **deployment.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        timer = threading.Timer(_START_SECONDS, process.kill)
        timer.start()
        endpoint = ""
        for line in process.stderr:
            log.write(line.encode())
            if line.startswith("hsmkms: serving "):
                endpoint = line.split()[-1]
                break
        timer.cancel()
        log.flush()
        if not endpoint:
            process.wait()
            process.stderr.close()
            raise AssertionError(f"hsmkms serve ended with {process.returncode}:\n{log_path.read_text()}")
        pump = threading.Thread(target=_pump, args=(process.stderr, log), daemon=True)
        pump.start()
        try:
            yield ServingProcess(endpoint, process, log_path)
        finally:
            end(process)
            pump.join(_STOP_SECONDS)
            process.stderr.close()


def end(process: subprocess.Popen[str]) -> int:
    """Ask a process to end, and see to it that it does."""
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def worker_pids(supervisor_pid: int) -> set[int]:
    """The workers of a supervisor: its children that multiprocessing spawned, less the resource tracker."""
    children = Path(f"/proc/{supervisor_pid}/task/{supervisor_pid}/children").read_text().split()
    return {int(pid) for pid in children if "spawn_main" in command_line(int(pid))}


def command_line(pid: int) -> str:
    """A process's command line; empty when there is no such process, or only its remains."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _pump(source: Any, log: Any) -> None:
    for line in source:
        log.write(line.encode())
        log.flush()


def _lines(table: Mapping[str, Any]) -> Sequence[str]:
    return [f"{name} = {_toml(value)}" for name, value in table.items()]


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_toml(item)}" for name, item in value.items()) + " }"
    # A TOML basic string, number or boolean is written as in JSON.
    return json.dumps(str(value) if isinstance(value, Path) else value)
