"""Packaging: used dependencies, citation, classifiers, and no need for CUDA."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

import qaclims_path

ASKED_FOR = {"torch", "monai", "transformers", "open-clip-torch", "openslide-python", "tiffslide", "numpy"}
ASKED_FOR |= {"scikit-image", "typer"}
NOT_IMPORTED = {"openslide-bin": "the C library of openslide-python", "tensorboard": "torch.utils.tensorboard loads it"}
CUDA = ("nvidia", "cuda", "triton", "cupy", "pynvml", "tensorrt")


@pytest.fixture(scope="module")
def project(checkout: Path) -> dict:
    return tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def imported(checkout: Path) -> set[str]:
    """Top-level names that the package imports, inside functions, too."""
    found = set()
    for path in (checkout / "qaclims_path").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found


def plain(name: str) -> str:
    return re.split(r"[<>=\[]", name)[0].strip().lower().replace("_", "-")


def test_every_dependency_is_imported_by_the_package(project, imported):
    modules = {plain(name): module for module, names in packages_distributions().items() for name in names}
    names = {plain(requirement) for requirement in project["dependencies"]}
    used = {plain(name) for module in imported for name in packages_distributions().get(module, ())}
    assert names - used == {*NOT_IMPORTED}, "nothing imports it"
    assert {*NOT_IMPORTED} <= {*modules}
    assert names >= ASKED_FOR


def test_every_dependency_says_what_it_is_for(checkout):
    text = (checkout / "pyproject.toml").read_text(encoding="utf-8")
    block = text[text.index("\ndependencies = [") : text.index("[project.optional-dependencies]")]
    assert all("# " in line for line in block.splitlines() if line.strip().startswith('"'))


def test_the_citation_file_is_complete_and_of_this_version(checkout, project):
    citation = yaml.safe_load((checkout / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["cff-version"]) == "1.2.0"
    assert all(citation[key] for key in ("message", "title", "authors", "abstract", "keywords"))
    assert (citation["license"], citation["type"]) == (project["license"], "software")
    assert citation["version"] == qaclims_path.__version__
    papers = {paper["title"].split(":")[0]: paper for paper in citation["references"]}
    assert papers.keys() == {"CLIMS", "QA-CLIMS"}
    for paper in papers.values():
        assert paper["type"] == "conference-paper"
        assert paper["conference"]["name"]
        assert paper["url"].startswith("https://arxiv.org/abs/")
        assert all(author.keys() == {"family-names", "given-names"} for author in paper["authors"])
    assert (papers["CLIMS"]["year"], papers["QA-CLIMS"]["year"]) == (2022, 2023)


def test_classifiers_name_pythons_that_setup_takes(checkout, project):
    pattern = r"Programming Language :: Python :: (3\.\d+)"
    named = {found[1] for each in project["classifiers"] if (found := re.fullmatch(pattern, each))}
    setup = (checkout / "scripts" / "setup").read_text(encoding="utf-8")
    taken = set(re.search(r"^ +(3\.11 .*)\)$", setup, re.MULTILINE)[1].split(" | "))
    assert named
    assert named <= taken
    assert min(taken) == project["requires-python"].removeprefix(">=") == "3.11"


def test_no_module_imports_a_cuda_package(imported):
    assert not imported & {*CUDA}


def test_all_public_functions_load_where_cuda_packages_are_missing():
    code = f"""
import importlib, sys
for name in {CUDA}:
    sys.modules[name] = None  # an import of it fails
import qaclims_path
for name in qaclims_path.__all__:
    getattr(qaclims_path, name)
for stage in ("cam.train", "segmenter.train", "judge.train", "inference.segment", "tiling.tile"):
    importlib.import_module(f"qaclims_path.pipeline.{{stage}}")  # which public functions load when they are called
import torch
assert not torch.cuda.is_initialized()
"""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
