"""GDSS, the pretrained molecule model of the SVDD paper, as a `Reference`."""

from pathlib import Path
from typing import Any, Self

import torch
from rdkit import Chem
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.domains.molecules import drawing, metrics
from svlearn.domains.molecules.gdss import decode
from svlearn.domains.molecules.gdss.checkpoint import read
from svlearn.domains.molecules.gdss.corrector import Langevin
from svlearn.domains.molecules.gdss.networks import AttentionScoreX, ConvolutionScoreX, ScoreNetworks
from svlearn.domains.molecules.gdss.schedule import PartSchedule
from svlearn.domains.molecules.gdss.sde import SDE, SDES
from svlearn.domains.molecules.gdss.sizes import SIZES
from svlearn.domains.molecules.gdss.state import continuous_state
from svlearn.domains.molecules.gdss.transition import GraphGaussianTransition
from svlearn.domains.molecules.graph import draw_mask
from svlearn.process import Prediction, Reference
from svlearn.state import State
from svlearn.transitions import coordinates_of

# The authors' `scale_eps` by data and network, at an snr of 0.2: v1 and v2 of ZINC-250k, and QM9.
CORRECTOR_SCALES = {
    ("ZINC250k", ConvolutionScoreX): 0.9,
    ("ZINC250k", AttentionScoreX): 0.8,
    ("QM9", ConvolutionScoreX): 0.7,
}


