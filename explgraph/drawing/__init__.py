"""The tools of all pictures, and the drawing of a graph."""
