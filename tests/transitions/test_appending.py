"""The law of the next token: by enumeration of all texts, with an end, a full buffer and a prompt beside it."""

import itertools
import math

import pytest
import torch
from tensordict import TensorDict

import svlearn as sv
from svlearn.inference import cuts
from svlearn.randomness import seeded
from svlearn.transitions import AppendingTransition, FieldTransition, append, appending, ended

V, L, PAD, END = 3, 3, 9, 0


def text(*tokens):
    """A text (1, L + 1): its tokens, padding, the number of those written."""
    return torch.tensor([[*tokens, *[PAD] * (L - len(tokens)), len(tokens)]])


def every_text():
    """All buffers of up to L tokens."""
    return torch.cat([text(*each) for size in range(L + 1) for each in itertools.product(range(V), repeat=size)])


def law(x, **options):
    return AppendingTransition(x, torch.randn(len(x), V, generator=seeded("cpu", 1), dtype=torch.float64), **options)


def test_a_text_is_finished_where_its_buffer_is_full_or_its_last_token_is_the_end():
    x = torch.cat([text(), text(END), text(END, 1), text(1, END), text(1, 2, 1)])
    assert ended(x).tolist() == [False, False, False, False, True]
    assert ended(x, END).tolist() == [False, True, False, True, True]
    assert not ended(torch.tensor([[END, PAD, PAD, 0]]), END).any()  # padding may look like anything


@pytest.mark.parametrize("tokens", [(), (1,), (2, 1), (1, END), (2, 2, 1)])
def test_probabilities_sum_to_one_over_all_texts(tokens):
    x, texts = text(*tokens), every_text()
    step = law(x, end=END)
    log_probs = step[torch.zeros(len(texts), dtype=torch.long)].log_prob(texts)
    assert log_probs.exp().sum().item() == pytest.approx(1.0)
    if ended(x, END):
        assert torch.equal(texts[log_probs == 0], x)
    else:
        following = torch.cat([append(x, torch.tensor([token])) for token in range(V)])
        assert torch.equal(texts[log_probs > -math.inf], following)


def test_draws_are_as_likely_as_they_say():
    x = text(1).expand(20_000, -1)
    step = AppendingTransition(x, torch.tensor([0.2, -math.inf, 1.3]).expand(20_000, -1), end=END)
    drawn = step.sample(generator=seeded("cpu", 2))
    p = step[:3].log_prob(torch.cat([text(1, token) for token in range(V)])).exp()
    shares = torch.bincount(drawn[:, 1], minlength=V) / 20_000
    assert ((shares - p).abs() <= 4 * (p * (1 - p) / 20_000).sqrt()).all() and p[1] == 0
    assert (drawn[:, 0] == 1).all() and (drawn[:, 2] == PAD).all() and (drawn[:, -1] == 2).all()
    assert (x[:, -1] == 1).all()  # the text that it came from is as it was


def test_outcomes_have_their_log_probs_and_a_finished_text_has_itself():
    x = torch.cat([text(1), text(1, END), text(2, 2, 2)])
    step = law(x, end=END)
    states, log_probs = step.outcomes(V)
    torch.testing.assert_close(log_probs.exp().sum(dim=1), torch.ones(3, dtype=torch.float64))
    again = step[torch.arange(3).repeat_interleave(V)].log_prob(states.flatten(0, 1)).view(3, V)
    possible = log_probs > -math.inf
    torch.testing.assert_close(again[possible], log_probs[possible])
    assert possible.sum(dim=1).tolist() == [V, 1, 1]
    with pytest.raises(ValueError, match="outcomes: 3 next states, the limit is 2"):
        step.outcomes(2)


