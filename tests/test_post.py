"""Without training: ranges, factors between layers, biases. Laws, each on a network small enough to see through."""

import copy

import numpy as np
import pytest

from minilq import (
    LSQ,
    Affine,
    AveragePool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePool2D,
    MaxPool2D,
    ReLU,
    Residual,
    Sequential,
    Tensor,
    calibrate,
    quantize,
)
from minilq.errors import ConfigError, ShapeError
from minilq.nn import GroupedConv2D, transformer_block
from minilq.post import (
    absorb_high_biases,
    calibrate_ranges,
    correct_biases,
    correct_biases_by_moments,
    equalize,
    fold_batch_norms,
    migrate,
    migration,
)
from minilq.post.calibration import RULES
from minilq.post.clipped_normal import clipped_mean
from minilq.post.inputs import MOST, inputs_of
from minilq.post.outputs import outputs_of, weighted_layers
from minilq.post.pairs import pairs
from minilq.post.ranges import min_max
from minilq.post.squared_error import squared_error

X = np.random.default_rng(3).standard_normal((200, 6)).astype(np.float32)
IMAGES = np.random.default_rng(4).uniform(0, 1, (20, 8, 8, 2)).astype(np.float32)


def mlp(seed=0):
    rng = np.random.default_rng(seed)
    return Sequential(Dense(6, 8, rng, 0.5), ReLU(), Dense(8, 7, rng, 0.5), ReLU(), Dense(7, 3, rng, 0.5))


def cnn(norm=True, seed=0):
    """conv bn relu pool conv relu bn, a residual, dense: what factors pass, and what they do not."""
    rng = np.random.default_rng(seed)
    body = Sequential(Conv2D(5, 5, 3, rng, std=0.3), ReLU(), Conv2D(5, 5, 3, rng, std=0.3))
    model = Sequential(Conv2D(2, 4, 3, rng, std=0.5), BatchNorm(4), ReLU(), MaxPool2D(2), Conv2D(4, 5, 3, rng, std=0.5),
                       ReLU(), BatchNorm(5), Residual(body), AveragePool2D(2), Flatten(), Dense(20, 6, rng, 0.5),
                       ReLU(), Dense(6, 3, rng, 0.5))
    for layer in model.layers.values():
        if isinstance(layer, BatchNorm):
            layer.gamma.array[...] = rng.uniform(0.5, 2, layer.gamma.size)
            layer.beta.array[...] = rng.standard_normal(layer.beta.size)
            layer.mean[...], layer.variance[...] = rng.standard_normal(layer.mean.size), rng.uniform(0.5, 2, 1)
    return model


def mobile(seed=0):
    """Depthwise and grouped convolutions, between whose neighbours factors pass too."""
    rng = np.random.default_rng(seed)
    return Sequential(Conv2D(2, 6, 3, rng, std=0.5), ReLU(), GroupedConv2D(6, 6, 3, 6, rng, padding="valid", std=0.5),
                      ReLU(), GroupedConv2D(6, 8, 1, 2, rng, padding="valid", std=0.5), ReLU(),
                      AveragePool2D(2), Flatten(), Dense(72, 3, rng, 0.3))


def logits(model, x):
    return model(Tensor(x)).numpy()


def of_weights(method):
    return lambda name: method if name.endswith("weight") else None


def of_inputs(method):
    return lambda name: method if name.endswith("input") else None


