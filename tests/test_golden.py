"""The reference vectors of the thesis' original code (golden/README.md says what they are)."""

import json
from pathlib import Path

import numpy as np
import pytest

import minilq
from minilq import Parameter, Scaled, Sequential, Tensor, Within, codes_of, fake_quantize, quantize, threshold
from minilq.nn import Dense, Flatten, ReLU
from minilq.optim import SGD, Adam
from tests.networks import everywhere, latents, scales

GOLDEN = Path(__file__).parent / "golden"
VECTORS = dict(np.load(GOLDEN / "reference.npz"))
GRANULARITY = {"rowwise": "row", "columnwise": "column", "scalar": "scalar"}
NESTED = sorted({tuple(k.split("/")[1:4]) for k in VECTORS if k.startswith("nested/")})
LAMBDAS = ("0", "1e-11", "1e-10", "1e-08", "0.01", "1")



def nested_inputs(name, granularity, scale):
    s = VECTORS[f"in/{name}/{granularity}/{scale}/s"]
    P = VECTORS.get(f"in/{name}/{granularity}/{scale}/P", VECTORS.get(f"in/{name}/P"))
    return P, s, VECTORS[f"in/{name}/dy"]


@pytest.mark.usefixtures("both_backends")
@pytest.mark.parametrize("case", NESTED, ids="/".join)
def test_nested_layer(case):
    name, granularity, scale = case
    P, s, dy = nested_inputs(*case)
    want = {k: VECTORS[f"nested/{name}/{granularity}/{scale}/{k}"] for k in ("fwd", "q")}
    for lam in LAMBDAS:
        quantizer = Scaled(granularity=GRANULARITY[granularity], scale_rule=threshold(float(lam)))
        P_, s_ = Tensor(P, requires_grad=True), Tensor(s, requires_grad=True)
        y = fake_quantize(P_, s_, quantizer)
        assert y.numpy().tobytes() == want["fwd"].tobytes()
        np.testing.assert_array_equal(codes_of(P, s, quantizer), want["q"])
        y.backward(dy)
        assert P_.grad.tobytes() == dy.tobytes()
        assert s_.grad.shape == s.shape
        np.testing.assert_allclose(s_.grad, VECTORS[f"nested/{name}/{granularity}/{scale}/lam={lam}/ds"], rtol=2e-6)


def test_every_nested_vector_is_used():
    used = {f"nested/{'/'.join(case)}/{k}" for case in NESTED
            for k in ("fwd", "q", *(f"lam={lam}/ds" for lam in LAMBDAS))}
    assert used == {k for k in VECTORS if k.startswith("nested/")}


@pytest.mark.usefixtures("both_backends")
@pytest.mark.parametrize("settings", json.loads((GOLDEN / "adam.json").read_text())["adam"], ids=lambda c: c["case"])
def test_adam_in_the_keras_form(settings):
    want = {k: VECTORS[f"adam/{settings['case']}/{k}"] for k in ("x0", "g", "x", "m", "v")}
    x = Parameter(want["x0"], Within(settings["min"]))
    adam = Adam([x], lr=settings["lr"], beta1=settings["b1"], beta2=settings["b2"],
                epsilon=settings["eps"])
    for step in range(5):
        x.grad = want["g"][step]
        adam.step()
        np.testing.assert_allclose(x.numpy(), want["x"][step], rtol=1e-4)
        np.testing.assert_allclose(adam.state()["0/m"], want["m"][step], rtol=1e-4, atol=1e-38)
        np.testing.assert_allclose(adam.state()["0/v"], want["v"][step], rtol=1e-4, atol=1e-38)


def small_network(method):
    """The network 20 - 8 relu - 4 with the vectors' initial values, and what the vectors call its parameters."""
    rng = np.random.default_rng(0)
    names = {"W1": "dense1.weight", "b1": "dense1.bias", "W2": "dense2.weight", "b2": "dense2.bias"}
    model = Sequential(Flatten(), Dense(20, 8, rng), ReLU(), Dense(8, 4, rng))
    model.load_state({f"{long}.latent": VECTORS[f"mlp_small/init/{short}"] for short, long in names.items()})
    return quantize(model, everywhere(method)), names


@pytest.mark.usefixtures("both_backends")
@pytest.mark.parametrize("lam", ["0", "0.01", "1e-10"])
def test_five_steps_of_a_whole_network(lam):
    q = Scaled(granularity="row", scale_rule=threshold(float(lam)))
    model, names = small_network(q)
    tensors = {**{s: latents(model)[n] for s, n in names.items()},
               **{f"s{s}": scales(model)[n] for s, n in names.items()}}
    adam = Adam(model.parameters().values(), lr=1e-4)
    for step in range(1, 6):
        want = {k: VECTORS[f"mlp_small/nested/rowwise/lam={lam}/step{step}/{k}"]
                for k in ("loss", *(f"grad_{t}" for t in tensors), *tensors)}
        adam.zero_grad()
        loss = minilq.softmax_cross_entropy(model(VECTORS["mlp_small/X"][step - 1]), VECTORS["mlp_small/Y"][step - 1])
        loss.backward()
        np.testing.assert_allclose(loss.item(), want["loss"], atol=3e-5)
        for name, tensor in tensors.items():
            np.testing.assert_allclose(tensor.grad, want[f"grad_{name}"], atol=3e-5, rtol=1e-3, err_msg=name)
        adam.step()
        for name, tensor in tensors.items():
            np.testing.assert_allclose(tensor.numpy(), want[name], atol=3e-5, err_msg=name)


def test_scales_of_float64_and_sgd_reach_the_same_place_as_their_formula():
    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    sgd = SGD([x], lr=0.5, momentum=0.5)
    for _ in range(2):
        x.grad = np.array([1.0, -1.0])
        sgd.step()
    np.testing.assert_allclose(x.numpy(), [1 - 0.5 - 0.75, 2 + 0.5 + 0.75])
