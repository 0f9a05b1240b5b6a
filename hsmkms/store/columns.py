"""Kinds of column that the stores' tables share. Nothing here is SQLite's alone."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Integer, String

MOMENT: Final = String(32)
"""Moments are ISO 8601 text in UTC: they sort as time does, and no database turns them into local time."""

SEQUENCE: Final = BigInteger().with_variant(Integer, "sqlite")
"""An autoincrement that SQLite and PostgreSQL both have."""
