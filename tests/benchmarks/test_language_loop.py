"""The memory of the study of language's loop: what is counted beside a peak, and peaks that grow with the cache."""

from benchmarks.language_loop import peaks, run


def test_the_cache_that_is_counted_is_the_one_that_is_kept(assets, monkeypatch):
    assets("language/stories260K.bin"), assets("language/tok512.bin")
    monkeypatch.setattr(peaks, "GROUPS", 1)
    held = peaks.peak(2)
    assert held["cache_bytes"] == run.memory(2)["cache_bytes"]
    assert held["peak_bytes"] > 0 and held["start_bytes"] > 0


def test_peaks_grow_with_the_cache_and_by_no_more_than_a_few_copies():
    held = {int(number): each for number, each in run.RESULTS.read()["peaks"].items()}
    assert len(held) > 1 and set(held) <= set(run.PEAKS)
    few, many = (held[number] for number in sorted(held)[-2:])
    more = (many["peak_bytes"] - many["start_bytes"]) - (few["peak_bytes"] - few["start_bytes"])
    assert 1 < more / (many["cache_bytes"] - few["cache_bytes"]) < 5
