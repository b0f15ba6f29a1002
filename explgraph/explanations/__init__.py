"""What pixels, cells, filters and nodes have to do with a network's answer."""
