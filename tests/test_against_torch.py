"""Values and gradients of image operations and quantizers against PyTorch's, where it is installed."""

import numpy as np
import pytest

import minilq
from minilq import Tensor
from minilq.quantize.positivity import positivity_named
from tests.test_zoo_few import in_gates

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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("channels", "filters", "groups"), [(6, 6, 6), (4, 8, 4), (6, 4, 2)])
@pytest.mark.parametrize(("stride", "padding"), [(1, 1), ((1, 3), (2, 0))])
def test_grouped_convolution(dtype, channels, filters, groups, stride, padding):
    rng = np.random.default_rng(0)
    shapes = (2, 9, 8, channels), (3, 2, channels // groups, filters), (filters,)
    x, w, b = (rng.standard_normal(s) for s in shapes)
    both(lambda x, w, b: minilq.grouped_conv2d(x, minilq.transpose(w, (1, 2, 3, 0)), b, groups, stride, padding),
         lambda x, w, b: F.conv2d(x, w, b, stride, padding, groups=groups), x, w.transpose(3, 0, 1, 2), b, dtype=dtype)


@pytest.mark.parametrize("T", [0.5, 2.0, 7.0])
def test_divergence(T):
    z, t = np.random.default_rng(0).standard_normal((2, 5, 10))
    both(lambda z, t: minilq.divergence(z, t, T), lambda z, t: T * T * F.kl_div(
        F.log_softmax(z / T, dim=1), F.softmax(t / T, dim=1), reduction="batchmean"), z, t)


# Quantizers. PyTorch multiplies by 1/s, in float32 even for doubles, so parameters stand well inside the cells of the
# grid, or on codes of a scale that is a power of two; and scales have few bits, so that float32 holds all of k s.

QMIN, QMAX = -4, 3
GRANULARITIES = {"scalar": None, "row": 0, "column": 1}                  # ours -> PyTorch's axis


def in_cells(granularity, exact=False):
    rng = np.random.default_rng(3)
    shape = minilq.scale_shape(granularity, (5, 40))
    s = rng.choice([0.25, 0.5], shape) if exact else rng.integers(50, 600, shape) / 1024
    fraction = np.where(rng.random((5, 40)) < 0.5, rng.uniform(0.05, 0.45, (5, 40)), rng.uniform(0.55, 0.95, (5, 40)))
    return (rng.integers(-7, 7, (5, 40)) + (0 if exact else fraction)) * s, s


def quantizer(granularity, mask, rounding="nearest", factor=1.0, positivity="clamp"):
    return minilq.Scaled(rounding, "straight_through", granularity, minilq.chain_rule(factor), QMIN, QMAX, mask,
                            positivity)


@pytest.mark.parametrize("exact", [False, True], ids=["in cells", "on codes"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_round_first_is_the_mask_of_fake_quantize_affine(both_backends, granularity, dtype, exact):
    P, s = in_cells(granularity, exact)
    axis, zero = GRANULARITIES[granularity], torch.zeros(s.size, dtype=torch.int32)

    def theirs(P):
        if axis is None:
            return torch.fake_quantize_per_tensor_affine(P, s.item(), 0, QMIN, QMAX)
        scale = torch.from_numpy(s.ravel().astype(np.float32))           # never double, whatever P is
        return torch.fake_quantize_per_channel_affine(P, scale, zero, axis, QMIN, QMAX)

    both(lambda P: minilq.fake_quantize(P, s.astype(dtype), quantizer(granularity, "round_first")), theirs, P,
         dtype=dtype)


@pytest.mark.parametrize("exact", [False, True], ids=["in cells", "on codes"])
@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("factor", [1.0, 0.3])
def test_round_first_is_the_mask_of_learnable_fake_quantize(both_backends, granularity, factor, exact):
    P, s = in_cells(granularity, exact)
    axis, zero = GRANULARITIES[granularity], torch.zeros(s.size)

    def theirs(P, s):
        if axis is None:
            return torch._fake_quantize_learnable_per_tensor_affine(P, s, zero, QMIN, QMAX, factor)
        return torch._fake_quantize_learnable_per_channel_affine(P, s.reshape(-1), zero, axis, QMIN, QMAX, factor)

    both(lambda P, s: minilq.fake_quantize(P, s, quantizer(granularity, "round_first", factor=factor)), theirs, P, s,
         dtype=np.float32)                                               # the only one that PyTorch has it for


class Rounded(torch.autograd.Function):
    """A rounding that is passed by on the way back."""

    @staticmethod
    def forward(ctx, u, rounding):
        return rounding(u)

    @staticmethod
    def backward(ctx, g):
        return g, None


class Clamped(torch.autograd.Function):
    """Between QMIN and QMAX; the gradient passes at both, as it did through torch.clamp before PyTorch 2.14."""

    @staticmethod
    def forward(ctx, u):
        ctx.save_for_backward((u >= QMIN) & (u <= QMAX))
        return torch.clamp(u, QMIN, QMAX)

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0]


@pytest.mark.parametrize("exact", [False, True], ids=["in cells", "on codes"])
@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("rounding", ["nearest", "floor"])
@pytest.mark.parametrize("mask", ["clip_first", "round_first"])
def test_both_masks_against_autograd_of_clamp_and_a_straight_through_rounding(
        both_backends, mask, rounding, granularity, exact):
    """LSQ written by hand. Where the clamp stands decides; it passes the gradient at its bounds."""
    P, s = in_cells(granularity, exact)
    round_ = {"nearest": torch.round, "floor": torch.floor}[rounding]

    def theirs(P, s):
        if mask == "clip_first":
            return s * Rounded.apply(Clamped.apply(P / s), round_)
        return s * Clamped.apply(Rounded.apply(P / s, round_))

    both(lambda P, s: minilq.fake_quantize(P, s, quantizer(granularity, mask, rounding)), theirs, P, s)


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_the_gradient_factor_of_lsq(both_backends, granularity):
    P, s = in_cells(granularity)
    factor = 1 / np.sqrt(P.size / s.size * QMAX)
    both(lambda P, s: minilq.fake_quantize(P, s, quantizer(granularity, "clip_first", factor="lsq")),
         lambda P, s: (lambda t: t * Rounded.apply(Clamped.apply(P / t), torch.round))(
             s.detach() + factor * (s - s.detach())), P, s)


@pytest.mark.parametrize(("positivity", "scale_of"), [
    ("exp", torch.exp), ("softplus", lambda theta: F.softplus(theta, threshold=1000)),
    ("power_of_two", lambda theta: 2 ** Rounded.apply(theta, torch.round))])
def test_gradients_of_latents_through_the_quantizer(both_backends, positivity, scale_of):
    P, s = in_cells("row")
    q, ours = quantizer("row", "clip_first", positivity=positivity), positivity_named(positivity)
    theta = ours.latent_of(s)
    P = P / s * ours.scale_of(theta)                                     # in the cells of the scale that theta gives
    both(lambda P, theta: minilq.fake_quantize(P, ours.scale_of(theta), q),
         lambda P, theta: (lambda s: s * Rounded.apply(Clamped.apply(P / s), torch.round))(scale_of(theta)),
         P, theta)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_operations_of_transformers(dtype):
    rng = np.random.default_rng(2)
    x, gamma, beta = 3 * rng.standard_normal((4, 5, 6)), rng.standard_normal(6), rng.standard_normal(6)
    both(minilq.gelu, F.gelu, x, dtype=dtype)
    both(lambda x: minilq.gelu(x, "tanh"), lambda x: F.gelu(x, approximate="tanh"), x, dtype=dtype)
    for axis in (-1, 0, 1):
        both(lambda x, axis=axis: minilq.softmax(x, axis), lambda x, axis=axis: F.softmax(x, axis), x, dtype=dtype)
    both(minilq.layer_norm, lambda x, gamma, beta: F.layer_norm(x, (6,), gamma, beta), x, gamma, beta, dtype=dtype)
    tokens = rng.integers(0, 4, (3, 2))
    both(lambda w: minilq.embedding(w, tokens), lambda w: F.embedding(torch.from_numpy(tokens), w), x[0, :4],
         dtype=dtype)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_self_attention(heads):
    rng = np.random.default_rng(3)
    layer = minilq.SelfAttention(8, rng, heads, 0.5, np.float64)
    theirs = torch.nn.MultiheadAttention(8, heads, batch_first=True, dtype=torch.float64)
    weights = [layer.project.weight.latent, layer.project.bias.latent, layer.output.weight.latent,
               layer.output.bias.latent]
    others = [theirs.in_proj_weight, theirs.in_proj_bias, theirs.out_proj.weight, theirs.out_proj.bias]
    for mine, other in zip(weights, others, strict=True):
        other.data = torch.from_numpy(mine.array.T.copy())
    both(layer, lambda x: theirs(x, x, x)[0], rng.standard_normal((2, 5, 8)))
    for mine, other in zip(weights, others, strict=True):
        np.testing.assert_allclose(mine.grad.T, other.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_recurrent_layers_through_time(kind):
    """The parameters of PyTorch's layer, taken over gate by gate as in the reference vectors."""
    rng, inner = np.random.default_rng(0), "candidate.bias" if kind == "gru" else None
    theirs = getattr(torch.nn, kind.upper())(3, 4, batch_first=True).double()
    layer = getattr(minilq, kind.upper())(3, 4, rng, states="all", dtype=np.float64)
    sites = layer.sites()
    for name, parts in in_gates(kind, lambda name: getattr(theirs, name).detach().numpy()).items():
        sites[name].latent.array[...] = parts[0] if name == inner else sum(parts)
        if name == inner:
            sites["candidate.recurrent_bias"].latent.array[...] = parts[1]
    a, g = rng.standard_normal((2, 6, 3)), rng.standard_normal((2, 6, 4))
    x, z = Tensor(a, requires_grad=True), to_torch(a)
    y, (other, _) = layer(x), theirs(z)
    np.testing.assert_allclose(y.numpy(), to_numpy(other), rtol=1e-10)
    y.backward(g)
    other.backward(torch.from_numpy(g))
    np.testing.assert_allclose(x.grad, z.grad.numpy(), rtol=1e-9, atol=1e-12)
    for name, (first, *_) in in_gates(kind, lambda name: getattr(theirs, name).grad.numpy()).items():
        np.testing.assert_allclose(sites[name].latent.grad, first, rtol=1e-9, atol=1e-12)
