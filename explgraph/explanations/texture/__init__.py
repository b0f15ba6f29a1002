"""Shape or texture: what answers and nodes survive when a photo is changed."""