def test_rows_can_be_taken_joined_and_tilted():
    x = torch.cat([text(1), text(1, END), text(2, 2)])
    step = law(x, end=END)
    drawn = step.sample(generator=seeded("cpu", 3))
    expected, index = step.log_prob(drawn), torch.tensor([2, 0, 2])
    assert torch.equal(step[index].log_prob(drawn[index]), expected[index])
    assert torch.equal(AppendingTransition.cat([step[:1], step[1:]]).log_prob(drawn), expected)
    slope = torch.randn(3, V, generator=seeded("cpu", 4), dtype=torch.float64)
    tilted = step.tilt(slope)
    torch.testing.assert_close(tilted.log_probs, (step.log_probs + slope).log_softmax(dim=1))
    assert torch.equal(tilted.finished, step.finished)
    assert step.log_ratio(tilted, x)[1] == 0 and step.log_ratio(tilted, drawn).isfinite().all()


def test_finished_may_be_said():
    """A prompt that holds the end goes on."""
    x = text(1, END)
    going = law(x, finished=torch.tensor([False]))
    assert going.sample(generator=seeded("cpu", 5))[0, -1] == 3
    assert law(x, end=END).sample(generator=seeded("cpu", 5))[0, -1] == 2


def test_half_logits_are_normalised_in_float32():
    step = AppendingTransition(text().expand(2, -1), torch.randn(2, V, generator=seeded("cpu", 6)).bfloat16())
    assert step.log_probs.dtype == torch.float32
    torch.testing.assert_close(step.log_probs.exp().sum(dim=1), torch.ones(2))


class Prompted(sv.Reference):
    """Two tokens after a prompt of one, which is another leaf: p(token | prompt, last) from a table."""

    num_steps = 2

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.randn(2, V, V, generator=seeded("cpu", 7), dtype=torch.float64))

    def initial(self, batch_size, *, condition=None, generator=None):
        empty = torch.tensor([[PAD, PAD, 0]]).expand(batch_size, -1).clone()
        return TensorDict({"text": empty, "prompt": condition}, [batch_size])

    def forward(self, x, t, previous=None):
        last = torch.where(t == 0, 1, x["text"][:, 0])
        step = AppendingTransition(x["text"], self.table[x["prompt"], last], end=END)
        return sv.Prediction(FieldTransition({"text": step}, x))


def test_a_prompt_is_another_leaf():
    """log Z of each prompt, by enumeration of its texts; r counts the twos."""
    reference, target = Prompted(), sv.Target(lambda x: (x["text"][:, :2] == 2).sum(dim=1).double(), 0.5)
    prompt = torch.tensor([0, 1]).repeat(800)
    table = reference.table.log_softmax(dim=-1)
    samples = sv.smc(reference, target, sv.values.Zero(), 8, proposal=sv.proposals.Exact(sv.values.Zero()))
    drawn = samples.sample(1600, condition=prompt, generator=seeded("cpu", 8))
    for each in (0, 1):
        first, after = table[each, 1], table[each] + 2.0 * (torch.arange(V) == 2)
        after = after.logsumexp(dim=1).masked_fill(torch.arange(V) == END, 0.0)
        exact = (first + 2.0 * (torch.arange(V) == 2) + after).logsumexp(dim=0)
        ratios = (drawn.log_normalizer[prompt == each] - exact).exp()
        assert (ratios.mean() - 1).abs() < 4 * ratios.std() / math.sqrt(800)
    assert torch.equal(drawn.states["prompt"], prompt[:, None].expand(-1, 8))