class GDSS(Reference):
    """The system of two reverse SDEs, of node features x and of edges adj (arXiv 2202.02514), over `gdss.state`.

    num_steps of the predictor go from τ = 1 to the finished sample, each after a step of the corrector at the same τ:
    the process itself has twice as many, and corrects at even t. With corrector=None it has num_steps. Every step is
    Gaussian; that of the corrector has a std that depends on the state, so adjoint matching wants the predictor alone,
    corrector=None; the last one is a Dirac at its mean. clean is Tweedie's x̂_T of both parts. A call is one
    evaluation of both networks. Rewards read the states through `GDSSCodec`.

    networks(x, adj, mask) -> (B, N, F), (B, N, N), as the authors': the score of a VE part, -σ(τ) times that of a VP
    part. size_weights (N,): unnormalised probabilities of 1 ... N nodes.
    Raises ValueError for fewer than 2 steps and for an unknown predictor.
    """

    size_weights: Tensor

    def __init__(
        self,
        networks: nn.Module,
        sde_x: SDE,
        sde_adj: SDE,
        size_weights: Tensor,
        num_features: int,
        *,
        num_steps: int = 200,
        corrector: Langevin | None = None,
        predictor: str = "reverse_diffusion",
    ):
        super().__init__()
        self.networks = networks
        self.of_x = PartSchedule(sde_x, predictor, num_steps)
        self.of_adj = PartSchedule(sde_adj, predictor, num_steps)
        self.num_features, self.corrector = num_features, corrector
        self.steps_a_level = 1 if corrector is None else 2
        self.num_steps = num_steps * self.steps_a_level
        self.register_buffer("size_weights", size_weights)

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        num_steps: int = 200,
        corrector: bool | Langevin = True,
        predictor: str = "reverse_diffusion",
        weights: str = "trained",
    ) -> Self:
        """The process of a file of the authors, in evaluation mode, its node counts drawn as in the training data.

        num_steps: the predictor's; with the corrector the process has twice as many. corrector: False for none, True
        for the one that the authors sample this checkpoint with. weights: "trained", or "average" for the moving
        averages in a file of the authors' trainer. Raises what `checkpoint.read` does, and ValueError for data without
        a histogram of node counts, and for data and a network that the authors have not sampled with a corrector.
        """
        content = read(path, weights=weights)
        if content.data not in SIZES:
            raise ValueError(f"{path}: expected data of {', '.join(SIZES)}, got {content.data!r}")
        if corrector is True:
            kind = (content.data, type(content.network_x))
            if kind not in CORRECTOR_SCALES:
                raise ValueError(
                    f"corrector: expected a Langevin(scale=...) or False, for the authors have none for {kind[0]} and "
                    f"{kind[1].__name__}, got True"
                )
            corrector = Langevin(scale=CORRECTOR_SCALES[kind])
        sde_x, sde_adj = (SDES[each.kind](each.beta_min, each.beta_max) for each in (content.sde_x, content.sde_adj))
        reference = cls(
            ScoreNetworks(content.network_x, content.network_adj),
            sde_x,
            sde_adj,
            torch.tensor(SIZES[content.data], dtype=torch.float32),
            content.max_feat_num,
            num_steps=num_steps,
            corrector=None if corrector is False else corrector,
            predictor=predictor,
        )
        return reference.eval().requires_grad_(False)

    @property
    def network_x(self) -> nn.Module:
        """The network of the features, as the authors': (x, adj, mask) -> (B, N, F)."""
        return self.networks.get_submodule("network_x")

    @property
    def network_adj(self) -> nn.Module:
        """The network of the edges, as the authors': (x, adj, mask) -> (B, N, N)."""
        return self.networks.get_submodule("network_adj")

    @property
    def parts(self) -> dict[str, PartSchedule]:
        """The two parts of a state, by name."""
        return {"x": self.of_x, "adj": self.of_adj}

    def initial(
        self, batch_size: int, *, condition: Any = None, generator: torch.Generator | None = None
    ) -> TensorDict:
        """Standard normal noise. condition (B,) long: the numbers of nodes; drawn by `size_weights` if not given."""
        mask = draw_mask(self.size_weights, batch_size, condition, generator=generator)
        nodes, ones = mask.shape[1], self.size_weights.new_ones(batch_size)
        x, adj = (ones.new_zeros(batch_size, nodes, width) for width in (self.num_features, nodes))
        return GraphGaussianTransition(continuous_state(x, adj, mask), ones, ones).sample(generator=generator)

    def initial_law(self, x: TensorDict) -> GraphGaussianTransition:
        """Of graphs of the nodes that x has."""
        ones = x["x"].new_ones(len(x))
        mean = continuous_state(torch.zeros_like(x["x"]), torch.zeros_like(x["adj"]), x["mask"])
        return GraphGaussianTransition(mean, ones, ones)

    def scores(self, x: TensorDict, t: Tensor) -> dict[str, Tensor]:
        """∇log p_τ, 0 where nothing is free: "x" (B, N, F) and, each edge counted once, "adj" (B, N, N)."""
        outputs, level = self.networks(x["x"], x["adj"], x["mask"]), t // self.steps_a_level
        return {name: part.score(output, level) for (name, part), output in zip(self.parts.items(), outputs)}

    def scores_of_clean(self, x: TensorDict, clean: TensorDict, t: Tensor) -> TensorDict:
        """`scores` of states (B,) at t (B,) from their x̂_T, without a call of the networks."""
        level = t // self.steps_a_level
        scores = {name: part.score_of_clean(x[name], clean[name], level) for name, part in self.parts.items()}
        return continuous_state(scores["x"], scores["adj"], x["mask"])

    def forward(self, x: TensorDict, t: Tensor, previous: Prediction | None = None) -> Prediction:
        level, scores = t // self.steps_a_level, self.scores(x, t)
        clean = {name: part.clean(x[name], scores[name], level) for name, part in self.parts.items()}
        moves = {name: part.predict(x[name], scores[name], level) for name, part in self.parts.items()}
        if self.corrector is not None:
            corrects = t % self.steps_a_level == 0
            for name, (mean, std) in self._corrected(x, scores, level, self.corrector).items():
                predicted, noise = moves[name]
                chosen = torch.where(corrects[:, None, None], mean, predicted)
                moves[name] = chosen, torch.where(corrects, std, noise)
        return Prediction(_law(moves, x["mask"]), clean=continuous_state(clean["x"], clean["adj"], x["mask"]))

    def noise(
        self, x: TensorDict, t_from: Tensor, t_to: Tensor, *, generator: torch.Generator | None = None
    ) -> TensorDict:
        """The forward SDEs. A corrector's step does not move diffusion time, so back over it x stays as it is."""
        later, earlier = t_from // self.steps_a_level, t_to // self.steps_a_level
        moves = {name: part.diffuse(x[name], later, earlier) for name, part in self.parts.items()}
        return _law(moves, x["mask"]).sample(generator=generator)

    def denoising_loss(self, x_T: State | Prediction, x_t: State, t: Tensor, prediction: Prediction) -> Tensor:
        """The squared error of the noise that the scores say, (B,), the mean over features and edges: σ² |Δ score|²."""
        wanted: Any = x_T.clean if isinstance(x_T, Prediction) else x_T
        clean: Any = prediction.clean
        graphs: Any = x_t
        level = t // self.steps_a_level
        errors = {name: part.noise_error(clean[name], wanted[name], level) for name, part in self.parts.items()}
        coordinates = coordinates_of(prediction.transition)
        vector = coordinates.of(continuous_state(errors["x"], errors["adj"], graphs["mask"]))
        return vector.square().mean(dim=1)

    def num_candidates(self, number: int) -> list[int]:
        """M for every step 0 ... T, as `svdd` takes it: `number` where the corrector draws x_t, and for x_0; else 1.

        Of the two steps of a level the corrector's has the larger noise, several times as large for the edges of ZINC's
        molecules, so it is there that candidates differ; a choice among the predictor's is soon washed away by the
        correctors after it (benchmarks/gdss_table). Without a corrector the predictor's have them, but for the last,
        which is a Dirac. SVDD-PM then costs number + 1 calls a corrected step.
        """
        drawn = [number if t % self.steps_a_level == 0 else 1 for t in range(self.num_steps)]
        return [number, *drawn[:-1], 1]

    def decode(self, x: TensorDict, correct: bool = False) -> list[Chem.Mol | None]:
        return decode.decode(x, correct=correct)

    def describe(self, objects: list) -> dict[str, float]:
        return metrics.describe(objects)

    def draw(self, objects: list, captions: list[str]) -> str:
        return drawing.draw_grid(objects, captions)

    def _corrected(
        self, x: TensorDict, scores: dict[str, Tensor], level: Tensor, corrector: Langevin
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """The corrector's mean and std (B,) of each part."""
        nodes = x["mask"].sum(dim=1)
        moves = {}
        for name, dimensions, times_counted in (
            ("x", nodes * self.num_features, 1),
            ("adj", nodes * (nodes - 1) // 2, 2),
        ):
            norms = (scores[name].square().flatten(1).sum(dim=1) / times_counted).sqrt()
            moves[name] = self.parts[name].correct(x[name], scores[name], level, corrector, norms, dimensions)
        return moves


def _law(moves: dict[str, tuple[Tensor, Tensor]], mask: Tensor) -> GraphGaussianTransition:
    """The step of means (B, ...) and stds (B,) of the two parts."""
    (x, std_x), (adj, std_adj) = moves["x"], moves["adj"]
    return GraphGaussianTransition(continuous_state(x, adj, mask), std_x, std_adj)
