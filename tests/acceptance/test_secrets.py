"""Where keys, plaintexts, PINs and secrets must not be: outside the token, the pins, and what dev prints."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from hsmkms.model.imports import WrappingAlgorithm
from hsmkms.testing.server import DevServer
from tests.acceptance.clients import client, new_key, refusal
from tests.acceptance.deployments import command_line, worker_pids
from tests.acceptance.signing import Signer, Wire
from tests.faultshim import SOFTHSM_MODULE
from tests.wrapped_material import wrap_material

PLAINTEXT: Final = b"attack at dawn, by the eastern gate"
CONTEXT: Final = {"department": "payroll"}
NO_EXPIRY: Final = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
IMPORT_WAYS: Final = {
    WrappingAlgorithm.RSAES_OAEP_SHA_1: "token",
    WrappingAlgorithm.RSAES_OAEP_SHA_256: "software",
}
"""Where SoftHSM 2.6.1 lets key material be unwrapped."""


@dataclass
class Affair:
    """A server that has been used in every way, and what must not be found afterwards.

    Attributes:
        keys, imported: key ids; where the material was made, and where it came from outside.
        secrets: name to bytes. What an import sends is among them although it is wrapped: nobody needs it
            again.
        request_ids: of every authenticated call, with what it asked.
    """

    server: DevServer
    keys: list[str] = field(default_factory=list)
    imported: list[str] = field(default_factory=list)
    secrets: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    request_ids: dict[str, str] = field(default_factory=dict)
    command_lines: list[str] = field(default_factory=list)

    def note(self, operation: str, answer: Any) -> Any:
        """Remember a call's request id."""
        self.request_ids[answer["ResponseMetadata"]["RequestId"]] = operation
        return answer

    def note_refusal(self, operation: str, call: Any, **arguments: Any) -> None:
        """Remember a refused call's request id."""
        self.request_ids[refusal(call, **arguments).request_id] = operation


def _use(affair: Affair) -> None:
    server, note = affair.server, affair.note
    kms = client(server)
    created = note("CreateKey", kms.create_key(Description="for all to read"))
    key = created["KeyMetadata"]["KeyId"]
    affair.keys = [key, note("CreateKey", kms.create_key())["KeyMetadata"]["KeyId"]]
    note("CreateAlias", kms.create_alias(AliasName="alias/secret", TargetKeyId=key))
    note("TagResource", kms.tag_resource(KeyId=key, Tags=[{"TagKey": "a", "TagValue": "b"}]))
    sealed = note("Encrypt", kms.encrypt(KeyId=key, Plaintext=PLAINTEXT, EncryptionContext=CONTEXT))
    affair.secrets["plaintext"] = PLAINTEXT
    affair.blobs["sealed plaintext"] = sealed["CiphertextBlob"]
    note("Decrypt", kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=CONTEXT))
    for spec in ("AES_128", "AES_256"):
        given = note("GenerateDataKey", kms.generate_data_key(KeyId=key, KeySpec=spec))
        affair.secrets[f"data key {spec}"] = given["Plaintext"]
        affair.blobs[f"sealed data key {spec}"] = given["CiphertextBlob"]
        wrapped = note(
            "GenerateDataKeyWithoutPlaintext",
            kms.generate_data_key_without_plaintext(KeyId=key, KeySpec=spec),
        )
        affair.blobs[f"wrapped data key {spec}"] = wrapped["CiphertextBlob"]
        opened = note("Decrypt", kms.decrypt(CiphertextBlob=wrapped["CiphertextBlob"]))
        affair.secrets[f"wrapped data key {spec}"] = opened["Plaintext"]
    moved = note(
        "ReEncrypt",
        kms.re_encrypt(
            CiphertextBlob=sealed["CiphertextBlob"],
            SourceEncryptionContext=CONTEXT,
            DestinationKeyId=affair.keys[1],
        ),
    )
    affair.blobs["moved plaintext"] = moved["CiphertextBlob"]
    affair.secrets["random bytes"] = note("GenerateRandom", kms.generate_random(NumberOfBytes=64))[
        "Plaintext"
    ]
    note("ListKeys", kms.list_keys())
    sts = client(server, "sts")
    note("GetCallerIdentity", sts.get_caller_identity())
    # Refusals that have a secret in their request.
    affair.note_refusal("Encrypt", kms.encrypt, KeyId="alias/nowhere", Plaintext=PLAINTEXT)
    affair.note_refusal("Encrypt", kms.encrypt, KeyId=7, Plaintext=PLAINTEXT)
    affair.note_refusal("Encrypt", kms.encrypt, KeyId=key, Plaintext=PLAINTEXT * 200)
    affair.note_refusal("Decrypt", kms.decrypt, CiphertextBlob=sealed["CiphertextBlob"])
    affair.note_refusal("Decrypt", kms.decrypt, CiphertextBlob=sealed["CiphertextBlob"][:-1])
    affair.note_refusal("Encrypt", kms.encrypt, KeyId=key, Plaintext=PLAINTEXT, DryRun=True)
    affair.note_refusal("DisableKey", kms.disable_key, KeyId="alias/secret")
    # An operation that is not built leaves a record too.
    affair.note_refusal("GetPublicKey", kms.get_public_key, KeyId=key)
    for algorithm in IMPORT_WAYS:
        affair.imported.append(_import(affair, kms, algorithm))
    # The token goes with the first of the keys.
    affair.note_refusal(
        "ImportKeyMaterial",
        kms.import_key_material,
        KeyId=affair.imported[1],
        ImportToken=affair.secrets["import token RSAES_OAEP_SHA_1"],
        EncryptedKeyMaterial=affair.secrets["wrapped material RSAES_OAEP_SHA_1"],
        **NO_EXPIRY,
    )
    # Nobody's calls: no account that they could be recorded for.
    refusal(client(server, aws_secret_access_key="wrong" * 8).encrypt, KeyId=key, Plaintext=PLAINTEXT)
    with Wire(server.endpoint) as wire:
        wire.kms(Signer.of(server, access_key_id="AKIANOSUCHKEY1234567"), "ListKeys")


