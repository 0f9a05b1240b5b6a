"""Making keys, naming them and using them."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from hsmkms.model.keys import KeyOrigin, KeyState, Tag
from tests.lifecycle.comparison import aws_id
from tests.lifecycle.machine import KEYS, LifeOfKeys, some_key, workers
from tests.lifecycle.nouns import Ciphertext, ModelKey, ModelVersion
from tests.unit.service.region import call

some_blob = st.integers(0, 200)
aliases = st.sampled_from(["alias/one", "alias/two", "alias/three"])
tag_keys = st.sampled_from(["team", "cost", "stage"])
words = st.sampled_from(["", "a", "b"])
contexts: st.SearchStrategy[dict[str, str]] = st.sampled_from([{}, {"for": "tests"}])


class UseOfKeys(LifeOfKeys):
    """What most callers do."""

    # --- keys, aliases, tags ------------------------------------------------------------------------------

    @precondition(lambda self: len(self.world.keys) < KEYS)
    @rule(number=workers, origin=st.sampled_from(KeyOrigin), tag_value=words)
    def create(self, number: int, origin: KeyOrigin, tag_value: str) -> None:
        worker = self.workers[number]
        tags = {"team": tag_value} if tag_value else {}
        made = self.both(
            lambda: self.world.create(worker.model, origin, dict(tags)),
            lambda: worker.region.kms.create_key(
                call("CreateKey"),
                description="",
                tags=[Tag(*tag) for tag in tags.items()],
                origin=origin,
            ),
        )
        if made:
            made[0].key_id = made[1].key_id
            self._learn(worker)

    @rule(number=workers, which=some_key, is_enabled=st.booleans())
    def enable_or_disable(self, number: int, which: int, is_enabled: bool) -> None:
        key, kms = self.key(which), self.workers[number].region.kms
        if is_enabled:
            self.both(
                lambda: self.world.set_state(key, KeyState.ENABLED),
                lambda: kms.enable_key(call("EnableKey"), key.key_id),
            )
        else:
            self.both(
                lambda: self.world.set_state(key, KeyState.DISABLED),
                lambda: kms.disable_key(call("DisableKey"), key.key_id),
            )

    @rule(number=workers, which=some_key, description=words)
    def describe(self, number: int, which: int, description: str) -> None:
        key, kms = self.key(which), self.workers[number].region.kms
        self.both(
            lambda: self.world.describe(key, description),
            lambda: kms.update_key_description(call("UpdateKeyDescription"), key.key_id, description),
        )

    @rule(number=workers, which=some_key, tag_key=tag_keys, tag_value=words)
    def tag(self, number: int, which: int, tag_key: str, tag_value: str) -> None:
        key, kms = self.key(which), self.workers[number].region.kms
        self.both(
            lambda: self.world.tag(key, tag_key, tag_value),
            lambda: kms.tag_resource(call("TagResource"), key.key_id, [Tag(tag_key, tag_value)]),
        )

    @rule(number=workers, which=some_key, tag_key=tag_keys)
    def untag(self, number: int, which: int, tag_key: str) -> None:
        key, kms = self.key(which), self.workers[number].region.kms
        self.both(
            lambda: self.world.untag(key, tag_key),
            lambda: kms.untag_resource(call("UntagResource"), key.key_id, [tag_key]),
        )

    @rule(number=workers, which=some_key, alias=aliases)
    def create_alias(self, number: int, which: int, alias: str) -> None:
        key, kms = self.key(which), self.workers[number].region.kms
        self.both(
            lambda: self.world.create_alias(alias, key),
            lambda: kms.create_alias(call("CreateAlias"), alias, key.key_id),
        )

    @rule(number=workers, which=some_key, alias=aliases)
    def update_alias(self, number: int, which: int, alias: str) -> None:
        key, kms = self.key(which), self.workers[number].region.kms
        self.both(
            lambda: self.world.update_alias(alias, key),
            lambda: kms.update_alias(call("UpdateAlias"), alias, key.key_id),
        )

    @rule(number=workers, alias=aliases)
    def delete_alias(self, number: int, alias: str) -> None:
        kms = self.workers[number].region.kms
        self.both(
            lambda: self.world.delete_alias(alias), lambda: kms.delete_alias(call("DeleteAlias"), alias)
        )

    # --- cryptography -------------------------------------------------------------------------------------

    @rule(number=workers, which=some_key, context=contexts)
    def encrypt(self, number: int, which: int, context: dict[str, str]) -> None:
        key = self.key(which)
        self._encrypt(number, lambda: key, key.key_id, context)

    @rule(number=workers, alias=aliases, context=contexts)
    def encrypt_by_alias(self, number: int, alias: str, context: dict[str, str]) -> None:
        self._encrypt(number, lambda: self.world.named(alias), alias, context)

    @rule(number=workers, which=some_key, times=st.integers(20, 70))
    def encrypt_often(self, number: int, which: int, times: int) -> None:
        key = self.key(which)
        for _ in range(times):
            if self._encrypt(number, lambda: key, key.key_id, {}) is None:
                break

    def _encrypt(
        self, number: int, named: Callable[[], ModelKey], key_ref: str, context: dict[str, str]
    ) -> bytes | None:
        worker, plaintext = self.workers[number], b"hello"

        def expected() -> tuple[ModelKey, ModelVersion]:
            key = named()
            return key, self.world.encrypt(worker.model, key)

        done = self.both(
            expected,
            lambda: worker.region.kms.encrypt(call(), key_ref, plaintext, context, dry_run=False),
        )
        self._learn(worker)
        if done is None:
            return None
        (key, version), encrypted = done
        self._keep(key, version, encrypted.ciphertext_blob, context, plaintext)
        return encrypted.ciphertext_blob

    @rule(number=workers, which=some_key, context=contexts, length=st.sampled_from([16, 32, 64]))
    def generate_data_key(self, number: int, which: int, context: dict[str, str], length: int) -> None:
        key, worker = self.key(which), self.workers[number]
        done = self.both(
            lambda: self.world.encrypt(worker.model, key),
            lambda: worker.region.kms.generate_data_key(
                call("GenerateDataKey"), key.key_id, context, length=length, dry_run=False
            ),
        )
        self._learn(worker)
        if done:
            version, made = done
            assert (made.key_material_id, len(made.plaintext)) == (aws_id(key, version), length)
            self._keep(key, version, made.ciphertext_blob, context, made.plaintext)

    @rule(number=workers, which=some_key, context=contexts, length=st.sampled_from([16, 32, 64]))
    def generate_sealed_data_key(self, number: int, which: int, context: dict[str, str], length: int) -> None:
        key, worker = self.key(which), self.workers[number]
        done = self.both(
            lambda: self.world.encrypt(worker.model, key),
            lambda: worker.region.kms.generate_data_key_without_plaintext(
                call("GenerateDataKeyWithoutPlaintext"), key.key_id, context, length=length, dry_run=False
            ),
        )
        self._learn(worker)
        if done:
            version, made = done
            assert made.key_material_id == aws_id(key, version)
            self._keep(key, version, made.ciphertext_blob, context, None)

    @precondition(lambda self: self.world.ciphertexts)
    @rule(
        number=workers,
        which=some_blob,
        names=st.sampled_from(["no key", "its key", "another key"]),
        is_damaged=st.booleans(),
        other=some_key,
    )
    def decrypt(self, number: int, which: int, names: str, is_damaged: bool, other: int) -> None:
        sealed = self.sealed(which)
        named = {"no key": None, "its key": sealed.key, "another key": self.key(other)}[names]
        self._decrypt(number, sealed, named, is_damaged=is_damaged)

    @precondition(lambda self: self.world.ciphertexts)
    @rule(number=workers)
    def decrypt_everything(self, number: int) -> None:
        self._open_everything(number)

    def look_back(self) -> None:
        self._open_everything(0)
        super().look_back()

    def _open_everything(self, number: int) -> None:
        for sealed in self.world.ciphertexts:
            self._decrypt(number, sealed, None, is_damaged=False)

    def _decrypt(self, number: int, sealed: Ciphertext, named: ModelKey | None, *, is_damaged: bool) -> None:
        context = {**sealed.context, "more": "than was sealed"} if is_damaged else sealed.context
        done = self.both(
            lambda: self.world.decrypt(sealed, named, is_damaged=is_damaged),
            lambda: self.workers[number].region.kms.decrypt(
                call("Decrypt"),
                sealed.blob,
                context,
                key_ref=None if named is None else named.key_id,
                dry_run=False,
            ),
        )
        if done:
            opened = done[1]
            sealed.plaintext = sealed.plaintext or opened.plaintext
            assert opened.plaintext == sealed.plaintext
            assert opened.key_material_id == aws_id(sealed.key, sealed.version)

    @precondition(lambda self: self.world.ciphertexts)
    @rule(number=workers, which=some_blob, to=some_key, context=contexts, is_damaged=st.booleans())
    def re_encrypt(self, number: int, which: int, to: int, context: dict[str, str], is_damaged: bool) -> None:
        sealed, key, worker = self.sealed(which), self.key(to), self.workers[number]
        done = self.both(
            lambda: self.world.re_encrypt(worker.model, sealed, key, is_damaged=is_damaged),
            lambda: worker.region.kms.re_encrypt(
                call("ReEncrypt"),
                sealed.blob[:-1] + bytes([sealed.blob[-1] ^ is_damaged]),
                source_key_ref=None,
                source_context=sealed.context,
                destination_key_ref=key.key_id,
                destination_context=context,
                dry_run=False,
            ),
        )
        self._learn(worker)
        if done:
            version, moved = done
            assert moved.source_key_material_id == aws_id(sealed.key, sealed.version)
            assert moved.destination_key_material_id == aws_id(key, version)
            self._keep(key, version, moved.ciphertext_blob, context, sealed.plaintext)
