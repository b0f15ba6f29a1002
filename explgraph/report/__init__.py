"""One page to explore a graph."""
