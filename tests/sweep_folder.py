"""Sweep folders with plausible numbers, made without training: the laws of the thesis' scales, and noise of a seed."""

import json
import math

import numpy as np

from minilq.experiments import thesis
from minilq.experiments.config import RunConfig
from minilq.files import write_text
from minilq.train.history import write_history

PENALTIES = {"maxbin": 0.3, "inverse": 1.0, "difference": 0.04, "squared_deviation": 0.05, "absolute_deviation": 0.05,
             "dampening": 0.05, "sine": 0.05, "hoyer": 0.05,
             "hoyer_square": 0.05, "group_hoyer": 0.05, "code_size": 0.05}
STEPS, WEIGHTS, BYTES = 37_500, 101_770, 407_080


def scale_after(scheme, strength, granularity, steps):
    """What s^2 = s0^2 + 2 (lr/eps) lambda f M t and s^3 = s0^3 + 3 (lr/eps) c t give for the MNIST network."""
    reach = {"row": 1.0, "column": 1.3, "scalar": 1.5, "channel": 1.0, "filter": 1.2}[granularity]
    if scheme in PENALTIES:
        return reach * (1.2e-5**3 + 3e3 * strength * 1e-3 * PENALTIES[scheme] * steps) ** (1 / 3)
    return reach * math.sqrt(1.2e-5**2 + 2e3 * strength * 0.15 * steps)


def accuracy_of(scale, start, seed):
    noise = np.random.default_rng([seed, int(scale * 1e9)]).normal(0, 0.002)
    loss = 0.8 * scale**2 / (1 + scale**2) * 8
    return float(np.clip(0.965 + 0.006 * (start == "post") - loss + noise, 0.1, 1.0))


def point_of(scheme, granularity="row", strength=1e-10, start="scratch", seed=42, data="mnist", rounding="floor",
             input="raw", epochs=20):
    """What result.json holds, with the command and the name."""
    name = f"{scheme}-{granularity}-{strength:g}-{rounding}-{input}-{start}-{seed}"
    common = {"scheme": scheme, "seed": seed, "input": input, "data": data, "model": "mnist_mlp", "epochs": epochs,
              "steps": STEPS * epochs // 20, "train_images": 60_000, "validation_images": 10_000,
              "parameters": WEIGHTS, "bytes_float32": BYTES, "bytes_float32_zip": 377_487}
    if scheme == "float":
        noise = np.random.default_rng(seed).normal(0, 0.002)
        return {**common, "name": f"float-{input}-{seed}", "accuracy": 0.9657 + float(noise), "loss": 0.4,
                "command": f"minilq train --data {data} --seed {seed}"}
    scale = scale_after(scheme, strength, granularity, common["steps"])
    accuracy = accuracy_of(scale, start, seed)
    half = max(1, round(0.33 / scale))
    unique = max(2, 2 * half - seed % 2) if half < 1000 else half
    entropy = max(0.5, math.log2(unique) - 1)
    return {**common, "name": name, "granularity": granularity, "strength": strength, "rounding": rounding,
            "start": start, "accuracy": accuracy, "loss": 2 * (1 - accuracy) * 4, "unique_integers": unique,
            "integer_min": -half, "integer_max": half - 1, "bits": math.ceil(math.log2(2 * half)),
            "bits_unique": math.ceil(math.log2(unique)), "entropy": entropy, "zero_share": 1 / unique,
            "sqnr": 6.02 * entropy - 4, "bytes_int8_zip": int(WEIGHTS * entropy / 8 * 1.15),
            "bytes_packed": WEIGHTS * math.ceil(math.log2(2 * half)) // 8 + 3700,
            "bytes_entropy": int(WEIGHTS * entropy / 8) + 4 * unique + 3700, "scales": 914,
            "command": f"minilq train --data {data} --granularity {granularity} --seed {seed} --from float-{seed}"
                       f" --{'rate' if scheme in PENALTIES else 'threshold'} {strength:g}"}


