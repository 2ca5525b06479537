"""The command `sentiq` as a process: in a pipe, and at a real terminal with its keys."""

from __future__ import annotations

import csv
import fcntl
import gzip
import json
import os
import re
import shlex
import signal
import struct
import subprocess
import sys
import termios
import threading
import uuid
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from tests.support.sheets import xlsx, zipped
from tests.support.stack import ROOT, Stack, free_port
from tests.support.texts import labels, new_texts
from tests.support.waiting import wait_until

COMMAND = (sys.executable, "-m", "webapp.client.cli")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def write_csv(path: Path, texts: list[str], *, column: str = "text") -> list[dict[str, str]]:
    """Writes a CSV file with these texts between two other columns; returns its rows."""
    rows = [{"n": str(n), column: text, "note": f'a "quoted", note\nof row {n}'} for n, text in enumerate(texts)]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["n", column, "note"])
        writer.writeheader()
        writer.writerows(rows)
    return rows


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class Sentiq:
    """Runs the command against one service, in one folder."""

    def __init__(self, port: int, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("SENTIQ_", "PYTHON"))
        }
        self.environment |= {
            "SENTIQ_URL": f"http://127.0.0.1:{port}",
            "PYTHONPATH": str(ROOT),
            "TERM": "xterm-256color",
        }

    def run(self, *words: str, stdin: bytes = b"", status: int = 0) -> subprocess.CompletedProcess[bytes]:
        """Runs a command to its end, without a terminal."""
        done = subprocess.run(
            [*COMMAND, *words], cwd=self.folder, env=self.environment, input=stdin, capture_output=True, timeout=120
        )
        assert done.returncode == status, done.stderr.decode()
        assert b"Traceback" not in done.stderr
        return done

    def terminal(self, *words: str) -> Terminal:
        """Starts a command at a terminal."""
        return Terminal([*COMMAND, *words], self.folder, self.environment)

    def leftovers(self) -> list[str]:
        """The files in its folder other than the input."""
        return sorted(path.name for path in self.folder.iterdir() if not path.name.startswith("in."))


def _interruptible() -> None:
    """Lets Ctrl-C have its effect, even if the tests run in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _at_a_terminal() -> None:
    """Lets the terminal's keys become signals."""
    _interruptible()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A process whose stdin, stdout and stderr are a terminal of 80 columns, whose output is read continuously."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=_at_a_terminal,
        )
        os.close(slave)
        self._raw = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self._master, 65536)
            except OSError:
                return  # the other end is closed
            self._raw += part

    @property
    def shown(self) -> str:
        """Everything that was shown, without colours and cursor movements."""
        return _ESCAPES.sub("", self._raw.decode(errors="replace")).replace("\r\n", "\n")

    @property
    def screen(self) -> list[str]:
        """The lines that are still visible, after everything that was erased or overwritten."""
        lines, row, column = [""], 0, 0
        for escape, character in re.findall(
            r"(\x1b\[[0-9;?]*[A-Za-z])|(.)", self._raw.decode(errors="replace"), re.DOTALL
        ):
            if escape == "\x1b[2K":
                lines[row] = ""
            elif escape == "\x1b[1A":
                row -= 1
            elif character == "\r":
                column = 0
            elif character == "\n":
                row, lines = row + 1, [*lines, ""] if row + 1 == len(lines) else lines
            elif character:
                lines[row] = lines[row][:column].ljust(column) + character + lines[row][column + 1 :]
                column += 1
        return [line.rstrip() for line in lines if line.strip()]

    def type(self, keys: str) -> None:
        """Presses keys."""
        os.write(self._master, keys.encode())

    def wait_for(self, pattern: str, *, count: int = 1) -> re.Match[str]:
        """Waits until the pattern has this many matches; returns the last one."""

        def found() -> re.Match[str] | None:
            matches = list(re.finditer(pattern, self.shown))
            assert len(matches) >= count or self.process.poll() is None, f"ended without {pattern!r}:\n{self.shown}"
            return matches[-1] if len(matches) >= count else None

        return wait_until(found, what=f"{pattern!r} on the terminal", timeout_s=60)

    def ended(self, status: int = 0) -> str:
        """Waits until it has ended with the expected status; returns what was shown."""
        assert self.process.wait(60) == status, self.shown
        self._reader.join(10)
        os.close(self._master)
        assert "Traceback" not in self.shown
        return self.shown


@pytest.fixture
def sentiq(service: Stack, tmp_path: Path) -> Sentiq:
    """The command, in an empty folder, on the shared service."""
    return Sentiq(service.port, tmp_path)


# predict


def test_predict(sentiq: Sentiq) -> None:
    """Each text gets one line: label, confidence, and the text without control sequences."""
    texts = ["good news", "a bad\n  thing\x1b]0;title\x07", os.fsdecode(b"plain \xff")]
    shown = sentiq.run("predict", *texts).stdout.decode().split("\n")[:-1]
    assert [line.split()[0] for line in shown] == ["POSITIVE", "NEGATIVE", "NEUTRAL"]
    assert all(re.fullmatch(r"[A-Z]+ +0\.\d{4}  \S.*", line) for line in shown)
    assert shown[1].endswith("  a bad thing ]0;title")
    assert shown[2].endswith("  plain \ufffd")


