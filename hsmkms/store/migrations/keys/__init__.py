"""Steps of the keys store."""