# --- calibration ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_no_rule_of_least_error_is_worse_than_all_numbers(bits, symmetric):
    x = np.random.default_rng(0).standard_t(2, (50, 40))
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    widest = squared_error(x, *min_max(x), low, high, symmetric)
    least = squared_error(x, *RULES["mse"](x, low, high, symmetric), low, high, symmetric)
    by_turns = squared_error(x, *RULES["least-squares"](x, low, high, symmetric), low, high, symmetric)
    assert least <= by_turns * (1 + 1e-9)
    assert by_turns <= widest
    assert bits == 8 or least < 0.9 * widest
    for fraction in np.linspace(0.02, 1, 50):    # nor than any other of that form
        assert least <= squared_error(x, fraction * x.min(), fraction * x.max(), low, high, symmetric) * (1 + 1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_gives_a_range_within_the_numbers_and_much_of_it(rule):
    for x in (np.random.default_rng(0).standard_normal((64, 100)), np.random.default_rng(0).exponential(1, (64, 100)),
              np.zeros((3, 4)), np.full((3, 4), 2.0)):
        low, high = RULES[rule](x, -128, 127, False)
        assert min(x.min(), 0) - 1e-9 <= low <= high <= max(x.max(), 0) + 2e-2 * x.std() + 1e-4
        assert high - low >= 0.4 * (x.max() - x.min())


def test_each_input_gets_the_range_of_what_comes_to_it_in_full_precision():
    model, floats = mlp(), mlp()
    quantize(model, lambda name: Affine(3, ranges="data") if name.endswith("input") else None)
    calibrate_ranges(model, X, "min-max")
    for name, x in inputs_of(floats, X, [name for name in floats.sites() if name.endswith("input")]).items():
        held = model.sites()[name].held
        assert (held["low"].item(), held["high"].item()) == (x.min(), x.max())
    by_batches = inputs_of(floats, X, ["dense2.input"])["dense2.input"]
    assert by_batches.shape == (200, 8)
    np.testing.assert_allclose(by_batches, np.maximum(X @ floats.sites()["dense1.weight"].latent.array
                                                      + floats.sites()["dense1.bias"].latent.array, 0), atol=1e-6)


def test_channels_have_ranges_of_their_own_where_the_method_says_so():
    model = quantize(mlp(), of_inputs(Affine(8, ranges="learned", granularity="filter")))
    calibrate(model, X)                          # their shapes are known now
    calibrate_ranges(model, X, "percentile")
    for end, p in (("low", 0.01), ("high", 99.99)):
        found = model.sites()["dense1.input"].held[end].numpy().ravel()
        np.testing.assert_allclose(found, np.percentile(X, p, axis=0), rtol=1e-6)
    weights = quantize(mlp(), of_weights(Affine(3, ranges="data", granularity="filter")))
    before = {name: site.held["low"].copy() for name, site in weights.sites().items() if site.method}
    calibrate_ranges(weights, X, weights="mse")
    for name, low in before.items():
        site = weights.sites()[name]
        error = np.square(site.coded().values - site.latent.array).mean(axis=0)
        site.change(site.method)
        np.testing.assert_array_equal(site.held["low"], low)
        assert (error <= np.square(site.coded().values - site.latent.array).mean(axis=0)).all()
        assert (error < np.square(site.coded().values - site.latent.array).mean(axis=0)).any()


def test_methods_without_a_range_start_from_the_images_and_stay():
    model = quantize(mlp(), lambda name: LSQ(4) if name == "dense1.input" else Affine(4) if "input" in name else None)
    calibrate_ranges(model, X)
    twin = calibrate(quantize(mlp(), lambda name: LSQ(4) if name == "dense1.input" else None), X)
    assert model.sites()["dense1.input"].held["scale"].item() == twin.sites()["dense1.input"].held["scale"].item()
    assert model.sites()["dense2.input"].held == {}
    with pytest.raises(ConfigError, match=r"rule must be one of min-max, .*got 'mean'"):
        calibrate_ranges(model, X, "mean")
    with pytest.raises(ShapeError, match="at least one image"):
        calibrate_ranges(quantize(mlp(), of_inputs(Affine(ranges="data"))), X[:0])


def test_of_large_inputs_some_images_are_kept(monkeypatch):
    monkeypatch.setattr("minilq.post.inputs.MOST", 200)
    model = mlp()
    seen = inputs_of(model, X, ["dense1.input", "dense3.input"])
    np.testing.assert_array_equal(seen["dense1.input"], np.concatenate([X[:100:6], X[100::6]]))
    assert seen["dense3.input"].size <= 300 < MOST
    assert all(site.watch is None for site in model.sites().values())
    with pytest.raises(ConfigError, match=r"inputs are dense1.input, .*got dense1.weight"):
        inputs_of(model, X, ["dense1.weight"])


# --- equalization ---------------------------------------------------------------------------------------------------

def test_pairs_end_where_a_factor_would_not_pass():
    model = cnn()
    assert [(pair.name, pair.next_name) for pair in pairs(model)] == [
        ("conv2d1", "conv2d2"), ("dense1", "dense2"), ("residual1.body.conv2d1", "residual1.body.conv2d2")]
    assert [pair.next_name for pair in pairs(mobile())] == ["groupedconv2d1", "groupedconv2d2", "dense1"]
    tied = Dense(3, 3, np.random.default_rng(0))
    assert pairs(Sequential(tied, ReLU(), tied, ReLU(), Dense(3, 2, np.random.default_rng(1)))) == []
    with pytest.raises(ConfigError, match=r"full precision; got a method at dense1.weight"):
        pairs(quantize(mlp(), of_weights(Affine())))


@pytest.mark.parametrize("ranges", ["largest", "width"])
@pytest.mark.parametrize(("make", "x"), [(mlp, X), (cnn, IMAGES), (mobile, IMAGES)])
def test_equalization_leaves_the_function_and_makes_ranges_equal(make, x, ranges):
    model = make()
    scramble(model)
    before = logits(model, x)
    equalize(model, ranges=ranges)
    np.testing.assert_allclose(logits(model, x), before, rtol=1e-4, atol=1e-5 * np.abs(before).max())
    for pair in pairs(model):
        r1, r2 = (np.abs(w).max(axis=1) if ranges == "largest" else np.ptp(w, axis=1)
                  for w in (pair.outgoing(), pair.incoming()))
        np.testing.assert_allclose(r1, r2, rtol=1e-5)


def scramble(model, decades=1.5):
    """Channels times 10^U, the function being the same."""
    from minilq.post.pairs import divide_channels

    rng = np.random.default_rng(9)
    for pair in pairs(model):
        divide_channels(pair, 10 ** rng.uniform(-decades, decades, pair.channels))


def test_equalization_undoes_whatever_factors_were_there():
    straight, crooked = equalized(mlp()), mlp()
    scramble(crooked)
    coarse = copy.deepcopy(crooked)
    equalized(crooked)
    wanted = logits(mlp(), X)
    errors = []
    for model in (straight, crooked, coarse):
        quantize(model, of_weights(Affine(8, symmetric=True)))
        errors.append(np.abs(logits(model, X) - wanted).max())
    assert errors[1] == pytest.approx(errors[0], rel=0.05)
    assert errors[2] > 10 * errors[1]


def equalized(model):
    equalize(model)
    return model


def test_dead_channels_stay_and_moments_go_along():
    model = cnn()
    moments = fold_batch_norms(model)
    model.sites()["conv2d1.weight"].latent.array[..., 2] = 0
    before = {name: moment for name, moment in moments.items()}
    s = equalize(model, moments)["conv2d1"]
    assert s[2] == 1
    assert np.ptp(s) > 0.1
    np.testing.assert_array_equal(moments["conv2d1"].std, before["conv2d1"].std / s)
    with pytest.raises(ConfigError, match="largest, width"):
        equalize(model, ranges="mean")


# --- folding, biases ------------------------------------------------------------------------------------------------

def test_folded_networks_compute_the_same_and_keep_their_layers():
    model = cnn()
    before, names = logits(model, IMAGES), list(model.tensors())
    moments = fold_batch_norms(model)
    np.testing.assert_allclose(logits(model, IMAGES), before, rtol=1e-4, atol=1e-5)
    assert list(model.tensors()) == names
    assert list(moments) == ["conv2d1"]          # the other one follows a relu
    assert model.layers["batchnorm2"].gamma.numpy().std() > 0
    fold_batch_norms(model)
    np.testing.assert_allclose(logits(model, IMAGES), before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [mlp, cnn, mobile])
def test_what_images_never_cut_off_is_absorbed_without_a_change(make):
    model, x = make(), X if make is mlp else IMAGES
    if make is cnn:
        fold_batch_norms(model)
    for name, site in model.sites().items():
        if name.endswith("bias"):
            site.latent.array[...] += 2
    before = logits(model, x)
    ranges = {name: np.ptp(seen) for name, seen in inputs_of(model, x, sites(model)).items()}
    absorbed = absorb_high_biases(model, x)
    wanted = {"mlp": {"dense1", "dense2"}, "cnn": {"dense1", "conv2d2"},
              "mobile": {"conv2d1", "groupedconv2d1", "groupedconv2d2"}}[make.__name__]
    assert len(absorbed) >= 1
    assert set(absorbed) <= wanted
    np.testing.assert_allclose(logits(model, x), before, rtol=1e-4, atol=1e-4)
    after = {name: np.ptp(seen) for name, seen in inputs_of(model, x, sites(model)).items()}
    assert all(after[name] <= ranges[name] * 1.001 for name in ranges)
    assert absorb_high_biases(model, x) == {} or all(c.max() < 1e-4 for c in absorb_high_biases(model, x).values())


def sites(model):
    return [name for name in model.sites() if name.endswith("input")]


def test_by_moments_biases_go_down_to_three_deviations():
    rng = np.random.default_rng(0)
    model = Sequential(Dense(6, 8, rng), BatchNorm(8), ReLU(), Dense(8, 3, rng))
    model.layers["batchnorm1"].beta.array[...] = np.linspace(0, 7, 8)
    moments = fold_batch_norms(model)
    c = absorb_high_biases(model, moments=moments)["dense1"]
    np.testing.assert_allclose(c, np.maximum(np.linspace(0, 7, 8) - 3, 0))
    assert moments["dense1"].mean.max() == pytest.approx(3)
    with pytest.raises(ConfigError, match="images or moments must be given; got neither"):
        absorb_high_biases(model)


def means(model, x):
    found = {}
    outputs_of("test", model, x, {name: lambda y, name=name: found.setdefault(name, []).append(y)
                                  for name in weighted_layers(model)})
    return {name: np.concatenate(parts).reshape(-1, parts[0].shape[-1]).mean(axis=0, dtype=np.float64)
            for name, parts in found.items()}


@pytest.mark.parametrize(("make", "x"), [(mlp, X), (cnn, IMAGES), (mobile, IMAGES)])
def test_corrected_means_are_those_of_the_float_network(make, x):
    model, wanted = make(), means(make(), x)
    quantize(model, lambda name: None if name.endswith("bias") else Affine(3, ranges="data"))
    calibrate(model, x)
    apart = {name: np.abs(mean - wanted[name]).max() for name, mean in means(model, x).items()}
    correct_biases(model, x)
    for name, mean in means(model, x).items():
        assert apart[name] > 1e-3
        np.testing.assert_allclose(mean, wanted[name], atol=1e-5)


@pytest.mark.parametrize(("low", "high"), [(0, np.inf), (0, 6), (-np.inf, 1), (-1, 0.5)])
def test_the_mean_of_a_clipped_gaussian(low, high):
    rng = np.random.default_rng(0)
    mean, std = rng.uniform(-3, 8, 20), rng.uniform(0.1, 3, 20)
    u = (np.arange(20001) + 0.5) / 20001         # by quantiles
    from statistics import NormalDist

    z = np.array([NormalDist().inv_cdf(p) for p in u])
    expected = np.clip(mean[:, None] + std[:, None] * z, low, high).mean(axis=1)
    np.testing.assert_allclose(clipped_mean(mean, std, low, high), expected, atol=2e-4)
    np.testing.assert_array_equal(clipped_mean(mean, 0 * std, low, high), np.clip(mean, low, high))


def test_moments_correct_as_data_do_where_they_are_right():
    """Gaussian pre-activations with the statistics that the batch normalisation says: both corrections agree."""
    rng = np.random.default_rng(0)
    model = Sequential(Dense(6, 8, rng, 0.5), BatchNorm(8), ReLU(), Dense(8, 3, rng, 0.5))
    x, norm = rng.standard_normal((20000, 6)).astype(np.float32), model.layers["batchnorm1"]
    z = model.layers["dense1"](Tensor(x)).numpy()
    norm.mean[...], norm.variance[...] = z.mean(axis=0), z.var(axis=0) - norm.eps
    norm.beta.array[...], norm.gamma.array[...] = rng.standard_normal(8), rng.uniform(0.5, 2, 8)
    moments = fold_batch_norms(model)
    floats = copy.deepcopy(model)
    quantize(model, lambda name: Affine(3) if name == "dense2.weight" else None)
    by_data = correct_biases(copy.deepcopy(model), x)
    before = model.sites()["dense2.bias"].latent.array.copy()
    assert correct_biases_by_moments(model, floats, moments) == ["dense2"]
    moved, wanted = (m.sites()["dense2.bias"].latent.array - before for m in (model, by_data))
    assert np.abs(wanted).max() > 0.02
    np.testing.assert_allclose(moved, wanted, atol=0.1 * np.abs(wanted).max())


# --- outliers -------------------------------------------------------------------------------------------------------

def block(seed=0):
    """A transformer's block on tokens of 12 numbers, of which two are twenty times as large behind the norms."""
    rng = np.random.default_rng(seed)
    model = Sequential(transformer_block(12, 2, 24, rng, std=0.3), GlobalAveragePool2D(), Dense(12, 3, rng, 0.5))
    for name, parameter in model.parameters().items():
        if name.endswith("gamma"):
            parameter.array[[2, 7]] *= 20
    return model


TOKENS = np.random.default_rng(5).standard_normal((30, 2, 3, 12)).astype(np.float32)


def test_outliers_move_into_weights_and_the_function_stays():
    model, wanted = block(), logits(block(), TOKENS)
    s = migrate(model, TOKENS)
    assert list(s) == ["sequential1.residual1.body.layernorm1", "sequential1.residual2.body.layernorm1"]
    assert all(one[[2, 7]].min() > 2 * np.delete(one, [2, 7]).max() for one in s.values())
    np.testing.assert_allclose(logits(model, TOKENS), wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())
    seen = inputs_of(model, TOKENS, ["sequential1.residual2.body.dense1.input"])
    largest = np.abs(next(iter(seen.values()))).reshape(-1, 12).max(axis=0)
    w = model.sites()["sequential1.residual2.body.dense1.weight"].latent.array
    np.testing.assert_allclose(largest, np.abs(w).max(axis=1), rtol=1e-4)                # alpha = 1/2


def test_after_migration_few_bits_lose_less_and_rows_of_their_own_less_still():
    wanted, errors = logits(block(), TOKENS), {}
    of_tokens = ("dense1.input", "dense2.input", "project.input", "output.input")
    for moved in (False, True):
        for granularity in ("scalar", (0, 1, 2)):
            model = block()
            if moved:
                migrate(model, TOKENS)
            inputs, weights = Affine(6, granularity=granularity), Affine(8, symmetric=True)
            quantize(model, lambda name, i=inputs, w=weights: i if name.startswith("seq") and name.endswith(of_tokens)
                     else w if name.endswith("weight") else None)
            errors[moved, granularity] = np.square(logits(model, TOKENS) - wanted).mean()
    assert errors[True, "scalar"] < 0.5 * errors[False, "scalar"]
    assert errors[True, (0, 1, 2)] < errors[True, "scalar"]
    assert errors[False, (0, 1, 2)] < errors[False, "scalar"]


def test_migration_behind_batch_normalisation_and_where_nothing_is_moved():
    rng = np.random.default_rng(0)
    model = Sequential(Conv2D(2, 4, 3, rng), ReLU(), BatchNorm(4), Conv2D(4, 3, 3, rng), Flatten(), Dense(192, 2, rng))
    wanted = logits(model, IMAGES)
    assert list(migrate(model, IMAGES, alpha=0.7)) == ["batchnorm1"]
    np.testing.assert_allclose(logits(model, IMAGES), wanted, rtol=1e-3, atol=1e-6)
    assert migrate(mlp(), X) == {}
    assert migration(np.array([0.0, 3.0]), np.array([2.0, 0.0])).tolist() == [1, 1]
    with pytest.raises(ConfigError, match=r"alpha must be a number in 0\.\.1"):
        migrate(model, IMAGES, 2)
