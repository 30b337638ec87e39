"""What would make a number wrong without a word: nan in pictures, files that changed, counts that are others."""

import json
import os
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from genscene.cli.measuring import Measuring, asked_for
from genscene.cli.results import Result, document
from genscene.evaluation.asked import ASKED, Question
from genscene.evaluation.desk import Desk
from genscene.evaluation.measures import Number
from genscene.evaluation.sides import Generated, Stored
from genscene.evaluation.stream import Streaming, Task, measure
from genscene.evaluation.views import consistency
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from conftest import tiny
from genscene.cli import main
from genscene.data import load_images
from genscene.data.images import listed
from genscene.errors import BadInput
from genscene.evaluation.protocol import PROTOCOLS, Side, protocol_of
from genscene.evaluation.statistics import Statistics
from genscene.experiment.schema import ImageConfig
from genscene.experiment.serialise import build_seeded
from genscene.metrics.frechet import Moments, frechet_distance
from genscene.metrics.image import ssim
from genscene.metrics.kernel import cmmd, kernel_distance
from genscene.metrics.lpips import LPIPS
from genscene.metrics.networks.extractor import Extractor
from genscene.metrics.networks.squeezenet import squeezenet
from genscene.metrics.networks.weights import read_weights
from genscene.metrics.precision_recall import precision_recall

SIZE = (16, 16)
QUICK = ["--metrics", "frechet", "--device", "cpu", "--batch", "16"]


def painted(folder, count, seed=0, side=16):
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{i:04d}.bmp")
    return folder


def poisoned(seed=0):
    """A generator that paints nan, though not everywhere."""
    made = build_seeded(replace(tiny("pigan-carla"), seed=seed)).generator.eval()
    render = made.render

    def spoilt(*given):
        found = render(*given)
        image = found.image.clone()
        image[-1, 0, 3, 4] = torch.nan
        return replace(found, image=image)

    made.render = spoilt
    return made


def refused(words, capsys):
    assert main(list(map(str, words))) == 2
    out, err = capsys.readouterr()
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    assert not out
    return err


@pytest.fixture
def there(tmp_path, monkeypatch):
    """Two folders of pictures, statistics of the one, and a place to be in."""
    monkeypatch.chdir(tmp_path)
    painted(tmp_path / "fake", 20, 1)
    painted(tmp_path / "real", 30, 2)
    assert main(["evaluate", "fake", "--data", "real", "--statistics", "kept", *QUICK]) == 0
    return tmp_path


def test_a_generator_that_paints_nan_is_not_measured():
    made = poisoned()
    with pytest.raises(BadInput, match="not finite"):
        Generated(made, Side(4), SIZE).take(range(4))
    with pytest.raises(BadInput, match="not finite"):
        consistency(made, 2, SIZE)
    with pytest.raises(BadInput, match="not finite"):
        frechet_distance(Moments.of(torch.full((9, 2), torch.nan)), Moments.of(torch.ones(9, 2)))
    eye = Extractor(
        "nothing", "none", "last", 2, "not resized", lambda images: torch.full((len(images), 2), torch.inf)
    )
    with pytest.raises(BadInput, match="nothing: features that are not finite"):
        eye(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_no_number_is_none(value):
    with pytest.raises(BadInput, match=r"a distance comes out as (nan|inf)"):
        Number("a", "a distance", value, "low")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("psi", "nan"),
        ("psi", "inf"),
        ("psi", "-1"),
        ("psi", "1.5"),
        ("seed", str(2**63)),
        ("seed", str(-(2**63) - 1)),
        ("count", "1"),
        ("reals", "-1"),
        ("batch", "0"),
        ("extractor", "spectrum"),
    ],
)
def test_options_that_nothing_can_be_measured_by_are_named_alone(option, value, capsys):
    said = refused(["evaluate", "nowhere", f"--{option}", value], capsys)
    assert said.startswith(f"genscene: --{option}")
    assert value in said
    assert sum(f"--{name}" in said for name in ("psi", "seed", "count", "reals", "batch")) <= 1


