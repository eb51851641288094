"""Batch normalisation folded into the layer before it. The reference case is in test_zoo.py."""

import numpy as np
import pytest

from minilq import LSQ, BatchNorm, Conv2D, Dense, ReLU, Tensor
from minilq.errors import ConfigError, ShapeError
from minilq.nn import fold_batch_norm


def learned(norm, rng):
    """A BatchNorm as it is after training."""
    for name, t in norm.tensors().items():
        a = t if isinstance(t, np.ndarray) else t.data
        a[...] = rng.uniform(0.5, 2, a.shape) if name in ("gamma", "variance") else rng.standard_normal(a.shape)
    return norm


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_a_folded_layer_gives_what_both_gave_in_inference(kind, dtype):
    rng = np.random.default_rng(0)
    layer, x = ((Dense(5, 4, rng, dtype=dtype), rng.standard_normal((7, 5))) if kind == "dense" else
                (Conv2D(2, 4, 3, rng, stride=2, padding="valid", dtype=dtype), rng.standard_normal((3, 6, 5, 2))))
    norm, x = learned(BatchNorm(4, dtype=dtype), rng), x.astype(dtype)
    before = {**layer.state(), **norm.state()}
    one = fold_batch_norm(layer, norm)
    assert type(one) is type(layer)
    expected = norm(layer(Tensor(x))).numpy()
    np.testing.assert_allclose(one(Tensor(x)).numpy(), expected, rtol=0, atol=1e-13 if dtype == np.float64 else 2e-6)
    for tensor in one.parameters().values():     # another layer, of its own arrays
        tensor.data[...] = 0
    for name, a in {**layer.state(), **norm.state()}.items():
        np.testing.assert_array_equal(a, before[name])
    np.testing.assert_array_equal(norm(layer(Tensor(x))).numpy(), expected)
    one.input.change(LSQ(4))
    assert layer.input.method is None


def test_what_cannot_be_folded():
    rng = np.random.default_rng(0)
    layer, norm = Dense(3, 2, rng), BatchNorm(2)
    with pytest.raises(ConfigError, match="a BatchNorm is folded into a Dense or Conv2D; got BatchNorm into ReLU"):
        fold_batch_norm(ReLU(), norm)
    with pytest.raises(ConfigError, match="got Dense into BatchNorm"):
        fold_batch_norm(norm, layer)
    with pytest.raises(ShapeError, match="a layer of 2 outputs, a BatchNorm of 3"):
        fold_batch_norm(layer, BatchNorm(3))
    layer.weight.change(LSQ(4))
    with pytest.raises(ConfigError, match=r"full precision; got a method at weight\. Fold first"):
        fold_batch_norm(layer, norm)
