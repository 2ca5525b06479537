"""The baseline that Sentiq is compared with: a service that a competent person would write in an afternoon.

FastAPI, transformers' pipeline and Redis in one process: `MODEL=folder REDIS_URL=redis://... uvicorn service:app`.
Endpoints are plain functions, which FastAPI runs in its thread pool, because the pipeline would block the event loop.
It is not made slow on purpose, and it does only what its libraries' documentation shows.
"""

import hashlib
import json
import os

import redis
import torch
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline

CACHE_TTL_S = 3600

# fp32, although the weights are stored in fp16 and transformers would use that: on a CPU fp16 is many times slower.
classify = pipeline("text-classification", model=os.environ["MODEL"], top_k=None, dtype=torch.float32)
cache = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
app = FastAPI()


class PredictRequest(BaseModel):
    """One text."""

    text: str


class BatchRequest(BaseModel):
    """Several texts."""

    texts: list[str]


def key(text: str) -> str:
    """The Redis key of the text's prediction."""
    return "sentiment:" + hashlib.sha256(text.encode()).hexdigest()


def prediction(scores: list[dict]) -> dict:
    """The service's answer from the pipeline's scores, of which the highest comes first."""
    return {
        "label": scores[0]["label"],
        "confidence": scores[0]["score"],
        "scores": {each["label"]: each["score"] for each in scores},
    }


@app.post("/predict")
def predict(request: PredictRequest) -> dict:
    """Predicts one text."""
    known = cache.get(key(request.text))
    if known is not None:
        return {"text": request.text, "cached": True, **json.loads(known)}
    found = prediction(classify([request.text], truncation=True)[0])
    cache.setex(key(request.text), CACHE_TTL_S, json.dumps(found))
    return {"text": request.text, "cached": False, **found}


@app.post("/batch")
def batch(request: BatchRequest) -> list[dict]:
    """Predicts several texts, in their order."""
    known = cache.mget([key(text) for text in request.texts])
    missing = [text for text, value in zip(request.texts, known, strict=True) if value is None]
    fresh = iter(
        [prediction(scores) for scores in classify(missing, batch_size=32, truncation=True)] if missing else []
    )
    answers = []
    for text, value in zip(request.texts, known, strict=True):
        if value is None:
            found = next(fresh)
            cache.setex(key(text), CACHE_TTL_S, json.dumps(found))
        else:
            found = json.loads(value)
        answers.append({"text": text, "cached": value is not None, **found})
    return answers