def test_bad_arguments_are_named():
    x, logits = text().expand(2, -1), torch.zeros(2, V)
    with pytest.raises(TypeError, match="logits: expected a float tensor"):
        AppendingTransition(x, x)
    with pytest.raises(
        ValueError, match=r"logits: expected \(B, V\) with texts x \(B, L \+ 1\), got \(2, 4\) and \(1, 3\)"
    ):
        AppendingTransition(x, logits[:1])
    with pytest.raises(ValueError, match="end, finished: expected one of them at most"):
        AppendingTransition(x, logits, end=END, finished=torch.zeros(2, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"finished: expected shape \(2,\), got \(3,\)"):
        AppendingTransition(x, logits, finished=torch.zeros(3, dtype=torch.bool))
    with pytest.raises(ValueError, match="end: expected None or an integer of at least 0, got -1"):
        AppendingTransition(x, logits, end=-1)


MANY, ROWS, COPIES = 5000, 4, 25


def parents(rows=ROWS, copies=COPIES):
    return torch.arange(rows).repeat_interleave(copies)


def wide(seed=9):
    x = torch.cat([text(1), text(1, END), text(2, 2), text()])
    return AppendingTransition(x, torch.randn(ROWS, MANY, generator=seeded("cpu", seed)), end=END)


def test_candidates_are_drawn_from_the_table_of_their_rows(monkeypatch):
    """The numbers laid side by side at once are those of the table, however many candidates there are."""
    step, laid = wide(), []

    def recorded(probs, generator=None):
        laid.append(probs.numel())
        return categorical(probs, generator)

    categorical = appending.categorical
    whole = step.sample_each(parents(), generator=seeded("cpu", 1))  # fewer than AT_ONCE: as one draw
    monkeypatch.setattr(appending, "categorical", recorded)
    monkeypatch.setattr(appending, "AT_ONCE", 1)
    found = step.sample_each(parents(), generator=seeded("cpu", 1))
    copies = step[parents()].sample(generator=seeded("cpu", 1))
    assert torch.equal(found, copies) and len(whole) == len(found) == ROWS * COPIES
    assert laid == [ROWS * MANY] * (2 * COPIES)
    assert torch.equal(found[:, -1], step.x[parents(), -1] + (~step.finished[parents()]).long())


def test_few_candidates_are_those_of_copied_rows_to_the_bit():
    step, copied = law(torch.cat([text(1), text(1, END), text()]), end=END), parents(3, 7)
    plain = AppendingTransition(step.x[copied], step.log_probs[copied], finished=step.finished[copied])
    for k in range(5):
        drawn = step.sample_each(copied, generator=seeded("cpu", k))
        assert torch.equal(drawn, plain.sample(generator=seeded("cpu", k)))
        assert torch.equal(step[copied].log_prob(drawn), plain.log_prob(drawn))


def test_more_rows_than_the_table_has_are_places_in_it():
    step = wide()
    candidates = step[parents()]
    again = candidates[torch.arange(ROWS * COPIES - 1, -1, -1)]
    halves = candidates[: 2 * COPIES]
    assert candidates.table is again.table is halves.table is step.table
    assert torch.equal(halves.rows, parents(2))
    assert torch.equal(again.log_probs, step.table[parents().flip(0)])
    few = candidates[torch.tensor([0, COPIES])]  # of which no more is kept than is theirs
    assert few.rows is None and torch.equal(few.table, step.table[:2])
    drawn = candidates.sample(generator=seeded("cpu", 2))
    expected = AppendingTransition(candidates.x, candidates.log_probs, finished=candidates.finished).log_prob(drawn)
    torch.testing.assert_close(candidates.log_prob(drawn), expected)  # rows of a table may be rounded otherwise
    joined = AppendingTransition.cat([candidates, few])
    own = joined.log_prob(torch.cat([drawn, drawn[[0, COPIES]]]))
    torch.testing.assert_close(own, expected[[*range(100), 0, COPIES]])
    states, log_probs = candidates.outcomes(MANY)
    assert states.shape[:2] == log_probs.shape == (ROWS * COPIES, MANY)


def test_ratios_of_candidates_copy_no_table():
    """As a sampler asks for them: those of a proposal against the reference, M of each row."""
    step = wide()
    tilted = step.tilt(0.3 * torch.randn(ROWS, MANY, generator=seeded("cpu", 3)))
    drawn = tilted.sample_each(parents(), generator=seeded("cpu", 4))
    found = cuts.log_ratio(step, tilted, parents(), drawn)
    for row in range(ROWS):
        rows = parents() == row
        one, other = (each[torch.full((COPIES,), row)].log_prob(drawn[rows]) for each in (step, tilted))
        assert torch.equal(found[rows], one - other)
    law_of_leaves = FieldTransition({"text": step}, TensorDict({"text": step.x, "prompt": step.x}, [ROWS]))
    assert law_of_leaves[parents()].laws["text"].table is step.table
