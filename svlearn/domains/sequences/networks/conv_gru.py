"""Convolutions and a recurrent layer in both directions: the value network of the SVDD paper on sequences."""

from torch import Tensor, nn

from svlearn.domains.sequences.networks.reading import Embedding, TimeEmbedding


class ConvGRU(nn.Module):
    """A wide first convolution, residual ones, a GRU that reads both ways, a perceptron at each place.

    As the ConvGRU of SVDD (arXiv 2408.08252, appendix; width 64, kernels 15 and 5, 6 convolutions), with norms over a
    sequence in the place of those over a batch, so that a value depends on its own sequence alone.
    hidden(x, moments) -> (B, L, width); x: token ids (B, L), or soft one-hots (B, L, V + 1) or (B, L, V); moments (B,),
    float: what tells the time, read where time_width > 0.
    """

    def __init__(
        self,
        num_letters: int = 4,
        width: int = 64,
        stem_kernel_size: int = 15,
        kernel_size: int = 5,
        depth: int = 6,
        time_width: int = 64,
    ):
        super().__init__()
        self.hyperparameters = dict(
            num_letters=num_letters,
            width=width,
            stem_kernel_size=stem_kernel_size,
            kernel_size=kernel_size,
            depth=depth,
            time_width=time_width,
        )
        self.width = width
        self.embedding = Embedding(num_letters, width)
        self.stem = nn.Conv1d(width, width, stem_kernel_size, padding="same")
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.GroupNorm(1, width), nn.ReLU(), nn.Conv1d(width, width, kernel_size, padding="same"))
            for _ in range(depth)
        )
        self.time = TimeEmbedding(time_width) if time_width else None
        self.shift = nn.Linear(time_width, width) if time_width else None
        self.recurrent = nn.GRU(width, width, batch_first=True, bidirectional=True)
        self.norm = nn.LayerNorm(width)
        self.update = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))

    @property
    def reads_time(self) -> bool:
        return self.time is not None

    def hidden(self, x: Tensor, moments: Tensor) -> Tensor:
        nodes = self.stem(self.embedding(x).transpose(1, 2))
        if self.time is not None and self.shift is not None:
            nodes = nodes + self.shift(self.time(moments))[:, :, None]
        for block in self.blocks:
            nodes = nodes + block(nodes)
        there, back = self.recurrent(nodes.transpose(1, 2))[0].chunk(2, dim=2)
        nodes = there + back
        return nodes + self.update(self.norm(nodes))
