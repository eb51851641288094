"""The thesis' image networks and recipes on real data, for a few dozen steps."""

import os

import numpy as np
import pytest

from minilq.data import load
from minilq.errors import DataError
from minilq.experiments.build import trainer_for
from minilq.experiments.config import RunConfig

pytestmark = [pytest.mark.deep, pytest.mark.skipif(not os.environ.get("MINILQ_DATA"), reason=(
    "needs real images: set MINILQ_DATA to a folder that holds them"))]


def data(name, **options):
    try:
        return load(name, os.environ["MINILQ_DATA"], **options)
    except DataError as error:
        pytest.skip(f"MINILQ_DATA holds no {name}: {error}")


# So few steps leave the running statistics far behind: the training images tell. By chance: 10 %, loss 2.3.


@pytest.mark.parametrize("network", ["float", "quantized"])
def test_cifar10_is_learned_within_a_hundred_steps(network):
    config = RunConfig(data="cifar10")
    trainer = trainer_for(network, config, data("cifar10").head(4000))
    assert trainer.run(3)
    assert trainer.rows[-1]["accuracy"] > 0.17
    assert trainer.rows[-1]["loss"] < 2.35 < trainer.rows[0]["loss"]
    if network == "quantized":
        medians = [row["scale/conv2d3.weight/median"] for row in trainer.rows]
        assert all(np.diff(medians) > 0)         # scales only grow


def test_imagenette_is_learned_within_sixty_steps(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    config = RunConfig(data="imagenette", augment="crop")
    trainer = trainer_for("quantized", config, data("imagenette", image_size=config.image_size).head(2000))
    assert trainer.run(2)
    assert trainer.rows[-1]["accuracy"] > 0.15
    assert trainer.rows[-1]["loss"] < trainer.rows[0]["loss"] - 0.1
    penalties = [row["penalty/l2"] for row in trainer.rows]
    assert penalties[0] > penalties[-1] > 2                      # 1e-4 times 11 million squares of 0.05