def test_other_languages(make_stack: Callable[..., Stack], tmp_path: Path) -> None:
    """A text in a language that the model does not read has no label and says why; a batch counts such lines apart."""
    stack = make_stack(model="stub", WEB_CONCURRENCY=1, MODEL_LANGUAGES="en").start("interactive", "batch")
    sentiq = Sentiq(stack.port, tmp_path)
    foreign = "Das neue Album ist leider wirklich nur langweilig und viel zu lang."
    shown = sentiq.run("predict", foreign, "@anna 123", "good").stdout.decode().splitlines()
    assert shown[0] == f"-         -       {foreign}  (not scored: unsupported_language, de)"
    assert shown[1].endswith("@anna 123  (no_words)")
    assert shown[2].endswith("  good")
    (tmp_path / "in.txt").write_text(f"{foreign}\ngood\n")
    assert b": 0 negative, 0 neutral, 1 positive, 1 in languages that the model does not read -> in.sentiq" in (
        sentiq.run("batch", "in.txt").stderr
    )
    job = json.loads(sentiq.run("jobs", "--json").stdout.splitlines()[0])
    assert b"1 in other languages" in sentiq.run("job", job["id"]).stdout


def test_predict_says_which_text(sentiq: Sentiq) -> None:
    """A text that cannot be scored is told by its number, since of a blank one nothing else can be shown."""
    done = sentiq.run("predict", "good", "", "bad", status=1)
    assert [line.split()[0] for line in done.stdout.decode().splitlines()] == ["POSITIVE", "NEGATIVE"]
    assert done.stderr == b"sentiq: text 2: The text is empty or blank.\n"


@pytest.mark.parametrize(
    "words", [("--json", "predict", "good"), ("predict", "good", "--json"), ("predict", "--json", "--", "good")]
)
def test_predict_json(sentiq: Sentiq, words: tuple[str, ...]) -> None:
    """With `--json`, before the command or after it, each answer is a line of JSON with all fields."""
    (line,) = sentiq.run(*words).stdout.splitlines()
    answer = json.loads(line)
    assert answer["text"] == "good"
    assert answer["label"] == "POSITIVE"
    assert answer["confidence"] == answer["scores"]["POSITIVE"]


def test_predict_stdin(sentiq: Sentiq) -> None:
    """Without texts, the lines of stdin are scored as they come; a line that cannot be scored is reported on stderr,
    and the others go on.
    """
    poison = f"poison {uuid.uuid4().hex}"
    done = sentiq.run("predict", stdin=f"good\n\n{poison}\nbad".encode(), status=1)
    assert [line.split()[0] for line in done.stdout.decode().splitlines()] == ["POSITIVE", "NEGATIVE"]
    assert done.stderr.decode() == f"sentiq: line 3: The model could not score this text. {poison}\n"
    answers = [
        json.loads(line)
        for line in sentiq.run("predict", "--json", stdin=f"good\n{poison}\n".encode(), status=1).stdout.splitlines()
    ]
    assert answers[1] == {"text": poison, "error": {"code": "text_failed"}}


def test_predict_stdin_of_another_encoding(sentiq: Sentiq) -> None:
    """A line of stdin that is not UTF-8 is reported and not scored as something else; with its encoding, or a byte
    order mark, it is scored, and in a file the encoding is found and said.
    """
    raw = "good – très déçu, mais théâtre superbe\nbad\n".encode("cp1252")
    done = sentiq.run("predict", stdin=raw, status=1)
    assert [line.split()[0] for line in done.stdout.decode().splitlines()] == ["NEGATIVE"]
    assert "sentiq: line 1: Line 1" not in done.stderr.decode()
    assert "--encoding" in done.stderr.decode()
    for words, given in ((["--encoding", "windows-1252"], raw), ([], raw.decode("cp1252").encode("utf-16"))):
        done = sentiq.run("predict", *words, "--json", stdin=given)
        texts = [json.loads(line)["text"] for line in done.stdout.splitlines()]
        assert texts == ["good – très déçu, mais théâtre superbe", "bad"]
    refused = sentiq.run("predict", "--encoding", "zip", stdin=b"good\n", status=1)
    assert "`encoding` must be" in refused.stderr.decode()
    assert "Traceback" not in refused.stderr.decode()


