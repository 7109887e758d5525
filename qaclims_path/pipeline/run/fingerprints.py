"""Inputs of the stages of a run, as plain values for hashes: never a path, device or worker."""

from pathlib import Path
from typing import Any

from qaclims_path.config import Options, Tree
from qaclims_path.data.card import Card
from qaclims_path.data.listing import list_records
from qaclims_path.data.protocol import load_protocol
from qaclims_path.errors import BadFile
from qaclims_path.files.digest import digest_of_file, digest_of_json
from qaclims_path.files.hub import HUB, LOCAL, revision_of
from qaclims_path.language.prompts import load_prompts
from qaclims_path.language.questions import load_bank
from qaclims_path.models.cam_folder import WEIGHTS, network_folder
from qaclims_path.models.judges import PICKLED
from qaclims_path.pipeline.cam.options import TrainCamOptions
from qaclims_path.pipeline.corpus.options import CorpusOptions
from qaclims_path.pipeline.corpus.plan import describe, plan_corpus

# facts for readers only
UNUSED = {"published", "licence", "citation", "get", "notes", "unknown", "title", "public", "demonstration"}
MODELS = ("id", "model", "start", "weights")  # options that may name a file or folder
NETWORKS = ("backbone", "encoder")  # options that do so only after `local-dir:`
WORDS = ("cam", "none", "pretrained", "embedded")  # values of these that are never a file or folder


def facts_of(card: Card) -> str:
    """Return the hash the facts of a card that decide results."""
    unused: dict[str, Any] = {**dict.fromkeys(UNUSED, True), "splits": {"__all__": {"supervised"}}}
    return digest_of_json(card.model_dump(mode="json", exclude=unused), 12)


def rules_of(name: str) -> str:
    """Name a protocol with the hash of its content."""
    return f"{name} {digest_of_json(load_protocol(name).model_dump(mode='json'), 12)}"


def images_of(card: Card, root: Path, split: str) -> str:
    """Count and hash the images of a split and their labels; no image is opened."""
    listed = [
        (record.id, record.present, *([record.unknown] if record.unknown else []))  # as before, where all is known
        for record in list_records(card, root, split)
    ]
    return f"{len(listed)} images {digest_of_json(listed, 12)}"


def slides_of(card: Card, root: Path, split: str) -> str:
    """Return the hash of which slide each image is a tile of, for trainings on labels of slides."""
    return digest_of_json([record.slide for record in list_records(card, root, split)], 12)


def maps_depend(options: TrainCamOptions, card: Card) -> Tree:
    """Return options of the training of maps, with word lists and questions by their content."""
    shared = options.shared.model_copy(update={"seed": options.cam.train.seed})
    tree = named_tree(TrainCamOptions(shared, options.cam).tree)
    del tree["dataset"]  # the card has its own hash
    words = options.shared.words
    tree["words"]["bank"] = load_bank(words.bank, card.organ or None).hash
    if words.prompts is not None:
        tree["words"]["prompts"] = digest_of_json(load_prompts(words.prompts).model_dump(mode="json"), 12)
    return tree


def corpus_depends(options: CorpusOptions, root: Path) -> Tree:
    """Return options of a corpus, with questions, lexicon and models by their content."""
    models = named(options)
    tree = describe(options, plan_corpus(options, root))
    return {**tree, **{key: models[key] for key in ("answerer", "judge")}}


def named(options: Options) -> Tree:
    """Return options without the card, which has its own hash; files and folders by their content."""
    return named_tree(options.model_dump(mode="json", exclude={"dataset"}))


def named_tree(tree: Tree) -> Tree:
    """Replace files and folders in a tree of options by their content."""
    return {key: named_tree(value) if isinstance(value, dict) else _value(key, value) for key, value in tree.items()}


def content_of(path: Path) -> str:
    """Return the hash a file; of a folder, its network, or its weights and settings if it has none."""
    try:
        if path.is_dir():
            network = network_folder(path) / WEIGHTS
            if not network.is_file():
                return revision_of(path, PICKLED)
            path = network
        return f"sha256:{digest_of_file(path)}"
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror or error}.") from error


def _value(key: str, value: Any) -> Any:  # noqa: ANN401 - any option
    if not isinstance(value, str) or not (key in MODELS or (key in NETWORKS and value.startswith(LOCAL))):
        return value
    return ",".join(_content(part) for part in value.split(","))


def _content(name: str) -> str:
    """Replace a file or folder by its hash, also after a family (`ovseg:FILE`) or an architecture (`...@FILE`)."""
    if name not in WORDS and not name.startswith(HUB):
        for part in (name, name.partition(":")[2], name.rpartition("@")[2]):
            path = Path(part).expanduser()
            if part and path.exists():
                return name.removesuffix(part) + content_of(path)
    return name
