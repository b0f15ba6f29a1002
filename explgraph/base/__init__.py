"""What everything stands on: errors, files, threads, array types, text."""

from .messages import guard_log

guard_log()

__version__ = "0.1.0"
