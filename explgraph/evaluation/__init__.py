"""How good graphs, parts and explanations are, each figure beside its controls."""