def test_batch_reads_as_it_is_told(sentiq: Sentiq) -> None:
    """Options say how a file is read and written; an encoding that was found is said; an option without effect, or a
    missing one, is told by its name on the command line.
    """
    (sentiq.folder / "in.csv").write_bytes(b"\xef\xbb\xbf1;good;5\n2;bad\n")
    done = sentiq.run("batch", "in.csv", "--no-header", "--column", "2", status=1)
    assert "--on-error line" in done.stderr.decode()
    sentiq.run("batch", "in.csv", "--no-header", "--column", "2", "--on-error", "line", "--like-input")
    rows = (sentiq.folder / "in.sentiq.csv").read_bytes()
    assert rows.startswith(b"\xef\xbb\xbf1;2;3;position;")
    (sentiq.folder / "old.csv").write_bytes("id;text\n1;Très déçu, ce théâtre\n".encode("cp1252"))
    assert "read as cp1252" in sentiq.run("batch", "old.csv", "--force").stderr.decode()
    (sentiq.folder / "lines.txt").write_text("good\n")
    assert "`column` has no effect" in sentiq.run("batch", "lines.txt", "--column", "x", status=1).stderr.decode()
    (sentiq.folder / "tab.txt").write_text("id\ttext\n1\tgood\n")
    refused = sentiq.run("batch", "tab.txt", "--column", "text", status=1)
    assert "leave it out; if it is a table, say so: --type csv." in refused.stderr.decode()
    assert "its first one too. If it is a table, say so: --type csv." in sentiq.run("batch", "tab.txt").stderr.decode()
    (sentiq.folder / "unicode.txt").write_text("id\ttext\n1\tgood\n", encoding="utf-16")
    assert "If it is a table, say so: --type csv." in sentiq.run("batch", "unicode.txt").stderr.decode()
    assert "is a table" not in sentiq.run("batch", "lines.txt").stderr.decode()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_output_of_another_encoding(sentiq: Sentiq, encoding: str) -> None:
    """What the output's encoding has no sign for is escaped, JSON and results stay what they are, and nothing ends in
    a traceback.
    """
    sentiq.environment["PYTHONIOENCODING"] = encoding
    text = "good \N{GRINNING FACE} caf\xe9"
    assert (
        sentiq.run("predict", text)
        .stdout.decode(encoding)
        .rstrip()
        .endswith(
            {"ascii": "good \\U0001f600 caf\\xe9", "latin-1": "good \\U0001f600 caf\xe9", "utf-8": text}[encoding]
        )
    )
    assert json.loads(sentiq.run("predict", "--json", text).stdout.decode(encoding))["text"] == text
    (sentiq.folder / "in.txt").write_text(f"{text}\n", encoding="utf-8")
    results = sentiq.run("batch", "in.txt", "-o", "-", "--format", "ndjson").stdout
    assert json.loads(results.decode())["text"] == text
    assert b"job" in sentiq.run("jobs").stdout
    refused = sentiq.run("batch", "no caf\xe9 \N{GRINNING FACE}.txt", status=2)
    assert b"there is no file" in refused.stderr
    for words in (("--help",), ("batch", "--help"), ("serve", "--help")):
        sentiq.run(*words)


def test_predict_answers_each_line_at_once(sentiq: Sentiq) -> None:
    """A line is answered before the next one comes."""
    arguments: dict[str, Any] = {
        "cwd": sentiq.folder,
        "env": sentiq.environment,
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
    }
    with subprocess.Popen([*COMMAND, "predict"], **arguments) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for word, label in (("good", b"POSITIVE"), ("bad", b"NEGATIVE")):
            process.stdin.write(f"{word}\n".encode())
            process.stdin.flush()
            assert process.stdout.readline().startswith(label)


# batch


def test_batch_of_twenty_thousand(make_stack: Callable[..., Stack], tmp_path: Path) -> None:
    """A CSV file of 20,000 lines comes back line for line, its own columns first, each with the answer to its own text;
    failed lines are counted.
    """
    stack = make_stack(WEB_CONCURRENCY=1, model="stub?fail_on=poison").start("batch")
    sentiq = Sentiq(stack.port, tmp_path)
    texts = new_texts(20_000)
    texts[7], texts[19_999] = "", f"poison {uuid.uuid4().hex}"
    rows = write_csv(tmp_path / "in.csv", texts)
    done = sentiq.run("batch", "in.csv", "-o", "out.csv", "--column", "text")
    assert done.stdout == b""
    start, accepted, end = done.stderr.decode().splitlines()
    assert start == f"Sending in.csv to http://127.0.0.1:{stack.port}."
    assert re.fullmatch(r"Job [0-9a-f]{32}: 20,000 lines\.", accepted)
    assert re.fullmatch(r"20,000 lines in \d+\.\d s: .*, 2 failed \(their field `error` says why\) -> out\.csv", end)
    out = read_csv(tmp_path / "out.csv")
    assert list(out[0])[:4] == ["n", "text", "note", "position"]
    assert [{name: row[name] for name in ("n", "text", "note")} for row in out] == rows
    assert [int(row["position"]) for row in out] == list(range(20_000))
    assert [row["label"] for row in out if row["status"] == "done"] == labels(
        [text for n, text in enumerate(texts) if n not in (7, 19_999)]
    )
    assert [(row["n"], row["error"], row["label"]) for row in out if row["status"] != "done"] == [
        ("7", "empty_text", ""),
        ("19999", "text_failed", ""),
    ]
    assert sentiq.leftovers() == ["out.csv"]


