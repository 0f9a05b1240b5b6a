"""The only place that builds real objects: everything, or the stores alone, which need no PIN."""
