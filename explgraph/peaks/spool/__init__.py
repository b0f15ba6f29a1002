"""Peaks in files, for more photos than memory holds."""
