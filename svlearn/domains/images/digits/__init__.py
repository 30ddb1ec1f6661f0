"""MNIST digits: data, the trained references, classifiers and measures."""
