"""Units of work, who does them, and who may."""
