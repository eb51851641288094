"""The methods, one file each; `minilq methods` lists them."""

from minilq.quantize.methods.scaled import Nested, Scaled

__all__ = ["Nested", "Scaled"]
