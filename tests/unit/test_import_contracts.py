"""Each import contract is broken once on purpose, in a copy: a contract that cannot fail protects nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lint_imports(tree: Path) -> str:
    """What import-linter says of a copy; its own exit code is in the text (KEPT, BROKEN)."""
    finished = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    return finished.stdout + finished.stderr


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "hsmkms", tmp_path / "hsmkms", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        pytest.param(
            "model/keys.py",
            "import hsmkms.service.kms",
            "Floors: imports only go down",
            id="a noun that knows a verb",
        ),
        pytest.param(
            "frontends/ops/health.py",
            "import hsmkms.frontends.aws.door",
            "Front-ends do not know each other",
            id="a skin that knows another",
        ),
        pytest.param(
            "frontends/aws/door.py",
            "import hsmkms.store.keys",
            "Front-ends reach the rooms only through the service",
            id="a skin that reaches past the service",
        ),
        pytest.param(
            "service/kms.py", "import pkcs11", "PKCS#11 is spoken in one room", id="PKCS#11 in the service"
        ),
        pytest.param(
            "service/kms.py", "import sqlite3", "SQL is spoken in one room", id="SQL in the service"
        ),
        pytest.param(
            "service/kms.py",
            "import uvicorn",
            "Web and RPC libraries stay in the front-ends",
            id="a web library in the service",
        ),
        pytest.param(
            "formats/blob.py", "import os", "Pure floors do no I/O", id="a pure floor that can do I/O"
        ),
        pytest.param(
            "service/budget.py", "import hsmkms.service.kms", "No cycles between siblings", id="a cycle"
        ),
    ],
)
def test_a_contract_notices_its_breach(tree: Path, module: str, line: str, contract: str) -> None:
    path = tree / "hsmkms" / module
    path.write_text(path.read_text(encoding="utf-8") + f"\n{line}\n", encoding="utf-8")
    assert f"{contract} BROKEN" in lint_imports(tree)


def test_the_tree_as_it_is_keeps_them_all(tree: Path) -> None:
    assert "0 broken" in lint_imports(tree)
