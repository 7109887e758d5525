"""Make `qaclims_bridge/imagenet_names.csv`: for every label of ImageNet, a name that has a text feature.

A label gets, in this order: its entry in `HAND`, the name of its range (breeds are dogs), one of its synonyms that is a
name, or the last word of one that is a name (a 'park bench' is a bench). Other labels are dropped. Read the result: a
wrong match misleads trainings.

    python scripts/bridge_judge/make_table.py --data DIR
"""

import argparse
import csv
import io
from pathlib import Path

from qaclims_bridge.names import TABLE, NamedFeatures, plain, read_features

from qaclims_path.files.atomic import write_text

# Numbers of the classifier, whose label 0 is 'background'; first and last of a range.
RANGES = {
    (2, 2): "goldfish", (3, 5): "shark", (11, 24): "bird", (31, 33): "frog", (34, 38): "turtle", (39, 48): "lizard",
    (49, 49): "lizard", (50, 51): "alligator", (53, 69): "snake", (73, 78): "spider", (81, 94): "bird",
    (96, 97): "bird", (98, 99): "duck", (101, 101): "swan", (119, 122): "crab", (123, 124): "lobster",
    (128, 130): "bird", (133, 144): "bird", (147, 147): "seabird", (152, 269): "dog", (270, 272): "wolf",
    (282, 286): "cat", (295, 296): "bear", (301, 306): "beetle", (322, 327): "butterfly", (331, 332): "rabbit",
    (369, 383): "monkey",
}  # fmt: skip

