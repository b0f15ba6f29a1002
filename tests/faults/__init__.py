"""Faults on purpose: runs that are killed, disks that fill up: ``python -m tests.faults``."""
