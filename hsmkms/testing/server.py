"""``hsmkms dev`` as a child process, and how boto3 and the AWS CLI are pointed at it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 30.0


class ServerStartError(Exception):
    """The server did not come up; the message holds what it said."""


class DevServer:
    """A complete KMS on SoftHSM in a directory of its own, on a free port of loopback.

    May be stopped, or killed, and started again: everything in the directory is still there.

    Attributes:
        endpoint: URL for ``endpoint_url``; another one after every start.
        access_key_id, secret_access_key: of the account's root principal.
    """

    endpoint: str
    account: str
    access_key_id: str
    secret_access_key: str
    regions: list[str]

    def __init__(
        self,
        data: Path,
        *,
        regions: Sequence[str] = ("us-east-1",),
        workers: int = 1,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Set up; ``start`` or a ``with`` statement runs it.

        Args:
            arguments: further arguments of ``hsmkms dev``.
            environment: variables beside those of this process.
        """
        self.data = data
        self._command = [sys.executable, "-m", "hsmkms", "dev", "--json", "--listen", "127.0.0.1:0"]
        self._command += ["--data", str(data), "--workers", str(workers)]
        for region in regions:
            self._command += ["--region", region]
        self._command += arguments
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[str] | None = None
        self.log_path = data.with_name(f"{data.name}.log")

    def start(self) -> Self:
        """Start the server and wait until it serves.

        Raises:
            ServerStartError: it ended, or did not serve within a minute.
        """
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment,
                text=True,
            )
        # Reading has no deadline of its own, so a timer ends a server that never says anything.
        timer = threading.Timer(_START_SECONDS, self._process.kill)
        timer.start()
        try:
            line = self._output().readline()
        finally:
            timer.cancel()
        if not line:
            code = self._process.wait()
            said = self.log_path.read_text(encoding="utf-8", errors="replace")
            raise ServerStartError(f"hsmkms dev ended with exit code {code}:\n{said}")
        announced = json.loads(line)
        self.endpoint = announced["endpoint"]
        self.account = announced["account"]
        self.access_key_id = announced["access_key_id"]
        self.secret_access_key = announced["secret_access_key"]
        self.regions = announced["regions"]
        return self

    def stop(self) -> int:
        """Ask the server to end, and wait for it.

        Returns:
            Its exit code.
        """
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the supervisor without a word, as a crash would; its workers notice and end too."""
        self._end(signal.SIGKILL)

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    def boto3_settings(self, region: str | None = None) -> dict[str, str]:
        """Keyword arguments for ``boto3.client``."""
        return {
            "endpoint_url": self.endpoint,
            "region_name": region or self.regions[0],
            "aws_access_key_id": self.access_key_id,
            "aws_secret_access_key": self.secret_access_key,
        }

    def client(self, service: str = "kms", region: str | None = None, **overrides: Any) -> Any:
        """A boto3 client of this server."""
        import boto3  # noqa: PLC0415 - an extra that the token fixture alone does not need

        return boto3.client(service, **{**self.boto3_settings(region), **overrides})

    def environment(self, region: str | None = None) -> dict[str, str]:
        """Variables that point the AWS CLI and every SDK at this server."""
        name = region or self.regions[0]
        return {
            "AWS_ENDPOINT_URL_KMS": self.endpoint,
            "AWS_ENDPOINT_URL_STS": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_REGION": name,
            "AWS_DEFAULT_REGION": name,
        }

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _output(self) -> Any:
        if self._process is None or self._process.stdout is None:
            raise RuntimeError("the server is not running")
        return self._process.stdout

    def _end(self, signal_number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(signal_number)
        try:
            code = process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        if process.stdout is not None:
            process.stdout.close()
        return code
