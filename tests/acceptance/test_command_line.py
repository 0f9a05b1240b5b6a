"""The AWS CLI against what ``hsmkms dev`` prints for a human: pasted into a shell, it works."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.deployments import end


@dataclass(frozen=True)
class Shell:
    """A POSIX shell that has had the printed lines pasted into it, and nothing else of AWS's."""

    printed: list[str]
    complaints: Path
    directory: Path

    @property
    def exports(self) -> str:
        """The lines to paste."""
        return "\n".join(line for line in self.printed if line.startswith("export "))

    def run(self, script: str) -> str:
        """Standard output of a script, which has to succeed."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        environment["HOME"] = str(self.directory)
        process = subprocess.run(
            ["sh", "-euc", f"{self.exports}\n{script}"],
            env=environment,
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        return process.stdout

    def json(self, script: str) -> Any:
        """What a script prints, as JSON."""
        return json.loads(self.run(script))


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    directory = tmp_path_factory.mktemp("human")
    complaints = directory / "stderr"
    command = [sys.executable, "-m", "hsmkms", "dev", "--listen", "127.0.0.1:0", "--data", "data"]
    with complaints.open("w") as log:
        process = subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        timer = threading.Timer(60, process.kill)
        timer.start()
        printed = []
        for line in process.stdout:
            printed.append(line.rstrip("\n"))
            if line.startswith("aws "):
                break
        timer.cancel()
        yield Shell(printed, complaints, directory)
        end(process)
        process.stdout.close()


def test_the_printed_lines_work_when_pasted(shell: Shell) -> None:
    command = shell.printed[-1]
    assert command.startswith("aws kms create-key")
    metadata = shell.json(command)["KeyMetadata"]
    assert metadata["KeyState"] == "Enabled"


def test_it_says_that_it_is_for_development(shell: Shell) -> None:
    assert "development" in shell.complaints.read_text()


def test_exactly_these_variables_are_printed(shell: Shell) -> None:
    names = [line.removeprefix("export ").partition("=")[0] for line in shell.exports.splitlines()]
    assert sorted(names) == [
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL_KMS",
        "AWS_ENDPOINT_URL_STS",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
    ]


def test_who_am_i(shell: Shell) -> None:
    identity = shell.json("aws sts get-caller-identity")
    assert identity["Arn"] == f"arn:aws:iam::{identity['Account']}:root"


def test_a_file_goes_round(shell: Shell) -> None:
    """The round trip of AWS's own documentation: fileb://, --query, base64."""
    (shell.directory / "plain.txt").write_bytes(b"line one\nline two \xff\n")
    shell.run(
        """
        key=$(aws kms create-key --query KeyMetadata.KeyId --output text)
        aws kms create-alias --alias-name alias/cli --target-key-id "$key"
        aws kms encrypt --key-id alias/cli --plaintext fileb://plain.txt --encryption-context a=b,c=d \\
            --query CiphertextBlob --output text | base64 -d >sealed
        aws kms decrypt --ciphertext-blob fileb://sealed --encryption-context c=d,a=b \\
            --query Plaintext --output text | base64 -d >opened.txt
        cmp plain.txt opened.txt
        """
    )
    assert b"line one" not in (shell.directory / "sealed").read_bytes()


def test_a_data_key(shell: Shell) -> None:
    answer = shell.json(
        """
        key=$(aws kms create-key --query KeyMetadata.KeyId --output text)
        aws kms generate-data-key --key-id "$key" --key-spec AES_256
        """
    )
    assert len(base64.b64decode(answer["Plaintext"])) == 32


def test_a_refusal_reads_as_at_aws(shell: Shell) -> None:
    output = shell.run("aws kms describe-key --key-id alias/nowhere 2>&1 || echo exit code $?")
    assert (
        "An error occurred (NotFoundException) when calling the DescribeKey operation: Alias arn:" in output
    )
    assert "exit code 25" in output
