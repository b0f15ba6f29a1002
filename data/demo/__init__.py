"""Files of the demo: the trained network, and the script that trains it."""
