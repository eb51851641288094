"""The thesis' image networks on real data: what the first few hundred steps of its recipes come to."""

import os

import numpy as np
import pytest

from minilq.data import load
from minilq.errors import DataError
from minilq.experiments.build import trainer_for
from minilq.experiments.config import RunConfig

pytestmark = pytest.mark.skipif(not os.environ.get("MINILQ_DATA"),
                                reason="needs real images: set MINILQ_DATA to a folder that holds them")


def data(name, **options):
    try:
        return load(name, os.environ["MINILQ_DATA"], **options)
    except DataError as error:
        pytest.skip(f"MINILQ_DATA holds no {name}: {error}")


@pytest.mark.parametrize("network", ["float", "quantized"])
def test_cifar10_after_ten_thousand_images_three_times(network):
    config = RunConfig(data="cifar10")
    trainer = trainer_for(network, config, data("cifar10").head(10_000))
    assert trainer.run(3)
    assert 0.30 < trainer.rows[-1]["validation_accuracy"] < 0.55
    assert trainer.rows[-1]["loss"] < trainer.rows[0]["loss"] < 2.6
    if network == "quantized":
        medians = [row["scale/conv2d3.kernel/median"] for row in trainer.rows]
        assert all(np.diff(medians) > 0)         # scales only grow


def test_imagenette_after_two_thousand_images_three_times(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    config = RunConfig(data="imagenette", augment="crop")
    trainer = trainer_for("quantized", config, data("imagenette", image_size=config.image_size).head(2000))
    assert trainer.run(3)
    assert trainer.rows[-1]["validation_accuracy"] > 0.2         # by chance: 0.1
    assert trainer.rows[-1]["loss"] < trainer.rows[0]["loss"]
    penalties = [row["penalty"] for row in trainer.rows]
    assert penalties[0] > penalties[-1] > 2                      # 1e-4 times 11 million squares of 0.05
