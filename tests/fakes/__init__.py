"""One fake per interface: plain classes that keep the interface's contract in memory."""
