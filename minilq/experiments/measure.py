"""What is measured of a network of a run: accuracy, integers, and sizes beside those of its floats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minilq.autodiff.tape import Array
from minilq.coding.sizes import compressed, entropy_coded, narrowest, packed, zipped
from minilq.data import Dataset
from minilq.experiments.build import inputs_for, quantized_sites
from minilq.experiments.config import RunConfig
from minilq.nn import Sequential, coded_in
from minilq.quantize import Coded
from minilq.quantize.statistics import integers_together, mean_entropy, zero_share
from minilq.train.metrics import evaluate, scales_in, sqnr_in


def measure(model: Sequential, data: Dataset, config: RunConfig) -> dict[str, Any]:
    """Loss and accuracy, and of a quantized network its integers and sizes (train/metrics.py, coding/sizes.py)."""
    loss, accuracy = evaluate(model, data.validation_images, data.validation_labels, inputs_for(config))
    coded = coded_in(model)
    if not coded:
        return {"accuracy": accuracy, "loss": loss}
    codes = {name: one.codes for name, one in coded.items()}
    return {"accuracy": accuracy, "loss": loss, "entropy": mean_entropy(codes), "zero_share": zero_share(codes),
            "sqnr": sqnr_in(model, coded), **measure_codes(coded)}


def measure_codes(coded: Mapping[str, Coded]) -> dict[str, Any]:
    """What the integers of a network are, all together, and what they weigh."""
    codes: dict[str, Array] = {name: one.codes for name, one in coded.items()}
    together = integers_together(codes)
    small = narrowest(codes)
    return {"unique_integers": together.unique, "integer_min": together.minimum, "integer_max": together.maximum,
            "bits": together.bits, "bits_unique": together.bits_unique,
            "integer_type": str(next(iter(small.values())).dtype),
            "bytes_int8_zip": zipped(small), "bytes_packed": packed(coded),
            "bytes_entropy": entropy_coded(coded), "bytes_lzma": compressed(coded)}


def counted(config: RunConfig, floats: Sequential, quantized: Sequential) -> dict[str, int]:
    """How many numbers and scales, and what the numbers weigh as float32, plain and zipped.

    floats      whose latents are weighed: those of weights and biases that the settings quantize
    quantized   whose scales are counted
    """
    parameters = floats.parameters()
    latents = {name: parameters[f"{name}.latent"].array for name in quantized_sites(config, floats)}
    size = sum(a.size for a in latents.values())
    return {"parameters": size, "scales": sum(s.size for s in scales_in(coded_in(quantized)).values()),
            "bytes_float32": 4 * size, "bytes_float32_zip": zipped(latents)}
