"""What every command shares: results alone on stdout, all else on stderr, errors in one line."""

from __future__ import annotations

import json
import logging
import shlex
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Annotated, Any

import typer

from explgraph.base.errors import DoubtfulDataWarning, ExplGraphError, lacks_memory
from explgraph.base.progress import Run, watched
from explgraph.base.text import printable_lines

from .outputs import check_outputs
from .terminal import results, say

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


FAILED, REFUSED, INTERRUPTED = 1, 2, 130


@dataclass(frozen=True, slots=True)
class Report:
    """What a command has to say on stdout.

    Attributes
    ----------
    data
        JSON values.
    text
        Lines and tables that say the same to a person, one below the other.
    as_json
        Print `data` rather than `text`.
    exit_code
        0, or `FAILED` where a part of the work could not be done.
    then
        What is done when that is said, and takes as long as the user wants: a server.
    """

    data: Mapping[str, Any]
    text: tuple[RenderableType, ...]
    as_json: bool = False
    exit_code: int = 0
    then: Callable[[], None] | None = None


def add_command(
    app: typer.Typer, function: Callable[..., Report], example: str, panel: str
) -> None:
    """Make a function from options to `Report` a command of ``app``.

    While it runs, whatever is printed (a user's factory may) goes to stderr, as does its progress.
    One that shows photos to a network says at the end what took how long: in a line there, or with
    ``--json`` in the entries "seconds" and "photos_per_second". ``--verbose``, an option of every
    command, says so as soon as a stage ends. An `ExplGraphError`, an error of the file system or a
    lack of memory becomes one line there and exit code 2, Ctrl-C exit code 130. What its options
    name to be written (`Written`) is checked first.

    Parameters
    ----------
    app
        The command line.
    function
        Its name, signature and docstring become the command's name, options and help.
    example
        A command that the help shows.
    panel
        Where the list of all commands has it.
    """

    @wraps(function)
    def run(*, verbose: bool, **options: Any) -> None:  # noqa: ANN401
        with _errors_as_lines(options):
            with (
                redirect_stdout(sys.stderr),
                _log_on_stderr(verbose),
                watched(True, first="loading") as all_of_it,
            ):
                check_outputs(own.parameters, options)
                report = function(**options)
            _print(report, all_of_it)
            if report.then is not None:
                with _log_on_stderr(verbose):
                    report.then()
        if report.exit_code:
            raise typer.Exit(report.exit_code)

    own = signature(function, eval_str=True)
    verbose = Parameter("verbose", Parameter.KEYWORD_ONLY, default=False, annotation=_Verbose)
    parameters = [*own.parameters.values(), verbose]
    vars(run)["__signature__"] = own.replace(parameters=parameters)
    app.command(epilog=f"Example:\n\n{example}", rich_help_panel=panel)(run)


_Verbose = Annotated[
    bool, typer.Option("--verbose", help="Say on stderr what each stage took, when it ends.")
]


@contextmanager
def _errors_as_lines(options: Mapping[str, Any]) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        say(f"interrupted{_how_to_go_on(options)}")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:  # the reader of our output has seen enough: Typer ends quietly
        raise
    except BaseException as error:
        if not lacks_memory(error) and not isinstance(error, ExplGraphError | OSError):
            raise
        known = isinstance(error, ExplGraphError) or not lacks_memory(error)
        said = one_line(error) if known else _memory_line(options)
        say(f"error: {said}")
        raise typer.Exit(REFUSED) from error


def _memory_line(options: Mapping[str, Any]) -> str:
    """Return what to say, and to do, where memory does not suffice."""
    ways = ["end other programs"]
    if "batch_size" in options:
        ways.append("give a smaller --batch-size")
    if options.get("spool", "") is None:
        ways.append("keep peaks in files, with --spool DIR")
    return f"there is not enough memory: {', or '.join(ways)}"


def _how_to_go_on(options: Mapping[str, Any]) -> str:
    """Return what to say of a command that was interrupted, where it can go on or could have."""
    if "spool" not in options:
        return ""
    if options["spool"] is None:
        return ": nothing is kept. With --spool DIR, the same command with --resume would go on"
    again = ["explgraph", *sys.argv[1:]] + ["--resume"] * (not options["resume"])
    return f": what is done is kept in {options['spool']}. Go on with\n{shlex.join(again)}"


def one_line(error: BaseException) -> str:
    """Return an error's message without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def _log_on_stderr(verbose: bool) -> Iterator[None]:
    """Print the library's messages, until the command ends; the lesser ones if ``verbose``."""
    log, handler = logging.getLogger("explgraph"), _Lines()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG if verbose else logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warning_as_line(warnings.showwarning)
            yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def _warning_as_line(otherwise: Callable[..., None]) -> Callable[..., None]:
    """Return what shows a user's warning as the library's messages are shown, others as before."""

    def show(message: Warning | str, category: type[Warning], *where: Any) -> None:  # noqa: ANN401
        if category not in (UserWarning, DoubtfulDataWarning):
            otherwise(printable_lines(str(message)), category, *where)
            return
        logging.getLogger("explgraph").warning("%s", " ".join(str(message).split()))

    return show


class _Lines(logging.Handler):
    """Says what is logged, and how bad it is; a warning once, though photos are read twice."""

    def __init__(self) -> None:
        super().__init__()
        self._warned: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno <= logging.INFO:
            say(text)
        elif text not in self._warned:
            self._warned.add(text)
            say(f"{record.levelname.lower()}: {text}")


def _print(report: Report, run: Run) -> None:
    if report.as_json:
        data = {**report.data, **run.to_json(), **report.data}  # a command's own seconds stay
        typer.echo(json.dumps(data, indent=2, allow_nan=False))
        return
    console = results()
    for block in report.text:
        console.print(block, soft_wrap=isinstance(block, str))


def doubt_lines(doubts: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return a line for each reason to doubt a graph, from its JSON values."""
    words = {"warning": "doubtful", "note": "note"}
    return tuple(f"{words[doubt['severity']]}: {doubt['sentence']}" for doubt in doubts)


def table(*columns: str, title: str | None = None, text: int = 1) -> Table:
    """Start a table whose first ``text`` columns hold text, the others numbers."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    result = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for i, column in enumerate(columns):
        result.add_column(column, justify="left" if i < text else "right")
    return result
