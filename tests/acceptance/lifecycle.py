"""What is asked of both workers about a key's life, imports step by step, and a shell with the AWS CLI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from hsmkms.model.imports import WrappingAlgorithm
from hsmkms.testing.server import DevServer
from tests.acceptance.clients import Refusal, client, new_key, refusal
from tests.wrapped_material import wrap_material

CONNECTIONS: Final = 12  # fresh ones; that all of them reach the same of two workers, one run in 2048 sees
NO_EXPIRY: Final = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}


def everywhere(server: DevServer, ask: Callable[[Any], Any]) -> list[Any]:
    """What is answered on many fresh connections, which reach both workers."""
    return [ask(client(server)) for _ in range(CONNECTIONS)]


def material_ids(server: DevServer, key: str) -> set[str]:
    """Under which versions new data keys are sealed, in both workers."""
    answers = everywhere(server, lambda kms: kms.generate_data_key(KeyId=key, KeySpec="AES_128"))
    return {answer["KeyMaterialId"] for answer in answers}


def opened(server: DevServer, blob: bytes) -> set[tuple[bytes, str]]:
    """What a ciphertext opens to, and under which version, in both workers."""
    answers = everywhere(server, lambda kms: kms.decrypt(CiphertextBlob=blob))
    return {(answer["Plaintext"], answer["KeyMaterialId"]) for answer in answers}


def refused_everywhere(server: DevServer, method: str, **arguments: Any) -> tuple[str, str]:
    """The one code and message of both workers."""
    told: list[Refusal] = everywhere(server, lambda kms: refusal(getattr(kms, method), **arguments))
    (only,) = {(refused.code, refused.message) for refused in told}
    return only


def metadata_of(kms: Any, key: str) -> dict[str, Any]:
    """DescribeKey."""
    metadata: dict[str, Any] = kms.describe_key(KeyId=key)["KeyMetadata"]
    return metadata


def all_versions(kms: Any, key: str) -> list[dict[str, Any]]:
    """ListKeyRotations with everything, over all pages."""
    pages = kms.get_paginator("list_key_rotations").paginate(
        KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL", PaginationConfig={"PageSize": 100}
    )
    return [entry for page in pages for entry in page["Rotations"]]


def records_of(server: DevServer, key_arn: str) -> list[dict[str, Any]]:
    """The trail's records about a key."""
    lines = [
        line
        for path in (server.data / "trail" / "us-east-1").glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    records = [json.loads(line) for line in lines]
    return [
        record
        for record in records
        if key_arn in [resource["ARN"] for resource in record.get("resources", ())]
    ]


class Import:
    """A key whose material comes from outside, one way to wrap it, and an import token.

    Attributes:
        public_key: what the material is wrapped under.
    """

    def __init__(self, kms: Any, algorithm: WrappingAlgorithm) -> None:
        self._kms = kms
        self._algorithm = algorithm
        self.key = new_key(kms, Origin="EXTERNAL")
        given = kms.get_parameters_for_import(
            KeyId=self.key, WrappingAlgorithm=algorithm.value, WrappingKeySpec="RSA_2048"
        )
        self.arn: str = given["KeyId"]
        self.public_key: bytes = given["PublicKey"]
        self.import_token: bytes = given["ImportToken"]
        self.valid_to: datetime = given["ParametersValidTo"]

    def members(self, material: bytes, **more: Any) -> dict[str, Any]:
        """The members of ImportKeyMaterial; material that does not expire unless they say so."""
        return {
            "KeyId": self.key,
            "ImportToken": self.import_token,
            "EncryptedKeyMaterial": wrap_material(self.public_key, self._algorithm, material),
            **({} if "ValidTo" in more else NO_EXPIRY),
            **more,
        }

    def take(self, material: bytes, **more: Any) -> str:
        """Import material; its KeyMaterialId."""
        answer = self._kms.import_key_material(**self.members(material, **more))
        assert answer["KeyId"] == self.arn
        return str(answer["KeyMaterialId"])

    def refuse(self, material: bytes, **more: Any) -> Refusal:
        """How the import of material is refused."""
        return refusal(self._kms.import_key_material, **self.members(material, **more))

    @property
    def state(self) -> str:
        """The key's state."""
        return str(metadata_of(self._kms, self.key)["KeyState"])


def run_script(server: DevServer, directory: Path, script: str) -> list[str]:
    """The lines that a POSIX shell with the AWS CLI prints; a failing command fails the test."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    tools = f"{Path(sys.executable).parent}:{inherited['PATH']}"
    process = subprocess.run(
        ["sh", "-euc", script],
        env={**inherited, **server.environment(), "PATH": tools, "HOME": str(directory)},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()
