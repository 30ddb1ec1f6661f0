"""The files of sequences: what is read, what is held out, what is refused."""

import pytest

from svlearn.domains.sequences.alphabet import DNA
from svlearn.domains.sequences.data import SequenceData, read, reverse_complement
from svlearn.domains.sequences.tables import read_column, whole


def written(path, text):
    path.write_text(text)
    return path


def test_a_column_is_read_by_name_or_number(tmp_path):
    table = written(tmp_path / "a.csv", "name,utr\nx,acgt\n\ny,UUGN\n")
    assert read_column(table, "utr", DNA) == ["ACGT", "UUGN"]
    plain = written(tmp_path / "b.tsv", "ACGT\t1.0\nACG\t2\n")
    assert read_column(plain, 0, DNA, delimiter="\t") == ["ACGT", "ACG"]
    assert whole(["ACGT", "ACG", "ACGN"], 4) == ["ACGT"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("name,seq\nx,ACGT\n", "expected a CSV file with a column 'utr', got 'name', 'seq'"),
        ("", "expected a CSV file with a column 'utr', got an empty file"),
        ("utr\n", "got one without a sequence"),
        ("utr\nACGT\nACXT\n", "line 3: expected a sequence of 'ACGT', got 'ACXT'"),
        ("utr,b\nACGT,1\n,2\n", "line 3: expected a sequence of 'ACGT', got none"),
        ("utr\nACGT\nACG\n", "line 3: expected 4 letters, got 3"),
    ],
)
def test_what_is_not_the_file_is_refused_by_line(tmp_path, text, error):
    with pytest.raises(ValueError, match=error) as raised:
        read_column(written(tmp_path / "a.csv", text), "utr", DNA, length=4)
    assert str(tmp_path / "a.csv") in str(raised.value)


def test_another_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="one of utr5, yeast-promoters, hepg2, plant-promoters, got 'utr'"):
        SequenceData("utr")


def test_the_other_strand():
    assert reverse_complement(["AACG", "TTTT"]) == ["CGTT", "AAAA"]


def test_no_training_enhancer_overlaps_with_one_held_out(tmp_path):
    """Of the rows 0 ... 9 the tenth is held out; row 0 is its other strand, row 1 a shift of it, row 2 another."""
    unit = "ACGGTTCAAGTCCATGCATTGACCGTAAGC" * 6
    held = unit[:171]
    other = ("TTGACA" * 40)[:171]
    rows = [reverse_complement([held])[0], unit[5:176], other, *["CACAG" * 34 + "C"] * 6, held]
    path = written(tmp_path / "a.tsv", "name\tsequence\n" + "".join(f"x\t{row}\n" for row in rows))
    train, held_out = read("hepg2", path)
    assert held_out == [held]
    assert train == rows[2:9]


@pytest.mark.parametrize(("name", "sizes"), [("utr5", (18000, 2000)), ("yeast-promoters", (4678, 519))])
def test_the_public_files(name, sizes, assets):
    data = SequenceData(name)
    assets(data.source.file)
    data.setup()
    assert (len(data.train), len(data.validation)) == sizes
    if data.source.fixed is not None:
        fixed = DNA.encode([data.source.fixed])[0]
        where = fixed != DNA.mask
        assert bool((data.train[:, where] == fixed[where]).all())


def test_the_public_enhancers_are_read_on_both_strands(assets):
    data = SequenceData("hepg2")
    assets(data.source.file)
    data.setup()
    half = len(data.train) // 2
    assert bool((data.train[:half].flip(1) == 3 - data.train[half:]).all())
    assert len(data.validation) == 232
