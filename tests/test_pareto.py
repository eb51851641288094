"""Pooled seeds, Pareto fronts, the published numbers and their tolerances."""

import itertools
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minilq.errors import ConfigError, NonFiniteError
from minilq.experiments import agreement, thesis
from minilq.experiments.pareto import COSTS, dominated, front, measure, pool
from minilq.experiments.thesis import MIB, PUBLISHED, Published
from tests.sweep_folder import point_of, thesis_points

# Few different values, so that ties are frequent.
CLOUDS = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), max_size=12)


def cloud(pairs):
    return [{"name": str(i), "bits": c, "accuracy": a} for i, (c, a) in enumerate(pairs)]


def better(a, b):
    """Word for word: no dearer, no less accurate, and not the same."""
    return (a["bits"] <= b["bits"] and a["accuracy"] >= b["accuracy"]
            and (a["bits"], a["accuracy"]) != (b["bits"], b["accuracy"]))


@given(CLOUDS)
def test_nothing_dominates_the_front_and_something_on_it_every_other_point(pairs):
    points = cloud(pairs)
    best = front(points, "bits")
    flags = dominated(points, "bits")
    assert [p["name"] for p in best] == [p["name"] for p in sorted(
        (p for p, worse in zip(points, flags, strict=True) if not worse), key=lambda p: p["bits"])]
    for point, worse in zip(points, flags, strict=True):
        assert any(better(other, point) for other in points) == worse
        assert any(better(other, point) for other in best) == worse      # a member of the front is enough


@given(CLOUDS)
def test_along_the_front_cost_and_accuracy_grow_together_and_ties_stay_together(pairs):
    best = front(cloud(pairs), "bits")
    for one, two in itertools.pairwise(best):
        assert (one["bits"] < two["bits"] and one["accuracy"] < two["accuracy"]) or \
            (one["bits"], one["accuracy"]) == (two["bits"], two["accuracy"])


@given(CLOUDS, st.randoms(use_true_random=False))
def test_the_order_of_the_points_does_not_matter(pairs, random):
    points = cloud(pairs)
    shuffled = random.sample(points, len(points))
    flag_of = dict(zip((p["name"] for p in points), dominated(points, "bits"), strict=True))
    assert dominated(shuffled, "bits") == [flag_of[p["name"]] for p in shuffled]


@given(CLOUDS)
def test_growing_transformations_change_nothing(pairs):
    points = cloud(pairs)
    other = [{**p, "bits": math.exp(p["bits"]), "accuracy": p["accuracy"] ** 3 + 2} for p in points]
    assert dominated(other, "bits") == dominated(points, "bits")


@given(CLOUDS, st.tuples(st.integers(-3, 3), st.integers(-3, 3)))
def test_a_new_point_can_only_push_others_off_the_front(pairs, pair):
    points = cloud(pairs)
    before, after = dominated(points, "bits"), dominated([*points, *cloud([pair])], "bits")[:-1]
    assert all(now or not then for then, now in zip(before, after, strict=True))


def test_equal_points_are_on_the_front_together():
    points = cloud([(1, 5), (1, 5), (1, 4), (2, 5), (3, 6), (3, 6)])
    assert dominated(points, "bits") == [False, False, True, True, False, False]
    assert [p["name"] for p in front(points, "bits")] == ["0", "1", "4", "5"]


def test_no_points_have_no_front():
    assert front([], "bits") == dominated([], "bits") == []


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_cost_or_an_accuracy_that_is_no_number_is_named(wrong):
    with pytest.raises(NonFiniteError, match="bits and accuracy"):
        dominated(cloud([(1, 1), (wrong, 1)]), "bits")


def test_the_range_counts_both_ends():
    assert measure({"integer_min": -12, "integer_max": 11}, "range") == 24


def test_seeds_are_pooled_and_nothing_else():
    points = thesis_points((3, 1, 2))
    pooled = pool(points)
    assert len(pooled) == len(points) / 3
    for one in pooled:
        own = [p for p in points if all(p.get(k) == one.get(k) for k in ("scheme", "granularity", "strength", "start"))]
        assert one["seeds"] == [1, 2, 3]
        assert [p["seed"] for p in one["members"]] == [1, 2, 3]
        assert one["accuracy"] == pytest.approx(statistics.mean(p["accuracy"] for p in own))
        assert one["deviation"]["accuracy"] == pytest.approx(statistics.stdev(p["accuracy"] for p in own))
        if one["scheme"] == "float":
            assert "range" not in one
        else:
            assert one["range"] == one["integer_max"] - one["integer_min"] + 1
            assert {*COSTS, *(f"bytes_{name}" for name in ("packed", "entropy", "int8_zip"))} <= set(one)


@pytest.mark.parametrize("name", ["granularity", "strength", "start", "rounding", "input", "epochs"])
def test_points_that_differ_in_a_setting_stay_apart(name):
    other = {"granularity": "scalar", "strength": 1e-9, "start": "post", "rounding": "nearest", "input": "unit",
             "epochs": 7}[name]
    assert len(pool([point_of("nested", seed=1), point_of("nested", seed=2, **{name: other})])) == 2


SEEDS = [point_of(scheme, seed=seed) for scheme in ("float", "nested") for seed in (1, 2, 3)]


