"""The explanatory graph, its nodes and where they were found; choosing, describing, comparing."""
