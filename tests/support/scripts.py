"""Run a user's script in the tests' own process, where everything is already compiled."""

import contextlib
import io
import runpy
import sys
import warnings


def run_script(path, *arguments, folder, monkeypatch):
    """Run a script as ``python -W error::UserWarning path ...`` would; return what it printed.

    The script has names of its own, and only those; its arguments and its folder are given back
    after the test.
    """
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
    monkeypatch.syspath_prepend(str(path.parent))
    printed = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(printed):
        warnings.resetwarnings()
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", UserWarning)
        # Of few photos, as tests have them, some may face either way.
        warnings.filterwarnings("ignore", "the click for", UserWarning)
        runpy.run_path(str(path), run_name="__main__")
    return printed.getvalue()
