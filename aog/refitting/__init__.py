"""Refits in increments: what one more answer changes, and no more."""

from .refit import Refit

__all__ = ["Refit"]
