"""Labelling parts: photos, what people said of them, and what follows for all the others."""
