"""The CSV of measured variants, and the rewards of it: what is read, and what is refused, by path and line."""

import pytest
import torch

from svlearn.domains.sequences.alphabet import PROTEIN
from svlearn.domains.sequences.gb1 import SEQUENCE, WILD_TYPE, Fitness, LogFitness, read_measurements, whole_sequences
from svlearn.domains.sequences.gb1.table import variant_index
from svlearn.targets import Target

HEADER = "Variants,HD,Count input,Count selected,Fitness"
ROWS = ["VDGV,0,92735,338346,1", "ADGV,1,34,43,0.061909656", "FWAA,4,10,300,8.761965656", "AAAA,4,9,0,0"]


@pytest.fixture
def table(tmp_path):
    def write(rows=ROWS, header=HEADER, encoding="utf-8-sig", newline="\n"):
        path = tmp_path / "table.csv"
        path.write_bytes(newline.join([header, *rows, ""]).encode(encoding))
        return path

    return write


def test_what_is_read(table):
    for newline, encoding in (("\n", "utf-8-sig"), ("\r\n", "utf-8")):
        found = read_measurements(table(newline=newline, encoding=encoding))
        assert PROTEIN.decode(found.tokens) == ["VDGV", "ADGV", "FWAA", "AAAA"] and len(found) == 4
        assert found.fitness.tolist() == [1.0, 0.061909656, 8.761965656, 0.0]
        assert found.input_counts.tolist() == [92735, 34, 10, 9]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*ROWS, "VDGA,1,5,5"], r"line 6: expected 5 cells, none empty"),
        ([*ROWS, "VDGA,1,,5,0.5"], r"line 6: expected 5 cells, none empty, got \['VDGA', '1', '', '5', '0.5'\]"),
        ([*ROWS, "ADGV,1,34,43,0.06"], r"line 6: expected each variant once, got 'ADGV' as in line 3"),
        (["VDGX,1,5,5,0.5"], r"line 2: expected a variant of 4 letters of .*, got 'VDGX'"),
        (["vdgv,0,5,5,0.5"], r"line 2: expected a variant of 4 letters of .*, got 'vdgv'"),
        (["VDG,1,5,5,0.5"], r"line 2: expected a variant of 4 letters of .*, got 'VDG'"),
        (["ADGV,1,5.5,5,0.5"], r"line 2: expected a count in 'Count input', got '5.5'"),
        (["ADGV,2,5,5,0.5"], r"line 2: expected 'HD' 1 of ADGV to the wild type VDGV, got 2"),
        (["ADGV,1,5,5,nan"], r"line 2: expected a fitness of at least 0, got 'nan'"),
        (["ADGV,1,5,5,-0.5"], r"line 2: expected a fitness of at least 0, got '-0.5'"),
        (["ADGV,1,5,5,much"], r"line 2: expected a fitness of at least 0, got 'much'"),
        (["ADGV,1,5,5,0.5"], r"expected variants of GB1, the wild type VDGV among them, got none"),
    ],
)
def test_holes_doubles_and_what_is_no_variant_are_refused_by_line(table, rows, message):
    path = table(rows)
    with pytest.raises(ValueError, match=message) as raised:
        read_measurements(path)
    assert str(raised.value).startswith(str(path))


def test_another_file_is_refused(table, tmp_path):
    with pytest.raises(
        ValueError, match=r"line 1: expected a CSV file with the columns Variants, HD, .*, got idx, smi"
    ):
        read_measurements(table(header="idx,smiles"))
    with pytest.raises(ValueError, match=r"UTF-8 text, got what cannot be read"):
        read_measurements(table(encoding="utf-16"))
    with pytest.raises(FileNotFoundError, match=r"no such file"):
        read_measurements(tmp_path / "nothing.csv")


def test_rewards_of_the_measured_the_dead_and_the_unmeasured(table):
    path = table()
    x = PROTEIN.encode(["VDGV", "FWAA", "AAAA", "CCCC"])
    torch.testing.assert_close(Fitness(path)(x), torch.tensor([1.0, 8.761965656, 0.0, 0.0]).double())
    torch.testing.assert_close(Fitness(path, unmeasured=0.5)(x)[3], torch.tensor(0.5).double())
    logarithms = torch.tensor([1.0, 8.761965656, 0.01, 0.01]).double().log()
    torch.testing.assert_close(LogFitness(path)(x), logarithms)
    torch.testing.assert_close(LogFitness(path, floor=2.0)(x), logarithms.exp().clamp(min=2.0).log())
    with pytest.raises(ValueError, match=r"x: expected finished variants, got one with a mask at index 1"):
        Fitness(path)(PROTEIN.encode(["VDGV", "V_GV"]))
    with pytest.raises(ValueError, match=r"floor: expected a finite number above 0, got 0.0"):
        LogFitness(path, floor=0.0)


def test_the_gradient_in_one_hots_is_the_reward_of_every_substitution(table):
    reward = LogFitness(table())
    reward.table.copy_(torch.randn(len(reward.table), generator=torch.Generator().manual_seed(0)))
    x = PROTEIN.encode(["VDGV", "FWAA"])
    soft = torch.nn.functional.one_hot(x, 21).double().requires_grad_()
    torch.testing.assert_close(reward(soft), reward(x))
    (slopes,) = torch.autograd.grad(reward(soft).sum(), soft)
    for place in range(4):
        for letter in range(20):
            other = x.clone()
            other[:, place] = letter
            torch.testing.assert_close(slopes[:, place, letter], reward(other))
    assert bool((slopes[..., 20] == 0).all())


def test_the_public_file_is_what_the_authors_say(assets):
    measurements = read_measurements(assets("proteins/gb1_four_site.csv"))
    assert len(measurements) == 149_361 == len(variant_index(measurements.tokens).unique())
    best = measurements.fitness.argmax()
    assert PROTEIN.decode(measurements.tokens[best][None]) == ["FWAA"]
    assert measurements.fitness[best] == pytest.approx(8.761965656)
    assert int((measurements.landscape(-1.0) == -1.0).sum()) == 10_639
    target = Target(LogFitness(assets("proteins/gb1_four_site.csv")), 1.0)
    assert float(target(PROTEIN.encode([WILD_TYPE]))[0]) == 0.0


def test_variants_are_shown_in_the_whole_protein():
    assert WILD_TYPE == "VDGV" and len(SEQUENCE) == 56
    assert whole_sequences([WILD_TYPE]) == [SEQUENCE]
    (changed,) = whole_sequences(["FW_A"])
    assert {place: letter for place, letter in enumerate(changed, 1) if letter != SEQUENCE[place - 1]} == {
        39: "F", 40: "W", 41: "_", 54: "A",
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"variants\[1\]: expected 4 letters, got 3"):
        whole_sequences(["VDGV", "VDG"])
