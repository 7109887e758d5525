"""One command for the whole recipe: corpus, maps, masks, segmenter, scores, report; what is done is not done again.

Every split has stages of its own (`cams` is that of the images that are trained on, `cams-val` that of a scored split),
so that scoring one more split trains nothing again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import yaml

from qaclims_path.config import Tree, flat, read_yaml
from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.engine.standing import check_same
from qaclims_path.errors import UsageError
from qaclims_path.files.atomic import write_text
from qaclims_path.files.lock import locked
from qaclims_path.recipes import run_steps as steps_of
from qaclims_path.recipes.report import write_run_report
from qaclims_path.recipes.run_depends import content_of, corpus_depends, facts_of, images_of, maps_depend, named, rules_of
from qaclims_path.recipes.run_options import FROM_ANSWERS
from qaclims_path.recipes.run_steps import CONFIG, CORPUS, METRICS, REPORT, Run, read_metrics
from qaclims_path.recipes.stages import STAGES, Stage, Step, execute, plan
from qaclims_path.recipes.train_cam_options import SECTIONS
from qaclims_path.registry import suggest

LOCK = "run.lock"
BELOW = {"cams": "cams", "masks": "masks", "seg": "seg/predictions"}  # folders of the splits
