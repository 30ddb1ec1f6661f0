"""Any pipeline of diffusers as a reference."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from PIL import Image
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.arguments import integer, real
from svlearn.deferred_checks import check_finite
from svlearn.denoising import squared_loss
from svlearn.domains.images import metrics
from svlearn.domains.images.denoisers import denoiser_of
from svlearn.domains.images.drawing import draw_grid
from svlearn.domains.images.opening import open_pipeline
from svlearn.domains.images.pixels import decode_latents, to_pil, to_unit
from svlearn.domains.images.settings import digest_of
from svlearn.domains.images.steps import STOCHASTIC, steps_of
from svlearn.process import Prediction, Reference
from svlearn.randomness import randn
from svlearn.schedules import NoiseLevels
from svlearn.state import State
from svlearn.targets import NonFiniteError
from svlearn.transitions import FieldTransition, GaussianTransition, Transition

SAMPLE = "sample"
AUTOENCODERS = ("vae", "vqvae")
LOOKERS = ("safety_checker", "image_encoder")  # parts that no plain call of a pipeline lets change its samples


class DiffusersReference(Reference):
    """x_0: noise; a step: the exact Gaussian law of the scheduler's stochastic step; x_T: an image, or its latents.

    States are samples (B, C, H, W), or where the network reads a condition TensorDicts {"sample": (B, C, H, W), and the
    condition's leaves}, which no step changes: classes, or prompts as bytes. clean is x̂_T of the network and the
    scheduler (clipped where that clips); features are the hidden states of the network's middle. Samples are float32,
    whatever the network's dtype.

    pipeline: a diffusers pipeline; its name or folder (`DiffusionPipeline.from_pretrained`: nothing is fetched unless a
    name asks for it); a network of (sample, timestep) with `scheduler`; or a `Denoiser`, with `scheduler`.
    num_steps: T. scheduler: in the place of the pipeline's own, a scheduler, or a class of diffusers or its name, which
    takes over the own one's settings. eta: of DDIM, 1 by default. flow: "flow_grpo", the default, "memoryless" or
    "scheduler", noise_level: of flow matching; see `steps.flow`. guidance_scale: of classifier-free guidance; None: the
    default of the call of the pipeline, 1 where it has none. options: of the network's `Denoiser`, as shape,
    null_class, height.
    device, dtype: of a pipeline that is read by its name or folder: where it goes, and what its weights are read as
    ("float16"); any other is moved by `to`.
    decode_chunk: how many latents the autoencoder decodes at once.

    The parts beside the network (autoencoder, text encoders) are frozen; a policy shares them, and under adapters the
    network's own weights too where these are frozen before (`reference.requires_grad_(False)`, `Finetuned(reference,
    lora_rank, modules="denoiser.network")`).
    Raises ValueError for a scheduler without a stochastic step (and says which to take), for one of flows where the
    pipeline's own is of a diffusion and the other way round, and for a pipeline that lacks a part; TypeError for
    unknown options; OSError where a name or folder has no pipeline.
    """

    settings: Tensor

    def __init__(
        self,
        pipeline: Any,
        num_steps: int = 50,
        *,
        scheduler: Any = None,
        eta: float | None = None,
        flow: str | None = None,
        noise_level: float | None = None,
        guidance_scale: float | None = None,
        decode_chunk: int = 8,
        device: torch.device | str | None = None,
        dtype: torch.dtype | str | None = None,
        **options: Any,
    ):
        super().__init__()
        if isinstance(pipeline, type):
            raise TypeError(f"pipeline: expected a pipeline, its name or its folder, got the class {pipeline.__name__}")
        if isinstance(pipeline, (str, Path)):
            pipeline = open_pipeline(pipeline, device, dtype)
        elif device is not None or dtype is not None:
            raise ValueError("device, dtype: they are for a pipeline by its name or folder; move others by to()")
        self.num_steps, self.decode_chunk = integer(num_steps, "num_steps"), integer(decode_chunk, "decode_chunk")
        self.scheduler = copy.deepcopy(_scheduler_of(pipeline, scheduler))  # the pipeline's calls change its own
        self.denoiser = denoiser_of(pipeline, guidance_scale, options)
        self.autoencoder: nn.Module | None = next(
            (each for part in AUTOENCODERS if (each := getattr(pipeline, part, None)) is not None), None
        )
        if self.autoencoder is not None:
            self.autoencoder.requires_grad_(False)
        self.steps = steps_of(
            self.scheduler,
            self.num_steps,
            eta=None if eta is None else real(eta, "eta", 0, 1),
            flow_sampler=flow,
            noise_level=None if noise_level is None else real(noise_level, "noise_level", above=0),
            options=self.denoiser.schedule_options(self.scheduler, self.num_steps),
        )
        self._source = None if isinstance(pipeline, nn.Module) else pipeline
        self.register_buffer("settings", digest_of(self.denoiser, self.autoencoder, self._source))
        self.register_state_dict_pre_hook(_with_settings)
        _check_all_read(self)
        self.eval()

    @property
    def pipeline(self) -> Any:
        """The diffusers pipeline, which has this reference's network and parts; None where a network was given."""
        return self._source

    def initial(self, batch_size: int, *, condition: Any = None, generator: torch.Generator | None = None) -> State:
        """condition: as the network's `Denoiser.leaves` takes it: classes, prompts, or a dict of these."""
        leaves = self.denoiser.leaves(batch_size, condition)
        shape = (batch_size, *self.denoiser.shape)
        sample = randn(shape, generator, self.device, self._dtype) * float(self.steps.initial_std)
        if not leaves:
            return sample
        on = {name: leaf.to(self.device) for name, leaf in leaves.items()}
        return TensorDict({SAMPLE: sample, **on}, batch_size=[batch_size])

    def initial_law(self, x: State) -> Transition:
        sample, leaves = parts(x)
        law = GaussianTransition(torch.zeros_like(sample), float(self.steps.initial_std))
        return FieldTransition({SAMPLE: law}, cast(TensorDict, x)) if leaves else law

    def forward(self, x: State, t: Tensor, previous: Prediction | None = None) -> Prediction:
        sample, leaves = parts(x)
        inputs, timesteps = self.steps.network_input(sample, t)
        dtype = self._network_dtype
        said = self.denoiser(inputs.to(dtype), timesteps, leaves)
        if said.output.shape != sample.shape:
            raise ValueError(
                f"reference: expected an output of the network of the form of the samples, {tuple(sample.shape)}, got "
                f"{tuple(said.output.shape)}"
            )
        output = said.output.to(sample.dtype)
        if dtype in (torch.float16, torch.bfloat16):
            check_finite(output.detach().sum(), lambda: _refuse(output, t, dtype))
        clean = self.steps.clean(sample, output, t)
        law: Transition = self.steps.law(sample, clean, output, t)
        if isinstance(x, TensorDict):
            law = FieldTransition({SAMPLE: law}, x)
        return Prediction(law, clean=with_sample(x, clean), features=said.features, evaluations=said.evaluations)

    def noise(self, x: State, t_from: Tensor, t_to: Tensor, *, generator: torch.Generator | None = None) -> State:
        """The forward process: x_{t_to} = (a_{t_to}/a_{t_from}) x_{t_from} + noise, see `schedules.NoiseLevels`.

        Raises ValueError for a t_to after t_from."""
        if bool((t_to > t_from).any()):
            raise ValueError(f"t_to: expected times at or before t_from, got {t_to.tolist()} and {t_from.tolist()}")
        sample, _ = parts(x)
        scales, stds = self.steps.scales, self.steps.noise_stds
        kappa = torch.where(t_to == t_from, 1.0, scales[t_to] / scales[t_from])  # 0/0 at the start of a flow
        added = (stds[t_to] ** 2 - kappa**2 * stds[t_from] ** 2).clamp(min=0).sqrt()
        form = (-1, *[1] * (sample.dim() - 1))
        drawn = randn(sample.shape, generator, sample.device, sample.dtype)
        return with_sample(x, kappa.to(sample).view(form) * sample + added.to(sample).view(form) * drawn)

    def denoising_loss(self, x_T: State | Prediction, x_t: State, t: Tensor, prediction: Prediction) -> Tensor:
        """The squared error of the network's output, (B,), the mean over a sample: of ε, v, x_T or the flow's velocity,
        whichever the network predicts. Where the scheduler clips x̂_T, what it cuts off counts as it is cut, and has no
        gradient; the minimiser stays the mean, which no clipping to the range of the data moves."""
        return squared_loss(x_T, prediction) / self.steps.clean_output[t].to(self._dtype) ** 2

    def noise_levels(self) -> NoiseLevels:
        """Those of the forward process."""
        return self.steps.levels()

    def images(self, x: State) -> Tensor:
        """Images (B, C, H, W) in [0, 1], C of 1 or 3, of finished states: latents through the autoencoder in chunks of
        `decode_chunk`, with a gradient where x has one. Raises ValueError for samples of another shape."""
        sample, _ = parts(x)
        if sample.shape[1:] != tuple(self.denoiser.shape):
            wanted = ", ".join(map(str, self.denoiser.shape))
            raise ValueError(
                f"x: expected samples (B, {wanted}), got {tuple(sample.shape)}; of `Samples.states` (B, K, ...) take "
                "states[:, k], or states.flatten(0, 1) for all"
            )
        if self.autoencoder is None:
            return to_unit(sample)
        return to_unit(decode_latents(self.autoencoder, sample, self.decode_chunk, self.denoiser.upcasts))

    def decode(self, x: State) -> list[Image.Image]:
        with torch.no_grad():
            return to_pil(self.images(x))

    def describe(self, objects: list[Image.Image]) -> dict[str, float]:
        """uniqueness and diversity; see `metrics.describe`."""
        return metrics.describe(objects)

    def draw(self, objects: list[Image.Image], captions: list[str]) -> str:
        """In a grid, each over its caption."""
        return draw_grid(objects, captions)

    @property
    def _network_dtype(self) -> torch.dtype:
        network = getattr(self.denoiser, "network", self.denoiser)
        return next((each.dtype for each in network.parameters() if each.is_floating_point()), self._dtype)

    @property
    def _dtype(self) -> torch.dtype:
        """Of the samples: that of a network of float64, else float32."""
        parameters = [each for each in self.denoiser.parameters() if each.is_floating_point()]
        dtype = parameters[0].dtype if parameters else torch.get_default_dtype()
        return dtype if dtype == torch.float64 else torch.float32

    def extra_repr(self) -> str:
        return f"{self.num_steps} steps of {type(self.scheduler).__name__}, samples {self.denoiser.shape}"


def parts(x: State) -> tuple[Tensor, Mapping[str, Tensor]]:
    """The sample (B, C, H, W) of states, and the leaves that they are conditioned on."""
    if isinstance(x, Tensor):
        return x, {}
    leaves: dict[str, Any] = {name: leaf for name, leaf in x.items() if name != SAMPLE}
    return x[SAMPLE], leaves


def with_sample(x: State, sample: Tensor) -> State:
    """The states with another sample, under the same conditions."""
    if isinstance(x, Tensor):
        return sample
    changed = x.clone(recurse=False)
    changed[SAMPLE] = sample
    return changed


def _with_settings(reference: Any, *rest: Any) -> None:
    """The buffer as the settings are now: what tells processes apart asks for their state."""
    own = digest_of(reference.denoiser, reference.autoencoder, reference.pipeline)
    reference.settings = own.to(reference.settings.device)


def _check_all_read(reference: DiffusersReference) -> None:
    """Raise ValueError where the pipeline has a network that this reference would leave out, as a ControlNet."""
    read = {id(each) for each in reference.modules()}
    for name, part in getattr(reference.pipeline, "components", {}).items():
        if isinstance(part, nn.Module) and id(part) not in read and name not in LOOKERS:
            raise ValueError(
                f"pipeline: expected one whose networks are all read, got a {type(reference.pipeline).__name__} with "
                f"its {name}, which is not: the samples would be those of another model; write a Denoiser that calls it"
            )


def _scheduler_of(pipeline: Any, scheduler: Any) -> Any:
    own = getattr(pipeline, "scheduler", None)
    if scheduler is None:
        if own is None:
            raise ValueError("scheduler: expected one of diffusers, for the network brings none, got None")
        return own
    if isinstance(scheduler, str):
        scheduler = _scheduler_named(scheduler)
    if own is not None and _of_flows(own) != _of_flows(scheduler):
        kind, other = (each.__name__ if isinstance(each, type) else type(each).__name__ for each in (own, scheduler))
        process = "flow" if _of_flows(own) else "diffusion"
        raise ValueError(f"scheduler: expected one of a {process}, as the pipeline's own {kind} is, got {other}")
    if isinstance(scheduler, type):
        if own is None:
            raise ValueError(f"scheduler: expected {scheduler.__name__} with its settings, for the network brings none")
        return scheduler.from_config(own.config)  # type: ignore[attr-defined]
    return scheduler


def _of_flows(scheduler: Any) -> bool:
    """Whether a scheduler, or a class of them, is of flow matching: its networks predict a velocity."""
    config = getattr(scheduler, "config", None)
    flow_sigmas = getattr(config, "use_flow_sigmas", None) or getattr(config, "prediction_type", None)
    kind = scheduler if isinstance(scheduler, type) else type(scheduler)
    return kind.__name__.startswith("FlowMatch") or flow_sigmas in (True, "flow_prediction")


def _scheduler_named(name: str) -> Any:
    import diffusers

    kind = getattr(diffusers, name, None)
    if not (isinstance(kind, type) and issubclass(kind, diffusers.SchedulerMixin)):
        raise ValueError(
            f"scheduler: expected the name of one of diffusers, as of {', '.join(STOCHASTIC)}, got {name!r}"
        )
    return kind


def _refuse(output: Tensor, t: Tensor, dtype: torch.dtype) -> None:
    broken = ~output.isfinite().flatten(1).all(dim=1)
    if bool(broken.any()):
        row = int(broken.nonzero()[0])
        raise NonFiniteError(
            f"reference: the network's output for row {row} at t = {int(t[row])} is not finite in {dtype}; run it in "
            "torch.bfloat16 or torch.float32 (reference.denoiser.float())"
        )
