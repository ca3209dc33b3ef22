"""Real data to learn from."""

from .mnist import mnist, mnist_subset
