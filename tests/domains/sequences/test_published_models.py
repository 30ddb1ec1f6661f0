"""Models as others publish them: MDLM's checkpoints, and masked language models of transformers."""

import io
import pickle
import sys
import types
import zipfile

import pytest
import torch
from torch import nn

from svlearn import testing
from svlearn.domains.sequences.alphabet import DNA, PROTEIN, Alphabet
from svlearn.domains.sequences.masked_diffusion import MaskedDiffusion
from svlearn.domains.sequences.mdlm import EPSILON
from svlearn.domains.sequences.networks.fourier_cnn import FourierCNN
from svlearn.inference.samplers import ancestral
from svlearn.randomness import seeded
from svlearn.torch_archive import NamesCode, content_of

LENGTH = 12


class DictConfig:
    """As OmegaConf keeps settings: contents of nodes, in an object."""

    def __init__(self, content):
        self.__dict__["_metadata"], self.__dict__["_content"] = None, content


class AnyNode:
    def __init__(self, value, parent):
        self._metadata, self._parent, self._val = None, parent, value


@pytest.fixture
def omegaconf(monkeypatch):
    """A module of that name while the file is written."""
    monkeypatch.setitem(sys.modules, "omegaconf", types.ModuleType("omegaconf"))
    for name, kind in (("omegaconf.dictconfig", DictConfig), ("omegaconf.nodes", AnyNode)):
        module = types.ModuleType(name)
        setattr(module, kind.__name__, kind)
        monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setattr(kind, "__module__", name)


def config(settings):
    made = DictConfig({})
    for name, each in settings.items():
        made._content[name] = config(each) if isinstance(each, dict) else AnyNode(each, made)
    return made


SETTINGS = {
    "backbone": "cnn",
    "time_conditioning": False,
    "noise": {"type": "loglinear"},
    "model": {"length": LENGTH, "hidden_dim": 8, "num_cnn_stacks": 1},
}


def network(seed):
    torch.manual_seed(seed)
    return FourierCNN(4, 8, 1)


def written(path, settings=SETTINGS, **changes):
    """A checkpoint in the layout of Lightning and MDLM: the state, the average in order, settings, an optimiser."""
    last, average = network(0), network(1)
    trained = [each for each in average.parameters() if each.requires_grad]
    content = {
        "epoch": 3,
        "global_step": 70,
        "pytorch-lightning_version": "2.2.1",
        "state_dict": {f"backbone.{name}": each for name, each in last.state_dict().items()},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(7.0)}}, "param_groups": [{"lr": 3e-4}]}],
        "loops": {"fit_loop": {"epoch_progress": {"current": {"completed": 3}}}},
        "hyper_parameters": {"config": config(settings), "eval": False},
        "ema": {"decay": 0.9999, "num_updates": 70, "shadow_params": trained},
        "sampler": {"random_state": None},
        **changes,
    }
    torch.save(content, path)
    return path


def test_a_checkpoint_of_mdlm_is_read(tmp_path, omegaconf):
    path = written(tmp_path / "a.ckpt")
    x = torch.randint(5, (3, LENGTH), generator=seeded("cpu", 0))
    for weights, seed in (("ema", 1), ("last", 0)):
        reference = MaskedDiffusion.from_checkpoint(path, LENGTH, weights=weights)
        wanted = network(seed)
        wanted.time_embedder[0].W.data = network(0).time_embedder[0].W.data  # not trained, so in no average
        logits = wanted(x, torch.zeros(3))[..., :4]
        law = reference(x, torch.tensor([0, 5, 9])).transition
        torch.testing.assert_close(law.log_probs, logits.log_softmax(dim=2))
    assert (reference.num_steps, reference.schedule) == (128, "log_linear")
    samples = ancestral(reference).sample(3, generator=seeded("cpu", 0))
    assert samples.cost.reference_calls < 3 * 2 * LENGTH
    testing.check_reference(reference.with_steps(6))


def test_no_code_of_the_file_runs(tmp_path, omegaconf):
    class Trap:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'trapped')!r}, 'w')",))

    path = written(tmp_path / "a.ckpt", callbacks={"ModelCheckpoint": Trap()})
    MaskedDiffusion.from_checkpoint(path, LENGTH)
    assert not (tmp_path / "trapped").exists()
    with pytest.raises(NamesCode, match="exec"):
        content_of(path.read_bytes())
    torch.load(path, weights_only=False)  # the trap is one
    assert (tmp_path / "trapped").exists()


def test_the_total_noise_of_the_schedule_is_told(tmp_path, omegaconf):
    """-log(1 - (1 - ε) s) at s = 1 - t/T of MDLM's time."""
    path = written(tmp_path / "a.ckpt", SETTINGS | {"time_conditioning": True})
    reference, x = (
        MaskedDiffusion.from_checkpoint(path, LENGTH, num_steps=4, weights="last"),
        torch.full((1, LENGTH), 4),
    )
    assert reference.network.reads_time and reference(x, torch.tensor([1])).cache is None
    sigma = -torch.log(torch.tensor([1 - (1 - EPSILON) * 0.75]))
    wanted = network(0)(x, sigma)[..., :4].log_softmax(dim=2)
    torch.testing.assert_close(reference(x, torch.tensor([1])).transition.log_probs, wanted)


def test_settings_without_classes_are_read_too(tmp_path):
    path = tmp_path / "a.ckpt"
    last = {f"backbone.{name}": each for name, each in network(0).state_dict().items()}
    torch.save({"state_dict": last, "hyper_parameters": {"config": SETTINGS}}, path)
    assert MaskedDiffusion.from_checkpoint(path, LENGTH, weights="last").schedule == "log_linear"


