"""Sixteen threads with two thousand mixed operations each: no error, and no key is lost."""

from __future__ import annotations

import base64
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from hsmkms.testing.server import DevServer
from tests.acceptance.clients import client
from tests.acceptance.signing import Answer, Signer, Wire

THREADS: Final = 16
OPERATIONS_A_THREAD: Final = 2_000
# Most of it cryptography, as in life; every kind of change is there too.
MIX: Final = {
    "Encrypt": 30,
    "Decrypt": 35,
    "GenerateDataKey": 18,
    "GenerateDataKeyWithoutPlaintext": 2,
    "DescribeKey": 10,
    "ReEncrypt": 2,
    "ListAliases": 0.6,
    "TagResource": 0.6,
    "CreateAlias": 0.6,
    "DeleteAlias": 0.4,
    "UpdateKeyDescription": 0.4,
    "CreateKey": 0.4,
}


@dataclass
class Share:
    """One thread's part: its keys, aliases and ciphertexts, and what went wrong."""

    number: int
    wire: Wire
    signer: Signer
    keys: list[str] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    sealed: list[tuple[str, bytes, str]] = field(default_factory=list)
    descriptions: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Do the whole share; ends early after a few faults."""
        chance = random.Random(self.number)
        self._create_key()
        names = chance.choices(list(MIX), list(MIX.values()), k=OPERATIONS_A_THREAD - 1)
        for step, name in enumerate(names):
            if len(self.faults) > 5:
                return
            try:
                self._do(name, step, chance)
            except Exception as error:  # noqa: BLE001 - told by the test
                self.faults.append(f"thread {self.number}, {name}, step {step}: {error!r}")

    def _ask(self, operation: str, **members: Any) -> dict[str, Any]:
        answer: Answer = self.wire.kms(self.signer, operation, members)
        if answer.status != 200:
            raise AssertionError(f"{answer.status} {answer.body!r}")
        return answer.members if answer.body else {}

    def _create_key(self) -> None:
        metadata = self._ask("CreateKey", Description="")["KeyMetadata"]
        self.keys.append(metadata["KeyId"])

    def _do(self, name: str, step: int, chance: random.Random) -> None:  # noqa: C901 - one case an operation
        key = chance.choice(self.keys)
        match name:
            case "CreateKey":
                self._create_key()
            case "Encrypt":
                plaintext = f"{self.number}/{step}".encode()
                self._seal(name, key, plaintext, Plaintext=base64.b64encode(plaintext).decode())
            case "GenerateDataKey":
                self._seal(name, key, None, NumberOfBytes=32)
            case "GenerateDataKeyWithoutPlaintext":
                self._ask(name, KeyId=key, KeySpec="AES_256")
            case "Decrypt" | "ReEncrypt" if self.sealed:
                self._open(name, key, chance)
            case "DescribeKey":
                metadata = self._ask(name, KeyId=key)["KeyMetadata"]
                # What this thread was answered before, it reads now, whichever worker it asks.
                assert metadata["Description"] == self.descriptions.get(key, "")
            case "UpdateKeyDescription":
                self._ask(name, KeyId=key, Description=f"step {step}")
                self.descriptions[key] = f"step {step}"
            case "CreateAlias":
                alias = f"alias/thread-{self.number}/{step}"
                self._ask(name, AliasName=alias, TargetKeyId=key)
                self.aliases[alias] = key
                assert self._ask("DescribeKey", KeyId=alias)["KeyMetadata"]["KeyId"] == key
            case "DeleteAlias" if self.aliases:
                alias = chance.choice(list(self.aliases))
                self._ask(name, AliasName=alias)
                del self.aliases[alias]
            case "ListAliases":
                listed = {entry["AliasName"] for entry in self._ask(name, KeyId=key)["Aliases"]}
                assert listed == {alias for alias, target in self.aliases.items() if target == key}
            case _:
                self._ask("TagResource", KeyId=key, Tags=[{"TagKey": "step", "TagValue": str(step)}])

    def _seal(self, operation: str, key: str, plaintext: bytes | None, **members: Any) -> None:
        answer = self._ask(operation, KeyId=key, **members)
        expected = plaintext if plaintext is not None else base64.b64decode(answer["Plaintext"])
        self.sealed.append((key, expected, answer["CiphertextBlob"]))

    def _open(self, operation: str, key: str, chance: random.Random) -> None:
        sealed_under, plaintext, blob = chance.choice(self.sealed)
        if operation == "ReEncrypt":
            answer = self._ask(operation, CiphertextBlob=blob, DestinationKeyId=key)
            self.sealed.append((key, plaintext, answer["CiphertextBlob"]))
            return
        answer = self._ask(operation, CiphertextBlob=blob)
        assert base64.b64decode(answer["Plaintext"]) == plaintext
        assert answer["KeyId"].endswith(sealed_under)


@pytest.fixture(params=[1, 2], ids=["one worker", "two workers"])
def busy(request: pytest.FixtureRequest, server: DevServer) -> Iterator[DevServer]:
    """A server of one worker, or the shared one of two."""
    if request.param == 2:
        yield server
        return
    alone: DevServer = request.getfixturevalue("hsmkms_server")
    yield alone


def test_nothing_fails_and_no_key_is_lost(busy: DevServer) -> None:
    signer = Signer.of(busy)
    shares = [Share(number, Wire(busy.endpoint), signer) for number in range(THREADS)]
    threads = [threading.Thread(target=share.run) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for share in shares:
        share.wire.__exit__()
    assert [fault for share in shares for fault in share.faults] == []
    kms = client(busy)
    pages = kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 1000})
    listed = {entry["KeyId"] for page in pages for entry in page["Keys"]}
    for share in shares:
        assert len(share.keys) > 1
        assert set(share.keys) <= listed
        newest = {key: (plaintext, blob) for key, plaintext, blob in share.sealed}
        for plaintext, blob in newest.values():
            opened = kms.decrypt(CiphertextBlob=base64.b64decode(blob))
            assert opened["Plaintext"] == plaintext
