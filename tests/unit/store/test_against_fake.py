"""Random changes: SQLite, a second process on the same file, and the fake always agree."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from hsmkms.errors import KmsError
from hsmkms.model.actions import Action
from hsmkms.model.grants import Grantee
from hsmkms.model.keys import Key, KeyManager, KeyState, KeyVersion, RotationType, Tag, VersionState
from hsmkms.model.names import KeyId
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.stored import StoredPolicy
from hsmkms.ports.store import KeyChanges, KeySnapshot, KeyStore
from hsmkms.store import SqliteKeyStore, StoreSettings, change_log, migrate
from tests.contract.store.nouns import (
    ACCOUNT,
    GRANTEE,
    NOW,
    OTHER_ACCOUNT,
    REGION,
    import_pair,
    pending_key,
    policy_of,
)
from tests.contract.store.nouns import alias_of as make_alias
from tests.contract.store.nouns import grant_of as make_grant
from tests.store_fakes import FakeKeyStore

ACCOUNTS = st.sampled_from([ACCOUNT, OTHER_ACCOUNT])
NAMES = st.sampled_from(["a", "b", "c/d"])
TAGS = st.lists(st.builds(Tag, st.sampled_from(["k", "K", "é"]), st.text("ab", max_size=2)), max_size=3)


NUMBERS = st.integers(1, 6)
HOURS = st.integers(0, 3)
STATES = st.sampled_from(list(VersionState))
GRANTEES = st.sampled_from([GRANTEE, Grantee("arn:aws:iam::111122223333:root", ACCOUNT)])
POLICIES = st.sampled_from(
    [
        policy_of(ACCOUNT),
        policy_of(OTHER_ACCOUNT),
        StoredPolicy(PolicyKind.KEY, policy_of().text, {"arn": "AIDAONE"}),
        StoredPolicy(PolicyKind.KEY, policy_of().text, {"arn": "AIDATWO", "b": "c"}),
    ]
)


def contents(snapshot: KeySnapshot) -> object:
    """All but the sequence, and of the grants also what is found by looking for it."""
    found = {
        key_id: sorted(
            (grant.grant_id, grant.grantee.unique_id)
            for grant in snapshot.grants.candidates(
                key_id, [GRANTEE.unique_id, ACCOUNT], Action.DECRYPT, {"a": "b"}
            )
        )
        for key_id in snapshot.keys
    }
    return snapshot.keys, snapshot.aliases, snapshot.policies, snapshot.grants, found


class StoresAgree(RuleBasedStateMachine):
    """Every rule does the same to both; the follower only looks, and only sometimes."""

    born = Bundle[tuple[Key, KeyVersion]]("born")

    @initialize()
    def open(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        where = StoreSettings(directory=self.directory)
        migrate(where, [REGION])
        self.sqlite = SqliteKeyStore(where, REGION)
        self.follower = SqliteKeyStore(where, REGION)
        self.fake = FakeKeyStore()
        # So short that a follower that looks rarely has to read everything now and then.
        self.short_log = patch.object(change_log, "KEPT_ENTRIES", 4)
        self.short_log.start()

    def both(self, act: Callable[[KeyChanges], object]) -> None:
        outcomes: list[object] = []
        for store in self.stores():
            try:
                with store.change() as change:
                    outcomes.append(act(change))
            except KmsError as refusal:
                outcomes.append(type(refusal).__name__)
        assert outcomes[0] == outcomes[1]

    def stores(self) -> tuple[KeyStore, KeyStore]:
        return self.sqlite, self.fake

    @rule(
        target=born, account=ACCOUNTS, tags=TAGS, policy=POLICIES, manager=st.sampled_from(list(KeyManager))
    )
    def begin_key(
        self, account: str, tags: list[Tag], policy: StoredPolicy, manager: KeyManager
    ) -> tuple[Key, KeyVersion]:
        key, version = pending_key(ACCOUNT if account == ACCOUNT else OTHER_ACCOUNT)
        key = replace(key, manager=manager, service="s" if manager is not KeyManager.CUSTOMER else None)
        self.both(lambda change: change.add_pending_key(key, version, tags, policy))
        return key, version

    @rule(one=born)
    def begin_key_again(self, one: tuple[Key, KeyVersion]) -> None:
        self.both(lambda change: change.add_pending_key(one[0], one[1], [], policy_of()))

    @rule(one=born, other=born)
    def enable_key(self, one: tuple[Key, KeyVersion], other: tuple[Key, KeyVersion]) -> None:
        self.both(lambda change: change.enable_pending_key(one[0].key_id, other[1].material_id, b"check"))

    @rule(one=born)
    def enable_its_own(self, one: tuple[Key, KeyVersion]) -> None:
        self.both(lambda change: change.enable_pending_key(one[0].key_id, one[1].material_id, b"check"))

    @rule(target=born, waits=st.booleans())
    def add_key(self, waits: bool) -> tuple[Key, KeyVersion]:
        """A key without a version, and the one that it may get."""
        key, version = pending_key()
        key = replace(key, state=KeyState.PENDING_IMPORT if waits else KeyState.DISABLED)
        self.both(lambda change: change.add_key(key, [Tag("k", "")], policy_of()))
        return key, version

    @rule(one=born)
    def undo_key(self, one: tuple[Key, KeyVersion]) -> None:
        def act(change: KeyChanges) -> None:
            # The port leaves open what an alias of a key under way would become.
            if change.count_aliases(one[0].key_id) == 0:
                change.remove_pending_key(one[0].key_id)

        self.both(act)

    @rule(one=born, state=st.sampled_from(list(KeyState)), description=st.text("xy", max_size=3))
    def change_key(self, one: tuple[Key, KeyVersion], state: KeyState, description: str) -> None:
        def act(change: KeyChanges) -> Key | None:
            if change.key(one[0].key_id) is not None:
                change.set_state(one[0].key_id, state)
                change.set_description(one[0].key_id, description)
            return change.key(one[0].key_id)

        self.both(act)

    @rule(one=born, other=born, state=STATES, hours=HOURS)
    def add_version(
        self, one: tuple[Key, KeyVersion], other: tuple[Key, KeyVersion], state: VersionState, hours: int
    ) -> None:
        version = replace(
            one[1], key_id=other[0].key_id, state=state, changed_at=NOW + timedelta(hours=hours)
        )
        self.both(lambda change: change.add_version(version))

    @rule(one=born, other=born, state=STATES, hours=HOURS, rotated=st.booleans())
    def put_version(
        self,
        one: tuple[Key, KeyVersion],
        other: tuple[Key, KeyVersion],
        state: VersionState,
        hours: int,
        rotated: bool,
    ) -> None:
        moment = NOW + timedelta(hours=hours)

        def act(change: KeyChanges) -> object:
            version = replace(one[1], key_id=other[0].key_id, state=state, changed_at=moment)
            if rotated:
                version = replace(version, rotated_at=moment, rotation_type=RotationType.ON_DEMAND)
            change.put_version(version)
            return change.version(version.material_id)

        self.both(act)

    @rule(one=born)
    def remove_version(self, one: tuple[Key, KeyVersion]) -> None:
        self.both(lambda change: change.remove_version(one[1].material_id))

    @rule(one=born, other=born, state=st.sampled_from(list(KeyState)), days=st.none() | HOURS)
    def put_key(
        self, one: tuple[Key, KeyVersion], other: tuple[Key, KeyVersion], state: KeyState, days: int | None
    ) -> None:
        due = None if days is None else NOW + timedelta(days=days)
        key = replace(one[0], state=state, current_material_id=other[1].material_id)
        self.both(
            lambda change: change.put_key(
                replace(key, rotation_days=days, next_rotation_at=due, deletion_at=due)
            )
        )

    @rule(one=born, hours=HOURS)
    def remove_key(self, one: tuple[Key, KeyVersion], hours: int) -> None:
        self.both(lambda change: change.remove_key(one[0].key_id, NOW + timedelta(hours=hours)))

    @rule(one=born, hours=HOURS)
    def note_destroyed(self, one: tuple[Key, KeyVersion], hours: int) -> None:
        self.both(lambda change: change.note_destroyed(one[1].material_id, NOW + timedelta(hours=hours)))

    @rule(one=born, number=NUMBERS, hours=HOURS, act=st.sampled_from(["add", "put", "remove"]))
    def change_import_pairs(self, one: tuple[Key, KeyVersion], number: int, hours: int, act: str) -> None:
        pair = import_pair(one[0].key_id, number, NOW + timedelta(hours=hours))

        def change_one(change: KeyChanges) -> object:
            before = change.import_pair(pair.pair_id)
            if act == "add":
                change.add_import_pair(pair)
            elif act == "put":
                change.put_import_pair(pair)
            else:
                change.remove_import_pair(pair.pair_id)
            return before, list(change.import_pairs(pair.key_id))

        self.both(change_one)

    @rule(hours=HOURS)
    def read_what_is_left(self, hours: int) -> None:
        moment = NOW + timedelta(hours=hours)
        answers = [
            (
                list(store.unfinished_versions(moment)),
                list(store.condemned()),
                list(store.tombstones()),
                list(store.expired_import_pairs(moment)),
            )
            for store in self.stores()
        ]
        assert answers[0] == answers[1]

    @rule(one=born, account=ACCOUNTS, name=NAMES)
    def add_alias(self, one: tuple[Key, KeyVersion], account: str, name: str) -> None:
        alias = replace(make_alias(one[0], name), account=ACCOUNT if account == ACCOUNT else OTHER_ACCOUNT)

        def act(change: KeyChanges) -> int:
            change.add_alias(alias)
            return change.count_aliases(one[0].key_id)

        self.both(act)

    @rule(one=born, name=NAMES)
    def move_alias(self, one: tuple[Key, KeyVersion], name: str) -> None:
        def act(change: KeyChanges) -> object:
            if change.alias(ACCOUNT, f"alias/{name}") is not None:
                change.set_alias_target(ACCOUNT, f"alias/{name}", one[0].key_id, NOW + timedelta(minutes=1))
            return change.alias(ACCOUNT, f"alias/{name}")

        self.both(act)

    @rule(name=NAMES)
    def remove_alias(self, name: str) -> None:
        self.both(lambda change: change.remove_alias(ACCOUNT, f"alias/{name}"))

    @rule(one=born, tags=TAGS, removed=st.lists(st.sampled_from(["k", "K", "é"])))
    def change_tags(self, one: tuple[Key, KeyVersion], tags: list[Tag], removed: list[str]) -> None:
        def act(change: KeyChanges) -> object:
            change.remove_tags(one[0].key_id, removed)
            change.put_tags(one[0].key_id, tags)
            return list(change.tags(one[0].key_id))

        self.both(act)

    @rule(one=born, policy=POLICIES)
    def change_policy(self, one: tuple[Key, KeyVersion], policy: StoredPolicy) -> None:
        def act(change: KeyChanges) -> object:
            if change.key(one[0].key_id) is None:
                return None
            before = change.policy(one[0].key_id)
            change.set_policy(one[0].key_id, policy)
            return before

        self.both(act)

    @rule(one=born, number=NUMBERS, name=NAMES, grantee=GRANTEES, retiring=st.none() | GRANTEES)
    def add_grant(
        self,
        one: tuple[Key, KeyVersion],
        number: int,
        name: str,
        grantee: Grantee,
        retiring: Grantee | None,
    ) -> None:
        grant = replace(make_grant(one[0].key_id, number, grantee), name=name, retiring=retiring)

        def act(change: KeyChanges) -> object:
            change.add_grant(grant)
            return change.count_grants(grant.key_id), list(change.grants_named(grant.key_id, name))

        self.both(act)

    @rule(one=born, number=NUMBERS)
    def remove_grant(self, one: tuple[Key, KeyVersion], number: int) -> None:
        grant_id = make_grant(one[0].key_id, number).grant_id

        def act(change: KeyChanges) -> object:
            before = change.grant(grant_id)
            change.remove_grant(grant_id)
            return before, change.grant(grant_id), change.count_grants(one[0].key_id)

        self.both(act)

    @rule()
    def follow(self) -> None:
        assert contents(self.follower.snapshot()) == contents(self.fake.snapshot())

    @rule(
        one=born,
        grantee=GRANTEES,
        number=NUMBERS,
        some=st.booleans(),
        by_grantee=st.booleans(),
        after=st.none() | NUMBERS,
        limit=st.integers(1, 3),
    )
    def list_grants(
        self,
        one: tuple[Key, KeyVersion],
        grantee: Grantee,
        number: int,
        some: bool,
        by_grantee: bool,
        after: int | None,
        limit: int,
    ) -> None:
        marker = None if after is None else make_grant(one[0].key_id, after).grant_id
        answers = [
            (
                list(
                    store.list_grants(
                        one[0].key_id,
                        grant_id=make_grant(one[0].key_id, number).grant_id if some else None,
                        grantee_id=grantee.unique_id if by_grantee else None,
                        after=marker,
                        limit=limit,
                    )
                ),
                list(store.list_retirable_grants(grantee.unique_id, marker, limit)),
            )
            for store in self.stores()
        ]
        assert answers[0] == answers[1]

    @rule(account=ACCOUNTS, after=st.none() | NAMES, limit=st.integers(1, 3), one=born)
    def read_lists(self, account: str, after: str | None, limit: int, one: tuple[Key, KeyVersion]) -> None:
        owner = ACCOUNT if account == ACCOUNT else OTHER_ACCOUNT
        name = None if after is None else f"alias/{after}"
        answers = [
            (
                list(store.list_keys(owner, after and KeyId("8"), limit)),
                list(store.list_aliases(owner, None, name, limit)),
                list(store.list_aliases(owner, one[0].key_id, name, limit)),
                list(store.list_tags(one[0].key_id, after, limit)),
                list(store.unfinished_versions(NOW + timedelta(days=1))),
            )
            for store in self.stores()
        ]
        assert answers[0] == answers[1]

    @invariant()
    def snapshots_agree(self) -> None:
        if hasattr(self, "sqlite"):
            assert contents(self.sqlite.snapshot()) == contents(self.fake.snapshot())

    def teardown(self) -> None:
        if hasattr(self, "sqlite"):
            self.short_log.stop()
            self.sqlite.close()
            self.follower.close()
            shutil.rmtree(self.directory)


TestStoresAgree = StoresAgree.TestCase
TestStoresAgree.settings = settings(
    max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
