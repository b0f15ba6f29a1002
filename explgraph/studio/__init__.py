"""The studio: a page to label parts on, served to this machine's browser."""
