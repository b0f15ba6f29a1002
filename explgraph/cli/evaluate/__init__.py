"""The command ``explgraph evaluate``."""
