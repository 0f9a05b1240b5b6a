"""The verbs. Each reads as a story: resolve the key, ask for leave, check its state, act, record."""
