"""Where a verb runs: here and now, or on a thread of its region with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from hsmkms.errors import DependencyTimeoutError, ThrottlingError
from hsmkms.frontends.aws.operations import Need, Operation
from hsmkms.frontends.aws.refusals import code_of
from hsmkms.service.admission import Lane, NotBegunSignal
from hsmkms.service.call import Call, WouldBlockSignal
from hsmkms.service.kms import Kms

Result = TypeVar("Result")


class _PastDeadlineSignal(Exception):  # noqa: N818 - turned into a refusal in this module
    """The work was begun and is not done."""


async def perform(
    kms: Kms, call: Call, operation: Operation, act: Callable[[], Result], deadline_seconds: float
) -> Result:
    """Run one verb with its record, where it hinders nobody.

    A verb that asks the snapshot alone, or a token that answers in microseconds, runs on the event loop: a
    hop to a thread and back would cost more than the verb. It goes to a thread all the same when it finds
    that it has to wait for a disk.

    Raises:
        ThrottlingError: no room; nothing was begun.
        DependencyTimeoutError: begun, and not done before the deadline.
        KmsError: the verb's own refusals.
    """
    work = partial(kms.audited, call, act, code_of)
    if _runs_here(kms, operation):
        try:
            return work()
        except WouldBlockSignal:
            pass
    call.may_block = True
    lane = kms.token_lane if operation.need is Need.TOKEN else kms.store_lane
    try:
        return await _run_on(lane, work, deadline_seconds * operation.patience)
    except (NotBegunSignal, _PastDeadlineSignal) as signal:
        # The verb left no record, or will leave one of how it ended; this one says what the caller saw.
        refusal = ThrottlingError() if isinstance(signal, NotBegunSignal) else DependencyTimeoutError()
        kms.record_refusal(call, refusal, code_of)
        raise refusal from None


def _runs_here(kms: Kms, operation: Operation) -> bool:
    if operation.need is Need.NOTHING:
        return True
    return operation.need is Need.TOKEN and not operation.changes and kms.calls_inline


async def _run_on(lane: Lane, work: Callable[[], Result], deadline_seconds: float) -> Result:
    future = lane.submit(work)
    waiting = asyncio.wrap_future(future)
    done, _ = await asyncio.wait((waiting,), timeout=deadline_seconds)
    if done:
        return waiting.result()
    if lane.write_off(future):
        raise NotBegunSignal
    # A call into the token cannot be cancelled. Whatever it ends with, nobody is left to be told.
    waiting.add_done_callback(_discard_outcome)
    raise _PastDeadlineSignal


def _discard_outcome(waiting: asyncio.Future[Result]) -> None:
    if not waiting.cancelled():
        waiting.exception()