@given(st.permutations(SEEDS))
def test_pooled_numbers_do_not_depend_on_the_order(points):
    def by_scheme(pooled):
        return {p["scheme"]: p for p in pooled}
    assert by_scheme(pool(points)) == by_scheme(pool(SEEDS))


def test_one_seed_has_no_deviation_and_neither_has_an_infinite_loss():
    assert math.isnan(pool([point_of("nested")])[0]["deviation"]["accuracy"])
    one, two = point_of("nested", seed=1), {**point_of("nested", seed=2), "loss": math.inf}
    pooled, = pool([one, two])
    assert math.isinf(pooled["loss"])
    assert math.isnan(pooled["deviation"]["loss"])
    assert pooled["deviation"]["accuracy"] >= 0


def test_two_points_of_one_seed_are_refused():
    with pytest.raises(ConfigError, match="seed 42"):
        pool([point_of("nested"), point_of("nested")])


# Published numbers.


def test_the_sweeps_of_the_thesis_are_its_194_points():
    thresholds, rates = (sum(value > 0 for value in values) for values in (thesis.THRESHOLDS, thesis.RATES))
    panels = len(thesis.GRANULARITIES["mnist"]) * len(thesis.STARTS)
    assert panels * (thresholds + len(thesis.PENALTIES) * rates) + len(thesis.STARTS) == 194


def test_every_published_point_lies_on_a_sweep_of_the_thesis():
    for published in PUBLISHED:
        assert published.source in ("thesis", "reproduced")
        if published.scheme == "float":
            assert published.strength is published.granularity is None
            continue
        assert published.strength in (thesis.THRESHOLDS if published.scheme == "nested" else thesis.RATES)
        assert published.scheme in ("nested", *thesis.PENALTIES)
        assert published.granularity in thesis.GRANULARITIES[published.data]
        assert published.start in (None, *thesis.STARTS)


def test_published_numbers_fit_together():
    for published in PUBLISHED:
        assert published.accuracy is None or 0.1 < published.accuracy[0] <= published.accuracy[1] < 1
        if published.unique and published.integer_max is not None:
            assert published.unique[0] <= published.integer_max - published.integer_min + 1
        if published.unique and published.bits:
            assert published.bits == math.ceil(math.log2(published.unique[0]))
        if published.zip_bytes:
            low, high = published.zip_bytes
            assert low < float(published.zip_mib) * MIB < high


def test_a_second_implementation_agrees_with_the_thesis_within_the_tolerances():
    # Nested, row-wise, from scratch; the thesis does not say which start it means.
    for strength in (1e-11, 1e-10, 1e-9, 1e-8):
        old, = (p for p in PUBLISHED if (p.source, p.data, p.strength) == ("thesis", "mnist", strength) and p.unique)
        new = next(p for p in PUBLISHED if (p.source, p.granularity, p.strength) == ("reproduced", "row", strength))
        measured = {"accuracy": sum(new.accuracy) / 2, "unique_integers": sum(new.unique) / 2,
                    "integer_min": new.integer_min, "integer_max": new.integer_max, "seeds": [1]}
        assert all(agreement.agreements(old, measured).values()), strength


ROW = Published("thesis", "mnist", "nested", "row", 1e-10, "scratch", (0.96, 0.97), unique=(24, 24), integer_min=-12,
                integer_max=11, zip_mib="0.05")
GOOD = {"accuracy": 0.965, "unique_integers": 24, "integer_min": -12, "integer_max": 11, "bytes_int8_zip": 0.05 * MIB,
        "seeds": [42]}


@pytest.mark.parametrize(("change", "wrong"), [
    ({}, None), ({"accuracy": 0.9493}, None), ({"accuracy": 0.9492}, "accuracy"), ({"accuracy": 0.9808}, "accuracy"),
    ({"unique_integers": 20}, None), ({"unique_integers": 19}, "integers"), ({"unique_integers": 29}, "integers"),
    ({"integer_min": -14}, None), ({"integer_min": -15}, "range"), ({"integer_max": 8}, "range"),
    ({"bytes_int8_zip": 0.0401 * MIB}, None), ({"bytes_int8_zip": 0.0399 * MIB}, "zip"),
    ({"bytes_int8_zip": 0.0601 * MIB}, "zip"),
])
def test_tolerances_end_where_they_are_said_to_end(change, wrong):
    verdicts = agreement.agreements(ROW, {**GOOD, **change})
    assert set(verdicts) == {"accuracy", "integers", "range", "zip"}
    assert [name for name, agrees in verdicts.items() if not agrees] == ([wrong] if wrong else [])


def test_more_seeds_are_held_to_more():
    five = Published("thesis", "mnist", "nested", "row", 1e-10, "scratch", (0.96, 0.96), seeds=5)
    assert agreement.agreements(five, {"accuracy": 0.953, "seeds": [1]})["accuracy"]
    assert not agreement.agreements(five, {"accuracy": 0.953, "seeds": [1, 2, 3, 4, 5]})["accuracy"]


def test_the_accuracy_of_a_collapsed_network_is_not_compared():
    collapsed, = (p for p in PUBLISHED if (p.source, p.strength) == ("reproduced", 1e-8) and p.scheme == "nested")
    verdicts = agreement.agreements(collapsed, {**GOOD, "accuracy": 0.9, "unique_integers": 4})
    assert "accuracy" not in verdicts
    assert verdicts["integers"]
