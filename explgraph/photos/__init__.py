"""Collections of photos in a fixed order, and what people marked in them."""
