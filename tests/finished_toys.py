"""Words of unequal length, of which all is decided at the start: a process that says which are finished, and its twin
that does not, must draw the same."""

import torch

from svlearn.process import Prediction, Reference
from svlearn.targets import Target
from svlearn.transitions import ListedTransition

T = 6
LENGTHS = torch.tensor([0, 3, 1, 6, 2, 2, 5])
TARGET = Target(lambda x: 0.3 * x[:, 1].double() - x[:, 0].double().cos(), 0.7)


class Words(Reference):
    """States (B, 2), long: the letters written, and how many the word has. The cache of a row is what is written.

    says: whether it tells what is finished; then it refuses to be called for that.
    """

    num_steps = T

    def __init__(self, says=True):
        super().__init__()
        self.says, self.rows = says, []

    def initial(self, batch_size, *, condition=None, generator=None):
        lengths = torch.randint(T + 1, (batch_size,), generator=generator) if condition is None else condition
        return torch.stack([torch.zeros_like(lengths), lengths], dim=1)

    def forward(self, x, t, previous=None):
        assert len(x) > 0 and not (self.says and self.finished(x).any())
        assert previous is None or torch.equal(previous.cache, x[:, 0])
        self.rows.append(len(x))
        longer = torch.stack([(x[:, 0] + 1).minimum(x[:, 1]), x[:, 1]], dim=1)
        return Prediction(ListedTransition(longer[:, None], torch.zeros(len(x), 1)), cache=longer[:, 0])

    def finished(self, x):
        return x[:, 0] == x[:, 1]

    def defines(self, method):
        return self.says if method == "finished" else super().defines(method)
