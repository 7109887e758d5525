"""The public names: light to import, one for every command, and clear about wrong input."""

import csv
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from typer.main import get_command

import qaclims_path as public
from qaclims_path.cli.app import COMMANDS
from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.data.listing import list_records
from qaclims_path.data.phantoms.slide import PhantomSpec
from qaclims_path.data.phantoms.write import write_slide
from qaclims_path.data.record import truth_of
from qaclims_path.errors import QaclimsError
from qaclims_path.files.images import write_mask

NAMES = [name for name in public.__all__ if name != "__version__"]
CARD = load_card("bcss-wsss")


@pytest.fixture(scope="module")
def page(checkout: Path) -> str:
    return (checkout / "docs" / "python-api.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def bcss(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up data set, two images in each split."""
    root = tmp_path_factory.mktemp("data") / "bcss"
    write_fake(CARD, root, images=2)
    return root


@pytest.fixture(scope="module")
def truths(bcss: Path) -> dict[str, np.ndarray]:
    """The true labels by the name of the image."""
    return {record.id: truth_of(CARD, record) for record in list_records(CARD, bcss, "val")}


def commands() -> Iterator[str]:
    """Every command of the command line, such as `datasets list`."""
    for name in COMMANDS:
        command = get_command(import_module(f"qaclims_path.cli.{name}").app)
        yield from (f"{name} {inner}" for inner in command.commands) if hasattr(command, "commands") else [name]


def test_all_names_load_without_torch() -> None:
    code = "import qaclims_path as q, sys; [getattr(q, name) for name in q.__all__];"
    code += "print([name for name in ('torch', 'torchvision', 'monai', 'transformers', 'timm') if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_importing_the_package_takes_less_than_100_ms() -> None:
    code = "import time; start = time.process_time(); import qaclims_path; print(time.process_time() - start)"
    took = [subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(3)]
    assert min(map(float, took)) < 0.1


def test_every_command_has_a_function_and_every_function_a_command(page: str) -> None:
    rows = dict(re.findall(r"^\| `([a-z ]+)` \| (.+) \|$", page, re.MULTILINE))
    assert set(rows) == set(commands())
    named = [name for cell in rows.values() for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(set(named)) == sorted(NAMES)


def test_every_module_of_the_functions_is_on_the_page(page: str) -> None:
    modules = {getattr(public, name).__module__ for name in NAMES}
    assert set(re.findall(r"^::: (qaclims_path\.api\.\w+)$", page, re.MULTILINE)) == modules


@pytest.mark.parametrize("name", NAMES)
def test_functions_are_documented_with_an_example(name: str) -> None:
    function = getattr(public, name)
    assert "Examples:" in inspect.getdoc(function)
    arguments = [each for each in inspect.getfullargspec(inspect.unwrap(function)).args if each != "self"]
    if len(arguments) > 2:
        assert all(f"{each}: " in function.__doc__ for each in arguments) or "same arguments" in function.__doc__


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'make_cams'"):
        public.make_cams  # noqa: B018


def test_arrays_are_scored_as_files_are(bcss: Path, truths: dict[str, np.ndarray], tmp_path: Path) -> None:
    guesses = {image: np.where(truth < 4, (truth + 1) % 4, truth) for image, truth in truths.items()}
    for image, labels in guesses.items():
        write_mask(tmp_path / f"{image}.png", CARD.encode(labels), CARD.code_palette)
    of_arrays = public.evaluate(guesses, "bcss-wsss", bcss, "val", bootstrap=10)
    assert of_arrays.entry() == public.evaluate(tmp_path, CARD, bcss, "val", bootstrap=10).entry()
    right = {image: labels.astype(np.int64).tolist() for image, labels in truths.items()}
    assert public.evaluate(right, "bcss-wsss", bcss, "val", options={"bootstrap": 0}).scores.miou == 1


def of_shape(shape: tuple[int, ...], kind: type = np.uint8) -> Callable[[np.ndarray], np.ndarray]:
    return lambda _: np.zeros(shape, kind)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (of_shape((4, 4)), r"wrong size \(1\): .* is 4 x 4 pixels"),
        (of_shape((4, 4, 3)), r"of shape \(4, 4, 3\); it should hold class indices"),
        (of_shape((0, 0), float), r"array of float64 of shape \(0, 0\); it should hold class indices"),
        (lambda truth: truth * 0.5, "array of float64"),
        (
            lambda truth: truth * 0 + 7,
            r"wrong codes \(1\): .* holds the label 7, but the classes are 0 tumor, 1 stroma",
        ),
        (lambda truth: truth.astype(int) * 0 - 1, "holds the label -1"),
        (lambda truth: truth.astype(int) * 0 + 300, "holds the label 300"),
    ],
)
def test_arrays_that_are_no_labels_are_refused(
    bcss: Path, truths: dict[str, np.ndarray], change: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    first = next(iter(truths))
    with pytest.raises(QaclimsError, match=message):
        public.evaluate({**truths, first: change(truths[first])}, "bcss-wsss", bcss, "val")


def test_arrays_of_other_images_are_refused(bcss: Path, truths: dict[str, np.ndarray]) -> None:
    with pytest.raises(QaclimsError, match="None of the 0 predictions in memory"):
        public.evaluate({}, "bcss-wsss", bcss, "val")
    first = next(iter(truths))
    with pytest.raises(QaclimsError, match=r"extra \(1\): ghost; missing \(1\)"):
        public.evaluate({first: truths[first], "ghost": truths[first]}, "bcss-wsss", bcss, "val")


def test_tiles_are_cut_from_paths_of_any_kind(tmp_path: Path) -> None:
    write_slide(tmp_path / "slides", "s", PhantomSpec(0, 512, 512, mpp=0.5, patient="P"))
    slide = tmp_path / "slides" / "s.tiff"
    assert public.slide_info(slide).slide.width == 512
    assert len(public.plan_tiles(str(slide), tmp_path / "tiles", magnification=20, size=128)) == 1
    assert not (tmp_path / "tiles").exists()
    given = {"mpp": 0.5, "labels": tmp_path / "slides", "annotations": "complete", "tissue": "none"}
    report = public.tile([slide], str(tmp_path / "tiles"), size=128, options=given, shard="1/1")
    assert report.tiles == {"train": 16}
    assert public.load_card(tmp_path / "tiles" / "card.yaml").names
    dataset = public.open_dataset(report.card, tmp_path / "tiles", "train")
    assert dataset[0].image.shape == (3, 128, 128)
    with public.open_slide(slide) as opened:
        assert opened.read(0, 0, 8, 8, mpp=1.0).shape == (8, 8, 3)


def test_data_sets_are_made_counted_and_planned(tmp_path: Path) -> None:
    assert "bcss-wsss" in [line.name for line in public.list_datasets().cards]
    made = public.make_fake("bcss-wsss", tmp_path / "fake", images=2)
    assert made.splits["train"] == 2
    assert public.check_dataset("bcss-wsss", tmp_path / "fake").passed
    public.dataset_stats("bcss-wsss", tmp_path / "fake", out=tmp_path / "stats.csv")
    with (tmp_path / "stats.csv").open() as file:
        assert len(list(csv.DictReader(file))) >= 12
    public.init_card("mine", tmp_path / "mine.yaml", classes=["tumor", "stroma"])
    assert public.load_card(tmp_path / "mine.yaml").names == ("tumor", "stroma")
    plan = public.plan_recipe("bcss-wsss/cam", tmp_path / "fake", tmp_path / "run", settings={"seed": 3})
    assert "cam" in [step.stage.name for step in plan.stages]


PATH = "a folder"  # stands for one that exists


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("open_slide", ["nothing.svs"], r"nothing\.svs does not exist"),
        ("open_slide", [PATH], "holds no DICOM files, so it is not a slide"),
        ("tile", [PATH, "out"], r"Give either --mpp .* or --magnification"),
        ("segment", [PATH, PATH, "out"], "There is no slide in"),
        ("load_segmenter", [PATH], "holds no segmenter"),
        ("load_judge", [3], r"load_judge\(\): id should be a path or a name, not int"),
        ("load_judge", [PATH], "has no safetensors weights"),
        ("open_dataset", ["bcss-ws", PATH, "val"], r"no data set 'bcss-ws'\. Did you mean 'bcss-wsss'"),
        ("open_dataset", ["bcss-wsss", PATH, "vall"], r"no split 'vall'\. Did you mean 'val'"),
        ("evaluate", [3, "bcss-wsss", PATH, "val"], "pred should be a folder, or arrays by image name, not int"),
        ("evaluate", [PATH, "bcss-wsss", PATH, "val"], "has no 'val/img'"),
        ("make_maps", [PATH, PATH, "train"], r"config\.yaml is missing"),
        ("make_masks", [PATH, PATH, "train"], "The maps in .*folder/cams/train do not exist"),
        ("train_cam", ["bcss-wsss/cm", PATH, "out"], r"no recipe 'bcss-wsss/cm'\. Did you mean 'bcss-wsss/cam'"),
        ("train_segmenter", [PATH, PATH, "out"], "There is no recipe"),
        ("compare", [PATH], r"holds no config\.yaml"),
        ("compare", [3], "A path or a list of paths is needed, not int"),
        ("corpus_stats", [PATH], "cannot be read: Is a directory"),
        ("write_report", [PATH], "holds nothing of a run"),
        ("export", [PATH, "out"], "holds no segmenter"),
        ("init_card", ["mine", PATH], r"should end in \.yaml"),
    ],
)
def test_wrong_input_is_one_sentence(
    name: str, given: list[object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong types, missing files, folders instead of files, and misspelt names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(QaclimsError, match=message) as failed:
        getattr(public, name)(*[tmp_path / "folder" if each == PATH else each for each in given])
    assert "\n" not in str(failed.value)
    assert [path.name for path in tmp_path.iterdir() if path.name != "folder"] == []