def _import(affair: Affair, kms: Any, algorithm: WrappingAlgorithm) -> str:
    """A key with material from outside, new and in its place, and what was not let in."""
    note, secrets = affair.note, affair.secrets
    key: str = note("CreateKey", kms.create_key(Origin="EXTERNAL"))["KeyMetadata"]["KeyId"]
    given = note(
        "GetParametersForImport",
        kms.get_parameters_for_import(
            KeyId=key, WrappingAlgorithm=algorithm.value, WrappingKeySpec="RSA_2048"
        ),
    )
    secrets[f"import token {algorithm}"] = given["ImportToken"]

    def members(name: str, material: bytes) -> dict[str, Any]:
        wrapped = wrap_material(given["PublicKey"], algorithm, material)
        secrets[f"{name} {algorithm}"], secrets[f"wrapped {name} {algorithm}"] = material, wrapped
        return {
            "KeyId": key,
            "ImportToken": given["ImportToken"],
            "EncryptedKeyMaterial": wrapped,
            **NO_EXPIRY,
        }

    right = members("material", os.urandom(32))
    note("ImportKeyMaterial", kms.import_key_material(**right))
    note("Encrypt", kms.encrypt(KeyId=key, Plaintext=PLAINTEXT))
    note("DeleteImportedKeyMaterial", kms.delete_imported_key_material(KeyId=key))
    for wrong in (
        members("other material", os.urandom(32)),
        members("short material", os.urandom(31)),
        {**right, "EncryptedKeyMaterial": os.urandom(256)},
    ):
        affair.note_refusal("ImportKeyMaterial", kms.import_key_material, **wrong)
    secrets[f"garbage {algorithm}"] = wrong["EncryptedKeyMaterial"]
    note("ImportKeyMaterial", kms.import_key_material(**right))
    later = members("later material", os.urandom(32))
    note("ImportKeyMaterial", kms.import_key_material(**later, ImportType="NEW_KEY_MATERIAL"))
    note("RotateKeyOnDemand", kms.rotate_key_on_demand(KeyId=key))
    return key


@pytest.fixture(scope="module")
def affair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Affair]:
    server = DevServer(tmp_path_factory.mktemp("affair") / "data", workers=2)
    with server:
        affair = Affair(server)
        _use(affair)
        pids = [server.pid, *worker_pids(server.pid)]
        affair.command_lines = [command_line(pid) for pid in pids]
        for kind in ("user", "so"):
            pin = (server.data / "pins" / f"us-east-1.{kind}").read_text()
            affair.secrets[f"{kind} PIN"] = pin.encode()
        affair.secrets["secret access key"] = server.secret_access_key.encode()
        yield affair


