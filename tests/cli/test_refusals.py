"""Wrong paths, names, recipes and options are refused before torch and MONAI are imported.

`scripts/bench/refusals.py` holds the cases, and measures their processor seconds.
"""

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "monai", "timm", "transformers", "lightning_fabric")
RUN_ALL = f"""
import contextlib, io, json, sys
from bench.refusals import CASES
from qaclims_path.cli.app import main

for case, (words, _) in CASES.items():
    sys.argv, screen, code = ["qaclims", *words], io.StringIO(), 0
    with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(screen):
        try:
            main()
        except SystemExit as end:
            code = end.code
    loaded = [name for name in {HEAVY} if name in sys.modules]
    print(json.dumps([case, code, screen.getvalue(), loaded]), flush=True)
"""


@pytest.fixture(scope="module")
def refused(checkout, tmp_path_factory):
    """For every case its exit code, what it said, and heavy libraries that were loaded after it."""
    folder = tmp_path_factory.mktemp("refusals")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(checkout / "scripts")
        from bench.refusals import prepare

        prepare(folder)
        patch.setenv("PYTHONPATH", f"{checkout}:{checkout / 'scripts'}")
        words = [sys.executable, "-P", "-c", RUN_ALL]
        result = subprocess.run(words, capture_output=True, text=True, check=True, cwd=folder)
    return {case: (code, said, loaded) for case, code, said, loaded in map(json.loads, result.stdout.splitlines())}


def test_no_case_imports_torch_or_monai(refused):
    assert {case: loaded for case, (_, _, loaded) in refused.items() if loaded} == {}


def test_every_refusal_is_one_sentence_that_names_what_is_wrong(refused):
    from bench.refusals import REFUSED, SHOWN

    for case, (_, part) in REFUSED.items():
        code, said, _ = refused[case]
        assert code in (1, 2), case
        assert said.startswith("Error: "), (case, said)
        assert part in said, (case, said)
        assert said.count("\n") == 1, (case, said)
    for case, (_, part) in SHOWN.items():
        code, said, _ = refused[case]
        assert code == 0, (case, said)
        assert part in said, (case, said)
