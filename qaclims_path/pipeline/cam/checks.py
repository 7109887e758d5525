"""Checks before a training of maps, for errors that would come after seconds of imports, or after hours.

Nothing is downloaded: of an id of a hub, only the spelling is checked.
"""

from pathlib import Path

from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.errors import BadFile, UsageError
from qaclims_path.files.hub import HUB
from qaclims_path.models.cam_folder import network_folder, read_settings
from qaclims_path.models.judges import check_judge
from qaclims_path.models.methods import build_method
from qaclims_path.models.names import check_network
from qaclims_path.pipeline.cam.options import NetworkOptions, TrainCamOptions
from qaclims_path.pipeline.configs import SharedOptions, refuse_earlier_run

NO_CORPUS = (
    "This method uses answers. Build them with `qaclims corpus build` and pass --corpus FILE, or use the names of the "
    "classes alone: --set words.source=names."
)


def check_training(options: TrainCamOptions, root: Path, out: Path, corpus: Path | None) -> None:
    """Refuse a training whose data, answers or models are missing.

    Args:
        options: Options of the training.
        root: Folder of the data in the publisher's layout.
        out: Folder of the run.
        corpus: File of answers, for methods that use them.
    """
    refuse_earlier_run(out)
    card, split = load_card(options.shared.dataset), options.shared.split
    if not list_records(card, root, split):
        raise UsageError(f"The split '{split}' of '{card.name}' holds no image in {root}.")
    check_cam(options)
    if _needs_judge(options) and options.shared.words.need_corpus:
        check_corpus_file(corpus)


def check_cam(options: TrainCamOptions) -> None:
    """Refuse unknown networks, weights, starting maps and judges, and a missing judge."""
    cam = options.cam
    check_network(cam.network.backbone, cam.network.weights)
    _check_stages(cam.network)
    if _needs_judge(options):
        check_judge(judge_id(options.shared))
    if cam.init.start not in ("cam", "none"):
        check_start(Path(cam.init.start), load_card(options.shared.dataset))


def _check_stages(network: NetworkOptions) -> None:
    """Refuse side heads of stages that the backbone does not have; a backbone of a hub is checked when it is there."""
    if network.side.stages and not network.backbone.startswith(HUB):
        from qaclims_path.models.backbones import build, find_backbone
        from qaclims_path.models.side import chosen_stages

        spec = find_backbone(network.backbone)
        chosen_stages(build(spec, network.stride), network.side.spec, spec.source)


def check_start(start: Path, card: Card) -> None:
    """Refuse starting maps other than a run on these classes, or a released classifier of as many classes."""
    if start.is_file():
        from qaclims_path.models.released import check_released

        check_released(start, len(card.names))
        return
    classes = tuple(read_settings(network_folder(start))["classes"])
    if classes != card.names:
        raise UsageError(
            f"{start} was trained for the classes {', '.join(classes)}, not {', '.join(card.names)}. "
            "Start from a run on this data set, or train one: --set cam.init.start=cam."
        )


def judge_id(shared: SharedOptions) -> str:
    """Return the id of the judge of a method that needs one; a missing one is refused."""
    if shared.judge.id is None:
        raise UsageError(
            f"The method '{shared.method}' needs a judge. Name one with --set judge.id=ID (see `qaclims judge show`), "
            "or make one for this data set with `qaclims judge train`."
        )
    return shared.judge.id


def check_corpus_file(corpus: Path | None) -> None:
    """Refuse a missing file of answers."""
    if corpus is None:
        raise UsageError(NO_CORPUS)
    if not corpus.is_file():
        raise BadFile(f"The corpus {corpus} does not exist. Build one with `qaclims corpus build`.")


def _needs_judge(options: TrainCamOptions) -> bool:
    settings = {key: value for key, value in options.cam.losses.items() if key != "method"}
    method = build_method(str(options.cam.losses.get("method", options.shared.method)), settings, "cam.losses")
    return method.needs_judge(1.0)
