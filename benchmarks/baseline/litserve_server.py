"""The model served by LitServe as its documentation shows it, with batching: `MODEL=folder python litserve_server.py
PORT`.
"""

import os
import sys

import litserve
import torch
from transformers import pipeline


class Sentiment(litserve.LitAPI):
    """Takes one text per request; LitServe makes batches of waiting requests."""

    def setup(self, device: str) -> None:
        """Loads the model in the worker process, in fp32 as in the baseline."""
        self.classify = pipeline("text-classification", model=os.environ["MODEL"], dtype=torch.float32)

    def decode_request(self, request: dict) -> str:
        """The text."""
        return request["text"]

    def predict(self, texts: list[str]) -> list[dict]:
        """The predictions of a batch."""
        return self.classify(texts, batch_size=32, truncation=True)

    def encode_response(self, output: dict) -> dict:
        """The answer with one prediction."""
        return {"label": output["label"], "confidence": output["score"]}


if __name__ == "__main__":
    server = litserve.LitServer(Sentiment(max_batch_size=32, batch_timeout=0.01), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False)
