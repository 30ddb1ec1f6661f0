"""The public denoiser of digits: what the authors' own code says, and what it predicts of real ones."""

import pytest
import torch

from svlearn.domains.images.digits.data import IMAGES, LABELS, read
from svlearn.domains.images.digits.ddpm import FILE, DigitUNet, digit_unet, scheduler
from svlearn.randomness import randn, seeded


def test_it_says_what_the_authors_code_says(assets):
    """The numbers are those of their MyUNet, run on the same rows."""
    assets(FILE)
    rows = torch.linspace(-1, 1, 784).view(1, 1, 28, 28).expand(3, -1, -1, -1)
    network = digit_unet()
    noise = network(rows, torch.tensor([0, 500, 999])).sample
    near = {"rtol": 0, "atol": 1e-4}
    torch.testing.assert_close(noise.mean(dim=(1, 2, 3)), torch.tensor([0.074687, 0.074530, 0.079961]), **near)
    torch.testing.assert_close(noise[:, 0, 14, 10], torch.tensor([0.765090, 0.357938, 0.422893]), **near)
    torch.testing.assert_close(network(rows, 500).sample[2], noise[1], **near)
    torch.testing.assert_close(network(rows, torch.tensor(999)).sample[0], noise[2], **near)


def test_it_finds_the_noise_in_real_digits(assets):
    for each in (FILE, IMAGES, LABELS):
        assets(each)
    digits, process = read()[0][:100], scheduler()
    noise = randn(digits.shape, seeded("cpu", 0), torch.device("cpu"))
    for timestep, most in {50: 0.15, 200: 0.06, 500: 0.025, 900: 0.006}.items():
        steps = torch.full((100,), timestep)
        error = digit_unet()(process.add_noise(digits, noise, steps), steps).sample - noise
        assert float(error.square().mean()) < most


def test_other_weights_are_refused(tmp_path):
    torch.save(DigitUNet().state_dict(), tmp_path / "a.pt")
    with pytest.raises(ValueError, match="expected the weights of a denoiser of digits, got one that differs in"):
        digit_unet(tmp_path / "a.pt")
    state = {f"network.{name}": each for name, each in DigitUNet().state_dict().items()}
    torch.save(state, tmp_path / "b.pt")
    assert torch.equal(digit_unet(tmp_path / "b.pt").conv_out.weight, state["network.conv_out.weight"])


def test_it_has_as_many_values_as_the_public_file():
    assert sum(each.numel() for each in DigitUNet().state_dict().values()) == 606_852
