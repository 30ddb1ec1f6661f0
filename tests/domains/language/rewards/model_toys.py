"""Small networks of transformers' own classes with random weights, and tokenizers made on the spot."""

import json

import torch
from tensordict import TensorDict
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from svlearn.process import Prediction, Reference
from svlearn.transitions import AppendingTransition, FieldTransition

WORDS = ("a", "the", "dog", "cat", "sad", "happy", "was", "play", "##ed")
TEXTS = ["the dog was sad", "a cat", "", "the happy cat played a happy dog", "unknown", "the dog was sad"]
LABELS = {0: "negative", 1: "neutral", 2: "positive"}


def scatter(model):
    """Random weights at which layers do something, by a generator of their own; in evaluation mode."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, each in model.named_parameters():
            noise = torch.randn(each.shape, generator=generator)
            if "norm" in name.lower() or "ln_" in name:
                each.copy_((1 if name.endswith("weight") else 0) + 0.2 * noise)
            else:
                each.copy_(noise * (each.shape[-1] ** -0.5 if each.dim() > 1 and "embed" not in name else 0.5))
    return model.eval()


def bert_tokenizer(folder):
    """A tokenizer of BERT's kind that knows a few words, saved in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n")
    config = dict(tokenizer_class="BertTokenizer", do_lower_case=True, model_max_length=512)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return AutoTokenizer.from_pretrained(str(folder))


def bert_classifier(longest=16, labels=LABELS, **options):
    config = BertConfig(
        vocab_size=5 + len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=longest,
        id2label=labels,
        **options,
    )
    return scatter(BertForSequenceClassification(config))


def letters_tokenizer(begin=True):
    """A byte-pair tokenizer of letters and a few pairs of them, with <s> or none before a text that asks for it."""
    letters = [*"abcdehiklnoprstuvwy .!,'"]
    merges = [("t", "h"), ("th", "e"), ("a", "n"), ("a", "t"), ("s", "a"), (" ", "th"), ("y", "t")]
    vocabulary = ["<unk>", "<s>", "</s>", "<pad>", *letters, *dict.fromkeys("".join(pair) for pair in merges)]
    model = models.BPE({token: place for place, token in enumerate(vocabulary)}, merges, unk_token="<unk>")
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.Split("\n", "isolated")
    backend.decoder = decoders.Fuse()
    special = dict(unk_token="<unk>", eos_token="</s>")
    if begin:
        backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
        special["bos_token"] = "<s>"
    return PreTrainedTokenizerFast(tokenizer_object=backend, **special)


def gpt2_classifier(pad=None, labels=LABELS):
    config = GPT2Config(
        vocab_size=40, n_embd=16, n_layer=2, n_head=2, n_positions=32, id2label=labels, pad_token_id=pad
    )
    return scatter(GPT2ForSequenceClassification(config))


def llama(longest=64, dtype=torch.float64):
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=longest,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
    )
    return scatter(LlamaForCausalLM(config)).to(dtype)


def gpt2(dtype=torch.float64):
    """Positions are learned, and its classifier is its embedding."""
    config = GPT2Config(vocab_size=40, n_embd=16, n_layer=2, n_head=2, n_positions=32, bos_token_id=1, eos_token_id=2)
    return scatter(GPT2LMHeadModel(config)).to(dtype)


class Writer(Reference):
    """Writes `num_steps` tokens behind prompts of one length by a causal language model, in one full pass a token."""

    def __init__(self, model, tokenizer, num_steps=2):
        super().__init__()
        self.num_steps, self.model, self.tokenizer = num_steps, model, tokenizer

    def initial(self, batch_size, *, condition=None, generator=None):
        prompt = torch.tensor([[1]] * batch_size if condition is None else condition)
        leaves = {
            "text": torch.zeros(batch_size, self.num_steps + 1, dtype=torch.long),
            "prompt": prompt,
            "length": torch.full((batch_size,), prompt.shape[1]),
        }
        return TensorDict(leaves, batch_size=[batch_size])

    def forward(self, x, t, previous=None):
        tokens = torch.cat([x["prompt"], x["text"][:, : int(t[0])]], dim=1)
        law = AppendingTransition(x["text"], self.model(input_ids=tokens).logits[:, -1])
        return Prediction(FieldTransition({"text": law}, x))

    def decode(self, x):
        return [self.tokenizer.decode(row[: row[-1]]) for row in x["text"].tolist()]


@torch.no_grad()
def direct(model, row, start):
    """Σ_{i >= start} log p(token i | before) of one row, from one call of the model for each token."""
    total = 0.0
    for place in range(start, len(row)):
        logits = model(input_ids=torch.tensor([row[:place]])).logits[0, -1].double()
        total += float(logits.log_softmax(dim=0)[row[place]])
    return total
