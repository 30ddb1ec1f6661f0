"""What the studies on oracles share: problems with exact answers, families to train on them, networks and judges."""
