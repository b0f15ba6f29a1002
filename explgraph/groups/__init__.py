"""Part groups: nodes whose peaks coincide, the place they agree on, and what follows it."""
