"""How good explanations are: checks, measures, a study over photos."""
