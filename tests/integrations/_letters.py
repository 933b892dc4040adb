"""A model for tests: a text's direction by its letters. What shares letters is near."""

from __future__ import annotations

import math

from langchain_core.embeddings import Embeddings


class Letters(Embeddings):
    """`dims` numbers: how often each letter occurs, as long as 1. Counts its calls and texts."""

    def __init__(self, dims: int = 32) -> None:
        self.dims = dims
        self.calls = 0
        self.texts: list[str] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.calls += 1
        self.texts += texts
        return [self.vector(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.vector(text)

    def vector(self, text: str) -> list[float]:
        counts = [1e-3] * self.dims
        for letter in text:
            counts[ord(letter) % self.dims] += 1
        length = math.sqrt(sum(count * count for count in counts))
        return [count / length for count in counts]