# By first synonym; None drops a label that would match a wrong name.
HAND: dict[str, str | None] = {
    "sorrel": "horse", "ox": "cow", "ram": "sheep", "bighorn": "sheep", "hog": "pig", "wild boar": "pig",
    "great grey owl": "owl", "vulture": "vulture", "bald eagle": "eagle", "kite": "bird", "hen": "chicken",
    "cock": "chicken", "Madagascar cat": None, "timber wolf": "wolf", "Arabian camel": "camel", "ibex": "goat",
    "hartebeest": "antelope", "impala": "antelope", "black-footed ferret": "ferret", "chimpanzee": "monkey",
    "gorilla": "gorilla", "orangutan": "monkey", "baboon": "baboon", "king penguin": "penguin", "goose": "goose",
    "hummingbird": "hummingbird", "ostrich": "ostrich", "flamingo": "flamingo", "pelican": "pelican",
    "little blue heron": "heron", "American egret": "heron", "water buffalo": None, "bison": None, "crane": None,
    "ballplayer": "person", "groom": "person", "scuba diver": "person", "warplane": "fighter jet",
    "airliner": "airplane", "airship": "blimp", "wing": None, "liner": "cruise ship", "container ship": "cargo ship",
    "lifeboat": "boat", "fireboat": "boat", "speedboat": "boat", "catamaran": "sailboat", "trimaran": "sailboat",
    "yawl": "sailboat", "schooner": "sailboat", "gondola": "gondola", "aircraft carrier": "ship", "pirate": "ship",
    "wreck": "ship", "submarine": None, "studio couch": "couch", "four-poster": "bed", "throne": "chair",
    "barber chair": "chair", "prayer rug": "carpet", "doormat": "doormat", "pot": "potted plant", "vase": "vase",
    "daisy": "flower", "rapeseed": "flower", "yellow lady's slipper": "flower", "hay": None, "lakeside": None,
    "beach wagon": "car", "sports car": "sports car", "convertible": "car", "limousine": "limousine",
    "Model T": "car", "cab": "taxi", "police van": "van", "moving van": "truck", "minibus": "bus",
    "trolleybus": "bus", "streetcar": "train", "steam locomotive": "train", "electric locomotive": "train",
    "recreational vehicle": "van", "moped": "motorcycle", "mountain bike": "bicycle",
    "bicycle-built-for-two": "bicycle", "jinrikisha": "rickshaw", "racer": "race car", "tank": "army tank",
    "half track": "army tank", "snowplow": "truck", "thresher": "tractor", "harvester": "tractor", "go-kart": "car",
    "amphibian": "car", "oxcart": "cart", "horse cart": "horse carriage", "television": "tv", "monitor": "monitor",
    "screen": "monitor", "desktop computer": "monitor", "laptop": "laptop", "notebook": "laptop",
    "hand-held computer": "cell phone", "mouse": "mouse", "window shade": "curtain", "shoji": None,
    "theater curtain": "curtain", "mosquito net": "curtain", "chiffonier": "dresser", "china cabinet": "cabinet",
    "medicine chest": "cabinet", "entertainment center": "cabinet", "wardrobe": "wardrobe", "crib": "crib",
    "cradle": "crib", "bassinet": "crib", "mountain tent": "tent", "yurt": "tent", "upright": "piano",
    "grand piano": "piano", "acoustic guitar": "guitar", "electric guitar": "guitar", "maillot": "swimsuit",
    "bikini": "swimsuit", "miniskirt": "skirt", "overskirt": "skirt", "hoopskirt": "skirt", "gown": "dress",
    "abaya": "robe", "academic gown": "robe", "jersey": "shirt", "fur coat": "coat", "Windsor tie": "tie",
    "running shoe": "shoe", "Loafer": "shoe", "clog": "shoe", "cowboy boot": "boot", "crash helmet": "helmet",
    "pickelhaube": "helmet", "bearskin": "hat", "bathing cap": "shower cap", "mortarboard": "hat", "ski mask": "mask",
    "swimming trunks": "short pants", "Christmas stocking": "sock", "bow": "bow", "drumstick": None, "dough": None,
    "chest": None, "brass": None, "pick": None, "plane": None, "projectile": None, "missile": None, "pedestal": None,
    "switch": None, "swing": None, "slot": None, "nail": None, "hip": None, "ear": None, "buckeye": None,
    "corn": "edible corn", "acorn": None, "custard apple": None, "coil": None, "chain": None, "knot": None,
    "stage": None, "vault": None, "safe": None, "rule": "measuring stick", "bubble": None, "alp": None, "cliff": None,
    "valley": None, "promontory": None, "sea cucumber": None, "guinea pig": "hamster", "titi": "monkey",
    "walking stick": None, "ringlet": "butterfly", "admiral": "butterfly", "organ": None, "muzzle": None,
    "nipple": None, "spindle": None, "spotlight": "spotlight", "ice lolly": "popsicle", "Granny Smith": "apple",
    "head cabbage": "cabbage", "spaghetti squash": "pumpkin", "acorn squash": "pumpkin",
    "butternut squash": "pumpkin", "French loaf": "baguet", "cheeseburger": "hamburger", "red wine": "wineglass",
    "espresso": "cup", "eggnog": None, "goblet": "wineglass", "beer glass": "cup", "coffee mug": "mug",
    "whiskey jug": "bottle", "pop bottle": "bottle", "pill bottle": "bottle", "digital clock": "clock",
    "analog clock": "clock", "digital watch": "watch", "stopwatch": "watch", "dial telephone": "telephone",
    "pay-phone": "telephone", "cellular telephone": "cell phone", "web site": None, "menu": None,
    "book jacket": "book", "crossword puzzle": "newspaper", "comic book": "book", "traffic light": "traffic light",
    "street sign": "street sign", "park bench": "bench", "folding chair": "chair", "rocking chair": "chair",
    "dining table": "dining table", "desk": "desk", "toyshop": None, "tobacco shop": None, "bookshop": None,
    "shoe shop": None, "butcher shop": None, "apiary": None, "bookcase": "bookcase", "carousel": None,
    "crate": "crate", "mailbag": "backpack", "purse": "handbag", "golf ball": "ball", "croquet ball": "ball",
    "rugby ball": "ball", "soccer ball": "ball", "tennis ball": "ball", "basketball": "ball", "volleyball": "ball",
    "punching bag": None, "football helmet": "helmet", "loudspeaker": "speaker", "radio": "radio receiver",
    "Polaroid camera": "camera", "reflex camera": "camera", "lens cap": "camera lens", "revolver": "gun",
    "assault rifle": "gun", "rifle": "gun", "cannon": None, "letter opener": "knife", "cleaver": "knife",
    "hatchet": "ax", "power drill": "drill", "chain saw": "handsaw", "wooden spoon": "spoon", "washbasin": "sink",
    "toilet seat": "toilet", "tub": "bathtub", "hot pot": "pot", "caldron": "pot", "Dutch oven": "pot",
    "Crock Pot": "pot", "altar": None, "library": None, "restaurant": None, "stone wall": None, "bell cote": None,
    "church": None, "rain barrel": "barrel", "drum": "drum", "steel drum": "drum", "car mirror": "rearview mirror",
    "car wheel": "wheel", "disk brake": "wheel", "grille": "car", "ski": "skis", "dogsled": "sled", "bobsled": "sled",
    "balance beam": None, "parallel bars": None, "horizontal bar": None, "flagpole": "flagpole", "pole": None,
    "sunglass": "sunglasses", "hair slide": "hairpin", "wool": None, "velvet": None, "military uniform": "suit",
    "suit": "suit", "lab coat": "lab coat", "anemone fish": "fish", "lionfish": "fish", "rock beauty": "fish",
    "barracouta": "fish", "coho": "fish", "sturgeon": "fish", "gar": "fish", "tench": "fish", "puffer": "fish",
    "electric ray": "fish", "stingray": "fish", "eel": "eel", "hermit crab": "crab", "crayfish": "crawfish",
    "tusker": "elephant", "Indian elephant": "elephant", "African elephant": "elephant", "sea lion": "seal",
    "killer whale": "dolphin", "grey whale": None, "red fox": None, "kit fox": None, "Arctic fox": None,
    "grey fox": None, "coyote": "wolf", "dingo": "dog", "dhole": "dog", "African hunting dog": "dog",
    "tiger cat": "cat", "snow leopard": None, "fox squirrel": "squirrel", "hare": "rabbit", "wood rabbit": "rabbit",
    "Angora": "rabbit", "lesser panda": "panda", "giant panda": "giant panda", "llama": "camel",
    "gazelle": "antelope", "sea snake": "snake", "sea slug": None, "sea urchin": None, "tree frog": "frog",
    "agama": "lizard", "African chameleon": "lizard", "triceratops": None, "tiger beetle": "beetle",
    "centipede": None, "harvestman": "spider", "tick": None, "conch": "seashell", "black swan": "swan",
    "axolotl": None, "accordion": None, "ocarina": None, "harmonica": None, "panpipe": None, "manhole cover": None,
    "hair spray": None, "cash machine": None, "gas pump": None, "radio telescope": None, "solar dish": None,
    "Petri dish": None, "potter's wheel": None, "seat belt": None, "rubber eraser": "eraser", "lynx": "cougar",
    "jaguar": "cougar", "ice bear": "polar bear", "washer": "automatic washer", "school bus": "school bus",
    "fire engine": "fire engine", "garbage truck": "garbage truck", "tow truck": "tow truck",
}  # fmt: skip


