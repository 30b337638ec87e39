"""Hostile command lines by kind: good ones of every verb, one file, option or place made bad."""

import contextlib
import io
import json
import os
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from border.hostile import KINDS as FILES
from border.hostile import damage, damage_value, png
from genscene.cli import main

SMALL = "--device cpu --grid-every 0 --save-every 1"
RUNS = {
    "gan": f"train pigan-demo --data set --steps 2 --size 8 --batch 2 --system.patches.size 8 {SMALL}",
    "plane": f"train cips-demo --data set --steps 1 --size 8 --batch 2 --system.discriminator.size 8 {SMALL}"
    " --system.patches.size 0 --system.generator.network.embedding"
    " --system.generator.network.embedding-size 4 4",
    "fitted": f"train nerf-grid-demo --data synthetic:objects --steps 12 --size 16 --batch 256 {SMALL}",
}
VERBS = {  # good command lines; the first words name the verb
    "render png": "render gan --out out/a.png --seeds 0-1 --frames 2 --size 8 --samples 2 --device cpu",
    "render folder": "render fitted --out out --size 8 --samples 8 --depth --device cpu",
    "render gif": "render fitted --out out/a.gif --frames 2 --size 8 --samples 2 --device cpu",
    "render window": "render plane --out out/a.png --seeds 0 --window -1,-1,2,2 --outside zeros --size 8",
    "foveate": "foveate plane --out out/a.png --seeds 0-1 --size 8 --percent 25,100 --device cpu",
    "interpolate plane": "interpolate plane --seeds 0,1 --frames 2 --size 8 --out out/a.gif --device cpu",
    "interpolate": "interpolate gan --seeds 0,1 --frames 2 --size 8 --samples 9 --out out/a.mp4 --device cpu",
    "invert": "invert square.png --generator gan --out out/a.safetensors --steps 1 --side 8 --renderings 16"
    " --encoder-steps 1 --device cpu",
    "export mesh": "export mesh fitted --resolution 12 --level 0.02 --out out/a.glb",
    "export pointcloud": "export pointcloud fitted --count 20 --out out/a.ply --opaque 0.01",
    "export splats": "export splats fitted --splats 20 --steps 2 --views 2 --side 8 --out out/a.html",
    "export distilled": "export distilled gan --splats 20 --cells 4 --steps 2 --views 1 --side 8"
    " --out out/a.safetensors",
    "export cameras": "export cameras gan --frames 3 --out out/a.json",
    "export prior": "export prior gan --count 20 --out out/a.png",
    "analyse ray": "analyse ray gan --size 8 --samples 4 --pixel 3,4 --device cpu --out out/a.png",
    "analyse slices": "analyse slices fitted --count 2 --resolution 8 --device cpu --out out/a.png",
    "analyse directions": "analyse directions gan --count 2 --styles 16 --steps 2 --size 8 --device cpu"
    " --out out/a.safetensors",
    "edit": "edit gan --seeds 0-1 --other 3 --steps 2 --size 8 --samples 4 --device cpu --out out/a.png",
    "analyse": "analyse gan --data set --count 2 --size 8 --samples 2 --device cpu --out out",
    "ablate": "ablate pigan-demo --vary system.generator.field.activation=sine,relu --data set --steps 1"
    " --vary system.patches.size=8 --size 8 --batch 2 --evaluation.count 6 --evaluation.reals 6"
    " --evaluation.size 16 --device cpu --out out",
    "evaluate": "evaluate gan --data set --count 6 --reals 6 --size 16 --device cpu --out out/a.json",
    "evaluate views": "evaluate fitted --out out/a.html --size 16 --device cpu",
    "compare": "compare set gan --data set --count 30 --reals 12 --size 16 --resamples 39 --device cpu",
    "publish": "publish gan --out out --seeds 1 --size 8 --samples 2 --device cpu",
    "data inspect": "data inspect set",
    "data pack": "data pack --source set --dest out/a.zip --size 8",
    "data select": "data select set --out out/a.json --keep brightness<2 --balance sharpness --bins 2",
    "data synthesize": "data synthesize cars --out out --count 1 --size 8",
    "train gan": f"{RUNS['gan']} --out out",
    "train scene": f"{RUNS['fitted']} --out out",
}
WORDS = (
    *("", "-1", "0", "1", "2", "1e12", "1e400", "-1e-400", "nan", "-inf", "9" * 30, "true", "None", "0x10"),
    *("[/red]", "\x1b]0;a\x07\x1b[2J", "\udcff", "x" * 3000, "½", "\uff11", "1,2", "0-", "3-1", "a b", "--"),
    *("0-99999999999", "*", "{}", "0.5", "100000", "3.7", "auto", "/dev/zero", ".", "~nobody/x", "a\nb"),
    *("\u202e", "cuda:99", "synthetic:", "synthetic:x", "set", "gan", "fitted"),
)
# verbs with kinds, whose options are those of a kind
KINDS_OF = ("train", "export", "data", "analyse ray", "analyse slices", "analyse directions")
WRITTEN = ("--out", "--dest", "--statistics")  # options of places that are written to
NAMES = (
    "[/red]",
    "\x1b[2J\x07",
    "\udcff\udcfe",
    "a" * 300,
    "\u202egnp",
    "a\nb",
    " ",
    "ü",
    "-x",
    "%s{}",
    "a" * 200,
)
ENVIRONMENT = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT", "MASTER_ADDR", "HOME", "GENSCENE_CACHE",
               "XDG_CACHE_HOME", "TMPDIR", "COLUMNS", "LINES", "TERM", "OMP_NUM_THREADS",
               "CUDA_VISIBLE_DEVICES", "NO_COLOR", "LC_ALL")  # fmt: skip
