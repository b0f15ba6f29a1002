"""From a network and photos to activation peaks, in memory or in files."""
