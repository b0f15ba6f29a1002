"""A graph looked at on photos: a node, a filter, all the best nodes, one photo."""