def test_names_of_metrics_are_taken_once_and_without_blanks():
    assert asked_for(Measuring(metrics="frechet, kernel,frechet "), ()) == ["frechet", "kernel"]


@pytest.mark.parametrize("zipped", [False, True])
def test_a_file_of_another_content_is_another_picture_whatever_its_time_says(tmp_path, zipped):
    folder = painted(tmp_path / "some", 3)
    place = tmp_path / "some.zip" if zipped else folder

    def looked():
        if zipped:
            with zipfile.ZipFile(place, "w") as archive:
                for file in sorted(folder.iterdir()):
                    archive.writestr(zipfile.ZipInfo(file.name), file.read_bytes())
            os.utime(place, ns=(1, 1))
        pictures = load_images(str(place), ImageConfig(), SIZE, quiet=True)
        return np.array(pictures.pixels), Stored(pictures, Side(), "").notes["content"]

    file = folder / "0001.bmp"
    before, known = looked()
    assert looked()[1] == known
    status = file.stat()
    Image.fromarray(255 - before[1]).save(file)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    after, now = looked()
    assert np.array_equal(after[1], 255 - before[1])
    assert now != known


def test_a_protocol_says_where_its_counts_are_not_there(there, capsys):
    words = ["evaluate", "fake", "--data", "real", "--protocol", "giraffe", "--out", "x.json", *QUICK]
    assert main(words) == 0
    line = "wants 20000 generated pictures, there are 20; 20000 real pictures, there are 30"
    assert line in " ".join(capsys.readouterr().out.split())
    found = json.loads((there / "x.json").read_text())
    assert any(line in caution for caution in found["cautions"])
    counts = {
        side: [found["protocol"][side][name] for name in ("count", "wanted")] for side in ("fakes", "reals")
    }
    assert counts == {"fakes": [20, 20_000], "reals": [30, 20_000]}
    chosen = protocol_of("giraffe", reals=30, fakes=20)
    assert chosen.departure(20, 30, 30), "asked for or not"
    assert not PROTOCOLS["giraffe"].departure(20_000, 20_000, 90_000)
    assert not PROTOCOLS["stylegan"].departure(50_000, 7, 7), "all there are"
    assert "wants all 8 real pictures, there are 7:" in PROTOCOLS["stylegan"].departure(50_000, 7, 8)[0]


def test_statistics_of_another_count_are_refused(there, capsys):
    words = ["evaluate", "fake", "--data", "kept", *QUICK]
    assert main(words) == 0
    assert main([*words, "--reals", "30"]) == 0
    assert main([*words, "--reals", "90"]) == 0, "there were no more"
    capsys.readouterr()
    said = refused([*words, "--reals", "10"], capsys)
    assert "count of real pictures (kept/random.safetensors: 30 of 30, here: the first 10" in said
    part = ["evaluate", "fake", "--data", "real", "--reals", "10", "--statistics", "part", *QUICK]
    assert main(part) == 0
    capsys.readouterr()
    assert "(part/random.safetensors: 10 of 30, here: all; --reals 10" in refused(
        [*words, "--data", "part"], capsys
    )
    assert main([*words, "--data", "part", "--reals", "10"]) == 0


