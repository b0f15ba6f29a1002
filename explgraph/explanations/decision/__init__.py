"""One decision explained by the nodes of a graph."""
