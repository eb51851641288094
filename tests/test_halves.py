"""The whole run in two processes: see halves.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.halves import processors

CONFTEST = """
from tests import halves

halves.processors = lambda: 2

def pytest_configure(config):
    if (half := halves.half_of(config)) is not None:
        config.pluginmanager.register(half)
"""
FILES = {
    "setup.cfg": '[tool:pytest]\ntestpaths = .\naddopts = -m "not deep" -p no:cacheprovider\nmarkers = deep\n',
    "conftest.py": CONFTEST,
    "test_a.py": "import os\n\n\ndef test_one():\n    pass\n",
    "test_b.py": "import pytest\n\n\ndef test_two():\n    assert 1 == 2\n\n\n@pytest.mark.skip(reason='not here')\n"
                 "def test_three():\n    pass\n",
    "test_c.py": "import pytest\n\n\n@pytest.mark.deep\ndef test_four():\n    pass\n\n\ndef test_five():\n    pass\n"}


def run(folder, *options, **files):
    for name, text in {**FILES, **{f"{name}.py": text for name, text in files.items()}}.items():
        (folder / name).write_text(text)
    return subprocess.run([sys.executable, "-m", "pytest", *options], cwd=folder, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}, check=False)


@pytest.fixture(scope="module")
def divided(tmp_path_factory):
    return run(tmp_path_factory.mktemp("whole"))


def test_failures_skips_and_counts_of_both_are_told(divided):
    assert "1 failed, 2 passed, 1 skipped, 1 deselected" in divided.stdout
    assert "test_b.py:5: AssertionError" in divided.stdout
    assert divided.returncode == pytest.ExitCode.TESTS_FAILED


def test_a_second_process_that_dies_fails_the_run(tmp_path):
    died = run(tmp_path, test_b="import os\n\n\ndef test_two():\n    os._exit(7)\n")
    assert "the second process ended with 7 after 0 of 1 tests" in died.stdout + died.stderr
    assert died.returncode == pytest.ExitCode.INTERNAL_ERROR


def test_whoever_names_a_file_has_one_process(tmp_path):
    alone = run(tmp_path, "-v", "test_a.py", test_a="import os\n\n\ndef test_one():\n    "
                                                     "assert 'MINILQ_TESTS_REPORTS' not in os.environ\n")
    assert "1 passed" in alone.stdout
    assert "test_b" not in alone.stdout


def test_there_is_a_number_of_processors():
    assert processors() >= 1
