"""stocktake's worker: the accounts of what every compute node's resources are used for."""
