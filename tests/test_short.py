"""The top of a sweep's page: what chance does, the front in short, the best by bits, warnings where nothing is said."""

import math
import re

import pytest

from minilq.experiments.chance import chance_of
from minilq.experiments.pareto import pool
from minilq.report.page_idle import idle, warnings
from minilq.report.page_short import best_by_bits, front_in_short, short, told_apart
from minilq.report.page_summary import missing
from minilq.report.sweep_data import read_sweep_data
from tests.sweep_folder import point_of, write_sweep


def sweep_of(folder, *points):
    return read_sweep_data(write_sweep(folder / str(len(list(folder.iterdir()))), points))


def trained(accuracy, size=40_000, seed=1, strength=1e-10, **more):
    return {**point_of("nested", seed=seed, strength=strength), "accuracy": accuracy, "bytes_entropy": size, **more}


def test_chance_is_that_of_the_images_and_of_the_seeds_together():
    one, other = pool([trained(a, seed=s) for s, a in ((1, 0.97), (2, 0.974))] + [
        trained(a, seed=s, strength=1e-9) for s, a in ((1, 0.96), (2, 0.961), (3, 0.962))])
    chance = chance_of([one, other])
    assert chance.freedom == 3
    assert chance.deviation == pytest.approx(math.sqrt((0.002**2 * 2 + 0.001**2 * 2) / 3))
    binomial = 0.972 * 0.028 / 10_000 + 0.961 * 0.039 / 10_000
    assert chance.error(one, other) == pytest.approx(math.sqrt(binomial + chance.deviation**2 * (1 / 2 + 1 / 3)))
    assert chance.better(one, other)
    assert not chance.better(other, one)
    assert not chance.better(one, {**other, "accuracy": one["accuracy"] - 1.9 * chance.error(one, other)})


def test_a_sweep_of_an_earlier_version_does_not_tell_its_images(tmp_path):
    point = trained(0.97)
    del point["validation_images"]
    sweep = sweep_of(tmp_path, point)
    assert sweep.chance.images is None
    assert "judge" not in told_apart(sweep)
    assert "how far seeds spread is not known" in told_apart(sweep)


def test_collapsed_networks_do_not_tell_how_far_seeds_spread(tmp_path):
    sweep = sweep_of(tmp_path, *(trained(0.97 + s / 1000, seed=s) for s in (1, 2)),
                     *(trained(0.1 + s / 10, seed=s, strength=1e-8) for s in (1, 2)))
    assert sweep.chance.freedom == 1
    assert sweep.chance.deviation == pytest.approx(0.001 / math.sqrt(2))
    assert "Seeds deviate by 0.07 points" in told_apart(sweep)


def test_the_front_in_short_has_only_what_chance_does_not_explain(tmp_path):
    sweep = sweep_of(tmp_path, trained(0.95, 10_000, strength=1e-11), trained(0.9501, 11_000, strength=1e-12),
                     trained(0.97, 12_000, strength=1e-9), trained(0.96, 13_000))
    assert [point["bytes_entropy"] for point in front_in_short(sweep)] == [10_000, 12_000]
    assert "of 3 networks on it" in short(sweep)


def test_the_best_by_bits_is_the_most_accurate_with_no_more_and_its_rival_is_free(tmp_path):
    sweep = sweep_of(tmp_path, {**point_of("float"), "accuracy": 0.97}, trained(0.93, bits_unique=2, strength=1e-9),
                     trained(0.95, bits_unique=4), trained(0.94, bits_unique=8, strength=1e-11),
                     trained(0.96, 200_000, bits_unique=1, strength=1e-12))                  # floats behind a mask
    assert [(bits, point["accuracy"], free and free["bits"]) for bits, point, free in best_by_bits(sweep)] == [
        (3, 0.93, 3), (4, 0.95, 4), (8, 0.95, 6)]
    rows = re.findall(r"<tr><td.*?</tr>", short(sweep).partition("best by bits")[2])
    assert [re.sub("<[^>]*>", "|", row).split("|")[2] for row in rows] == ["3", "4", "8"]
    assert "+2.00" in rows[1]


def test_strengths_that_change_nothing_are_counted_and_others_are_not(tmp_path):
    def penalty(strength, integers):
        return {**point_of("inverse", strength=strength), "unique_integers": integers}

    points = [penalty(1e-9, 254), penalty(1e-8, 255), penalty(1e-7, 120), trained(0.97, strength=1e-9),
              {**trained(0.97, strength=0.0), "unique_integers": 20_000}]
    sweep = sweep_of(tmp_path, *points)
    assert [(one["strength"], other["strength"]) for one, other in idle(sweep.quantized)] == [(1e-9, 1e-8)]
    text, = warnings(sweep)
    assert "In 2 of 5 networks the strength says nothing" in text
    assert "Inverse 2 of 3" in text
    assert text in missing(sweep)


def test_where_nothing_is_told_apart_the_page_says_so(tmp_path):
    points = [point_of("float"), *(trained(0.97 + i / 10_000, strength=s) for i, s in enumerate((1e-10, 1e-9)))]
    assert "No network is told apart from the best" in " ".join(warnings(sweep_of(tmp_path, *points)))
    assert warnings(sweep_of(tmp_path, *points[:2], trained(0.95, strength=1e-9))) == []
