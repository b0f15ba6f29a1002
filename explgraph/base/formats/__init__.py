"""What files of our own hold, said once: for readers, constructors and who tries to break them."""
