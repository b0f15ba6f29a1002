"""Mining in units of work, which other processes can do."""
