"""Arrays that someone outside sees are not those that a later step reads or changes."""

import copy
import pickle

import numpy as np
import pytest

import minilq
from minilq import LSQ, Affine, Coded, Parameter, Quantizer, Sequential, Table, Tensor, nn, quantize
from minilq.data import Dataset
from minilq.optim import SGD, Adam, Together
from minilq.quantize.method import QUANTIZERS
from minilq.train.loop import Trainer
from minilq.train.metrics import INPUTS

X = np.random.default_rng(0).standard_normal((6, 5))
VARIANTS = [(kind, flags) for kind in [minilq.LSQ, *QUANTIZERS.values()] if kind.__module__.startswith("minilq.")
            for flags in kind.variants]


def arrays_of(held):
    return {name: value.array if isinstance(value, Tensor) else value for name, value in held.items()}


@pytest.mark.parametrize(("kind", "flags"), VARIANTS)
def test_codes_and_their_grid_share_nothing_with_what_is_trained(kind, flags):
    method = kind(**flags)
    held = method.start(X)
    coded = method.coded(X, held)
    for name, array in {"x": X, **arrays_of(held)}.items():
        for part in (coded.codes, *coded.grid.stored().values()):
            assert not isinstance(array, np.ndarray) or not np.shares_memory(part, array), name


def test_a_method_of_ones_own_may_give_what_it_holds():
    class Held(Quantizer):
        def start(self, x):
            return {"codes": np.zeros(x.shape, np.int8), "levels": Parameter([0.5, 1.0], dtype=x.dtype)}

        def __call__(self, x, held, training=False):
            return x

        def coded(self, x, held):
            return Coded(held["codes"], Table(held["levels"].array))

    try:
        site = nn.Site(Parameter(X))
        site.change(Held())
        coded, before = site.coded(), site.coded().values.copy()
        site.held["levels"].data[...] = 7
        site.held["codes"][...] = 1
        np.testing.assert_array_equal(coded.values, before)
    finally:
        QUANTIZERS.pop("held", None)


def training(rng, optimizer=lambda p: Adam(p, 0.01)):
    pixels, labels = np.arange(12 * 8, dtype=np.uint8).reshape(12, 2, 4), np.arange(12) % 3
    data = Dataset("mine", pixels, labels, pixels, labels, ("a", "b", "c"))
    model = Sequential(nn.Flatten(), nn.Dense(8, 5, rng), nn.Dropout(0.3, rng), nn.Dense(5, 3, rng))
    quantize(model, {"dense1.weight": LSQ(4), "dense2.input": Affine(4, ranges="average")}.get)
    return Trainer(model, optimizer(model.parameters().values()), data, INPUTS["unit"], 4, {"shuffle": rng})


def spoil(thing):
    """Write into every array of a nest of dicts and lists."""
    if isinstance(thing, np.ndarray) and thing.flags.writeable:
        thing[...] = 1 if thing.dtype.kind in "iub" else 77
    for part in thing.values() if isinstance(thing, dict) else thing if isinstance(thing, (list, tuple)) else ():
        spoil(part)
    if isinstance(thing, dict):
        for key, value in thing.items():
            if isinstance(value, (int, float)):
                thing[key] = -1


@pytest.mark.parametrize("make", [lambda p: Adam(p, 0.01), lambda p: SGD(p, 0.1, 0.9),
                                  lambda p: Together(Adam(list(p)[:2]), SGD(list(p)[2:]))])
@pytest.mark.parametrize("batches", [1, 3])
def test_what_a_training_gives_can_be_written_into(make, batches):
    """The state, gradients, codes: after a step in the middle of an epoch, and after one."""
    ends = []
    for spoilt in (False, True):
        one, seen = training(np.random.default_rng(0), make), iter(range(batches))
        one.run(1, stop=lambda seen=seen: next(seen, None) is None)
        if spoilt:
            arrays, meta = one.state()
            spoil(arrays)
            spoil(meta)
            spoil(one.model.state())
            for coded in nn.coded_in(one.model).values():
                spoil([coded.codes, *coded.grid.stored().values()])
            spoil([p.grad for p in one.model.parameters().values()])
        one.run(3)
        ends.append(one.model.state())
    for name, array in ends[0].items():
        np.testing.assert_array_equal(array, ends[1][name], err_msg=name)


