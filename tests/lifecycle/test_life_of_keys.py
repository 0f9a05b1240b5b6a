"""Keys live in a model and in the service at once, and nothing that can be seen of them differs.

Some 1,700 steps with a token in memory, which can also be away, and 1,400 in SoftHSM; HSMKMS_LIVES=10 takes
ten times as many. A failure prints the steps that lead to it, the fewest that Hypothesis finds.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from hsmkms.model.imports import WrappingAlgorithm
from hsmkms.ports.hsm import Readiness, ReadinessState
from tests.contract.hsm.tokens import make_bench, require_softhsm
from tests.hsm_fakes import FakeHsm
from tests.lifecycle.machine import TokenUnderTest
from tests.lifecycle.meddling import InterruptedHsm, MeddledLife

_TIMES: Final = int(os.environ.get("HSMKMS_LIVES", "1"))


@dataclass
class TokenInMemory:
    """One fake for both workers."""

    hsms: Sequence[InterruptedHsm]

    def pairs(self) -> int | None:
        hsm = self.hsms[0].inner
        assert isinstance(hsm, FakeHsm)
        return len(hsm.pairs)

    def close(self) -> None:
        """Nothing is left."""


class LifeInMemory(MeddledLife):
    """With a token that can be away."""

    algorithms = tuple(WrappingAlgorithm)

    def make_token(self, directory: Path) -> TokenUnderTest:  # noqa: ARG002 - it has no files
        hsm = FakeHsm(unwraps=(WrappingAlgorithm.RSAES_OAEP_SHA_1, WrappingAlgorithm.RSAES_OAEP_SHA_256))
        return TokenInMemory((InterruptedHsm(hsm), InterruptedHsm(hsm)))

    def look_back(self) -> None:
        self._say(ReadinessState.READY)
        super().look_back()

    @precondition(lambda self: not self.world.is_away)
    @rule()
    def token_goes_away(self) -> None:
        self._say(ReadinessState.AWAY)

    @precondition(lambda self: self.world.is_away)
    @rule()
    def token_comes_back(self) -> None:
        self._say(ReadinessState.READY)

    def _say(self, state: ReadinessState) -> None:
        for hsm in self.token.hsms:
            assert isinstance(hsm, InterruptedHsm)
            assert isinstance(hsm.inner, FakeHsm)
            hsm.inner.state = Readiness(state)
        self.world.is_away = state is not ReadinessState.READY


@dataclass
class SoftToken:
    """A SoftHSM token, reached through two copies of the module: to SoftHSM, from two processes."""

    hsms: Sequence[InterruptedHsm]

    def pairs(self) -> int | None:
        return None

    def close(self) -> None:
        """A module is never finalised: design, section 3."""


class LifeInSoftHsm(MeddledLife):
    """With a real token."""

    # Inside the token, and in a process of its own, which takes its time.
    algorithms = (
        WrappingAlgorithm.RSAES_OAEP_SHA_1,
        WrappingAlgorithm.RSAES_OAEP_SHA_1,
        WrappingAlgorithm.RSAES_OAEP_SHA_1,
        WrappingAlgorithm.RSAES_OAEP_SHA_256,
    )

    def make_token(self, directory: Path) -> TokenUnderTest:
        bench = make_bench(directory)
        hsms = InterruptedHsm(bench.ready()), InterruptedHsm(bench.beside().ready())
        return SoftToken(hsms)


def _many(examples: int, steps: int) -> settings:
    return settings(
        max_examples=examples * _TIMES,
        stateful_step_count=steps,
        deadline=None,
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


def test_keys_live_as_they_should() -> None:
    run_state_machine_as_test(LifeInMemory, settings=_many(15, 120))


def test_keys_in_a_real_token_live_as_they_should() -> None:
    require_softhsm()
    run_state_machine_as_test(LifeInSoftHsm, settings=_many(12, 120))
