"""Values and gradients of the image operations against PyTorch's, where it is installed."""

import numpy as np
import pytest

import minilq
from minilq import Tensor

torch = pytest.importorskip("torch")
F = torch.nn.functional


def to_torch(a):
    """Images (N, H, W, C) become PyTorch's (N, C, H, W); the numbers stay where they are (channels_last)."""
    t = torch.from_numpy(np.array(a))
    return (t.permute(0, 3, 1, 2) if t.ndim == 4 else t).requires_grad_()


def to_numpy(t):
    return (t.permute(0, 2, 3, 1) if t.ndim == 4 else t).detach().numpy()


def both(ours, theirs, *arrays, dtype=np.float64):
    """Results and gradients, of all arrays and with one random cotangent, must agree."""
    arrays = [a.astype(dtype) for a in arrays]
    mine, other = [Tensor(a, requires_grad=True) for a in arrays], [to_torch(a) for a in arrays]
    y, z = ours(*mine), theirs(*other)
    tolerance = {"rtol": 1e-10, "atol": 1e-10} if dtype == np.float64 else {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(y.numpy(), to_numpy(z), **tolerance)
    g = np.random.default_rng(99).standard_normal(y.shape).astype(dtype)
    y.backward(g)
    z.backward(to_torch(g).detach())
    for a, b in zip(mine, other, strict=True):
        np.testing.assert_allclose(a.grad, to_numpy(b.grad), **tolerance)


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return rng.permutation(2 * 9 * 8 * 3).reshape(2, 9, 8, 3) * 0.01                     # no ties


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("size", "stride", "padding"), [(2, None, 0), (3, 2, 1), (3, 1, 0), ((2, 3), (1, 2), (1, 0))])
def test_max_pooling(both_backends, images, dtype, size, stride, padding):
    both(lambda x: minilq.max_pool2d(x, size, stride, padding), lambda x: F.max_pool2d(x, size, stride, padding),
         images, dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("size", "stride"), [(2, None), (3, 2), (3, 1), ((2, 3), (1, 2))])
def test_average_pooling(both_backends, images, dtype, size, stride):
    both(lambda x: minilq.average_pool2d(x, size, stride), lambda x: F.avg_pool2d(x, size, stride), images, dtype=dtype)


def test_average_pooling_does_not_count_the_border(both_backends, images):
    both(lambda x: minilq.average_pool2d(x, 3, 2, 1),
         lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), images)


def test_global_average_pooling(both_backends, images):
    both(minilq.global_average_pool2d, lambda x: x.mean((2, 3)), images)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(6, 5), (3, 4, 2, 5), (8, 20, 20, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm(both_backends, dtype, shape, training):
    rng = np.random.default_rng(1)
    C = shape[-1]
    x, gamma, beta = rng.standard_normal(shape) * 3 + 1, rng.standard_normal(C), rng.standard_normal(C)
    mean, var = rng.standard_normal(C).astype(dtype), rng.uniform(0.5, 2, C).astype(dtype)
    their_mean, their_var = torch.from_numpy(mean.copy()), torch.from_numpy(var.copy())
    both(lambda x, gamma, beta: minilq.batch_norm(x, gamma, beta, mean, var, training, 0.9, 1e-3),
         lambda x, gamma, beta: F.batch_norm(x, their_mean, their_var, gamma, beta, training, 0.1, 1e-3),
         x, gamma, beta, dtype=dtype)
    tolerance = {"rtol": 1e-10} if dtype == np.float64 else {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(mean, their_mean.numpy(), **tolerance)
    np.testing.assert_allclose(var, their_var.numpy(), **tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("stride", "padding"), [(1, "same"), (1, 0), (2, 1), ((1, 3), (2, 0)), (4, 2)])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")     # of how PyTorch does it, not of what
@pytest.mark.parametrize(("channels", "filters", "size"), [(3, 32, 3), (32, 64, 3), (3, 5, (2, 3)), (32, 32, 1)])
def test_convolution(both_backends, dtype, stride, padding, channels, filters, size):
    rng = np.random.default_rng(0)
    size = (size, size) if isinstance(size, int) else size
    x, w, b = (rng.standard_normal(s) for s in ((2, 9, 8, channels), (*size, channels, filters), (filters,)))
    both(lambda x, w, b: minilq.conv2d(x, minilq.transpose(w, (1, 2, 3, 0)), b, stride, padding),
         lambda x, w, b: F.conv2d(x, w, b, stride, padding), x, w.transpose(3, 0, 1, 2), b, dtype=dtype)
