"""What is kept: the tables, and one adapter for each interface that asks for something kept."""