def main() -> None:
    """Parse the command line, match the labels and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with weights/ and text-embeddings/")
    parser.add_argument("--out", type=Path, default=TABLE)
    options = parser.parse_args()
    features = read_features(options.data)
    labels = (options.data / "weights" / "imagenet_labels.txt").read_text(encoding="utf-8").splitlines()
    rows = [(number, label, *match(number, label, features)) for number, label in enumerate(labels)]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["label", "imagenet", "name", "because"])
    table.writerows((number, label.split(",")[0], name, because) for number, label, name, because in rows if name)
    write_text(options.out, text.getvalue())
    kept = [name for *_, name, _ in rows if name]
    print(f"{options.out.name}: {len(kept)} of {len(labels) - 1} labels stand for {len(set(kept))} names")
    print("dropped:", "; ".join(label.split(",")[0] for _, label, name, _ in rows if not name))


def match(number: int, label: str, features: NamedFeatures) -> tuple[str, str]:
    """Return the name of a label and the reason; empty strings without a name."""
    synonyms = [each.strip() for each in label.split(",")]
    if number == 0:
        return "", ""
    if synonyms[0] in HAND:
        name = HAND[synonyms[0]] or ""
        if name and name not in features.rows:
            raise SystemExit(f"'{name}', given in HAND for '{synonyms[0]}', has no feature.")
        return name, "by hand"
    for (first, last), name in RANGES.items():
        if first <= number <= last:
            return name, "range"
    for each in synonyms:
        if plain(each) in features.rows:
            return plain(each), "name"
    for each in synonyms:
        *others, last_word = plain(each).split()
        if others and last_word in features.rows:
            return last_word, "last word"
    return "", ""


if __name__ == "__main__":
    main()