def rewritten(path, about=None, **tensors):
    """The same statistics with something else in them."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["about"])
    save_file(load_file(path) | tensors, path, metadata={"about": json.dumps(header | (about or {}))})


DAMAGED = {
    "nan mean": ({"mean": torch.full((368,), torch.nan).double()}, "mean holds numbers that are not finite"),
    "inf scatter": ({"scatter": torch.full((368, 368), torch.inf).double()}, "scatter holds numbers"),
    "nan features": ({"features": torch.full((30, 368), torch.nan)}, "features holds numbers"),
    "narrow": ({"mean": torch.zeros(9).double()}, "is torch.float32 [30, 368], wanted torch.float32 [30, 9]"),
    "narrow features": ({"features": torch.zeros(30, 9)}, "features is torch.float32 [30, 9]"),
    "deep features": ({"features": torch.zeros(30, 368, 1)}, "features is"),
    "no features": ({"features": torch.zeros(0, 368)}, "0 features were kept"),
    "one feature alone": ({"features": torch.tensor(1.0)}, "features is"),
    "halves": ({"mean": torch.zeros(368).half()}, "mean is torch.float16"),
    "whole numbers": ({"features": torch.zeros(30, 368, dtype=torch.int32)}, "features is torch.int32"),
    "all narrow": (
        {"mean": torch.zeros(4).double(), "scatter": torch.eye(4).double(), "features": torch.zeros(30, 4)},
        "holds features 4 wide, wanted 368",
    ),
    **{
        f"count {count}": ({"about": {"count": count}}, f"count {count}, but") for count in (-1, 0, 1, 29, 31)
    },
    "nothing told": ({"about": {"notes": {}}}, "count 30, but None pictures"),
    "a list": ({"about": {"protocol": {"version": [1]}}}, "holds no statistics of genscene"),
    "nan in the notes": ({"about": {"notes": {"psi": float("nan")}}}, "its header holds NaN"),
}


@pytest.mark.parametrize(("changed", "expected"), DAMAGED.values(), ids=DAMAGED)
def test_statistics_that_are_damaged_are_refused_by_name(changed, expected, there, capsys):
    path = there / "kept" / "random.safetensors"
    rewritten(path, **changed)
    said = refused(["evaluate", "fake", "--data", "kept", "--out", "x.json", *QUICK], capsys)
    assert "kept/random.safetensors" in said
    assert expected in said
    assert not (there / "x.json").exists()


@pytest.mark.parametrize("ending", [".npz", ".safetensors", ".pth"])
def test_weights_that_hold_nan_are_refused_by_file_and_tensor(ending, tmp_path):
    path = tmp_path / f"w{ending}"
    tensors = {
        "whole": torch.arange(3),
        "fine": torch.ones(2),
        "conv1.weight": torch.tensor([0.0, torch.nan]),
    }
    if ending == ".npz":
        np.savez(path, **{name: tensor.numpy() for name, tensor in tensors.items()})
    elif ending == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    with pytest.raises(
        BadInput, match=rf"w\{ending}: the weights conv1\.weight hold numbers that are not finite"
    ):
        read_weights(path)


def test_subsets_as_large_as_a_set_have_no_deviation():
    fake, real = torch.randn(40, 3), torch.randn(50, 3)
    assert kernel_distance(fake, real, 5, 30).deviation > 0
    assert kernel_distance(fake, real, 5, 40).deviation is None
    same = kernel_distance(fake, fake + 1, 5)
    assert (len(same.estimates), same.deviation) == (1, None)


def test_a_set_is_at_no_distance_below_0_from_itself():
    features = torch.randn(150, 368, generator=torch.Generator().manual_seed(3)) * 9
    moments = Moments.of(features)
    assert 0 <= frechet_distance(moments, moments) < 1e-6 * moments.covariance.trace()


X = torch.randn(9, 4)


@pytest.mark.parametrize(
    "call",
    [
        lambda: kernel_distance(X, X[:, :3]),
        lambda: kernel_distance(X, X, subsets=0),
        lambda: kernel_distance(X, X, size=1),
        lambda: kernel_distance(X[0], X),
        lambda: cmmd(X, X[:, :3]),
        lambda: precision_recall(X, X[:, :3]),
        lambda: precision_recall(X, X, 0),
        lambda: precision_recall(X[None], X),
        lambda: ssim(torch.rand(3, 8, 8), torch.rand(3, 8, 8)),
        lambda: ssim(torch.rand(3, 16, 16), torch.rand(3, 16, 17)),
        lambda: LPIPS(squeezenet())(torch.rand(1, 3, 64, 64), torch.rand(1, 3, 32, 32)),
        lambda: LPIPS(squeezenet())(torch.rand(3, 64, 64), torch.rand(3, 64, 64)),
    ],
)
def test_what_does_not_stand_beside_the_other_is_refused_in_a_line(call):
    with pytest.raises(BadInput, match="wanted") as error:
        call()
    assert "\n" not in str(error.value)


def test_what_a_generator_was_asked_stands_in_the_json():
    experiment = tiny("pigan-carla")
    made = build_seeded(experiment).generator.eval()
    question = Question(made, experiment, "synthetic:cars", SIZE, psi=0.5, seed=3)
    numbers = ASKED["consistency"](question)
    desk = Desk(Task(PROTOCOLS["tracking"], SIZE, ImageConfig(), ()), {}, Streaming(), torch.device("cpu"))
    found = document(Result("it", desk, numbers, [], {}, {}))
    (asked,) = found["protocol"]["asked"]
    told = {
        "metric": "consistency",
        "psi": 0.5,
        "seed": 3,
        "size": SIZE,
        "pairs": 64,
        "angle": 15.0,
        "tolerance": 0.05,
    }
    assert told.items() <= asked.items()
    assert len(asked["generator"]) == 64
    assert 0 < asked["pairs_compared"] <= 64
    assert "asked" not in found["metrics"]["consistency_psnr"]


@pytest.mark.parametrize("fit", ["cover", "contain", "stretch"])
def test_pictures_that_were_made_larger_are_counted(tmp_path, fit):
    folder = painted(tmp_path / "p", 2)
    for i, side in ((4, 32), (5, 8)):
        Image.new("RGB", (side, side)).save(folder / f"{i:04d}.png")
    Image.new("RGB", (8, 32)).save(folder / "0006.png")
    pictures = load_images(str(folder), ImageConfig(fit=fit), SIZE, quiet=True)
    assert pictures.enlarged == ((3,) if fit == "contain" else (3, 4))
    again = load_images(str(folder), ImageConfig(fit=fit), SIZE, quiet=True)
    assert again.enlarged == pictures.enlarged
    assert Stored(again, Side(), "").notes["enlarged"] == len(pictures.enlarged)
    assert "enlarged" not in Stored(again, Side(3), "").notes
    assert load_images(str(folder), ImageConfig(fit=fit, center_crop=0.5), (4, 4), quiet=True).enlarged == ()


def test_what_was_enlarged_is_told(there, capsys):
    assert main(["evaluate", "fake", "--data", "real", "--size", "32", "--out", "x.json", *QUICK]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "20 generated pictures are smaller than 32x32 and were enlarged" in said
    assert "30 real pictures are smaller than 32x32 and were enlarged" in said
    found = json.loads((there / "x.json").read_text())
    assert (found["generated"]["enlarged"], found["real"]["enlarged"]) == (20, 30)


def test_lines_name_what_was_given(there, capsys):
    (there / "half.zip").write_bytes(b"PK\x03\x04" + bytes(99))
    with pytest.raises(BadInput, match=r"half\.zip is damaged"):
        listed(there / "half.zip")
    painted(there / "one", 1)
    for words, expected in (
        (["fake/0000.bmp", "--data", "real"], "fake/0000.bmp: wanted a generator"),
        (["one", "--data", "real"], "one: 1 generated pictures"),
        (["fake", "--data", "real", "--extractor", "squeezenet"], "--squeezenet a file"),
        (["fake", "--data", "real", "--metrics", "fid-clean"], "--inception a file, or download"),
    ):
        assert expected in refused(["evaluate", *words], capsys)


def test_a_protocol_without_counts_of_its_own_measures_what_there_is():
    looks = Extractor(
        "means", "none", "colours", 3, "not resized", lambda images: images.double().mean((2, 3))
    )
    task = Task(PROTOCOLS["genscene"], SIZE, ImageConfig(), (looks,))
    (found,) = measure(
        Generated(build_seeded(tiny("pigan-carla")).generator, Side(3), SIZE), "pictures", task
    )
    assert isinstance(found, Statistics)
    assert found.tally.count == 3
