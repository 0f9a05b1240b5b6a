"""Steps of the counters store."""
