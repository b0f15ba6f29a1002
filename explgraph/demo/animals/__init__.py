"""Drawn animals and where their parts are."""
