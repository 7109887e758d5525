"""Files that ship with the package, and how to install what does not."""

from pathlib import Path

import pytest

from qaclims_path import assets


def test_a_clone_is_told_to_install_extras_from_itself(checkout: Path) -> None:
    assert assets.install_command("dicom") == f'pip install -e "{checkout}[dicom]"'


def test_an_installation_is_told_to_install_extras_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "PACKAGE", tmp_path / "site-packages" / "qaclims_path")
    assert assets.install_command("dicom") == 'pip install "qaclims-path[dicom]"'


def test_files_of_the_package_are_named_from_configs_on() -> None:
    assert assets.asset_name(assets.asset_dir("configs") / "methods" / "cam.yaml") == "configs/methods/cam.yaml"
    assert assets.asset_name(Path("own.yaml")) == "own.yaml"
