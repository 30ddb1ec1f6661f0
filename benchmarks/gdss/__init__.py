"""What the studies of GDSS on ZINC-250k share: its trajectories, values, molecules and the rows of its tables."""
