"""A network: how it is loaded and fed, where its layers look, what a change in it does."""