@pytest.mark.parametrize(
    ("changes", "options", "error"),
    [
        ({"state_dict": {"other.weight": torch.ones(1)}}, {}, "got one without a state_dict of a backbone"),
        ({"state_dict": {"backbone.blocks.0": torch.ones(1)}}, {}, "got weights of cnn backbone"),
        ({"ema": None}, {}, "expected an average of .* weights='last'"),
        ({"ema": {"shadow_params": [torch.ones(1)] * 90}}, {}, "expected an average"),
        ({}, {"weights": "best"}, "weights: expected one of ema, last, got 'best'"),
        ({}, {"alphabet": Alphabet("abc")}, "alphabet: expected 4 letters, got 'abc'"),
        ({}, {"schedule": "linear"}, "schedule: expected one of"),
    ],
)
def test_what_is_no_such_checkpoint_is_refused(changes, options, error, tmp_path, omegaconf):
    path = written(tmp_path / "a.ckpt", **changes)
    with pytest.raises(ValueError, match=error):
        MaskedDiffusion.from_checkpoint(path, LENGTH, **options)


def test_another_noise_wants_a_schedule(tmp_path, omegaconf):
    path = written(tmp_path / "a.ckpt", SETTINGS | {"noise": {"type": "geometric"}})
    with pytest.raises(ValueError, match="expected log-linear noise or a schedule, got {'type': 'geometric'}"):
        MaskedDiffusion.from_checkpoint(path, LENGTH)
    assert MaskedDiffusion.from_checkpoint(path, LENGTH, schedule="cosine").schedule == "cosine"


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    path = tmp_path / "a.ckpt"
    path.write_bytes(pickle.dumps({"state_dict": {}}))
    with pytest.raises(ValueError, match=r"a.ckpt: expected a Lightning checkpoint of MDLM"):
        MaskedDiffusion.from_checkpoint(path, LENGTH)
    with pytest.raises(FileNotFoundError):
        MaskedDiffusion.from_checkpoint(tmp_path / "b.ckpt", LENGTH)
    file = io.BytesIO()
    zipfile.ZipFile(file, "w").close()
    path.write_bytes(file.getvalue())
    with pytest.raises(ValueError, match="a.ckpt"):
        MaskedDiffusion.from_checkpoint(path, LENGTH)


# transformers --------------------------------------------------------------------------------------------------------

TOKENS = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>"]


@pytest.fixture
def esm(tmp_path):
    """A small random model of ESM-2's own classes, as a folder."""
    transformers = pytest.importorskip("transformers")
    (tmp_path / "vocab.txt").write_text("\n".join(TOKENS))
    tokenizer = transformers.EsmTokenizer(str(tmp_path / "vocab.txt"))
    torch.manual_seed(0)
    settings = transformers.EsmConfig(
        vocab_size=len(TOKENS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        pad_token_id=TOKENS.index("<pad>"),
        mask_token_id=TOKENS.index("<mask>"),
        position_embedding_type="rotary",
        token_dropout=True,
    )
    model = transformers.EsmForMaskedLM(settings).eval()
    model.save_pretrained(tmp_path / "esm")
    tokenizer.save_pretrained(tmp_path / "esm")
    return model, tokenizer, tmp_path / "esm"


def test_a_masked_language_model_is_a_denoiser(esm):
    model, tokenizer, folder = esm
    reference = MaskedDiffusion.from_transformers(folder, 7)
    text = "MK_LV_A"
    x = PROTEIN.encode([text])
    inputs = tokenizer(text.replace("_", "<mask>"), return_tensors="pt")
    columns = [TOKENS.index(letter) for letter in PROTEIN.letters]
    wanted = model(**inputs).logits[:, 1:-1, columns].log_softmax(dim=2)
    found = reference(x, torch.tensor([3])).transition.log_probs
    torch.testing.assert_close(found, wanted)
    own = MaskedDiffusion.from_transformers(model, 7, tokenizer=tokenizer)
    torch.testing.assert_close(own(x, torch.tensor([3])).transition.log_probs, wanted)
    testing.check_reference(reference)
    x = ancestral(reference).sample(2, condition=[text, "_" * 7], generator=seeded("cpu", 0)).states[:, 0]
    assert PROTEIN.decode(x)[0].startswith("MK")


def test_a_masked_language_model_reads_soft_sequences(esm):
    model, tokenizer, _ = esm
    reference = MaskedDiffusion.from_transformers(model, 7, tokenizer=tokenizer)
    x = PROTEIN.encode(["MK_LV_A"])
    soft = nn.functional.one_hot(x, 21).float().requires_grad_()
    found = reference(soft, torch.tensor([0]))
    torch.testing.assert_close(found.transition.log_probs, reference(x, torch.tensor([0])).transition.log_probs)
    (slope,) = torch.autograd.grad(found.clean[0, 2, 0], soft)
    assert bool((slope[0, 0] != 0).any())


def test_what_is_no_masked_language_model_is_refused(esm):
    model, tokenizer, _ = esm
    with pytest.raises(ValueError, match="alphabet: expected letters that are tokens of the tokenizer, got J"):
        MaskedDiffusion.from_transformers(model, 7, Alphabet("ACJ"), tokenizer=tokenizer)
    with pytest.raises(TypeError, match="model: expected a name, a folder, or a model with its tokenizer, got no"):
        MaskedDiffusion.from_transformers(model, 7)
    assert DNA.size == 4