@pytest.mark.parametrize(
    ("name", "words", "out"),
    [
        ("in.csv", (), "in.sentiq.csv"),
        ("in.csv.gz", (), "in.sentiq.csv"),
        ("in.tsv", (), "in.sentiq.csv"),
        ("in.ndjson", (), "in.sentiq.ndjson"),
        ("in.jsonl", (), "in.sentiq.jsonl"),
        ("in.txt", (), "in.sentiq.csv"),
        ("in.json", (), "in.sentiq.json"),
        ("in.csv", ("--format", "ndjson"), "in.sentiq.ndjson"),
        ("in.csv", ("-o", "out.JSON"), "out.JSON"),
        ("in.csv", ("-o", "out.data", "--format", "csv"), "out.data"),
        ("in.data", ("--type", "txt.gz"), "in.sentiq.csv"),
        ("in.data", ("--type", "ndjson"), "in.sentiq.ndjson"),
    ],
)
def test_batch_files(sentiq: Sentiq, name: str, words: tuple[str, ...], out: str) -> None:
    """Types and formats are told by the names' endings or by options; without -o the output is beside the input."""
    texts = new_texts(3)
    path = sentiq.folder / name
    if ".csv" in name:
        write_csv(path, texts)
    elif ".tsv" in name:
        path.write_text("n\ttext\n" + "".join(f"{n}\t{text}\n" for n, text in enumerate(texts)))
    elif ".json" in path.suffixes:
        path.write_text(json.dumps({"texts": texts}))
    else:
        path.write_text("".join(f"{text if 'txt' in f'{name} {words}' else json.dumps(text)}\n" for text in texts))
    if ".gz" in f"{name} {words}":
        path.write_bytes(gzip.compress(path.read_bytes()))
    sentiq.run("batch", name, *words)
    assert sentiq.leftovers() == [] if out.startswith("in.") else [out]
    result = sentiq.folder / out
    if out.lower().endswith(".json"):
        lines = json.loads(result.read_text())
    elif "csv" in f"{out} {words}":
        lines = read_csv(result)
    else:
        lines = [json.loads(line) for line in result.read_text().splitlines()]
    assert [line["text"] for line in lines] == texts
    assert [line["label"] for line in lines] == labels(texts)


def test_batch_in_a_pipe(sentiq: Sentiq) -> None:
    """`-` reads stdin and writes stdout, in the input's format; nothing but the results is on stdout."""
    texts = new_texts(3)
    done = sentiq.run(
        "batch", "-", "--type", "ndjson", stdin="".join(f"{json.dumps(text)}\n" for text in texts).encode()
    )
    assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == texts
    rows = (
        sentiq.run("batch", "-", "--type", "txt", "-o", "-", "--json", stdin="\n".join(texts).encode())
        .stdout.decode()
        .splitlines()
    )
    assert [row.split(",")[0] for row in rows] == ["text", *texts]
    assert sentiq.leftovers() == []


def test_batch_reader_leaves(sentiq: Sentiq) -> None:
    """If the reader of the results stops reading, the command ends quietly."""
    write_csv(sentiq.folder / "in.csv", new_texts(3))
    command = f"{shlex.join(COMMAND)} batch in.csv -o - | true"
    done = subprocess.run(
        command, shell=True, cwd=sentiq.folder, env=sentiq.environment, capture_output=True, timeout=60
    )
    assert b"Job" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Broken" not in done.stderr
    assert b"--resume" not in done.stderr


def test_batch_other_csv(sentiq: Sentiq) -> None:
    """Column and delimiter can be given, and the results come as JSON on stdout."""
    (sentiq.folder / "in.csv").write_text("id;comment\n1;good, really\n2;bad\n")
    job = json.loads(sentiq.run("batch", "in.csv", "--column", "comment", "--delimiter", ";", "--json").stdout)
    assert (job["status"], job["total"], job["labels"]["POSITIVE"]) == ("succeeded", 2, 1)
    assert [(row["id"], row["comment"], row["label"]) for row in read_csv(sentiq.folder / "in.sentiq.csv")] == [
        ("1", "good, really", "POSITIVE"),
        ("2", "bad", "NEGATIVE"),
    ]


def test_batch_spreadsheet(sentiq: Sentiq) -> None:
    """A spreadsheet's results are beside it as a spreadsheet; which sheet was read is said. `--sheet` chooses another,
    and `--raw`, which spreadsheets have no use for, is refused before anything is sent.
    """
    texts = new_texts(2)
    notes: list[list[object]] = [["about", "text"], [1, "x"]]
    (sentiq.folder / "in.xlsx").write_bytes(xlsx({"Jan": [["text"], *([text] for text in texts)], "Notes": notes}))
    assert b"Say which one" in sentiq.run("batch", "in.xlsx", status=1).stderr
    done = sentiq.run("batch", "in.xlsx", "--sheet", "Jan")
    assert b"2 lines, of the sheet Jan." in done.stderr
    header, *rows = openpyxl.load_workbook(sentiq.folder / "in.sentiq.xlsx").active.iter_rows(values_only=True)
    assert (header[0], [row[0] for row in rows]) == ("text", texts)
    assert [row[header.index("label")] for row in rows] == labels(texts)
    refused = sentiq.run("batch", "in.xlsx", "--raw", "--force", status=2)
    assert b"no effect" in refused.stderr
    (sentiq.folder / "in.zip").write_bytes(zipped({"a.csv": f"text\n{texts[0]}\n".encode()}))
    assert b"1 line, of the file a.csv in it." in sentiq.run("batch", "in.zip").stderr
    assert [row["text"] for row in read_csv(sentiq.folder / "in.sentiq.csv")] == texts[:1]