SETTINGS = (
    "",
    "-1",
    "0",
    "1",
    "x",
    "nan",
    "9" * 30,
    "/dev/full",
    "/proc/x",
    "[/red]",
    "\udcff",
    "~nobody",
    "a\x1b[2J",
)


@dataclass(frozen=True)
class CommandLine:
    """A verb's words, and what a line about them must name one of."""

    verb: str
    words: list[str]
    blame: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict)
    encoding: str = "utf-8"
    inside: tuple[str, ...] = ()  # places outside that the words name


def make_goods(folder: Path) -> None:
    """A generator of many scenes, one fitted to photographs, and a folder of pictures."""
    (folder / "set").mkdir()
    for i in range(12):
        (folder / "set" / f"{i}.png").write_bytes(png())
    (folder / "square.png").write_bytes(png(8))
    os.chdir(folder)
    for name, line in RUNS.items():
        assert main(f"{line} --out {name}".split()) == 0


def good(verb: str) -> CommandLine:
    """The good command line of a verb."""
    return CommandLine(verb, VERBS.get(verb, verb).split(), ())


def options_of(verb: str) -> list[str]:
    """The options that the help of a verb names."""
    words = VERBS[verb].split()[: 2 if verb.startswith(KINDS_OF) else 1]
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        main([*words, "--help-all" if verb.startswith("train") else "--help"])
    found = set(re.findall(r"--[a-z][\w.-]*", shown.getvalue())) - {"--help", "--help-all", "--traceback"}
    return sorted(found)


def options(folder: Path, chance: random.Random, known: dict[str, list[str]]) -> CommandLine:
    """An option of a verb with an absurd value."""
    verb = chance.choice([verb for verb in VERBS if known[verb]])
    option, value = chance.choice(known[verb]), chance.choice(WORDS)
    if option in WRITTEN:
        value = value.replace("/dev/zero", "/proc/x")
    words = VERBS[verb].split()
    if option in words:
        place = words.index(option)
        del words[place : place + 2]
    parts = tuple(
        part for part in re.split(r"[.]", option.strip("-")) if len(part) > 1 and not part.isdigit()
    )
    flag = chance.random() < 0.1
    return CommandLine(verb, [*words, option, *([] if flag else [value])], (*parts, value))


def with_files(
    folder: Path, chance: random.Random, verbs: tuple[str, ...], name: str, put: str
) -> CommandLine:
    """A verb of which the word `name` is replaced by hostile files."""
    verb = chance.choice(verbs)
    words = [put if word == name else word for word in VERBS[verb].split()]
    return CommandLine(verb, words, (put, "--count", *listed(folder)))


def listed(folder: Path) -> tuple[str, ...]:
    """The names of files below a folder."""
    return tuple(
        os.fsencode(name).decode("utf-8", "replace") for _, _, names in os.walk(folder) for name in names
    )


def pictures(folder: Path, chance: random.Random, known: dict[str, list[str]]) -> CommandLine:
    """Damaged pictures, or a damaged zip of them."""
    shutil.rmtree(folder / "set")
    FILES["images"](folder, chance)
    verbs = ("data inspect", "data pack", "train gan", "evaluate", "compare")
    return with_files(folder, chance, verbs, "set", "set")


def scenes(folder: Path, chance: random.Random, known: dict[str, list[str]]) -> CommandLine:
    """A damaged scene of photographs."""
    (folder / "scene").mkdir()
    FILES["scene"](folder / "scene", chance)
    if chance.random() < 0.4:
        return with_files(folder, chance, ("data inspect",), "set", "scene")
    return with_files(folder, chance, ("train scene",), "synthetic:objects", "scene")


def cameras(folder: Path, chance: random.Random, known: dict[str, list[str]]) -> CommandLine:
    """A damaged file of cameras as a path."""
    FILES["cameras"](folder, chance)
    verb = chance.choice(("render png", "render gif", "export cameras"))
    return CommandLine(verb, [*VERBS[verb].split(), "--path", "cameras.json"], ("cameras.json",))


