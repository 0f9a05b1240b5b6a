"""What the log says of refused requests, and that nobody can fill it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from structlog.testing import capture_logs

from hsmkms.errors import KeyUnavailableError
from hsmkms.frontends.aws.incidents import LINES_PER_SECOND, Incidents

NOON = datetime(2026, 11, 24, 12, 0, 0, 250_000, tzinfo=UTC)


def test_a_flood_of_faults_is_counted_and_told_in_the_next_second() -> None:
    incidents = Incidents()
    with capture_logs() as lines:
        for number in range(500):
            moment = NOON + timedelta(milliseconds=number)
            incidents.note_fault(KeyUnavailableError("away"), "KeyUnavailableException", "id", moment)
            incidents.tell_left_out(moment)
    assert Counter(line["event"] for line in lines) == {"fault_answered": LINES_PER_SECOND}
    with capture_logs() as lines:
        for milliseconds in (500, 999, 1000, 1001):
            incidents.tell_left_out(NOON + timedelta(milliseconds=milliseconds))
    assert lines == [
        {"event": "lines_left_out", "of": "fault_answered", "lines": 490, "log_level": "warning"}
    ]


def test_each_second_has_lines_of_its_own() -> None:
    incidents = Incidents()
    with capture_logs() as lines:
        for second in range(3):
            for _ in range(LINES_PER_SECOND + 1):
                moment = NOON + timedelta(seconds=second)
                incidents.note_fault(KeyUnavailableError("away"), "KeyUnavailableException", "id", moment)
    assert Counter(line["event"] for line in lines) == {
        "fault_answered": 3 * LINES_PER_SECOND,
        "lines_left_out": 2,
    }