def test_batch_overwrites_nothing(sentiq: Sentiq) -> None:
    """An output that exists is left alone before anything is sent, unless `--force` is given."""
    (sentiq.folder / "in.txt").write_text("good\n")
    (sentiq.folder / "out.csv").write_text("mine")
    refused = sentiq.run("batch", "in.txt", "-o", "out.csv", status=2)
    assert b"--force" in refused.stderr
    assert b"Job" not in refused.stderr
    assert (sentiq.folder / "out.csv").read_text() == "mine"
    sentiq.run("batch", "in.txt")
    refused = sentiq.run("batch", "in.txt", status=2)
    assert b"Invalid value for FILE" in refused.stderr
    assert b"-o names another file" in b" ".join(refused.stderr.replace("│".encode(), b" ").split())
    sentiq.run("batch", "in.txt", "-o", "out.csv", "--force")
    assert read_csv(sentiq.folder / "out.csv")[0]["label"] == "POSITIVE"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("batch",), "--resume"),
        (("batch", "in.txt", "--resume", "x"), "--resume"),
        (("batch", "-"), "--type"),
        (("batch", "absent.csv"), "absent.csv"),
        (("batch", "."), "no file"),
        (("batch", "in.data"), "--type"),
        (("batch", "in.txt", "--type", "docx"), "docx"),
        (("batch", "in.txt", "-o", "out.docx"), "--format"),
        (("batch", "in.txt", "-o", "nowhere/out.csv"), "nowhere"),
        (("jobs", "--status", "lost"), "Invalid value for '--status': 'lost' is not one of"),
        (("jobs", "--limit", "x"), "Invalid value for '--limit': must be a whole number"),
        (("predict", "x", "--url", "localhost"), "localhost"),
        (("guess",), "guess"),
    ],
)
def test_usage(sentiq: Sentiq, words: tuple[str, ...], said: str) -> None:
    """Wrong usage ends with status 2 and a hint, and leaves no file."""
    for name in ("in.txt", "in.data"):
        (sentiq.folder / name).write_text("good\n")
    assert said in sentiq.run(*words, status=2).stderr.decode()
    assert sentiq.leftovers() == []


def test_batch_bad_line(sentiq: Sentiq) -> None:
    """For a file that the service refuses there is one sentence, with the line and the option that helps, and no output
    file.
    """
    (sentiq.folder / "in.ndjson").write_text('"good"\n{"txt": "bad"}\n')
    last = sentiq.run("batch", "in.ndjson", status=1).stderr.decode().splitlines()[-1]
    assert last.startswith("sentiq: Line 2: ")
    (sentiq.folder / "in.json").write_text('["good", ')
    last = sentiq.run("batch", "in.json", status=1).stderr.decode().splitlines()[-1]
    assert last.startswith("sentiq: ")
    assert "JSON" in last
    (sentiq.folder / "in.csv").write_text("comment\ngood\n")
    last = sentiq.run("batch", "in.csv", status=1).stderr.decode().splitlines()[-1]
    assert "`comment`" in last
    assert "--column" in last
    (sentiq.folder / "in.csv").write_text("text;n\ngood;1\n")
    last = sentiq.run("batch", "in.csv", "--delimiter", ",", status=1).stderr.decode().splitlines()[-1]
    assert last.endswith("say so: --delimiter ';'.")
    assert sentiq.leftovers() == []


def test_full_disk(sentiq: Sentiq) -> None:
    """If the output cannot be written, there is one sentence, and the command that comes back to the job's results."""
    (sentiq.folder / "in.txt").write_text("good\n")
    *_, back, last = (
        sentiq.run("batch", "in.txt", "-o", "/dev/full", "--format", "csv", status=1).stderr.decode().splitlines()
    )
    assert re.fullmatch(r"  sentiq batch --resume [0-9a-f]{32} -o /dev/full --format csv", back)
    assert last.startswith("sentiq: ")
    assert "No space left" in last


def test_every_line_failed(sentiq: Sentiq) -> None:
    """A job in which every line failed is an error; the output has the reason of each line."""
    (sentiq.folder / "in.txt").write_text("\n\n")
    shown = sentiq.run("batch", "in.txt", status=1).stderr.decode()
    assert "2 lines, failed in" in shown
    (sentiq.folder / "in.txt").write_text("\n")
    shown = sentiq.run("batch", "in.txt", "--force", status=1).stderr.decode()
    assert re.search(r"Job [0-9a-f]{32}: 1 line\.\n1 line, failed in", shown)
    assert [row["error"] for row in read_csv(sentiq.folder / "in.sentiq.csv")] == ["empty_text"]


