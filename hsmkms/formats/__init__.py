"""Bytes to fields and back: every layout that outlives a process. Pure; described in ``docs/formats/``."""
