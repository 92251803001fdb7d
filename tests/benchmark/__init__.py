"""Side by side on one machine, in one run: this worker, oslo.messaging's own server, the plain way, and the floor."""