def _spellings(secret: bytes) -> dict[str, bytes]:
    """The secret as it could stand in a file: bytes, hexadecimal, and base64 at each offset."""
    spellings = {"bytes": secret, "hex": secret.hex().encode(), "HEX": secret.hex().upper().encode()}
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + secret)
        # What its neighbours would change is left off.
        core = encoded[4 if offset else 0 : len(encoded) - 4]
        spellings[f"base64 at {offset}"] = core
        spellings[f"urlsafe base64 at {offset}"] = core.replace(b"+", b"-").replace(b"/", b"_")
    return spellings


def _files(affair: Affair) -> list[Path]:
    data = affair.server.data
    exempt = (data / "softhsm" / "tokens", data / "pins")
    files = [path for path in data.rglob("*") if path.is_file() and not path.is_relative_to(exempt[0])]
    files = [path for path in files if not path.is_relative_to(exempt[1])]
    return [*files, affair.server.log_path]


def test_the_search_would_find_something(affair: Affair) -> None:
    """It reads the store, its write-ahead log and the trail, and finds what is there."""
    contents = {path: path.read_bytes() for path in _files(affair)}
    assert any(path.name == "keys.sqlite-wal" for path in contents)
    for known in (b"for all to read", b"alias/secret"):
        assert any(known in content for path, content in contents.items() if "sqlite" in path.name)
        assert any(known in content for path, content in contents.items() if path.suffix == ".jsonl")
    for secret in affair.secrets.values():
        spelled = base64.b64encode(b"xy" + secret + b"z")
        assert any(spelling in spelled for spelling in _spellings(secret).values())
        assert len(secret) >= 16


def test_no_secret_is_in_any_file(affair: Affair) -> None:
    found = [
        f"{name} as {spelling} in {path}"
        for path in _files(affair)
        for content in [path.read_bytes()]
        for name, secret in affair.secrets.items()
        for spelling, needle in _spellings(secret).items()
        if needle in content
    ]
    assert found == []


def test_the_token_keeps_no_imported_material_in_the_clear(affair: Affair) -> None:
    tokens = [path for path in (affair.server.data / "softhsm" / "tokens").rglob("*") if path.is_file()]
    contents = b"".join(path.read_bytes() for path in tokens)
    # Labels of private objects are encrypted too, so the public part of the token shows that this looks.
    assert b"hsmkms-us-east-1" in contents
    for name, secret in affair.secrets.items():
        if "material" in name:
            assert secret not in contents, name


def test_the_trail_holds_no_ciphertext_either(affair: Affair) -> None:
    trail = b"".join(path.read_bytes() for path in (affair.server.data / "trail").rglob("*.jsonl"))
    for name, blob in affair.blobs.items():
        for spelling, needle in _spellings(blob).items():
            assert needle not in trail, f"{name} as {spelling}"


def test_no_secret_is_on_a_command_line(affair: Affair) -> None:
    assert len(affair.command_lines) == 3
    for line in affair.command_lines:
        assert not any(secret.decode("latin-1") in line for secret in affair.secrets.values())


def test_what_is_private_is_readable_by_the_owner_only(affair: Affair) -> None:
    data = affair.server.data
    for path in (data / "pins", data / "softhsm" / "tokens", data / "trail"):
        assert path.stat().st_mode & 0o077 == 0, path
    secrets = [*(data / "pins").iterdir(), *(data / "trail").rglob("*.jsonl")]
    assert len(secrets) >= 4
    for path in secrets:
        assert path.stat().st_mode & 0o077 == 0, path


# --- the trail -------------------------------------------------------------------------------------------


