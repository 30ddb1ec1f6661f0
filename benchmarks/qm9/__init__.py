"""What the studies of QM9 share: its trajectories and what is trained on them."""
