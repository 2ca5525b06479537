"""Every setting, read from the environment once. The README's table holds the same names: a test compares them."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tasks.errors import SettingsRefused

_LONGEST_SOCKET_PATH = 100
"""Bytes: the kernel's limit for a unix socket's path is 108 on Linux, 104 on macOS."""


class Settings(BaseSettings):
    """The environment, checked. Fields are the variables' names in lower case."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, use_attribute_docstrings=True, protected_namespaces=())

    redis_url: str | None = None
    """Where the cache is; broker and results too unless given their own. Without it, the embedded server runs under `DATA_DIR`."""
    celery_broker_url: str | None = None
    """The broker's Redis; it must not evict keys."""
    celery_result_backend: str | None = None
    """The Redis of jobs and their results; it must not evict keys."""
    data_dir: Path = Path("data")
    """The embedded server's files and the web processes' metrics."""

    host: str = "127.0.0.1"
    """The address that Gunicorn listens on."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    """The port that Gunicorn listens on."""
    web_concurrency: PositiveInt = 2
    """Gunicorn worker processes."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe level that is logged; `debug` logs every request."""

    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Where a worker serves its own metrics; 0 means nowhere: then they are among the web's, if the two share `DATA_DIR`."""
    metrics_host: str = "127.0.0.1"
    """The address of that port."""

    model_name: str = "default"
    """`default` (the embedded model), a local folder, or a Hugging Face text-classification model."""
    model_revision: str | None = None
    """Pins a revision of a Hugging Face model."""
    label_map: Annotated[dict[str, str], NoDecode] = {}
    """JSON: a model's own class names to `NEGATIVE`, `NEUTRAL`, `POSITIVE`, where they cannot be guessed."""
    engine: Literal["auto", "compiled", "pipeline", "stub"] = "auto"
    """What runs the model: `compiled` (int8, the embedded model on CPU), `pipeline` (transformers), `stub` (no model, for tests)."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda:\d+)$")] = "auto"
    """`auto` takes the first GPU if there is one."""
    engine_threads: Annotated[int, Field(ge=0)] = 0
    """Threads of the compiled engine; 0 means one a core."""
    batch_size: Annotated[int, Field(ge=1, le=1024)] = 32
    """The largest micro-batch, in texts."""

    cache_ttl: PositiveInt = 3600
    """Seconds that a prediction stays in the cache."""
    predict_timeout: Annotated[float, Field(gt=0, le=60)] = 2.0
    """Seconds that `/predict` waits before it answers 202 with a job."""
    queue_limit: PositiveInt = 2000
    """Texts of `/predict` that may wait at once, over all web processes; past it callers get 429."""
    max_text_chars: PositiveInt = 100_000
    """Characters of one text."""
    max_batch_texts: PositiveInt = 1_000_000
    """Texts of one job."""
    max_upload_bytes: PositiveInt = 256 * 1024 * 1024
    """Bytes of a request's body, as sent and as unpacked."""
    job_ttl: PositiveInt = 86_400
    """Seconds that a job and its results are kept after its submission."""
    callback_secret: SecretStr | None = None
    """Signs callbacks; without it, `callback_url` is refused."""
    callback_allow_private: bool = False
    """Callbacks may go to private and loopback addresses too."""

    @field_validator("redis_url", "celery_broker_url", "celery_result_backend")
    @classmethod
    def _is_redis(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        return url

    @field_validator("label_map", mode="before")
    @classmethod
    def _is_json(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError('must be a JSON object, for example {"LABEL_0": "NEGATIVE"}') from None

    @property
    def embedded(self) -> bool:
        """No server was given, so the embedded one is to run."""
        return self.redis_url is None

    @property
    def socket_path(self) -> Path:
        """The embedded server's socket; outside `DATA_DIR` when that path is longer than a socket's may be."""
        path = self.data_dir.absolute() / "valkey.sock"
        if len(bytes(path)) > _LONGEST_SOCKET_PATH:
            digest = hashlib.sha256(bytes(self.data_dir.absolute())).hexdigest()[:16]
            path = Path(tempfile.gettempdir()) / f"sentiq-{digest}" / "valkey.sock"
        return path

    @property
    def cache_url(self) -> str:
        """Of the prediction cache, in-flight marks and replies: all of it may be evicted."""
        return self.redis_url or f"unix://{self.socket_path}?db=0"

    @property
    def broker_url(self) -> str:
        """Of the queues."""
        return self.celery_broker_url or self.cache_url

    @property
    def results_url(self) -> str:
        """Of jobs and their results."""
        return self.celery_result_backend or self.cache_url

    @property
    def model_tag(self) -> str:
        """What was asked for, before a worker has said what it is."""
        return f"{self.model_name}@{self.model_revision or '-'}"


def load_settings() -> Settings:
    """The environment's settings.

    Raises:
        SettingsRefused: one sentence for each variable that cannot be used.
    """
    try:
        return Settings()
    except ValidationError as error:
        faults = [f"{str(fault['loc'][0]).upper()}: {fault['msg'].removeprefix('Value error, ')}" for fault in error.errors()]
        raise SettingsRefused("; ".join(faults)) from None
