"""Docking without Vina: an engine that answers by a number of choice; and the fixtures of docking's tests."""

import math
import time

import numpy as np

BOX = ((0.0, 0.0, 0.0), (10.0, 10.0, 10.0))


class Engine:
    """In the place of Vina: its affinity is a number of choice, or it does not come back."""

    def __init__(self, affinity: float = -7.25):
        self.affinity, self.between, self.place, self.asked = affinity, -99.0, (0.0, 4.0, 0.0), []

    def set_ligand_from_string(self, ligand):
        assert ligand == "a ligand"

    def dock(self, exhaustiveness, n_poses):
        self.asked.append(exhaustiveness)
        if self.affinity == -math.inf:
            time.sleep(60)

    def energies(self, n_poses):
        return np.array([[self.affinity, self.between, -99.0, -99.0, -99.0]])

    def poses(self, n_poses, coordinates_only):
        assert coordinates_only
        return np.array([[[0.0, 0.0, 0.0], self.place]])