# Jobs


def test_jobs(sentiq: Sentiq) -> None:
    """Jobs can be listed, shown and cancelled, in a table that never cuts an id, or as JSON."""
    (sentiq.folder / "in.txt").write_text("good\n\n")
    job = json.loads(sentiq.run("batch", "in.txt", "--json").stdout)
    table = sentiq.run("jobs").stdout.decode().splitlines()
    assert table[0].split() == ["job", "status", "lines", "done", "failed", "created"]
    assert table[1].split()[:6] == [job["id"], "succeeded", "2", "100", "%", "1"]
    assert all(len(line) <= 80 for line in table)
    assert "--limit" in sentiq.run("jobs", "--limit", "1").stderr.decode()
    listed = [
        json.loads(line)
        for line in sentiq.run("jobs", "--json", "--limit", "1", "--status", "succeeded").stdout.splitlines()
    ]
    assert [found["id"] for found in listed] == [job["id"]]
    assert json.loads(sentiq.run("job", job["id"], "--json").stdout)["failed"] == 1
    assert "2 of 2 done, 1 failed" in sentiq.run("job", job["id"]).stdout.decode()
    cancelled = sentiq.run("cancel", job["id"])
    assert "succeeded" in cancelled.stdout.decode()
    assert cancelled.stderr == b"sentiq: the job had ended already\n"
    assert sentiq.run("remove", job["id"]).stdout.decode() == f"Removed {job['id']}.\n"
    assert "There is no job" in sentiq.run("remove", job["id"], status=1).stderr.decode()


def test_unknown_job(sentiq: Sentiq) -> None:
    """For an unknown job there is one sentence and status 1."""
    for words in (("job", "0" * 32), ("cancel", "0" * 32), ("batch", "--resume", "0" * 32)):
        assert re.fullmatch(
            r"sentiq: There is no job with this id\. It may have expired\.\n",
            sentiq.run(*words, status=1).stderr.decode(),
        )


# The service


def test_service_is_not_there(tmp_path: Path) -> None:
    """If the service is not there, a sentence gives the address that was tried, and how to start it or to give another
    address.
    """
    port = free_port()
    (tmp_path / "in.txt").write_text("good\n")
    for words in (("predict", "x"), ("jobs",), ("batch", "in.txt")):
        last = Sentiq(port, tmp_path).run(*words, status=1).stderr.decode().splitlines()[-1]
        assert f"http://127.0.0.1:{port}" in last
        assert "make run" in last
        assert "--url" in last


def test_options_of_all_commands(sentiq: Sentiq) -> None:
    """`--url` takes precedence over the environment, and after the command over before it; `--version` prints the
    version.
    """
    right, wrong = sentiq.environment["SENTIQ_URL"], f"http://127.0.0.1:{free_port()}"
    sentiq.environment["SENTIQ_URL"] = wrong
    sentiq.run("jobs", status=1)
    sentiq.run("--url", right, "jobs")
    sentiq.run("--url", wrong, "jobs", "--url", right)
    assert sentiq.run("--version").stdout.decode() == f"sentiq {version('sentiq')}\n"


# At a terminal


def test_progress_at_a_terminal(sentiq: Sentiq) -> None:
    """A terminal shows a bar with counts, rate and the time left. At the end the bar is gone, and the job and its
    outcome remain.
    """
    write_csv(sentiq.folder / "in.csv", new_texts(1200))
    terminal = sentiq.terminal("batch", "in.csv")
    terminal.wait_for(r"Sending ")
    terminal.wait_for(r"Scoring ━.* \d+ of 1,200, [\d,]+ texts/s, \d:\d\d:\d\d left")
    shown = terminal.ended()
    assert max(len(frame) for frame in re.split("[\r\n]", shown) if "━" in frame) <= 80
    accepted, outcome = terminal.screen
    assert re.fullmatch(r"Job [0-9a-f]{32}: 1,200 lines\.", accepted)
    assert re.fullmatch(
        r"1,200 lines in \d+\.\d s: 400 negative, 400 neutral, 400 positive -> in\.sentiq\.csv", outcome
    )
    assert len(read_csv(sentiq.folder / "in.sentiq.csv")) == 1200


def test_results_at_a_terminal(sentiq: Sentiq) -> None:
    """Results that go to the terminal come complete, after the bar has gone."""
    (sentiq.folder / "in.txt").write_text("good\nbad\n")
    shown = sentiq.terminal("batch", "in.txt", "-o", "-").ended().replace("\r", "")
    assert re.search(r"\ntext,position,.*\ngood,0,done,POSITIVE,.*\nbad,1,done,NEGATIVE,.*\n2 lines in", shown)


