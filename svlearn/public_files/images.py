"""Public files of images: digits, classifiers and a denoiser of them, the head of an aesthetic score."""

from svlearn.public_files.asset import Asset

AESTHETIC = ("christophschuhmann/improved-aesthetic-predictor", "fe88a163f4661b4ddabba0751ff645e2e620746e")
MNIST = ("HaouchatY/diffusion_tomography", "5661a420f6ec80276e3490525f6dca49b9f3d25b")
DDPM_MNIST = ("BrianPulfer/PapersReimplementations", "9ebf59af99219b8888695ba0133c299d8251dc7f")
MNIST_CNN_A = ("graykode/DeepLearning-Study", "0af921431124d87993700973a1bf2e223f1294bf")
MNIST_CNN_B = ("ChengYuHsieh/explanation_robustness", "a8e5ef269ced75e34d554b71ad1dacc2c04088fc")

IMAGES: dict[str, Asset] = {
    "images/laion_aesthetic_v2_head.pth": Asset(
        AESTHETIC,
        "sac+logos+ava1-l14-linearMSE.pth",
        "21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0",
        "Apache-2.0",
    ),
    "images/mnist_t10k-images-idx3-ubyte.gz": Asset(
        MNIST,
        "data/MNIST/raw/t10k-images-idx3-ubyte.gz",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "CC BY-SA 3.0",
    ),
    "images/mnist_t10k-labels-idx1-ubyte.gz": Asset(
        MNIST,
        "data/MNIST/raw/t10k-labels-idx1-ubyte.gz",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        "CC BY-SA 3.0",
    ),
    "images/ddpm_mnist.pt": Asset(
        DDPM_MNIST,
        "ddpm/ddpm_mnist.pt",
        "384f86fd83b97f05d5c4d1c84e3470497164ea88c051e862bdfdd4bf7776546a",
        "MIT",
    ),
    "images/mnist_cnn_a.pt": Asset(
        MNIST_CNN_A,
        "mnist_cnn.pt",
        "c37c32c653aedc4664b31475e052c5295b8d2de24c43ad468b70702e855bdb6c",
        "none stated: fetch, do not redistribute",
    ),
    "images/mnist_cnn_b.pt": Asset(
        MNIST_CNN_B,
        "mnist_cnn.pt",
        "625bfd1683741532f4bb49f211fbb12e0ef3f935b72c72810f05617181dabc3d",
        "none stated: fetch, do not redistribute",
    ),
}
