"""Every setting, read from the environment once. The README's table holds the same names: a test compares them."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    Field,
    NonNegativeInt,
    PlainValidator,
    PositiveInt,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from model.analysis import Analysis, find_analysis
from model.engines.registry import ENGINES
from model.errors import AnalysisNotFound
from model.language import as_codes
from tasks.errors import SettingsRefused
from tasks.keys import ApiKey, parse_keys, parse_secrets, require_webhook_secret
from tasks.long_texts import LongTexts
from tasks.models import (
    DEFAULT,
    Model,
    Source,
    Twice,
    models_by_name,
    parse_models,
    require_one_meaning,
    unique_keys,
)
from tasks.own_classes import own_classes
from tasks.private import require_own
from tasks.store.address import is_address
from tasks.wording import in_words

_RATE = re.compile(r"([1-9][0-9]{0,8})/(s|min|h)")
_UNITS_S = {"s": 1, "min": 60, "h": 3600}
_DEVICE = re.compile(r"auto|cpu|cuda:\d+")
API_PATHS = frozenset(
    (
        "predict",
        "batch_predict",
        "jobs",
        "queue",
        "streams",
        "model",
        "health",
        "metrics",
        "docs",
        "redoc",
        "openapi.json",
        "assets",
        "files",
        "status",
        "pages",
        "shared",
    )
)
"""The first parts of the paths of the API and the pages. A prefix that begins with one would be cut off from them."""
_SHOWN = 40
"""The most characters of a bad value that a message repeats."""
_LONGEST_SOCKET_PATH = 100
"""Bytes: the kernel's limit for a unix socket's path is 108 on Linux, 104 on macOS."""


def _declared(name: object) -> Analysis:
    if isinstance(name, Analysis):
        return name
    try:
        return find_analysis(str(name))
    except AnalysisNotFound as error:
        raise ValueError(str(error)) from None


def _source_of(fields: Mapping[str, Any]) -> Source:
    """The source of the default model, from the fields that were valid."""
    return Source(
        fields.get("model_name", "default"),
        fields.get("model_revision"),
        fields.get("label_map", {}),
        fields.get("model_languages", ()),
    )


def _key_file(path: Path) -> str:
    return path.read_text("utf-8-sig")  # some editors begin a file with a byte order mark


class Settings(BaseSettings):
    """The environment, checked. Fields are the variables' names in lower case."""

    model_config = SettingsConfigDict(
        frozen=True, env_ignore_empty=True, use_attribute_docstrings=True, protected_namespaces=()
    )

    redis_url: str | None = None
    """The server of the cache; broker and results use it too unless they have their own. Without it, the embedded
    server runs under `DATA_DIR`.
    """
    celery_broker_url: str | None = None
    """The broker's Redis; it must not evict keys."""
    celery_result_backend: str | None = None
    """The Redis of jobs and their results; it must not evict keys."""
    data_dir: Path = Path("data")
    """The embedded server's files; and the web processes' metrics, where the system has no `/dev/shm`. Made for this
    user alone.
    """

    host: str = "127.0.0.1"
    """The address that Gunicorn listens on."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    """The port that Gunicorn listens on."""
    web_concurrency: PositiveInt = 2
    """Gunicorn worker processes."""
    url_prefix: str = ""
    """The path below which a proxy in front serves the API: `/sentiq`; the proxy may cut it off or leave it."""
    keep_alive: Annotated[int, Field(ge=1, le=3600)] = 75
    """Seconds that a connection stays open without a request; more than a proxy in front keeps it."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe level that is logged; `debug` logs every request."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """What a line of the log looks like: `console` is for people, `json` for programs; `auto` takes `console` on a
    terminal and in `sentiq serve`, `json` elsewhere.
    """
    access_log: bool = False
    """A line for each request, not only for those that failed, took long or made a job."""
    otel_exporter_otlp_endpoint: str | None = None
    """Where traces are sent, by OTLP over HTTP; without it there are none. OpenTelemetry reads its other variables
    itself.
    """

    grafana_url: str | None = None
    """Where Grafana is, as a person's browser reaches it: the page of the service's state leads there."""
    flower_url: str | None = None
    """Where Flower is, as `grafana_url`; `make run MONITORING=1` sets it."""

    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """The port on which a worker serves its own metrics; 0 means none: then they are on the web's page, if the two
    share `DATA_DIR`.
    """
    metrics_host: str = "127.0.0.1"
    """The address that the metrics ports listen on."""
    web_metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """The port on which the web processes serve `/metrics`, on `METRICS_HOST` and without a key; 0 means on `PORT`."""

    model_name: str = "default"
    """`default` (the embedded model), a local folder, or a Hugging Face text-classification model."""
    model_revision: str | None = None
    """Pins a revision of a Hugging Face model."""
    label_map: Annotated[dict[str, str], NoDecode] = {}
    """JSON that maps a model's own class names to those of the analysis (`NEGATIVE`, `NEUTRAL`, `POSITIVE`), where they
    cannot be guessed.
    """
    model_languages: Annotated[tuple[str, ...], NoDecode] = ()
    """The languages that the model reads, as codes separated by commas: `en,de`. Without it, those that the model's own
    card names; if it names none, no text is refused for its language.
    """
    other_languages: Literal["refuse", "score"] = "refuse"
    """What becomes of a text that is surely in a language that the model does not read: `refuse` answers it without a
    label, `score` as any other; both say `unsupported_language`.
    """
    uncertain_below: Annotated[float, Field(ge=0, le=1)] | None = None
    """The confidence below which an answer is called `uncertain`; 0 for never. Without it, the model's own threshold,
    which the embedded model has.
    """
    models: Annotated[dict[str, Source], NoDecode, PlainValidator(parse_models)] = {}
    """JSON that gives models names by which requests choose among them: `{"de": "my/german-model", "*": "default"}`.
    `*` is the model of requests that name none; without it, that is `MODEL_NAME`.
    """
    analysis: Annotated[Analysis, NoDecode, PlainValidator(_declared)] = Field(
        default="sentiment", validate_default=True
    )
    """What texts are asked: `sentiment`, or `package.module:NAME` for an `Analysis` that is declared there."""
    labels: Literal["analysis", "own"] = "analysis"
    """The classes that callers see: those of the analysis, or the model's own, as they are."""
    engine: str = "auto"
    """What runs the model: `compiled` (a graph, mostly int8, on a CPU), `pipeline` (transformers), `stub` (no model,
    for tests), or `auto`, which takes the first that can run it.
    """
    compile: Literal["auto", "int8", "bf16", "fp32", "off"] = "auto"
    """What a model without a graph is compiled to: `auto` takes the first of the three forms whose answers are those of
    torch in fp32, and has torch run the model if none's are.
    """
    calibration_texts: Path | None = None
    """A file of texts, one a line, by which the scales of int8 are found, in place of Sentiq's own."""
    compiled_cache_bytes: PositiveInt = 10 * 1024**3
    """The most bytes that compiled models may take under `DATA_DIR`; beyond, those that were not used for longest are
    removed.
    """
    device: str = "auto"
    """What the engine runs on: `cpu`, `cuda:N`, or `auto`, which takes the first GPU if there is one."""
    engine_threads: Annotated[int, Field(ge=0)] = 0
    """Threads of the compiled engine; 0 means one for each core."""
    batch_size: Annotated[int, Field(ge=1, le=1024)] = 32
    """The largest micro-batch, in texts."""

    cache_ttl: PositiveInt = 3600
    """Seconds that a prediction stays in the cache."""
    predict_timeout: Annotated[float, Field(gt=0, le=60)] = 2.0
    """Seconds that `/predict` waits before it answers 202 with a job."""
    queue_limit: PositiveInt = 2000
    """The most texts of `/predict` that may wait at once, over all web processes; fewer, if the workers cannot answer
    so many within `predict_timeout`. While several callers send texts, each has an equal share. Further texts get 429.
    """
    max_text_chars: Annotated[int, Field(ge=1, le=150_000)] = 100_000
    """The most characters of one text; with more, the cleaning of one could hold up all others for too long."""
    long_texts: LongTexts = "windows"
    """What becomes of a text that is longer than the model reads at once: it is read whole, in windows; or only its
    beginning is, which the answer says; or it has an error of its own.
    """
    max_batch_texts: PositiveInt = 1_000_000
    """The most texts of one job."""
    max_upload_bytes: PositiveInt = 256 * 1024 * 1024
    """The most bytes of a request's body, as sent and as decompressed."""
    job_ttl: PositiveInt = 86_400
    """Seconds that a job and its results are kept after its submission."""
    storage_quota: PositiveInt = 512 * 1024 * 1024
    """The most bytes that the jobs of one caller may keep in Redis, and as many those of its streams."""
    max_jobs: PositiveInt = 1000
    """The most jobs of one caller that have not ended."""
    stream_ttl: PositiveInt = 30 * 86_400
    """The most seconds that what a stream has counted is kept after the latest text of its time; a stream may ask for
    fewer.
    """
    max_streams: Annotated[int, Field(ge=1, le=10_000)] = 100
    """The most streams of one API key."""
    max_segments: Annotated[int, Field(ge=1, le=10_000)] = 100
    """The most segments of one stream; texts of further ones are counted together, as `(other)`."""
    stream_sample: Annotated[int, Field(ge=100, le=100_000)] = 2000
    """The most texts in the random sample of a segment."""
    stream_metrics: NonNegativeInt = 50
    """Segments of streams, of all keys together, that have time series of their own in the metrics, with the names that
    callers gave them; the others are one, `_other`.
    """
    callback_secret: SecretStr | None = None
    """Signs callbacks: `whsec_` and a key in base64, or any other text, whose UTF-8 bytes are then the key. Without it,
    `callback_url` is refused.
    """
    callback_secrets: SecretStr | None = None
    """Secrets of their own for callbacks of some API keys' jobs, so that no other key's receivers can sign in their
    name: `NAME:SECRET` for each, separated by commas or white space. Keys that are not named have `CALLBACK_SECRET`.
    """
    callback_allow_private: bool = False
    """Callbacks may go to private and loopback addresses too."""

    api_keys: SecretStr | None = None
    """API keys, stored hashed: `NAME:SCOPES:SHA256` for each, separated by commas or white space."""
    api_keys_file: Path | None = None
    """A file of API keys, one to a line, with `#` comments; they are valid in addition to `API_KEYS`."""
    allow_anonymous: bool = False
    """Without API keys, listen on other than loopback addresses all the same."""
    session_ttl: Annotated[int, Field(ge=60, le=30 * 86_400)] = 43_200
    """Seconds after which whoever has signed in on a page with an API key has to do so again."""
    rate_limit: str | None = None
    """Texts that one caller may send in a time: `100/s`, `6000/min`, `50000/h`."""
    daily_quota: PositiveInt | None = None
    """Texts that one caller may send in a day, UTC; those of jobs count too."""
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Web pages of other origins that may use the API: `https://example.com`, separated by commas or white
    space.
    """

    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Host names by which a service without API keys may be called, besides `localhost`, `HOST` and addresses:
    separated by commas or white space; `*` for all.
    """

    @field_validator("host", "metrics_host")
    @classmethod
    def _without_brackets(cls, host: str) -> str:
        return host.removeprefix("[").removesuffix("]")

    @field_validator("api_keys")
    @classmethod
    def _are_keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_keys(value.get_secret_value())
        return value

    @field_validator("api_keys_file")
    @classmethod
    def _is_key_file(cls, path: Path | None) -> Path | None:
        if path is not None:
            try:
                parse_keys(_key_file(path))
            except OSError as error:
                raise ValueError(f"{path} cannot be read ({error.strerror})") from None
            except UnicodeDecodeError:
                raise ValueError(f"{path} cannot be read (it is not UTF-8)") from None
        return path

    @field_validator("callback_secret")
    @classmethod
    def _is_webhook_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            require_webhook_secret(value.get_secret_value())
        return value

    @field_validator("callback_secrets")
    @classmethod
    def _are_webhook_secrets(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_secrets(value.get_secret_value())
        return value

    @field_validator("engine")
    @classmethod
    def _is_engine(cls, value: str) -> str:
        if value not in (known := ("auto", *ENGINES)):
            raise ValueError(f"must be {', '.join(known[:-1])} or {known[-1]}, and not {value[:_SHOWN]!r}")
        return value

    @field_validator("device")
    @classmethod
    def _is_device(cls, value: str) -> str:
        if _DEVICE.fullmatch(value) is None:
            raise ValueError(f"must be auto, cpu or a GPU like cuda:0, and not {value[:_SHOWN]!r}")
        return value

    @field_validator("rate_limit")
    @classmethod
    def _is_rate(cls, value: str | None) -> str | None:
        if value is not None and _RATE.fullmatch(value) is None:
            raise ValueError("must be a number of texts and a time, for example 100/s, 6000/min or 50000/h")
        return value

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _are_origins(cls, value: object) -> object:
        origins = tuple(re.findall(r"[^\s,]+", value)) if isinstance(value, str) else value
        for number, origin in enumerate(origins if isinstance(origins, tuple) else (), 1):
            parts = urlsplit(origin)
            if (
                parts.scheme not in ("http", "https")
                or not parts.netloc
                or origin != f"{parts.scheme}://{parts.netloc}".lower()
            ):
                raise ValueError(
                    f"origin {number} must be like https://example.com: scheme, host and optionally port, in lower case"
                )
        return origins

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _are_hosts(cls, value: object) -> object:
        names = tuple(re.findall(r"[^\s,]+", value)) if isinstance(value, str) else value
        for number, name in enumerate(names if isinstance(names, tuple) else (), 1):
            if re.fullmatch(r"\*|[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", name) is None:
                raise ValueError(f"host {number} must be like sentiq.example.com, without scheme and port")
        return names

    @field_validator("url_prefix")
    @classmethod
    def _is_prefix(cls, value: str) -> str:
        if re.fullmatch(r"((/[A-Za-z0-9._~-]+)+)?/?", value) is None or re.search(r"/\.{1,2}(/|$)", value):
            raise ValueError("must be a path like /sentiq")
        first = value.split("/")[1] if value else ""
        if first in API_PATHS:
            raise ValueError(f"must not begin with /{first}, as addresses of the API do; take a path like /sentiq")
        return value.rstrip("/")

    @field_validator("redis_url", "celery_broker_url", "celery_result_backend")
    @classmethod
    def _is_redis(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        if url is not None and not is_address(url):
            raise ValueError("is not a valid address; in a password, write / as %2F, @ as %40, # as %23 and ? as %3F")
        return url

    @field_validator("grafana_url", "flower_url", mode="before")
    @classmethod
    def _is_some_page(cls, url: object) -> object:
        return url or None

    @field_validator("otel_exporter_otlp_endpoint", "grafana_url", "flower_url")
    @classmethod
    def _is_http(cls, url: str | None) -> str | None:
        if url is not None and not re.match(r"https?://[^/]", url):
            raise ValueError("must begin with http:// or https://, for example http://localhost:4318")
        return url

    @field_validator("model_languages", mode="before")
    @classmethod
    def _are_languages(cls, value: object) -> object:
        return as_codes(re.findall(r"[^\s,]+", value)) if isinstance(value, str) else value

    @field_validator("label_map", mode="before")
    @classmethod
    def _is_json(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value, object_pairs_hook=unique_keys)
        except Twice:
            raise
        except ValueError:
            raise ValueError('must be a JSON object, for example {"LABEL_0": "NEGATIVE"}') from None

    @field_validator("models")
    @classmethod
    def _have_one_meaning(cls, value: dict[str, Source], info: ValidationInfo) -> dict[str, Source]:
        require_one_meaning(value, _source_of(info.data))
        return value

    @property
    def embedded(self) -> bool:
        """Whether the embedded server is used, as no other was given."""
        return self.redis_url is None

    @property
    def socket_path(self) -> Path:
        """The path of the embedded server's socket; outside `DATA_DIR` if the path would be too long for a socket."""
        path = self.data_dir.absolute() / "valkey.sock"
        if len(bytes(path)) > _LONGEST_SOCKET_PATH:
            digest = hashlib.sha256(bytes(self.data_dir.absolute())).hexdigest()[:16]
            path = Path(tempfile.gettempdir()) / f"sentiq-{digest}" / "valkey.sock"
        return path

    @property
    def cache_url(self) -> str:
        """The URL of the server for the prediction cache, in-flight marks and replies, all of which may be evicted."""
        return self.redis_url or f"unix://{self.socket_path}?db=0"

    @property
    def broker_url(self) -> str:
        """The URL of the server for the queues."""
        return self.celery_broker_url or self.cache_url

    @property
    def results_url(self) -> str:
        """The URL of the server for jobs and their results."""
        return self.celery_result_backend or self.cache_url

    @property
    def keys(self) -> dict[str, ApiKey]:
        """The API keys by digest; empty if the service is open to all callers that can reach it."""
        texts = [self.api_keys.get_secret_value()] if self.api_keys is not None else []
        texts += [_key_file(self.api_keys_file)] if self.api_keys_file is not None else []
        return {digest: key for text in texts for digest, key in parse_keys(text).items()}

    @property
    def callback_names(self) -> list[str]:
        """The names of the API keys that CALLBACK_SECRETS has secrets for."""
        return list(parse_secrets(self.callback_secrets.get_secret_value())) if self.callback_secrets else []

    def callback_secret_of(self, owner: str | None) -> str | None:
        """The secret that signs the callbacks of this API key's jobs; None if they cannot be signed."""
        own = parse_secrets(self.callback_secrets.get_secret_value()) if self.callback_secrets is not None else {}
        common = self.callback_secret.get_secret_value() if self.callback_secret is not None else None
        return own.get(owner or "", common)

    @property
    def rate(self) -> tuple[int, int] | None:
        """RATE_LIMIT as a number of texts and a number of seconds; None without a limit."""
        found = _RATE.fullmatch(self.rate_limit or "")
        return (int(found[1]), _UNITS_S[found[2]]) if found is not None else None

    @property
    def served(self) -> dict[str, Model]:
        """The models that the service serves, by each of their names, the default one first."""
        default = Source(self.model_name, self.model_revision, self.label_map, self.model_languages)
        return models_by_name(self.models, default, self.analysis)

    def of(self, model: Model) -> Settings:
        """These settings with a model of MODELS in the place of MODEL_NAME, for what loads it."""
        source = model.source
        own = {"model_name": source.name, "model_revision": source.revision, "label_map": dict(source.label_map)}
        return self.model_copy(update=own | {"model_languages": source.languages})

    @property
    def model_tag(self) -> str:
        """The model tag of the default model."""
        return self.served[DEFAULT].tag


def load_settings(spelt: Mapping[str, str] | None = None, *, classes: bool = True) -> Settings:
    """Reads the settings from the environment, and with LABELS=own the model's classes.

    Args:
        spelt: the names by which fields were given, if not in the environment: `port` as `--port`.
        classes: whether the classes are needed: a model on a hub may have to be asked for them.

    Raises:
        SettingsRefused: one sentence for each variable that cannot be used; or the folder of the embedded server's
            socket is not this user's alone.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        faults = []
        for fault in error.errors():
            field = str(fault["loc"][0])
            name = (spelt or {}).get(field, field.upper())
            wrong = in_words(fault["msg"])
            if "parsing" in fault["type"] and (Settings.model_fields[field].description or "").startswith("Seconds"):
                wrong += " of seconds"
            # What Sentiq checks itself says what has to be said: the value may hold a secret.
            shown = "" if fault["type"] == "value_error" else f", and not {str(fault['input'])[:_SHOWN]!r}"
            faults.append(f"{name}: {wrong}{shown}")
        raise SettingsRefused("; ".join(faults)) from None
    if settings.embedded and settings.socket_path.parent != settings.data_dir.absolute():
        require_own(settings.socket_path.parent)  # whoever else owns it could pose as the server
    if classes and settings.labels == "own":
        own = own_classes(
            settings.model_name,
            settings.model_revision,
            engine=settings.engine,
            label_map=settings.label_map,
            models=settings.models,
            analysis=settings.analysis,
            spelt=(spelt or {}).get("labels", "LABELS"),
        )
        settings = settings.model_copy(update={"analysis": own})
    return settings
