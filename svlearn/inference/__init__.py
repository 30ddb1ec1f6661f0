"""One sampling loop with three parts plugged in: a proposal, a value, a selection."""