def _records(affair: Affair) -> list[dict[str, Any]]:
    lines = [
        line
        for path in (affair.server.data / "trail" / "us-east-1").glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    return [json.loads(line) for line in lines]


def test_every_authenticated_call_left_exactly_one_record(affair: Affair) -> None:
    recorded = Counter((record["requestID"], record["eventName"]) for record in _records(affair))
    assert recorded == Counter(affair.request_ids.items())


def test_records_say_who_asked_for_what_and_how_it_ended(affair: Affair) -> None:
    records = _records(affair)
    account = affair.server.account
    for record in records:
        assert record["userIdentity"]["arn"] == f"arn:aws:iam::{account}:root"
        assert record["userIdentity"]["accessKeyId"] == affair.server.access_key_id
        assert (record["awsRegion"], record["sourceIPAddress"]) == ("us-east-1", "127.0.0.1")
    codes = Counter(record["errorCode"] for record in records if "errorCode" in record)
    assert codes == Counter(
        {
            "NotFoundException": 1,
            "SerializationException": 1,
            "ValidationException": 1,
            "InvalidCiphertextException": 2 + 2 * len(IMPORT_WAYS),
            "IncorrectKeyMaterialException": len(IMPORT_WAYS),
            "InvalidImportTokenException": 1,
            "DryRunOperationException": 1,
            "InvalidArnException": 1,
            "UnsupportedOperationException": 1,
        }
    )
    arn = f"arn:aws:kms:us-east-1:{account}:key/{affair.keys[0]}"
    sealing = [record for record in records if record["eventName"] == "GenerateDataKey"]
    assert [resource["ARN"] for record in sealing for resource in record["resources"]] == [arn, arn]
    decrypting = [record for record in records if record["eventName"] == "Decrypt"]
    imports = [record for record in records if record["eventName"] == "ImportKeyMaterial"]
    ways = Counter((record["additionalEventData"] or {}).get("unwrappedIn") for record in imports)
    assert ways == Counter({"token": 6, "software": 6, None: 1})
    contexts = [(record["requestParameters"] or {}).get("encryptionContext") for record in decrypting]
    assert CONTEXT in contexts


# --- the token -------------------------------------------------------------------------------------------


def _pkcs11_tool(affair: Affair, *arguments: str) -> subprocess.CompletedProcess[str]:
    data = affair.server.data
    return subprocess.run(
        [
            *("pkcs11-tool", "--module", str(SOFTHSM_MODULE), "--token-label", "hsmkms-us-east-1"),
            *("--login", "--pin", (data / "pins" / "us-east-1.user").read_text(), *arguments),
        ],
        env={**os.environ, "SOFTHSM2_CONF": str(data / "softhsm" / "softhsm2.conf")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _objects(affair: Affair) -> dict[str, dict[str, str]]:
    listed = _pkcs11_tool(affair, "--list-objects")
    assert listed.returncode == 0, listed.stderr
    objects = {}
    for block in re.split(r"(?m)^(?=\S)", listed.stdout):
        members = dict(re.findall(r"(?m)^ +(\w+): +(.*)$", block))
        # Data objects are no keys, and how far the store is stands in the label of one.
        if members and not block.startswith("Data object"):
            objects[members["label"]] = members | {"kind": block.splitlines()[0]}
    return objects


def test_every_master_key_was_born_in_the_token_and_cannot_leave_it(affair: Affair) -> None:
    objects = _objects(affair)
    imported = {f"hsmkms/v1/cmk/{key}" for key in affair.imported}
    assert imported < objects.keys()
    for key in affair.keys:
        found = objects[f"hsmkms/v1/cmk/{key}"]
        assert found["kind"] == "Secret Key Object; AES length 32"
        assert found["Access"] == "sensitive, always sensitive, never extractable, local"
        assert found["Usage"] == "encrypt, decrypt"
    # The region's own objects too; only those for wrapping and for imports wrap, and they do nothing else.
    usages = {"hsmkms/v1/wrapping": "wrap, unwrap", "hsmkms/v1/import": "unwrap"}
    for label, found in objects.items():
        # What was elsewhere before says so, and leaves no more than the others.
        born = "" if label in imported else ", always sensitive, never extractable, local"
        assert found["Access"] == f"sensitive{born}", label
        assert found["Usage"] == usages.get(label.rpartition("/")[0], "encrypt, decrypt"), label
    # The pair of the other way is nowhere in the token.
    pairs = [label for label in objects if label.startswith("hsmkms/v1/import/")]
    assert pairs == ["hsmkms/v1/import/RSAES_OAEP_SHA_1"]


def test_the_token_gives_no_master_keys_value(affair: Affair, tmp_path: Path) -> None:
    objects = _objects(affair)
    for key in (*affair.keys, *affair.imported):
        object_id = objects[f"hsmkms/v1/cmk/{key}"]["ID"]
        target = tmp_path / key
        read = _pkcs11_tool(
            affair, "--read-object", "--type", "secrkey", "--id", object_id, "--output-file", str(target)
        )
        assert read.returncode != 0
        assert "CKR_ATTRIBUTE_SENSITIVE" in read.stderr
        assert not target.exists()


def test_data_keys_leave_nothing_in_the_token(affair: Affair) -> None:
    kms = client(affair.server)
    before = set(_objects(affair))
    for _ in range(5):
        kms.generate_data_key_without_plaintext(KeyId=affair.keys[0], KeySpec="AES_256")
    assert set(_objects(affair)) == before
    added = new_key(kms)
    assert set(_objects(affair)) - before == {f"hsmkms/v1/cmk/{added}"}
