"""The operators' commands: human output on standard output, errors on standard error, ``--json`` for programs."""
