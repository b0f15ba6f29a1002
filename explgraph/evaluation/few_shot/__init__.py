"""Locating parts from few clicks: the protocol, And-Or graphs, and the methods beside them."""