@pytest.fixture
def running(sentiq: Sentiq) -> Iterator[Terminal]:
    """A batch of 800 lines that is running at a terminal."""
    write_csv(sentiq.folder / "in.csv", new_texts(800))
    terminal = sentiq.terminal("batch", "in.csv", "-o", "my out.csv")
    terminal.wait_for(r"Scoring ")
    yield terminal
    if terminal.process.poll() is None:
        terminal.process.kill()
        terminal.process.wait(10)


def way_back(shown: str) -> list[str]:
    """The words after `sentiq` in the line that says how to come back to the job."""
    (line,) = re.findall(r"^  sentiq (batch --resume .*)$", shown, re.MULTILINE)
    return shlex.split(line)


@pytest.mark.parametrize("answer", ["\n", "n\n", "\x03"])
def test_interrupt_leaves_the_job(sentiq: Sentiq, running: Terminal, answer: str) -> None:
    """Ctrl-C asks whether to cancel. Enter, no and a second Ctrl-C leave the job running, and the command that is shown
    fetches its results.
    """
    running.type("\x03")
    running.wait_for(r"Cancel job [0-9a-f]{32}\? .*\[y/N\] ")
    running.type(answer)
    shown = running.ended(130)
    assert "goes on" in shown
    assert sentiq.leftovers() == []
    words = way_back(shown)
    assert words[3:] == ["-o", "my out.csv"]
    assert json.loads(sentiq.run("job", words[2], "--json").stdout)["status"] in ("queued", "running")
    sentiq.run(*words)
    assert {row["status"] for row in read_csv(sentiq.folder / "my out.csv")} == {"done"}
    assert len(read_csv(sentiq.folder / "my out.csv")) == 800


def test_interrupt_cancels_the_job(sentiq: Sentiq, running: Terminal) -> None:
    """After Ctrl-C and yes the job is cancelled; the status is not 0. The command that is shown fetches the
    lines that were done, and that is a success.
    """
    running.type("\x03")
    running.wait_for(r"\[y/N\] ")
    running.type("y\n")
    shown = running.ended(130)
    assert re.search(r"Cancelled; [\d,]+ of 800 lines done\.", shown)
    words = way_back(shown)
    assert json.loads(sentiq.run("job", words[2], "--json").stdout)["status"] == "cancelled"
    assert "800 lines, cancelled in" in sentiq.run(*words).stderr.decode()
    assert "cancelled" in {row["status"] for row in read_csv(sentiq.folder / "my out.csv")} <= {"done", "cancelled"}


def test_interrupt_without_a_terminal(sentiq: Sentiq) -> None:
    """Without a terminal, SIGINT asks nothing: the job goes on, and the command that is shown has all the options that
    it needs.
    """
    (sentiq.folder / "in.sentiq.csv").write_text("of an earlier run")
    write_csv(sentiq.folder / "in.csv", new_texts(500))
    url = sentiq.environment.pop("SENTIQ_URL")
    with subprocess.Popen(
        [*COMMAND, "batch", "in.csv", "--force", "--url", url],
        cwd=sentiq.folder,
        env=sentiq.environment,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=_interruptible,
    ) as process:
        assert process.stderr is not None
        while not process.stderr.readline().startswith(b"Job "):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        shown = process.stderr.read().decode()
        assert process.wait(30) == 130
    words = way_back(shown)
    assert words[-3:] == ["--force", "--url", url]
    sentiq.run(*words)
    assert len(read_csv(sentiq.folder / "in.sentiq.csv")) == 500


def test_interrupt_of_predict(sentiq: Sentiq) -> None:
    """Ctrl-C at a prompt for texts ends quietly with status 130."""
    terminal = sentiq.terminal("predict")
    terminal.wait_for("Ctrl-D ends")
    terminal.type("good\n")
    terminal.wait_for(r"POSITIVE +0\.\d{4}  good")
    terminal.type("\x03")
    terminal.ended(130)


