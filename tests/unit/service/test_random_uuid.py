"""Our own UUIDs are what the standard library takes for random ones."""

from __future__ import annotations

import uuid

from hsmkms.model.names import KEY_ID_PATTERN
from hsmkms.service.random_uuid import random_uuid


def test_they_are_random_uuids_of_version_4() -> None:
    made = {random_uuid() for _ in range(2000)}
    assert len(made) == 2000
    for text in made:
        parsed = uuid.UUID(text)
        assert (parsed.version, parsed.variant, str(parsed)) == (4, uuid.RFC_4122, text)
        assert KEY_ID_PATTERN.fullmatch(text)
    assert {text[19] for text in made} == set("89ab")