def test_what_a_training_was_given_can_be_written_into():
    first, seen = training(np.random.default_rng(0)), iter(range(2))
    first.run(1, stop=lambda: next(seen, None) is None)
    arrays, meta = copy.deepcopy(first.state())
    second = training(np.random.default_rng(1))
    second.load_state(arrays, meta)
    spoil(arrays)
    spoil(meta)
    for one in (first, second):
        one.run(3)
    for name, array in first.model.state().items():
        np.testing.assert_array_equal(array, second.model.state()[name], err_msg=name)


def test_gradients_share_nothing():
    x, y = (Tensor(X, requires_grad=True) for _ in range(2))
    g = np.ones_like(X)
    (x + y).backward(g)
    assert not np.shares_memory(x.grad, y.grad)
    assert not np.shares_memory(x.grad, g)
    x.grad[...] = 5
    assert (y.grad == 1).all()
    assert (g == 1).all()
    z = Tensor(X, requires_grad=True)
    z.backward(g)
    assert not np.shares_memory(z.grad, g)


STOCHASTIC = {
    "Dropout": lambda rng: nn.Dropout(0.5, rng), "QuantizedGradient": lambda rng: nn.QuantizedGradient(2, rng),
    "a rounding": lambda rng: nn.Quantize(minilq.Scaled(minilq.stochastic(rng), granularity="scalar")),
    "BNN": lambda rng: nn.Quantize(minilq.BNN(stochastic=True)),
    "a network": lambda rng: Sequential(nn.Dropout(0.5, rng), nn.Dense(5, 5, rng), nn.Dropout(0.5, rng)),
}


def drawn(layer):
    x = Tensor(X.astype(np.float32), requires_grad=True)
    y = layer(x, training=True)
    (y * 1.0).backward(X.astype(np.float32))
    return np.concatenate([y.numpy().ravel(), x.grad.ravel()])


@pytest.mark.parametrize("name", STOCHASTIC)
@pytest.mark.parametrize("make", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_draws_from_its_own_generator_in_the_same_state(name, make):
    layer = STOCHASTIC[name](np.random.default_rng(0))
    drawn(layer)
    other = make(layer)
    first = [drawn(layer) for _ in range(3)]
    np.testing.assert_array_equal([drawn(other) for _ in range(3)], first)       # and not what came after those


def test_a_trainer_is_copied_with_its_generators():
    one, seen = training(np.random.default_rng(0)), iter(range(2))
    one.run(1, stop=lambda: next(seen, None) is None)
    other = copy.deepcopy(one)
    for trainer in (one, other):
        trainer.run(3)
    for name, array in one.model.state().items():
        np.testing.assert_array_equal(array, other.model.state()[name], err_msg=name)


@pytest.mark.parametrize("kind", ["dropout", "rounding"])
def test_a_training_goes_on_with_the_generators_of_its_layers(kind):
    """They need not be named: a state that leaves them out would go on to other bits without a word."""
    def make(seed):
        rng, one = np.random.default_rng(seed), training(np.random.default_rng(0))
        if kind == "dropout":
            one.model.layers["dropout1"].rng = rng
        else:
            one.model.layers["dropout1"].rate = 0.0
            one.model.sites()["dense2.weight"].change(minilq.Scaled(minilq.stochastic(rng)))
            one.optimizer.follow(one.model.parameters().values())
        return one

    whole = make(1)
    whole.run(3)
    first, seen = make(1), iter(range(2))
    first.run(3, stop=lambda: next(seen, None) is None)
    second = make(2)
    second.load_state(*first.state())
    second.run(3)
    for name, array in whole.model.state().items():
        np.testing.assert_array_equal(array, second.model.state()[name], err_msg=name)
