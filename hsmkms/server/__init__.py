"""Processes: the supervisor and its workers, the listening socket, signals, the keeper and the watchdog."""
