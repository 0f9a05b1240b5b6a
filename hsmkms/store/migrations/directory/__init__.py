"""Steps of the directory store."""
