"""Small networks of transformers' own classes with random weights, and tokenizers made on the spot."""

import json

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

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


def letters_tokenizer(begin=True, pad=False):
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
    if pad:
        special["pad_token"] = "<pad>"
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
