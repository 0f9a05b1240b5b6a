"""Skins: wire in, one service call, wire out. They do not know each other."""
