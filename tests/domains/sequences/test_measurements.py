"""What was measured, as it stands in the files: the split, the weights, and what is refused by path and line."""

import pytest
import torch
from regressor_toys import sequences_of, write_table

from svlearn.domains.sequences.alphabet import DNA
from svlearn.domains.sequences.data import source_of
from svlearn.domains.sequences.measurements import MEASUREMENTS, MeasuredData, measured


def test_sequences_keep_their_values_and_the_last_are_held_out(tmp_path):
    sequences = sequences_of(2003, 50)
    train, held_out = measured("mrl", write_table(tmp_path / "t.csv", sequences, [f"{n / 8}" for n in range(2003)]))
    assert DNA.decode(train["tokens"]) == sequences[:3] and train["values"].tolist() == [0.0, 0.125, 0.25]
    assert DNA.decode(held_out["tokens"]) == sequences[3:] and held_out["values"][-1].item() == 2002 / 8
    assert torch.equal(train["weights"], torch.ones(3))


def test_what_is_held_back_for_choosing_comes_from_the_training_rows(tmp_path):
    path = write_table(tmp_path / "t.csv", sequences_of(2100, 50), [f"{number}" for number in range(2100)])
    data = MeasuredData("mrl", str(path), batch_size=10, num_held_back=30)
    data.setup()
    assert data.train["values"].tolist() == list(range(70)) and data.validation["values"].tolist() == [*range(70, 100)]
    batches = list(data.train_dataloader())
    assert sorted(torch.cat([batch["values"] for batch in batches]).tolist()) == list(range(70))


def test_barcodes_weigh_a_value(tmp_path):
    rows = [f"n{place}\t{each}\t0.5\t3\t{place}" for place, each in enumerate(sequences_of(30, 171))]
    path = tmp_path / "hepg2.tsv"
    path.write_text("\n".join(["name\tsequence\tlog2_rna_dna_mean\tn_replicates\tmin_barcodes", *rows]) + "\n")
    train, held_out = measured("hepg2-activity", path)
    assert held_out["weights"].tolist() == pytest.approx([9 / 14, 19 / 24, 29 / 34]) and len(train) == 27


@pytest.mark.parametrize("value", ["", "much", "nan", "inf"])
def test_a_row_without_a_number_is_refused_by_its_line(tmp_path, value):
    path = write_table(tmp_path / "t.csv", sequences_of(3, 50), ["1.0", value, "2.0"])
    with pytest.raises(ValueError, match=f"t.csv: line 3: expected a finite number in column 'rl', got {value!r}"):
        measured("mrl", path)


def test_a_table_without_the_column_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(f",utr,load\n0,{'A' * 50},1\n")
    with pytest.raises(ValueError, match="t.csv: expected a column 'rl', got '', 'utr', 'load'"):
        measured("mrl", path)


def test_an_unknown_measurement_lists_the_known_ones():
    with pytest.raises(ValueError, match="name: expected one of mrl, hepg2-activity, .* got 'mlr'"):
        MeasuredData("mlr")


@pytest.mark.parametrize(
    ("name", "sizes", "first"),
    [
        ("mrl", (18000, 2000), 5.515445537),
        ("hepg2-activity", (1959, 232), -0.0843),
        ("yeast-expression", (4678, 519), 15.1823836),
        ("plant-strength", (6328, 715), -0.53745123),
    ],
)
def test_the_public_files_are_read(assets, name, sizes, first):
    assets(source_of(MEASUREMENTS[name].source).file)
    train, held_out = measured(name)
    assert (len(train), len(held_out)) == sizes and train["values"][0].item() == pytest.approx(first, abs=1e-6)
    assert set(DNA.decode(train["tokens"])).isdisjoint(DNA.decode(held_out["tokens"]))
