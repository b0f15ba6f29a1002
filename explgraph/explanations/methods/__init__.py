"""The methods of attribution, a file each."""
