"""A graph drawn by Graphviz in our own layout: in layers, or by places."""
