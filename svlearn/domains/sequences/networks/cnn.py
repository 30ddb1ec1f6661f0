"""A dilated convolutional network over sequences: the field's usual denoiser of short DNA and RNA."""

from torch import Tensor, nn

from svlearn.domains.sequences.networks.reading import Embedding, TimeEmbedding


class DilatedCNN(nn.Module):
    """p(x_T | x_t) place by place: residual convolutions whose dilation doubles from 1, and starts again.

    forward(x, moments) -> logits (B, L, V), for every place, masked or not; x: token ids (B, L), or soft one-hots
    (B, L, V + 1); moments (B,), float: the share that is unmasked, read where time_width > 0. How much is
    masked tells the time, so by default it is not read (arXiv 2406.04329), and what was predicted stays right as long
    as the sequence does.

    num_letters: V. width: channels; kernel_size: odd; depth: convolutions; cycle: after how many the dilation starts
    again; a place sees its neighbours up to (kernel_size - 1)/2 · Σ dilations away. time_width: 0, or the width of the
    time's embedding. Raises ValueError for an even kernel_size.
    """

    tells_hidden = True

    def __init__(
        self,
        num_letters: int = 4,
        width: int = 64,
        kernel_size: int = 7,
        depth: int = 6,
        cycle: int = 6,
        time_width: int = 0,
    ):
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size: expected an odd number, got {kernel_size}")
        self.hyperparameters = dict(
            num_letters=num_letters,
            width=width,
            kernel_size=kernel_size,
            depth=depth,
            cycle=cycle,
            time_width=time_width,
        )
        self.width = width
        self.embedding = Embedding(num_letters, width)
        self.layers = nn.ModuleList(ConvolutionLayer(width, kernel_size, 2 ** (k % cycle)) for k in range(depth))
        self.time = TimeEmbedding(time_width) if time_width else None
        self.shifts = nn.ModuleList(nn.Linear(time_width, width) for _ in range(depth if time_width else 0))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, num_letters))

    @property
    def reads_time(self) -> bool:
        return self.time is not None

    def hidden(self, x: Tensor, moments: Tensor) -> Tensor:
        """What the last layer gives, (B, L, width)."""
        nodes = self.embedding(x).transpose(1, 2)
        embedded = None if self.time is None else self.time(moments)
        for k, layer in enumerate(self.layers):
            if embedded is not None:
                nodes = nodes + self.shifts[k](embedded)[:, :, None]
            nodes = layer(nodes)
        return nodes.transpose(1, 2)

    def forward(self, x: Tensor, moments: Tensor) -> Tensor:
        return self.head(self.hidden(x, moments))


class ConvolutionLayer(nn.Module):
    """x + W₂ gelu(dilated convolution of the normalised x), (B, C, L)."""

    def __init__(self, width: int, kernel_size: int, dilation: int):
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.convolution = nn.Conv1d(width, width, kernel_size, padding="same", dilation=dilation)
        self.activation = nn.GELU()
        self.out = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.out(self.activation(self.convolution(self.norm(x))))
