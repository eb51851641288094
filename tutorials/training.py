"""Trainings of the thesis' network whose scales may have an optimizer of their own, or a watch that looks on.

    trained = train(RunConfig(recipe="thesis", threshold=1e-10, epochs=8), load("digits"))
    trained.model, trained.accuracy, trained.scales(), trained.integers()

It is the loop of `minilq explain`, and `show(train)` prints it. What a notebook of your own needs is `Trainer` with
`quantize`, as notebook 06 has it.
"""

from minilq.experiments.config import RunConfig as RunConfig
from minilq.experiments.findings.growth import Growth as Growth
from minilq.experiments.findings.growth_nested import drive as drive
from minilq.experiments.findings.growth_nested import largest as largest
from minilq.experiments.findings.growth_nested import votes as votes
from minilq.experiments.findings.training import MedianScale as MedianScale
from minilq.experiments.findings.training import train as train