def rounded_of(point, parts=(2, 4, 8, 16)):
    """What rounded.json of a float point holds: one grid for the network, and a scale for each row."""
    made = []
    for granularity, scales in (("network", 4), ("row", 914)):
        for reach in parts:
            bits = math.ceil(math.log2(2 * reach + 1))
            entropy = math.log2(reach) + 1 - 1.2 * (granularity == "network")
            made.append({"granularity": granularity, "reach": float(reach), "unique_integers": 2 * reach + 1,
                         "accuracy": point["accuracy"] - 0.2 / reach**1.5 * (1 + (granularity == "network")),
                         "loss": 0.4 + 1 / reach, "integer_min": -reach, "integer_max": reach, "scales": scales,
                         "bits": bits, "bits_unique": bits, "entropy": entropy, "zero_share": 1 / reach,
                         "sqnr": 6.02 * entropy - 4, "bytes_packed": WEIGHTS * bits // 8 + 4 * scales,
                         "bytes_entropy": int(WEIGHTS * entropy / 8) + 4 * scales})
    return made


def history_of(point):
    """One row per epoch, as train/history.py writes it."""
    rows = []
    for epoch in range(1, point["epochs"] + 1):
        share = 1 - 0.3 * math.exp(-epoch / 3)
        accuracy = point["accuracy"] * share
        row = {"network": "float" if point["scheme"] == "float" else "quantized", "epoch": epoch,
               "loss": point["loss"] / share, "accuracy": accuracy, "validation_loss": point["loss"] / share,
               "validation_accuracy": accuracy, "seconds": 1.0}
        if point["scheme"] != "float":
            steps = point["steps"] * epoch // point["epochs"]
            middle = scale_after(point["scheme"], point["strength"], point["granularity"], steps)
            for name, factor in (("dense1.weight", 1), ("dense1.bias", 0.01), ("dense2.weight", 2)):
                row |= {f"scale/{name}/{part}": middle * factor * f
                        for part, f in (("min", 0.8), ("median", 1), ("max", 1.2))}
        rows.append(row)
    return rows


def config_of(point):
    """The settings of a point, as its config.json has them."""
    chosen = {"data": point["data"], "recipe": "thesis", "seed": point["seed"], "input": point["input"],
              "epochs": point["epochs"]}
    if point["scheme"] == "float":
        return RunConfig(**chosen)
    own = {"penalty": point["scheme"], "rate": point["strength"]} if point["scheme"] in PENALTIES else \
        {"threshold": point["strength"], "gate": point["scheme"] != "ungated"}
    return RunConfig(**chosen, **own, granularity=point["granularity"], rounding=point["rounding"],
                     start_from=f"../float-{point['input']}-{point['seed']}" if point["start"] == "post" else None)


def thesis_points(seeds=(42,), **settings):
    """The thesis' 194 points, and a float baseline, for every seed."""
    made = []
    strengths_of = {"nested": thesis.THRESHOLDS, **dict.fromkeys(thesis.PENALTIES, thesis.RATES)}
    for seed in seeds:
        made.append(point_of("float", seed=seed, **settings))
        for start in ("scratch", "post"):
            made.append(point_of("nested", "row", 0.0, start, seed, **settings))
            for granularity in ("row", "column", "scalar"):
                for scheme, strengths in strengths_of.items():
                    made += [point_of(scheme, granularity, s, start, seed, **settings) for s in strengths if s > 0]
    return made


FEW = [point_of("float"), *(point_of("nested", "row", s) for s in (1e-11, 1e-10)),
       point_of("difference", "row", 1e-8, "post"), point_of("inverse", "scalar", 1e-9)]


def write_sweep(folder, points, failures=(), missing=(), grid="thesis"):
    """A sweep folder with finished points, failed ones (name -> message), and names that are still to run."""
    failures = dict(failures)
    names = [*(point["name"] for point in points), *failures, *missing]
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "sweep.json", json.dumps({"grid": grid, "data": "mnist", "points": names}))
    for point in points:
        own = folder / "points" / point["name"]
        own.mkdir(parents=True)
        write_text(own / "config.json", config_of(point).to_json())
        write_text(own / "result.json", json.dumps({k: v for k, v in point.items() if k not in ("command", "folder")}))
        write_history(own / "history.csv", history_of(point))
        if point["scheme"] == "float":
            write_text(own / "rounded.json", json.dumps(rounded_of(point)))
        write_text(own / "DONE", "")
    for name, message in failures.items():
        (folder / "points" / name).mkdir(parents=True)
        write_text(folder / "points" / name / "FAILED", message)
    return folder
