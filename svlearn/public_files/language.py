"""Public files of language: texts, sentiments, a small model with its tokenizer."""

from svlearn.public_files.asset import Asset

CHAR_RNN = ("karpathy/char-rnn", "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e")
LLAMA2_C64 = ("ytmytm/llama2.c64", "12b5bec82eb980362b8a7bfe86992a552a492481")
SST2 = ("clairett/pytorch-sentiment-classification", "457ffd83de90a9d6d472d8ffc31bbffe40a8b236")

LANGUAGE: dict[str, Asset] = {
    "language/tinyshakespeare.txt": Asset(
        CHAR_RNN,
        "data/tinyshakespeare/input.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        "public domain",
    ),
    "language/stories260K.bin": Asset(
        LLAMA2_C64,
        "stories260K.bin",
        "b0a507e7ad0f626624f17112325e66691f9076d622e1d3274d103d00299f2696",
        "MIT (karpathy/tinyllamas)",
    ),
    "language/tok512.bin": Asset(
        LLAMA2_C64,
        "tok512.bin",
        "037cb335abb25d1fa9e8ecae30ed2a3a8ace9302862ebcdc05d51a6bbb10c312",
        "MIT (karpathy/tinyllamas)",
    ),
    "language/sst2_train.tsv": Asset(
        SST2,
        "data/SST2/train.tsv",
        "ec192f833a64da08f475488a77b0d0b47db47acd0f458bd18433fc793b569920",
        "none stated: fetch, do not redistribute",
    ),
    "language/sst2_dev.tsv": Asset(
        SST2,
        "data/SST2/dev.tsv",
        "eddea6b39e601dd4e7a672b53cc40fdf6019fa80522f351206c24340ca5d9359",
        "none stated: fetch, do not redistribute",
    ),
    "language/sst2_test.tsv": Asset(
        SST2,
        "data/SST2/test.tsv",
        "831169c7e2e429d6026e1bdbb542f33b636e3e596caad9602ebc953c205928b7",
        "none stated: fetch, do not redistribute",
    ),
}