def write_mentions(path: Path, texts: list[str]) -> None:
    """Writes a CSV file with a time, a candidate and a label for each text."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["created", "candidate", "text", "gold"])
        for n, (text, label) in enumerate(zip(texts, labels(texts), strict=True)):
            writer.writerow([f"{1 + n // 24}/3/2026 {n % 24}:00", "AB"[n % 2], text, label.title()])


def test_report(sentiq: Sentiq) -> None:
    """A file becomes a page that stands alone, or JSON; its job can be reported again, and no file is overwritten."""
    texts = new_texts(72)
    write_mentions(sentiq.folder / "in.csv", texts)
    words = ("--time", "created", "--segment", "candidate", "--label", "gold", "--dates", "day-first")
    done = sentiq.run("report", "in.csv", *words)
    page = (sentiq.folder / "in.report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "Who is ahead" in page
    assert b"72 lines" in done.stderr
    assert b"in.report.html" in done.stderr
    again = sentiq.run("report", "in.csv", *words, status=2)
    assert b"--force" in again.stderr
    job = re.search(rb"Job ([0-9a-f]{32})", done.stderr)
    assert job is not None
    sentiq.run("report", "--job", job[1].decode(), *words, "-o", "report.json")
    body = json.loads((sentiq.folder / "report.json").read_bytes())
    assert (body["job"], body["texts"]["counted"]) == (job[1].decode(), 72)
    assert (body["first"], body["overall"]["method"]) == ("2026-03-01T00:00:00Z", "every text is labelled")
    to_stdout = sentiq.run("report", "--job", job[1].decode(), "-o", "-")
    assert json.loads(to_stdout.stdout)["segments"] == []
    assert sentiq.leftovers() == ["report.json"]


def test_report_of_columns_that_are_not_there(sentiq: Sentiq) -> None:
    """A column that is not there, or dates that may be two days, are said with the option to give and the way back to
    the job; nothing is written.
    """
    write_mentions(sentiq.folder / "in.csv", new_texts(12))
    done = sentiq.run("report", "in.csv", "--segment", "candidat", status=1)
    assert b"Do you mean `candidate`?" in done.stderr
    assert b"--column" not in done.stderr
    assert re.search(rb"sentiq report --job [0-9a-f]{32} --segment candidat", done.stderr)
    done = sentiq.run("report", "in.csv", "--time", "created", status=1)
    assert b"--dates day-first" in done.stderr
    assert b"no effect" in sentiq.run("report", "--job", "0" * 32, "--column", "text", status=2).stderr
    assert sentiq.leftovers() == []


# stream


def test_streams(sentiq: Sentiq) -> None:
    """A file's texts are sent to a stream, shown over time, compared, labelled and removed."""
    name = f"cli-{uuid.uuid4().hex[:12]}"
    rows = [
        f"{n},{'good' if n % 3 else 'bad'} thing {n},{'A' if n % 2 else 'B'},2026-11-2{n % 5}T12:{n % 60:02}:00Z"
        for n in range(300)
    ]
    (sentiq.folder / "in.csv").write_text("n,comment,party,created\n" + "\n".join(rows) + "\n")
    shown = sentiq.run("stream", "create", name, "--keep-sample", "--alias", "A=the first").stdout.decode()
    assert re.search(rf"stream +{name}\n", shown)
    columns = ("--column", "comment", "--segment", "party", "--time", "created", "--id", "n")
    for again in ("", "repeated"):
        assert sentiq.run("stream", "send", name, "in.csv", *columns).stdout == f"{name}: 300 texts\n".encode(), again
    assert re.search(r"texts +300, 300 repeated", sentiq.run("stream", "show", name).stdout.decode())
    days = [
        json.loads(line)
        for line in sentiq.run("stream", "series", name, "--bucket", "day", "--json").stdout.splitlines()
    ]
    assert sum(day["texts"] for day in days) == 300
    assert {day["segment"] for day in days} == {"A", "B"}
    assert "2026-11-20 00:00" in sentiq.run("stream", "series", name, "--bucket", "day").stdout.decode()
    compared = sentiq.run("stream", "compare", name, "A", "B").stdout.decode()
    assert "the model's own counts" in compared
    assert name in sentiq.run("stream", "list").stdout.decode()
    assert sentiq.run("stream", "shifts", name).stdout == b"No shifts.\n"
    labelled = sentiq.run("stream", "label", name, "--by", "ann", "--segment", "A", stdin=b"p\nwhat\nn\n?\nq\n")
    assert b"--no-keep-sample" in sentiq.run("stream", "create", name, status=2).stderr  # nothing is removed unasked
    assert b"A: 2 labels, 98 more before shares are corrected\n" in labelled.stdout
    assert labelled.stderr.count(b"[A] ") == 4
    assert sentiq.run("stream", "remove", name).stdout == f"Removed {name}.\n".encode()
    assert b"sentiq: " in sentiq.run("stream", "show", name, status=1).stderr


def test_streams_used_wrongly(sentiq: Sentiq) -> None:
    """What cannot be meant is refused before anything is sent, and what the service refuses is told in a sentence."""
    assert b"SEGMENT=NAME" in sentiq.run("stream", "create", "x", "--alias", "A", status=2).stderr
    assert b"no file" in sentiq.run("stream", "send", "x", "in.csv", status=2).stderr
    assert b"--type" in sentiq.run("stream", "send", "x", "-", status=2).stderr
    assert b"sentiq: " in sentiq.run("stream", "compare", "nobody-has-made-it", "A", "B", status=1).stderr


def test_stream_watched(sentiq: Sentiq) -> None:
    """At a terminal, minutes are shown as they are counted, until Ctrl-C."""
    name = f"cli-{uuid.uuid4().hex[:12]}"
    sentiq.run("stream", "create", name)
    terminal = sentiq.terminal("stream", "watch", name)
    (sentiq.folder / "in.ndjson").write_text('{"text": "good", "segment": "A"}\n')

    def shown() -> bool:
        sentiq.run("stream", "send", name, "in.ndjson")
        return "A: " in terminal.shown

    wait_until(shown, what="a minute to be shown", timeout_s=60)
    terminal.type("\x03")
    assert "100 % positive" in terminal.ended(130)
    sentiq.run("stream", "remove", name)
