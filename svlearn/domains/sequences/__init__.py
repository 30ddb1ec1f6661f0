"""Sequences of DNA, RNA and proteins: masked diffusion, networks, rewards and a landscape whose p* is exact."""
