"""What everything stands on: errors, files, threads, array types, text."""

__version__ = "0.1.0"
