"""The accounting core."""
