"""Codes to bytes and back: packing, Huffman, range coder, codebook, zero runs, and what each of them takes."""
