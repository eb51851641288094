"""The sensitivity of sites: the trace of the Hessian, allocations, and the command that tells them."""

import itertools

import numpy as np
import pytest

from minilq import Parameter, Tensor, cli, sum_of_squares
from minilq.coding.sizes import entropy_coded
from minilq.data import load
from minilq.errors import ConfigError, DataError, NonFiniteError, ShapeError
from minilq.experiments.build import built, inputs_for, quantized_sites
from minilq.experiments.config import RunConfig
from minilq.experiments.float_at import float_at
from minilq.experiments.rounded import nearest
from minilq.experiments.sensitivity import BITS, MEASURES, Rungs, allocate, sensitivity
from minilq.files import write_text
from minilq.ops import matmul, softmax_cross_entropy, tanh
from minilq.post.hessian import gradient_at, hessian_trace
from minilq.report.sensitivity import told
from minilq.train.checkpoint import save_checkpoint
from tests.sweep_folder import config_of, point_of, write_sweep

RNG = np.random.default_rng(5)
X = RNG.standard_normal((40, 4))


@pytest.fixture
def smooth():
    """A layer without kinks in float64: a loss as a function of nothing, and its weight."""
    weight = Parameter(0.3 * np.random.default_rng(1).standard_normal((4, 3)))
    return lambda: sum_of_squares(tanh(matmul(Tensor(X), weight))), weight


def test_the_trace_is_that_of_the_hessian_within_its_error(smooth):
    loss_of, P = smooth
    start, h, exact = P.array.copy(), 1e-5, 0.0
    for i in np.ndindex(P.shape):
        ends = []
        for sign in (1, -1):
            moved = start.copy()
            moved[i] += sign * h
            ends.append(gradient_at(loss_of, P, moved)[i])
        exact += (ends[0] - ends[1]) / (2 * h)
    P.array[...] = start
    P.changed_in_place()
    one, two = (hessian_trace(loss_of, P, np.random.default_rng(seed), 60, 1e-4) for seed in (0, 1))
    for trace in (one, two):
        assert abs(trace.mean - exact) < 4 * trace.error
        assert 0 < trace.error < 0.1 * exact
    assert one.mean != two.mean
    assert one == hessian_trace(loss_of, P, np.random.default_rng(0), 60, 1e-4)
    np.testing.assert_array_equal(P.array, start)
    assert P.grad is None


def test_no_gradient_is_touched():
    P, Q = (Parameter(np.array([1.0, 2.0])) for _ in range(2))
    P.grad, Q.grad = np.full(2, 5.0), np.full(2, 7.0)
    hessian_trace(lambda: sum_of_squares(P) + sum_of_squares(Q), P, np.random.default_rng(0), samples=2)
    assert P.grad.tolist() == [5.0, 5.0]
    assert Q.grad.tolist() == [7.0, 7.0]


def test_what_is_no_loss_is_refused_and_the_parameter_is_as_it_was():
    P = Parameter(np.array([1.0, 2.0]))
    for loss_of, kind in ((lambda: P * 2.0, ShapeError), (lambda: sum_of_squares(P) * np.inf, NonFiniteError)):
        with pytest.raises(kind):
            hessian_trace(loss_of, P, np.random.default_rng(0))
        assert P.array.tolist() == [1.0, 2.0]
    with pytest.raises(ConfigError, match="samples must be a whole number"):
        hessian_trace(lambda: sum_of_squares(P), P, np.random.default_rng(0), samples=1)


@pytest.mark.parametrize("budget", range(6, 28))
def test_an_allocation_is_as_good_as_the_best_of_a_rung_fewer_bytes_and_nothing_is_left_over(budget):
    growth = {"a": [9.0, 4.0, 1.0, 0.0], "b": [30.0, 12.0, 3.0, 0.5], "c": [2.0, 1.0, 0.4, 0.1]}
    sizes = {"a": [1, 2, 3, 4], "b": [4, 8, 12, 16], "c": [1, 3, 5, 7]}

    def total(ladders, rungs):
        return sum(ladders[name][rung] for name, rung in zip(ladders, rungs, strict=True))

    own = allocate(growth, sizes, budget).values()
    assert total(sizes, own) <= budget
    fitting = [rungs for rungs in itertools.product(range(4), repeat=3) if total(sizes, rungs) <= budget]
    assert total(growth, own) <= min(total(growth, r) for r in fitting if total(sizes, r) <= max(budget - 4, 6)) + 1e-12
    for rungs in fitting:                        # nothing that is left would pay for a finer rung alone
        if sum(r != o for r, o in zip(rungs, own, strict=True)) == 1:
            assert total(growth, rungs) >= total(growth, own)


def test_a_budget_below_the_coarsest_rungs_is_refused():
    with pytest.raises(ConfigError, match="must hold the coarsest rungs"):
        allocate({"a": [1.0, 0.0]}, {"a": [5, 6]}, 4)


@pytest.fixture(scope="module")
def found():
    config = RunConfig(data="digits", input="unit", limit=100)
    model, _ = built(config)
    data = load("digits").head(100)
    return config, model, data, sensitivity(model, data, config, Rungs(bits=3), images=60, samples=2)


