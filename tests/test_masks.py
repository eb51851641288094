"""The two masks of a bounded quantizer: the same codes, and gradients that differ just outside the bounds."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minilq
from minilq import Scaled, Tensor, chain_rule, codes_of, fake_quantize
from minilq.autodiff.primitive import PRIMITIVES
from minilq.quantize.methods.scaled import MASKS, fake_quantize_vjp
from tests.strategies import parameters_in_cells, seeds
from tests.test_surrogates import bounds, gradients, roundings

pytestmark = pytest.mark.usefixtures("both_backends")

V = np.array([-2.6, -2.5, -2.4, -2.0, 0.3, 1.0, 1.4, 1.5, 1.9, 2.0])     # P / s between and around the bounds -2 and 1


@pytest.mark.parametrize(("rounding", "mask", "passes"), [
    ("nearest", "clip_first", [0, 0, 0, 1, 1, 1, 0, 0, 0, 0]),
    ("nearest", "round_first", [0, 1, 1, 1, 1, 1, 1, 0, 0, 0]),          # halves go to the even neighbour, -2 and 2
    ("floor", "clip_first", [0, 0, 0, 1, 1, 1, 0, 0, 0, 0]),
    ("floor", "round_first", [0, 0, 0, 1, 1, 1, 1, 1, 1, 0]),            # a whole step, on the upper side only
    ("ceil", "round_first", [1, 1, 1, 1, 1, 1, 0, 0, 0, 0]),
])
def test_what_each_mask_lets_pass(rounding, mask, passes):
    q = Scaled(rounding, "straight_through", (0,), chain_rule(), -2, 1, mask)
    y, dP, ds = gradients(V, np.ones(10), q, np.ones(10))                # a scale for each entry shows each term of ds
    assert dP.tolist() == passes
    np.testing.assert_array_equal(ds, np.where(passes, y - V, y))


@given(case=parameters_in_cells(), rounding=st.sampled_from(["floor", "nearest", "ceil", "trunc", "stochastic"]),
       bound=bounds, seed=seeds)
def test_both_masks_give_the_same_codes(case, rounding, bound, seed):
    P, s, granularity = case
    g = np.random.default_rng(seed).standard_normal(P.shape)
    results = {}
    for mask in MASKS:
        # the same generator for each call: one draw decides both the code and whether it is in range
        make = lambda m=mask: Scaled(  # noqa: E731
            minilq.stochastic(np.random.default_rng(seed)) if rounding == "stochastic" else rounding,
            granularity=granularity, scale_rule=chain_rule(), qmin=bound[0], qmax=bound[1], mask=m)
        results[mask] = (gradients(P, s, make(), g), codes_of(P, s, make()))
    np.testing.assert_array_equal(results["clip_first"][0][0], results["round_first"][0][0])
    np.testing.assert_array_equal(results["clip_first"][1], results["round_first"][1])
    if bound == (None, None):                     # nothing is out of range, so not even gradients differ
        for a, b in zip(results["clip_first"][0], results["round_first"][0], strict=True):
            np.testing.assert_array_equal(a, b)


def test_sign_with_bounds_that_leave_out_one_of_its_codes_is_what_the_docstring_excepts():
    P, s = np.array([-0.5, 0.5]), np.ones(1)
    codes = {mask: codes_of(P, s, Scaled("sign", granularity="scalar", qmin=0, mask=mask)).tolist()
             for mask in MASKS}
    assert codes == {"clip_first": [1, 1], "round_first": [0, 1]}


@given(case=parameters_in_cells(), rounding=roundings, seed=seeds)
def test_masks_of_other_surrogates(case, rounding, seed):
    """clipped has a clip of its own, which is that of clip_first; where the slope is 0 no mask matters."""
    P, s, granularity = case
    g = np.random.default_rng(seed).standard_normal(P.shape)

    def quantizer(surrogate, mask):
        return Scaled(rounding, surrogate, granularity, chain_rule(), -4, 3, mask)

    for one, other in ((("clipped", "round_first"), ("straight_through", "clip_first")),
                       (("zero", "round_first"), ("zero", "clip_first"))):
        for a, b in zip(gradients(P, s, quantizer(*one), g), gradients(P, s, quantizer(*other), g), strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_mask_of_a_stochastic_rounding_is_that_of_its_one_draw():
    rng = np.random.default_rng(5)
    P, s = np.full(4000, 3.3), np.ones(1)                                # 3 or 4, of which 3 is in range
    drawn = minilq.stochastic(np.random.default_rng(5))(P)
    q = Scaled(minilq.stochastic(rng), granularity="scalar", scale_rule=chain_rule(), qmax=3, mask="round_first")
    tensor = Tensor(P, requires_grad=True)
    y = fake_quantize(tensor, s, q)
    state = rng.bit_generator.state
    y.backward(np.ones(4000))
    assert rng.bit_generator.state == state                              # the backward pass draws nothing
    np.testing.assert_array_equal(tensor.grad, drawn == 3)
    assert abs(tensor.grad.mean() - 0.7) < np.sqrt(np.log(2 / 1e-9) / (2 * 4000))
    np.testing.assert_array_equal(y.numpy(), 3)


@pytest.mark.parametrize("mask", MASKS)
def test_the_replay_check_tells_the_masks_apart(mask, monkeypatch):
    """The gradient of the other mask is found to be wrong, for P and for s."""
    q = Scaled("nearest", "straight_through", "scalar", chain_rule(), -4, 3, mask)
    P, s = np.array([1.62, -2.16, 0.3]), np.array([0.5])                 # v = 3.24 and -4.32: half a step outside
    other = Scaled("nearest", "straight_through", "scalar", chain_rule(), -4, 3, *set(MASKS) - {mask})

    def of_the_other(g, y, P, s, q, residual=None):
        return fake_quantize_vjp(g, y, P, s, other, np.rint(P / s) if mask == "clip_first" else None)

    run = lambda f, *args: minilq.replay_check(f, *args, raises=False)  # noqa: E731
    assert run(lambda P, s: fake_quantize(P, s, q), P, s)
    monkeypatch.setattr(PRIMITIVES["fake_quantize"], "vjp", of_the_other)
    assert not run(lambda P: fake_quantize(P, s, q), P)
    assert not run(lambda s: fake_quantize(P, s, q), s)
