"""Every case of the zoo's methods of few levels: published quantizers as other people's programs compute them.

A test takes the cases whose names begin with its words; what it leaves unread must stand in NOT_COVERED, with a reason.
"""

import numpy as np
import pytest

from minilq import SGD, Tensor
from minilq.autodiff.parameter import Parameter
from minilq.nn import Site
from minilq.quantize.methods import BWN, BinaryConnect
from minilq.quantize.methods.binary_connect import binary_connect, glorot
from minilq.quantize.methods.bwn import Centred, scale_and_signs
from tests import zoo
from tests.zoo import near

CASES = zoo.read("zoo-few.npz")

# The words that a case begins with -> fields that are not compared, and why.
NOT_COVERED = {}
WORDS = {"1": ["det", "stoch", "update"], "15": ["weight", "center-clamp", "qkeras"]}


def of(card, *words):
    """Run a test for each case of a card that begins with one of these words."""
    cases = [(of, name) for of, name in CASES if of == card and name.startswith(words)]
    return pytest.mark.parametrize("case", cases, ids="-".join, indirect=True)


@pytest.fixture
def case(request):
    kept = CASES[request.param]
    case = zoo.Case(kept.name, kept.fields)
    yield case
    card, name = request.param
    excused = [fields for (of, word), fields in NOT_COVERED.items() if of == card and name.startswith(word)]
    assert case.unread == (excused[0] if excused else set())


def gradients_of(y, g, *tensors):
    y.backward(g)
    return [tensor.grad for tensor in tensors]


def both(method, x, held, g):
    """What a method makes of x, whose codes say the same, and the gradient of x."""
    x_ = Tensor(x, requires_grad=True)
    y = method(x_, held)
    np.testing.assert_array_equal(method.coded(x, held).values, y.numpy())
    return y.numpy(), gradients_of(y, g, x_)[0]


# --- 1, BinaryConnect -----------------------------------------------------------------------------------------------

@of("1", "det")
def test_binary_connect(case):
    w, g = case["in.w"], case["in.g"]
    y, dw = both(BinaryConnect(case.number("par.H")), w, {}, g)
    near("forward", y, case["out.w@sgn_plus"])
    np.testing.assert_array_equal(dw, case["grad.w"])
    rounds_up = (w < 0) & (y != case["out.w"])   # the code rounds a hard sigmoid, to 1/2 next to 0
    assert (np.abs(w[rounds_up]) < 6.1e-8 * case.number("par.H")).all()
    near("forward", np.where(rounds_up, -y, y), case["out.w"])
    if "out.w@half_even" in case:                # of a later Theano, where 0 is negative
        near("forward", np.where(w == 0, -y, np.where(rounds_up, case["out.w@half_even"], y)), case["out.w@half_even"])


@of("1", "stoch")
def test_binary_connect_at_random(case):
    w, H, u = case["in.w"], case.number("par.H"), case["in.u"]
    w_ = Tensor(w, requires_grad=True)
    y = binary_connect(w_, H, u)
    near("forward", y.numpy(), case["out.w"])
    np.testing.assert_array_equal(gradients_of(y, case["in.g"], w_)[0], case["grad.w"])
    share = np.mean([binary_connect(w, H, np.full(w.shape, (i + 0.5) / 1000)) > 0 for i in range(1000)], axis=0)
    np.testing.assert_allclose(share, case["out.probability_of_plus"], atol=5.1e-4)


@of("1", "update")
def test_binary_connect_steps(case):
    old, new, H, c = case["in.w_old"], case["in.w_new"], case.number("par.H"), case.number("par.c")
    assert glorot(old.shape) ** -2 == pytest.approx((case.number("par.fan_in") + case.number("par.fan_out")) / 1.5)
    for rate, result in (("glorot", "out.w"), ("plain", "out.w@c1")):
        site = Site(Parameter(old))
        site.change(BinaryConnect(H, rate=rate))
        assert site.latent.lr == pytest.approx(c if rate == "glorot" else 1)
        site.latent.grad = old - new
        SGD([site.latent], lr=1.0).step()
        near("forward", site.latent.numpy(), case[result])


# --- 15, BWN and XNOR -----------------------------------------------------------------------------------------------

@of("15", "weight")
def test_bwn(case):
    w, g = case["in.w"], case["in.g"]
    for gradient in ("paper", "exact", "stopped", "code"):
        method = BWN(gradient=gradient)
        y, dw = both(method, w, {}, g)
        near("forward", y, case["out.w"])
        if gradient == "exact":
            near("one element", dw, case["grad.w@exact"])
        elif gradient == "code":
            near("elementwise", dw, case["grad.w@torch_code_adam"])
            n = w.dtype.type(w.size // w.shape[-1])
            near("elementwise", dw * n, case["grad.w@torch_code_sgd"])
        else:
            near("elementwise", dw, case[f"grad.w@{gradient}"])
    near("forward", scale_and_signs(w, "filter")[0], case["out.alpha"])
    near("forward", np.where(w == 0, 0, y), case["out.w@raw_sign"])


@of("15", "center-clamp")
def test_bwn_centres_and_clamps(case):
    site = Site(Parameter(case["in.w"]))
    site.change(BWN(centre=True))
    near("forward", site.latent.numpy(), case["out.w"])
    far = Centred(-100, 100)
    w = case["in.w"].copy()
    far(w)
    near("forward", w, case["out.w@centered"])


@of("15", "qkeras")
def test_qkeras_has_the_same_scale(case):
    """Its gradient is 1 everywhere, as that of BinaryConnect."""
    near("forward", BWN()(Tensor(case["in.w"]), {}).numpy(), case["out.w"])
    np.testing.assert_array_equal(both(BinaryConnect(), case["in.w"], {}, case["in.g"])[1], case["grad.w"])