def checkpoints(folder: Path, chance: random.Random, known: dict[str, list[str]]) -> CommandLine:
    """A damaged checkpoint, or a bomb, to be converted or as the weights of a network."""
    (folder / "x").mkdir()
    FILES["weights"](folder / "x", chance)
    (path,) = [f"x/{path.name}" for path in (folder / "x").iterdir()]
    system = chance.choice(("pigan", "nerf"))
    convert = ["convert", path, "--system", system, "--out", "out/a.safetensors"]
    weights = [*VERBS["evaluate"].split(), "--metrics", "fid", "--inception", path]
    return chance.choice(
        (CommandLine("convert", convert, (path,)), CommandLine("evaluate", weights, (path, "inception")))
    )


def generators(folder: Path, chance: random.Random, known: dict[str, list[str]]) -> CommandLine:
    """A damaged generator file."""
    name = chance.choice(tuple(RUNS))
    path = folder / name / "generator.safetensors"
    content = path.read_bytes()
    length = 8 + int.from_bytes(content[:8], "little")
    if chance.random() < 0.5:  # the damage goes where the header is
        path.write_bytes(damage(content[:length], chance) + content[length:])
    else:
        path.write_bytes(damage(content, chance))
    verbs = [verb for verb, line in VERBS.items() if name in line.split()]
    return CommandLine(verb := chance.choice(verbs), VERBS[verb].split(), (name,))


def runs(folder: Path, chance: random.Random, known: dict[str, list[str]]) -> CommandLine:
    """The folder of a run that is resumed, one of its files damaged."""
    name = chance.choice(tuple(RUNS))
    path = folder / name / chance.choice(("experiment.json", "experiment.json", "state.pt", "metrics.jsonl"))
    content = path.read_bytes()
    if path.suffix == ".json" and chance.random() < 0.7:
        path.write_text(json.dumps(damage_value(json.loads(content), chance)))
    else:
        path.write_bytes(damage(content, chance))
    verb = "train scene" if name == "fitted" else "train gan"
    return CommandLine(verb, f"{RUNS[name]} --out {name} --resume".split(), (name,))


def places(folder: Path, chance: random.Random, known: dict[str, list[str]]) -> CommandLine:
    """Something written to, or read from, a place or name that is none."""
    verb = chance.choice([verb for verb, line in VERBS.items()])
    words = VERBS[verb].split()
    if "--out" in words and chance.random() < 0.6:
        place = words.index("--out") + 1
        suffix = Path(words[place]).suffix
        endings = (
            "/proc/x",
            "/proc/x/y",
            "set/0.png/a",
            "/dev/full/a",
            "~nobody/a",
            "full",
            "/sys/x",
            "loop",
        )
        choices = ("set/0.png", "set", "", "/dev/full", *(name + suffix for name in (*endings, *NAMES)))
        words[place] = chance.choice(choices)
        for name, target in (("full", "/dev/full"), ("loop", "loop")):
            (folder / f"{name}{suffix}").symlink_to(f"{target}{suffix if name == 'loop' else ''}")
        return CommandLine(
            verb,
            words,
            ("--out", words[place][:20], str(Path(words[place]).parent), "argument"),
            inside=("/dev/full", "/proc", "/sys"),
        )
    place = chance.choice([i for i, word in enumerate(words) if word in ("set", "gan", "fitted")] or [0])
    old, choices = (
        words[place],
        ("/dev/zero", "/dev/random", "/proc/self/mem", "fifo", "nothing", ".", "empty", "huge"),
    )
    words[place] = chance.choice((*choices, *NAMES))
    os.mkfifo(folder / "fifo")
    (folder / "empty").mkdir()
    with (folder / "huge").open("wb") as file:
        file.truncate(10 << 30)
    if words[place] in NAMES and old != words[place] and (folder / old).exists() and chance.random() < 0.7:
        with contextlib.suppress(OSError):
            (folder / old).rename(folder / words[place])
    return CommandLine(verb, words, (words[place][:20], "--data", "argument", "wanted"))


def environments(folder: Path, chance: random.Random, known: dict[str, list[str]]) -> CommandLine:
    """Good words in an environment of nonsense."""
    verb = chance.choice([*VERBS, "doctor", "presets"])
    names = chance.sample(ENVIRONMENT, 2)
    variables = {name: chance.choice(SETTINGS) for name in names}
    words = VERBS.get(verb, verb).split()
    encoding = chance.choice(("utf-8", "ascii", "latin-1"))
    inside = tuple(value for value in variables.values() if value.startswith("/"))
    return CommandLine(verb, words, (*names, *words), variables, encoding, inside)


Case = Callable[[Path, random.Random, dict[str, list[str]]], CommandLine]
KINDS: dict[str, Case] = {
    f"verbs: {case.__name__}": case
    for case in (options, pictures, scenes, cameras, checkpoints, generators, runs, places, environments)
}
