"""What the studies of stories260k have in common."""
