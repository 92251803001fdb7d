"""The tests of stocktake."""
