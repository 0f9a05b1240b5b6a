"""Time that passes, clocks that are wrong, and workers that come and go."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from hsmkms.model.keys import KeyOrigin, KeyState
from hsmkms.ports.store import ObservedTime
from tests.lifecycle.changes import ChangesOfKeys
from tests.lifecycle.machine import Worker, some_key, workers
from tests.lifecycle.nouns import DAY, HOUR, ModelKey
from tests.unit.service.region import FrozenClock

short_times = st.sampled_from([1, 31, 61, 11 * 60, 3600])
long_times = st.sampled_from([1, 7, 31, 100, 400])
jumps = st.sampled_from([timedelta(minutes=30), timedelta(hours=2), 40 * DAY, 1000 * DAY])


class TimeOfKeys(ChangesOfKeys):
    """What no caller does."""

    @initialize(number=workers, limit=st.sampled_from([64, 64, 256]))
    def begin(self, number: int, limit: int) -> None:
        self.open(limit)
        self.create(number, KeyOrigin.AWS_KMS, "")
        self.create(number, KeyOrigin.EXTERNAL, "a")
        self.create_alias(number, 0, "alias/one")
        self.work(number)

    @rule(seconds=short_times)
    def wait(self, seconds: int) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    @rule(number=workers, days=long_times)
    def live(self, number: int, days: int) -> None:
        """Days go by, and one worker is there all the time."""
        self.clock.advance(timedelta(minutes=1))
        self.work(number)
        self.clock.advance(days * DAY)
        self.work(number)

    @rule(days=long_times)
    def sleep(self, days: int) -> None:
        """Days go by, and no worker looks at the clock."""
        self.clock.advance(days * DAY)

    @rule(number=workers, by=jumps, is_forward=st.booleans(), is_seen=st.booleans())
    def jump(self, number: int, by: timedelta, is_forward: bool, is_seen: bool) -> None:
        """The machine's clock is set, and no time goes by."""
        moment = self.clock.moment + (by if is_forward else -by)
        if 2000 < moment.year < 2200:
            self.clock.moment = moment
        if is_seen:
            self.work(number)

    @rule(number=workers)
    def set_the_clock_right(self, number: int) -> None:
        self.clock.moment = FrozenClock.moment + timedelta(seconds=self.clock.seconds)
        self.work(number)

    @rule(number=workers, which=some_key)
    def see_it_go(self, number: int, which: int) -> None:
        """One worker is there, day by day, until a key's time has come."""
        dated = [key for key in self.world.keys if _dates(key)] or self.world.keys
        dates = _dates(dated[which % len(dated)])
        for _ in range(6):
            to_come = [
                (date - self.clock.now()) // timedelta(seconds=2) for date in dates if date is not None
            ]
            self.clock.advance(timedelta(seconds=min(max(31, *to_come, 31), 10_000_000)))
            self.work(number)

    @rule(number=workers)
    def work(self, number: int) -> None:
        """One round of the clockwork."""
        worker, world = self.workers[number], self.world
        before, was_looked_at = self.observed, worker.model.looked_at
        if before != worker.put:
            was_looked_at = None  # somebody else has written since, and covers that time
        is_turn = world.take_turn(worker.model)
        assert worker.region.clockwork.round() is is_turn
        if not is_turn:
            return
        observed = worker.region.clockwork_store.observed()
        assert observed is not None
        elapsed = 0.0 if was_looked_at is None else self.clock.seconds - was_looked_at
        worker.model.looked_at = self.clock.seconds
        self._check_observed(before, observed, elapsed)
        self.observed, worker.put, world.trusted = observed, observed, observed.trusted
        going = [key for key in world.keys if key.state is KeyState.PENDING_DELETION]
        world.do_due_work(worker.model, min(self.clock.now(), observed.trusted))
        if world.lots_are_drawn:
            self._see_who_is_left(worker)
        for key in going:
            if key.state is None:
                self._check_window(key)
        self._learn(worker)

    def _see_who_is_left(self, worker: Worker) -> None:
        world, store = self.world, worker.region.keys
        world.lots_are_drawn = False
        left = {condemned.material_id for condemned in store.condemned()}
        assert len(left) == max(0, len(world.condemned) - 20)
        world.condemned = [version for version in world.condemned if version.material_id in left]
        for key in world.keys:
            with store.change() as change:
                dates = {pair.expires_at for pair in change.import_pairs(key.key_id)}
            for pair in world.pairs:
                if pair.key is key and pair.is_there is not False:
                    # Those of a deleted key end at one moment, and cannot be told apart.
                    pair.is_there = pair.expires_at in dates and (None if key.state is None else True)

    def _check_observed(self, before: ObservedTime | None, after: ObservedTime, elapsed: float) -> None:
        """Time comes on as it goes by, or a little faster, and never because a clock says so."""
        wall, world = self.clock.now(), self.world
        if before is None:
            assert after.trusted == wall
            return
        gone = after.trusted - before.trusted
        assert gone >= timedelta()
        assert after.trusted <= max(wall, before.trusted)
        assert gone >= min(timedelta(seconds=elapsed), wall - before.trusted)
        if gone > timedelta(seconds=elapsed + 1) + min(timedelta(seconds=elapsed * 0.1), HOUR):
            # It was found to be ahead, and went steadily for a day.
            assert self.held_since is not None
            assert after.observed_seconds - self.held_since >= 24 * 3600
            world.approvals += 1
        assert (after.held_at_seconds is not None) == (wall - after.trusted > HOUR)
        if after.held_at_seconds is None:
            self.held_since = None
        elif self.held_since is None:
            world.events["HoldDueWork"] += 1
            self.held_since = after.observed_seconds

    def _check_window(self, key: ModelKey) -> None:
        """A key that is gone was given its seven days, unless the clock was taken for right meanwhile."""
        lived = self.clock.seconds - key.observed_at_scheduling
        if key.approvals_at_scheduling == self.world.approvals:
            assert lived * 1.1 >= 7 * 86400, lived

    @rule(number=workers)
    def attend_budget(self, number: int) -> None:
        worker = self.workers[number]
        self.world.attend_budget(worker.model)
        worker.region.clockwork.attend_budget()
        self._learn(worker)

    @rule(number=workers)
    def refill(self, number: int) -> None:
        worker = self.workers[number]
        self.both(lambda: self.world.refill(worker.model), worker.region.kms.budget.refill)

    @rule(number=workers)
    def approve(self, number: int) -> None:
        """An operator says that the clock is right."""
        store = self.workers[number].region.clockwork_store
        before = self.observed
        is_held = before is not None and before.held_at_seconds is not None
        assert store.approve(self.clock.now()) is is_held
        if is_held:
            self.world.approvals += 1
            self.held_since = None
            self.observed = store.observed()
            assert self.observed is not None
            assert before is not None
            assert self.observed.trusted == max(self.clock.now(), before.trusted)
            self.world.trusted = self.observed.trusted

    @rule(number=workers, cleanly=st.booleans())
    def restart(self, number: int, cleanly: bool) -> None:
        worker = self.workers[number]
        self.world.stop(worker.model, cleanly=cleanly)
        self._end(worker, cleanly=cleanly)
        self.workers[number] = self._start(number)


def _dates(key: ModelKey) -> list[datetime]:
    dates = [key.deletion_at, key.next_rotation_at, *(version.expires_at for version in key.known)]
    return [date for date in dates if date is not None]
