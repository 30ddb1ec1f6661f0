"""The extension kit: what a transition, a reference, a value or a reward of one's own must do, tried on a few rows.

Each check raises ValueError with all that is wrong, one line each: which method, what was wanted, what came, and what
to write. They are meant for one's own tests: `def test_mine(): sv.testing.check_reference(Mine())`.
"""

from svlearn.testing.presentation import check_presentation
from svlearn.testing.reference import check_reference
from svlearn.testing.reward import check_reward
from svlearn.testing.setup import check
from svlearn.testing.transition import check_transition
from svlearn.testing.value import check_value

__all__ = ["check", "check_presentation", "check_reference", "check_reward", "check_transition", "check_value"]