def test_a_site_is_rounded_alone(found):
    config, model, data, told_of = found
    x, labels = Tensor(inputs_for(config)(data.train_images[:60])), data.train_labels[:60]
    for name, site in told_of.sites.items():
        other, _ = built(config)
        latent = other.sites()[name].latent
        coded = nearest({name: latent.array}, "scalar", 3.0)
        latent.array[...] = coded[name].values
        logits = other(x)
        assert site.growth["measured"] == pytest.approx(
            softmax_cross_entropy(logits, labels).item() - told_of.float_loss[0], abs=1e-6)
        assert site.accuracy == np.mean(logits.numpy().argmax(axis=1) == labels)
        assert site.bytes == entropy_coded(coded)
        assert site.numbers == latent.size
        delta = np.sum(np.square(coded[name].values - model.sites()[name].latent.array, dtype=np.float64))
        assert site.growth["hessian"] == pytest.approx(site.trace.mean * delta / latent.size / 2)
        assert site.growth["gradient"] > abs(site.growth["measured"]) * 0.5 or name.endswith("bias")


def test_allocations_take_no_more_bytes_than_all_alike(found):
    config, model, data, told_of = found
    assert list(told_of.allocations) == ["uniform", *MEASURES]
    uniform = told_of.allocations["uniform"]
    assert set(uniform.rungs.values()) == {BITS.index(3)}
    assert set(uniform.rungs) == set(quantized_sites(config, model))
    for one in told_of.allocations.values():
        coded = {name: told_of.rungs.coded(model.sites()[name].latent.array, rung) for name, rung in one.rungs.items()}
        assert one.bytes == entropy_coded(coded)
        assert one.bytes <= sum(site.bytes for site in told_of.sites.values())
    assert max(map(len, told(told_of).splitlines())) <= 80
    small = sensitivity(model, data, config, Rungs(step=0.1), 20, 2, budget=9_000)
    assert all(one.bytes <= 9_000 for one in small.allocations.values())
    assert "step 0.1" in told(small)
    with pytest.raises(ConfigError, match=r"must hold 2 bits for every site; got 0.1 kB"):
        sensitivity(model, data, config, Rungs(bits=3), 20, 2, budget=100)


def test_steps_are_halved_four_times_as_often_as_bits_are_counted():
    P = np.array([2.0, -1.0], np.float32)
    bits, steps = Rungs(bits=4), Rungs(step=0.5)
    assert bits.label(bits.asked) == "4 bits"
    assert bits.step_of(P, bits.asked) == pytest.approx(2 / 7)
    assert steps.label(steps.asked) == "0.5"
    assert steps.step_of(P, steps.asked + 4) == 0.25
    assert np.abs(bits.coded(P, bits.asked).codes).max() == 7


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run whose float network is as it was drawn."""
    folder = tmp_path_factory.mktemp("run")
    config = RunConfig(data="digits", limit=80)
    write_text(folder / "config.json", config.to_json())
    _save(folder, config)
    return folder


def _save(folder, config):
    save_checkpoint(folder / "float.npz", {f"model/{name}": a for name, a in built(config)[0].state().items()}, {})


def test_the_command_prints_both_tables_and_draws(run_folder, capsys):
    command = ["sensitivity", str(run_folder), "--images", "30", "--samples", "2", "--bits", "2.5"]
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    assert "2.5 bits, all others float, on 30 training" in out
    assert "rounded alone" in out
    assert "all rounded" in out
    assert (run_folder / "figures" / "sensitivity.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(("arguments", "said"), [
    (["--bits", "3", "--step", "0.1"], "--bits or --step must be given; got both"),
    (["--bits", "9"], "--bits must be 2 to 8, by quarters; got 9"),
    (["--step", "0"], r"--step must be a number > 0; got 0"),
    (["--kilobytes", "nan"], r"--kilobytes must be a number > 0; got nan"),
    (["--samples", "1"], "--samples must be a whole number, at least 2; got 1"),
    (["--images", "0"], "--images must be a whole number, at least 1; got 0")])
def test_wrong_options_are_told_in_a_line(run_folder, capsys, arguments, said):
    assert cli.main(["sensitivity", str(run_folder), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_only_what_has_a_float_network_will_do(tmp_path, run_folder):
    (tmp_path / "model.mlq").write_bytes(b"")
    with pytest.raises(ConfigError, match="A file holds integers, no float network"):
        float_at(tmp_path / "model.mlq")
    points = [point_of("float"), point_of("nested"), point_of("nested", seed=7)]
    sweep = write_sweep(tmp_path / "sweep", points)
    with pytest.raises(ConfigError, match=r"RUN must be one network; got .*, a sweep. Name a point of it"):
        float_at(sweep)
    _save(sweep / "points" / points[0]["name"], config_of(points[0]))
    model, config = float_at(sweep / "points" / points[1]["name"])       # beside its float network
    assert config == config_of(points[1])
    np.testing.assert_array_equal(model.state()["dense1.weight.latent"],
                                  built(config)[0].state()["dense1.weight.latent"])
    with pytest.raises(DataError, match="a float network was expected; got none"):
        float_at(sweep / "points" / points[2]["name"])
    with pytest.raises(DataError):
        float_at(tmp_path / "nowhere")
